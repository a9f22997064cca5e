package media

import (
	"context"
	"net/http"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	progressPath = "/sdapi/v1/progress?skip_current_image=true"
	// progressPace is the time between two looks at how far a picture is.
	progressPace = time.Second
	// farewell is how long a worker is given to hear that a job is cancelled.
	farewell = 2 * time.Second
)

// sdapiProgress is how the web UIs tell how far they are. Older ones know no
// tasks.
type sdapiProgress struct {
	State struct {
		Jobs  int64 `json:"job_count"`
		Job   int64 `json:"job_no"`
		Step  int64 `json:"sampling_step"`
		Steps int64 `json:"sampling_steps"`
	} `json:"state"`
	Task *string `json:"current_task"`
}

// watch tells the sink how far a call is until the function that it returns is
// called, which waits for the last report. Somebody else's pictures on the same
// server are not reported, if it says whose they are.
func (c *call) watch(ctx context.Context, t *txt2img) (unwatch func()) {
	if c.known.flavour != flavourWebUI {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(c.worker.pace)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			p, err := c.progress(ctx)
			if err != nil || p.Task != nil && *p.Task != t.Task || p.State.Jobs < 1 || p.State.Steps < 1 {
				continue
			}
			total := p.State.Jobs * p.State.Steps
			done := min(p.State.Job*p.State.Steps+p.State.Step, total)
			c.sink.Progress(jeantrail.Progress{Stage: "image", Done: done, Total: total, Unit: "steps"})
		}
	}()
	return func() {
		cancel()
		<-over
	}
}

func (c *call) progress(ctx context.Context) (sdapiProgress, error) {
	var p sdapiProgress
	page, err := c.get(ctx, progressPath)
	if err == nil && !page.ok(&p) {
		err = c.unreadable("does not tell its progress")
	}
	return p, err
}

// interrupt stops a call that was cancelled. The servers that know interrupting
// stop whatever they are at, so that it is done only if that is ours.
func (c *call) interrupt(ctx context.Context, t *txt2img) {
	if c.known.flavour != flavourWebUI {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	p, err := c.progress(ctx)
	if err != nil || p.Task == nil || *p.Task != t.Task {
		c.worker.opts.Logger.Debug("a cancelled picture could not be interrupted", "worker", c.client.worker, "error", err)
		return
	}
	a, err := c.do(ctx, query{method: http.MethodPost, path: "/sdapi/v1/interrupt"})
	if err != nil {
		c.worker.opts.Logger.Warn("a cancelled picture was not interrupted", "worker", c.client.worker, "error", err)
		return
	}
	_ = a.Close()
}
