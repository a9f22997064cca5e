package gateway

import (
	"context"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/ledger"
)

// Estimate returns the most that a request can cost, as it would be admitted
// now: with the rules, the price in force and what the result cache has. Nothing
// is held and nothing runs. It fails as Submit does, but for the budgets, which
// it does not ask.
func (g *Gateway) Estimate(ctx context.Context, p jeantrail.Principal, req jeantrail.Request) (*jeantrail.Estimate, error) {
	if err := authorize(p, &req); err != nil {
		return nil, err
	}
	a, err := g.appraise(ctx, p, req, false)
	if err != nil {
		return nil, err
	}
	if a.stages != nil {
		return a.stages, nil
	}
	return &jeantrail.Estimate{
		Kind: a.request.Kind, Model: a.model, Bounds: a.bounds, Exact: a.bounds.Exact,
		Amount: a.estimate(), Least: ledger.Decide(nil, a.price, a.bounds).Least,
	}, nil
}

// foresee finds out what the jobs of a pipeline can cost.
func (a *proposal) foresee(ctx context.Context, p jeantrail.Principal) (err error) {
	pipeline, ok := a.work.(Estimator)
	if !ok {
		return nil
	}
	p.UserID = a.request.UserID // whose money its stages spend
	a.stages, err = pipeline.Estimate(ctx, p)
	return err
}

// fits looks whether the jobs of a pipeline have room in the budgets. Nothing is
// held for them: each is held to the budgets anew when its turn comes. But a
// pipeline that cannot come to its end is not begun.
func (a *proposal) fits(standings []jeantrail.BudgetStanding) error {
	if a.stages == nil {
		return nil
	}
	full := ledger.Short(standings, a.stages.Least)
	if full == nil {
		return nil
	}
	d := ledger.Decision{Need: a.stages.Amount, Least: a.stages.Least}
	return &refusal{told: budgetExceeded(full, d), standing: *full}
}
