package jeantrail_test

import (
	"math"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func text(change func(*jeantrail.TextRequest)) *jeantrail.Request {
	t := &jeantrail.TextRequest{Prompt: "hello"}
	if change != nil {
		change(t)
	}
	return &jeantrail.Request{Kind: jeantrail.KindText, Text: t}
}

func ptr[T any](v T) *T { return &v }

func TestValidateAccepts(t *testing.T) {
	for name, r := range map[string]*jeantrail.Request{
		"a prompt": text(nil),
		"messages": text(func(t *jeantrail.TextRequest) {
			t.Prompt = ""
			t.Messages = []jeantrail.Message{{Role: "user", Content: "héllo"}}
		}),
		"every number": text(func(t *jeantrail.TextRequest) {
			t.MaxTokens, t.Temperature, t.TopP, t.TopK = ptr(1), ptr(0.0), ptr(1.0), ptr(0)
			t.Stop = []string{"\n"}
			t.LogitBias = map[int32]float64{3: -100}
		}),
	} {
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateRefusesAndSaysWhat(t *testing.T) {
	type change = func(*jeantrail.TextRequest)
	for want, r := range map[string]*jeantrail.Request{
		"kind":               {Kind: "poem"},
		"needs a prompt":     {Kind: jeantrail.KindText},
		"priority":           {Kind: jeantrail.KindText, Priority: "now", Text: &jeantrail.TextRequest{Prompt: "x"}},
		"user_id":            {Kind: jeantrail.KindText, UserID: "\xff", Text: &jeantrail.TextRequest{Prompt: "x"}},
		"neither":            text(change(func(t *jeantrail.TextRequest) { t.Prompt = "" })),
		"prompt and messag":  text(func(t *jeantrail.TextRequest) { t.Messages = []jeantrail.Message{{Role: "user"}} }),
		"role":               text(func(t *jeantrail.TextRequest) { t.Prompt = ""; t.Messages = []jeantrail.Message{{Role: "god"}} }),
		"raw":                text(func(t *jeantrail.TextRequest) { t.Raw = true; t.System = "x" }),
		"not valid UTF-8":    text(func(t *jeantrail.TextRequest) { t.Prompt = "\xc3" }),
		"the most is 838860": text(func(t *jeantrail.TextRequest) { t.Prompt = strings.Repeat("x", jeantrail.MaxPromptBytes+1) }),
		"max_tokens":         text(func(t *jeantrail.TextRequest) { t.MaxTokens = ptr(0) }),
		"temperature":        text(func(t *jeantrail.TextRequest) { t.Temperature = ptr(math.NaN()) }),
		"top_p":              text(func(t *jeantrail.TextRequest) { t.TopP = ptr(1.5) }),
		"top_k":              text(func(t *jeantrail.TextRequest) { t.TopK = ptr(-1) }),
		"stop string":        text(func(t *jeantrail.TextRequest) { t.Stop = []string{""} }),
		"stop has":           text(func(t *jeantrail.TextRequest) { t.Stop = make([]string, jeantrail.MaxStops+1) }),
		"logit_bias":         text(func(t *jeantrail.TextRequest) { t.LogitBias = map[int32]float64{-1: 0} }),
		"exclude each other": text(func(t *jeantrail.TextRequest) { t.Grammar = "x"; t.JSONSchema = "{}" }),
		"json_schema":        text(func(t *jeantrail.TextRequest) { t.JSONSchema = "{" }),
		"a tool":             text(func(t *jeantrail.TextRequest) { t.Tools = []string{"{"} }),
	} {
		err := r.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error that says %q, got %v", want, err)
			continue
		}
		if code := jeantrail.CodeOf(err); code != jeantrail.CodeInvalid && code != jeantrail.CodeTooLarge {
			t.Errorf("%s: code %s", want, code)
		}
	}
}
