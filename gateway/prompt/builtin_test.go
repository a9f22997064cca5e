package prompt_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/prompt"
	"github.com/jeantrail/jeantrail-ai/internal/golden"
)

// decode reads variables as the front end does.
func decode(t testing.TB, text string) map[string]any {
	t.Helper()
	var variables map[string]any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&variables); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return variables
}

func library(t testing.TB, files ...prompt.File) *prompt.Library {
	t.Helper()
	l, err := prompt.New(files)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestBuiltinTemplates(t *testing.T) {
	l := library(t)
	cases := map[string][]string{
		"jean_core": {
			`{"user_query": "How do I free memory?"}`,
			`{"user_query": "What is due first?", "context": "Invoice 12: 3 May\nInvoice 13: 1 May"}`,
		},
		"price_intelligence": {
			`{"alibaba_price": 4.20, "amazon_price": 19.99, "weight": 0.350, "has_free_shipping": false}`,
			`{"alibaba_price": 0, "amazon_price": 1e2, "weight": 2, "has_free_shipping": true}`,
		},
		"mobile_emulator": {
			`{"question": "Where do I turn notifications off?"}`,
			`{"question": "It does not start.", "app": "Maps", "device": "tablet"}`,
			`{"question": "It does not start.", "app": " Maps\n"}`,
		},
		"sdxl_image": {
			`{"subject": "a lighthouse"}`,
			`{"subject": "a lighthouse\n", "style": "watercolor", "details": "storm, low angle"}`,
			`{"subject": "a lighthouse", "style": "photo"}`,
			`{"subject": "a lighthouse", "style": "3d_render"}`,
		},
	}
	for _, template := range l.Templates() {
		if len(cases[template.Name]) == 0 {
			t.Errorf("the template %s has no golden case", template.Name)
		}
		var out bytes.Buffer
		for i, variables := range cases[template.Name] {
			r, err := l.Render(template.Name, decode(t, variables))
			if err != nil {
				t.Fatalf("%s %s: %v", template.Name, variables, err)
			}
			if i == 0 {
				fmt.Fprintf(&out, "%s version %d, %s\n--- system\n%s\n", r.Name, r.Version, r.Kind, r.System)
			}
			fmt.Fprintf(&out, "--- prompt of %s\n%s\n", variables, r.Prompt)
		}
		golden.Check(t, template.Name+".golden", out.Bytes())
	}
}

// The guide's names, and the variables that callers rely on.
func TestBuiltinVariables(t *testing.T) {
	want := map[string]string{
		"jean_core":          "text user_query: user_query string required, context string",
		"mobile_emulator":    "text question: question string required, app string, device string",
		"price_intelligence": "text : alibaba_price number required >=0, amazon_price number required >=0, weight number required >=0, has_free_shipping boolean required",
		"sdxl_image":         "image subject: subject string required, style string, details string",
	}
	templates := library(t).Templates()
	if len(templates) != len(want) {
		t.Errorf("there are %d templates, want %d", len(templates), len(want))
	}
	for _, template := range templates {
		var variables []string
		for _, v := range template.Variables {
			text := v.Name + " " + string(v.Type)
			if v.Required {
				text += " required"
			}
			if v.Minimum != nil {
				text += fmt.Sprint(" >=", *v.Minimum)
			}
			variables = append(variables, text)
		}
		got := fmt.Sprintf("%s %s: %s", template.Kind, template.Input, strings.Join(variables, ", "))
		if got != want[template.Name] {
			t.Errorf("%s: got %s, want %s", template.Name, got, want[template.Name])
		}
		if template.Source != "builtin" || template.Version < 1 {
			t.Errorf("%s comes from %q and has version %d", template.Name, template.Source, template.Version)
		}
	}
}

// SDXL reads about 77 tokens: with every style there is room for a subject.
func TestImagePromptIsShort(t *testing.T) {
	l := library(t)
	template, err := l.Template("sdxl_image")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string)
	for _, v := range template.Variables {
		for _, style := range v.Enum {
			r, err := l.Render("sdxl_image", map[string]any{"subject": "x", "style": style})
			if err != nil {
				t.Fatal(err)
			}
			if words := len(strings.Fields(r.Prompt)); words > 16 || words < 4 {
				t.Errorf("the style %s adds %d words: %s", style, words, r.Prompt)
			}
			if other, twice := seen[r.Prompt]; twice {
				t.Errorf("the styles %s and %s are alike", style, other)
			}
			seen[r.Prompt] = style
			if r.Kind != jeantrail.KindImage || r.System != "" {
				t.Errorf("an image has the kind %s and the system text %q", r.Kind, r.System)
			}
		}
	}
	if len(seen) == 0 {
		t.Error("sdxl_image has no styles")
	}
}
