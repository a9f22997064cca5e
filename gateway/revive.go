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
	return t, g.requeue(ctx, t)
}

// revivable reports whether a job of an earlier process may still be run.
func revivable(job *jeantrail.Job) bool {
	return job.State == jeantrail.StateQueued && job.Async && job.LastSeq == 1
}

// requeue puts a job that is in the store already among the unfinished ones of
// this process.
func (g *Gateway) requeue(ctx context.Context, t *task) error {
	g.mu.Lock()
	ahead := g.stats.Queued
	g.stats.Queued++
	g.stats.Reserved = g.stats.Reserved.Add(t.job.Reserved)
	g.tasks[t.job.ID] = t
	g.jobs.Add(1)
	g.mu.Unlock()
	queued := t.feed.next(jeantrail.Event{Type: jeantrail.EventQueued, At: g.now(), Position: ahead})
	if err := g.opts.Store.Append(ctx, []jeantrail.Event{queued}); err != nil {
		g.leave(t)
		g.jobs.Done()
		t.cancel(err)
		return fmt.Errorf("queue job again: %w", err)
	}
	t.feed.add(queued)
	t.feed.stored(queued.Seq)
	g.opts.Observer.JobAdmitted(&t.job)
	return nil
}
