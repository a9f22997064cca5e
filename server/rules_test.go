package server

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func someRules() []jeantrail.Rule {
	return []jeantrail.Rule{
		{ID: "r1", UserID: "user123", Name: "short", Type: "model_selection", Conditions: `{"input_length":"<100","task_type":"simple"}`,
			Actions: `{"model":"qwen-3-32b","temperature":0.5}`, Enabled: true, Position: 1, CreatedAt: epoch()},
		{ID: "r2", Name: "by hand", Type: "x", Conditions: `{"colour":"red"}`, Actions: `{not json`, CreatedAt: epoch(), Problem: "conditions.colour is not known"},
	}
}

func TestRules(t *testing.T) {
	money := newFakeMoney()
	money.rules = someRules()
	s := newTestServer(t, Options{Money: money})
	goldenJSON(t, "rules.golden", call(s, "GET", "/rules?user_id=user123", "").Body.Bytes())
	if money.user != "user123" {
		t.Errorf("asked for %q", money.user)
	}
	if m := decoded(t, call(s, "GET", "/rules/r1", "")); m["rule_name"] != "short" {
		t.Errorf("rule %v", m)
	}
	wantProblem(t, call(s, "GET", "/rules/r9", ""), 404, jeantrail.CodeNotFound)
	if w := call(s, "DELETE", "/rules/r1", ""); w.Code != 204 || len(money.rules) != 1 {
		t.Errorf("delete: %d, %d rules", w.Code, len(money.rules))
	}
}

func TestAddRule(t *testing.T) {
	money := newFakeMoney()
	s := newTestServer(t, Options{Money: money})
	w := call(s, "POST", "/rules", `{"user_id":null,"rule_name":"n","rule_type":"t","conditions":{"input_length": "<100", "a":[1, 2]},"actions":{ }}`)
	if w.Code != 201 || w.Header().Get("Location") != "/rules/rule-1" {
		t.Fatalf("added: %d %v %s", w.Code, w.Header(), w.Body)
	}
	want := jeantrail.Rule{
		ID: "rule-1", Name: "n", Type: "t", Conditions: `{"input_length":"<100","a":[1,2]}`, Actions: "{}", Enabled: true, CreatedAt: epoch(),
	}
	if money.rules[0] != want {
		t.Errorf("kept %+v, want %+v", money.rules[0], want)
	}
	if !strings.Contains(w.Body.String(), `"conditions":{"input_length":"<100","a":[1,2]}`) {
		t.Errorf("answered %s", w.Body)
	}
	call(s, "POST", "/rules", `{"user_id":"u","rule_name":"n","rule_type":"t","conditions":{},"actions":{},"enabled":false,"position":-3}`)
	if got := money.rules[1]; got.UserID != "u" || got.Enabled || got.Position != -3 {
		t.Errorf("kept %+v", got)
	}
	for _, body := range []string{
		`{"rule_name":"n","rule_type":"t","conditions":{},"actions":{}}`,
		`{"user_id":null,"rule_type":"t","conditions":{},"actions":{}}`,
		`{"user_id":null,"rule_name":"n","rule_type":"t","actions":{}}`,
		`{"user_id":null,"rule_name":"n","rule_type":"t","conditions":null,"actions":{}}`,
		`{"user_id":null,"rule_name":"n","rule_type":"t","conditions":[],"actions":{}}`,
		`{"user_id":null,"rule_name":"n","rule_type":"t","conditions":{},"actions":"{}"}`,
		`{"user_id":null,"rule_name":"n","rule_type":"t","conditions":{},"actions":{},"position":1.5}`,
	} {
		wantProblem(t, call(s, "POST", "/rules", body), 400, jeantrail.CodeInvalid)
	}
	if len(money.rules) != 2 {
		t.Errorf("%d rules after refusals", len(money.rules))
	}
}

func TestChangeRule(t *testing.T) {
	money := newFakeMoney()
	money.rules = someRules()
	s := newTestServer(t, Options{Money: money})
	want := money.rules[0]
	want.Enabled = false
	if w := call(s, "PATCH", "/rules/r1", `{"enabled":false}`); w.Code != 200 || money.rules[0] != want {
		t.Errorf("%d, made %+v", w.Code, money.rules[0])
	}
	want.UserID, want.Conditions, want.Position = "", `{"hour":"9-17"}`, 0
	if w := call(s, "PATCH", "/rules/r1", `{"user_id":null,"conditions":{"hour":"9-17"},"position":0}`); w.Code != 200 || money.rules[0] != want {
		t.Errorf("%d, made %+v", w.Code, money.rules[0])
	}
	for _, body := range []string{`{}`, `{"enabled":null}`, `{"actions":null}`, `{"actions":[]}`, `{"problem":""}`} {
		wantProblem(t, call(s, "PATCH", "/rules/r1", body), 400, jeantrail.CodeInvalid)
	}
	if money.rules[0] != want {
		t.Errorf("refused changes made %+v", money.rules[0])
	}
}

