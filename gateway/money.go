package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/policy"
)

// maySee refuses a principal that may not look at a user's money; "" is
// everybody's.
func maySee(p jeantrail.Principal, user string) error {
	if policy.CanSeeMoney(p, user) {
		return nil
	}
	return jeantrail.Errorf(jeantrail.CodeForbidden, "the key may not see the money of another user").
		WithHint("Leave user_id out, or use an admin key.")
}

// maySet refuses a principal that may not decide about money.
func maySet(p jeantrail.Principal) error {
	if policy.CanSetMoney(p) {
		return nil
	}
	return jeantrail.Errorf(jeantrail.CodeForbidden, "the role %q may not set budgets, rules or prices", p.Role).
		WithHint("Use an admin key.")
}

// whose says which user's rows a principal gets that asked for those of user:
// nil is all, which an administrator gets who named nobody.
func whose(p jeantrail.Principal, user string) (*string, error) {
	if user == "" && policy.CanSeeMoney(p, "") {
		return nil, nil
	}
	if user == "" {
		user = p.UserID
	}
	return &user, maySee(p, user)
}

// Budgets lists budgets with how they stand: those of a user and of everybody,
// or all if user is "" and the principal may see all.
func (g *Gateway) Budgets(ctx context.Context, p jeantrail.Principal, user string) ([]jeantrail.BudgetStanding, error) {
	of, err := whose(p, user)
	if err != nil {
		return nil, err
	}
	standings, err := g.opts.Store.Standings(ctx, of, g.now(), true)
	if err != nil {
		return nil, fmt.Errorf("list budgets: %w", err)
	}
	return standings, nil
}

// Budget returns how a budget stands. Everybody's may be seen by all.
func (g *Gateway) Budget(ctx context.Context, p jeantrail.Principal, id string) (*jeantrail.BudgetStanding, error) {
	s, err := g.opts.Store.Budget(ctx, id, g.now())
	if err != nil {
		return nil, err
	}
	if s.UserID != "" && !policy.CanSeeMoney(p, s.UserID) {
		return nil, noSuch("budget", id)
	}
	return s, nil
}

func noSuch(what, id string) *jeantrail.Error {
	return jeantrail.Errorf(jeantrail.CodeNotFound, "there is no %s %q", what, id).WithHint("GET /%ss lists those there are.", what)
}

// AddBudget keeps a new budget, which applies from the next request on.
func (g *Gateway) AddBudget(ctx context.Context, p jeantrail.Principal, b jeantrail.Budget) (*jeantrail.BudgetStanding, error) {
	if err := maySet(p); err != nil {
		return nil, err
	}
	if b.AlertThreshold == 0 {
		b.AlertThreshold = jeantrail.DefaultAlertThreshold
	}
	if err := b.Validate(); err != nil {
		return nil, err
	}
	var err error
	if b.ID, err = newID("budget"); err != nil {
		return nil, err
	}
	b.CreatedAt = g.now()
	if err := g.opts.Store.AddBudget(ctx, b); err != nil {
		return nil, fmt.Errorf("add budget: %w", err)
	}
	return g.Budget(ctx, p, b.ID)
}

func newID(what string) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an id for a %s: %w", what, err)
	}
	return id.String(), nil
}

// ChangeBudget changes a budget, which applies from the next request on. What is
// held already stays held.
func (g *Gateway) ChangeBudget(ctx context.Context, p jeantrail.Principal, id string, change func(*jeantrail.Budget) error) (*jeantrail.BudgetStanding, error) {
	if err := maySet(p); err != nil {
		return nil, err
	}
	err := g.opts.Store.ChangeBudget(ctx, id, func(b *jeantrail.Budget) error {
		if err := change(b); err != nil {
			return err
		}
		return b.Validate()
	})
	if err != nil {
		return nil, fmt.Errorf("change budget: %w", err)
	}
	return g.Budget(ctx, p, id)
}

// DeleteBudget removes a budget.
func (g *Gateway) DeleteBudget(ctx context.Context, p jeantrail.Principal, id string) error {
	if err := maySet(p); err != nil {
		return err
	}
	return g.opts.Store.DeleteBudget(ctx, id)
}

