package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
)

// varHelp is how --var is read, in the words of every command that has it.
const varHelp = "each --var NAME=VALUE fills one more. A value that reads as a number, true or false\n" +
	"is sent as that; quote it for text, as in --var 'code=\"42\"'."

// filling is a template and what its variables are.
type filling struct {
	template string
	vars     []string
}

func (f *filling) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.vars, "var", nil, "NAME=VALUE: a variable of the template; may be repeated")
}

// check refuses variables that nothing reads.
func (f *filling) check() error {
	if len(f.vars) > 0 && f.template == "" {
		return errUsage{errors.New("--var needs --template")}
	}
	return nil
}

// needPrompt checks the arguments: only a template can do without a prompt.
func (f *filling) needPrompt(cmd *cobra.Command, a []string) error {
	if f.template != "" {
		return nil
	}
	return cobra.MinimumNArgs(1)(cmd, a)
}

// into puts template and variables into the body of a request.
func (f *filling) into(body map[string]any) error {
	if f.template == "" {
		return nil
	}
	variables, err := f.variables()
	if err != nil {
		return err
	}
	body["template"] = f.template
	if len(variables) > 0 {
		body["variables"] = variables
	}
	return nil
}

// intoWith does the same, with the text of the arguments as that field: the prompt,
// or what fills the template's main variable.
func (f *filling) intoWith(cmd *cobra.Command, a []string, body map[string]any, field string) (map[string]any, error) {
	if err := f.into(body); err != nil {
		return nil, err
	}
	text, err := promptText(cmd.InOrStdin(), a)
	if err != nil {
		return nil, err
	}
	if len(a) > 0 {
		body[field] = text
	}
	return body, nil
}

// variables reads the --var flags.
func (f *filling) variables() (map[string]any, error) {
	variables := make(map[string]any, len(f.vars))
	for _, pair := range f.vars {
		name, text, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return nil, errUsage{fmt.Errorf("--var %q is not NAME=VALUE", pair)}
		}
		if _, twice := variables[name]; twice {
			return nil, errUsage{fmt.Errorf("--var gives %s twice", name)}
		}
		value, err := variableValue(text)
		if err != nil {
			return nil, errUsage{fmt.Errorf("--var %s: %w", name, err)}
		}
		variables[name] = value
	}
	return variables, nil
}

// variableValue reads what JSON takes for a number, true, false or a string in
// quotes as that, anything else as the text that it is. A number keeps its
// digits.
func variableValue(text string) (any, error) {
	switch {
	case text == "true" || text == "false":
		return text == "true", nil
	case strings.HasPrefix(text, `"`):
		var s string
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return nil, fmt.Errorf("%s begins with a quote but is no string of JSON", text)
		}
		return s, nil
	case text != "" && strings.Contains("-0123456789", text[:1]) && text == strings.TrimSpace(text) && json.Valid([]byte(text)):
		return json.Number(text), nil
	default:
		return text, nil
	}
}

// wireTemplate is a template as /templates/{name} shows it.
type wireTemplate struct {
	Name        string `json:"name"`
	Version     int    `json:"version"`
	Kind        string `json:"kind"`
	Description string `json:"description"`
	Source      string `json:"source"`
	Input       string `json:"input"`
	Variables   []struct {
		Name        string   `json:"name"`
		Type        string   `json:"type"`
		Description string   `json:"description"`
		Required    bool     `json:"required"`
		Default     any      `json:"default"`
		Enum        []string `json:"enum"`
		Minimum     *float64 `json:"minimum"`
		MaxLength   int      `json:"max_length"`
	} `json:"variables"`
	System string `json:"system"`
	Prompt string `json:"prompt"`
}

type wireRendered struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	System  string `json:"system"`
	Prompt  string `json:"prompt"`
}

func templatePath(name string) string { return "/templates/" + url.PathEscape(name) }

