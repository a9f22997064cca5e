package policy_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/policy"
)

// resolve knows the models of these tests.
func resolve(model string) (string, error) {
	switch model {
	case "qwen-3-32b", "small":
		return model, nil
	case "mini":
		return "small", nil
	case "broken":
		return "", errors.New("open /somewhere: permission denied")
	default:
		return "", jeantrail.Errorf(jeantrail.CodeNotFound, "there is no model %q", model)
	}
}

func named(name, conditions, actions string) jeantrail.Rule {
	r := newRule(conditions, actions)
	r.Name = name
	return *r
}

// The integration guide's rule, in its own words.
func TestRuleOfTheGuide(t *testing.T) {
	rule := named("model_selection", `{"input_length": "<100", "task_type": "simple"}`, `{"model": "qwen-3-32b", "temperature": 0.5}`)
	rule.UserID = "user123"
	facts := policy.Facts{
		InputLength: 30, TaskType: policy.Classify("What is the capital of France?"), Model: "big", User: "user123", Kind: jeantrail.KindText,
	}
	before := jeantrail.RuleTerms{Model: "big", Temperature: new(1.0), MaxTokens: new(64), Thinking: true, Priority: jeantrail.PriorityBatch, Estimate: 77}

	out := policy.Evaluate([]jeantrail.Rule{rule}, facts, before, resolve)
	want := before
	want.Model, want.Temperature = "qwen-3-32b", new(0.5)
	if !reflect.DeepEqual(out.Terms, want) {
		t.Errorf("terms are %+v, want %+v", out.Terms, want)
	}
	if !slices.Equal(out.Applied, []string{"model_selection"}) || len(out.Skipped) != 0 {
		t.Errorf("applied %q, skipped %q", out.Applied, out.Skipped)
	}
	trial := jeantrail.RuleTrial{Rule: rule, Held: true, Tried: true, Applied: true, Checks: []jeantrail.RuleCheck{
		{Condition: "input_length", Want: "<100", Got: "30", Held: true},
		{Condition: "task_type", Want: "simple", Got: "simple", Held: true},
	}}
	if !reflect.DeepEqual(out.Trials, []jeantrail.RuleTrial{trial}) {
		t.Errorf("trials are %+v, want %+v", out.Trials, trial)
	}

	facts.InputLength = 100
	if out = policy.Evaluate([]jeantrail.Rule{rule}, facts, before, resolve); !reflect.DeepEqual(out.Terms, before) || len(out.Applied) != 0 {
		t.Errorf("at 100 characters: %+v", out)
	}
	if *before.Temperature != 1 {
		t.Errorf("the request's own temperature became %v", *before.Temperature)
	}
}

func TestActions(t *testing.T) {
	asked := jeantrail.RuleTerms{Model: "big", Temperature: new(1.0), MaxTokens: new(100), Cache: new(true), Priority: jeantrail.PriorityInteractive}
	tests := []struct {
		actions string
		before  jeantrail.RuleTerms
		change  func(*jeantrail.RuleTerms)
	}{
		{`{"model": "mini"}`, asked, func(t *jeantrail.RuleTerms) { t.Model = "small" }},
		{`{"temperature": 0}`, asked, func(t *jeantrail.RuleTerms) { t.Temperature = new(0.0) }},
		{`{"temperature": 10}`, jeantrail.RuleTerms{}, func(t *jeantrail.RuleTerms) { t.Temperature = new(10.0) }},
		{`{"max_tokens": 50}`, asked, func(t *jeantrail.RuleTerms) { t.MaxTokens = new(50) }},
		{`{"max_tokens": 101}`, asked, func(*jeantrail.RuleTerms) {}},
		{`{"max_tokens": 50}`, jeantrail.RuleTerms{}, func(t *jeantrail.RuleTerms) { t.MaxTokens = new(50) }},
		{`{"thinking": true}`, asked, func(t *jeantrail.RuleTerms) { t.Thinking = true }},
		{`{"thinking": false}`, jeantrail.RuleTerms{Thinking: true}, func(t *jeantrail.RuleTerms) { t.Thinking = false }},
		{`{"priority": "background"}`, asked, func(t *jeantrail.RuleTerms) { t.Priority = jeantrail.PriorityBackground }},
		{`{"cache": false}`, asked, func(t *jeantrail.RuleTerms) { t.Cache = new(false) }},
		{`{"cache": true}`, jeantrail.RuleTerms{}, func(t *jeantrail.RuleTerms) { t.Cache = new(true) }},
		{`{"model": "small", "temperature": 0.25, "max_tokens": 7, "thinking": true, "priority": "batch", "cache": false, "chain": true}`, asked,
			func(t *jeantrail.RuleTerms) {
				*t = jeantrail.RuleTerms{Model: "small", Temperature: new(0.25), MaxTokens: new(7), Thinking: true,
					Priority: jeantrail.PriorityBatch, Cache: new(false)}
			}},
	}
	for _, tt := range tests {
		want := tt.before
		tt.change(&want)
		out := policy.Evaluate([]jeantrail.Rule{named("r", `{}`, tt.actions)}, noon(), tt.before, resolve)
		if !reflect.DeepEqual(out.Terms, want) || !slices.Equal(out.Applied, []string{"r"}) {
			t.Errorf("%s: %+v, applied %q, want %+v", tt.actions, out.Terms, out.Applied, want)
		}
	}
	if *asked.Temperature != 1 || *asked.MaxTokens != 100 || !*asked.Cache {
		t.Error("the terms that were given have changed")
	}
}

