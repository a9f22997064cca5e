package workflow_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/gateway/workflow"
)

func estimate(t *testing.T, l *workflow.Library, road *fakeRoad, name string, input map[string]any) (*jeantrail.Estimate, error) {
	t.Helper()
	work, err := prepare(t, l, road, parent(name, input))
	if err != nil {
		t.Fatal(err)
	}
	return work.(gateway.Estimator).Estimate(t.Context(), jeantrail.Principal{UserID: "ann", Role: jeantrail.RoleUser})
}

// summed holds an estimate's totals against its stages.
func summed(t *testing.T, e *jeantrail.Estimate) {
	t.Helper()
	var amount, least jeantrail.Money
	for _, s := range e.Stages {
		amount, least = amount.Add(s.Amount), least.Add(s.Least)
	}
	if e.Amount != amount || e.Least != least || e.Least > e.Amount || e.Kind != jeantrail.KindPipeline {
		t.Errorf("%+v is not the sum of its stages", e)
	}
}

func TestEstimatesOfBuiltinWorkflows(t *testing.T) {
	for _, c := range []struct {
		workflow string
		input    map[string]any
		stages   []string // name:amount, in micro-dollars, * for conditional, ~ for not exact
	}{
		// 160 tokens for the prompt, three times; then an image, three times.
		{"text_to_image", map[string]any{"prompt": "a boat"}, []string{"enhance~", "image~:15000"}},
		{"speech_to_text_to_analysis", map[string]any{"audio": recording}, []string{"transcribe:900", "analyse*~"}},
		{"text_to_speech", map[string]any{"text": "Hello"}, []string{"optimise~", "speak~"}},
		{"multimodal_analysis", map[string]any{"text": "a"}, []string{"transcribe*:0", "describe*:0", "analyse", "respond~"}},
		{"multimodal_analysis", map[string]any{"audio": recording, "image": picture}, []string{"transcribe:900", "describe", "analyse~", "respond~"}},
		{"image_description", map[string]any{"image": picture}, []string{"describe", "enhance~"}},
	} {
		road := newRoad(t, nil)
		e, err := estimate(t, library(t, nil), road, c.workflow, c.input)
		if err != nil {
			t.Errorf("%s: %v", c.workflow, err)
			continue
		}
		summed(t, e)
		if e.Model != c.workflow || len(e.Stages) != len(c.stages) || len(road.jobs) != 0 {
			t.Fatalf("%s: %+v, %d jobs were run", c.workflow, e, len(road.jobs))
		}
		for i, want := range c.stages {
			s := e.Stages[i]
			got := s.Name
			if s.Conditional {
				got += "*"
			}
			if !s.Exact {
				got += "~"
			}
			if at := strings.Index(want, ":"); at >= 0 {
				got += ":" + s.Amount.USD()
				want = want[:at] + ":" + mustMoney(t, want[at+1:]).USD()
			} else if s.Amount <= 0 {
				t.Errorf("%s: %s costs nothing", c.workflow, s.Name)
			}
			if got != want {
				t.Errorf("%s: stage %s, want %s", c.workflow, got, want)
			}
		}
	}
}

func mustMoney(t *testing.T, micros string) jeantrail.Money {
	t.Helper()
	n, err := num(micros).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return jeantrail.Money(n)
}

// What stands for the output of a stage is the longest that this may be.
func TestEstimateStandsIn(t *testing.T) {
	text := flow(`  - {name: hear, kind: transcribe, audio: "{{ inputs.audio }}"}
  - {name: write, kind: text, prompt: "{{ stages.hear.text }}", max_tokens: 50, retries: 1}
  - {name: again, kind: text, prompt: "{{ stages.write.text }}", max_tokens: 10, on_error: fallback, fallback: {max_tokens: 30}}
  - {name: last, kind: text, prompt: "{{ stages.again.text }}", max_tokens: 1, condition: stages.again.text contains "x"}
`)["flow.yaml"]
	text = strings.Replace(text, "inputs:\n", "inputs:\n  audio: {type: audio, description: d}\n", 1)
	road := newRoad(t, nil)
	e, err := estimate(t, library(t, map[string]string{"flow.yaml": text}), road, "flow", map[string]any{"audio": recording})
	if err != nil {
		t.Fatal(err)
	}
	summed(t, e)
	want := []jeantrail.Money{
		300,               // ten seconds
		2 * (41 + 50),     // 4 words a second, and one
		50 + 10 + 50 + 30, // twice
		30 + 1,            // the longer of both
	}
	var got []jeantrail.Money
	for _, s := range e.Stages {
		got = append(got, s.Amount)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("amounts %v, want %v", got, want)
	}
	if last := e.Stages[3]; !last.Conditional || last.Exact || last.Least != 0 || e.Stages[2].Least != 0 || e.Stages[1].Least != 45 || e.Exact {
		t.Errorf("stages %+v", e.Stages)
	}
	for _, req := range road.asked {
		if req.Cache == nil || *req.Cache || req.UserID != "ann" || req.Metadata["project"] != "x" || req.Workflow != "flow" {
			t.Errorf("asked for %+v", req)
		}
	}
}

