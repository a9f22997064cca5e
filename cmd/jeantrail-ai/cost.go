package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
)

// costRow is a row of /costs, or its total.
type costRow struct {
	Key              string          `json:"key"`
	Requests         int64           `json:"requests"`
	Failures         int64           `json:"failures"`
	Cancellations    int64           `json:"cancellations"`
	Interruptions    int64           `json:"interruptions"`
	CacheHits        int64           `json:"cache_hits"`
	PromptTokens     int64           `json:"prompt_tokens"`
	CachedTokens     int64           `json:"cached_tokens"`
	CompletionTokens int64           `json:"completion_tokens"`
	Images           int64           `json:"images"`
	AudioIn          float64         `json:"audio_input_seconds"`
	AudioOut         float64         `json:"audio_output_seconds"`
	Amount           jeantrail.Money `json:"amount_micros"`
}

type costReport struct {
	GroupBy jeantrail.CostGroup `json:"group_by"`
	Rows    []costRow           `json:"rows"`
	Total   costRow             `json:"total"`
}

// costFlags are what a report is made of.
type costFlags struct {
	by, from, to, user, model, kind string
	csv                             bool
	plot                            string
}

func (f *costFlags) path() string {
	query := url.Values{"group_by": {f.by}}
	for name, value := range map[string]string{"from": f.from, "to": f.to, "user_id": f.user, "model": f.model, "kind": f.kind} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return "/costs?" + query.Encode()
}

// about says in words what a report is restricted to, "" if to nothing.
func (f *costFlags) about() string {
	var parts []string
	for _, part := range []struct{ name, value string }{{"user", f.user}, {"model", f.model}, {"kind", f.kind}} {
		if part.value != "" {
			parts = append(parts, part.name+" "+part.value)
		}
	}
	return strings.Join(parts, ", ")
}

func (f *costFlags) check(cmd *cobra.Command) error {
	if err := exclusive(cmd, "json", "csv"); err != nil {
		return err
	}
	switch extension := strings.ToLower(filepath.Ext(f.plot)); {
	case f.plot == "":
		return nil
	case extension != ".svg":
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "a chart is written as SVG, and %s is not named .svg", f.plot).
			WithHint("Name it .svg. A browser shows it, and tools such as rsvg-convert make a PNG of it.")
	case f.by != string(jeantrail.GroupDay):
		return errUsage{fmt.Errorf("a chart has a bar for each day: --plot needs --by day")}
	}
	return nil
}

func newCostCommand(o *options) *cobra.Command {
	f := &costFlags{}
	cmd := &cobra.Command{
		Use: "cost", Short: "See where the money went", Args: args(cobra.NoArgs),
		Long: "Sums up what jobs cost that have ended, by day (UTC), model, user, kind or workflow, with a bar for\n" +
			"each. With --by day, days without a job are shown too, unless the time is longer than " + strconv.Itoa(maxFilledDays) + " days.",
		Example: "  jeantrail-ai cost --from 2026-01-01 --plot january.svg\n  jeantrail-ai cost --by user --csv > users.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			return withRecords(cmd.Context(), o, func(s *Session) error { return cost(cmd, o, s, f) })
		},
	}
	cmd.Flags().StringVar(&f.by, "by", string(jeantrail.GroupDay), "day, model, user, kind or workflow")
	cmd.Flags().StringVar(&f.from, "from", "", "only jobs that ended at or after this day or time")
	cmd.Flags().StringVar(&f.to, "to", "", "only jobs that ended before this day or time")
	cmd.Flags().StringVar(&f.user, "user", "", "only jobs of this user")
	cmd.Flags().StringVar(&f.model, "model", "", "only jobs of this model")
	cmd.Flags().StringVar(&f.kind, "kind", "", "only jobs of this kind")
	cmd.Flags().BoolVar(&f.csv, "csv", false, "print comma-separated values with a header")
	cmd.Flags().StringVar(&f.plot, "plot", "", "also draw the days as a chart into this file (.svg)")
	cmd.AddCommand(newCostVerifyCommand(o))
	return o.jsonFlag(cmd)
}

func cost(cmd *cobra.Command, o *options, s *Session, f *costFlags) error {
	var raw json.RawMessage
	if err := s.get(cmd.Context(), http.MethodGet, f.path(), &raw); err != nil {
		return err
	}
	var report costReport
	if err := json.Unmarshal(raw, &report); err != nil {
		return fmt.Errorf("read the costs: %w", err)
	}
	if f.plot != "" {
		if err := plotCosts(f, &report); err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "wrote %s\n", f.plot)
	}
	switch out := cmd.OutOrStdout(); {
	case o.json:
		return printJSON(out, raw)
	case f.csv:
		return writeCostCSV(out, &report)
	default:
		printCosts(out, &report, terminalWidth(out))
		return nil
	}
}

