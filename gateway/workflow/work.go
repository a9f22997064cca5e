package workflow

import (
	"context"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

// Road is where the jobs of stages go. gateway.Gateway is one.
type Road interface {
	Submit(ctx context.Context, p jeantrail.Principal, req jeantrail.Request) (*jeantrail.Job, error)
	// Wait returns the job when it is terminal.
	Wait(ctx context.Context, id string) (*jeantrail.Job, error)
	Cancel(ctx context.Context, p jeantrail.Principal, id string) error
	Job(ctx context.Context, p jeantrail.Principal, id string) (*jeantrail.Job, error)
	// Jobs finds the stages that an earlier process began.
	Jobs(ctx context.Context, p jeantrail.Principal, f jeantrail.JobFilter) (jeantrail.JobPage, error)
	Estimate(ctx context.Context, p jeantrail.Principal, req jeantrail.Request) (*jeantrail.Estimate, error)
	// Prices tells what files that do not exist yet will cost.
	Prices(ctx context.Context, p jeantrail.Principal) ([]jeantrail.PriceEntry, error)
}

var _ Road = (*gateway.Gateway)(nil)

// backend runs one workflow.
type backend struct {
	library  *Library
	workflow *compiled
}

// Prepare implements gateway.Backend. Inputs that the workflow cannot use are
// invalid.
func (b *backend) Prepare(_ context.Context, req *jeantrail.Request) (gateway.Work, error) {
	road := b.library.attached()
	switch {
	case req.Pipeline == nil:
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the request is none for a pipeline")
	case road == nil:
		return nil, jeantrail.Errorf(jeantrail.CodeInternal, "the workflows have no road for their stages")
	}
	inputs, err := b.workflow.values(req.Pipeline.Input)
	if err != nil {
		return nil, err
	}
	return &work{workflow: b.workflow, road: road, inputs: inputs, request: *req}, nil
}

// work is a pipeline that can run.
type work struct {
	workflow *compiled
	road     Road
	inputs   map[string]any
	request  jeantrail.Request
}

var (
	_ gateway.Work      = (*work)(nil)
	_ gateway.Resumer   = (*work)(nil)
	_ gateway.Estimator = (*work)(nil)
)

// Bounds implements gateway.Work. The stages are jobs of their own, so that the
// pipeline uses nothing.
func (w *work) Bounds() jeantrail.Bounds { return jeantrail.Bounds{Exact: true} }

// Fingerprint implements gateway.Work. A stage's result may be reused, that of a
// pipeline is not.
func (w *work) Fingerprint() ([]byte, bool) { return nil, false }

// Run implements gateway.Work.
func (w *work) Run(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	r := w.begin(job, sink)
	sink.Started(w.workflow.Name, jeantrail.EngineInfo{}, 0, 0)
	return r.finish(ctx, r.stages(ctx))
}

// Resume implements gateway.Resumer. Stages that have ended are taken from the
// log and their jobs. Those that had begun are taken from their jobs too, as far
// as these got: one that succeeded is not run again, and an attempt that failed
// counts. An attempt that the end of the process cut short does not.
func (w *work) Resume(ctx context.Context, job *jeantrail.Job, log []jeantrail.Event, sink gateway.Sink) (*jeantrail.Result, error) {
	r := w.begin(job, sink)
	if err := r.restore(ctx, log); err != nil {
		return r.finish(ctx, err)
	}
	return r.finish(ctx, r.stages(ctx))
}
