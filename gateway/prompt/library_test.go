package prompt_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/prompt"
)

func file(path, text string) prompt.File { return prompt.File{Path: path, Data: []byte(text)} }

// full uses every key that a template may have.
const full = `# A comment.
name: full
version: 3
kind: text
description: Everything.
input: text
variables:
  - {name: text, type: string, required: true, max_length: 5, description: A text.}
  - {name: tone, type: string, enum: [calm, "no"], default: calm, description: A tone.}
  - {name: price, type: number, minimum: -1.5, default: 2.50, description: A price.}
  - {name: count, type: integer, minimum: 1, description: A count.}
  - {name: loud, type: boolean, default: true, description: Loud or not.}
system: |-
  Be {{.tone}}.
  {{- if .loud}} Be loud.{{else if eq .tone "calm"}} Whisper.{{end}}
prompt: |
  {{.text}} {{.price}}{{if and .count (ne .tone "no")}} {{.count}} times{{end}}
`

func TestOverrides(t *testing.T) {
	l := library(t, file("home/full.yaml", full), file("home/mine.yaml", `
name: jean_core
version: 9
kind: text
description: Mine.
prompt: Say hello.
`))
	var names []string
	for _, template := range l.Templates() {
		names = append(names, template.Name)
	}
	if want := []string{"full", "jean_core", "mobile_emulator", "price_intelligence", "sdxl_image"}; !slices.Equal(names, want) {
		t.Errorf("templates %v, want %v", names, want)
	}
	mine, err := l.Template("jean_core")
	if err != nil || mine.Version != 9 || mine.Source != "home/mine.yaml" || mine.Prompt != "Say hello." || mine.System != "" {
		t.Errorf("the file did not replace the built-in template: %+v, %v", mine, err)
	}

	r, err := l.Render("full", decode(t, `{"text": "abc", "count": 2, "loud": false}`))
	want := jeantrail.RenderedTemplate{Name: "full", Version: 3, Kind: jeantrail.KindText, System: "Be calm. Whisper.", Prompt: "abc 2.50 2 times\n"}
	if err != nil || *r != want {
		t.Errorf("rendered %+v, %v; want %+v", r, err, want)
	}
}

func TestTwoFilesOfOneName(t *testing.T) {
	_, err := prompt.New([]prompt.File{file("a.yaml", full), file("b.yaml", full)})
	if jeantrail.CodeOf(err) != jeantrail.CodeInvalid || !strings.Contains(err.Error(), "a.yaml") || !strings.Contains(err.Error(), "b.yaml") {
		t.Errorf("two files of one name: %v", err)
	}
}

func TestUnknownTemplate(t *testing.T) {
	l := library(t)
	_, err := l.Template("jean")
	_, other := l.Render("jean", nil)
	for _, err := range []error{err, other} {
		e := jeantrail.AsError(err)
		if e.Code != jeantrail.CodeNotFound || !strings.Contains(e.Hint, "jean_core, mobile_emulator, price_intelligence, sdxl_image") {
			t.Errorf("an unknown template: %v (%s)", err, e.Hint)
		}
	}
}

// What a caller does to a template must not reach the library.
func TestTemplatesAreCopies(t *testing.T) {
	l := library(t, file("full.yaml", full))
	before, err := l.Template("full")
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(template *jeantrail.Template) {
		for i := range template.Variables {
			v := &template.Variables[i]
			v.Name = "spoilt"
			if v.Minimum != nil {
				*v.Minimum = 1e9
			}
			for j := range v.Enum {
				v.Enum[j] = "spoilt"
			}
		}
	}
	spoilt, _ := l.Template("full")
	spoil(spoilt)
	for _, template := range l.Templates() {
		spoil(&template)
	}
	if after, _ := l.Template("full"); !reflect.DeepEqual(before, after) {
		t.Errorf("the template changed: %+v", after)
	}
	if _, err := l.Render("full", decode(t, `{"text": "a", "price": 0}`)); err != nil {
		t.Errorf("the library changed: %v", err)
	}
}
