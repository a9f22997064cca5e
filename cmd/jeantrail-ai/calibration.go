package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/bench"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/fit"
)

// leastCalibrating is the size of weights, in bytes, from which on a model's speed
// says how fast memory is read. Of smaller ones much stays in the processor's
// cache, and what is done beside reading takes longer than that.
const leastCalibrating = 256 << 20

// calibrationContext is the context that estimates are made for to hold
// measurements against: benchmarks generate at the beginning of one.
const calibrationContext = 256

// readSpeeds returns what was measured in this home, newest first.
func readSpeeds(ctx context.Context, o *options) ([]jeantrail.MeasuredSpeed, error) {
	var all struct {
		Speeds []struct {
			BenchID         string    `json:"bench_id"`
			MeasuredAt      time.Time `json:"measured_at"`
			Model           string    `json:"model"`
			SHA256          string    `json:"sha256"`
			Bytes           int64     `json:"bytes"`
			CPU             string    `json:"cpu"`
			Threads         int       `json:"threads"`
			GPULayers       int       `json:"gpu_layers"`
			TokensPerSecond float64   `json:"tokens_per_second"`
		} `json:"speeds"`
	}
	err := withRecords(ctx, o, func(s *Session) error { return s.get(ctx, http.MethodGet, "/bench/speeds", &all) })
	var speeds []jeantrail.MeasuredSpeed
	for _, m := range all.Speeds {
		speeds = append(speeds, jeantrail.MeasuredSpeed{
			RunID: m.BenchID, MeasuredAt: m.MeasuredAt, Model: m.Model, SHA256: m.SHA256, Bytes: m.Bytes,
			CPU: m.CPU, Threads: m.Threads, GPULayers: m.GPULayers, TokensPerSecond: m.TokensPerSecond,
		})
	}
	return speeds, err
}

// ofThisMachine leaves those that were measured on this processor, with all the
// threads that a model takes if nothing is set: with fewer it is slower by choice.
func ofThisMachine(speeds []jeantrail.MeasuredSpeed) []jeantrail.MeasuredSpeed {
	cpu, threads := strings.TrimSpace(cpuid.CPU.BrandName), native.DefaultThreads()
	return slices.DeleteFunc(slices.Clone(speeds), func(m jeantrail.MeasuredSpeed) bool { return m.CPU != cpu || m.Threads < threads })
}

// calibration is what measurements say of the estimates.
type calibration struct {
	// factor is what estimates are to be multiplied by: the median of what was
	// measured by what was estimated. It is 1 if there is nothing to tell it by.
	factor float64
	models int // that it is the median of
}

// calibrate compares the newest measurement of each model that ran on the
// processor with its estimate. sizeOf returns what the arithmetic needs to know of
// a model; false if that is not known.
func calibrate(machine fit.Machine, speeds []jeantrail.MeasuredSpeed, sizeOf func(jeantrail.MeasuredSpeed) (fit.Model, bool)) calibration {
	var ratios []float64
	seen := make(map[string]bool)
	for _, m := range speeds {
		if m.GPULayers > 0 || m.Bytes < leastCalibrating || seen[m.SHA256] {
			continue
		}
		seen[m.SHA256] = true
		size, ok := sizeOf(m)
		if !ok {
			continue
		}
		estimate, bound := fit.TokensPerSecond(machine, size, fit.Setting{NCtx: calibrationContext})
		if estimate > 0 && !bound {
			ratios = append(ratios, m.TokensPerSecond/estimate)
		}
	}
	if len(ratios) == 0 {
		return calibration{factor: 1}
	}
	return calibration{factor: bench.Median(ratios), models: len(ratios)}
}

// listedAs returns the model of the catalogue that was measured: the one whose
// first file it is, or by whose name it is called here.
func listedAs(m jeantrail.MeasuredSpeed, list []catalogue.Model) (catalogue.Model, bool) {
	byFile := func(c catalogue.Model) bool { return c.Files[0].SHA256 != "" && c.Files[0].SHA256 == m.SHA256 }
	byName := func(c catalogue.Model) bool { return c.Name == m.Model || slices.Contains(c.Aliases, m.Model) }
	for _, is := range []func(catalogue.Model) bool{byFile, byName} {
		if i := slices.IndexFunc(list, is); i >= 0 {
			return list[i], true
		}
	}
	return catalogue.Model{}, false
}

// sizeBy returns how a measured model is sized: from its file, if a model of that
// name is installed, else from the catalogue.
func sizeBy(o *options, list []catalogue.Model) (func(jeantrail.MeasuredSpeed) (fit.Model, bool), error) {
	reg, err := homeRegistry(o)
	if err != nil {
		return nil, err
	}
	return func(m jeantrail.MeasuredSpeed) (fit.Model, bool) {
		if entry, err := reg.Resolve(m.Model); err == nil && m.Model != "" {
			size, err := fit.Read(entry.Name, entry.Path, "")
			if err == nil && size.WeightBytes() == m.Bytes { // else it is another file by now
				return size, true
			}
		}
		if c, ok := listedAs(m, list); ok {
			size, err := fit.FromCatalogue(c)
			return size, err == nil
		}
		return fit.Model{}, false
	}, nil
}
