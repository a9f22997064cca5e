package main

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/cpuid/v2"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/fit"
)

// aLaptop holds models of up to 14B, and reads memory at 60 GB/s.
func aLaptop() fit.Machine {
	return fit.Machine{RAMTotal: 16 << 30, RAMAvailable: 14 << 30, RAMBandwidth: 60e9, DiskFree: 1 << 40}
}

// estimate is what the model of that name is expected to generate there at the
// beginning of a context.
func estimate(t *testing.T, machine fit.Machine, name string) float64 {
	t.Helper()
	c, err := catalogue.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := fit.FromCatalogue(c)
	if err != nil {
		t.Fatal(err)
	}
	speed, _ := fit.TokensPerSecond(machine, m, fit.Setting{NCtx: calibrationContext})
	return speed
}

// sizeOfListed sizes what the catalogue lists.
func sizeOfListed(m jeantrail.MeasuredSpeed) (fit.Model, bool) {
	c, ok := listedAs(m, catalogue.List())
	if !ok {
		return fit.Model{}, false
	}
	size, err := fit.FromCatalogue(c)
	return size, err == nil
}

// sumOf is the checksum of a model's first file.
func sumOf(t *testing.T, name string) string {
	t.Helper()
	c, err := catalogue.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return c.Files[0].SHA256
}

func adviseLaptop(t *testing.T, speeds ...jeantrail.MeasuredSpeed) *advice {
	t.Helper()
	a, err := advise(aLaptop(), catalogue.List(), fit.Setting{Slots: 1, GPULayers: -1}, speeds, sizeOfListed)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *advice) of(t *testing.T, name string) *fit.Recommendation {
	t.Helper()
	for i := range a.list {
		if a.list[i].Model.Name == name {
			return &a.list[i]
		}
	}
	t.Fatalf("%s is not recommended for or against", name)
	return nil
}

func TestNothingMeasured(t *testing.T) {
	a := adviseLaptop(t)
	if a.calibration.factor != 1 || a.calibration.models != 0 || a.of(t, "qwen3-14b").Verdict != fit.VerdictBest {
		t.Fatalf("%+v, %s", a.calibration, a.of(t, "qwen3-14b").Verdict)
	}
	if r := a.of(t, "qwen3-8b"); a.source(r) != speedEstimated || strings.Contains(a.speed(r, time.Now()), ",") {
		t.Errorf("%s from %s", a.speed(r, time.Now()), a.source(r))
	}
	if _, there := a.wire()["calibration"]; there {
		t.Error("there is a calibration by nothing")
	}
}

