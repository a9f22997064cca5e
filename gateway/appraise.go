package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/ledger"
	"github.com/jeantrail/jeantrail-ai/gateway/policy"
	"github.com/jeantrail/jeantrail-ai/gateway/prompt"
)

// proposal is a request on its way to become a job: what would run, at which
// price, and what the rules and the result cache made of it.
type proposal struct {
	job jeantrail.Job // Request is as it was asked, the rest as it would run

	request jeantrail.Request // as it would run
	model   string
	backend Backend
	work    Work
	price   jeantrail.Price
	bounds  jeantrail.Bounds

	stages       *jeantrail.Estimate // what the jobs of a pipeline can cost; nil for any other job
	cacheUse     jeantrail.CacheUse
	cacheKey     []byte // set if the result is to be kept
	rulesApplied []string
	rulesSkipped []string
	toldRoom     bool // rules asked about the budgets and were told that there is room
}

// appraise finds who does the work and what it can cost at most. With short the
// rules are told that the request does not fit a budget, whatever the budgets
// say at this moment.
func (g *Gateway) appraise(ctx context.Context, p jeantrail.Principal, req jeantrail.Request, short bool) (*proposal, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make job id: %w", err)
	}
	a := &proposal{request: req}
	a.job = jeantrail.Job{
		ID: id.String(), Kind: req.Kind, UserID: req.UserID, KeyID: p.KeyID, State: jeantrail.StateQueued,
		RequestedModel: req.Model, Async: req.Async, Request: req, CreatedAt: g.now(), LastSeq: 1,
	}
	if err := g.fillTemplate(&a.request); err != nil {
		return nil, err
	}
	if err := g.prepare(ctx, a); err != nil {
		return nil, err
	}
	if err := g.applyRules(ctx, a, short); err != nil {
		return nil, err
	}
	if err := g.lookUp(ctx, a); err != nil {
		return nil, err
	}
	if err := a.foresee(ctx, p); err != nil {
		return nil, err
	}
	a.job.Model, a.job.Price, a.job.Priority = a.model, a.price, a.request.Priority
	if a.estimate() == jeantrail.MaxMoney {
		return nil, jeantrail.Errorf(jeantrail.CodeBudgetExceeded, "the request could cost more than can be counted").
			WithHint("Lower max_tokens, or correct the price of model %s.", a.model)
	}
	return a, nil
}

// estimate is the most that the proposal can cost.
func (a *proposal) estimate() jeantrail.Money { return ledger.Estimate(a.price, a.bounds) }

// fillTemplate turns a request that names a template into one with a prompt.
func (g *Gateway) fillTemplate(req *jeantrail.Request) error {
	if req.Template == "" {
		return nil
	}
	t, err := g.opts.Templates.Template(req.Template)
	if err != nil {
		return err
	}
	own := promptOf(req)
	if t.Kind != req.Kind || own == nil {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the template %q is for requests of kind %s, this one is of kind %s", t.Name, t.Kind, req.Kind)
	}
	variables, err := prompt.Fill(t, req.Variables, *own)
	if err != nil {
		return err
	}
	rendered, err := g.opts.Templates.Render(t.Name, variables)
	if err != nil {
		return err
	}
	if req.Text == nil {
		*own = rendered.Prompt
		return req.Validate()
	}
	*own = ""
	if err := prompt.Apply(rendered, req.Text); err != nil {
		return err
	}
	return req.Validate()
}

// promptOf returns the text of a request that a template may make, nil if its
// kind has none. It belongs to a copy: the request as it was asked stays as it is.
func promptOf(req *jeantrail.Request) *string {
	switch {
	case req.Text != nil:
		text := *req.Text
		req.Text = &text
		return &text.Prompt
	case req.Image != nil:
		image := *req.Image
		req.Image = &image
		return &image.Prompt
	case req.Speak != nil:
		speak := *req.Speak
		req.Speak = &speak
		return &speak.Text
	default:
		return nil
	}
}

