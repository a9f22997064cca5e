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
	log, err := g.wholeLog(ctx, job.ID)
	if err != nil {
		return nil, err
	}
	times := int64(0)
	var started jeantrail.Event
	for i := range log {
		switch ev := &log[i]; {
		case ev.Type == jeantrail.EventStarted:
			started = *ev
		case ev.Type == jeantrail.EventProgress && ev.Progress.Stage == resumed:
			times++
		}
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
	return t, g.rejoin(ctx, t, jeantrail.Progress{Stage: resumed, Done: times + 1, Total: maxResumes, Unit: "times"})
}

func (g *Gateway) wholeLog(ctx context.Context, id string) ([]jeantrail.Event, error) {
	var log []jeantrail.Event
	for {
		page, err := g.opts.Store.Events(ctx, id, int64(len(log)), recoverPage)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		log = append(log, page...)
		if len(page) < recoverPage {
			return log, nil
		}
	}
}

// rejoin puts a job that has begun already among the running ones of this
// process.
func (g *Gateway) rejoin(ctx context.Context, t *task, p jeantrail.Progress) error {
	g.mu.Lock()
	g.stats.Running++
	g.stats.Reserved = g.stats.Reserved.Add(t.job.Reserved)
	g.tasks[t.job.ID] = t
	g.jobs.Add(1)
	g.mu.Unlock()
	ev := t.feed.next(jeantrail.Event{Type: jeantrail.EventProgress, At: g.now(), Progress: p})
	if err := g.opts.Store.Append(ctx, []jeantrail.Event{ev}); err != nil {
		g.leave(t)
		g.jobs.Done()
		t.cancel(err)
		return fmt.Errorf("take job up again: %w", err)
	}
	t.feed.add(ev)
	t.feed.stored(ev.Seq)
	g.opts.Observer.JobAdmitted(&t.job)
	g.opts.Observer.JobStarted(&t.job)
	return nil
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
