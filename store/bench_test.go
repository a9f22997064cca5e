package store_test

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/bench"
	"github.com/jeantrail/jeantrail-ai/store"
)

// measured is a report of a model on a processor, with a decode test of that speed.
func measured(kind bench.Kind, at time.Time, sum, cpu string, threads int, speed float64) *bench.Report {
	r := bench.New(kind, at)
	r.Model = bench.Model{Name: "model " + sum, SHA256: sum, Bytes: 700, Parameters: 600, Quantization: "Q4_K_M"}
	r.Machine, r.Settings = bench.Machine{CPU: cpu}, bench.Settings{Backend: "CPU", Threads: threads}
	figure := &bench.Figure{N: 1, Mean: speed, P50: speed, Each: []float64{speed}}
	row := bench.Row{Test: "tg128", Streams: 1, GenTokens: 128, Speed: figure}
	switch kind {
	case bench.KindRaw:
		r.Rows = append(r.Rows, bench.Row{Test: "pp512", Streams: 1, PromptTokens: 512, Speed: &bench.Figure{Mean: 1e6}})
	case bench.KindEngine, bench.KindHTTP:
		// What all streams get is not what one gets from its first token on.
		row.Test, row.Speed, row.StreamSpeed = "load", &bench.Figure{Mean: speed / 2}, figure
		row.First = &bench.Figure{P50: 12.5}
	}
	again := row
	again.Streams, again.Speed = 4, &bench.Figure{Mean: 1e6}
	short := row
	short.GenTokens, short.Speed, short.StreamSpeed = 8, &bench.Figure{Mean: 1e6}, &bench.Figure{P50: 1e6}
	r.Rows = append(r.Rows, row, again, short)
	return r
}

// runOf is a report as it is kept.
func runOf(t *testing.T, r *bench.Report) jeantrail.BenchRun {
	t.Helper()
	run, err := r.Run()
	must(t, err)
	return run
}

func TestBenches(t *testing.T) {
	ctx, s := context.Background(), open(t)
	raw := runOf(t, measured(bench.KindRaw, epoch, "aaaaaaaa1", "cpu", 2, 20))
	engine := runOf(t, measured(bench.KindEngine, epoch.Add(time.Hour), "bbbbbbbb2", "cpu", 2, 30))
	for _, run := range []jeantrail.BenchRun{engine, raw} {
		must(t, s.AddBench(ctx, run))
	}
	wantCode(t, s.AddBench(ctx, raw), jeantrail.CodeConflict)

	all, err := s.Benches(ctx, jeantrail.BenchFilter{}, 10)
	must(t, err)
	want := []jeantrail.BenchSummary{
		{ID: engine.ID, Kind: jeantrail.BenchEngine, CreatedAt: engine.CreatedAt, Tests: 3, Model: "model bbbbbbbb2", SHA256: "bbbbbbbb2",
			Quantization: "Q4_K_M", Backend: "CPU", Threads: 2, CPU: "cpu", Decode: 30, FirstToken: 12500 * time.Microsecond},
		{ID: raw.ID, Kind: jeantrail.BenchRaw, CreatedAt: raw.CreatedAt, Tests: 4, Model: "model aaaaaaaa1", SHA256: "aaaaaaaa1",
			Quantization: "Q4_K_M", Backend: "CPU", Threads: 2, CPU: "cpu", Decode: 20},
	}
	if !slices.Equal(all, want) {
		t.Errorf("benchmarks\n%+v\nwant\n%+v", all, want)
	}
	for _, tt := range []struct {
		filter jeantrail.BenchFilter
		limit  int
		want   []jeantrail.BenchSummary
	}{
		{jeantrail.BenchFilter{}, 1, want[:1]},
		{jeantrail.BenchFilter{Kind: jeantrail.BenchRaw}, 9, want[1:]},
		{jeantrail.BenchFilter{Model: "model aaaaaaaa1"}, 9, want[1:]},
		{jeantrail.BenchFilter{Model: "AAAAAAAA"}, 9, want[1:]},
		{jeantrail.BenchFilter{Model: "aaaaaaa"}, 9, nil}, // too short for a checksum
		{jeantrail.BenchFilter{Kind: jeantrail.BenchHTTP}, 9, nil},
	} {
		if got, err := s.Benches(ctx, tt.filter, tt.limit); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %+v, error %v", tt.filter, got, err)
		}
	}
	for _, limit := range []int{0, 1001} {
		_, err = s.Benches(ctx, jeantrail.BenchFilter{}, limit)
		wantCode(t, err, jeantrail.CodeInvalid)
	}
	_, err = s.Benches(ctx, jeantrail.BenchFilter{Kind: "x"}, 1)
	wantCode(t, err, jeantrail.CodeInvalid)
}

