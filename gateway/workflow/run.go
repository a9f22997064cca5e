package workflow

import (
	"context"
	"errors"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

// run is a pipeline that is running.
type run struct {
	*work
	job       *jeantrail.Job
	principal jeantrail.Principal
	standings []*standing       // of the stages, in the order of the workflow
	lost      []jeantrail.Stage // of an earlier process, that the workflow no longer has

	mu   sync.Mutex // one report at a time
	sink gateway.Sink
	done int // stages that have ended
}

// standing is how a stage stands. While the stage runs, only its goroutine uses
// it.
type standing struct {
	stage   *stage
	report  jeantrail.Stage  // Status is "" until its turn comes
	outcome *outcome         // nil until it has ended and others may see it
	history []*jeantrail.Job // jobs of an earlier process that are not accounted for, oldest first
}

func (w *work) begin(job *jeantrail.Job, sink gateway.Sink) *run {
	r := &run{
		work: w, job: job, sink: sink,
		principal: jeantrail.Principal{UserID: job.UserID, KeyID: job.KeyID, Role: jeantrail.RoleUser},
	}
	for _, s := range w.workflow.stages {
		r.standings = append(r.standings, &standing{stage: s, report: jeantrail.Stage{Name: s.name, Kind: s.kind}})
	}
	return r
}

// stages runs what has not run yet, group by group.
func (r *run) stages(ctx context.Context) error {
	for _, group := range r.workflow.groups {
		var standings []*standing
		for _, i := range group {
			if r.standings[i].outcome == nil {
				standings = append(standings, r.standings[i])
			}
		}
		if len(standings) == 0 {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.group(ctx, standings); err != nil {
			return err
		}
	}
	return nil
}

// group runs stages at once. The first that fails stops the others. That the
// program is stopping does not: what still runs may come to its end, so that it
// need not run again.
func (r *run) group(ctx context.Context, standings []*standing) error {
	scope := r.scope()
	if len(standings) == 1 {
		return r.stage(ctx, standings[0], scope)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, len(standings))
	var running sync.WaitGroup
	for i, s := range standings {
		running.Go(func() {
			errs[i] = r.stage(ctx, s, scope)
			if errs[i] != nil && !stopping(ctx, errs[i]) {
				cancel(errs[i])
			}
		})
	}
	running.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

// scope is what expressions see now.
func (r *run) scope() map[string]any {
	stages := make(map[string]any, len(r.standings))
	for _, s := range r.standings {
		if s.outcome != nil {
			stages[s.stage.name] = s.outcome.seen()
		}
	}
	return map[string]any{"inputs": r.inputs, "stages": stages}
}

// stage runs one stage to its end. An error ends the pipeline.
func (r *run) stage(ctx context.Context, s *standing, scope map[string]any) error {
	holds, err := true, error(nil)
	if len(s.history) == 0 { // otherwise it held, in an earlier process
		holds, err = s.stage.holds(scope)
	}
	if err == nil && !holds {
		r.end(s, &outcome{status: jeantrail.StageSkipped, reason: "its condition does not hold"})
		return nil
	}
	var got *outcome
	if err == nil {
		got, err = r.attempts(ctx, s, s.stage.plan, s.stage.retries, scope)
	}
	if err != nil && !interrupted(ctx, err) {
		got, err = r.failed(ctx, s, err, scope)
	}
	if err != nil {
		return r.fail(ctx, s, err)
	}
	r.end(s, got)
	return nil
}

// holds reports whether the stage is to run.
func (s *stage) holds(scope map[string]any) (bool, error) {
	if s.condition == nil {
		return true, nil
	}
	v, err := s.condition.run(scope)
	if err != nil {
		return false, atKey("condition", err)
	}
	holds, ok := v.(bool)
	if !ok {
		return false, jeantrail.Errorf(jeantrail.CodeInvalid, "condition: it is %s, it must be %s", describe(v), shapeBoolean)
	}
	return holds, nil
}

// failed does what the workflow says about a stage's error. It returns an error
// if that ends the pipeline.
func (r *run) failed(ctx context.Context, s *standing, cause error, scope map[string]any) (*outcome, error) {
	reason := jeantrail.AsError(cause).Message
	switch s.stage.onError {
	case onErrorSkip:
		return &outcome{status: jeantrail.StageSkipped, reason: reason}, nil
	case onErrorFallback:
		got, err := r.instead(ctx, s, scope)
		if err != nil {
			return nil, err
		}
		got.reason = reason
		return got, nil
	}
	return nil, cause
}

// instead gives what stands for a stage that failed.
func (r *run) instead(ctx context.Context, s *standing, scope map[string]any) (*outcome, error) {
	s.report.Fallback = true
	if s.stage.fallback != nil {
		return r.attempts(ctx, s, s.stage.fallback, 0, scope)
	}
	v, err := s.stage.fallbackText.eval(scope)
	if err != nil {
		return nil, atKey("fallback.output", err)
	}
	text, _ := v.(string)
	return &outcome{status: jeantrail.StageSucceeded, text: text}, nil
}

// end notes what a stage gave and reports it.
func (r *run) end(s *standing, got *outcome) {
	s.report.Status, s.report.Reason, s.report.Output = got.status, got.reason, got.text
	r.tell(s, true)
	s.outcome = got
}

// fail notes that a stage failed or was stopped, and returns the error that the
// pipeline ends with. A stage that the end of the program stopped is not
// reported as ended: the next process runs it again.
func (r *run) fail(ctx context.Context, s *standing, err error) error {
	s.report.Status, s.report.Reason = jeantrail.StageFailed, jeantrail.AsError(err).Message
	switch {
	case stopping(ctx, err):
		s.report.Status, s.report.Reason = jeantrail.StageCancelled, "the program was stopped"
		return err
	case ctx.Err() != nil:
		s.report.Status, s.report.Reason = jeantrail.StageCancelled, "the pipeline was cancelled"
		if jeantrail.AsError(context.Cause(ctx)).Names["stage"] != "" {
			s.report.Reason = "another stage of its group failed"
		}
	case jeantrail.CodeOf(err) == jeantrail.CodeCancelled:
		s.report.Status = jeantrail.StageCancelled
	}
	r.tell(s, true)
	return ofStage(s.stage.name, err)
}

// ofStage makes the error of a stage that of its pipeline.
func ofStage(name string, err error) error {
	e := *jeantrail.AsError(err)
	names := make(map[string]string, len(e.Names)+1)
	for key, v := range e.Names {
		names[key] = v
	}
	names["stage"] = name
	e.Message, e.Names, e.Err = "stage "+name+": "+e.Message, names, err
	return &e
}

// interrupted reports whether a stage ended because it was told to.
func interrupted(ctx context.Context, err error) bool { return ctx.Err() != nil || stopping(ctx, err) }

// stopping reports whether a stage ended because the program does.
func stopping(ctx context.Context, err error) bool {
	return jeantrail.CodeOf(err) == jeantrail.CodeShuttingDown || errors.Is(context.Cause(ctx), gateway.ErrShutdown)
}

// tell reports how a stage stands, and, when it has ended, how far the pipeline
// is.
func (r *run) tell(s *standing, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sink.Stage(s.report)
	if ended {
		r.done++
		r.sink.Progress(jeantrail.Progress{Stage: "pipeline", Done: int64(r.done), Total: int64(len(r.standings)), Unit: "stages"})
	}
}

// finish makes the result of the pipeline.
func (r *run) finish(ctx context.Context, err error) (*jeantrail.Result, error) {
	result := &jeantrail.Result{Model: r.workflow.Name, FinishReason: jeantrail.FinishStop, Pipeline: r.pipeline()}
	if err == nil {
		result.Pipeline.Output, err = r.workflow.outputs(r.scope())
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		result.FinishReason, err = jeantrail.FinishCancelled, context.Cause(ctx)
	case stopping(ctx, err), jeantrail.CodeOf(err) == jeantrail.CodeCancelled:
		result.FinishReason = jeantrail.FinishCancelled
	default:
		result.FinishReason = jeantrail.FinishError
	}
	return result, err
}

// pipeline sums up the stages whose turn came.
func (r *run) pipeline() *jeantrail.Pipeline {
	p := &jeantrail.Pipeline{Workflow: r.workflow.Name, Stages: r.lost}
	for _, s := range r.standings {
		if s.report.Status != "" {
			p.Stages = append(p.Stages, s.report)
		}
	}
	for i := range p.Stages {
		p.Usage = p.Usage.Add(p.Stages[i].Usage)
		p.Cost = addCost(p.Cost, p.Stages[i].Cost)
	}
	return p
}

func addCost(a, b jeantrail.Cost) jeantrail.Cost {
	return jeantrail.Cost{Amount: a.Amount.Add(b.Amount), Reserved: a.Reserved.Add(b.Reserved)}
}
