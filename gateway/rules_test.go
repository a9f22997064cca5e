package gateway_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

func (r *rig) rule(conditions, actions string) *jeantrail.Rule {
	r.t.Helper()
	rule, err := r.AddRule(context.Background(), local, jeantrail.Rule{
		Name: "rule " + actions, Type: "test", Conditions: conditions, Actions: actions, Enabled: true,
	})
	if err != nil {
		r.t.Fatalf("add rule: %v", err)
	}
	return rule
}

// twoModels has a cheap model beside the default one.
type twoModels struct{ backend gateway.Backend }

func (m twoModels) Resolve(_ jeantrail.Kind, name string) (string, gateway.Backend, error) {
	switch name {
	case "", "m":
		return "m", m.backend, nil
	case "cheap", "qwen-3-32b":
		return "cheap", m.backend, nil
	}
	return "", nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no model %q", name)
}

func (twoModels) List(context.Context) []jeantrail.Model { return nil }

func serveTwo(t *testing.T) *rig {
	r := serveTalk(t, func(o *gateway.Options) { o.Models = twoModels{&backend{run: talk, bounds: bounded}} })
	cheap := jeantrail.PriceEntry{Kind: jeantrail.KindText, Price: jeantrail.Price{Model: "cheap", PromptToken: 1, CompletionToken: 1}}
	if _, err := r.SetPrice(context.Background(), local, cheap); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGuidesRule(t *testing.T) {
	r := serveTwo(t)
	rule := r.rule(`{"input_length": "<100", "task_type": "simple"}`, `{"model": "qwen-3-32b", "temperature": 0.5}`)
	job := r.wait(r.submit(tokens("Hello there, how are you?", 5)).ID)
	if job.Model != "cheap" || job.Result.Cost.Amount != 12 || !slices.Equal(job.Result.RulesApplied, []string{rule.Name}) {
		t.Errorf("model %s, cost %d, rules %v", job.Model, job.Result.Cost.Amount, job.Result.RulesApplied)
	}
	if job.Request.Model != "" || job.Request.Text.Temperature != nil {
		t.Errorf("the request is not kept as it was asked: %+v", job.Request)
	}
	long := r.wait(r.submit(tokens(strings.Repeat("long ", 30), 5)).ID)
	if long.Model != "m" || len(long.Result.RulesApplied) != 0 {
		t.Errorf("a long request: model %s, rules %v", long.Model, long.Result.RulesApplied)
	}
	stored, err := r.Job(context.Background(), local, job.ID)
	if err != nil || !slices.Equal(stored.Result.RulesApplied, job.Result.RulesApplied) {
		t.Errorf("stored rules %v, %v", stored.Result.RulesApplied, err)
	}
}

// A rule may send what a budget has no room for to a cheaper model.
func TestRuleDowngradesInsteadOfDenying(t *testing.T) {
	r := serveTwo(t)
	r.budget(jeantrail.Budget{Type: jeantrail.BudgetTotal, AmountCents: 1})
	req := tokens("hello", 500)
	if _, err := r.Submit(context.Background(), local, req); jeantrail.CodeOf(err) != jeantrail.CodeBudgetExceeded {
		t.Fatalf("without a rule: %v", err)
	}
	rule := r.rule(`{"budget_short": true}`, `{"model": "cheap"}`)
	job := r.wait(r.submit(req).ID)
	if job.State != jeantrail.StateSucceeded || job.Model != "cheap" || !slices.Equal(job.Result.RulesApplied, []string{rule.Name}) {
		t.Errorf("got %s, model %s, rules %v", job.State, job.Model, job.Result.RulesApplied)
	}
	if job := r.wait(r.submit(tokens("hello", 1)).ID); job.Model != "cheap" { // 13,000 do not fit either
		t.Errorf("model %s", job.Model)
	}
}

// What was measured of the model that would answer can send a request to a faster
// one; what was not measured never does.
func TestRuleSwitchesFromASlowModel(t *testing.T) {
	speeds := map[string]int64{}
	r := serveTalk(t, func(o *gateway.Options) {
		o.Models = twoModels{&backend{run: talk, bounds: bounded}}
		o.Speed = func(model string) (int64, bool) { speed, known := speeds[model]; return speed, known }
	})
	r.rule(`{"tokens_per_second": "<10"}`, `{"model": "cheap"}`)
	ask := func() string { return r.wait(r.submit(tokens("hello", 1)).ID).Model }
	if model := ask(); model != "m" {
		t.Errorf("not measured: model %s", model)
	}
	speeds["m"] = 12
	if model := ask(); model != "m" {
		t.Errorf("12 tokens per second: model %s", model)
	}
	speeds["m"] = 9
	if model := ask(); model != "cheap" {
		t.Errorf("9 tokens per second: model %s", model)
	}
}

func TestRuleThatCannotBeAppliedIsTold(t *testing.T) {
	r := serveTwo(t)
	r.rule(`{"kind": "text"}`, `{"model": "gone"}`)
	job := r.wait(r.submit(tokens("hello", 1)).ID)
	if job.Model != "m" || len(job.Result.RulesApplied) != 0 || len(job.Result.RulesSkipped) != 1 || !strings.Contains(job.Result.RulesSkipped[0], "gone") {
		t.Errorf("model %s, skipped %q", job.Model, job.Result.RulesSkipped)
	}
	stored, err := r.Job(context.Background(), local, job.ID)
	if err != nil || !slices.Equal(stored.Result.RulesSkipped, job.Result.RulesSkipped) {
		t.Errorf("stored: %v, %v", stored.Result.RulesSkipped, err)
	}
}

func TestRulesAreExplained(t *testing.T) {
	r := serveTwo(t)
	r.rule(`{"input_length": ">1000"}`, `{"priority": "batch"}`)
	candidate := &jeantrail.Rule{Name: "try", Type: "test", Conditions: `{"task_type": "simple"}`, Actions: `{"model": "cheap", "chain": true}`, Enabled: true}
	report, err := r.TestRules(context.Background(), local, tokens("hello", 10), candidate)
	if err != nil {
		t.Fatal(err)
	}
	if report.TaskType != "simple" || !report.Classified || report.InputLength != 5 || report.InputTokens != scriptPrompt ||
		report.Before.Model != "m" || report.Before.Estimate != 22_000 || report.After.Model != "cheap" || report.After.Estimate != 22 {
		t.Errorf("report %+v", report)
	}
	if len(report.Trials) != 2 || !report.Trials[0].Applied || report.Trials[1].Held || !report.Trials[1].Tried ||
		len(report.Trials[1].Checks) != 1 || report.Trials[1].Checks[0].Got != "5" {
		t.Errorf("trials %+v", report.Trials)
	}
	page, err := r.Jobs(context.Background(), local, jeantrail.JobFilter{})
	if err != nil || len(page.Jobs) != 0 {
		t.Errorf("a test ran %d jobs, %v", len(page.Jobs), err)
	}
}

func TestTemplateMakesThePrompt(t *testing.T) {
	seen := make(chan jeantrail.TextRequest, 1)
	r := serve(t, nil, func(o *gateway.Options) {
		o.Models = models{&backend{run: say("ok"), bounds: func(req *jeantrail.Request) jeantrail.Bounds {
			seen <- *req.Text
			return bounded(req)
		}}}
	})
	req := tokens("", 5)
	req.Template, req.Text.Prompt = "jean_core", "How are <|im_end|> you?"
	job := r.wait(r.submit(req).ID)
	got := <-seen
	if got.System == "" && got.Prompt == req.Text.Prompt || !strings.Contains(got.Prompt, "<|im_end|>") || strings.Contains(got.System, "<|im_end|>") {
		t.Errorf("the model was asked %q with the system prompt %q", got.Prompt, got.System)
	}
	if job.Request.Template != "jean_core" || job.Request.Text.Prompt != req.Text.Prompt || job.Request.Text.System != "" {
		t.Errorf("the request is kept as %+v", job.Request)
	}
	req.Text = &jeantrail.TextRequest{}
	req.Variables = map[string]any{"user_query": "hi", "wrong": true}
	_, err := r.Submit(context.Background(), local, req)
	if jeantrail.CodeOf(err) != jeantrail.CodeInvalid || !strings.Contains(err.Error(), "wrong") {
		t.Errorf("an unknown variable: %v", err)
	}
	req.Template = "sdxl_image"
	if _, err := r.Submit(context.Background(), local, req); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("a template of another kind: %v", err)
	}
}
