package workflow

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/jeantrail/jeantrail-ai"
)

// parameter is a key that stages of a kind have.
type parameter struct {
	want  shape
	fixed bool // no expressions
	read  func(l *loader, n *yaml.Node, field string) *value
	put   func(r *jeantrail.Request, v any) error
}

func text(to func(r *jeantrail.Request) *string) parameter {
	return parameter{want: shapeText, put: func(r *jeantrail.Request, v any) error {
		*to(r) = v.(string)
		return nil
	}}
}

// constant is a text without expressions.
func constant(p parameter) parameter {
	p.fixed = true
	return p
}

func number(to func(r *jeantrail.Request) **float64) parameter {
	return parameter{want: shapeNumber, put: func(r *jeantrail.Request, v any) error {
		f := v.(float64)
		*to(r) = &f
		return nil
	}}
}

func flag(to func(r *jeantrail.Request) *bool) parameter {
	return parameter{want: shapeBoolean, put: func(r *jeantrail.Request, v any) error {
		*to(r) = v.(bool)
		return nil
	}}
}

// whole is an integer within the limits that its place has.
func whole(least, most int64, put func(r *jeantrail.Request, i int64)) parameter {
	return parameter{want: shapeInteger, put: func(r *jeantrail.Request, v any) error {
		i := v.(int64)
		if i < least || i > most {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "it is %d, it must be between %d and %d", i, least, most)
		}
		put(r, i)
		return nil
	}}
}

func counted(to func(r *jeantrail.Request) *int) parameter {
	return whole(1, math.MaxInt32, func(r *jeantrail.Request, i int64) { *to(r) = int(i) })
}

func optional(to func(r *jeantrail.Request) **int) parameter {
	return whole(0, math.MaxInt32, func(r *jeantrail.Request, i int64) { n := int(i); *to(r) = &n })
}

// parameters are the keys that are about the request of a kind; nil for a kind
// that a stage cannot have.
func parameters(kind jeantrail.Kind) map[string]parameter {
	switch kind {
	case jeantrail.KindText:
		return textParameters()
	case jeantrail.KindImage:
		return imageParameters()
	case jeantrail.KindTranscribe:
		return transcribeParameters()
	case jeantrail.KindSpeak:
		return speakParameters()
	}
	return nil
}

func stageKinds() []jeantrail.Kind {
	return []jeantrail.Kind{jeantrail.KindText, jeantrail.KindImage, jeantrail.KindTranscribe, jeantrail.KindSpeak}
}

func textParameters() map[string]parameter {
	type request = jeantrail.Request
	return map[string]parameter{
		"prompt":            text(func(r *request) *string { return &r.Text.Prompt }),
		"system":            constant(text(func(r *request) *string { return &r.Text.System })),
		"max_tokens":        whole(1, math.MaxInt32, func(r *request, i int64) { n := int(i); r.Text.MaxTokens = &n }),
		"temperature":       number(func(r *request) **float64 { return &r.Text.Temperature }),
		"top_p":             number(func(r *request) **float64 { return &r.Text.TopP }),
		"top_k":             optional(func(r *request) **int { return &r.Text.TopK }),
		"min_p":             number(func(r *request) **float64 { return &r.Text.MinP }),
		"typical_p":         number(func(r *request) **float64 { return &r.Text.TypicalP }),
		"seed":              whole(0, math.MaxUint32, func(r *request, i int64) { n := uint32(i); r.Text.Seed = &n }),
		"repeat_penalty":    number(func(r *request) **float64 { return &r.Text.RepeatPenalty }),
		"frequency_penalty": number(func(r *request) **float64 { return &r.Text.FrequencyPenalty }),
		"presence_penalty":  number(func(r *request) **float64 { return &r.Text.PresencePenalty }),
		"dry_multiplier":    number(func(r *request) **float64 { return &r.Text.DryMultiplier }),
		"thinking":          flag(func(r *request) *bool { return &r.Text.Thinking }),
		"raw":               flag(func(r *request) *bool { return &r.Text.Raw }),
		"ignore_eos":        flag(func(r *request) *bool { return &r.Text.IgnoreEOS }),
		"cache":             {want: shapeBoolean, put: func(r *request, v any) error { b := v.(bool); r.Cache = &b; return nil }},
		"grammar":           constant(text(func(r *request) *string { return &r.Text.Grammar })),
		"json_schema": {
			read: (*loader).schema,
			put:  func(r *request, v any) error { r.Text.JSONSchema = v.(string); return nil },
		},
		"stop": {
			read: (*loader).texts,
			put:  func(r *request, v any) error { r.Text.Stop = v.([]string); return nil },
		},
		"images": {
			read: (*loader).files,
			put: func(r *request, v any) error {
				for _, f := range v.([]*attachment) {
					r.Text.Images = append(r.Text.Images, f.content)
				}
				return nil
			},
		},
	}
}

