package gateway

import (
	"context"
	"fmt"

	"github.com/jeantrail/jeantrail-ai"
)

// maxResumes is how often a job is taken up again. One that brings the process
// down must not do so at every start.
const maxResumes = 3

// resumed is the stage that a progress event names when a job is taken up again.
const resumed = "resume"

// resumable reports whether a job that had begun in an earlier process may go on
// in this one, if its work can.
func resumable(job *jeantrail.Job) bool {
	return job.State == jeantrail.StateRunning && job.Async && job.Kind == jeantrail.KindPipeline
}

// resume takes up a job that had begun. It keeps its id and its log.
func (g *Gateway) resume(ctx context.Context, job *jeantrail.Job) (*task, error) {
	times := int64(0)
	var started jeantrail.Event
	var log []jeantrail.Event
	err := eachEvent(ctx, g.opts.Store, job.ID, func(ev *jeantrail.Event) {
		log = append(log, *ev)
		switch {
		case ev.Type == jeantrail.EventStarted:
			started = *ev
		case ev.Type == jeantrail.EventProgress && ev.Progress.Stage == resumed:
			times++
		}
	})
	if err != nil {
		return nil, err
	}
	if times >= maxResumes {
		return nil, fmt.Errorf("it was taken up %d times before", times)
	}
	a := &proposal{job: *job, request: job.Request, cacheUse: jeantrail.CacheOff}
	a.request.Model = job.Model
	if err := g.prepare(ctx, a); err != nil {
		return nil, err
	}
	if _, can := a.work.(Resumer); !can {
		return nil, fmt.Errorf("work of the kind %s cannot go on where it ended", job.Kind)
	}
	t := newTask(a, g.opts.FlushBytes)
	t.feed.resume(job.LastSeq)
	t.log, t.began = log, started
	t.setStarted(job.StartedAt)
	again := jeantrail.Progress{Stage: resumed, Done: times + 1, Total: maxResumes, Unit: "times"}
	if err := g.rejoin(ctx, t, jeantrail.Event{Type: jeantrail.EventProgress, Progress: again}); err != nil {
		return nil, err
	}
	g.opts.Observer.JobStarted(&t.job)
	return t, nil
}

// leaveOpen leaves a job that can go on to the next start of the program.
func (g *Gateway) leaveOpen(t *task) {
	failure := interrupted("the program was stopped; the job goes on when it starts again", ErrShutdown)
	failure.Hint = "Ask for the job again after the next start."
	t.feed.abandon(failure)
	g.leave(t)
	t.close(nil, failure)
}

// canGoOn reports whether a task that the end of the program stopped can be
// taken up by the next one.
func (t *task) canGoOn() bool {
	_, can := t.work.(Resumer)
	return can && t.job.Async && t.running()
}