// Alerts lists the newest alerts first.
func (g *Gateway) Alerts(ctx context.Context, p jeantrail.Principal, user string, limit int) ([]jeantrail.Alert, error) {
	of, err := whose(p, user)
	if err != nil {
		return nil, err
	}
	return g.opts.Store.Alerts(ctx, of, limit)
}

// Rules lists rules in the order in which they are tried. Problem says which of
// them cannot be applied.
func (g *Gateway) Rules(ctx context.Context, p jeantrail.Principal, user string) ([]jeantrail.Rule, error) {
	of, err := whose(p, user)
	if err != nil {
		return nil, err
	}
	rules, err := g.opts.Store.Rules(ctx, of)
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	for i := range rules {
		rules[i].Problem = problemOf(&rules[i])
	}
	return rules, nil
}

func problemOf(r *jeantrail.Rule) string {
	if _, err := policy.ParseRule(r); err != nil {
		return jeantrail.AsError(err).Message
	}
	return ""
}

// Rule returns a rule. Everybody's may be seen by all.
func (g *Gateway) Rule(ctx context.Context, p jeantrail.Principal, id string) (*jeantrail.Rule, error) {
	r, err := g.opts.Store.Rule(ctx, id)
	if err != nil {
		return nil, err
	}
	if r.UserID != "" && !policy.CanSeeMoney(p, r.UserID) {
		return nil, noSuch("rule", id)
	}
	r.Problem = problemOf(r)
	return r, nil
}

// AddRule keeps a new rule, which applies from the next request on.
func (g *Gateway) AddRule(ctx context.Context, p jeantrail.Principal, r jeantrail.Rule) (*jeantrail.Rule, error) {
	if err := maySet(p); err != nil {
		return nil, err
	}
	if _, err := policy.ParseRule(&r); err != nil {
		return nil, err
	}
	var err error
	if r.ID, err = newID("rule"); err != nil {
		return nil, err
	}
	r.CreatedAt = g.now()
	if err := g.opts.Store.AddRule(ctx, r); err != nil {
		return nil, fmt.Errorf("add rule: %w", err)
	}
	return g.Rule(ctx, p, r.ID)
}

