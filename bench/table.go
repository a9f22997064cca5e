package bench

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// A column of a table of rows. One that is empty in all of them is left out.
type column struct {
	name string
	left bool // aligned, as words are; figures are to the right
	cell func(*Report, *Row) string
}

// figureColumn shows a part of a figure.
func figureColumn(name string, of func(*Row) *Figure, part func(*Figure) float64) column {
	return column{name: name, cell: func(_ *Report, row *Row) string {
		f := of(row)
		if f == nil {
			return ""
		}
		return short(part(f))
	}}
}

func p50(f *Figure) float64 { return f.P50 }
func p95(f *Figure) float64 { return f.P95 }
func p99(f *Figure) float64 { return f.P99 }

func first(r *Row) *Figure       { return r.First }
func gap(r *Row) *Figure         { return r.Gap }
func total(r *Row) *Figure       { return r.Total }
func cancelled(r *Row) *Figure   { return r.Cancel }
func speed(r *Row) *Figure       { return r.Speed }
func streamSpeed(r *Row) *Figure { return r.StreamSpeed }

// meanAndSD writes a speed as llama-bench does.
func meanAndSD(_ *Report, row *Row) string {
	if row.Speed == nil {
		return ""
	}
	return fmt.Sprintf("%.2f ± %.2f", row.Speed.Mean, row.Speed.SD)
}

// rawColumns are those that llama-bench's users know.
func rawColumns() []column {
	return []column{
		{name: "model", left: true, cell: func(r *Report, _ *Row) string { return r.modelType() }},
		{name: "size", cell: func(r *Report, _ *Row) string { return humanBytes(r.Model.Bytes) }},
		{name: "params", cell: func(r *Report, _ *Row) string { return humanCount(r.Model.Parameters) }},
		{name: "backend", left: true, cell: func(r *Report, _ *Row) string { return printable(r.Settings.Backend) }},
		{name: "ngl", cell: func(r *Report, _ *Row) string { return count(r.Settings.GPULayers) }},
		{name: "threads", cell: func(r *Report, _ *Row) string { return count(r.Settings.Threads) }},
		{name: "sequences", cell: func(r *Report, row *Row) string {
			if r.Kind == KindRaw {
				return ""
			}
			return count(row.Streams)
		}},
		{name: "test", cell: func(_ *Report, row *Row) string { return printable(row.Test) }},
		{name: "t/s", cell: meanAndSD},
	}
}

// modelType is the model as llama-bench names it, or the best there is.
func (r *Report) modelType() string {
	if r.Model.Type != "" {
		return printable(r.Model.Type)
	}
	return printable(strings.TrimSpace(r.Model.Name + " " + r.Model.Quantization))
}

// loadColumns are those of engine and http.
func loadColumns() []column {
	return []column{
		{name: "test", left: true, cell: func(_ *Report, row *Row) string {
			if row.Shared && row.Test != testShared {
				return printable(row.Test) + ", shared"
			}
			return printable(row.Test)
		}},
		{name: "streams", cell: func(_ *Report, row *Row) string { return count(row.Streams) }},
		{name: "prompt", cell: func(_ *Report, row *Row) string {
			if row.PromptCounted != nil {
				return whole(*row.PromptCounted)
			}
			return "~" + count(row.PromptTokens)
		}},
		{name: "cached", cell: func(_ *Report, row *Row) string {
			if row.Cached == nil {
				return ""
			}
			return whole(*row.Cached)
		}},
		{name: "requests", cell: func(_ *Report, row *Row) string { return count(row.Requests) }},
		{name: "failed", cell: func(_ *Report, row *Row) string { return count(row.failed()) }},
		{name: "t/s", cell: meanAndSD},
		figureColumn("t/s each", streamSpeed, p50),
		figureColumn("first ms", first, p50),
		figureColumn("p95", first, p95),
		figureColumn("p99", first, p99),
		figureColumn("gap ms", gap, p50),
		figureColumn("p95", gap, p95),
		figureColumn("p99", gap, p99),
		figureColumn("total ms", total, p50),
		figureColumn("p95", total, p95),
		figureColumn("cancel ms", cancelled, p50),
		figureColumn("p99", cancelled, p99),
	}
}

