package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Message is one turn of a conversation.
type Message struct {
	Role      string // system, user, assistant or tool
	Content   string
	Reasoning string // an assistant's earlier reasoning; "" means none was recorded
	ToolCalls []ToolCall
}

// ToolCall is one call of a tool by the assistant.
type ToolCall struct {
	Name      string
	Arguments string // a JSON object
}

// Segment is a part of a rendered prompt. A Special one is the text of exactly
// one of the template's special tokens; any other is plain text, part of it
// perhaps written by the caller.
type Segment struct {
	Text    string
	Special bool
}

// Known reports whether Render renders this Jinja source.
func Known(template string) bool {
	sum := sha256.Sum256([]byte(template))
	switch hex.EncodeToString(sum[:]) {
	case "87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5": // Qwen3-0.6B, as llama.cpp keeps it in models/templates
		return true
	}
	return false
}

// Text joins segments to the string that the template gives.
func Text(segments []Segment) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString(s.Text)
	}
	return b.String()
}

// Render renders a conversation, ending with the beginning of the assistant's
// turn. Tools are JSON objects. Without thinking, that turn begins with an empty
// block of reasoning.
func Render(messages []Message, tools []string, thinking bool) ([]Segment, error) {
	if len(messages) == 0 {
		return nil, errors.New("render Qwen3 template: there are no messages")
	}
	r := &renderer{messages: messages, last: lastQuery(messages)}
	if err := r.head(tools); err != nil {
		return nil, fmt.Errorf("render Qwen3 template: %w", err)
	}
	for i := range messages {
		if err := r.message(i); err != nil {
			return nil, fmt.Errorf("render Qwen3 template: message %d: %w", i, err)
		}
	}
	r.open("assistant")
	if !thinking {
		r.special("<think>")
		r.text("\n\n")
		r.special("</think>")
		r.text("\n\n")
	}
	return r.segments, nil
}

type renderer struct {
	messages []Message
	last     int // index of the last real question
	segments []Segment
}

func (r *renderer) special(token string) {
	r.segments = append(r.segments, Segment{Text: token, Special: true})
}

func (r *renderer) text(parts ...string) {
	text := strings.Join(parts, "")
	if text == "" {
		return
	}
	if n := len(r.segments); n > 0 && !r.segments[n-1].Special {
		r.segments[n-1].Text += text
		return
	}
	r.segments = append(r.segments, Segment{Text: text})
}

func (r *renderer) open(role string) {
	r.special("<|im_start|>")
	r.text(role, "\n")
}

func (r *renderer) close() {
	r.special("<|im_end|>")
	r.text("\n")
}

// lastQuery is the index of the last message of a user that is not the answer
// of a tool; the last message if there is none. Only what follows it keeps its
// reasoning.
func lastQuery(messages []Message) int {
	for i := len(messages) - 1; i >= 0; i-- {
		m := messages[i]
		answer := strings.HasPrefix(m.Content, "<tool_response>") && strings.HasSuffix(m.Content, "</tool_response>")
		if m.Role == "user" && !answer {
			return i
		}
	}
	return len(messages) - 1
}

// head renders the system turn.
func (r *renderer) head(tools []string) error {
	system := r.messages[0].Role == "system"
	if len(tools) == 0 {
		if system {
			r.open("system")
			r.text(r.messages[0].Content)
			r.close()
		}
		return nil
	}
	r.open("system")
	if system {
		r.text(r.messages[0].Content, "\n\n")
	}
	r.text("# Tools\n\nYou may call one or more functions to assist with the user query.\n\n" +
		"You are provided with function signatures within <tools></tools> XML tags:\n<tools>")
	for i, tool := range tools {
		formatted, err := FormatJSON(tool, nil)
		if err != nil {
			return fmt.Errorf("tool %d: %w", i, err)
		}
		r.text("\n", formatted)
	}
	r.text("\n</tools>\n\nFor each function call, return a json object with function name and arguments within ")
	r.special("<tool_call>")
	r.special("</tool_call>")
	r.text(" XML tags:\n")
	r.special("<tool_call>")
	r.text("\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n")
	r.special("</tool_call>")
	r.close()
	return nil
}

func (r *renderer) message(i int) error {
	m := r.messages[i]
	switch m.Role {
	case "user":
		r.turn(m)
	case "system":
		if i > 0 {
			r.turn(m)
		}
	case "assistant":
		return r.assistant(i)
	case "tool":
		r.toolResponse(i)
	default:
		return fmt.Errorf("role %q is not known", m.Role)
	}
	return nil
}

func (r *renderer) turn(m Message) {
	r.open(m.Role)
	r.text(m.Content)
	r.close()
}

func (r *renderer) assistant(i int) error {
	m := r.messages[i]
	content, reasoning := splitReasoning(m)
	r.open(m.Role)
	if i > r.last && (i == len(r.messages)-1 || reasoning != "") {
		r.special("<think>")
		r.text("\n", strings.Trim(reasoning, "\n"), "\n")
		r.special("</think>")
		r.text("\n\n", strings.TrimLeft(content, "\n"))
	} else {
		r.text(content)
	}
	for j, call := range m.ToolCalls {
		if j > 0 || content != "" {
			r.text("\n")
		}
		arguments, err := FormatJSON(call.Arguments, nil)
		if err != nil {
			return fmt.Errorf("arguments of tool call %d: %w", j, err)
		}
		r.special("<tool_call>")
		r.text("\n{\"name\": \"", call.Name, "\", \"arguments\": ", arguments, "}\n")
		r.special("</tool_call>")
	}
	r.close()
	return nil
}

// splitReasoning separates reasoning that a client sent back inside of the
// content.
func splitReasoning(m Message) (content, reasoning string) {
	if m.Reasoning != "" {
		return m.Content, m.Reasoning
	}
	before, _, found := strings.Cut(m.Content, "</think>")
	if !found {
		return m.Content, ""
	}
	content = m.Content[strings.LastIndex(m.Content, "</think>")+len("</think>"):]
	reasoning = strings.TrimRight(before, "\n")
	if i := strings.LastIndex(reasoning, "<think>"); i >= 0 {
		reasoning = reasoning[i+len("<think>"):]
	}
	return strings.TrimLeft(content, "\n"), strings.TrimLeft(reasoning, "\n")
}

// toolResponse renders the answer of a tool; answers in a row share one turn.
func (r *renderer) toolResponse(i int) {
	if i == 0 || r.messages[i-1].Role != "tool" {
		r.special("<|im_start|>")
		r.text("user")
	}
	r.text("\n")
	r.special("<tool_response>")
	r.text("\n", r.messages[i].Content, "\n")
	r.special("</tool_response>")
	if i == len(r.messages)-1 || r.messages[i+1].Role != "tool" {
		r.close()
	}
}
