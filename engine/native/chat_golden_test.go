//go:build cgo

package native_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/chat"
	"github.com/jeantrail/jeantrail-ai/engine/native"
)

// TestChatEqualsCommonChat feeds the golden cases to llama.cpp's own template
// engine and to the native renderer: the same text, and the same tokens.
func TestChatEqualsCommonChat(t *testing.T) {
	d := open(t, native.Options{})
	if !chat.Known(d.Info().ChatTemplate) {
		t.Fatal("the model's chat template is not one that the native renderer knows")
	}
	data, err := os.ReadFile("../chat/testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name     string `json:"name"`
		Messages []struct {
			Role, Content, Reasoning string
			ToolCalls                []engine.ToolCall `json:"tool_calls"`
		} `json:"messages"`
		Tools    []string `json:"tools"`
		Thinking bool     `json:"thinking"`
		Prompt   string   `json:"prompt"`
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			var theirs []engine.ChatMessage
			var ours []chat.Message
			words := strings.Join(c.Tools, "")
			for _, m := range c.Messages {
				theirs = append(theirs, engine.ChatMessage{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning, ToolCalls: m.ToolCalls})
				msg := chat.Message{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning}
				for _, call := range m.ToolCalls {
					msg.ToolCalls = append(msg.ToolCalls, chat.ToolCall(call))
				}
				ours = append(ours, msg)
				words += m.Content + m.Reasoning
			}
			reference, err := d.RenderChat(t.Context(), theirs, c.Tools, c.Thinking)
			if err != nil {
				t.Fatal(err)
			}
			segments, err := chat.Render(ours, c.Tools, c.Thinking)
			if err != nil {
				t.Fatal(err)
			}
			if got := chat.Text(segments); got != reference || got != c.Prompt {
				t.Errorf("native    %q\nreference %q\ngolden    %q", got, reference, c.Prompt)
			}
			if strings.Contains(words, "<|") {
				return // the reference reads control tokens in what a user wrote
			}
			sameTokens(t, d, segments, reference)
		})
	}
}

// sameTokens compares the tokens of segments, tokenised as the engine does,
// with those of the whole text.
func sameTokens(t *testing.T, d *native.Decoder, segments []chat.Segment, reference string) {
	t.Helper()
	want, err := d.Vocab().Tokenize(reference, true)
	if err != nil {
		t.Fatal(err)
	}
	var got []engine.Token
	var text strings.Builder
	flush := func() {
		more, err := d.Vocab().Tokenize(text.String(), false)
		if err != nil {
			t.Fatal(err)
		}
		text.Reset()
		got = append(got, more...)
	}
	for _, s := range segments {
		id, single := d.Vocab().Lookup(s.Text)
		if !s.Special || !single {
			text.WriteString(s.Text)
			continue
		}
		flush()
		got = append(got, id)
	}
	flush()
	if !slices.Equal(got, want) {
		t.Errorf("tokens of the segments %v\nof the whole text     %v", got, want)
	}
}