func imageParameters() map[string]parameter {
	type request = jeantrail.Request
	return map[string]parameter{
		"prompt":          text(func(r *request) *string { return &r.Image.Prompt }),
		"negative_prompt": text(func(r *request) *string { return &r.Image.NegativePrompt }),
		"width":           counted(func(r *request) *int { return &r.Image.Width }),
		"height":          counted(func(r *request) *int { return &r.Image.Height }),
		"steps":           counted(func(r *request) *int { return &r.Image.Steps }),
		"cfg_scale":       number(func(r *request) **float64 { return &r.Image.CFGScale }),
		"seed":            whole(0, maxExactInteger, func(r *request, i int64) { r.Image.Seed = &i }),
		"n":               counted(func(r *request) *int { return &r.Image.N }),
	}
}

func transcribeParameters() map[string]parameter {
	type request = jeantrail.Request
	return map[string]parameter{
		"audio": {want: shapeFile, put: func(r *request, v any) error {
			r.Transcribe.Audio = v.(*attachment).content
			return nil
		}},
		"language":    text(func(r *request) *string { return &r.Transcribe.Language }),
		"translate":   flag(func(r *request) *bool { return &r.Transcribe.Translate }),
		"prompt":      text(func(r *request) *string { return &r.Transcribe.Prompt }),
		"temperature": number(func(r *request) **float64 { return &r.Transcribe.Temperature }),
		"format": {want: shapeText, put: func(r *request, v any) error {
			r.Transcribe.Format = jeantrail.TranscriptFormat(v.(string))
			return nil
		}},
	}
}

func speakParameters() map[string]parameter {
	type request = jeantrail.Request
	return map[string]parameter{
		"text":     text(func(r *request) *string { return &r.Speak.Text }),
		"voice":    text(func(r *request) *string { return &r.Speak.Voice }),
		"language": text(func(r *request) *string { return &r.Speak.Language }),
		"speed":    number(func(r *request) **float64 { return &r.Speak.Speed }),
		"format":   text(func(r *request) *string { return &r.Speak.Format }),
	}
}

// main names the parameter that a stage of the kind cannot do without.
func mainParameter(kind jeantrail.Kind) string {
	switch kind {
	case jeantrail.KindTranscribe:
		return "audio"
	case jeantrail.KindSpeak:
		return "text"
	}
	return "prompt"
}

// hasTemplates reports whether prompt templates are made for the kind.
func hasTemplates(kind jeantrail.Kind) bool {
	return kind == jeantrail.KindText || kind == jeantrail.KindImage
}

// planKeys are the keys of a stage of the kind that its fallback can replace.
func planKeys(kind jeantrail.Kind) []string {
	keys := append(slices.Collect(maps.Keys(parameters(kind))), "model")
	if hasTemplates(kind) {
		keys = append(keys, "template", "variables")
	}
	return keys
}

// empty returns a request of the kind that says nothing yet.
func empty(kind jeantrail.Kind) jeantrail.Request {
	r := jeantrail.Request{Kind: kind}
	switch kind {
	case jeantrail.KindText:
		r.Text = new(jeantrail.TextRequest)
	case jeantrail.KindImage:
		r.Image = new(jeantrail.ImageRequest)
	case jeantrail.KindTranscribe:
		r.Transcribe = new(jeantrail.TranscribeRequest)
	case jeantrail.KindSpeak:
		r.Speak = new(jeantrail.SpeakRequest)
	}
	return r
}

// sample returns a request of the kind that is in order as it is.
func sample(kind jeantrail.Kind) jeantrail.Request {
	r := empty(kind)
	switch kind {
	case jeantrail.KindText:
		r.Text.Prompt = "x"
	case jeantrail.KindImage:
		r.Image.Prompt = "x"
	case jeantrail.KindTranscribe:
		r.Transcribe.Audio.SHA256 = strings.Repeat("0", 64)
	case jeantrail.KindSpeak:
		r.Speak.Text = "x"
	}
	return r
}

// schema reads a JSON schema: a text that has it, or the same as a mapping.
func (l *loader) schema(n *yaml.Node, field string) *value {
	if n.Kind == yaml.ScalarNode {
		return l.fixed(n, field, shapeText)
	}
	var tree any
	if err := n.Decode(&tree); err != nil {
		l.wrong(n.Line, field, "", "it is not a JSON schema: %v", err)
		return nil
	}
	schema, err := json.Marshal(tree)
	if err != nil || n.Kind != yaml.MappingNode {
		l.wrong(n.Line, field, "", "it must be a JSON schema")
		return nil
	}
	return &value{constant: string(schema)}
}

// jsonScalar makes what a template's variable may be of an expression's value.
func jsonScalar(v any) (any, bool) {
	switch v := v.(type) {
	case string, bool:
		return v, true
	case int:
		return json.Number(strconv.Itoa(v)), true
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), true
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, false
		}
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64)), true
	}
	return nil, false
}
