package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
)

// wireBudget is a budget as /budgets shows it.
type wireBudget struct {
	ID          string          `json:"id"`
	UserID      *string         `json:"user_id"`
	Type        string          `json:"budget_type"`
	AmountCents int64           `json:"amount_cents"`
	PeriodStart *string         `json:"period_start"`
	PeriodEnd   *string         `json:"period_end"`
	Threshold   int             `json:"alert_threshold_percentage"`
	InForce     bool            `json:"in_force"`
	WindowStart *string         `json:"window_start"`
	WindowEnd   *string         `json:"window_end"`
	Limit       jeantrail.Money `json:"limit_micros"`
	Spent       jeantrail.Money `json:"spent_micros"`
	Reserved    jeantrail.Money `json:"reserved_micros"`
	Remaining   jeantrail.Money `json:"remaining_micros"`
	Used        int64           `json:"used_percent"`
}

func (b *wireBudget) used() string {
	if !b.InForce {
		return "not in force"
	}
	return fmt.Sprintf("%d%%", b.Used)
}

func newBudgetCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "budget", Short: "See and set what may be spent", Args: args(cobra.NoArgs)}
	cmd.AddCommand(newBudgetListCommand(o), newBudgetShowCommand(o), newBudgetSetCommand(o), newBudgetRemoveCommand(o))
	return cmd
}

// ofUser adds a user to a path.
func ofUser(path, user string) string {
	if user == "" {
		return path
	}
	return path + "?" + url.Values{"user_id": {user}}.Encode()
}

func newBudgetListCommand(o *options) *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List budgets and how they stand", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, o, ofUser("/budgets", user), "budgets", func(w io.Writer, budgets []wireBudget) {
				t := newTable(w, "BUDGET", "OF", "TYPE", "LIMIT", "SPENT", "RESERVED", "LEFT", "USED")
				for i := range budgets {
					b := &budgets[i]
					t.AppendRow(table.Row{b.ID, orEverybody(b.UserID), b.Type, amount(b.Limit), amount(b.Spent), amount(b.Reserved), amount(b.Remaining), b.used()})
				}
				t.Render()
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "only budgets that this user's jobs count against")
	return o.jsonFlag(cmd)
}

func budgetPath(id string) string { return "/budgets/" + url.PathEscape(id) }

func newBudgetShowCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "show BUDGET", Short: "Show a budget and how it stands", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return showing(cmd, o, budgetPath(a[0]), func(w io.Writer, b wireBudget) {
				t := newTable(w)
				t.AppendRows([]table.Row{
					{"budget", b.ID}, {"of", orEverybody(b.UserID)}, {"type", b.Type},
					{"period", span(b.PeriodStart, b.PeriodEnd)}, {"present window", span(b.WindowStart, b.WindowEnd)},
					{"limit", amount(b.Limit)}, {"spent", amount(b.Spent)}, {"reserved", amount(b.Reserved)}, {"left", amount(b.Remaining)}, {"used", b.used()},
					{"alert at", fmt.Sprintf("%d%%", b.Threshold)},
				})
				t.Render()
			})
		},
	})
}

// span writes a stretch of days whose ends may be open. Windows begin and end at
// midnight, which is not worth a mention.
func span(start, end *string) string {
	day := func(t *string) string { return strings.TrimSuffix(*t, "T00:00:00.000Z") }
	switch {
	case start == nil && end == nil:
		return "without end"
	case start == nil:
		return "until " + day(end)
	case end == nil:
		return "from " + day(start) + " on"
	default:
		return day(start) + " until " + day(end)
	}
}

// budgetFlags are what budget set takes.
type budgetFlags struct {
	user, kind, amount, from, to string
	everybody                    bool
	alert                        int
}

// noDay takes a day away from a budget's period.
const noDay = "none"

