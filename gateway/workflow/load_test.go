package workflow_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/prompt"
	"github.com/jeantrail/jeantrail-ai/gateway/workflow"
	"github.com/jeantrail/jeantrail-ai/internal/golden"
)

// Everything that is wrong is told at once, by line.
func TestManyMistakes(t *testing.T) {
	data, err := os.ReadFile("testdata/many.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = workflow.New(workflow.Options{Files: mapFS(map[string]string{"many.yaml": string(data)})})
	got := jeantrail.AsError(err).Message + "\n"
	golden.Check(t, "many.golden", []byte(got))
}

// full uses every part of a workflow.
const full = `# A comment.
name: full
description: Everything.
inputs:
  text: {type: string, required: true, description: d}
  count: {type: integer, description: d}
  ratio: {type: number, default: 1.5, description: d}
  loud: {type: boolean, default: true, description: d}
  audio: {type: audio, description: d}
  image: {type: image, description: d}
at_least_one_of: [audio, image]
stages:
  - parallel:
      - {name: hear, kind: transcribe, audio: "{{ inputs.audio }}", condition: inputs.audio != nil}
      - {name: look, kind: text, prompt: Look., images: ["{{ inputs.image }}"], on_error: skip}
  - name: draw
    kind: image
    template: sdxl_image
    variables: {subject: "{{ shorten(stages.look.text, 100) }}", style: photo}
    width: "{{ inputs.count }}"
    n: 2
    retries: 5
    timeout: 90s
  - name: think
    kind: text
    model: "{{ inputs.loud ? 'big' : 'small' }}"
    system: You think.
    prompt: |
      {{ stages.hear.text }}
      {{ len(stages.hear.segments) }} {{ inputs.ratio }}
    json_schema: {type: object, properties: {a: {type: string}}}
    stop: ["\n"]
    max_tokens: 100
    on_error: fallback
    fallback: {model: small, max_tokens: 50}
  - {name: say, kind: speak, text: "{{ stages.think.text }}", voice: anna, speed: "{{ inputs.ratio }}"}
output:
  images: "{{ stages.draw.artifacts }}"
  text: "{{ stages.think.text }} {{ stages.think.truncated }}"
`

func TestFilesAreRefused(t *testing.T) {
	if n := strings.Count(full, "\n"); n != 39 {
		t.Fatalf("the workflow has %d lines", n)
	}
	templates, err := prompt.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	load := func(text string) error {
		_, err := workflow.New(workflow.Options{Files: mapFS(map[string]string{"f.yaml": text}), Templates: templates})
		return err
	}
	if err := load(full); err != nil {
		t.Fatalf("the workflow itself is refused: %v", err)
	}
	const hear = `      - {name: hear, kind: transcribe, audio: "{{ inputs.audio }}", condition: inputs.audio != nil}`
	for _, c := range []struct{ name, old, replacement, message string }{
		{"no name", "name: full\n", "", "f.yaml:2: name: it is missing"},
		{"name with a slash", "name: full", "name: ../x", `f.yaml:2: name: "../x" is not a name`},
		{"unknown key", "description: Everything.", "description: d\noutputs: x", `f.yaml:4: "outputs": the key is not known`},
		{"key twice", "description: Everything.", "name: again", "f.yaml:3: name: the key is given twice"},
		{"description is a list", "description: Everything.", "description: [d]", "f.yaml:3: description: it must be text"},
		{"alias", "required: true", "required: &a true, x: *a", `f.yaml:5: inputs.text."x": the key is not known`},

		{"unknown type", "text: {type: string,", "text: {type: str,", `f.yaml:5: inputs.text.type: "str" is not known`},
		{"input in capitals", "  text: {", "  Text: {", `f.yaml:5: inputs.Text: "Text" is not a name`},
		{"default of another type", "default: 1.5", "default: high", "f.yaml:7: inputs.ratio.default: it must be a number"},
		{"default of a boolean", "default: true", "default: 1", "f.yaml:8: inputs.loud.default: it must be true or false"},
		{"default and required", "loud: {type: boolean, default: true,", "loud: {type: boolean, default: true, required: true,", "f.yaml:8: inputs.loud.default: a required input has no default"},
		{"one of unknown", "[audio, image]", "[audoi, image]", `f.yaml:11: at_least_one_of[0]: there is no input "audoi"`},
		{"one of required", "[audio, image]", "[text]", "f.yaml:11: at_least_one_of[0]: the input text is required"},

		{"no stages", "stages:\n  - parallel", "stages: []\nx:\n  - parallel", "f.yaml:12: stages: the list is empty"},
		{"stage is text", hear, "      - hear", "f.yaml:14: stages[0].parallel[0]: it must be a mapping"},
		{"stage without a name", "{name: hear, kind", "{kind", "f.yaml:14: stages[0].parallel[0].name: it is missing"},
		{"stage without a kind", "kind: transcribe, ", "", "f.yaml:14: stages[0].parallel[0].kind: it is missing"},
		{"unknown kind", "kind: transcribe", "kind: hear", `f.yaml:14: stages[0].parallel[0].kind: "hear" is not known`},
		{"pipeline within", "kind: transcribe", "kind: pipeline", `f.yaml:14: stages[0].parallel[0].kind: "pipeline" is not known`},
		{"two of a name", "name: hear", "name: think", "f.yaml:24: stages[2].name: there are two stages think"},
		{"group in a group", hear, "      - {parallel: [{name: hear, kind: text, prompt: a}]}", "f.yaml:14: stages[0].parallel[0]: a group cannot be within another"},
		{"group with a key", "  - parallel:", "  - name: x\n    parallel:", `f.yaml:13: stages[0]."name": the key is not known`},
		{"no audio", `audio: "{{ inputs.audio }}", `, "", "f.yaml:14: stages[0].parallel[0].audio: it is missing"},
		{"key of another kind", `audio: "{{ inputs.audio }}"`, `audio: "{{ inputs.audio }}", width: 3`, `f.yaml:14: stages[0].parallel[0]."width": the key is not known`},
		{"audio is text", `audio: "{{ inputs.audio }}"`, "audio: a.wav", "f.yaml:14: stages[0].parallel[0].audio: it must be a file"},
		{"audio is a text", `"{{ inputs.audio }}"`, `"{{ inputs.text }}"`, "f.yaml:14: stages[0].parallel[0].audio: {{ inputs.text }} is a text, it must be a file"},
		{"audio within a text", `"{{ inputs.audio }}"`, `"the {{ inputs.audio }}"`, "f.yaml:14: stages[0].parallel[0].audio: a text with expressions is a text, it must be a file"},
		{"images of text", `["{{ inputs.image }}"]`, `["{{ inputs.text }}"]`, "f.yaml:15: stages[0].parallel[1].images[0]: {{ inputs.text }} is a text"},
		{"no quotes", `"{{ inputs.audio }}"`, "{{ inputs.audio }}", "f.yaml:14: stages[0].parallel[0].audio: it must be a file"},
		{"no quotes in a block", "    width: \"{{ inputs.count }}\"", "    width: {{ inputs.count }: }", "f.yaml:20: stages[1].width: it must be a whole number"},

		{"unknown template", "template: sdxl_image", "template: sdxl", `f.yaml:18: stages[1].template: there is no template "sdxl"`},
		{"template of another kind", "template: sdxl_image", "template: jean_core", "f.yaml:18: stages[1].template: the template jean_core is for the kind text, not for image"},
		{"template from an input", "template: sdxl_image", `template: "{{ inputs.text }}"`, "f.yaml:18: stages[1].template: it must be a constant"},
		{"variable that there is not", "style: photo}", "stile: photo}", "f.yaml:19: stages[1].variables.stile: the template sdxl_image has no such variable"},
		{"variable that is missing", "{subject: \"{{ shorten(stages.look.text, 100) }}\", style: photo}", "{style: photo}", "f.yaml:18: stages[1].template: the template sdxl_image needs the variable subject"},
		{"variables without a template", "    template: sdxl_image\n", "    prompt: x\n", "f.yaml:19: stages[1].variables: variables need a template"},
		{"n too large", "    n: 2", "    n: 9", "f.yaml:21: stages[1].n: n is 9, it must be between 1 and 8"},
		{"n is text", "    n: 2", "    n: two", "f.yaml:21: stages[1].n: it must be a whole number"},
		{"retries too many", "retries: 5", "retries: 6", "f.yaml:22: stages[1].retries: it must be a whole number from 0 to 5"},
		{"no time", "timeout: 90s", "timeout: 90", "f.yaml:23: stages[1].timeout: it must be text"},
		{"too short", "timeout: 90s", "timeout: 1ms", "f.yaml:23: stages[1].timeout: it must be a time from 1s to 24h0m0s"},

		{"system with an expression", "You think.", `"You think of {{ inputs.text }}"`, "f.yaml:27: stages[2].system: it must be a constant"},
		{"a model that a stage chose", "inputs.loud ? 'big' : 'small'", "stages.look.text", "f.yaml:26: stages[2].model: what a stage gave cannot choose a model"},
		{"a line of a block", "{{ len(stages.hear.segments) }}", "{{ len(stages.hear.segmnts) }}", "f.yaml:30: stages[2].prompt: {{ len(stages.hear.segmnts) }}: unknown field segmnts"},
		{"the same stage", "{{ stages.hear.text }}\n", "{{ stages.think.text }}\n", "f.yaml:29: stages[2].prompt: {{ stages.think.text }}: the stage think has not run before"},
		{"a later stage", "{{ stages.hear.text }}\n", "{{ stages.say.status }}\n", "f.yaml:29: stages[2].prompt: {{ stages.say.status }}: the stage say has not run before"},
		{"a stage of the same group", "prompt: Look.", `prompt: "{{ stages.hear.text }}"`, "f.yaml:15: stages[0].parallel[1].prompt: {{ stages.hear.text }}: the stage hear has not run before"},
		{"an unknown stage", "{{ stages.hear.text }}\n", "{{ stages.haer.text }}\n", `f.yaml:29: stages[2].prompt: {{ stages.haer.text }}: there is no stage "haer"`},
		{"an unknown input", "{{ inputs.ratio }}\n", "{{ inputs.ration }}\n", `f.yaml:30: stages[2].prompt: {{ inputs.ration }}: there is no input "ration"`},
		{"what the kind has not", "{{ stages.hear.text }}\n", "{{ stages.draw.text }}\n", "f.yaml:29: stages[2].prompt: {{ stages.draw.text }}: unknown field text"},
		{"a list in a text", "{{ stages.hear.text }}\n", "{{ stages.hear.segments }}\n", "f.yaml:28: stages[2].prompt: {{ stages.hear.segments }} is a list or an object, it cannot stand within a text"},
		{"no expression", "{{ stages.hear.text }}\n", "{{ }}\n", "f.yaml:29: stages[2].prompt: {{ }} has no expression"},
		{"not closed", "{{ inputs.ratio }}\n", "{{ inputs.ratio\n", "f.yaml:30: stages[2].prompt: {{ has no }} after it"},
		{"no syntax", "{{ stages.hear.text }}\n", "{{ stages. }}\n", "f.yaml:29: stages[2].prompt: {{ stages. }}: "},
		{"schema is a list", "json_schema: {type: object, properties: {a: {type: string}}}", "json_schema: [a]", "f.yaml:31: stages[2].json_schema: it must be a JSON schema"},
		{"schema is no JSON", "json_schema: {type: object, properties: {a: {type: string}}}", "json_schema: '{'", "f.yaml:31: stages[2].json_schema: json_schema is not valid JSON"},
		{"stop is empty", `stop: ["\n"]`, `stop: [""]`, "f.yaml:32: stages[2].stop[0]: it must be text"},
		{"max_tokens 0", "max_tokens: 100", "max_tokens: 0", "f.yaml:33: stages[2].max_tokens: it is 0"},
		{"no fallback", "    fallback: {model: small, max_tokens: 50}\n", "", "f.yaml:34: stages[2].fallback: it is missing"},
		{"fallback of no use", "    on_error: fallback\n", "", "f.yaml:34: stages[2].fallback: on_error says that it is never used"},
		{"fallback is empty", "fallback: {model: small, max_tokens: 50}", "fallback: {}", "f.yaml:35: stages[2].fallback: it is empty"},
		{"fallback with a name", "fallback: {model: small,", "fallback: {name: small,", `f.yaml:35: stages[2].fallback."name": the key is not known`},
		{"output and more", "fallback: {model: small,", "fallback: {output: small,", "f.yaml:35: stages[2].fallback.output: it stands for the stage"},
		{"output of speech", "voice: anna", "on_error: fallback, fallback: {output: x}", `f.yaml:36: stages[3].fallback."output": the key is not known`},
		{"voice is a path", "voice: anna", "voice: ../anna", `f.yaml:36: stages[3].voice: voice "../anna" is not a name`},

		{"condition is text", "inputs.audio != nil", "inputs.text", "f.yaml:14: stages[0].parallel[0].condition: expected bool, but got string"},
		{"condition of a later stage", "inputs.audio != nil", "stages.draw.status == 'x'", "f.yaml:14: stages[0].parallel[0].condition: the stage draw has not run before"},
		{"output without an expression", `images: "{{ stages.draw.artifacts }}"`, "images: stages.draw.artifacts", "f.yaml:38: output.images: it has no expression"},
		{"no output", "output:\n", "output: {}\nx:\n", "f.yaml:37: output: it must have between 1"},

		{"ranges", "{{ stages.hear.text }}\n", "{{ len(1..9) }}\n", "f.yaml:29: stages[2].prompt: {{ len(1..9) }}: ranges are not allowed"},
		{"map", "{{ stages.hear.text }}\n", "{{ len(map(stages.hear.segments, .text)) }}\n", "f.yaml:29: stages[2].prompt: {{ len(map(stages.hear.segments, .text)) }}: the function map is not allowed"},
		{"let", "{{ stages.hear.text }}\n", "{{ let a = 1; a }}\n", "f.yaml:29: stages[2].prompt: {{ let a = 1; a }}: \"let a = 1; a\" is not allowed"},
		{"the environment", "{{ stages.hear.text }}\n", "{{ $env.inputs.text }}\n", "f.yaml:29: stages[2].prompt: {{ $env.inputs.text }}: the name \"$env\" is not known"},
		{"all stages", "{{ stages.hear.text }}\n", "{{ stages == nil }}\n", "f.yaml:29: stages[2].prompt: {{ stages == nil }}: stages stands alone"},
		{"a computed name", "{{ stages.hear.text }}\n", "{{ inputs[inputs.text] }}\n", "f.yaml:29: stages[2].prompt: {{ inputs[inputs.text] }}: the name after inputs must be written out"},
		{"an unknown function", "{{ stages.hear.text }}\n", "{{ exec(inputs.text) }}\n", "f.yaml:29: stages[2].prompt: {{ exec(inputs.text) }}: the function \"exec\" is not known"},
		{"the clock", "{{ stages.hear.text }}\n", "{{ now() }}\n", "f.yaml:29: stages[2].prompt: {{ now() }}: the function now is not allowed"},
		{"a cut text", "{{ stages.hear.text }}\n", "{{ inputs.text[0:3] }}\n", "f.yaml:29: stages[2].prompt: {{ inputs.text[0:3] }}: [a:b] cuts a text between bytes"},
		{"a hidden field", "{{ stages.hear.text }}\n", "{{ inputs.audio.content }}\n", "f.yaml:29: stages[2].prompt: {{ inputs.audio.content }}: "},
		{"a long expression", "{{ stages.hear.text }}\n", "{{ '" + strings.Repeat("x", 2048) + "' }}\n", "f.yaml:29: stages[2].prompt: {{ '" + strings.Repeat("x", 2048) + "' }}: the expression has 2052 bytes"},
		{"a large expression", "{{ stages.hear.text }}\n", "{{ 1" + strings.Repeat("+1", 300) + " }}\n", "f.yaml:29: stages[2].prompt: {{ 1" + strings.Repeat("+1", 300) + " }}: "},
		{"types do not fit", "{{ stages.hear.text }}\n", "{{ inputs.text + 1 }}\n", "f.yaml:29: stages[2].prompt: {{ inputs.text + 1 }}: invalid operation: + (mismatched types string and int)"},
		{"a fraction of pixels", `width: "{{ inputs.count }}"`, `width: "{{ inputs.count / 2 }}"`, "f.yaml:20: stages[1].width: {{ inputs.count / 2 }} is a number, it must be a whole number"},
	} {
		if strings.Count(full, c.old) != 1 {
			t.Fatalf("%s: the workflow has %q %d times", c.name, c.old, strings.Count(full, c.old))
		}
		err := load(strings.Replace(full, c.old, c.replacement, 1))
		e := jeantrail.AsError(err)
		if err == nil || e.Code != jeantrail.CodeInvalid {
			t.Errorf("%s: got %v, want %s", c.name, err, c.message)
			continue
		}
		told := false
		for line := range strings.Lines(e.Message) {
			told = told || strings.HasPrefix(line, c.message)
		}
		if !told {
			t.Errorf("%s: got %s, want %s", c.name, e.Message, c.message)
		}
	}
}

func TestDocumentsAreRefused(t *testing.T) {
	var many strings.Builder
	for i := range 17 {
		fmt.Fprintf(&many, "  - parallel: [{name: a%d, kind: text, prompt: x}, {name: b%d, kind: text, prompt: x}]\n", i, i)
	}
	for _, c := range []struct{ name, text, message string }{
		{"nothing", "", "f.yaml:1: workflow: the file is empty"},
		{"text", "hello", "f.yaml:1: workflow: it must be a mapping"},
		{"two documents", full + "---\n" + full, "f.yaml:40: workflow: the file has a second document"},
		{"no YAML", "name: [", "f.yaml:1: workflow: the file is not valid YAML"},
		{"too large", "# " + strings.Repeat("x", 256<<10), "f.yaml:1: workflow: the file has 262146 bytes"},
		{"deeply nested", strings.Repeat("[", 20000), "f.yaml:1: workflow: the file is not valid YAML"},
		{"too many stages", "name: a\ndescription: d\nstages:\n" + many.String() + "output: {a: \"{{ 1 }}\"}\n", "f.yaml:4: stages: there are 34 stages, the most is 32"},
	} {
		_, err := workflow.New(workflow.Options{Files: mapFS(map[string]string{"f.yaml": c.text})})
		if e := jeantrail.AsError(err); err == nil || e.Code != jeantrail.CodeInvalid || !strings.HasPrefix(e.Message, c.message) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.message)
		}
	}
}
