package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
)

// wireRule is a rule as /rules shows it.
type wireRule struct {
	ID         string          `json:"id"`
	UserID     *string         `json:"user_id"`
	Name       string          `json:"rule_name"`
	Type       string          `json:"rule_type"`
	Conditions json.RawMessage `json:"conditions"`
	Actions    json.RawMessage `json:"actions"`
	Enabled    bool            `json:"enabled"`
	Position   int             `json:"position"`
	Problem    string          `json:"problem"`
}

// state says in a word whether the rule does anything.
func (r *wireRule) state() string {
	switch {
	case r.Problem != "":
		return "broken"
	case r.Enabled:
		return "on"
	default:
		return "off"
	}
}

func rulePath(id string) string { return "/rules/" + url.PathEscape(id) }

func newRuleCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "rule", Short: "See, test and set optimisation rules", Args: args(cobra.NoArgs)}
	cmd.AddCommand(newRuleListCommand(o), newRuleShowCommand(o), newRuleAddCommand(o), newRuleTestCommand(o),
		newRuleSwitchCommand(o, "enable", "Let a rule be applied again", true),
		newRuleSwitchCommand(o, "disable", "Keep a rule without applying it", false), newRuleRemoveCommand(o))
	return cmd
}

func newRuleListCommand(o *options) *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List rules in the order in which they are tried", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, o, ofUser("/rules", user), "rules", func(w io.Writer, rules []wireRule) {
				t := newTable(w, "RULE", "POSITION", "NAME", "TYPE", "OF", "STATE", "IF", "THEN")
				for i := range rules {
					r := &rules[i]
					t.AppendRow(table.Row{r.ID, r.Position, printable(r.Name), printable(r.Type), orEverybody(r.UserID), r.state(), string(r.Conditions), string(r.Actions)})
				}
				t.Render()
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "only rules that are about this user's requests")
	return o.jsonFlag(cmd)
}

func newRuleShowCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "show RULE", Short: "Show a rule", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return showing(cmd, o, rulePath(a[0]), func(w io.Writer, r wireRule) {
				t := newTable(w)
				t.AppendRows([]table.Row{
					{"rule", r.ID}, {"name", printable(r.Name)}, {"type", printable(r.Type)}, {"of", orEverybody(r.UserID)},
					{"position", r.Position}, {"state", r.state()}, {"if", string(r.Conditions)}, {"then", string(r.Actions)},
				})
				if r.Problem != "" {
					t.AppendRow(table.Row{"problem", printable(r.Problem)})
				}
				t.Render()
			})
		},
	})
}

// ruleText are the two objects of a rule as flags give them.
type ruleText struct {
	conditions, actions string
	chain               bool
}

func (r *ruleText) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.conditions, "if", "{}", "what must hold of a request, as a JSON object")
	cmd.Flags().StringVar(&r.actions, "then", "", "what is changed in it then, as a JSON object")
	cmd.Flags().BoolVar(&r.chain, "chain", false, "go on to the next rules after this one was applied")
}

// objects returns the conditions and actions to send. They are passed on as they
// were written, so that whoever reads them sees a name that comes twice.
func (r *ruleText) objects() (conditions, actions json.RawMessage, err error) {
	for _, object := range []struct {
		flag, text string
		into       *json.RawMessage
	}{{"--if", r.conditions, &conditions}, {"--then", r.actions, &actions}} {
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(object.text), &members); err != nil || members == nil {
			return nil, nil, errUsage{fmt.Errorf("%s is %q, which is not a JSON object", object.flag, object.text)}
		}
		if _, chained := members["chain"]; object.flag == "--then" && r.chain {
			if chained {
				return nil, nil, errUsage{fmt.Errorf("--chain and the chain of --then exclude each other")}
			}
			object.text = withChain(object.text, len(members) == 0)
		}
		*object.into = json.RawMessage(object.text)
	}
	return conditions, actions, nil
}

// withChain puts "chain": true in front of an object's members.
func withChain(object string, empty bool) string {
	at := 0
	for object[at] != '{' { // only space is in front of it
		at++
	}
	separator := ","
	if empty {
		separator = ""
	}
	return `{"chain":true` + separator + object[at+1:]
}

func newRuleAddCommand(o *options) *cobra.Command {
	var text ruleText
	var name, kind, user string
	var position int
	cmd := &cobra.Command{
		Use: "add", Short: "Add a rule and print its id", Args: args(cobra.NoArgs),
		Long: "Adds a rule. Conditions are input_length (characters), input_tokens, task_type, model, user, kind, hour,\n" +
			"weekday, tokens_per_second (as bench last measured the model here), budget_used_percent, budget_short and\n" +
			"metadata; actions are model, temperature, max_tokens, thinking, priority, cache and chain. Rules are tried\n" +
			"by position; the first that is applied ends the search, unless it was added with --chain. Without --user\n" +
			"it is about everybody's requests.",
		Example: "  jeantrail-ai rule add --name short --type model_selection \\\n" +
			"    --if '{\"input_length\": \"<100\", \"task_type\": \"simple\"}' --then '{\"model\": \"qwen-3-32b\", \"temperature\": 0.5}'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" || text.actions == "" {
				return errUsage{fmt.Errorf("--name and --then are needed")}
			}
			conditions, actions, err := text.objects()
			if err != nil {
				return err
			}
			body := map[string]any{
				"user_id": nil, "rule_name": name, "rule_type": kind, "conditions": conditions, "actions": actions, "position": position,
			}
			if user != "" {
				body["user_id"] = user
			}
			return withRecords(cmd.Context(), o, func(s *Session) error {
				var raw json.RawMessage
				if err := s.send(cmd.Context(), http.MethodPost, "/rules", body, &raw); err != nil {
					return err
				}
				if o.json {
					return printJSON(cmd.OutOrStdout(), raw)
				}
				var r wireRule
				if err := json.Unmarshal(raw, &r); err != nil {
					return fmt.Errorf("read the rule: %w", err)
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), r.ID)
				return err
			})
		},
	}
	text.flags(cmd)
	cmd.Flags().StringVar(&name, "name", "", "what answers call it")
	cmd.Flags().StringVar(&kind, "type", "optimisation", "your own word for what kind of rule it is")
	cmd.Flags().StringVar(&user, "user", "", "only this user's requests (default: everybody's)")
	cmd.Flags().IntVar(&position, "position", 0, "rules are tried in ascending order")
	return o.jsonFlag(cmd)
}

// newRuleSwitchCommand makes the commands that turn a rule on and off.
func newRuleSwitchCommand(o *options, name, short string, on bool) *cobra.Command {
	return &cobra.Command{
		Use: name + " RULE", Short: short, Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return withRecords(cmd.Context(), o, func(s *Session) error {
				var r wireRule
				if err := s.send(cmd.Context(), http.MethodPatch, rulePath(a[0]), map[string]bool{"enabled": on}, &r); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s is %s\n", r.ID, printable(r.Name), r.state())
				return err
			})
		},
	}
}

func newRuleRemoveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "remove RULE", Aliases: []string{"rm"}, Short: "Remove a rule", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return withRecords(cmd.Context(), o, func(s *Session) error {
				return s.get(cmd.Context(), http.MethodDelete, rulePath(a[0]), nil)
			})
		},
	}
}