// A request that would be refused for its length with the longest output is
// estimated with one that is not.
func TestEstimateOfWhatIsTooLong(t *testing.T) {
	stages := `  - {name: a, kind: text, prompt: a, max_tokens: 1000}
  - {name: b, kind: text, prompt: "{{ stages.a.text }}", max_tokens: 7}
`
	for _, code := range []jeantrail.Code{jeantrail.CodeContextLength, jeantrail.CodeInvalid, jeantrail.CodeTooLarge} {
		road := newRoad(t, nil)
		road.refuse = func(req *jeantrail.Request) error {
			if n := len(strings.Fields(req.Text.Prompt)); n > 200 {
				return jeantrail.Errorf(code, "%d words", n)
			}
			return nil
		}
		e, err := estimate(t, library(t, flow(stages)), road, "flow", nil)
		if err != nil || e.Stages[1].Amount != 125+7 {
			t.Errorf("%s: %+v, %v", code, e, err)
		}
	}
	road := newRoad(t, nil)
	road.refuse = func(req *jeantrail.Request) error {
		if *req.Text.MaxTokens == 7 {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "never").WithNumber("n", 3)
		}
		return nil
	}
	_, err := estimate(t, library(t, flow(stages)), road, "flow", nil)
	if e := jeantrail.AsError(err); e.Message != "stage b: never" || e.Numbers["n"] != 3 {
		t.Errorf("it is refused with %v", err)
	}
}

// A stage that the pipeline can do without does not keep it from being
// estimated.
func TestEstimateWithoutAModel(t *testing.T) {
	missing := func(req *jeantrail.Request) error {
		if req.Model == "none" {
			return jeantrail.Errorf(jeantrail.CodeNotFound, "there is no model none")
		}
		return nil
	}
	for rule, want := range map[string]jeantrail.Money{
		"model: none, on_error: skip":                               0,
		"model: none, on_error: fallback, fallback: {output: a b}":  0,
		"model: none, on_error: fallback, fallback: {model: other}": 200,
		"model: none": -1,
		"on_error: fallback, fallback: {model: none}": -1,
	} {
		road := newRoad(t, nil)
		road.refuse = missing
		e, err := estimate(t, library(t, flow(strings.Replace(chain, "RULE", rule, 1))), road, "flow", nil)
		switch {
		case want < 0 && jeantrail.CodeOf(err) != jeantrail.CodeNotFound:
			t.Errorf("%s: %+v, %v", rule, e, err)
		case want >= 0 && (err != nil || e.Stages[1].Amount != want):
			t.Errorf("%s: %+v, %v", rule, e, err)
		}
	}
}

// Files that do not exist yet are charged at the price in force.
func TestEstimateOfFilesToCome(t *testing.T) {
	stages := `  - {name: draw, kind: image, prompt: a, n: 2}
  - {name: look, kind: text, prompt: a b, images: "{{ stages.draw.artifacts }}", max_tokens: 10}
  - {name: say, kind: speak, text: "0123456789"}
  - {name: hear, kind: transcribe, audio: "{{ stages.say.artifacts[0] }}"}
`
	road := newRoad(t, nil)
	road.prices = []jeantrail.PriceEntry{
		{Kind: jeantrail.KindText, Price: jeantrail.Price{Model: "own-text", PromptToken: 2}},
		{Kind: jeantrail.KindText, Price: jeantrail.Price{Model: jeantrail.AnyModel, PromptToken: 9}},
		{Kind: jeantrail.KindTranscribe, Price: jeantrail.Price{Model: jeantrail.AnyModel, AudioInSecond: 10}},
		{Kind: jeantrail.KindTranscribe, Price: jeantrail.Price{Model: "dear", AudioInSecond: 70}},
	}
	e, err := estimate(t, library(t, flow(stages)), road, "flow", nil)
	if err != nil {
		t.Fatal(err)
	}
	summed(t, e)
	if look := e.Stages[1]; look.Amount != 2+10+2*2*4096 || look.Exact || look.Bounds.PromptTokens != 2+2*4096 {
		t.Errorf("look: %+v", look)
	}
	if hear := e.Stages[3]; hear.Amount != 70 || hear.Bounds.AudioIn != time.Second || hear.Exact {
		t.Errorf("hear: %+v", hear)
	}
}

func TestEstimateStaysWithinMoney(t *testing.T) {
	road := newRoad(t, nil)
	road.prices = []jeantrail.PriceEntry{{Kind: jeantrail.KindTranscribe, Price: jeantrail.Price{Model: "*", AudioInSecond: jeantrail.MaxMoney}}}
	stages := "  - {name: say, kind: speak, text: \"0123456789\"}\n"
	for _, name := range []string{"x", "y"} {
		stages += "  - {name: " + name + ", kind: transcribe, audio: \"{{ stages.say.artifacts[0] }}\", retries: 5}\n"
	}
	e, err := estimate(t, library(t, flow(stages)), road, "flow", nil)
	if err != nil || e.Amount != jeantrail.MaxMoney {
		t.Errorf("%+v, %v", e, err)
	}
}
