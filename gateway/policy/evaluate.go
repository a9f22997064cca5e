package policy

import (
	"slices"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// Outcome is what rules make of a request.
type Outcome struct {
	// Terms are those that the request runs under. Their estimate is still that
	// of the terms before: the ledger counts, not the rules.
	Terms   jeantrail.RuleTerms
	Trials  []jeantrail.RuleTrial // every enabled rule that is about the user, in order
	Applied []string              // names of rules, in the order in which they were applied
	// Skipped are the rules that held but could not be applied, or could not be
	// read, each as "name: reason".
	Skipped []string
}

// Evaluate tries rules on a request in the order in which they are given. Rules
// that are not enabled, or are about another user, are left out. The first that
// is applied ends the search, unless its actions say chain.
//
// A rule that cannot be read or applied changes nothing, and the search goes on:
// a mistake in a rule, or a model that is gone, must not stop the work. resolve
// returns the name of the model that a name in a rule stands for, or the error
// why it cannot answer this request; the error's message is the reason that the
// owner of the rule is shown.
//
// A rule that holds is applied also if everything was already as it wants. Terms
// that are nil were not asked for: a rule's max_tokens then becomes the limit.
func Evaluate(rules []jeantrail.Rule, facts Facts, terms jeantrail.RuleTerms, resolve func(model string) (canonical string, err error)) Outcome {
	read := func(i int) (*Rule, error) { return sound(&rules[i]) }
	return evaluate(rules, read, facts, terms, resolve)
}

// Rules are rules that were read once, to be tried on many requests: reading
// one costs more than trying it. They never change; any goroutine may use them.
type Rules struct {
	rows []jeantrail.Rule
	read []readRule
}

type readRule struct {
	rule *Rule
	err  error
}

// ReadRules reads rules for Rules.Evaluate. One that cannot be read is among
// them, with the reason.
func ReadRules(rows []jeantrail.Rule) *Rules {
	r := &Rules{rows: slices.Clone(rows), read: make([]readRule, len(rows))}
	for i := range rows {
		r.read[i].rule, r.read[i].err = sound(&r.rows[i])
	}
	return r
}

// Are reports whether these are the rows that the rules were read from, so that
// they need not be read again.
func (r *Rules) Are(rows []jeantrail.Rule) bool { return slices.Equal(r.rows, rows) }

// AskBudgets reports whether one of the rules asks how budgets stand. Without
// such a rule nobody needs to look.
func (r *Rules) AskBudgets() bool {
	return slices.ContainsFunc(r.read, func(rule readRule) bool {
		return rule.err == nil && slices.ContainsFunc(rule.rule.conditions, func(c condition) bool {
			return strings.HasPrefix(c.name, "budget_")
		})
	})
}

// Evaluate is Evaluate of the rows that the rules were read from.
func (r *Rules) Evaluate(facts Facts, terms jeantrail.RuleTerms, resolve func(model string) (canonical string, err error)) Outcome {
	read := func(i int) (*Rule, error) { return r.read[i].rule, r.read[i].err }
	return evaluate(r.rows, read, facts, terms, resolve)
}

func evaluate(rows []jeantrail.Rule, read func(int) (*Rule, error), facts Facts, terms jeantrail.RuleTerms, resolve func(string) (string, error)) Outcome {
	out := Outcome{Terms: terms}
	ended := false
	for i := range rows {
		if r := &rows[i]; !r.Enabled || r.UserID != "" && r.UserID != facts.User {
			continue
		}
		trial := jeantrail.RuleTrial{Rule: rows[i]}
		if !ended {
			rule, err := read(i)
			ended = out.try(&trial, rule, err, &facts, resolve)
		}
		out.Trials = append(out.Trials, trial)
	}
	return out
}

// sound reads a rule, unless whoever read the row has already found it wrong.
func sound(r *jeantrail.Rule) (*Rule, error) {
	if r.Problem != "" {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "%s", r.Problem)
	}
	return ParseRule(r)
}

// try tries one rule, or notes why it could not be read, and reports whether it
// ends the search.
func (o *Outcome) try(trial *jeantrail.RuleTrial, rule *Rule, err error, facts *Facts, resolve func(string) (string, error)) (ends bool) {
	trial.Tried = true
	if err != nil {
		trial.Rule.Problem = jeantrail.AsError(err).Message
		o.skip(trial, trial.Rule.Problem)
		return false
	}
	trial.Checks, trial.Held = rule.Check(facts)
	if !trial.Held {
		return false
	}
	a := &rule.actions
	if name := a.aboutText(); name != "" && facts.Kind != jeantrail.KindText {
		o.skip(trial, name+" is for text, and the request is of kind "+string(facts.Kind))
		return false
	}
	if a.model != "" {
		canonical, err := resolve(a.model)
		if err != nil {
			o.skip(trial, jeantrail.AsError(err).Message)
			return false
		}
		facts.Model, facts.RequestedModel = canonical, a.model
		o.Terms.Model = canonical
	}
	a.apply(&o.Terms)
	trial.Applied = true
	o.Applied = append(o.Applied, trial.Rule.Name)
	return !a.chain
}

func (o *Outcome) skip(trial *jeantrail.RuleTrial, reason string) {
	trial.Skipped = reason
	o.Skipped = append(o.Skipped, shorten(trial.Rule.Name, jeantrail.MaxNameBytes)+": "+reason)
}

// aboutText names the first action that only a text request has a term for, ""
// if there is none.
func (a *actions) aboutText() string {
	switch {
	case a.maxTokens != nil:
		return "max_tokens"
	case a.temperature != nil:
		return "temperature"
	case a.thinking != nil:
		return "thinking"
	default:
		return ""
	}
}

// apply changes the terms, except for the model. What the terms pointed at
// stays as it is, since it is the request's own.
func (a *actions) apply(t *jeantrail.RuleTerms) {
	if a.temperature != nil {
		t.Temperature = new(*a.temperature)
	}
	if a.maxTokens != nil && (t.MaxTokens == nil || *t.MaxTokens > *a.maxTokens) {
		t.MaxTokens = new(*a.maxTokens)
	}
	if a.thinking != nil {
		t.Thinking = *a.thinking
	}
	if a.priority != "" {
		t.Priority = a.priority
	}
	if a.cache != nil {
		t.Cache = new(*a.cache)
	}
}
