package server

import (
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/jeantrail/jeantrail-ai"
)

// wireVariables are a template's variables as a caller sends them. Numbers keep
// their digits, so that an amount is not rounded on its way.
type wireVariables map[string]any

// UnmarshalJSON reads an object of strings, numbers, true and false; null is
// none at all. A name that comes twice is refused.
func (v *wireVariables) UnmarshalJSON(data []byte) error {
	values, err := namedValues(data, "variables", "variable", variableValue)
	if *v = nil; len(values) > 0 {
		*v = values
	}
	return err
}

func variableValue(name string, raw json.RawMessage) (any, error) {
	value, plain, err := plainValue(raw)
	if err != nil || plain {
		return value, err
	}
	return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the variable %q is neither a string nor a number, true or false", name).
		WithHint("Leave it out to have its default.")
}

// Schema implements huma.SchemaProvider.
func (wireVariables) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject,
		AdditionalProperties: &huma.Schema{OneOf: []*huma.Schema{
			{Type: huma.TypeString}, {Type: huma.TypeNumber}, {Type: huma.TypeBoolean},
		}},
	}
}

type wireVariable struct {
	Name        string   `json:"name"`
	Type        string   `json:"type" enum:"string,number,integer,boolean"`
	Description string   `json:"description"`
	Required    bool     `json:"required"`
	Default     any      `json:"default,omitempty" doc:"What it is if it is left out; of the type."`
	Enum        []string `json:"enum,omitempty" nullable:"false" doc:"The only values of a string."`
	Minimum     *float64 `json:"minimum,omitempty" doc:"Of a number."`
	MaxLength   int      `json:"max_length,omitempty" doc:"Of a string, in characters; left out if it has no limit of its own."`
}

// wireTemplate is a prompt template; a listing leaves out its texts.
type wireTemplate struct {
	Name        string         `json:"name"`
	Version     int            `json:"version"`
	Kind        string         `json:"kind"`
	Description string         `json:"description"`
	Source      string         `json:"source" doc:"builtin, or the file that it was read from; only administrators see the file."`
	Input       string         `json:"input,omitempty" doc:"The variable that a request's prompt fills."`
	Variables   []wireVariable `json:"variables" nullable:"false"`
	System      string         `json:"system,omitempty" doc:"In the syntax of Go's text/template."`
	Prompt      string         `json:"prompt,omitempty" doc:"As system."`
}

type wireTemplates struct {
	Templates []*wireTemplate `json:"templates" nullable:"false"`
}

func templateOf(t *jeantrail.Template, p jeantrail.Principal) *wireTemplate {
	out := &wireTemplate{
		Name: t.Name, Version: t.Version, Kind: string(t.Kind), Description: t.Description, Source: t.Source,
		Input: t.Input, Variables: make([]wireVariable, 0, len(t.Variables)),
	}
	if t.Source != builtinSource && p.Role != jeantrail.RoleAdmin {
		out.Source = "file"
	}
	for _, v := range t.Variables {
		out.Variables = append(out.Variables, wireVariable{
			Name: v.Name, Type: string(v.Type), Description: v.Description, Required: v.Required,
			Default: v.Default, Enum: v.Enum, Minimum: v.Minimum, MaxLength: v.MaxLength,
		})
	}
	return out
}

// builtinSource is the source of a template that no file has.
const builtinSource = "builtin"

// listTemplates serves GET /templates.
func (s *Server) listTemplates(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r); err != nil {
		return err
	}
	list := s.opt.Money.Templates()
	out := wireTemplates{Templates: make([]*wireTemplate, 0, len(list))}
	for i := range list {
		out.Templates = append(out.Templates, templateOf(&list[i], caller(r)))
	}
	return writeJSON(w, http.StatusOK, &out)
}

// getTemplate serves GET /templates/{name}.
func (s *Server) getTemplate(w http.ResponseWriter, r *http.Request) error {
	t, err := s.opt.Money.Template(r.PathValue("name"))
	if err != nil {
		return err
	}
	out := templateOf(t, caller(r))
	out.System, out.Prompt = t.System, t.Prompt
	return writeJSON(w, http.StatusOK, out)
}

// renderRequest is the body of POST /templates/{name}/render.
type renderRequest struct {
	Variables wireVariables `json:"variables,omitempty"`
}

// wireRendered is what a template makes of its variables.
type wireRendered struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Kind    string `json:"kind"`
	System  string `json:"system,omitempty"`
	Prompt  string `json:"prompt"`
}

// renderTemplate serves POST /templates/{name}/render.
func (s *Server) renderTemplate(w http.ResponseWriter, r *http.Request) error {
	var body renderRequest
	if err := s.readJSON(w, r, &body); err != nil {
		return err
	}
	out, err := s.opt.Money.RenderTemplate(r.PathValue("name"), body.Variables)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, &wireRendered{
		Name: out.Name, Version: out.Version, Kind: string(out.Kind), System: out.System, Prompt: out.Prompt,
	})
}