// ChangeRule changes a rule, which applies from the next request on.
func (g *Gateway) ChangeRule(ctx context.Context, p jeantrail.Principal, id string, change func(*jeantrail.Rule) error) (*jeantrail.Rule, error) {
	if err := maySet(p); err != nil {
		return nil, err
	}
	err := g.opts.Store.ChangeRule(ctx, id, func(r *jeantrail.Rule) error {
		if err := change(r); err != nil {
			return err
		}
		_, err := policy.ParseRule(r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("change rule: %w", err)
	}
	return g.Rule(ctx, p, id)
}

// DeleteRule removes a rule.
func (g *Gateway) DeleteRule(ctx context.Context, p jeantrail.Principal, id string) error {
	if err := maySet(p); err != nil {
		return err
	}
	return g.opts.Store.DeleteRule(ctx, id)
}

// TestRules explains what the rules make of a request, without running it, and
// what it can cost before and after. A candidate that is not kept yet is tried
// as the first of them.
func (g *Gateway) TestRules(ctx context.Context, p jeantrail.Principal, req jeantrail.Request, candidate *jeantrail.Rule) (*jeantrail.RuleReport, error) {
	if err := authorize(p, &req); err != nil {
		return nil, err
	}
	a := &proposal{request: req}
	a.job = jeantrail.Job{Kind: req.Kind, UserID: req.UserID, RequestedModel: req.Model, Request: req, CreatedAt: g.now()}
	if err := g.fillTemplate(&a.request); err != nil {
		return nil, err
	}
	if err := g.prepare(ctx, a); err != nil {
		return nil, err
	}
	rules, err := g.opts.Store.Rules(ctx, &req.UserID)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	if candidate != nil {
		if _, err := policy.ParseRule(candidate); err != nil {
			return nil, err
		}
		rules = append([]jeantrail.Rule{*candidate}, rules...)
	}
	return g.report(ctx, a, rules)
}

func (g *Gateway) report(ctx context.Context, a *proposal, rules []jeantrail.Rule) (*jeantrail.RuleReport, error) {
	facts, err := g.facts(ctx, a, true, false)
	if err != nil {
		return nil, err
	}
	report := &jeantrail.RuleReport{
		TaskType: facts.TaskType, Classified: a.request.TaskType == "",
		InputLength: int(facts.InputLength), InputTokens: int(facts.InputTokens),
		Before: termsOf(&a.request, a.model),
	}
	report.Before.Estimate = a.estimate()
	outcome := policy.Evaluate(rules, facts, report.Before, g.canonical(a.request.Kind))
	if err := g.changeTerms(ctx, a, outcome.Terms); err != nil {
		return nil, err
	}
	report.Trials, report.After = outcome.Trials, termsOf(&a.request, a.model)
	report.After.Estimate = a.estimate()
	return report, nil
}

// Prices lists what the units of every model cost now.
func (g *Gateway) Prices(ctx context.Context, _ jeantrail.Principal) ([]jeantrail.PriceEntry, error) {
	return g.opts.Store.Prices(ctx, g.now())
}

// SetPrice sets what a model's units cost from e.ValidFrom on; zero is now. Jobs
// that are admitted already keep their price.
func (g *Gateway) SetPrice(ctx context.Context, p jeantrail.Principal, e jeantrail.PriceEntry) (*jeantrail.PriceEntry, error) {
	if err := maySet(p); err != nil {
		return nil, err
	}
	if e.ValidFrom.IsZero() {
		e.ValidFrom = g.now()
	}
	e.ValidFrom = e.ValidFrom.UTC().Truncate(time.Millisecond)
	if err := e.Validate(); err != nil {
		return nil, err
	}
	if err := g.opts.Store.SetPrice(ctx, e); err != nil {
		return nil, fmt.Errorf("set price: %w", err)
	}
	return &e, nil
}

// Costs sums finished jobs up by a group.
func (g *Gateway) Costs(ctx context.Context, p jeantrail.Principal, by jeantrail.CostGroup, f jeantrail.StatisticsFilter) ([]jeantrail.CostRow, error) {
	if err := restrict(p, &f); err != nil {
		return nil, err
	}
	return g.opts.Store.Costs(ctx, by, f)
}

// Usage returns the statistics by hour, oldest first.
func (g *Gateway) Usage(ctx context.Context, p jeantrail.Principal, f jeantrail.StatisticsFilter) ([]jeantrail.UsageRow, error) {
	if err := restrict(p, &f); err != nil {
		return nil, err
	}
	return g.opts.Store.Usage(ctx, f)
}

// VerifyCosts holds all that is said twice about money against each other, and
// returns a sentence for each difference. With rebuild it then makes the
// statistics anew from the costs. It is for administrators.
func (g *Gateway) VerifyCosts(ctx context.Context, p jeantrail.Principal, rebuild bool) ([]string, error) {
	if err := maySet(p); err != nil {
		return nil, err
	}
	found, err := g.opts.Store.Audit(ctx)
	if err != nil {
		return nil, fmt.Errorf("verify costs: %w", err)
	}
	if rebuild {
		if _, err := g.opts.Store.RebuildStatistics(ctx); err != nil {
			return nil, fmt.Errorf("rebuild statistics: %w", err)
		}
	}
	return found, nil
}

// restrict narrows statistics to what the principal may see.
func restrict(p jeantrail.Principal, f *jeantrail.StatisticsFilter) error {
	of, err := whose(p, f.UserID)
	if err == nil && of != nil {
		f.UserID = *of
	}
	return err
}

// Templates lists the prompt templates.
func (g *Gateway) Templates() []jeantrail.Template { return g.opts.Templates.Templates() }

// Template returns a prompt template, or not_found.
func (g *Gateway) Template(name string) (*jeantrail.Template, error) {
	return g.opts.Templates.Template(name)
}

// RenderTemplate fills a template's variables.
func (g *Gateway) RenderTemplate(name string, variables map[string]any) (*jeantrail.RenderedTemplate, error) {
	return g.opts.Templates.Render(name, variables)
}