func TestBenchIsFoundByItsBeginning(t *testing.T) {
	ctx, s := context.Background(), open(t)
	_, err := s.Bench(ctx, "00")
	if e := jeantrail.AsError(err); e.Code != jeantrail.CodeNotFound || !strings.Contains(e.Hint, "bench raw") {
		t.Errorf("of none: %v, hint %q", err, e.Hint)
	}
	ids := []string{"00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002", "10000000-0000-4000-8000-000000000003"}
	for i, id := range ids {
		r := measured(bench.KindBatched, epoch.Add(time.Duration(i)*time.Second), "aaaaaaaa1", "cpu", 2, 20)
		r.ID = id
		must(t, s.AddBench(ctx, runOf(t, r)))
	}
	for _, name := range []string{ids[2], "1", "1000"} {
		run, err := s.Bench(ctx, name)
		if err != nil || run.ID != ids[2] || run.Kind != jeantrail.BenchBatched || !run.CreatedAt.Equal(epoch.Add(2*time.Second)) {
			t.Errorf("%s is %+v, error %v", name, run, err)
		}
		if r, err := bench.Read(strings.NewReader(string(run.Report))); err != nil || r.ID != ids[2] || len(r.Rows) != 3 {
			t.Errorf("its report is %+v, error %v", r, err)
		}
	}
	_, err = s.Bench(ctx, "0000")
	if e := jeantrail.AsError(err); e.Code != jeantrail.CodeInvalid || !strings.Contains(e.Hint, ids[0]) || !strings.Contains(e.Hint, ids[1]) || strings.Contains(e.Hint, ids[2]) {
		t.Errorf("of several: %v, hint %q", err, e.Hint)
	}
	_, err = s.Bench(ctx, "%")
	if e := jeantrail.AsError(err); e.Code != jeantrail.CodeNotFound || !strings.Contains(e.Hint, ids[2]+", "+ids[1]) {
		t.Errorf("of none: %v, hint %q", err, e.Hint)
	}
	_, err = s.Bench(ctx, "")
	wantCode(t, err, jeantrail.CodeInvalid)

	wantCode(t, s.DeleteBench(ctx, "0"), jeantrail.CodeInvalid)
	wantCode(t, s.DeleteBench(ctx, "2"), jeantrail.CodeNotFound)
	must(t, s.DeleteBench(ctx, "1"))
	var left int
	must(t, s.Readers().QueryRow("SELECT count(*) FROM bench_results").Scan(&left))
	if left != 6 {
		t.Errorf("%d results are left of two benchmarks of three", left)
	}
}