// render fills the template over the interface; a prompt becomes its main
// variable.
func (f *filling) render(ctx context.Context, s *Session, prompt string) (*wireRendered, error) {
	variables, err := f.variables()
	if err != nil {
		return nil, err
	}
	if prompt != "" {
		var t wireTemplate
		if err := s.get(ctx, http.MethodGet, templatePath(f.template), &t); err != nil {
			return nil, err
		}
		_, given := variables[t.Input]
		switch {
		case t.Input == "":
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the template %s has no variable for a prompt", t.Name).
				WithHint("See its variables: jeantrail-ai template show %s", t.Name)
		case given:
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the prompt fills the variable %s, which --var gives too", t.Input).
				WithHint("Leave out --var %s.", t.Input)
		}
		variables = maps.Clone(variables)
		variables[t.Input] = prompt
	}
	var out wireRendered
	err = s.send(ctx, http.MethodPost, templatePath(f.template)+"/render", map[string]any{"variables": variables}, &out)
	return &out, err
}

func newTemplateCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "template", Short: "See and fill prompt templates", Args: args(cobra.NoArgs)}
	cmd.AddCommand(newTemplateListCommand(o), newTemplateShowCommand(o), newTemplateRenderCommand(o))
	return cmd
}

func newTemplateListCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the prompt templates", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, o, "/templates", "templates", func(w io.Writer, list []wireTemplate) {
				t := newTable(w, "NAME", "VERSION", "KIND", "FROM", "DESCRIPTION")
				for _, v := range list {
					t.AppendRow(table.Row{v.Name, v.Version, v.Kind, v.Source, firstLine(v.Description)})
				}
				t.Render()
			})
		},
	})
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func newTemplateShowCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "show NAME", Short: "Show a template, its variables and its texts", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return showing(cmd, o, templatePath(a[0]), printTemplate)
		},
	})
}

func printTemplate(w io.Writer, t wireTemplate) {
	fields := newTable(w)
	fields.AppendRows([]table.Row{
		{"name", t.Name}, {"version", t.Version}, {"kind", t.Kind}, {"from", t.Source}, {"about", t.Description},
	})
	fields.Render()
	if len(t.Variables) > 0 {
		fmt.Fprintln(w)
		variables := newTable(w, "VARIABLE", "TYPE", "IF LEFT OUT", "MEANING")
		for _, v := range t.Variables {
			without := "refused"
			switch {
			case v.Name == t.Input:
				without = "the prompt"
			case v.Default != nil:
				without = fmt.Sprint(v.Default)
			case !v.Required:
				without = "empty"
			}
			kind := v.Type
			if len(v.Enum) > 0 {
				kind = strings.Join(v.Enum, " | ")
			}
			if v.Minimum != nil {
				kind += fmt.Sprintf(" >= %v", *v.Minimum)
			}
			if v.MaxLength > 0 {
				kind += fmt.Sprintf(", at most %d characters", v.MaxLength)
			}
			variables.AppendRow(table.Row{v.Name, kind, without, v.Description})
		}
		variables.Render()
	}
	printTexts(w, t.System, t.Prompt)
}

// printTexts writes the two texts of a template under their names.
func printTexts(w io.Writer, system, prompt string) {
	for _, part := range []struct{ name, text string }{{"system", system}, {"prompt", prompt}} {
		if part.text != "" {
			fmt.Fprintf(w, "\n--- %s ---\n%s\n", part.name, strings.TrimSuffix(part.text, "\n"))
		}
	}
}

func newTemplateRenderCommand(o *options) *cobra.Command {
	f := &filling{}
	cmd := &cobra.Command{
		Use: "render NAME [PROMPT | -]", Short: "Print what a template makes of its variables, without running it",
		Long:    "Fills a template and prints its texts. A prompt fills its main variable; " + varHelp,
		Example: "  jeantrail-ai template render jean_core \"Where is my parcel?\"",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			f.template = a[0]
			prompt, err := promptText(cmd.InOrStdin(), a[1:])
			if err != nil {
				return err
			}
			return withRecords(cmd.Context(), o, func(s *Session) error {
				out, err := f.render(cmd.Context(), s, prompt)
				if err != nil {
					return err
				}
				if o.json {
					return printJSON(cmd.OutOrStdout(), out)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, version %d\n", out.Name, out.Version)
				printTexts(cmd.OutOrStdout(), out.System, out.Prompt)
				return err
			})
		},
	}
	f.flags(cmd)
	return o.jsonFlag(cmd)
}
