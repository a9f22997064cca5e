package prompt_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/prompt"
)

func TestFill(t *testing.T) {
	withInput := &jeantrail.Template{Name: "t", Input: "q"}
	given := map[string]any{"x": true}
	filled, err := prompt.Fill(withInput, given, "why?")
	if err != nil || !reflect.DeepEqual(filled, map[string]any{"x": true, "q": "why?"}) {
		t.Errorf("filled %v, %v", filled, err)
	}
	if len(given) != 1 {
		t.Errorf("the caller's variables became %v", given)
	}
	if filled, err := prompt.Fill(withInput, nil, "why?"); err != nil || !reflect.DeepEqual(filled, map[string]any{"q": "why?"}) {
		t.Errorf("filled %v, %v", filled, err)
	}
	// Without a prompt the variable may be given, or missing: Render looks.
	for _, variables := range []map[string]any{nil, {"q": "x"}} {
		if filled, err := prompt.Fill(withInput, variables, ""); err != nil || !reflect.DeepEqual(filled, variables) {
			t.Errorf("filled %v, %v", filled, err)
		}
	}

	if _, err := prompt.Fill(withInput, map[string]any{"q": nil}, "why?"); jeantrail.CodeOf(err) != jeantrail.CodeInvalid || !strings.Contains(err.Error(), "variable q") {
		t.Errorf("prompt and its variable: %v", err)
	}
	if _, err := prompt.Fill(&jeantrail.Template{Name: "t"}, nil, "why?"); jeantrail.CodeOf(err) != jeantrail.CodeInvalid || !strings.Contains(err.Error(), "template t") {
		t.Errorf("a template without an input: %v", err)
	}
}

func TestApply(t *testing.T) {
	rendered := jeantrail.RenderedTemplate{Name: "t", Version: 1, Kind: jeantrail.KindText, System: "s", Prompt: "p"}
	noSystem := rendered
	noSystem.System = ""
	image := noSystem
	image.Kind = jeantrail.KindImage
	long := noSystem
	long.Prompt = strings.Repeat("x", jeantrail.MaxPromptBytes-1)

	type outcome struct {
		code           jeantrail.Code
		system, prompt string
	}
	for _, c := range []struct {
		name     string
		template jeantrail.RenderedTemplate
		text     jeantrail.TextRequest
		want     outcome
	}{
		{"plain", rendered, jeantrail.TextRequest{}, outcome{"", "s", "p"}},
		{"no system text", noSystem, jeantrail.TextRequest{}, outcome{"", "", "p"}},
		{"the request's system text", noSystem, jeantrail.TextRequest{System: "mine"}, outcome{"", "mine", "p"}},
		{"two system texts", rendered, jeantrail.TextRequest{System: "mine"}, outcome{jeantrail.CodeInvalid, "mine", ""}},
		{"raw", rendered, jeantrail.TextRequest{Raw: true}, outcome{jeantrail.CodeInvalid, "", ""}},
		{"a prompt", rendered, jeantrail.TextRequest{Prompt: "mine"}, outcome{jeantrail.CodeInvalid, "", "mine"}},
		{"messages", rendered, jeantrail.TextRequest{Messages: []jeantrail.Message{{Role: "user", Content: "x"}}}, outcome{jeantrail.CodeInvalid, "", ""}},
		{"an image's template", image, jeantrail.TextRequest{}, outcome{jeantrail.CodeInvalid, "", ""}},
		{"exactly the limit", long, jeantrail.TextRequest{System: "x"}, outcome{"", "x", long.Prompt}},
		{"past the limit", long, jeantrail.TextRequest{System: "xy"}, outcome{jeantrail.CodeTooLarge, "xy", ""}},
	} {
		text := c.text
		err := prompt.Apply(&c.template, &text)
		if got := (outcome{jeantrail.CodeOf(err), text.System, text.Prompt}); got != c.want {
			t.Errorf("%s: code %q, system %.20q, prompt %.20q (%v)", c.name, got.code, got.system, got.prompt, err)
		}
		if err != nil && jeantrail.AsError(err).Hint == "" {
			t.Errorf("%s: %v comes without a hint", c.name, err)
		}
	}
}
