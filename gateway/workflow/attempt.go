package workflow

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// How long a stage waits before it is tried again: twice as long each time,
// unless the error says how long. One that asks for more than maxPause is not
// worth waiting for.
const (
	firstPause = 500 * time.Millisecond
	mostPause  = 30 * time.Second
	maxPause   = 5 * time.Minute
)

// attempts tries a plan up to retries times more than once, while its errors are
// of those that may pass.
func (r *run) attempts(ctx context.Context, s *standing, p *plan, retries int, scope map[string]any) (*outcome, error) {
	req, err := p.request(scope)
	if err != nil {
		return nil, err
	}
	r.complete(s, &req)
	for n := 0; ; n++ {
		job, before, err := s.earlier()
		if !before {
			job, err = r.attempt(ctx, s, req)
		}
		if err == nil {
			return outcomeOf(job), nil
		}
		if interrupted(ctx, err) || n >= retries || !mayPass(err) {
			return nil, err
		}
		if before {
			continue
		}
		if err := pause(ctx, pauseAfter(n, err)); err != nil {
			return nil, err
		}
	}
}

// complete says whose the job of a stage is.
func (r *run) complete(s *standing, req *jeantrail.Request) {
	req.UserID, req.Priority, req.TaskType, req.Cache = r.job.UserID, r.job.Priority, r.request.TaskType, r.request.Cache
	req.Metadata = maps.Clone(r.request.Metadata)
	req.Workflow, req.Parent, req.Stage = r.workflow.Name, r.job.ID, s.stage.name
}

// mayPass reports whether trying again may help.
func mayPass(err error) bool {
	e := jeantrail.AsError(err)
	switch e.Code {
	case jeantrail.CodeWorkerUnavailable, jeantrail.CodeQueueFull, jeantrail.CodeModelLoading,
		jeantrail.CodeDeadline, jeantrail.CodeRateLimited:
		return e.RetryAfter <= maxPause
	}
	return false
}

func pauseAfter(n int, err error) time.Duration {
	return max(min(firstPause<<n, mostPause), jeantrail.AsError(err).RetryAfter)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// earlier takes the next attempt of an earlier process, if one came to an end by
// itself.
func (s *standing) earlier() (job *jeantrail.Job, there bool, err error) {
	for len(s.history) > 0 {
		job, s.history = s.history[0], s.history[1:]
		s.report.Attempts++
		s.account(job)
		if job.State == jeantrail.StateSucceeded || job.State == jeantrail.StateFailed {
			return job, true, failureOf(job)
		}
	}
	return nil, false, nil
}

// attempt sends the job of a stage and waits until it has ended.
func (r *run) attempt(ctx context.Context, s *standing, req jeantrail.Request) (*jeantrail.Job, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s.report.Status = jeantrail.StageRunning
	s.report.Attempts++
	job, err := r.road.Submit(ctx, r.principal, req)
	if err != nil {
		return nil, err
	}
	s.report.JobID, s.report.Model = job.ID, job.Model
	r.tell(s, false)
	job, late, err := r.wait(ctx, job.ID, s.stage.timeout)
	if err != nil {
		return nil, err
	}
	s.account(job)
	if late && job.State == jeantrail.StateCancelled {
		return nil, jeantrail.Errorf(jeantrail.CodeDeadline, "it took longer than its timeout of %s", s.stage.timeout)
	}
	return job, failureOf(job)
}

// wait returns a job that has ended. One that takes longer than the timeout, or
// than ctx lasts, is cancelled first; late says that it was the timeout.
func (r *run) wait(ctx context.Context, id string, timeout time.Duration) (job *jeantrail.Job, late bool, err error) {
	limited := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	job, err = r.road.Wait(limited, id)
	if err == nil || limited.Err() == nil {
		return job, false, err
	}
	late = ctx.Err() == nil
	always := context.WithoutCancel(ctx)
	// A job that cannot be cancelled is waited for all the same: nothing of a
	// pipeline may run on without it.
	cancelErr := r.road.Cancel(always, r.principal, id)
	if job, err = r.road.Wait(always, id); err != nil {
		return nil, late, errors.Join(err, cancelErr)
	}
	return job, late, nil
}

// account adds a job that has ended to what its stage took.
func (s *standing) account(job *jeantrail.Job) {
	s.report.JobID, s.report.Model = job.ID, job.Model
	if job.Result == nil {
		return
	}
	if job.Result.Model != "" {
		s.report.Model = job.Result.Model
	}
	s.report.Usage = s.report.Usage.Add(job.Result.Usage)
	s.report.Cost = addCost(s.report.Cost, job.Result.Cost)
}

// failureOf says why a job did not succeed; nil if it did.
func failureOf(job *jeantrail.Job) error {
	switch {
	case job.State == jeantrail.StateSucceeded:
		return nil
	case job.Err != nil:
		return job.Err
	case job.State == jeantrail.StateCancelled:
		return jeantrail.Errorf(jeantrail.CodeCancelled, "its job was cancelled")
	}
	return jeantrail.Errorf(jeantrail.CodeInternal, "its job ended as %s and does not say why", job.State)
}
