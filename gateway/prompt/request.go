package prompt

import (
	"maps"

	"github.com/jeantrail/jeantrail-ai"
)

// Fill returns the variables with the request's prompt as the template's input
// variable. Without a prompt there is nothing to fill. It returns invalid if the
// template has no input variable, or if that is given as well.
func Fill(t *jeantrail.Template, variables map[string]any, prompt string) (map[string]any, error) {
	if prompt == "" {
		return variables, nil
	}
	if t.Input == "" {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the template %s has no variable for a prompt", t.Name).
			WithHint("Leave prompt out and send variables; GET /templates/%s describes them.", t.Name).WithName("template", t.Name)
	}
	if _, given := variables[t.Input]; given {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "prompt fills the variable %s of the template %s, which is given too", t.Input, t.Name).
			WithHint("Send prompt or the variable.").WithName("template", t.Name)
	}
	filled := maps.Clone(variables)
	if filled == nil {
		filled = make(map[string]any, 1)
	}
	filled[t.Input] = prompt
	return filled, nil
}

// Apply puts a rendered template into a text request, whose own prompt Fill has
// moved to the variables. It changes nothing and returns invalid if the template
// is for another kind of job, or the request is raw, has a prompt or messages,
// or has a system text where the template has one too; too_large if the
// request's system text and the template's prompt are too much together.
func Apply(t *jeantrail.RenderedTemplate, text *jeantrail.TextRequest) error {
	refused := func(hint, format string, args ...any) error {
		args = append([]any{t.Name}, args...)
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the template %s "+format, args...).WithHint("%s", hint).WithName("template", t.Name)
	}
	switch {
	case t.Kind != jeantrail.KindText:
		return refused("Choose a template of the kind text.", "is for the kind %s, not for text", t.Kind)
	case text.Raw:
		return refused("Leave out raw or the template.", "makes messages, which raw excludes")
	case text.Prompt != "" || len(text.Messages) > 0:
		return refused("Leave out prompt and messages, and send variables.", "makes the prompt; the request has one of its own")
	case t.System != "" && text.System != "":
		return refused("Leave system out.", "has a system text; the request has one of its own")
	case len(text.System)+len(t.System)+len(t.Prompt) > jeantrail.MaxPromptBytes:
		return tooLarge(t.Name)
	}
	text.Prompt = t.Prompt
	if t.System != "" {
		text.System = t.System
	}
	return nil
}
