package prompt

import (
	"errors"
	"strings"
	"text/template"

	"github.com/jeantrail/jeantrail-ai"
)

// Render makes the texts of a template. The variables are as JSON decoded with
// UseNumber gives them: string, json.Number or bool. It returns not_found for a
// template that there is not, invalid with everything that is wrong with the
// variables, by name, and too_large if system text and prompt would be more than
// jeantrail.MaxPromptBytes together.
func (l *Library) Render(name string, variables map[string]any) (*jeantrail.RenderedTemplate, error) {
	c, err := l.find(name)
	if err != nil {
		return nil, err
	}
	data, err := c.values(variables)
	if err != nil {
		return nil, err
	}
	r := &jeantrail.RenderedTemplate{Name: c.Name, Version: c.Version, Kind: c.Kind}
	if r.System, err = c.execute(c.system, data, jeantrail.MaxPromptBytes); err != nil {
		return nil, err
	}
	if r.Prompt, err = c.execute(c.prompt, data, jeantrail.MaxPromptBytes-len(r.System)); err != nil {
		return nil, err
	}
	if strings.TrimSpace(r.Prompt) == "" {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the template %s gives an empty prompt with these variables", c.Name).
			WithHint("%s", c.signature()).WithName("template", c.Name)
	}
	return r, nil
}

// execute runs one of the template's texts, nil for none, up to room bytes.
func (c *compiled) execute(t *template.Template, data map[string]any, room int) (string, error) {
	if t == nil {
		return "", nil
	}
	w := bounded{room: room}
	switch err := t.Execute(&w, data); {
	case errors.Is(err, errNoRoom):
		return "", tooLarge(c.Name)
	case err != nil:
		return "", jeantrail.Errorf(jeantrail.CodeInternal, "render the template %s: %w", c.Name, err)
	}
	return w.text.String(), nil
}

func tooLarge(name string) *jeantrail.Error {
	return jeantrail.Errorf(jeantrail.CodeTooLarge, "the template %s gives more than %d bytes with these variables", name, jeantrail.MaxPromptBytes).
		WithHint("Send shorter texts.").WithName("template", name).WithNumber("limit", jeantrail.MaxPromptBytes)
}

var errNoRoom = errors.New("the text is too long")

// bounded collects text up to a number of bytes. A template may write a long
// variable many times.
type bounded struct {
	text strings.Builder
	room int
}

// Write implements the writer that a template writes to.
func (w *bounded) Write(p []byte) (int, error) {
	if len(p) > w.room {
		return 0, errNoRoom
	}
	w.room -= len(p)
	return w.text.Write(p)
}
