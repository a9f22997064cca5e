package gateway

import (
	"context"
	"fmt"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/ledger"
	"github.com/jeantrail/jeantrail-ai/gateway/policy"
)

// Submit admits a job: it is checked, measured, priced, and stored as queued
// together with the reservation of the most that it can cost. The work then
// goes on by itself; ctx governs the admission only. The job that is returned
// is the one that was stored.
//
// Errors say why nothing was admitted: invalid, forbidden, not_found for the
// model or template, context_length_exceeded, budget_exceeded with the numbers, queue_full, shutting_down,
// storage_full, and whatever the backend refuses.
//
// A caller that wants a job which is not async to end with itself takes a
// Lease at once; a job that nobody ever leased runs to its end.
func (g *Gateway) Submit(ctx context.Context, p jeantrail.Principal, req jeantrail.Request) (*jeantrail.Job, error) {
	if err := authorize(p, &req); err != nil {
		return nil, err
	}
	if err := g.accepting(); err != nil {
		return nil, err
	}
	t, err := g.propose(ctx, p, req, false)
	if r := refusedBy(err); r != nil && r.toldRoom {
		// The budget filled up since the rules were asked; one of them may have
		// an answer to that.
		t, err = g.propose(ctx, p, req, true)
	}
	if r := refusedBy(err); r != nil {
		g.refusedFor(ctx, &r.standing)
	}
	if err != nil {
		return nil, err
	}
	job := t.job
	go g.run(t)
	return &job, nil
}

// propose appraises a request and admits it.
func (g *Gateway) propose(ctx context.Context, p jeantrail.Principal, req jeantrail.Request, short bool) (*task, error) {
	a, err := g.appraise(ctx, p, req, short)
	if err != nil {
		return nil, err
	}
	t := newTask(a, g.opts.FlushBytes)
	if err := g.admit(ctx, t, a); err != nil {
		t.cancel(err)
		return nil, err
	}
	return t, nil
}

// authorize checks the request and who sends it, and fills in what the caller
// may leave out.
func authorize(p jeantrail.Principal, req *jeantrail.Request) error {
	if req.Kind == "" {
		req.Kind = jeantrail.KindText
	}
	if err := req.Validate(); err != nil {
		return err
	}
	switch {
	case p.UserID == "":
		return jeantrail.Errorf(jeantrail.CodeUnauthorized, "the caller is not known")
	case !policy.CanSubmit(p):
		return jeantrail.Errorf(jeantrail.CodeForbidden, "the role %q may not submit jobs", p.Role).
			WithHint("Use a key with the role user or admin.")
	case !policy.CanActFor(p, req.UserID):
		return jeantrail.Errorf(jeantrail.CodeForbidden, "the key may not act for another user").
			WithHint("Leave user_id out, or use a key that may act for others.")
	}
	if req.UserID == "" {
		req.UserID = p.UserID
	}
	if req.Priority == "" {
		req.Priority = jeantrail.PriorityInteractive
	}
	if req.Pipeline != nil {
		req.Model = req.Pipeline.Workflow
	}
	return nil
}

// admit is the first transaction.
func (g *Gateway) admit(ctx context.Context, t *task, a *proposal) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("admit job: %w", err)
	}
	ahead, err := g.enter(t)
	if err != nil {
		return err
	}
	queued := t.feed.add(jeantrail.Event{Type: jeantrail.EventQueued, At: t.job.CreatedAt, Position: ahead})
	// A caller that goes away in the middle must not leave it open whether the
	// job exists.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.opts.StoreTimeout)
	defer cancel()
	if err := g.opts.Store.Admit(ctx, &t.job, queued, a.decide); err != nil {
		t.job.Reserved = 0
		g.leave(t)
		g.jobs.Done()
		return fmt.Errorf("admit job: %w", err)
	}
	g.hold(t)
	t.feed.stored(queued.Seq)
	g.opts.Observer.JobAdmitted(&t.job)
	return nil
}

// decide says what to hold, inside the transaction that admits the job.
func (a *proposal) decide(standings []jeantrail.BudgetStanding) (jeantrail.Money, error) {
	if err := a.fits(standings); err != nil {
		return 0, err
	}
	d := ledger.Decide(standings, a.price, a.bounds)
	if d.Refused == nil {
		return d.Hold, nil
	}
	return 0, &refusal{told: budgetExceeded(d.Refused, d), standing: *d.Refused, toldRoom: a.toldRoom}
}
