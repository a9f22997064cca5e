package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func num(s string) json.Number { return json.Number(s) }

const everyInput = `name: inputs
description: Has every type.
inputs:
  text: {type: string, required: true, description: d}
  count: {type: integer, description: d}
  ratio: {type: number, default: 0.5, description: d}
  loud: {type: boolean, default: true, description: d}
  audio: {type: audio, description: d}
  image: {type: image, description: d}
at_least_one_of: [audio, image]
stages:
  - name: say
    kind: text
    prompt: "{{ inputs.text }} {{ inputs.count }} {{ inputs.ratio }} {{ inputs.loud }} {{ inputs.audio?.media_type }}"
output: {text: "{{ stages.say.text }}"}
`

func TestInputs(t *testing.T) {
	l := library(t, map[string]string{"inputs.yaml": everyInput})
	for _, c := range []struct {
		name    string
		input   map[string]any
		message string // "" if it is in order
	}{
		{"all", map[string]any{"text": "a", "count": num("-3"), "ratio": num("1e2"), "loud": false, "audio": recording, "image": picture}, ""},
		{"least", map[string]any{"text": "a", "image": picture}, ""},
		{"null is none", map[string]any{"text": "a", "image": picture, "count": nil}, ""},
		{"nothing", nil, "text is missing"},
		{"empty", map[string]any{"text": " ", "image": picture}, "text is empty"},
		{"none of the files", map[string]any{"text": "a"}, "at least one is needed of audio, image"},
		{"unknown", map[string]any{"text": "a", "image": picture, "txet": "b"}, `"txet" is not an input (did you mean text?)`},
		{"far from any", map[string]any{"text": "a", "image": picture, "elephant": "b"}, `"elephant" is not an input`},
		{"text is a number", map[string]any{"text": num("1"), "image": picture}, "text must be a string, not a number"},
		{"text is an object", map[string]any{"text": map[string]any{}, "image": picture}, "text must be a string, not an object"},
		{"text is no UTF-8", map[string]any{"text": "\xff", "image": picture}, "text is not valid UTF-8"},
		{"count has a fraction", map[string]any{"text": "a", "image": picture, "count": num("1.5")}, "count must be an integer"},
		{"count is too large", map[string]any{"text": "a", "image": picture, "count": num("9007199254740993")}, "count must be an integer"},
		{"count is text", map[string]any{"text": "a", "image": picture, "count": "1"}, "count must be an integer, not a string"},
		{"ratio is too large", map[string]any{"text": "a", "image": picture, "ratio": num("1e999")}, "ratio must be a number that is not too large"},
		{"loud is text", map[string]any{"text": "a", "image": picture, "loud": "yes"}, "loud must be true or false, not a string"},
		{"audio is text", map[string]any{"text": "a", "audio": "data:audio/wav;base64,AA=="}, "audio must be a file of audio, not a string"},
		{"audio is an image", map[string]any{"text": "a", "audio": picture}, "audio must be a file of audio, not a file of image/jpeg"},
		{"image is audio", map[string]any{"text": "a", "image": recording}, "image must be a file of an image, not a file of audio/wav"},
		{"text is a file", map[string]any{"text": picture, "image": picture}, "text must be a string, not a file of image/jpeg"},
		{"all at once", map[string]any{"x": 1, "loud": num("1")}, `"x" is not an input; text is missing; loud must be true or false, not a number`},
	} {
		_, err := prepare(t, l, newRoad(t, nil), parent("inputs", c.input))
		if c.message == "" {
			if err != nil {
				t.Errorf("%s: refused: %v", c.name, err)
			}
			continue
		}
		e := jeantrail.AsError(err)
		if err == nil || e.Code != jeantrail.CodeInvalid || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.message)
			continue
		}
		if !strings.HasPrefix(e.Message, "inputs of the workflow inputs: ") || !strings.Contains(e.Hint, "count (integer, optional)") {
			t.Errorf("%s: %s (%s)", c.name, e.Message, e.Hint)
		}
	}
}

func TestInputsReachThePrompt(t *testing.T) {
	road := newRoad(t, nil)
	input := map[string]any{"text": "a{{ inputs.count }}", "count": num("4"), "image": picture}
	if _, _, err := process(t, t.Context(), library(t, map[string]string{"inputs.yaml": everyInput}), road, "inputs", input); err != nil {
		t.Fatal(err)
	}
	if got, want := road.jobs[0].Request.Text.Prompt, "a{{ inputs.count }} 4 0.5 true "; got != want {
		t.Errorf("the prompt is %q, want %q", got, want)
	}
}