// body is what the flags that were given ask for.
func (f *budgetFlags) body(cmd *cobra.Command) (map[string]any, error) {
	given := cmd.Flags().Changed
	if err := exclusive(cmd, "user", "everybody"); err != nil {
		return nil, err
	}
	body := map[string]any{}
	if given("user") {
		body["user_id"] = f.user
	}
	if f.everybody {
		body["user_id"] = nil
	}
	if given("type") {
		body["budget_type"] = f.kind
	}
	if given("amount") {
		cents, err := wholeCents(f.amount)
		if err != nil {
			return nil, err
		}
		body["amount_cents"] = cents
	}
	for _, day := range []struct{ flag, field, value string }{{"from", "period_start", f.from}, {"to", "period_end", f.to}} {
		switch {
		case !given(day.flag):
		case day.value == noDay:
			body[day.field] = nil
		default:
			body[day.field] = day.value
		}
	}
	if given("alert") {
		body["alert_threshold_percentage"] = f.alert
	}
	return body, nil
}

// wholeCents reads an amount of dollars that has no fraction of a cent.
func wholeCents(amount string) (int64, error) {
	m, err := dollars("--amount", amount)
	if err != nil {
		return 0, err
	}
	if m%jeantrail.MicrosPerCent != 0 {
		return 0, errUsage{fmt.Errorf("--amount is %s; a budget is in whole cents", m)}
	}
	return int64(m / jeantrail.MicrosPerCent), nil
}

// trimDollar lets people write $10.00.
func trimDollar(amount string) string { return strings.TrimPrefix(strings.TrimSpace(amount), "$") }

func newBudgetSetCommand(o *options) *cobra.Command {
	f := &budgetFlags{}
	cmd := &cobra.Command{
		Use: "set [BUDGET]", Short: "Set a budget and print its id",
		Long: "Sets what a user, or everybody together, may spend. A budget that the same owner has of the same type\n" +
			"(and for the same period, if the type is period) is changed, else one is added. With a budget's id only\n" +
			"what the flags name is changed. Days, weeks from Monday and months begin at midnight UTC.",
		Example: "  jeantrail-ai budget set --user user123 --type daily --amount 10.00\n" +
			"  jeantrail-ai budget set --everybody --type period --amount 50 --from 2026-01-01 --to 2026-04-01",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			body, err := f.body(cmd)
			if err != nil {
				return err
			}
			if len(a) == 0 {
				for _, field := range []struct{ name, flag string }{{"user_id", "--user or --everybody"}, {"budget_type", "--type"}, {"amount_cents", "--amount"}} {
					if _, there := body[field.name]; !there {
						return errUsage{fmt.Errorf("%s is needed", field.flag)}
					}
				}
			}
			return withRecords(cmd.Context(), o, func(s *Session) error {
				id := strings.Join(a, "")
				if id == "" {
					if id, err = sameBudget(cmd, s, body); err != nil {
						return err
					}
				}
				return setBudget(cmd, o, s, id, body)
			})
		},
	}
	cmd.Flags().StringVar(&f.user, "user", "", "whose jobs count")
	cmd.Flags().BoolVar(&f.everybody, "everybody", false, "the jobs of everybody together count")
	cmd.Flags().StringVar(&f.kind, "type", "", "daily, weekly, monthly, total or period")
	cmd.Flags().StringVar(&f.amount, "amount", "", "dollars for each window, for example 10.00")
	cmd.Flags().StringVar(&f.from, "from", "", "first day of the period, YYYY-MM-DD; none takes it away")
	cmd.Flags().StringVar(&f.to, "to", "", "the day after its last, YYYY-MM-DD; none takes it away")
	cmd.Flags().IntVar(&f.alert, "alert", jeantrail.DefaultAlertThreshold, "percent at which an alert is raised, beside the one at 100")
	return o.jsonFlag(cmd)
}

