package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
)

// wireEstimate is what /pipeline/estimate answers, and each of its stages.
type wireEstimate struct {
	Name        string          `json:"name"`
	Kind        string          `json:"kind"`
	Model       string          `json:"model"`
	Amount      jeantrail.Money `json:"amount_micros"`
	Least       jeantrail.Money `json:"least_micros"`
	Exact       bool            `json:"exact"`
	Conditional bool            `json:"conditional"`
	Stages      []wireEstimate  `json:"stages"`
}

// note says how far the figure can be relied on.
func (e *wireEstimate) note() string {
	var parts []string
	if !e.Exact {
		parts = append(parts, "for the longest that earlier stages can give")
	}
	if e.Conditional {
		parts = append(parts, "may not run")
	}
	return strings.Join(parts, ", ")
}

func newPipelineEstimateCommand(o *options) *cobra.Command {
	r := &running{}
	cmd := &cobra.Command{
		Use: "estimate WORKFLOW", Short: "Say what a workflow can cost at most, stage by stage, without running it",
		Long: "Prices a workflow without running it. " + inputHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return withSession(cmd.Context(), o, func(s *Session) error {
				if err := s.Ready(cmd.Context()); err != nil { // the length of a prompt is counted by the model
					return err
				}
				raw, err := r.ask(cmd, s, "/pipeline/estimate", a[0])
				if err != nil {
					return err
				}
				if o.json {
					return printJSON(cmd.OutOrStdout(), raw)
				}
				var e wireEstimate
				if err := json.Unmarshal(raw, &e); err != nil {
					return fmt.Errorf("read the estimate: %w", err)
				}
				printEstimate(cmd.OutOrStdout(), &e)
				return nil
			})
		},
	}
	r.asking.flags(cmd, "")
	r.inputs.flags(cmd)
	return o.jsonFlag(cmd)
}

func printEstimate(w io.Writer, e *wireEstimate) {
	t := newTable(w, "STAGE", "KIND", "MODEL", "AT MOST", "NEEDED", "NOTE")
	for i := range e.Stages {
		s := &e.Stages[i]
		t.AppendRow(table.Row{s.Name, s.Kind, orDash(&s.Model), amount(s.Amount), amount(s.Least), s.note()})
	}
	t.AppendRow(table.Row{"all", "", "", amount(e.Amount), amount(e.Least), e.note()})
	t.Render()
}