// writeTable prints the rows as a table, and the facts below it.
func (r *Report) writeTable(w io.Writer, f Format) error {
	columns := loadColumns()
	if r.Kind == KindRaw || r.Kind == KindBatched {
		columns = rawColumns()
	}
	var heads table.Row
	var align []bool
	cells := make([]table.Row, len(r.Rows))
	for _, c := range columns {
		column, known := make([]string, len(r.Rows)), false
		for i := range r.Rows {
			column[i] = c.cell(r, &r.Rows[i])
			known = known || column[i] != ""
		}
		if !known {
			continue
		}
		heads, align = append(heads, c.name), append(align, c.left)
		for i := range column {
			cells[i] = append(cells[i], column[i])
		}
	}
	var out bytes.Buffer
	if len(r.Rows) > 0 {
		out.WriteString(render(f, heads, align, cells) + "\n\n")
	}
	for _, line := range r.facts() {
		if f == FormatMD {
			line += "  " // a line break
		}
		out.WriteString(line + "\n")
	}
	return writeText(w, out.String())
}

// render draws a table; left says which columns are aligned so.
func render(f Format, heads table.Row, left []bool, rows []table.Row) string {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	configs := make([]table.ColumnConfig, len(left))
	for i := range left {
		align := text.AlignRight
		if left[i] {
			align = text.AlignLeft
		}
		configs[i] = table.ColumnConfig{Number: i + 1, Align: align, AlignHeader: align}
	}
	t.SetStyle(style)
	t.SetColumnConfigs(configs)
	t.AppendHeader(heads)
	t.AppendRows(rows)
	if f == FormatMD {
		return t.RenderMarkdown()
	}
	lines := strings.Split(t.Render(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// facts are the lines below a table: what was measured where, and the notes.
func (r *Report) facts() []string {
	var lines []string
	line := func(name string, parts ...string) {
		var known []string
		for _, p := range parts {
			if p != "" {
				known = append(known, printable(p))
			}
		}
		if len(known) > 0 {
			lines = append(lines, name+": "+strings.Join(known, " · "))
		}
	}
	unit := func(n int, unit string) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("%d %s", n, unit)
	}
	llama := r.Build.LlamaCPP
	if llama != "" {
		llama = "llama.cpp " + llama
	}
	sum := r.Model.SHA256
	if len(sum) > 12 {
		sum = sum[:12]
	}
	if sum != "" {
		sum = "sha256 " + sum
	}
	line("build", r.Build.Version, llama, r.Build.Flags)
	line("model", r.Model.Name, r.Model.Quantization, sum, unit(r.Model.Context, "tokens of context"))
	line("machine", r.Machine.CPU, unit(r.Machine.Cores, "cores"), unit(r.Settings.Threads, "threads"), speedFeatures(r.Machine.Features), r.Machine.GPU)
	kv := r.Settings.KV
	if kv != "" {
		kv = "KV " + kv
	}
	line("engine", unit(r.Settings.Slots, "slots"), kv)
	line("server", r.Settings.URL, string(r.Settings.API))
	for _, n := range r.Notes {
		line("note", n)
	}
	return lines
}

// speedFeatures are those of a processor's features by which llama.cpp chooses its
// kernels, as a table shows them; a report has all.
func speedFeatures(all []string) string {
	var shown []string
	for _, f := range all {
		if slices.ContainsFunc(kernelFeatures, func(name string) bool { return strings.HasPrefix(f, name) }) {
			shown = append(shown, f)
		}
	}
	return strings.Join(shown, " ")
}

// kernelFeatures are how their names begin (ggml-cpu's feature detection).
var kernelFeatures = []string{"AVX2", "AVXVNNI", "AVX512F", "AVX512BW", "AVX512VNNI", "AVX512VBMI", "AVX512BF16", "AMX", "FMA", "F16C", "NEON", "ASIMD", "SVE", "SME", "I8MM"}