// setBudget changes the budget with an id, or adds one if there is none.
func setBudget(cmd *cobra.Command, o *options, s *Session, id string, body map[string]any) error {
	method, path, note := http.MethodPost, "/budgets", "added a budget"
	if id != "" {
		method, path, note = http.MethodPatch, budgetPath(id), "changed the budget"
	}
	var raw json.RawMessage
	if err := s.send(cmd.Context(), method, path, body, &raw); err != nil {
		return err
	}
	var b wireBudget
	if err := json.Unmarshal(raw, &b); err != nil {
		return fmt.Errorf("read the budget: %w", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s, %s, %s, %s spent\n", note, orEverybody(b.UserID), b.Type, amount(b.Limit), amount(b.Spent))
	if o.json {
		return printJSON(cmd.OutOrStdout(), raw)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), b.ID)
	return err
}

// sameBudget finds the budget that a setting without an id is about: a second
// one beside it would leave the smaller in force, whatever was asked for. It
// returns "" if there is none.
func sameBudget(cmd *cobra.Command, s *Session, body map[string]any) (string, error) {
	var list struct {
		Budgets []wireBudget `json:"budgets"`
	}
	user, _ := body["user_id"].(string)
	if err := s.get(cmd.Context(), http.MethodGet, ofUser("/budgets", user), &list); err != nil {
		return "", err
	}
	var same []string
	for i := range list.Budgets {
		b := &list.Budgets[i]
		owner := ""
		if b.UserID != nil {
			owner = *b.UserID
		}
		period := b.Type == string(jeantrail.BudgetPeriod)
		switch {
		case owner != user || b.Type != body["budget_type"]:
		case period && (b.PeriodStart == nil || *b.PeriodStart != body["period_start"] || b.PeriodEnd == nil || *b.PeriodEnd != body["period_end"]):
		default:
			same = append(same, b.ID)
		}
	}
	if len(same) > 1 {
		return "", jeantrail.Errorf(jeantrail.CodeConflict, "there are %d such budgets: %s", len(same), strings.Join(same, ", ")).
			WithHint("Name the one to change: jeantrail-ai budget set %s --amount …", same[0])
	}
	return strings.Join(same, ""), nil
}

func newBudgetRemoveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "remove BUDGET", Aliases: []string{"rm"}, Short: "Remove a budget; what was spent stays on record", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			return withRecords(cmd.Context(), o, func(s *Session) error {
				return s.get(cmd.Context(), http.MethodDelete, budgetPath(a[0]), nil)
			})
		},
	}
}

// wireAlert is an alert as /alerts shows it.
type wireAlert struct {
	At          string          `json:"at"`
	BudgetID    string          `json:"budget_id"`
	UserID      *string         `json:"user_id"`
	Percent     int             `json:"percent"`
	Limit       jeantrail.Money `json:"limit_micros"`
	Spent       jeantrail.Money `json:"spent_micros"`
	WindowStart *string         `json:"window_start"`
	WindowEnd   *string         `json:"window_end"`
}

func newAlertCommand(o *options) *cobra.Command {
	var user string
	var limit int
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List alerts, newest first", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			if user != "" {
				query.Set("user_id", user)
			}
			return listing(cmd, o, "/alerts?"+query.Encode(), "alerts", func(w io.Writer, alerts []wireAlert) {
				t := newTable(w, "AT", "BUDGET", "OF", "REACHED", "SPENT", "LIMIT", "WINDOW")
				for i := range alerts {
					a := &alerts[i]
					t.AppendRow(table.Row{a.At, a.BudgetID, orEverybody(a.UserID), fmt.Sprintf("%d%%", a.Percent), amount(a.Spent), amount(a.Limit), span(a.WindowStart, a.WindowEnd)})
				}
				t.Render()
			})
		},
	}
	list.Flags().StringVar(&user, "user", "", "only alerts of this user's budgets and of everybody's")
	list.Flags().IntVar(&limit, "limit", 20, "the most alerts to list")
	cmd := &cobra.Command{Use: "alert", Short: "See which budgets are running out", Args: args(cobra.NoArgs)}
	cmd.AddCommand(o.jsonFlag(list))
	return cmd
}
