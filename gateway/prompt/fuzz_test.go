package prompt

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jeantrail/jeantrail-ai"
)

// fuzzFiles use everything that a template may have. They are small, since small
// seeds mutate faster.
var fuzzFiles = []string{`name: a
version: 1
kind: text
description: d
input: s
variables:
  - {name: s, type: string, required: true, max_length: 9, description: d}
  - {name: e, type: string, enum: [a, b], default: b, description: d}
  - {name: n, type: number, minimum: 0, description: d}
  - {name: i, type: integer, description: d}
  - {name: b, type: boolean, default: false, description: d}
system: |-
  {{if eq .e "a" "b"}}{{.n}}{{else if ne .s "x"}}{{"y"}}{{end}}
prompt: |-
  {{.s}}{{if or (trim .s) (not .b)}}{{.e}}|{{.i}}{{.b}}{{end}}
`, "name: b\nversion: 2\nkind: image\ndescription: d\ninput: s\nvariables: [{name: s, type: string, description: d}]\nprompt: '{{trim .s}}'\n",
}

// FuzzLoad holds the loader to its promises on any file: no panic, an error that
// names the file, and, of what it accepts, a template that every valid value
// renders and whose system text no free text can change.
func FuzzLoad(f *testing.F) {
	for _, seed := range fuzzFiles {
		if _, err := load(File{Path: "f.yaml", Data: []byte(seed)}); err != nil {
			f.Fatal(err) // a seed that is refused reaches no later rule
		}
		f.Add([]byte(seed))
	}
	f.Add([]byte("name: t\nversion: 1\nkind: text\ndescription: d\nprompt: '{{define \"prompt\"}}{{range .s}}{{end}}{{end}}'"))
	f.Add([]byte("name: &a x\nversion: *a\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := load(File{Path: "f.yaml", Data: data})
		if err != nil {
			e := jeantrail.AsError(err)
			if e.Code != jeantrail.CodeInvalid || !strings.HasPrefix(e.Message, "f.yaml:") || !utf8.ValidString(e.Message) {
				t.Fatalf("refused with the code %s: %q", e.Code, e.Message)
			}
			return
		}
		l := &Library{templates: map[string]*compiled{c.Name: c}}
		plain := renderFilled(t, l, &c.Template, "x")
		marked := renderFilled(t, l, &c.Template, "<|im_end|>")
		if plain != nil && marked != nil && plain.System != marked.System {
			t.Fatalf("a text changed the system text from %q to %q", plain.System, marked.System)
		}
	})
}

// renderFilled renders with a valid value for every variable, the text for those
// that take any. It returns nil if the prompt comes out empty or too long.
func renderFilled(t *testing.T, l *Library, template *jeantrail.Template, text string) *jeantrail.RenderedTemplate {
	variables := make(map[string]any)
	for _, v := range template.Variables {
		switch {
		case len(v.Enum) > 0:
			variables[v.Name] = v.Enum[0]
		case v.Type == jeantrail.VariableString:
			variables[v.Name] = text[:min(len(text), max(v.MaxLength, 1))]
		case v.Type == jeantrail.VariableBoolean:
			variables[v.Name] = true
		case v.Minimum != nil:
			number, err := json.Marshal(*v.Minimum)
			if err != nil {
				t.Fatal(err)
			}
			if v.Type == jeantrail.VariableInteger {
				number, _ = json.Marshal(int64(*v.Minimum))
			}
			variables[v.Name] = json.Number(number)
		default:
			variables[v.Name] = json.Number("7")
		}
	}
	r, err := l.Render(template.Name, variables)
	if err != nil {
		if code := jeantrail.CodeOf(err); code != jeantrail.CodeTooLarge && !strings.Contains(err.Error(), "gives an empty prompt") {
			t.Fatalf("%v is refused: %v", variables, err)
		}
		return nil
	}
	if len(r.System)+len(r.Prompt) > jeantrail.MaxPromptBytes || !utf8.ValidString(r.System) || !utf8.ValidString(r.Prompt) {
		t.Fatalf("rendered %d and %d bytes", len(r.System), len(r.Prompt))
	}
	return r
}

// FuzzRender holds the renderer to its promises on any JSON object: no panic, no
// error but the documented ones, and every text and number that goes in comes out unchanged.
func FuzzRender(f *testing.F) {
	l, err := New([]File{{Path: "a.yaml", Data: []byte(fuzzFiles[0])}, {Path: "b.yaml", Data: []byte(fuzzFiles[1])}})
	if err != nil {
		f.Fatal(err)
	}
	templates := l.Templates()
	for _, variables := range []string{
		`{"user_query": "<|im_end|>", "context": "{{.}}"}`,
		`{"alibaba_price": 1.10, "amazon_price": 2e1, "weight": 0, "has_free_shipping": true}`,
		`{"subject": "a cat", "style": "photo", "details": "\u0000\ud83d\ude00"}`,
		`{"question": "why", "app": "Maps", "device": "phone"}`,
		`{"s": "a", "n": 1e-400, "i": 9223372036854775808, "b": null, "e": []}`,
		`{"s": "abc", "n": 1E+2, "i": -0, "b": true}`,
	} {
		for i := range templates {
			f.Add(uint8(i), variables)
		}
	}
	codes := []jeantrail.Code{jeantrail.CodeInvalid, jeantrail.CodeTooLarge}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		var variables map[string]any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if decoder.Decode(&variables) != nil {
			return
		}
		template := &templates[int(which)%len(templates)]
		r, err := l.Render(template.Name, variables)
		if err != nil {
			if e := jeantrail.AsError(err); !slices.Contains(codes, e.Code) || !strings.Contains(e.Message, template.Name) {
				t.Fatalf("refused with the code %s: %v", e.Code, err)
			}
			return
		}
		for name, value := range variables {
			i := slices.IndexFunc(template.Variables, func(v jeantrail.TemplateVariable) bool { return v.Name == name })
			if i < 0 {
				t.Fatalf("the unknown variable %q was taken", name)
			}
			shown, isText := value.(string)
			if number, ok := value.(json.Number); ok {
				shown, isText = string(number), true
			}
			if v := template.Variables[i]; isText && v.Enum == nil && !strings.Contains(r.System+"\n"+r.Prompt, strings.TrimSpace(shown)) {
				t.Fatalf("the value %q of %s is not in %q, %q", shown, name, r.System, r.Prompt)
			}
		}
		if template.Kind != jeantrail.KindText {
			return
		}
		if err := Apply(r, &jeantrail.TextRequest{}); err != nil {
			t.Fatal(err)
		}
	})
}
