package bench

import (
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// Schema makes the tables bench_runs and bench_results, in SQLite's words.
//
//go:embed schema.sql
var Schema string

// A flatColumn is one of bench_results: a string, an int64, a float64, or nil
// for NULL.
type flatColumn struct {
	name  string
	value func(r *Report, position int, row *Row) any
}

func ofReport(name string, value func(*Report) any) flatColumn {
	return flatColumn{name, func(r *Report, _ int, _ *Row) any { return value(r) }}
}

func ofRow(name string, value func(*Row) any) flatColumn {
	return flatColumn{name, func(_ *Report, _ int, row *Row) any { return value(row) }}
}

func ofFigure(name string, of func(*Row) *Figure, part func(*Figure) float64) flatColumn {
	return ofRow(name, func(row *Row) any {
		if f := of(row); f != nil {
			return part(f)
		}
		return nil
	})
}

// flatColumns are the columns of bench_results in their order.
func flatColumns() []flatColumn {
	return append(flatRowColumns(), flatReportColumns()...)
}

func flatRowColumns() []flatColumn {
	return []flatColumn{
		ofReport("run_id", func(r *Report) any { return r.ID }),
		{"position", func(_ *Report, position int, _ *Row) any { return int64(position) }},
		ofReport("created_at", func(r *Report) any { return r.CreatedAt.UnixMilli() }),
		ofReport("kind", func(r *Report) any { return string(r.Kind) }),
		ofRow("test", func(row *Row) any { return row.Test }),
		ofRow("streams", func(row *Row) any { return int64(row.Streams) }),
		ofRow("prompt_tokens", func(row *Row) any { return int64(row.PromptTokens) }),
		ofRow("gen_tokens", func(row *Row) any { return int64(row.GenTokens) }),
		ofRow("shared_prefix", func(row *Row) any {
			if row.Shared {
				return int64(1)
			}
			return int64(0)
		}),
		ofRow("requests", func(row *Row) any { return int64(row.Requests) }),
		ofRow("failed", func(row *Row) any { return int64(row.failed()) }),
		ofRow("tokens", func(row *Row) any { return int64(row.Tokens) }),
		ofFigure("tokens_per_second", speed, func(f *Figure) float64 { return f.Mean }),
		ofFigure("tokens_per_second_sd", speed, func(f *Figure) float64 { return f.SD }),
		ofFigure("stream_tokens_per_second", streamSpeed, p50),
		ofFigure("ttft_ms", first, p50),
		ofFigure("ttft_p95_ms", first, p95),
		ofFigure("ttft_p99_ms", first, p99),
		ofFigure("gap_ms", gap, p50),
		ofFigure("gap_p95_ms", gap, p95),
		ofFigure("gap_p99_ms", gap, p99),
		ofFigure("total_ms", total, p50),
		ofFigure("total_p95_ms", total, p95),
		ofFigure("cancel_ms", cancelled, p50),
		ofFigure("cancel_p99_ms", cancelled, p99),
		ofRow("cached_tokens", func(row *Row) any {
			if row.Cached == nil {
				return nil
			}
			return *row.Cached
		}),
	}
}

func flatReportColumns() []flatColumn {
	return []flatColumn{
		ofReport("model", func(r *Report) any { return r.Model.Name }),
		ofReport("model_sha256", func(r *Report) any { return r.Model.SHA256 }),
		ofReport("model_type", func(r *Report) any { return r.Model.Type }),
		ofReport("quantization", func(r *Report) any { return r.Model.Quantization }),
		ofReport("model_bytes", func(r *Report) any { return r.Model.Bytes }),
		ofReport("parameters", func(r *Report) any { return r.Model.Parameters }),
		ofReport("n_ctx", func(r *Report) any { return int64(r.Model.Context) }),
		ofReport("backend", func(r *Report) any { return r.Settings.Backend }),
		ofReport("n_threads", func(r *Report) any { return int64(r.Settings.Threads) }),
		ofReport("n_gpu_layers", func(r *Report) any { return int64(r.Settings.GPULayers) }),
		ofReport("n_batch", func(r *Report) any { return int64(r.Settings.Batch) }),
		ofReport("cpu", func(r *Report) any { return r.Machine.CPU }),
		ofReport("cpu_features", func(r *Report) any { return strings.Join(r.Machine.Features, " ") }),
		ofReport("gpu", func(r *Report) any { return r.Machine.GPU }),
		ofReport("version", func(r *Report) any { return r.Build.Version }),
		ofReport("llama_cpp", func(r *Report) any { return r.Build.LlamaCPP }),
		ofReport("build_flags", func(r *Report) any { return r.Build.Flags }),
		ofReport("url", func(r *Report) any { return r.Settings.URL }),
		ofReport("api", func(r *Report) any { return string(r.Settings.API) }),
	}
}

// Columns are the names of the columns of bench_results, in the order of Values.
func Columns() []string {
	columns := flatColumns()
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].name
	}
	return names
}

// Values are the rows of bench_results for the report: in each a value for every
// one of Columns, which is a string, an int64, a float64 or nil for NULL.
func (r *Report) Values() [][]any {
	columns := flatColumns()
	rows := make([][]any, len(r.Rows))
	for i := range r.Rows {
		rows[i] = make([]any, len(columns))
		for k := range columns {
			rows[i][k] = columns[k].value(r, i, &r.Rows[i])
		}
	}
	return rows
}

// decimal writes a figure to the thousandth.
func decimal(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
}

func (r *Report) writeCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	lines := [][]string{Columns()}
	for _, row := range r.Values() {
		line := make([]string, len(row))
		for i, v := range row {
			switch v := v.(type) {
			case nil:
			case float64:
				line[i] = decimal(v)
			default:
				line[i] = fmt.Sprint(v)
			}
		}
		lines = append(lines, line)
	}
	if err := out.WriteAll(lines); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// writeSQL prints one transaction. A run that is in the database already is an
// error there.
func (r *Report) writeSQL(w io.Writer) error {
	report, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	var out strings.Builder
	out.WriteString(Schema + "\nBEGIN;\n")
	write := func(table string, columns []string, row []any) error {
		values := make([]string, len(row))
		for i, v := range row {
			if values[i], err = literal(v); err != nil {
				return err
			}
		}
		fmt.Fprintf(&out, "INSERT INTO %s (%s)\nVALUES (%s);\n", table, strings.Join(columns, ", "), strings.Join(values, ", "))
		return nil
	}
	err = write("bench_runs", []string{"id", "kind", "created_at", "report"}, []any{r.ID, string(r.Kind), r.CreatedAt.UnixMilli(), string(report)})
	if err != nil {
		return err
	}
	for _, row := range r.Values() {
		if err := write("bench_results", Columns(), row); err != nil {
			return err
		}
	}
	out.WriteString("COMMIT;\n")
	return writeText(w, out.String())
}

// literal writes a value in SQLite's words.
func literal(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "NULL", nil
	case float64:
		return decimal(v), nil
	case string:
		if strings.ContainsRune(v, 0) {
			return "", jeantrail.Errorf(jeantrail.CodeInvalid, "bench: %q has a zero byte, which SQL text cannot", shorten(v))
		}
		return "'" + strings.ReplaceAll(v, "'", "''") + "'", nil
	}
	return fmt.Sprint(v), nil
}