// prepare resolves the model, lets its backend read the request, and prices it.
func (g *Gateway) prepare(ctx context.Context, a *proposal) (err error) {
	name := a.request.Model
	if name == "" && a.request.Text != nil && len(a.request.Text.Images) > 0 {
		name = VisionModel
	}
	if a.model, a.backend, err = g.opts.Models.Resolve(a.request.Kind, name); err != nil {
		return fmt.Errorf("resolve model: %w", err)
	}
	if a.work, err = a.backend.Prepare(ctx, &a.request); err != nil {
		return fmt.Errorf("measure request: %w", err)
	}
	a.bounds = a.work.Bounds()
	if a.price, err = g.opts.Store.Price(ctx, a.model, a.request.Kind, a.job.CreatedAt); err != nil {
		return fmt.Errorf("price request: %w", err)
	}
	return nil
}

// applyRules lets the optimisation rules change the request, and prepares it
// anew if they did.
func (g *Gateway) applyRules(ctx context.Context, a *proposal, short bool) error {
	rules, err := g.opts.Store.Rules(ctx, &a.request.UserID)
	if err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	if len(rules) == 0 {
		return nil
	}
	book := g.read(rules)
	facts, err := g.facts(ctx, a, book.AskBudgets(), short)
	if err != nil {
		return err
	}
	a.toldRoom = book.AskBudgets() && !facts.BudgetShort
	outcome := book.Evaluate(facts, termsOf(&a.request, a.model), g.canonical(a.request.Kind))
	a.rulesApplied, a.rulesSkipped = outcome.Applied, outcome.Skipped
	for _, s := range outcome.Skipped {
		g.opts.Logger.Warn("an optimisation rule could not be applied", "rule", s)
	}
	if len(outcome.Applied) == 0 {
		return nil
	}
	return g.changeTerms(ctx, a, outcome.Terms)
}

// changeTerms prepares the request anew with other terms. An answer whose length
// the caller left open stays so: a rule's limit never makes it longer than the
// configured one, and a budget may still shorten it.
func (g *Gateway) changeTerms(ctx context.Context, a *proposal, terms jeantrail.RuleTerms) error {
	open := a.bounds.Open
	if open && terms.MaxTokens != nil {
		least := min(*terms.MaxTokens, a.bounds.CompletionTokens)
		terms.MaxTokens = &least
	}
	setTerms(&a.request, terms)
	if err := g.prepare(ctx, a); err != nil {
		return err
	}
	a.bounds.Open = a.bounds.Open || open
	return nil
}

// read returns the rules ready to be tried. Rows are read from the store at
// every request, so that one that was written by hand counts at once; parsing
// them again is only needed when they have changed.
func (g *Gateway) read(rows []jeantrail.Rule) *policy.Rules {
	if known := g.rules.Load(); known != nil && known.Are(rows) {
		return known
	}
	rules := policy.ReadRules(rows)
	g.rules.Store(rules)
	return rules
}

// canonical returns what resolves a model's name for the rules.
func (g *Gateway) canonical(kind jeantrail.Kind) func(string) (string, error) {
	return func(name string) (string, error) {
		model, _, err := g.opts.Models.Resolve(kind, name)
		return model, err
	}
}

// facts are what the rules may ask about a request. How budgets stand is only
// looked up if they do ask.
func (g *Gateway) facts(ctx context.Context, a *proposal, budgets, short bool) (policy.Facts, error) {
	var standings []jeantrail.BudgetStanding
	if budgets {
		var err error
		if standings, err = g.opts.Store.Standings(ctx, &a.request.UserID, a.job.CreatedAt, false); err != nil {
			return policy.Facts{}, fmt.Errorf("read budgets: %w", err)
		}
	}
	decision := ledger.Decide(standings, a.price, a.bounds)
	text := inputOf(&a.request)
	f := policy.Facts{
		InputLength: int64(utf8.RuneCountInString(text)), InputTokens: int64(a.bounds.PromptTokens),
		TaskType: a.request.TaskType, Model: a.model, RequestedModel: a.job.RequestedModel,
		User: a.request.UserID, Kind: a.request.Kind,
		Hour: a.job.CreatedAt.Hour(), Weekday: int(a.job.CreatedAt.Weekday()), Metadata: a.request.Metadata,
		BudgetShort: short || decision.Refused != nil || decision.Hold < decision.Need,
	}
	f.BudgetUsedPercent, f.HasBudget = ledger.Used(standings)
	if g.opts.Speed != nil {
		f.TokensPerSecond, f.Measured = g.opts.Speed(a.model)
	}
	if f.TaskType == "" {
		f.TaskType = policy.Classify(text)
	}
	return f, nil
}

