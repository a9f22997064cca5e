package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/bench"
)

// mostListed is how many benchmarks one request lists at most.
const mostListed = 500

// leastID is how much of an id a list shows at least.
const leastID = 8

// wireBench is a benchmark as /bench lists it.
type wireBench struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind"`
	CreatedAt  time.Time `json:"created_at"`
	Tests      int       `json:"tests"`
	Model      string    `json:"model"`
	URL        string    `json:"url"`
	Threads    int       `json:"threads"`
	GPULayers  int       `json:"gpu_layers"`
	Version    string    `json:"version"`
	Decode     *float64  `json:"tokens_per_second"`
	FirstToken *float64  `json:"first_token_ms"`
}

// keepReport keeps a report in the home, by the session or by one of its own. What
// goes wrong is said after the figures were printed, so that they are not lost.
func keepReport(ctx context.Context, o *options, report *bench.Report, s *Session) error {
	send := func(s *Session) error { return s.send(ctx, http.MethodPost, "/bench", report, nil) }
	var err error
	if s != nil {
		err = send(s)
	} else {
		err = withRecords(ctx, o, send)
	}
	if err == nil {
		return nil
	}
	return jeantrail.Errorf(jeantrail.CodeInternal, "the result was measured, but is not kept in the home: %w", err).
		WithHint("%s", strings.TrimSpace(jeantrail.AsError(err).Hint+" Measure without keeping: --no-keep, or write it into a file: --save FILE.json"))
}

func benchPath(id string) string { return "/bench/" + url.PathEscape(id) }

// newest reads last, which is the newest benchmark, and last~N, the Nth before it.
func newest(word string) (n int, is bool, err error) {
	rest, is := strings.CutPrefix(word, "last")
	if !is || rest != "" && rest[0] != '~' {
		return 0, false, nil
	}
	if rest == "" {
		return 0, true, nil
	}
	n, err = strconv.Atoi(rest[1:])
	if err != nil || n < 0 || n >= mostListed {
		return 0, true, errUsage{fmt.Errorf("%q is not a benchmark: after last~ comes a number below %d", word, mostListed)}
	}
	return n, true, nil
}

// isFile reports whether a word of the command line means a file, and not a
// benchmark that is kept: one that is there, or that is written as a path.
func isFile(word string) bool {
	if _, is, _ := newest(word); is {
		return false
	}
	if filepath.Ext(word) == ".json" || strings.ContainsAny(word, "/"+string(filepath.Separator)) {
		return true
	}
	_, err := os.Stat(word)
	return err == nil
}

// keptID returns the id that a word means: last and last~N are looked up, anything
// else is an id, or how one begins.
func keptID(ctx context.Context, s *Session, word string) (string, error) {
	n, is, err := newest(word)
	if err != nil || !is {
		return word, err
	}
	var list struct {
		Benches []wireBench `json:"benches"`
	}
	if err := s.get(ctx, http.MethodGet, fmt.Sprintf("/bench?limit=%d", n+1), &list); err != nil {
		return "", err
	}
	if have := len(list.Benches); have <= n {
		return "", jeantrail.Errorf(jeantrail.CodeNotFound, "there is no benchmark %s: %d are kept", word, have).
			WithHint("Measure one: jeantrail-ai bench raw")
	}
	return list.Benches[n].ID, nil
}

// keptReport returns a report that is kept.
func keptReport(ctx context.Context, s *Session, word string) (*bench.Report, error) {
	id, err := keptID(ctx, s, word)
	if err != nil {
		return nil, err
	}
	var run struct {
		Report json.RawMessage `json:"report"`
	}
	if err := s.get(ctx, http.MethodGet, benchPath(id), &run); err != nil {
		return nil, err
	}
	return bench.Read(bytes.NewReader(run.Report))
}

// readReports returns the reports that words mean: files, or benchmarks that are
// kept. The home is opened only if one of them is.
func readReports(ctx context.Context, o *options, words []string) ([]*bench.Report, error) {
	reports, ofHome := make([]*bench.Report, len(words)), false
	for i, word := range words {
		if !isFile(word) {
			ofHome = true
			continue
		}
		var err error
		if reports[i], err = readReport(word); err != nil {
			return nil, err
		}
	}
	if !ofHome {
		return reports, nil
	}
	return reports, withRecords(ctx, o, func(s *Session) (err error) {
		for i, word := range words {
			if reports[i] == nil && err == nil {
				reports[i], err = keptReport(ctx, s, word)
			}
		}
		return err
	})
}