func TestBenchesAreRefused(t *testing.T) {
	ctx, s := context.Background(), open(t)
	for name, tt := range map[string]struct {
		change func(*jeantrail.BenchRun)
		code   jeantrail.Code
	}{
		"no rows":      {func(r *jeantrail.BenchRun) { r.Rows = nil }, jeantrail.CodeInvalid},
		"no id":        {func(r *jeantrail.BenchRun) { r.ID = "" }, jeantrail.CodeInternal},
		"no kind":      {func(r *jeantrail.BenchRun) { r.Kind = "x" }, jeantrail.CodeInternal},
		"no JSON":      {func(r *jeantrail.BenchRun) { r.Report = []byte("{") }, jeantrail.CodeInternal},
		"other column": {func(r *jeantrail.BenchRun) { r.Columns[0] = "run_id) SELECT (1" }, jeantrail.CodeInternal},
		"short row":    {func(r *jeantrail.BenchRun) { r.Rows[1] = r.Rows[1][1:] }, jeantrail.CodeInternal},
		"no streams":   {func(r *jeantrail.BenchRun) { r.Rows[1][slices.Index(r.Columns, "streams")] = int64(0) }, jeantrail.CodeConflict},
	} {
		run := runOf(t, measured(bench.KindRaw, epoch, "aaaaaaaa1", "cpu", 2, 20))
		tt.change(&run)
		err := s.AddBench(ctx, run)
		if jeantrail.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all, err := s.Benches(ctx, jeantrail.BenchFilter{}, 9); err != nil || len(all) > 0 {
		t.Errorf("kept %+v, error %v", all, err)
	}
}

func TestMeasuredSpeeds(t *testing.T) {
	ctx, s := context.Background(), open(t)
	for _, r := range []*bench.Report{
		measured(bench.KindRaw, epoch, "aaaaaaaa1", "cpu", 2, 20),
		measured(bench.KindEngine, epoch.Add(2*time.Hour), "aaaaaaaa1", "cpu", 2, 22), // in place of the first
		measured(bench.KindRaw, epoch.Add(time.Hour), "aaaaaaaa1", "cpu", 2, 21),
		measured(bench.KindRaw, epoch.Add(3*time.Hour), "aaaaaaaa1", "cpu", 1, 11), // another setting
		measured(bench.KindBatched, epoch.Add(4*time.Hour), "aaaaaaaa1", "other cpu", 2, 40),
		measured(bench.KindRaw, epoch.Add(time.Minute), "bbbbbbbb2", "cpu", 2, 5),
		measured(bench.KindHTTP, epoch.Add(9*time.Hour), "cccccccc3", "cpu", 2, 99), // somebody else's word
		measured(bench.KindRaw, epoch.Add(9*time.Hour), "", "cpu", 2, 99),           // of a model that is not known
	} {
		must(t, s.AddBench(ctx, runOf(t, r)))
	}
	speeds, err := s.MeasuredSpeeds(ctx)
	must(t, err)
	var got []string
	for _, m := range speeds {
		got = append(got, fmt.Sprintf("%s on %s with %d: %v by %s after %v", m.SHA256, m.CPU, m.Threads, m.TokensPerSecond, m.Kind, m.MeasuredAt.Sub(epoch)))
		if m.RunID == "" || m.Model != "model "+m.SHA256 || m.Bytes != 700 || m.Parameters != 600 || m.Backend != "CPU" {
			t.Errorf("%+v", m)
		}
	}
	want := []string{
		"aaaaaaaa1 on other cpu with 2: 40 by batched after 4h0m0s", "aaaaaaaa1 on cpu with 1: 11 by raw after 3h0m0s",
		"aaaaaaaa1 on cpu with 2: 22 by engine after 2h0m0s", "bbbbbbbb2 on cpu with 2: 5 by raw after 1m0s",
	}
	if !slices.Equal(got, want) {
		t.Errorf("speeds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The table that a report's SQL makes, the one of the home and the words agree.
func TestBenchTablesAreTheSame(t *testing.T) {
	s := open(t)
	if got := list(t, s, "bench_runs", "kind"); !slices.Equal(got, names(jeantrail.BenchKinds()...)) {
		t.Errorf("the kinds are %v in the table, and %v in words", got, jeantrail.BenchKinds())
	}
	var columns []string
	rows, err := s.Readers().Query("SELECT name FROM pragma_table_info('bench_results')")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		columns = append(columns, name)
	}
	must(t, rows.Err())
	if !slices.Equal(columns, bench.Columns()) {
		t.Errorf("the table has the columns %v, a report %v", columns, bench.Columns())
	}
	plain := func(text string) string {
		return strings.Join(strings.Fields(strings.NewReplacer("IF NOT EXISTS ", "", "-- +goose Up", "").Replace(text)), " ")
	}
	text, err := fs.ReadFile(store.Migrations(), "migrations/0006_bench.sql")
	must(t, err)
	if migration := string(text); plain(migration) != plain(bench.Schema) {
		t.Errorf("the migration and the schema of reports are not the same:\n%s\n%s", plain(migration), plain(bench.Schema))
	}
}
