package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/policy"
)

// Job returns a job as it stands. One that the principal may not see does not
// exist for it: not_found.
func (g *Gateway) Job(ctx context.Context, p jeantrail.Principal, id string) (*jeantrail.Job, error) {
	job, err := g.opts.Store.Job(ctx, id)
	if jeantrail.CodeOf(err) == jeantrail.CodeNotFound {
		return nil, notFound(id)
	}
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	if !policy.CanSee(p, job) {
		return nil, notFound(id)
	}
	return job, nil
}

// Jobs lists jobs, newest first. Whoever may not see everybody's gets the own
// ones; asking for those of somebody else is forbidden.
func (g *Gateway) Jobs(ctx context.Context, p jeantrail.Principal, f jeantrail.JobFilter) (jeantrail.JobPage, error) {
	if f.UserID == "" && !policy.CanList(p, "") {
		f.UserID = p.UserID
	}
	if !policy.CanList(p, f.UserID) {
		return jeantrail.JobPage{}, jeantrail.Errorf(jeantrail.CodeForbidden, "the key may not list the jobs of another user").
			WithHint("Leave user_id out, or use an admin key.")
	}
	page, err := g.opts.Store.Jobs(ctx, f)
	if err != nil {
		return jeantrail.JobPage{}, fmt.Errorf("list jobs: %w", err)
	}
	return page, nil
}

// Cancel tells a job to stop and does not wait until it has. Cancelling a job
// that has ended, or was cancelled before, changes nothing and is no error.
func (g *Gateway) Cancel(ctx context.Context, p jeantrail.Principal, id string) error {
	t := g.task(id)
	var job *jeantrail.Job
	if t != nil && policy.CanSee(p, &t.job) {
		job = &t.job
	} else {
		stored, err := g.Job(ctx, p, id)
		if err != nil {
			return err
		}
		job = stored
	}
	if !policy.CanCancel(p, job) {
		return jeantrail.Errorf(jeantrail.CodeForbidden, "the role %q may not cancel jobs", p.Role).
			WithHint("Use a key with the role user or admin.")
	}
	if t != nil {
		t.cancel(ErrCancelled)
	}
	return nil
}

// Wait returns the job when it is terminal, with its result. A job that failed
// is no error of Wait; an error is that of ctx, or says that the end could not
// be stored.
func (g *Gateway) Wait(ctx context.Context, id string) (*jeantrail.Job, error) {
	t := g.task(id)
	if t == nil {
		return g.finished(ctx, id)
	}
	select {
	case <-t.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for job: %w", context.Cause(ctx))
	}
	if t.err != nil {
		return nil, t.err
	}
	job := *t.final
	return &job, nil
}

// finished reads a job that has no task, and so must be terminal.
func (g *Gateway) finished(ctx context.Context, id string) (*jeantrail.Job, error) {
	job, err := g.opts.Store.Job(ctx, id)
	switch {
	case jeantrail.CodeOf(err) == jeantrail.CodeNotFound:
		return nil, notFound(id)
	case err != nil:
		return nil, fmt.Errorf("read job: %w", err)
	case !job.State.Terminal():
		return nil, unsettled(id, errors.New("an earlier process left it unfinished"))
	}
	return job, nil
}

// Follow returns a reader of the job's events after number after: of a live
// job as they come, of a finished one from the store. An after that the job
// has not reached is invalid.
func (g *Gateway) Follow(ctx context.Context, p jeantrail.Principal, id string, after int64) (*Reader, error) {
	r := &Reader{store: g.opts.Store, jobID: id, seq: after}
	last, terminal := int64(0), false
	if t := g.task(id); t != nil {
		if !policy.CanSee(p, &t.job) {
			return nil, notFound(id)
		}
		r.feed, last = t.feed, t.feed.lastStored()
	} else {
		if _, err := g.Job(ctx, p, id); err != nil {
			return nil, err
		}
		job, err := g.finished(ctx, id)
		if err != nil {
			return nil, err
		}
		last, terminal = job.LastSeq, true
	}
	if after < 0 || after > last {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "after is %d, the job has %d events", after, last).
			WithHint("Send the seq of the last event that was received whole, or 0 for all.").
			WithNumber("last_seq", last)
	}
	r.ended = terminal && after == last
	return r, nil
}