// readReport reads a report from a file.
func readReport(path string) (*bench.Report, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no file %s", path).
			WithHint("Name a file that bench --save wrote, or a benchmark of: jeantrail-ai bench list")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := bench.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func newBenchListCommand(o *options) *cobra.Command {
	var kind, model string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the benchmarks that are kept, newest first", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			for name, value := range map[string]string{"kind": kind, "model": model} {
				if value != "" {
					query.Set(name, value)
				}
			}
			return listing(cmd, o, "/bench?"+query.Encode(), "benches", printBenches)
		},
	}
	f := cmd.Flags()
	f.StringVar(&kind, "kind", "", "only raw, batched, engine or http")
	f.StringVar(&model, "model", "", "only of this model: its name, or how its SHA-256 begins")
	f.IntVar(&limit, "limit", 50, "at most so many, up to 500")
	return o.jsonFlag(cmd)
}

func printBenches(w io.Writer, list []wireBench) {
	digits := enoughOfIDs(list)
	t := newTable(w, "BENCH", "KIND", "MEASURED", "MODEL", "THREADS", "GPU LAYERS", "TESTS", "T/S", "FIRST TOKEN", "VERSION")
	for i := range list {
		b := &list[i]
		model := b.Model
		if b.URL != "" {
			model = strings.TrimSpace(model + " at " + b.URL)
		}
		t.AppendRow(table.Row{
			b.ID[:min(digits, len(b.ID))], b.Kind, b.CreatedAt.Local().Format("2006-01-02 15:04"), printable(model), orNone(b.Threads), b.GPULayers,
			b.Tests, figure(b.Decode, "%.1f"), figure(b.FirstToken, "%.1f ms"), printable(b.Version),
		})
	}
	t.Render()
}

// figure writes what may not have been measured.
func figure(v *float64, format string) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf(format, *v)
}

// orNone writes a number that is 0 if it is not known.
func orNone(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// enoughOfIDs is how many digits tell the ids of a list apart.
func enoughOfIDs(list []wireBench) int {
	for digits := leastID; ; digits++ {
		seen, longest := make(map[string]bool), 0
		for i := range list {
			id := list[i].ID
			seen[id[:min(digits, len(id))]], longest = true, max(longest, len(id))
		}
		if len(seen) == len(list) || digits >= longest {
			return digits
		}
	}
}

// whichBench says how a benchmark may be named.
const whichBench = "A benchmark is named by its id, or by how that begins; last is the newest, last~1 the one before it."

func newBenchShowCommand(o *options) *cobra.Command {
	out := benchOutput{}
	cmd := &cobra.Command{
		Use: "show BENCH", Short: "Show a benchmark that is kept", Args: args(cobra.ExactArgs(1)),
		Long: "Prints a benchmark as it was printed when it was measured, in any of the forms.\n" + whichBench,
		RunE: func(cmd *cobra.Command, a []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return withRecords(cmd.Context(), o, func(s *Session) error {
				report, err := keptReport(cmd.Context(), s, a[0])
				if err != nil {
					return err
				}
				return out.write(cmd, o, report)
			})
		},
	}
	out.showFlags(cmd)
	return o.jsonFlag(cmd)
}

func newBenchRemoveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "remove BENCH", Aliases: []string{"rm"}, Short: "Remove a benchmark that is kept", Args: args(cobra.ExactArgs(1)), Long: whichBench,
		RunE: func(cmd *cobra.Command, a []string) error {
			return withRecords(cmd.Context(), o, func(s *Session) error {
				id, err := keptID(cmd.Context(), s, a[0])
				if err != nil {
					return err
				}
				return s.get(cmd.Context(), http.MethodDelete, benchPath(id), nil)
			})
		},
	}
}

func newBenchCompareCommand(o *options) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two benchmarks, with a verdict on what is noise",
		Long: "Compares the tests that two benchmarks have in common. Each is a file that --save wrote, or one that is\n" +
			"kept. " + whichBench,
		Example: "  jeantrail-ai bench compare last~1 last",
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error {
			reports, err := readReports(cmd.Context(), o, a)
			if err != nil {
				return err
			}
			c, err := bench.Compare(reports[0], reports[1])
			if err != nil {
				return err
			}
			if o.json {
				format = string(bench.FormatJSON)
			}
			return c.Write(cmd.OutOrStdout(), bench.Format(format))
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", string(bench.FormatTable), "table, md or json")
	return o.jsonFlag(cmd)
}