func TestEvaluateSearch(t *testing.T) {
	const chained = `{"max_tokens": 50, "chain": true}`
	off := named("off", `{}`, anyAction)
	off.Enabled = false
	bobs := named("bob's", `{}`, anyAction)
	bobs.UserID = "bob"
	anns := named("ann's", `{}`, anyAction)
	anns.UserID = "ann"
	found := named("found", `{}`, anyAction)
	found.Problem = "the row has no position"
	tests := []struct {
		name    string
		rules   []jeantrail.Rule
		trials  string // held, tried, applied, skipped of each rule, by letters
		applied []string
		skipped []string
		model   string
	}{
		{"none", nil, "", nil, nil, "qwen-3-32b"},
		{"the first that is applied ends the search",
			[]jeantrail.Rule{named("a", `{"user": "bob"}`, anyAction), named("b", `{}`, `{"model": "small"}`), named("c", `{}`, anyAction)},
			"a:t b:hta c:", []string{"b"}, nil, "small"},
		{"a chain goes on", []jeantrail.Rule{named("a", `{}`, chained), named("b", `{}`, chained), named("c", `{}`, anyAction), named("d", `{}`, anyAction)},
			"a:hta b:hta c:hta d:", []string{"a", "b", "c"}, nil, "qwen-3-32b"},
		{"chain false is no chain", []jeantrail.Rule{named("a", `{}`, `{"cache": true, "chain": false}`), named("b", `{}`, anyAction)},
			"a:hta b:", []string{"a"}, nil, "qwen-3-32b"},
		{"left out", []jeantrail.Rule{off, bobs, anns}, "ann's:hta", []string{"ann's"}, nil, "qwen-3-32b"},
		{"a rule that cannot be read", []jeantrail.Rule{named("a", `{"usr": "ann"}`, anyAction), named("b", `{}`, anyAction)},
			"a:ts b:hta", []string{"b"}, []string{"a: conditions.usr is not a condition"}, "qwen-3-32b"},
		{"a row that was found wrong", []jeantrail.Rule{found, named("b", `{}`, anyAction)},
			"found:ts b:hta", []string{"b"}, []string{"found: the row has no position"}, "qwen-3-32b"},
		{"a model that is gone", []jeantrail.Rule{named("a", `{}`, `{"model": "gone", "priority": "batch"}`), named("b", `{}`, `{"model": "mini"}`)},
			"a:hts b:hta", []string{"b"}, []string{`a: there is no model "gone"`}, "small"},
		{"an error that is nobody's business", []jeantrail.Rule{named("a", `{}`, `{"model": "broken"}`)},
			"a:hts", nil, []string{"a: internal error"}, "qwen-3-32b"},
		{"the end is not read", []jeantrail.Rule{named("a", `{}`, anyAction), named("b", `{"usr": "ann"}`, anyAction)},
			"a:hta b:", []string{"a"}, nil, "qwen-3-32b"},
		{"later rules see the changed model",
			[]jeantrail.Rule{named("a", `{"model": "big"}`, `{"model": "mini", "chain": true}`), named("b", `{"model": ["big", "qwen*"]}`, anyAction),
				named("c", `{"model": "small"}`, chained), named("d", `{"model": "mini"}`, chained)},
			"a:hta b:t c:hta d:hta", []string{"a", "c", "d"}, nil, "small"},
		{"a model that is gone changes no fact",
			[]jeantrail.Rule{named("a", `{}`, `{"model": "gone", "chain": true}`), named("b", `{"model": "big"}`, anyAction)},
			"a:hts b:hta", []string{"b"}, []string{`a: there is no model "gone"`}, "qwen-3-32b"},
	}
	for _, tt := range tests {
		out := policy.Evaluate(tt.rules, noon(), jeantrail.RuleTerms{Model: "qwen-3-32b"}, resolve)
		if got := letters(out.Trials); got != tt.trials {
			t.Errorf("%s: trials %q, want %q", tt.name, got, tt.trials)
		}
		if !slices.Equal(out.Applied, tt.applied) || !slices.Equal(out.Skipped, tt.skipped) || out.Terms.Model != tt.model {
			t.Errorf("%s: applied %q, skipped %q, model %s", tt.name, out.Applied, out.Skipped, out.Terms.Model)
		}
	}
}

