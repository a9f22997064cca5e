package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/jeantrail/jeantrail-ai"
)

// Format is a form that reports and comparisons are printed in.
type Format string

const (
	FormatTable Format = "table" // for the terminal
	FormatMD    Format = "md"    // of raw reports: the table that llama-bench prints
	FormatJSON  Format = "json"  // all of it; Read reads it back
	FormatCSV   Format = "csv"   // the columns of bench_results, with their names
	FormatSQL   Format = "sql"   // for sqlite3: the tables, if they are not there, and the rows
)

// Formats lists the forms of reports.
func Formats() []Format { return []Format{FormatTable, FormatMD, FormatJSON, FormatCSV, FormatSQL} }

// Write prints the report. The error is invalid if there is no such format.
func (r *Report) Write(w io.Writer, f Format) error {
	switch f {
	case FormatTable, FormatMD:
		return r.writeTable(w, f)
	case FormatJSON:
		return writeJSON(w, r)
	case FormatCSV:
		return r.writeCSV(w)
	case FormatSQL:
		return r.writeSQL(w)
	}
	return noFormat(f, Formats())
}

func noFormat(f Format, known []Format) error {
	names := make([]string, len(known))
	for i := range known {
		names[i] = string(known[i])
	}
	return jeantrail.Errorf(jeantrail.CodeInvalid, "bench: there is no format %q", f).WithHint("It is one of %s.", strings.Join(names, ", "))
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func writeText(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// printable writes text that somebody else chose, such as a model's name, so
// that it can neither move the cursor nor break a table.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// humanBytes and humanCount are written as llama-bench writes them.
func humanBytes(n int64) string {
	switch {
	case n <= 0:
		return ""
	case n < 1<<30:
		return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

func humanCount(n int64) string {
	switch {
	case n <= 0:
		return ""
	case n < 1e9:
		return fmt.Sprintf("%.2f M", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f B", float64(n)/1e9)
}

// count writes a number that is empty if it is 0, which here means not known.
func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// short writes a figure with three digits that matter, or all that are before
// the point.
func short(v float64) string {
	switch {
	case v >= 99.95 || v == 0:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 0.9995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// whole writes a number of tokens; a median of them may end in a half.
func whole(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