func plotCosts(f *costFlags, report *costReport) error {
	days, err := fillDays(report.Rows, maxPlottedDays)
	if err != nil {
		return err
	}
	chart, err := dayChart(days, &report.Total, f.about())
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.plot, chart, 0o644); err != nil {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "write the chart: %w", err)
	}
	return nil
}

// maxFilledDays is how many days a table shows whether or not there were jobs.
const maxFilledDays = 92

// fillDays puts the days without a job between those with one. More than most
// are too many.
func fillDays(rows []costRow, most int) ([]costRow, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	first, err := time.Parse(time.DateOnly, rows[0].Key)
	if err != nil {
		return nil, fmt.Errorf("read the costs: %w", err)
	}
	last, err := time.Parse(time.DateOnly, rows[len(rows)-1].Key)
	if err != nil {
		return nil, fmt.Errorf("read the costs: %w", err)
	}
	if n := int(last.Sub(first).Hours()/24) + 1; n > most {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "there are %d days between the first and the last job, the most is %d", n, most).
			WithHint("Choose a shorter time with --from and --to.")
	}
	var filled []costRow
	for day := first; len(rows) > 0; day = day.AddDate(0, 0, 1) {
		row := costRow{Key: day.Format(time.DateOnly)}
		if rows[0].Key == row.Key {
			row, rows = rows[0], rows[1:]
		}
		filled = append(filled, row)
	}
	return filled, nil
}

// printCosts writes a table with a bar for each row, within a width.
func printCosts(w io.Writer, report *costReport, width int) {
	rows := report.Rows
	if report.GroupBy == jeantrail.GroupDay {
		if filled, err := fillDays(rows, maxFilledDays); err == nil {
			rows = filled
		}
	}
	columns := costColumns(report)
	cells := make([][]string, 0, len(rows)+2)
	header := []string{strings.ToUpper(string(report.GroupBy))}
	total := []string{"total"}
	for _, c := range columns {
		header, total = append(header, c.title), append(total, c.value(&report.Total))
	}
	cells = append(cells, header, total)
	most := jeantrail.Money(0)
	for i := range rows {
		cell := []string{printable(rows[i].Key)}
		if rows[i].Key == "" {
			cell[0] = "-"
		}
		for _, c := range columns {
			cell = append(cell, c.value(&rows[i]))
		}
		cells, most = append(cells, cell), max(most, rows[i].Amount)
	}
	room := width - tableWidth(cells)
	t := newTable(w)
	var configs []table.ColumnConfig
	for i := range columns {
		configs = append(configs, table.ColumnConfig{Number: i + 2, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(tableRow(header))
	for i := range rows {
		t.AppendRow(append(tableRow(cells[i+2]), bar(rows[i].Amount, most, room)))
	}
	t.AppendRow(tableRow(total))
	t.Render()
}

// costColumn is a figure of a row.
type costColumn struct {
	title string
	value func(*costRow) string
}

// costColumns are the figures that a table shows; those that only some kinds of
// job have are left out where all are zero.
func costColumns(report *costReport) []costColumn {
	count := func(n func(*costRow) int64) func(*costRow) string {
		return func(r *costRow) string { return strconv.FormatInt(n(r), 10) }
	}
	columns := []costColumn{
		{"JOBS", count(func(r *costRow) int64 { return r.Requests })},
		{"FAILED", count(func(r *costRow) int64 { return r.Failures + r.Cancellations + r.Interruptions })},
		{"CACHE HITS", count(func(r *costRow) int64 { return r.CacheHits })},
		{"PROMPT", count(func(r *costRow) int64 { return r.PromptTokens })},
		{"ANSWER", count(func(r *costRow) int64 { return r.CompletionTokens })},
	}
	if report.Total.Images > 0 {
		columns = append(columns, costColumn{"IMAGES", count(func(r *costRow) int64 { return r.Images })})
	}
	if report.Total.AudioIn+report.Total.AudioOut > 0 {
		columns = append(columns, costColumn{"AUDIO", func(r *costRow) string { return fmt.Sprintf("%.1fs", r.AudioIn+r.AudioOut) }})
	}
	return append(columns, costColumn{"COST", func(r *costRow) string { return r.Amount.String() }})
}

func tableRow(cells []string) table.Row {
	row := make(table.Row, 0, len(cells)+1)
	for _, c := range cells {
		row = append(row, c)
	}
	return row
}

// tableWidth is how wide a table of these cells is, the gap behind each column
// included.
func tableWidth(cells [][]string) int {
	var widths []int
	for _, row := range cells {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(cell))
		}
	}
	sum := 0
	for _, w := range widths {
		sum += w + 2
	}
	return sum
}

// bar draws an amount against the largest one, in eighths of a column. Whatever
// is more than nothing shows. Where there is hardly any room there is no bar.
func bar(amount, most jeantrail.Money, room int) string {
	room -= 2 // the table's gap behind it
	if amount <= 0 || most <= 0 || room < 4 {
		return ""
	}
	const parts = "▏▎▍▌▋▊▉█"
	eighths := max(1, int(float64(amount)/float64(most)*float64(room)*8))
	drawn := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		drawn += string([]rune(parts)[rest-1])
	}
	return drawn
}

