package bench

import (
	"bytes"
	"database/sql"
	"encoding/csv"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"

	"github.com/jeantrail/jeantrail-ai"
)

// rawReport and loadReport are reports of measurements that nobody took.
func rawReport() *Report {
	r := New(KindRaw, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	r.ID = "0195d7a2-0000-7000-8000-000000000001"
	r.Machine = Machine{CPU: "AMD EPYC 7B13", Features: []string{"AVX2", "FMA"}, Cores: 8, MemoryBytes: 32 << 30, OS: "linux", Arch: "amd64"}
	r.Build = Build{Version: "1.2.0", LlamaCPP: "fd570ef (b7000)", Flags: "-O3 -march=native"}
	r.Model = Model{
		Name: "qwen3-0.6b", Type: "qwen3 0.6B Q4_K - Medium", SHA256: strings.Repeat("ab", 32), Quantization: "Q4_K_M",
		Bytes: 396705472, Parameters: 596049920, Context: 40960,
	}
	r.Settings = Settings{Backend: "CPU", Threads: 4, Batch: 2048}
	r.Rows = []Row{
		{Test: "pp512", Streams: 1, PromptTokens: 512, Tokens: 2560, Speed: figureOfEach([]float64{201.5, 203, 202, 204.25, 202.75})},
		{Test: "tg128", Streams: 1, GenTokens: 128, Tokens: 640, Speed: figureOfEach([]float64{41.25, 41.5, 41, 41.75, 41.5})},
	}
	return r
}

// loadReport is of http; slow makes all of it slower.
func loadReport(slow float64) *Report {
	r := rawReport()
	r.ID, r.Kind = "0195d7a2-0000-7000-8000-000000000002", KindHTTP
	r.Settings = Settings{URL: "http://127.0.0.1:8080", API: APILlamaServer, Seed: 7}
	r.Model.Name = `it's "q" | <b>` + "\x1b[2J"
	r.Rows = nil
	counted, cached := 131.0, 3.0
	for _, n := range []int{1, 4, 8, 16} {
		t := tally{row: Row{Test: testLoad, Streams: n, PromptTokens: 128, GenTokens: 64, Requests: 5 * n, Tokens: 320 * n}}
		for i := range 5 {
			wobble := slow * (1 + float64(i)/200)
			each := 12 * wobble * (1 + float64(n)/20)
			begin := 90 * wobble * (1 + float64(n)/2)
			t.first, t.gap = append(t.first, []float64{begin, begin * 1.2}), append(t.gap, []float64{each, each, each * 2})
			t.total = append(t.total, []float64{begin + 63*each})
			t.stream = append(t.stream, []float64{1000 / each})
			t.speed = append(t.speed, float64(n)*64_000/(begin+63*each))
		}
		if n == 16 {
			t.row.Failures = []Failure{{Kind: "http 503", Count: 2, Example: "the server answered 503: no slot"}}
		}
		row := t.done(r)
		row.PromptCounted, row.Cached = &counted, &cached
		r.Rows = append(r.Rows, row)
	}
	return r
}

func written(t *testing.T, r *Report, f Format) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := r.Write(&out, f); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFormats(t *testing.T) {
	for _, f := range Formats() {
		golden(t, "raw."+string(f), written(t, rawReport(), f))
		golden(t, "load."+string(f), written(t, loadReport(1), f))
	}
	if err := rawReport().Write(&bytes.Buffer{}, "xml"); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("a format that is not known: %v", err)
	}
}

func TestEngineTable(t *testing.T) {
	r := rawReport()
	r.Kind, r.Rows = KindEngine, []Row{
		{Test: testCold, Streams: 1, PromptTokens: 512, Requests: 5, First: figureOfEach([]float64{801, 799, 800})},
		{Test: testShared, Streams: 1, Shared: true, PromptTokens: 512, Requests: 5, First: figureOfEach([]float64{0.0351})},
		{Test: testCancelDecode, Streams: 1, PromptTokens: 512, Requests: 5, Cancel: figureOfEach([]float64{9.5, 12.25})},
	}
	golden(t, "engine.table", written(t, r, FormatTable))
	r.Rows = nil
	if got := string(written(t, r, FormatTable)); strings.Contains(got, "TEST") || !strings.Contains(got, "AMD EPYC") {
		t.Errorf("a report without rows is printed as\n%s", got)
	}
}

