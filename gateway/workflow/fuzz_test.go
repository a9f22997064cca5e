package workflow

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jeantrail/jeantrail-ai"
)

// FuzzLoad holds the loader to its promises on any file: no panic, an error that
// names the file, and, of what it accepts, requests that can be made of it and
// whose system text is a constant.
func FuzzLoad(f *testing.F) {
	entries, err := builtinFiles.ReadDir("builtin")
	if err != nil {
		f.Fatal(err)
	}
	for _, entry := range entries {
		data, err := builtinFiles.ReadFile("builtin/" + entry.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("name: a\ndescription: d\ninputs: {x: {type: string, description: d}}\nstages:\n- parallel:\n  - {name: s, kind: text, prompt: '{{ inputs.x }}', condition: inputs.x != ''}\noutput: {o: '{{ stages.s.text }}'}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := load("f.yaml", data, nil)
		if err != nil {
			e := jeantrail.AsError(err)
			if e.Code != jeantrail.CodeInvalid || !strings.HasPrefix(e.Message, "f.yaml:") || !utf8.ValidString(e.Message) {
				t.Fatalf("refused with the code %s: %q", e.Code, e.Message)
			}
			return
		}
		if len(w.stages) > MaxStages || len(w.Stages) != len(w.stages) {
			t.Fatalf("there are %d stages, %d are listed", len(w.stages), len(w.Stages))
		}
		inputs := make(map[string]any)
		for _, in := range w.Inputs {
			inputs[in.Name] = nil
			if in.Type == typeString {
				inputs[in.Name] = "{{ 1 }}"
			}
		}
		e := &estimator{work: &work{workflow: w, inputs: inputs}, stages: make(map[string]*foreseen)}
		for _, s := range w.stages {
			if holds, err := s.holds(e.scope(0)); err != nil || !holds {
				e.stages[s.name] = &foreseen{skipped: true}
				continue
			}
			r, err := s.plan.request(e.scope(0))
			if err == nil && r.Text != nil && strings.Contains(r.Text.System, "{{ 1 }}") && !strings.Contains(string(data), "{{ 1 }}") {
				t.Fatalf("a caller's text is in the system text %q", r.Text.System)
			}
			e.stages[s.name] = &foreseen{words: 3}
		}
		_, _ = w.outputs(e.scope(0))
	})
}
