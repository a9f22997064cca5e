package engine

import (
	"context"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine/chat"
)

// tokenizePrompt makes a request's prompt.
func (e *Engine) tokenizePrompt(ctx context.Context, t *jeantrail.TextRequest, images layouts) (history, error) {
	marks := newImageMarks(len(images.files))
	if t.Raw {
		// Who leaves out the template writes the control tokens himself.
		return e.tokenize([]chat.Segment{{Text: t.Prompt, Special: true}}, marks, images)
	}
	messages, err := conversation(t)
	if err != nil {
		return history{}, err
	}
	if err := marks.place(messages); err != nil {
		return history{}, err
	}
	segments, err := e.render(ctx, messages, t.Tools, t.Thinking)
	if err != nil {
		return history{}, err
	}
	return e.tokenize(segments, marks, images)
}

// conversation lists the messages of a request, system first.
func conversation(t *jeantrail.TextRequest) ([]chat.Message, error) {
	var messages []chat.Message
	if t.System != "" {
		if len(t.Messages) > 0 && t.Messages[0].Role == "system" {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "system and a first message with the role system exclude each other").
				WithHint("Send one of them.")
		}
		messages = append(messages, chat.Message{Role: "system", Content: t.System})
	}
	if t.Prompt != "" {
		messages = append(messages, chat.Message{Role: "user", Content: t.Prompt})
	}
	for _, m := range t.Messages {
		c := chat.Message{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning}
		for _, call := range m.ToolCalls {
			c.ToolCalls = append(c.ToolCalls, chat.ToolCall{Name: call.Name, Arguments: call.Arguments})
		}
		messages = append(messages, c)
	}
	return messages, nil
}

// render applies the model's chat template: natively if this program knows it,
// else through the decoder.
func (e *Engine) render(ctx context.Context, messages []chat.Message, tools []string, thinking bool) ([]chat.Segment, error) {
	if chat.Known(e.info.ChatTemplate) {
		segments, err := chat.Render(messages, tools, thinking)
		if err != nil {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "render prompt: %w", err)
		}
		return segments, nil
	}
	renderer, ok := e.dec.(Renderer)
	if !ok || e.info.ChatTemplate == "" {
		return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "the model %s has no chat template", e.opts.Model).
			WithHint(`Send "raw": true with the prompt exactly as the model expects it.`)
	}
	return e.renderForeign(ctx, renderer, messages, tools, thinking)
}

// renderForeign renders with a template that this program does not know.
//
// Its output is one string in which the caller's words and the template's
// control tokens look alike. So each control token that a caller wrote is
// replaced by a mark that nobody can guess, before the template sees it, and
// comes back as plain text when the output is split at the marks. Words without
// control tokens reach the template unchanged, whatever it does with them.
func (e *Engine) renderForeign(ctx context.Context, r Renderer, messages []chat.Message, tools []string, thinking bool) ([]chat.Segment, error) {
	m := newMarker(e.vocab.controls)
	converted := make([]ChatMessage, len(messages))
	for i, msg := range messages {
		c := ChatMessage{Role: msg.Role, Content: m.hide(msg.Content), Reasoning: m.hide(msg.Reasoning)}
		for _, call := range msg.ToolCalls {
			arguments, err := m.hideJSON(call.Arguments)
			if err != nil {
				return nil, err
			}
			c.ToolCalls = append(c.ToolCalls, ToolCall{Name: m.hide(call.Name), Arguments: arguments})
		}
		converted[i] = c
	}
	hiddenTools := make([]string, len(tools))
	for i, tool := range tools {
		var err error
		if hiddenTools[i], err = m.hideJSON(tool); err != nil {
			return nil, err
		}
	}
	prompt, err := r.RenderChat(ctx, converted, hiddenTools, thinking)
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "render prompt: %w", err).
			WithHint("The model's chat template does not accept these messages or tools.")
	}
	return m.split(prompt), nil
}
