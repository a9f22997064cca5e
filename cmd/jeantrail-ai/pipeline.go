package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/jeantrail/jeantrail-ai"
)

func newPipelineCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "pipeline", Aliases: []string{"workflow"}, Short: "Run workflows of several stages, and see and set them", Args: args(cobra.NoArgs),
	}
	cmd.AddCommand(newPipelineRunCommand(o), newPipelineEstimateCommand(o), newPipelineListCommand(o), newPipelineShowCommand(o),
		newPipelineAddCommand(o), newPipelineRemoveCommand(o))
	return cmd
}

func workflowPath(name string) string { return "/workflows/" + url.PathEscape(name) }

// wireWorkflow is a workflow as /workflows shows it.
type wireWorkflow struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	BuiltIn     bool   `json:"built_in"`
	Inputs      []struct {
		Name        string `json:"name"`
		Type        string `json:"type"`
		Required    bool   `json:"required"`
		Default     any    `json:"default"`
		Description string `json:"description"`
	} `json:"inputs"`
	Stages []struct {
		Name     string `json:"name"`
		Kind     string `json:"kind"`
		Model    string `json:"model"`
		Parallel int    `json:"parallel"`
		OnError  string `json:"on_error"`
	} `json:"stages"`
	Source string `json:"source"`
}

// from says who wrote it.
func (w *wireWorkflow) from() string {
	if w.BuiltIn {
		return "built in"
	}
	return "you"
}

func newPipelineListCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the workflows", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, o, "/workflows", "workflows", func(w io.Writer, list []wireWorkflow) {
				t := newTable(w, "NAME", "FROM", "INPUTS", "STAGES", "DESCRIPTION")
				for i := range list {
					v := &list[i]
					var inputs, stages []string
					for _, in := range v.Inputs {
						inputs = append(inputs, in.Name)
					}
					for _, s := range v.Stages {
						stages = append(stages, s.Name)
					}
					t.AppendRow(table.Row{v.Name, v.from(), strings.Join(inputs, " "), strings.Join(stages, " "), printable(firstLine(v.Description))})
				}
				t.Render()
			})
		},
	})
}

func newPipelineShowCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "show NAME", Short: "Show a workflow, its inputs and the YAML it is written in", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return showing(cmd, o, workflowPath(a[0]), printWorkflow)
		},
	})
}

func printWorkflow(w io.Writer, v wireWorkflow) {
	fields := newTable(w)
	fields.AppendRows([]table.Row{{"name", v.Name}, {"from", v.from()}, {"about", printable(v.Description)}})
	fields.Render()
	if len(v.Inputs) > 0 {
		fmt.Fprintln(w)
		t := newTable(w, "INPUT", "TYPE", "IF LEFT OUT", "MEANING")
		for _, in := range v.Inputs {
			without := "refused"
			switch {
			case in.Default != nil:
				without = fmt.Sprint(in.Default)
			case !in.Required:
				without = "empty"
			}
			t.AppendRow(table.Row{in.Name, in.Type, printable(without), printable(in.Description)})
		}
		t.Render()
	}
	if v.Source != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSuffix(v.Source, "\n"))
	}
}

func newPipelineAddCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "add FILE.yaml | -", Short: "Add or replace a workflow of your own",
		Long: "Checks a workflow and keeps it in the home. It has the name that stands in the file, or else that of the\n" +
			"file. \"pipeline show\" prints those that are built in; they are good to begin with.",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			content, _, err := openInput(cmd.InOrStdin(), a[0])
			if err != nil {
				return err
			}
			defer content.Close()
			source, err := io.ReadAll(io.LimitReader(content, maxWorkflowBytes+1))
			if err != nil {
				return inputError(a[0], err)
			}
			if len(source) > maxWorkflowBytes {
				return jeantrail.Errorf(jeantrail.CodeTooLarge, "%s is larger than %d bytes; is it a workflow?", a[0], maxWorkflowBytes)
			}
			name, err := workflowName(a[0], source)
			if err != nil {
				return err
			}
			return withRecords(cmd.Context(), o, func(s *Session) error {
				resp, err := s.exchange(cmd.Context(), http.MethodPut, workflowPath(name), "text/yaml", strings.NewReader(string(source)), "application/json")
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				_, err = fmt.Fprintln(cmd.OutOrStdout(), name)
				return err
			})
		},
	}
}

// maxWorkflowBytes is far more than a workflow that a person wrote.
const maxWorkflowBytes = 1 << 20

// workflowName is the name that stands in the file, or else that of the file.
// What else is wrong with it, the instance says with the line.
func workflowName(path string, source []byte) (string, error) {
	var head struct {
		Name string `yaml:"name"`
	}
	if err := yaml.Unmarshal(source, &head); err == nil && head.Name != "" {
		return head.Name, nil
	}
	base := filepath.Base(path)
	if path == "-" {
		return "", errUsage{errors.New("a workflow from standard input needs a name in it")}
	}
	return strings.TrimSuffix(base, filepath.Ext(base)), nil
}

func newPipelineRemoveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Remove a workflow of your own", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return withRecords(cmd.Context(), o, func(s *Session) error {
				return s.get(cmd.Context(), http.MethodDelete, workflowPath(a[0]), nil)
			})
		},
	}
}
