package workflow_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

// What only shows when it is evaluated is the stage's failure.
func TestExpressionsThatFail(t *testing.T) {
	for _, c := range []struct{ stages, message string }{
		{`  - {name: a, kind: image, prompt: a, condition: "not inputs.go"}
  - {name: b, kind: text, prompt: "{{ stages.a.artifacts[0].width }}"}
`, "stage b: prompt: {{ stages.a.artifacts[0].width }}: index out of range: 0 (array length is 0)"},
		{`  - {name: a, kind: transcribe, audio: "{{ inputs.file }}"}
`, "stage a: the request has no audio"},
		{`  - {name: a, kind: text, prompt: "{{ inputs.file.bytes }}"}
`, "stage a: prompt: {{ inputs.file.bytes }}: it reads a value that is not there"},
		{`  - {name: a, kind: image, prompt: a, n: "{{ inputs.go ? 9 : 1 }}"}
`, "stage a: n is 9, it must be between 1 and 8"},
		{`  - {name: a, kind: image, prompt: a, width: "{{ 4294967296 }}"}
`, "stage a: width: it is 4294967296, it must be between 1 and 2147483647"},
		{`  - {name: a, kind: text, prompt: a, condition: "int('x') > 1"}
`, "stage a: condition: {{ int('x') > 1 }}: "},
	} {
		text := flow(c.stages)["flow.yaml"]
		text = strings.Replace(text, "inputs:\n", "inputs:\n  file: {type: audio, description: d}\n", 1)
		result, _, err := process(t, t.Context(), library(t, map[string]string{"flow.yaml": text}), newRoad(t, nil), "flow", nil)
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeInvalid || !strings.HasPrefix(e.Message, c.message) {
			t.Errorf("got %s: %v, want %s", e.Code, err, c.message)
		}
		if result.FinishReason != jeantrail.FinishError || !strings.HasSuffix(statuses(result), ":failed") {
			t.Errorf("%s: %s", c.message, statuses(result))
		}
	}
}

func TestOutputs(t *testing.T) {
	text := flow("  - {name: a, kind: image, prompt: a, n: 2}\n  - {name: t, kind: transcribe, audio: \"{{ inputs.file }}\"}\n")["flow.yaml"]
	text = strings.Replace(text, "inputs:\n", "inputs:\n  file: {type: audio, description: d}\n", 1)
	for _, c := range []struct {
		expr  string
		value any
		fails string
	}{
		{"{{ inputs.file }}", map[string]any{"input": "file"}, ""},
		{"{{ stages.a.artifacts[1] }}", map[string]any{"job_id": "job-0", "index": 1}, ""},
		{"{{ filter(stages.a.artifacts, .width > 1000) }}", []any{}, ""},
		{"{{ {'n': len(stages.a.artifacts), 'half': 0.5} }}", map[string]any{"n": 2, "half": 0.5}, ""},
		{"{{ first(stages.t.segments) }}", map[string]any{"start": 0.0, "end": 1.0, "text": "words"}, ""},
		{"{{ len(stages.a.artifacts) }} images", "2 images", ""},
		{"{{ nil }}", nil, ""},
		{"{{ 1 / 0 }}", nil, "output.go: it is not a finite number"},
	} {
		files := map[string]string{"flow.yaml": strings.Replace(text, `"{{ inputs.go }}"`, `"`+c.expr+`"`, 1)}
		result, _, err := process(t, t.Context(), library(t, files), newRoad(t, nil), "flow", map[string]any{"file": recording})
		if c.fails != "" {
			if jeantrail.AsError(err).Message != c.fails {
				t.Errorf("%s: %v", c.expr, err)
			}
			continue
		}
		want := map[string]any{"go": c.value}
		if err != nil || !maps.EqualFunc(result.Pipeline.Output, want, equal) {
			t.Errorf("%s: %#v, %v", c.expr, result.Pipeline.Output, err)
		}
	}
}
