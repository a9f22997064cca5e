package gateway

import (
	"context"
	"fmt"

	"github.com/jeantrail/jeantrail-ai"
)

// revive takes up a job that was admitted and promised to its caller (async),
// but had not begun when an earlier process ended. It keeps its id, its price
// and its hold, so that nobody has to ask, or pay, again.
//
// That is done once: the second queued event that it leaves in the job's log
// keeps a job that brings the process down from doing so at every start.
func (g *Gateway) revive(ctx context.Context, job *jeantrail.Job) (*task, error) {
	a := &proposal{job: *job, request: job.Request}
	a.request.Model = job.Model
	if err := g.fillTemplate(&a.request); err != nil {
		return nil, err
	}
	if err := g.prepare(ctx, a); err != nil {
		return nil, err
	}
	if err := g.applyRules(ctx, a, false); err != nil {
		return nil, err
	}
	if a.model != job.Model {
		// The rules have changed since; the price and the hold are of this one.
		a.request.Model = job.Model
		if err := g.prepare(ctx, a); err != nil {
			return nil, err
		}
	}
	if err := g.lookUp(ctx, a); err != nil {
		return nil, err
	}
	t := newTask(a, g.opts.FlushBytes)
	t.feed.resume(job.LastSeq)
	return t, g.rejoin(ctx, t, jeantrail.Event{Type: jeantrail.EventQueued})
}

// revivable reports whether a job of an earlier process may still be run.
func revivable(job *jeantrail.Job) bool {
	return job.State == jeantrail.StateQueued && job.Async && job.LastSeq == 1
}

// rejoin puts a job that is in the store already among the unfinished ones of
// this process, and says so in its log. A queued event is given its position.
func (g *Gateway) rejoin(ctx context.Context, t *task, ev jeantrail.Event) error {
	g.mu.Lock()
	if t.running() {
		g.stats.Running++
	} else {
		ev.Position = g.stats.Queued
		g.stats.Queued++
	}
	g.stats.Reserved = g.stats.Reserved.Add(t.job.Reserved)
	g.tasks[t.job.ID] = t
	g.jobs.Add(1)
	g.mu.Unlock()
	ev.At = g.now()
	ev = t.feed.next(ev)
	if err := g.opts.Store.Append(ctx, []jeantrail.Event{ev}); err != nil {
		g.leave(t)
		g.jobs.Done()
		t.cancel(err)
		return fmt.Errorf("take job up again: %w", err)
	}
	t.feed.add(ev)
	t.feed.stored(ev.Seq)
	g.opts.Observer.JobAdmitted(&t.job)
	return nil
}
