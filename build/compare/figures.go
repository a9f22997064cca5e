package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	pretty "github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/jeantrail/jeantrail-ai/bench"
)

// figure is one measurement. Of milliseconds and MiB less is better.
type figure struct {
	name, unit string
	value      float64
}

// table collects figures: name -> contender -> one value for each round.
type table struct {
	settings
	figures []figure // in the order of the first round; their values are not used
	values  map[string]map[string][]float64
	names   []string // of the contenders other than ours
}

func newTable(s settings) *table {
	return &table{settings: s, values: make(map[string]map[string][]float64)}
}

func (t *table) add(f figure, contender string) {
	if t.values[f.name] == nil {
		t.figures = append(t.figures, f)
		t.values[f.name] = make(map[string][]float64)
	}
	if contender != ours && !slices.Contains(t.names, contender) {
		t.names = append(t.names, contender)
	}
	t.values[f.name][contender] = append(t.values[f.name][contender], f.value)
	fmt.Fprintf(os.Stderr, "  %-46s %-20s %10.2f %s\n", f.name, contender, f.value, f.unit)
}

// comparison is our figure against one contender's: medians, and the ratios of the
// rounds.
type comparison struct {
	Figure string    `json:"figure"`
	Unit   string    `json:"unit"`
	Ours   float64   `json:"ours"`
	Peer   string    `json:"peer"`
	Theirs float64   `json:"theirs"`
	Ratio  float64   `json:"ratio"` // the median of the rounds
	Each   []float64 `json:"each"`  // the ratio of each round
}

// comparisons has every figure that both sides have in all rounds.
func (t *table) comparisons() []comparison {
	var all []comparison
	for _, f := range t.figures {
		own := t.values[f.name][ours]
		for _, peer := range t.names {
			theirs := t.values[f.name][peer]
			if len(own) == 0 || len(own) != len(theirs) {
				continue
			}
			c := comparison{Figure: f.name, Unit: f.unit, Ours: bench.Median(own), Peer: peer, Theirs: bench.Median(theirs)}
			for i := range own {
				c.Each = append(c.Each, own[i]/theirs[i])
			}
			c.Ratio = bench.Median(c.Each)
			all = append(all, c)
		}
	}
	return all
}

func formats() []string { return []string{"table", "md", "json"} }

// print writes each figure with our ratio against every other contender.
func (t *table) print(w io.Writer) error {
	if t.format == "json" {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(map[string]any{
			"model": filepath.Base(t.model), "threads": t.threads, "rounds": t.rounds, "slots": t.slots, "comparisons": t.comparisons(),
		})
	}
	out := pretty.NewWriter()
	out.SetStyle(pretty.StyleLight)
	out.Style().Format.Header = text.FormatDefault
	out.AppendHeader(pretty.Row{"figure", "unit", ours, "theirs", "peer", "ratio", "least", "most"})
	out.SetColumnConfigs(columns())
	for _, c := range t.comparisons() {
		out.AppendRow(pretty.Row{
			c.Figure, c.Unit, fmt.Sprintf("%.2f", c.Ours), fmt.Sprintf("%.2f", c.Theirs), c.Peer,
			fmt.Sprintf("%.3f", c.Ratio), fmt.Sprintf("%.3f", slices.Min(c.Each)), fmt.Sprintf("%.3f", slices.Max(c.Each)),
		})
	}
	rendered := out.Render()
	if t.format == "md" {
		rendered = out.RenderMarkdown()
	}
	_, err := fmt.Fprintf(w, "%s, %d threads, %d rounds; of ms and MiB less is better\n\n%s\n", filepath.Base(t.model), t.threads, t.rounds, rendered)
	return err
}

// columns puts numbers to the right.
func columns() []pretty.ColumnConfig {
	var all []pretty.ColumnConfig
	for _, n := range []int{3, 4, 6, 7, 8} {
		all = append(all, pretty.ColumnConfig{Number: n, Align: text.AlignRight})
	}
	return all
}
