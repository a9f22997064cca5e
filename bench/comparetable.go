package bench

import (
	"bytes"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
)

// Write prints the comparison as a table, Markdown or JSON. The error is invalid
// if the format is none of these.
func (c *Comparison) Write(w io.Writer, f Format) error {
	switch f {
	case FormatJSON:
		return writeJSON(w, c)
	case FormatTable, FormatMD:
	default:
		return noFormat(f, []Format{FormatTable, FormatMD, FormatJSON})
	}
	end := "\n"
	if f == FormatMD {
		end = "  \n" // a line break
	}
	var out bytes.Buffer
	for _, run := range []struct {
		letter string
		name   RunName
	}{{"A", c.A}, {"B", c.B}} {
		fmt.Fprintf(&out, "%s: %s %s, %s, %s%s", run.letter, run.name.Kind, printable(run.name.ID), run.name.CreatedAt, run.name.About, end)
	}
	out.WriteString("\n" + render(f, table.Row{"test", "figure", "A", "±", "B", "±", "B by A", "p", "verdict"},
		[]bool{true, true, false, false, false, false, false, false, true}, c.cells()) + "\n")
	if len(c.Differs) > 0 {
		rows := make([]table.Row, len(c.Differs))
		for i, d := range c.Differs {
			rows[i] = table.Row{d.Fact, orDash(d.A), orDash(d.B)}
		}
		out.WriteString("\n" + render(f, table.Row{"differs", "A", "B"}, []bool{true, true, true}, rows) + "\n")
	}
	if len(c.OnlyA)+len(c.OnlyB) > 0 {
		fmt.Fprintf(&out, "\nonly in A: %s%sonly in B: %s%s", printable(listed(c.OnlyA)), end, printable(listed(c.OnlyB)), end)
	}
	return writeText(w, out.String())
}

func (c *Comparison) cells() []table.Row {
	rows := make([]table.Row, len(c.Changes))
	for i := range c.Changes {
		change := &c.Changes[i]
		ratio := "-"
		if change.Ratio > 0 {
			ratio = fmt.Sprintf("%.3f", change.Ratio)
		}
		side := func(s Side) (median, spread string) {
			if change.Figure == "failed" {
				return percent(s.Median), ""
			}
			return short(s.Median), percent(s.Spread)
		}
		a, aSpread := side(change.A)
		b, bSpread := side(change.B)
		rows[i] = table.Row{
			printable(change.Test), change.Figure, a, aSpread, b, bSpread, ratio, fmt.Sprintf("%.3f", change.P), string(change.Verdict),
		}
	}
	return rows
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
