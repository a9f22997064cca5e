package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
)

// ruleTerms are what rules can change in a request.
type ruleTerms struct {
	Model       string          `json:"model"`
	Temperature *float64        `json:"temperature"`
	MaxTokens   *int            `json:"max_tokens"`
	Thinking    bool            `json:"thinking"`
	Priority    string          `json:"priority"`
	Cache       *bool           `json:"cache"`
	Estimate    jeantrail.Money `json:"estimate_micros"`
}

// ruleTrial is one rule held against the request.
type ruleTrial struct {
	Rule    wireRule `json:"rule"`
	Tried   bool     `json:"tried"`
	Held    bool     `json:"held"`
	Applied bool     `json:"applied"`
	Skipped string   `json:"skipped"`
	Checks  []struct {
		Condition string `json:"condition"`
		Want      string `json:"want"`
		Got       string `json:"got"`
		Held      bool   `json:"held"`
	} `json:"checks"`
}

// ruleReport is the answer of /rules/test.
type ruleReport struct {
	TaskType    string      `json:"task_type"`
	Classified  bool        `json:"classified"`
	InputLength int         `json:"input_length"`
	InputTokens int         `json:"input_tokens"`
	Trials      []ruleTrial `json:"trials"`
	Before      ruleTerms   `json:"before"`
	After       ruleTerms   `json:"after"`
}

// verdict says what became of a rule.
func (t *ruleTrial) verdict() string {
	switch {
	case t.Applied:
		return "applied"
	case t.Skipped != "":
		return "skipped: " + printable(t.Skipped)
	case !t.Tried:
		return "not tried, an earlier rule ended the search"
	case t.Held:
		return "held"
	default:
		return "did not hold"
	}
}

func newRuleTestCommand(o *options) *cobra.Command {
	s, text := &sampling{}, &ruleText{}
	var user, taskType, priority string
	var metadata map[string]string
	cmd := &cobra.Command{
		Use: "test PROMPT | -", Short: "Explain what the rules make of a request, without running it",
		Long: "Holds a request against the rules and says which condition held or failed, and what the request would\n" +
			"become. With --if and --then a rule that is not kept yet is tried before all others.",
		Example: "  jeantrail-ai rule test \"What is the capital of France?\" --user user123\n" +
			"  jeantrail-ai rule test \"Hello\" --if '{\"input_length\": \"<100\"}' --then '{\"max_tokens\": 50}'",
		Args: args(s.filling.needPrompt),
		RunE: func(cmd *cobra.Command, a []string) error {
			request, err := s.request(cmd, a)
			if err != nil {
				return err
			}
			for flag, field := range map[string]string{"user": "user_id", "task-type": "task_type", "priority": "priority"} {
				if cmd.Flags().Changed(flag) {
					request[field] = cmd.Flags().Lookup(flag).Value.String()
				}
			}
			if len(metadata) > 0 {
				request["metadata"] = metadata
			}
			body := map[string]any{"request": request}
			if err := text.candidate(cmd, body); err != nil {
				return err
			}
			return testRules(cmd, o, body)
		},
	}
	s.flags(cmd)
	text.flags(cmd)
	cmd.Flags().StringVar(&user, "user", "", "whose request it is (default: yours)")
	cmd.Flags().StringVar(&taskType, "task-type", "", "what the answer is for (default: classified)")
	cmd.Flags().StringVar(&priority, "priority", "", "interactive, batch or background")
	cmd.Flags().StringToStringVar(&metadata, "metadata", nil, "KEY=VALUE of the request; may be repeated")
	return o.jsonFlag(cmd)
}

// candidate puts the rule that the flags write, if there is one, into the body.
func (r *ruleText) candidate(cmd *cobra.Command, body map[string]any) error {
	if !cmd.Flags().Changed("if") && !cmd.Flags().Changed("then") && !r.chain {
		return nil
	}
	if r.actions == "" {
		return errUsage{fmt.Errorf("a rule to test needs --then")}
	}
	conditions, actions, err := r.objects()
	if err != nil {
		return err
	}
	body["rule"] = map[string]any{"conditions": conditions, "actions": actions}
	return nil
}

func testRules(cmd *cobra.Command, o *options, body map[string]any) error {
	return withSession(cmd.Context(), o, func(s *Session) error {
		if err := s.Ready(cmd.Context()); err != nil { // tokens are counted by the model
			return err
		}
		var raw json.RawMessage
		if err := s.send(cmd.Context(), http.MethodPost, "/rules/test", body, &raw); err != nil {
			return err
		}
		if o.json {
			return printJSON(cmd.OutOrStdout(), raw)
		}
		var report ruleReport
		if err := json.Unmarshal(raw, &report); err != nil {
			return fmt.Errorf("read the report: %w", err)
		}
		printReport(cmd.OutOrStdout(), &report)
		return nil
	})
}

// printReport explains a report to a person.
func printReport(w io.Writer, r *ruleReport) {
	origin := "given"
	if r.Classified {
		origin = "classified"
	}
	fmt.Fprintf(w, "The request has %d characters and %d tokens; its task type is %s (%s).\n", r.InputLength, r.InputTokens, printable(r.TaskType), origin)
	if len(r.Trials) == 0 {
		fmt.Fprintln(w, "No rule is about it.")
	}
	for i := range r.Trials {
		t := &r.Trials[i]
		fmt.Fprintf(w, "\n%d. %s (%s): %s\n", i+1, printable(t.Rule.Name), orEverybody(t.Rule.UserID), t.verdict())
		checks := newTable(w)
		for _, c := range t.Checks {
			result := "held"
			if !c.Held {
				result = "FAILED"
			}
			checks.AppendRow(table.Row{"  ", printable(c.Condition), printable(c.Want), "is " + printable(c.Got), result})
		}
		if len(t.Checks) > 0 {
			checks.Render()
		}
	}
	fmt.Fprintln(w)
	printTerms(w, &r.Before, &r.After)
}

// printTerms sets the request without the rules beside that with them.
func printTerms(w io.Writer, before, after *ruleTerms) {
	t := newTable(w, "", "WITHOUT THE RULES", "WITH THEM")
	rows := []struct {
		name string
		of   func(*ruleTerms) string
	}{
		{"model", func(t *ruleTerms) string { return printable(t.Model) }},
		{"temperature", func(t *ruleTerms) string {
			if t.Temperature == nil {
				return "the model's"
			}
			return strconv.FormatFloat(*t.Temperature, 'g', -1, 64)
		}},
		{"max tokens", func(t *ruleTerms) string {
			if t.MaxTokens == nil {
				return "the model's"
			}
			return strconv.Itoa(*t.MaxTokens)
		}},
		{"thinking", func(t *ruleTerms) string { return strconv.FormatBool(t.Thinking) }},
		{"priority", func(t *ruleTerms) string { return t.Priority }},
		{"cache", func(t *ruleTerms) string {
			if t.Cache == nil {
				return "if deterministic"
			}
			return strconv.FormatBool(*t.Cache)
		}},
		{"costs at most", func(t *ruleTerms) string { return amount(t.Estimate) }},
	}
	for _, row := range rows {
		b, a := row.of(before), row.of(after)
		if a != b {
			a = "> " + a
		}
		t.AppendRow(table.Row{row.name, b, strings.TrimSpace(a)})
	}
	t.Render()
}