func TestTestRules(t *testing.T) {
	half, most, cache := 0.5, 64, false
	rules := someRules()
	money := newFakeMoney()
	money.report = jeantrail.RuleReport{
		TaskType: "simple", Classified: true, InputLength: 5, InputTokens: 9,
		Trials: []jeantrail.RuleTrial{
			{Rule: rules[0], Tried: true, Held: true, Applied: true, Checks: []jeantrail.RuleCheck{
				{Condition: "input_length", Want: "<100", Got: "5", Held: true}, {Condition: "task_type", Want: "simple", Got: "simple", Held: true}}},
			{Rule: rules[1], Skipped: "conditions.colour is not known"},
		},
		Before: jeantrail.RuleTerms{Model: "builtin", Priority: jeantrail.PriorityInteractive, Estimate: 2_000_000},
		After:  jeantrail.RuleTerms{Model: "qwen-3-32b", Temperature: &half, MaxTokens: &most, Cache: &cache, Priority: jeantrail.PriorityBatch, Estimate: 73_000},
	}
	s := newTestServer(t, Options{Money: money})
	w := call(s, "POST", "/rules/test", `{"request":{"prompt":"Hello","user_id":"user123","max_tokens":7},"rule":{"conditions":{},"actions":{"max_tokens":1}}}`)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	goldenJSON(t, "report.golden", w.Body.Bytes())
	if money.tested.Text.Prompt != "Hello" || money.tested.UserID != "user123" || *money.tested.Text.MaxTokens != 7 {
		t.Errorf("tested %+v", money.tested)
	}
	if c := money.candidate; c == nil || c.Conditions != "{}" || c.Actions != `{"max_tokens":1}` || !c.Enabled || c.Name == "" {
		t.Errorf("candidate %+v", money.candidate)
	}
	call(s, "POST", "/rules/test", `{"request":{"prompt":"Hello"}}`)
	if money.candidate != nil {
		t.Errorf("candidate %+v", money.candidate)
	}
	for _, body := range []string{
		`{}`, `{"request":null}`, `{"request":{}}`, `{"request":{"promt":"x"}}`, `{"request":{"prompt":"x"},"rule":{"conditions":{}}}`,
		`{"request":{"prompt":"x"},"rule":{"conditions":{},"actions":5}}`, `{"prompt":"x"}`,
	} {
		wantProblem(t, call(s, "POST", "/rules/test", body), 400, jeantrail.CodeInvalid)
	}
}

func TestTemplates(t *testing.T) {
	zero := 0.0
	money := newFakeMoney()
	money.templates = []jeantrail.Template{
		{Name: "price_intelligence", Version: 2, Kind: jeantrail.KindText, Description: "Price analysis", Source: "builtin",
			System: "You weigh prices.", Prompt: "{{.price}}", Variables: []jeantrail.TemplateVariable{
				{Name: "price", Type: jeantrail.VariableNumber, Description: "In dollars", Required: true, Minimum: &zero},
				{Name: "tone", Type: jeantrail.VariableString, Default: "plain", Enum: []string{"plain", "warm"}, MaxLength: 5},
				{Name: "free", Type: jeantrail.VariableBoolean, Default: false},
			}},
		{Name: "mine", Version: 1, Kind: jeantrail.KindText, Source: "/home/x/templates/mine.yaml", Input: "query"},
	}
	s := newTestServer(t, Options{Money: money})
	goldenJSON(t, "templates.golden", call(s, "GET", "/templates", "").Body.Bytes())
	if m := decoded(t, call(s, "GET", "/templates/price_intelligence", "")); m["system"] != "You weigh prices." || m["prompt"] != "{{.price}}" {
		t.Errorf("template %v", m)
	}
	wantProblem(t, call(s, "GET", "/templates/none", ""), 404, jeantrail.CodeNotFound)
	if out := templateOf(&money.templates[1], jeantrail.Principal{Role: jeantrail.RoleUser}); out.Source != "file" {
		t.Errorf("a user sees the path %s", out.Source)
	}

	m := decoded(t, call(s, "POST", "/templates/price_intelligence/render", `{"variables":{"price":12.50,"free":true}}`))
	if m["prompt"] != "the prompt" || m["system"] != "You weigh prices." || m["version"] != 2.0 ||
		money.variables["price"] != json.Number("12.50") || money.variables["free"] != true {
		t.Errorf("rendered %v of %v", m, money.variables)
	}
	if w := call(s, "POST", "/templates/mine/render", `{}`); w.Code != 200 || len(money.variables) != 0 {
		t.Errorf("without variables: %d %s", w.Code, w.Body)
	}
	for _, body := range []string{`{"variables":{"price":null}}`, `{"variables":[]}`, `{"price":1}`, `{"variables":{"price":{}}}`} {
		wantProblem(t, call(s, "POST", "/templates/mine/render", body), 400, jeantrail.CodeInvalid)
	}
	wantProblem(t, call(s, "POST", "/templates/none/render", `{}`), 404, jeantrail.CodeNotFound)
}