// inputOf is the caller's own text: what the length of a request is measured by.
func inputOf(req *jeantrail.Request) string {
	t := req.Text
	switch {
	case req.Image != nil:
		return req.Image.Prompt
	case req.Speak != nil:
		return req.Speak.Text
	case t == nil:
		return ""
	case len(t.Messages) == 0:
		return t.Prompt
	}
	for i := len(t.Messages) - 1; i >= 0; i-- {
		if t.Messages[i].Role == "user" {
			return t.Messages[i].Content
		}
	}
	return ""
}

// termsOf is what rules can change in a request.
func termsOf(req *jeantrail.Request, model string) jeantrail.RuleTerms {
	terms := jeantrail.RuleTerms{Model: model, Priority: req.Priority, Cache: req.Cache}
	if t := req.Text; t != nil {
		terms.Temperature, terms.MaxTokens, terms.Thinking = t.Temperature, t.MaxTokens, t.Thinking
	}
	return terms
}

func setTerms(req *jeantrail.Request, terms jeantrail.RuleTerms) {
	req.Model, req.Priority, req.Cache = terms.Model, terms.Priority, terms.Cache
	if req.Text == nil {
		return
	}
	text := *req.Text
	text.Temperature, text.MaxTokens, text.Thinking = terms.Temperature, terms.MaxTokens, terms.Thinking
	req.Text = &text
}

// budgetExceeded is the refusal of a budget, with its numbers. What is needed is
// the least that would let the request run.
func budgetExceeded(s *jeantrail.BudgetStanding, d ledger.Decision) *jeantrail.Error {
	whose := "everybody's"
	if s.UserID != "" {
		whose = "the user's"
	}
	cost := "can cost up to"
	if d.Least < d.Need {
		cost = "costs, with a short answer, up to"
	}
	e := jeantrail.Errorf(jeantrail.CodeBudgetExceeded, "the request %s %s, %s %s budget of %s has %s left",
		cost, d.Least, whose, s.Type, s.Limit(), s.Remaining())
	remedies := []string{"raise the budget"}
	if d.Least == d.Need {
		remedies = append([]string{"lower max_tokens"}, remedies...)
	}
	if end := s.Window.End; !end.IsZero() {
		remedies = append(remedies, "wait until "+end.Format(time.RFC3339))
	}
	hint := strings.Join(remedies, ", or ")
	return e.WithHint("%s.", strings.ToUpper(hint[:1])+hint[1:]).WithName("budget_id", s.ID).
		WithNumber("limit_micros", int64(s.Limit())).WithNumber("spent_micros", int64(s.Spent)).
		WithNumber("reserved_micros", int64(s.Reserved)).WithNumber("needed_micros", int64(d.Least))
}

// refusal is the budget that stopped an admission, behind its error.
type refusal struct {
	told     *jeantrail.Error
	standing jeantrail.BudgetStanding
	toldRoom bool // as in the proposal
}

// Error implements error.
func (r *refusal) Error() string { return r.told.Error() }

// Unwrap returns what the caller is told.
func (r *refusal) Unwrap() error { return r.told }

// refusedBy returns the refusal of an admission, nil for any other error.
func refusedBy(err error) *refusal {
	var r *refusal
	errors.As(err, &r)
	return r
}
