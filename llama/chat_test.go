//go:build cgo

package llama

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
)

var (
	weather = json.RawMessage(`{"name":"weather","description":"Weather \"now\"","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}`)
	talk    = []ChatMessage{
		{Role: "system", Content: "Be brief."},
		{Role: "user", Content: "Hi"},
		{Role: "assistant", Content: "Hello", Reasoning: "They greet."},
		{Role: "user", Content: "Weather in Köln?"},
	}
	called = append(append([]ChatMessage(nil), talk...),
		ChatMessage{Role: "assistant", Reasoning: "A tool.", ToolCalls: []ChatToolCall{{Name: "weather", Arguments: `{"city": "Köln"}`}}},
		ChatMessage{Role: "tool", Content: "rain"})
)

// The short way to a prompt gives what the long way of llama-server gives.
func TestRenderOnlyEqualsAnalysed(t *testing.T) {
	m := openModel(t)
	for name, r := range map[string]ChatRequest{
		"one":           {Messages: talk[1:2]},
		"thinking":      {Messages: talk[1:2], Thinking: true},
		"turns":         {Messages: talk, Thinking: true},
		"tools":         {Messages: talk, Tools: []json.RawMessage{weather}},
		"called":        {Messages: called, Tools: []json.RawMessage{weather}, Thinking: true},
		"no generation": {Messages: talk[:3], NoGenerationPrompt: true},
	} {
		short, err := m.RenderChat(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r.Analyze = true
		long, err := m.RenderChat(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if short != long {
			t.Errorf("%s: short %q, long %q", name, short, long)
		}
	}
}

func TestRenderChat(t *testing.T) {
	m := openModel(t)
	got, err := m.RenderChat(ChatRequest{Messages: talk})
	if err != nil {
		t.Fatal(err)
	}
	want := "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n" +
		"<|im_start|>user\nWeather in Köln?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	got, err = m.RenderChat(ChatRequest{Messages: called, Tools: []json.RawMessage{weather}, Thinking: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"<tools>\n{\"type\": \"function\"", `"name": "weather"`, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Köln\"}}\n</tool_call>",
		"<tool_response>\nrain\n</tool_response>", "<think>\nA tool.\n</think>"} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in %q", part, got)
		}
	}
	if !strings.HasSuffix(got, "<|im_start|>assistant\n") {
		t.Errorf("thinking does not end with an open turn: %q", got)
	}
	for name, r := range map[string]ChatRequest{
		"arguments": {Messages: []ChatMessage{{Role: "assistant", ToolCalls: []ChatToolCall{{Name: "x", Arguments: "{"}}}}},
		"tool":      {Messages: talk, Tools: []json.RawMessage{json.RawMessage(`[1]`)}},
		"nameless":  {Messages: talk, Tools: []json.RawMessage{json.RawMessage(`{}`)}},
	} {
		if _, err := m.RenderChat(r); !errors.Is(err, ErrArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRenderChatConcurrently(t *testing.T) {
	m := openModel(t)
	want, err := m.RenderChat(ChatRequest{Messages: talk})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				if got, err := m.RenderChat(ChatRequest{Messages: talk}); err != nil || got != want {
					t.Errorf("%q, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
