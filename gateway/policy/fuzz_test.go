package policy_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/policy"
)

// Whatever is refused is refused with a code that is the writer's business;
// whatever is taken can be held against any facts and applied.
func FuzzParseRule(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"input_length": "<100", "task_type": "simple"}`, `{"model": "qwen-3-32b", "temperature": 0.5}`},
		{`{"input_tokens": "100..200", "budget_used_percent": ">=80", "budget_short": true}`, `{"max_tokens": 50, "chain": true}`},
		{`{"hour": ["9-17", ">=22", 3], "weekday": ["mon-fri", "Sunday"]}`, `{"thinking": false, "priority": "batch", "cache": true}`},
		{`{"model": ["qwen-*", "*"], "user": "ann", "kind": ["text", "image"]}`, `{"model": "small"}`},
		{`{"metadata": {"project": ["a", "*"], "": "b", "\u0000": "c"}}`, `{"temperature": 1e1}`},
		{`{"user": "a", "\u0075ser": "b"}`, `{"chain": true}`}, {`{"hour": "6-22-6"}`, `{"max_tokens": 1e3}`}, {`{"weekday": "-"}`, `{"cache": null}`},
		{`[`, `{}`}, {`{"metadata": {"a": [[[[]]]]}}`, ` { } `}, {"{\"user\": \"\xff\"}", `{"temperature": -0}`}, {`{"input_length": "<=..!"}`, "null"},
	} {
		f.Add(seed[0], seed[1], uint64(len(seed[0])))
	}
	facts := rapid.Custom(drawFacts)
	f.Fuzz(func(t *testing.T, conditions, actions string, seed uint64) {
		r := newRule(conditions, actions)
		rule, err := policy.ParseRule(r)
		if err != nil {
			if code := jeantrail.CodeOf(err); code != jeantrail.CodeInvalid && code != jeantrail.CodeTooLarge {
				t.Fatalf("refused as %s: %v", code, err)
			}
			if len(err.Error()) > 1000 {
				t.Fatalf("the message has %d bytes", len(err.Error()))
			}
			return
		}
		some := facts.Example(int(seed % 1000))
		checks, held := rule.Check(&some)
		for i, c := range checks {
			if held && !c.Held || i > 0 && checks[i-1].Condition > c.Condition {
				t.Fatalf("held %v: %+v", held, checks)
			}
		}
		out := policy.Evaluate([]jeantrail.Rule{*r}, some, jeantrail.RuleTerms{MaxTokens: new(10)}, func(model string) (string, error) { return model, nil })
		if trial := out.Trials[0]; trial.Held != held || trial.Rule.Problem != "" || *out.Terms.MaxTokens > 10 {
			t.Fatalf("trial %+v, terms %+v", trial, out.Terms)
		}
	})
}