// letters shows trials as in "a:hta": held, tried, applied, skipped.
func letters(trials []jeantrail.RuleTrial) string {
	var all []string
	for _, trial := range trials {
		s := trial.Rule.Name + ":"
		for _, flag := range []struct {
			letter string
			set    bool
		}{{"h", trial.Held}, {"t", trial.Tried}, {"a", trial.Applied}, {"s", trial.Skipped != ""}} {
			if flag.set {
				s += flag.letter
			}
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

// A row that cannot be read says so itself, for the list of rules.
func TestTrialHasTheProblem(t *testing.T) {
	rules := []jeantrail.Rule{named("a", `{}`, `{}`)}
	out := policy.Evaluate(rules, noon(), jeantrail.RuleTerms{}, resolve)
	if got := out.Trials[0]; got.Rule.Problem != "actions must change something" || got.Skipped != got.Rule.Problem || got.Checks != nil {
		t.Errorf("trial %+v", got)
	}
	if rules[0].Problem != "" {
		t.Error("the rule that was given has changed")
	}
}

// A rule with an action that only a text request has a term for is not half
// applied to another kind.
func TestActionsOfAnotherKind(t *testing.T) {
	facts := noon()
	facts.Kind = jeantrail.KindImage
	for actions, want := range map[string]string{
		`{"temperature": 0.5, "model": "small"}`: "temperature is for text, and the request is of kind image",
		`{"max_tokens": 5}`:                      "max_tokens is for text, and the request is of kind image",
		`{"thinking": false}`:                    "thinking is for text, and the request is of kind image",
		`{"model": "small", "cache": false}`:     "",
		`{"priority": "background"}`:             "",
	} {
		before := jeantrail.RuleTerms{Model: "sdxl"}
		out := policy.Evaluate([]jeantrail.Rule{named("r", `{}`, actions)}, facts, before, resolve)
		if out.Trials[0].Skipped != want || want != "" && !reflect.DeepEqual(out.Terms, before) {
			t.Errorf("%s: %q, terms %+v, want %q", actions, out.Trials[0].Skipped, out.Terms, want)
		}
	}
}

func TestSkippedNamesAreBounded(t *testing.T) {
	out := policy.Evaluate([]jeantrail.Rule{named(strings.Repeat("é", 1000), `{}`, anyAction)}, noon(), jeantrail.RuleTerms{}, resolve)
	if want := strings.Repeat("é", 128) + "…: rule_name must be UTF-8 of at most 128 bytes"; !slices.Equal(out.Skipped, []string{want}) {
		t.Errorf("skipped %q", out.Skipped)
	}
}

// Pieces of rules, for random ones; some cannot be read or applied.
var (
	conditionPieces = []string{`"input_length": "<100"`, `"input_length": 100`, `"input_tokens": "10..30"`, `"task_type": ["simple", "code"]`,
		`"model": "qwen*"`, `"model": "small"`, `"user": "ann"`, `"kind": "text"`, `"hour": "22-6"`, `"weekday": "mon-fri"`,
		`"budget_used_percent": ">=80"`, `"budget_short": true`, `"metadata": {"project": "*"}`, `"usr": "ann"`}
	actionPieces = []string{`"model": "small"`, `"model": "mini"`, `"model": "gone"`, `"temperature": 0.5`, `"max_tokens": 50`, `"max_tokens": 500`,
		`"thinking": true`, `"thinking": false`, `"priority": "batch"`, `"cache": false`, `"chain": true`, `"chain": false`, `"max_token": 5`}
)

func drawObject(t *rapid.T, pieces []string, label string) string {
	return "{" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 3).Draw(t, label), ", ") + "}"
}

func drawRules(t *rapid.T) []jeantrail.Rule {
	rules := make([]jeantrail.Rule, rapid.IntRange(0, 6).Draw(t, "rules"))
	for i := range rules {
		rules[i] = named(fmt.Sprintf("rule %d", i), drawObject(t, conditionPieces, "conditions"), drawObject(t, actionPieces, "actions"))
		rules[i].Enabled = rapid.IntRange(0, 4).Draw(t, "enabled") > 0
		rules[i].UserID = rapid.SampledFrom([]string{"", "", "ann", "bob"}).Draw(t, "user_id")
	}
	return rules
}

func drawFacts(t *rapid.T) policy.Facts {
	words := rapid.SampledFrom([]string{"", "ann", "simple", "qwen-3-32b", "small", "mini"})
	return policy.Facts{
		InputLength: rapid.Int64().Draw(t, "input_length"), InputTokens: rapid.Int64Range(0, 40).Draw(t, "input_tokens"),
		TaskType: words.Draw(t, "task_type"), Model: words.Draw(t, "model"), RequestedModel: words.Draw(t, "requested model"),
		User: words.Draw(t, "user"), Kind: rapid.SampledFrom(append(jeantrail.Kinds(), "")).Draw(t, "kind"),
		Hour: rapid.IntRange(-1, 40).Draw(t, "hour"), Weekday: rapid.IntRange(-1, 40).Draw(t, "weekday"),
		HasBudget: rapid.Bool().Draw(t, "budget"), BudgetUsedPercent: rapid.Int64Range(0, 200).Draw(t, "used"), BudgetShort: rapid.Bool().Draw(t, "short"),
		TokensPerSecond: rapid.Int64Range(0, 200).Draw(t, "speed"), Measured: rapid.Bool().Draw(t, "measured"),
		Metadata: rapid.MapOf(words, words).Draw(t, "metadata"),
	}
}

func drawTerms(t *rapid.T) jeantrail.RuleTerms {
	terms := jeantrail.RuleTerms{Model: "big", Thinking: rapid.Bool().Draw(t, "thinking"), Priority: jeantrail.PriorityInteractive}
	if rapid.Bool().Draw(t, "limited") {
		terms.MaxTokens = new(rapid.IntRange(1, 1000).Draw(t, "max_tokens"))
	}
	if rapid.Bool().Draw(t, "with temperature") {
		terms.Temperature = new(rapid.Float64Range(0, 10).Draw(t, "temperature"))
	}
	return terms
}

// For any rules and any request: the trials are the enabled rules about the user
// in order; rules are tried up to the one that ends the search, and no further;
// a limit is never raised; nothing applied means nothing changed; and the same
// again gives the same.
func TestEvaluateProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules, facts, before := drawRules(t), drawFacts(t), drawTerms(t)
		metadata := maps.Clone(facts.Metadata)
		out := policy.Evaluate(rules, facts, before, resolve)

		var want, applied []string
		for _, r := range rules {
			if r.Enabled && (r.UserID == "" || r.UserID == facts.User) {
				want = append(want, r.Name)
			}
		}
		var got []string
		ended, skipped := false, 0
		for _, trial := range out.Trials {
			got = append(got, trial.Rule.Name)
			if trial.Tried == ended {
				t.Fatalf("%q was tried: %v, though the search had ended: %v", trial.Rule.Name, trial.Tried, ended)
			}
			if trial.Applied && (!trial.Held || trial.Skipped != "") || trial.Held && !trial.Applied && trial.Skipped == "" || trial.Held && !trial.Tried {
				t.Fatalf("trial %+v contradicts itself", trial)
			}
			if trial.Applied {
				applied = append(applied, trial.Rule.Name)
				ended = !strings.Contains(trial.Rule.Actions, `"chain": true`)
			}
			if trial.Skipped != "" {
				skipped++
			}
		}
		if !slices.Equal(got, want) || !slices.Equal(out.Applied, applied) || len(out.Skipped) != skipped {
			t.Fatalf("tried %q, want %q; applied %q, want %q; skipped %q", got, want, out.Applied, applied, out.Skipped)
		}
		if before.MaxTokens != nil && (out.Terms.MaxTokens == nil || *out.Terms.MaxTokens > *before.MaxTokens) {
			t.Fatalf("max_tokens was raised from %d", *before.MaxTokens)
		}
		if len(applied) == 0 && !reflect.DeepEqual(out.Terms, before) {
			t.Fatalf("terms became %+v", out.Terms)
		}
		if again := policy.Evaluate(rules, facts, before, resolve); !reflect.DeepEqual(again, out) {
			t.Fatalf("once %+v, then %+v", out, again)
		}
		read := policy.ReadRules(rules)
		if again := read.Evaluate(facts, before, resolve); !reflect.DeepEqual(again, out) {
			t.Fatalf("once %+v, then, read before, %+v", out, again)
		}
		if !read.Are(slices.Clone(rules)) {
			t.Fatal("the rules are not those that they were read from")
		}
		if !maps.Equal(metadata, facts.Metadata) {
			t.Fatal("the facts have changed")
		}
	})
}

