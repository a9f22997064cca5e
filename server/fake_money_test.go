package server

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
)

// fakeMoney is a Money in memory. It remembers what it was asked last, and
// answers everything with err if that is set.
type fakeMoney struct {
	mu      sync.Mutex
	err     error
	who     jeantrail.Principal
	user    string
	limit   int
	by      jeantrail.CostGroup
	filter  jeantrail.StatisticsFilter
	tested  jeantrail.Request
	rebuild bool

	budgets     []jeantrail.BudgetStanding
	rules       []jeantrail.Rule
	candidate   *jeantrail.Rule
	prices      []jeantrail.PriceEntry
	alerts      []jeantrail.Alert
	report      jeantrail.RuleReport
	costs       []jeantrail.CostRow
	usage       []jeantrail.UsageRow
	templates   []jeantrail.Template
	variables   map[string]any
	differences []string

	watchers map[chan jeantrail.Alert]jeantrail.Principal
	watched  chan chan jeantrail.Alert // each new watcher
}

func newFakeMoney() *fakeMoney {
	return &fakeMoney{watchers: map[chan jeantrail.Alert]jeantrail.Principal{}, watched: make(chan chan jeantrail.Alert, 1024)}
}

// asked notes who asks, and returns what every answer is then.
func (f *fakeMoney) asked(p jeantrail.Principal) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.who = p
	return f.err
}

func noSuch(thing, id string) error {
	return jeantrail.Errorf(jeantrail.CodeNotFound, "there is no %s %q", thing, id)
}

func (f *fakeMoney) Budgets(_ context.Context, p jeantrail.Principal, user string) ([]jeantrail.BudgetStanding, error) {
	err := f.asked(p)
	f.user = user
	return f.budgets, err
}

func (f *fakeMoney) budget(id string) int {
	return slices.IndexFunc(f.budgets, func(b jeantrail.BudgetStanding) bool { return b.ID == id })
}

func (f *fakeMoney) Budget(_ context.Context, p jeantrail.Principal, id string) (*jeantrail.BudgetStanding, error) {
	if err := f.asked(p); err != nil {
		return nil, err
	}
	i := f.budget(id)
	if i < 0 {
		return nil, noSuch("budget", id)
	}
	return &f.budgets[i], nil
}

func (f *fakeMoney) AddBudget(_ context.Context, p jeantrail.Principal, b jeantrail.Budget) (*jeantrail.BudgetStanding, error) {
	if err := f.asked(p); err != nil {
		return nil, err
	}
	b.ID, b.CreatedAt = fmt.Sprintf("budget-%d", len(f.budgets)+1), epoch()
	window, _ := b.Window(epoch())
	f.budgets = append(f.budgets, jeantrail.BudgetStanding{Budget: b, Window: window})
	return &f.budgets[len(f.budgets)-1], nil
}

func (f *fakeMoney) ChangeBudget(_ context.Context, p jeantrail.Principal, id string, change func(*jeantrail.Budget) error) (*jeantrail.BudgetStanding, error) {
	if err := f.asked(p); err != nil {
		return nil, err
	}
	i := f.budget(id)
	if i < 0 {
		return nil, noSuch("budget", id)
	}
	changed := f.budgets[i]
	if err := change(&changed.Budget); err != nil {
		return nil, err
	}
	f.budgets[i] = changed
	return &changed, nil
}

func (f *fakeMoney) DeleteBudget(_ context.Context, p jeantrail.Principal, id string) error {
	if err := f.asked(p); err != nil {
		return err
	}
	i := f.budget(id)
	if i < 0 {
		return noSuch("budget", id)
	}
	f.budgets = slices.Delete(f.budgets, i, i+1)
	return nil
}

func (f *fakeMoney) Alerts(_ context.Context, p jeantrail.Principal, user string, limit int) ([]jeantrail.Alert, error) {
	err := f.asked(p)
	f.user, f.limit = user, limit
	return f.alerts, err
}

func (f *fakeMoney) WatchAlerts(p jeantrail.Principal) (<-chan jeantrail.Alert, func()) {
	ch := make(chan jeantrail.Alert, 16)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers[ch] = p
	f.watched <- ch
	return ch, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, ch)
	}
}

func (f *fakeMoney) watching() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.watchers)
}