func TestJSONComesBack(t *testing.T) {
	for _, r := range []*Report{rawReport(), loadReport(1)} {
		got, err := Read(bytes.NewReader(written(t, r, FormatJSON)))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%+v came back as %+v", r, got)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":        "",
		"no JSON":        "model | size",
		"another format": `{"format":2,"kind":"raw"}`,
		"other JSON":     `{"model":"qwen3","tests":[]}`,
		"no kind":        `{"format":1}`,
		"another kind":   `{"format":1,"kind":"cold","rows":[]}`,
		"no streams":     `{"format":1,"kind":"http","rows":[{"test":"load"}]}`,
		"more failures":  `{"format":1,"kind":"http","rows":[{"test":"load","streams":1,"requests":1,"failures":[{"count":2}]}]}`,
		"half a report":  `{"format":1,"kind":"raw"`,
	} {
		if r, err := Read(strings.NewReader(text)); jeantrail.CodeOf(err) != jeantrail.CodeInvalid || jeantrail.AsError(err).Hint == "" || r != nil {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	if _, err := Read(strings.NewReader(strings.Repeat(" ", maxReport+1))); jeantrail.CodeOf(err) != jeantrail.CodeTooLarge {
		t.Errorf("too large: %v", err)
	}
}

// TestSQL has SQLite take what is printed for it, and asks what recommend asks.
func TestSQL(t *testing.T) {
	db, err := sql.Open("sqlite3", filepath.Join(t.TempDir(), "bench.db")+"?_foreign_keys=on")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	load := loadReport(1)
	for _, r := range []*Report{rawReport(), load} {
		if _, err := db.Exec(string(written(t, r, FormatSQL))); err != nil {
			t.Fatalf("%s: %v", r.Kind, err)
		}
	}
	if _, err := db.Exec(string(written(t, load, FormatSQL))); err == nil {
		t.Error("the same run was taken twice")
	}
	_, _ = db.Exec("ROLLBACK") // of the refused one

	var test, model string
	var prompt, created int64
	var tps, ttft float64
	err = db.QueryRow(`SELECT test, model, prompt_tokens, tokens_per_second, ttft_ms, created_at FROM bench_results
		WHERE model_sha256 = ? AND kind = 'http' AND streams = 4 ORDER BY created_at DESC LIMIT 1`, load.Model.SHA256).
		Scan(&test, &model, &prompt, &tps, &ttft, &created)
	if err != nil {
		t.Fatal(err)
	}
	row := load.Rows[1]
	if test != testLoad || model != load.Model.Name || prompt != 128 || created != load.CreatedAt.UnixMilli() ||
		tps-row.Speed.Mean > 0.001 || tps-row.Speed.Mean < -0.001 || ttft-row.First.P50 > 0.001 || ttft-row.First.P50 < -0.001 {
		t.Errorf("%s %q %d %v %v %d", test, model, prompt, tps, ttft, created)
	}
	var text string
	if err := db.QueryRow(`SELECT report FROM bench_runs WHERE id = ?`, load.ID).Scan(&text); err != nil {
		t.Fatal(err)
	}
	if back, err := Read(strings.NewReader(text)); err != nil || !reflect.DeepEqual(back, load) {
		t.Errorf("the report came back as %+v, %v", back, err)
	}
	var absent int
	if err := db.QueryRow(`SELECT count(*) FROM bench_results WHERE kind = 'raw' AND ttft_ms IS NULL AND cancel_ms IS NULL`).Scan(&absent); err != nil || absent != 2 {
		t.Errorf("%d rows have no figure that was not measured, %v", absent, err)
	}
}

func TestColumnsAreTheTables(t *testing.T) {
	_, table, _ := strings.Cut(Schema, "bench_results (")
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^    ([a-z_0-9]+) +(TEXT|INTEGER|REAL)`).FindAllStringSubmatch(table, -1) {
		names = append(names, m[1])
	}
	if !slices.Equal(names, Columns()) {
		t.Errorf("the table has %q\nand a row %q", names, Columns())
	}
	lines, err := csv.NewReader(bytes.NewReader(written(t, loadReport(1), FormatCSV))).ReadAll()
	if err != nil || len(lines) != 5 || !slices.Equal(lines[0], Columns()) {
		t.Errorf("CSV of %d lines, %v", len(lines), err)
	}
}

func TestZeroByteInSQL(t *testing.T) {
	r := rawReport()
	r.Model.Name = "a\x00b"
	if err := r.Write(&bytes.Buffer{}, FormatSQL); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("%v", err)
	}
}
