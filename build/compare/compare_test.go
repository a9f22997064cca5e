package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai/bench"
)

func TestReadPeers(t *testing.T) {
	raw, err := readLlamaBench([]byte(`[{"n_prompt":512,"n_gen":0,"avg_ts":201.5,"stddev_ts":1},{"n_prompt":0,"n_gen":64,"avg_ts":57.25}]`))
	if err != nil || len(raw) != 2 || raw[0] != (figure{"raw pp512", "t/s", 201.5}) || raw[1] != (figure{"raw tg64", "t/s", 57.25}) {
		t.Errorf("%+v, %v", raw, err)
	}
	batched, err := readBatchedBench([]byte("\nmain: n_kv_max = 320\n\n" +
		`{"n_kv_max": 320, "pp": 128, "tg": 32, "pl": 2, "n_kv": 320, "t_pp": 1.2, "speed_pp": 213.5, "t_tg": 1, "speed_tg": 64.0, "t": 2.2, "speed": 145.4}` + "\n"))
	if err != nil || len(batched) != 2 || batched[0] != (figure{"batched pp128, sequences: 2", "t/s", 213.5}) || batched[1].value != 64 {
		t.Errorf("%+v, %v", batched, err)
	}
	if _, err := readLlamaBench([]byte("no JSON")); err == nil {
		t.Error("text was read as figures")
	}
}

// Our figures have the names of theirs, or there would be no pairs.
func TestReadOurs(t *testing.T) {
	speed := func(v float64) *bench.Figure { return &bench.Figure{N: 1, Mean: v, P50: v, Each: []float64{v}} }
	for kind, want := range map[bench.Kind]string{bench.KindRaw: "raw pp512", bench.KindBatched: "batched pp512, sequences: 2"} {
		report := bench.New(kind, time.Unix(0, 0))
		report.Rows = []bench.Row{{Test: "pp512", Streams: 2, Speed: speed(210)}}
		var out bytes.Buffer
		if err := report.Write(&out, bench.FormatJSON); err != nil {
			t.Fatal(err)
		}
		got, err := readOurs(out.Bytes())
		if err != nil || len(got) != 1 || got[0] != (figure{want, "t/s", 210}) {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func TestRatiosArePaired(t *testing.T) {
	tab := newTable(settings{model: "dir/m.gguf", rounds: 3, threads: 2, format: "json"})
	f := figure{name: "raw tg64", unit: "t/s"}
	for i, v := range []float64{50, 100, 30} { // the machine drifts, the ratio does not
		f.value = v
		tab.add(f, ours)
		f.value = v * []float64{2, 2, 1}[i]
		tab.add(f, "llama-bench")
	}
	tab.add(figure{name: "raw pp512", unit: "t/s", value: 1}, ours) // without a pair
	all := tab.comparisons()
	if len(all) != 1 || all[0].Ratio != 0.5 || all[0].Ours != 50 || all[0].Theirs != 100 || len(all[0].Each) != 3 {
		t.Errorf("%+v", all)
	}
	var out bytes.Buffer
	if err := tab.print(&out); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Model       string       `json:"model"`
		Comparisons []comparison `json:"comparisons"`
	}
	if err := json.Unmarshal(out.Bytes(), &read); err != nil || read.Model != "m.gguf" || len(read.Comparisons) != 1 {
		t.Errorf("%s, %v", out.String(), err)
	}
	for format, want := range map[string]string{"md": "| raw tg64 | t/s | 50.00 | 100.00 | llama-bench | 0.500 | 0.500 | 1.000 |", "table": "0.500"} {
		out.Reset()
		tab.format = format
		if err := tab.print(&out); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v\n%s", format, err, out.String())
		}
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	for _, args := range [][]string{
		{}, {"-model", "none.gguf"}, {"-model", "compare_test.go", "-only", "raw,cooked"}, {"-streams", "1,none"}, {"-streams", "0"},
		{"-model", "compare_test.go", "-o", "html"}, {"-model", "compare_test.go", "-rounds", "0"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	s, err := parse([]string{"-model", "compare_test.go", "-ours", "main.go", "-peers", ".", "-streams", "1, 8", "-only", "raw"})
	if err == nil || !strings.Contains(err.Error(), "llama-server") {
		t.Errorf("a folder without peers: %v", err)
	}
	if len(s.streams) != 2 || s.streams[1] != 8 || len(s.only) != 1 {
		t.Errorf("%+v", s)
	}
}