// A rule that does not hold is as good as absent, wherever it stands.
func TestRuleThatDoesNotHoldChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules, facts, before := drawRules(t), drawFacts(t), drawTerms(t)
		facts.User = "ann"
		at := rapid.IntRange(0, len(rules)).Draw(t, "at")
		with := slices.Insert(slices.Clone(rules), at, named("not held", `{"user": "bob"}`, drawObject(t, actionPieces[:10], "actions")))
		out, without := policy.Evaluate(with, facts, before, resolve), policy.Evaluate(rules, facts, before, resolve)
		if !reflect.DeepEqual(out.Terms, without.Terms) || !slices.Equal(out.Applied, without.Applied) {
			t.Fatalf("with the rule %+v, without %+v", out, without)
		}
	})
}

func TestRulesAreThoseTheyWereReadFrom(t *testing.T) {
	rows := []jeantrail.Rule{named("a", `{}`, anyAction), named("b", `{}`, anyAction)}
	read := policy.ReadRules(rows)
	for name, change := range map[string]func([]jeantrail.Rule) []jeantrail.Rule{
		"one less":      func(r []jeantrail.Rule) []jeantrail.Rule { return r[:1] },
		"another order": func(r []jeantrail.Rule) []jeantrail.Rule { slices.Reverse(r); return r },
		"other actions": func(r []jeantrail.Rule) []jeantrail.Rule { r[1].Actions = `{"cache": true}`; return r },
		"switched off":  func(r []jeantrail.Rule) []jeantrail.Rule { r[0].Enabled = false; return r },
	} {
		if read.Are(change(slices.Clone(rows))) {
			t.Errorf("%s: taken for the same", name)
		}
	}
	rows[0].Name = "z"
	if got := read.Evaluate(noon(), jeantrail.RuleTerms{}, resolve).Applied; !slices.Equal(got, []string{"a"}) {
		t.Errorf("applied %q after the rows of the caller changed", got)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	var rows []jeantrail.Rule
	for i := range 20 {
		rows = append(rows, named(fmt.Sprintf("rule %d", i), `{"input_length": "<100", "task_type": "code"}`, `{"model": "small", "temperature": 0.5}`))
	}
	facts := noon()
	b.Run("rows", func(b *testing.B) {
		for b.Loop() {
			policy.Evaluate(rows, facts, jeantrail.RuleTerms{}, resolve)
		}
	})
	b.Run("read before", func(b *testing.B) {
		rules := policy.ReadRules(rows)
		for b.Loop() {
			rules.Evaluate(facts, jeantrail.RuleTerms{}, resolve)
		}
	})
}

func TestAskBudgets(t *testing.T) {
	rule := func(conditions string) jeantrail.Rule {
		return jeantrail.Rule{Name: "r", Type: "t", Conditions: conditions, Actions: `{"thinking": false}`, Enabled: true}
	}
	for want, rows := range map[bool][]jeantrail.Rule{
		false: {rule(`{"input_length": "<100", "metadata": {"budget_short": "*"}}`), rule(`{"budget_shrot": true}`)},
		true:  {rule(`{"kind": "text"}`), rule(`{"kind": "text", "budget_used_percent": ">50"}`)},
	} {
		if got := policy.ReadRules(rows).AskBudgets(); got != want {
			t.Errorf("%v: %v", rows, got)
		}
	}
	if policy.ReadRules(nil).AskBudgets() {
		t.Error("no rules ask for budgets")
	}
}
