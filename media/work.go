package media

import (
	"context"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// introduction is how long a job waits for a server to show what it is.
const introduction = 10 * time.Second

// Work is a request that a worker can run.
type Work struct {
	worker *Worker
	req    jeantrail.Request
	bounds jeantrail.Bounds
}

// Prepare reads a request and bounds it. It asks nothing of the server, so that
// a worker that is down is found out when the work runs.
func (w *Worker) Prepare(ctx context.Context, req *jeantrail.Request) (*Work, error) {
	if req.Kind != w.opts.Kind {
		return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s does work of the kind %s, not %s", w.opts.Name, w.opts.Kind, req.Kind)
	}
	bounds, err := w.craft.prepare(ctx, w, req, w.Dialect())
	if err != nil {
		return nil, err
	}
	return &Work{worker: w, req: *req, bounds: bounds}, nil
}

// Bounds are the most that Run can use.
func (k *Work) Bounds() jeantrail.Bounds { return k.bounds }

// Fingerprint is not known: nobody sees what a worker computes with.
func (k *Work) Fingerprint() (sum []byte, deterministic bool) { return nil, false }

// Run waits for the worker, has it do the job, and returns when nothing of it
// runs any more on this side. The result is never nil and its usage is exact
// also beside an error. When ctx ends, Run returns soon with FinishCancelled and
// the context's cause; the worker is told if its protocol has a way.
func (k *Work) Run(ctx context.Context, job *jeantrail.Job, sink Sink) (*jeantrail.Result, error) {
	w := k.worker
	res := &jeantrail.Result{
		Model: w.opts.Name, Engine: jeantrail.EngineInfo{Device: w.opts.Name}, FinishReason: jeantrail.FinishError, Cache: jeantrail.CacheOff,
	}
	c := &call{client: w.client, worker: w, req: &k.req, job: job, bounds: k.bounds, sink: sink, result: res}
	arrived := time.Now()
	leave, err := w.lane.enter(ctx, job.Priority, waiting(sink))
	if err == nil {
		defer leave()
		res.Timings.Queue = time.Since(arrived)
		err = w.admitted(ctx, c)
		res.Timings.Total = time.Since(arrived)
	}
	switch {
	case err == nil:
		if res.FinishReason == jeantrail.FinishError {
			res.FinishReason = jeantrail.FinishStop
		}
	case ctx.Err() != nil:
		res.FinishReason = jeantrail.FinishCancelled
		err = context.Cause(ctx)
	default:
		res.FinishReason = jeantrail.FinishError
	}
	return res, err
}

// waiting tells the sink of a job's place in the queue.
func waiting(sink Sink) func(ahead int) {
	most := 0
	return func(ahead int) {
		most = max(most, ahead+1)
		sink.Progress(jeantrail.Progress{Stage: "queue", Done: int64(most - ahead - 1), Total: int64(most), Unit: "jobs"})
	}
}

// admitted runs a job whose turn has come.
func (w *Worker) admitted(ctx context.Context, c *call) (err error) {
	leave, err := w.opts.Gate.Enter()
	if err != nil {
		return err
	}
	defer func() { leave(err) }()
	if c.known, err = w.meet(ctx); err != nil {
		return err
	}
	release, err := w.opts.Room(ctx)
	if err != nil {
		return err
	}
	defer release()
	prompt := 0
	if w.craft.prompt != nil {
		prompt = min(w.craft.prompt(c.req), c.bounds.PromptTokens)
	}
	c.sink.Started(w.opts.Name, c.result.Engine, prompt, 0)
	late := jeantrail.Errorf(jeantrail.CodeDeadline, "the worker %s took longer than %s", w.opts.Name, w.opts.Timeout).
		WithHint("Ask for less, or raise its timeout in config.yaml.").WithName("worker", w.opts.Name)
	limited, cancel := context.WithTimeoutCause(ctx, w.opts.Timeout, late)
	defer cancel()
	return w.craft.dialects[c.known.dialect](limited, c)
}

// meet returns what is known about the server, and looks at it if nothing is.
// With a configured dialect a server that hides what it is is used all the same.
func (w *Worker) meet(ctx context.Context) (knowledge, error) {
	if k := w.knows(); k.flavour != "" {
		return k, nil
	}
	late := jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s does not say within %s what it is", w.opts.Name, introduction).
		WithHint("Set its dialect in config.yaml.")
	limited, cancel := context.WithTimeoutCause(ctx, introduction, late)
	defer cancel()
	f, err := w.look(limited)
	switch k := w.knows(); {
	case ctx.Err() != nil:
		return k, context.Cause(ctx)
	case k.dialect != "" && (err == nil || limited.Err() != nil):
		return k, nil
	case err != nil:
		return k, err
	default:
		e := jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s cannot be used: %s", w.opts.Name, f.problem).
			WithHint("See what it says with: jeantrail-ai worker status").WithName("worker", w.opts.Name)
		if e.RetryAfter = retryPause; f.status == jeantrail.WorkerStarting {
			e.Code, e.RetryAfter = jeantrail.CodeModelLoading, loadPause
		}
		return k, e
	}
}