// What was measured takes the place of its estimate, and corrects the others by
// the median; the verdicts follow.
func TestAdviceByWhatWasMeasured(t *testing.T) {
	machine := aLaptop()
	at := time.Date(2025, 11, 12, 12, 0, 0, 0, time.Local)
	speed := func(name, sum string, ratio float64) jeantrail.MeasuredSpeed {
		return jeantrail.MeasuredSpeed{RunID: "b-" + name, MeasuredAt: at, Model: name, SHA256: sum, Bytes: 1 << 30, TokensPerSecond: ratio * estimate(t, machine, name)}
	}
	byFile := speed("qwen3-4b", sumOf(t, "qwen3-4b"), 0.5)
	byFile.Model = "called otherwise"
	a := adviseLaptop(t, byFile, speed("qwen3-8b", "of another file", 0.4), speed("qwen3-1.7b", "x", 0.9))
	if a.calibration.models != 3 || math.Abs(a.calibration.factor-0.5) > 1e-9 {
		t.Errorf("calibration %+v, want the median of three, 0.5", a.calibration)
	}
	plain := adviseLaptop(t)
	for _, tt := range []struct {
		name, source string
		want         float64
	}{
		{"qwen3-4b", speedMeasured, byFile.TokensPerSecond},
		{"qwen3-8b", speedMeasured, 0.4 * estimate(t, machine, "qwen3-8b")},
		{"qwen3-0.6b", speedCalibrated, 0.5 * plain.of(t, "qwen3-0.6b").Plan.TokensPerSecond},
	} {
		r := a.of(t, tt.name)
		if got := r.Plan.TokensPerSecond; a.source(r) != tt.source || math.Abs(got-tt.want) > 1e-6*tt.want {
			t.Errorf("%s: %v from %s, want %v from %s", tt.name, got, a.source(r), tt.want, tt.source)
		}
	}
	if r := a.of(t, "qwen3-14b"); r.Verdict == fit.VerdictBest || r.Plan.TokensPerSecond >= 5 {
		t.Errorf("qwen3-14b is %s with %v tokens a second", r.Verdict, r.Plan.TokensPerSecond)
	}
	var text bytes.Buffer
	if err := a.print(&text, at.AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"multiplied by 0.50", "3 models", "t/s, measured 12 Nov 2025", "t/s, calibrated", "tokens a second (measured)"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	if got := a.speed(a.of(t, "qwen3-4b"), at); !strings.HasSuffix(got, "measured 12 Nov") {
		t.Errorf("in the same year: %s", got)
	}
	data, err := json.Marshal(a.wire())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"calibration":{"factor":0.5,"models":3}`, `"speed_source":"measured"`, `"speed_source":"calibrated"`, `"bench_id":"b-qwen3-4b"`, `"measured_at":"2025-11-12T`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
}

// A model that is the best by its size, and was measured too slow, is not.
func TestSlowByMeasurement(t *testing.T) {
	slow := jeantrail.MeasuredSpeed{Model: "qwen3-14b", SHA256: "x", Bytes: 1 << 20, TokensPerSecond: 2}
	a := adviseLaptop(t, slow)
	if a.calibration.models != 0 {
		t.Errorf("a small file calibrates: %+v", a.calibration)
	}
	if r := a.of(t, "qwen3-14b"); r.Verdict != fit.VerdictNext || r.Plan.TokensPerSecond != 2 || !strings.Contains(r.Reason, "2.0 tokens a second (measured)") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	if r := a.of(t, "qwen3-8b"); r.Verdict != fit.VerdictBest || a.source(r) != speedEstimated {
		t.Errorf("qwen3-8b is %s from %s", r.Verdict, a.source(r))
	}
}

func TestCalibrateTakesTheNewest(t *testing.T) {
	machine := aLaptop()
	expected := estimate(t, machine, "qwen3-8b")
	m := jeantrail.MeasuredSpeed{Model: "qwen3-8b", SHA256: "x", Bytes: 1 << 30, TokensPerSecond: expected}
	older, gpu, unknown := m, m, m
	older.TokensPerSecond = 3 * expected
	gpu.SHA256, gpu.GPULayers, gpu.TokensPerSecond = "y", 37, 9*expected
	unknown.SHA256, unknown.Model, unknown.TokensPerSecond = "z", "who knows", 7*expected
	if c := calibrate(machine, []jeantrail.MeasuredSpeed{gpu, unknown, m, older}, sizeOfListed); c.models != 1 || math.Abs(c.factor-1) > 1e-9 {
		t.Errorf("%+v", c)
	}
	// What ran on a GPU says nothing of what is planned for the processor.
	if a := adviseLaptop(t, gpu); a.source(a.of(t, "qwen3-8b")) != speedEstimated {
		t.Errorf("a GPU's figure is taken for %s", a.speed(a.of(t, "qwen3-8b"), time.Now()))
	}
}

func TestOfThisMachine(t *testing.T) {
	cpu, threads := strings.TrimSpace(cpuid.CPU.BrandName), native.DefaultThreads()
	got := ofThisMachine([]jeantrail.MeasuredSpeed{{CPU: cpu, Threads: threads, SHA256: "a"}, {CPU: cpu, Threads: threads - 1}, {CPU: "another", Threads: threads}, {CPU: cpu, Threads: threads + 1, SHA256: "b"}})
	if len(got) != 2 || got[0].SHA256 != "a" || got[1].SHA256 != "b" {
		t.Errorf("%+v", got)
	}
}