func (f *fakeMoney) Rules(_ context.Context, p jeantrail.Principal, user string) ([]jeantrail.Rule, error) {
	err := f.asked(p)
	f.user = user
	return f.rules, err
}

func (f *fakeMoney) rule(id string) int {
	return slices.IndexFunc(f.rules, func(r jeantrail.Rule) bool { return r.ID == id })
}

func (f *fakeMoney) Rule(_ context.Context, p jeantrail.Principal, id string) (*jeantrail.Rule, error) {
	if err := f.asked(p); err != nil {
		return nil, err
	}
	i := f.rule(id)
	if i < 0 {
		return nil, noSuch("rule", id)
	}
	return &f.rules[i], nil
}

func (f *fakeMoney) AddRule(_ context.Context, p jeantrail.Principal, r jeantrail.Rule) (*jeantrail.Rule, error) {
	if err := f.asked(p); err != nil {
		return nil, err
	}
	r.ID, r.CreatedAt = fmt.Sprintf("rule-%d", len(f.rules)+1), epoch()
	f.rules = append(f.rules, r)
	return &r, nil
}

func (f *fakeMoney) ChangeRule(_ context.Context, p jeantrail.Principal, id string, change func(*jeantrail.Rule) error) (*jeantrail.Rule, error) {
	if err := f.asked(p); err != nil {
		return nil, err
	}
	i := f.rule(id)
	if i < 0 {
		return nil, noSuch("rule", id)
	}
	changed := f.rules[i]
	if err := change(&changed); err != nil {
		return nil, err
	}
	f.rules[i] = changed
	return &changed, nil
}

func (f *fakeMoney) DeleteRule(_ context.Context, p jeantrail.Principal, id string) error {
	if err := f.asked(p); err != nil {
		return err
	}
	i := f.rule(id)
	if i < 0 {
		return noSuch("rule", id)
	}
	f.rules = slices.Delete(f.rules, i, i+1)
	return nil
}

func (f *fakeMoney) TestRules(_ context.Context, p jeantrail.Principal, req jeantrail.Request, candidate *jeantrail.Rule) (*jeantrail.RuleReport, error) {
	if err := f.asked(p); err != nil {
		return nil, err
	}
	f.tested, f.candidate = req, candidate
	return &f.report, nil
}

func (f *fakeMoney) Prices(_ context.Context, p jeantrail.Principal) ([]jeantrail.PriceEntry, error) {
	return f.prices, f.asked(p)
}

func (f *fakeMoney) SetPrice(_ context.Context, p jeantrail.Principal, e jeantrail.PriceEntry) (*jeantrail.PriceEntry, error) {
	if err := f.asked(p); err != nil {
		return nil, err
	}
	if e.ValidFrom.IsZero() {
		e.ValidFrom = epoch()
	}
	f.prices = append(f.prices, e)
	return &e, nil
}

func (f *fakeMoney) Costs(_ context.Context, p jeantrail.Principal, by jeantrail.CostGroup, filter jeantrail.StatisticsFilter) ([]jeantrail.CostRow, error) {
	err := f.asked(p)
	f.by, f.filter = by, filter
	return f.costs, err
}

func (f *fakeMoney) VerifyCosts(_ context.Context, p jeantrail.Principal, rebuild bool) ([]string, error) {
	err := f.asked(p)
	f.rebuild = rebuild
	return f.differences, err
}

func (f *fakeMoney) Usage(_ context.Context, p jeantrail.Principal, filter jeantrail.StatisticsFilter) ([]jeantrail.UsageRow, error) {
	err := f.asked(p)
	f.filter = filter
	return f.usage, err
}

func (f *fakeMoney) Templates() []jeantrail.Template { return f.templates }

func (f *fakeMoney) Template(name string) (*jeantrail.Template, error) {
	i := slices.IndexFunc(f.templates, func(t jeantrail.Template) bool { return t.Name == name })
	if i < 0 {
		return nil, noSuch("template", name)
	}
	return &f.templates[i], nil
}

func (f *fakeMoney) RenderTemplate(name string, variables map[string]any) (*jeantrail.RenderedTemplate, error) {
	t, err := f.Template(name)
	if err != nil {
		return nil, err
	}
	f.variables = variables
	return &jeantrail.RenderedTemplate{Name: t.Name, Version: t.Version, Kind: t.Kind, System: t.System, Prompt: "the prompt"}, nil
}