// writeCostCSV writes all figures, amounts both exact and in dollars.
func writeCostCSV(w io.Writer, report *costReport) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{string(report.GroupBy), "requests", "failures", "cancellations", "interruptions", "cache_hits", "prompt_tokens",
		"cached_tokens", "completion_tokens", "images", "audio_input_seconds", "audio_output_seconds", "amount_micros", "usd"})
	for i := range report.Rows {
		r := &report.Rows[i]
		record := []string{r.Key}
		for _, n := range []int64{r.Requests, r.Failures, r.Cancellations, r.Interruptions, r.CacheHits, r.PromptTokens, r.CachedTokens, r.CompletionTokens, r.Images} {
			record = append(record, strconv.FormatInt(n, 10))
		}
		for _, seconds := range []float64{r.AudioIn, r.AudioOut} {
			record = append(record, strconv.FormatFloat(seconds, 'f', -1, 64))
		}
		_ = out.Write(append(record, strconv.FormatInt(int64(r.Amount), 10), r.Amount.USD()))
	}
	out.Flush() // Error reports what any of the writes met
	if err := out.Error(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// costCheck is the answer of /costs/verify.
type costCheck struct {
	Sound       bool     `json:"sound"`
	Differences []string `json:"differences"`
	Rebuilt     bool     `json:"rebuilt"`
}

func newCostVerifyCommand(o *options) *cobra.Command {
	var rebuild bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Hold the statistics against the costs that they sum up", Args: args(cobra.NoArgs),
		Long: "Compares everything that the database says twice about money, and fails if there is a difference.\n" +
			"With --rebuild the statistics are made anew from the costs, and compared again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withRecords(cmd.Context(), o, func(s *Session) error {
				var before, after costCheck
				if err := s.send(cmd.Context(), http.MethodPost, "/costs/verify", map[string]bool{"rebuild": rebuild}, &before); err != nil {
					return err
				}
				after = before
				if rebuild {
					if err := s.send(cmd.Context(), http.MethodPost, "/costs/verify", struct{}{}, &after); err != nil {
						return err
					}
				}
				return tellCheck(cmd, o, rebuild, &before, &after)
			})
		},
	}
	cmd.Flags().BoolVar(&rebuild, "rebuild", false, "make the statistics anew from the costs")
	return o.jsonFlag(cmd)
}

// tellCheck prints what was found before and what is left after a rebuild; what
// is left is the error.
func tellCheck(cmd *cobra.Command, o *options, rebuilt bool, before, after *costCheck) error {
	out := cmd.OutOrStdout()
	if o.json {
		if err := printJSON(out, map[string]any{"sound": after.Sound, "found": before.Differences, "rebuilt": rebuilt, "left": after.Differences}); err != nil {
			return err
		}
	} else {
		for _, difference := range before.Differences {
			fmt.Fprintln(out, difference)
		}
		if rebuilt {
			fmt.Fprintln(out, "the statistics were made anew from the costs")
		}
	}
	if !after.Sound {
		e := jeantrail.Errorf(jeantrail.CodeConflict, "the database has %d differences: %s", len(after.Differences), strings.Join(after.Differences, "; "))
		if rebuilt {
			return e.WithHint("These are not about statistics. Keep a copy of the database, and report them.")
		}
		return e.WithHint("If they are about statistics: jeantrail-ai cost verify --rebuild")
	}
	if !o.json {
		fmt.Fprintln(out, "the statistics are the sums of the costs")
	}
	return nil
}
