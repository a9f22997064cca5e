package llama

import (
	"encoding/json"
	"fmt"
)

// ChatRequest is a conversation to render.
type ChatRequest struct {
	Messages []ChatMessage
	// Tools are JSON objects: a function {"name", "description", "parameters"},
	// or one wrapped as {"type": "function", "function": ...}.
	Tools    []json.RawMessage
	Thinking bool
	// NoGenerationPrompt leaves out the opening of the assistant's next turn.
	NoGenerationPrompt bool
	// Analyze goes the long way of llama-server, which also derives a parser for
	// the answer; the text is the same. It is the reference in tests.
	Analyze bool
}

// ChatMessage is one message as templates see it.
type ChatMessage struct {
	Role      string
	Content   string
	Reasoning string
	ToolCalls []ChatToolCall
}

// ChatToolCall is a call of a tool by the assistant.
type ChatToolCall struct {
	Name      string
	Arguments string // a JSON object
}

type openAIMessage struct {
	Role      string           `json:"role"`
	Content   string           `json:"content"`
	Reasoning string           `json:"reasoning_content,omitempty"`
	ToolCalls []openAIToolCall `json:"tool_calls,omitempty"`
}

type openAIToolCall struct {
	ID       string         `json:"id"`
	Type     string         `json:"type"`
	Function openAIFunction `json:"function"`
}

type openAIFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// openAI encodes the request in the form that llama-common parses; tools is
// empty if there are none.
func (r ChatRequest) openAI() (messages, tools []byte, err error) {
	list := make([]openAIMessage, 0, len(r.Messages))
	for _, m := range r.Messages {
		msg := openAIMessage{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning}
		for i, c := range m.ToolCalls {
			if !json.Valid([]byte(c.Arguments)) {
				return nil, nil, fmt.Errorf("%w: the arguments of the call of tool %q are not valid JSON", ErrArgument, c.Name)
			}
			msg.ToolCalls = append(msg.ToolCalls, openAIToolCall{
				ID:       fmt.Sprintf("call_%d", i),
				Type:     "function",
				Function: openAIFunction(c),
			})
		}
		list = append(list, msg)
	}
	if messages, err = json.Marshal(list); err != nil {
		return nil, nil, fmt.Errorf("encode messages: %w", err)
	}
	if len(r.Tools) == 0 {
		return messages, nil, nil
	}
	wrapped := make([]json.RawMessage, 0, len(r.Tools))
	for _, t := range r.Tools {
		w, err := wrapTool(t)
		if err != nil {
			return nil, nil, err
		}
		wrapped = append(wrapped, w)
	}
	if tools, err = json.Marshal(wrapped); err != nil {
		return nil, nil, fmt.Errorf("encode tools: %w", err)
	}
	return messages, tools, nil
}

// wrapTool gives a bare function the envelope of OpenAI's form.
func wrapTool(tool json.RawMessage) (json.RawMessage, error) {
	var probe struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}
	if err := json.Unmarshal(tool, &probe); err != nil {
		return nil, fmt.Errorf("%w: a tool is not a JSON object: %w", ErrArgument, err)
	}
	if probe.Type == "function" {
		return tool, nil
	}
	if probe.Name == "" {
		return nil, fmt.Errorf("%w: a tool has no name", ErrArgument)
	}
	return json.RawMessage(`{"type":"function","function":` + string(tool) + `}`), nil
}
