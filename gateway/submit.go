package gateway

import (
	"context"
	"fmt"

	"github.com/google/uuid"
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
// model, context_length_exceeded, budget_exceeded, queue_full, shutting_down,
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
	job, backend, err := g.appraise(ctx, p, req)
	if err != nil {
		return nil, err
	}
	t := newTask(*job, backend, g.opts.FlushBytes)
	if err := g.admit(ctx, t); err != nil {
		t.cancel(err)
		return nil, err
	}
	go g.run(t)
	return job, nil
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
	return nil
}

// appraise finds who does the work and what it can cost at most.
func (g *Gateway) appraise(ctx context.Context, p jeantrail.Principal, req jeantrail.Request) (*jeantrail.Job, Backend, error) {
	model, backend, err := g.opts.Models.Resolve(req.Model)
	if err != nil {
		return nil, nil, fmt.Errorf("resolve model: %w", err)
	}
	bounds, err := backend.Measure(ctx, &req)
	if err != nil {
		return nil, nil, fmt.Errorf("measure request: %w", err)
	}
	now := g.now()
	price, err := g.opts.Store.Price(ctx, model, req.Kind, now)
	if err != nil {
		return nil, nil, fmt.Errorf("price request: %w", err)
	}
	reserve := ledger.Estimate(price, bounds)
	if reserve == jeantrail.MaxMoney {
		return nil, nil, jeantrail.Errorf(jeantrail.CodeBudgetExceeded, "the request could cost more than can be counted").
			WithHint("Lower max_tokens, or correct the price of model %s.", model)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, nil, fmt.Errorf("make job id: %w", err)
	}
	return &jeantrail.Job{
		ID: id.String(), Kind: req.Kind, UserID: req.UserID, KeyID: p.KeyID, State: jeantrail.StateQueued,
		Model: model, RequestedModel: req.Model, Priority: req.Priority, Async: req.Async, Request: req,
		Price: price, Reserved: reserve, CreatedAt: now, LastSeq: 1,
	}, backend, nil
}

// admit is the first transaction.
func (g *Gateway) admit(ctx context.Context, t *task) error {
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
	if err := g.opts.Store.Admit(ctx, &t.job, queued); err != nil {
		g.leave(t)
		g.jobs.Done()
		return fmt.Errorf("admit job: %w", err)
	}
	t.feed.stored(queued.Seq)
	g.opts.Observer.JobAdmitted(&t.job)
	return nil
}
