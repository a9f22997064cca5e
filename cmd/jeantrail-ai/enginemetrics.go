package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/jeantrail/jeantrail-ai/engine"
)

// engineCollector shows the engines' figures at each scrape. A model that is not
// loaded has none.
type engineCollector struct {
	models *models
}

// engineFigure is one metric of an engine.
type engineFigure struct {
	name, help string
	kind       prometheus.ValueType
	value      func(engine.Stats) float64
	tier       string // that it is about; "" for none
}

func (f engineFigure) desc() *prometheus.Desc {
	return prometheus.NewDesc("jeantrail_engine_"+f.name, f.help, []string{"model"}, ofTier(f.tier))
}

func engineFigures() []engineFigure {
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	figures := []engineFigure{
		{"slots", "Sequences that can run at once.", gauge, func(s engine.Stats) float64 { return float64(s.Slots) }, ""},
		{"slots_busy", "Sequences that run.", gauge, func(s engine.Stats) float64 { return float64(s.Running) }, ""},
		{"slots_paused", "Sequences that wait for their reader.", gauge, func(s engine.Stats) float64 { return float64(s.Paused) }, ""},
		{"queue_length", "Jobs that wait for a slot.", gauge, func(s engine.Stats) float64 { return float64(s.Waiting) }, ""},
		{"kv_cells", "Tokens that the KV cache can hold.", gauge, func(s engine.Stats) float64 { return float64(s.KVCells) }, ""},
		{"kv_cells_used", "Tokens in the KV cache, kept prefixes included.", gauge, func(s engine.Stats) float64 { return float64(s.KVUsed) }, ""},
		{"kv_cells_live", "Tokens in the KV cache that belong to running jobs.", gauge, func(s engine.Stats) float64 { return float64(s.KVLive) }, ""},
		{"steps_total", "Batches evaluated.", counter, func(s engine.Stats) float64 { return float64(s.Steps) }, ""},
		{"evaluated_tokens_total", "Rows of all batches.", counter, func(s engine.Stats) float64 { return float64(s.EvaluatedTokens) }, ""},
		{"completion_tokens_total", "Tokens sampled.", counter, func(s engine.Stats) float64 { return float64(s.CompletionTokens) }, ""},
		{"evicted_tokens_total", "Kept tokens that had to make room.", counter, func(s engine.Stats) float64 { return float64(s.EvictedTokens) }, ""},
		{"preemptions_total", "Jobs that had to make room and were put back into the queue.", counter, func(s engine.Stats) float64 { return float64(s.Preemptions) }, ""},
		{"pauses_total", "Times a job was held because its reader was behind.", counter, func(s engine.Stats) float64 { return float64(s.Pauses) }, ""},
		{"decode_seconds_total", "Time in evaluation.", counter, func(s engine.Stats) float64 { return float64(s.DecodeUS) / 1e6 }, ""},
		{"sample_seconds_total", "Time in sampling.", counter, func(s engine.Stats) float64 { return float64(s.SampleUS) / 1e6 }, ""},
		{"prefix_saves_total", "States of conversations that were copied out of the KV cache.", counter, func(s engine.Stats) float64 { return float64(s.PrefixSaves) }, ""},
		{"prefix_dropped_total", "States that were worth copying, and had no room.", counter, func(s engine.Stats) float64 { return float64(s.PrefixesDropped) }, ""},
		{"prefix_failures_total", "States that could not be saved, read or loaded.", counter,
			func(s engine.Stats) float64 { return float64(s.PrefixSaveFailures + s.PrefixLoadFailures) }, ""},
	}
	for _, tier := range []engine.Tier{engine.TierKV, engine.TierRAM, engine.TierDisk} {
		figures = append(figures,
			engineFigure{"prefix_hits_total", "Jobs that began with cached tokens, by where they were.", counter,
				func(s engine.Stats) float64 { return float64(s.Hits[tier].Jobs) }, tier.String()},
			engineFigure{"prefix_hit_tokens_total", "Prompt tokens that were cached, by where they were.", counter,
				func(s engine.Stats) float64 { return float64(s.Hits[tier].Tokens) }, tier.String()})
	}
	return figures
}

// ofTier labels a metric with the tier that it is about, if it is about one.
func ofTier(tier string) prometheus.Labels {
	if tier == "" {
		return nil
	}
	return prometheus.Labels{"tier": tier}
}

// Describe implements prometheus.Collector.
func (c engineCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range engineFigures() {
		ch <- f.desc()
	}
	for _, f := range prefixFigures() {
		ch <- f.desc()
	}
}

// Collect implements prometheus.Collector.
func (c engineCollector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.models.all() {
		e := m.Engine()
		if e == nil {
			continue
		}
		stats := e.Stats()
		for _, f := range engineFigures() {
			ch <- prometheus.MustNewConstMetric(f.desc(), f.kind, f.value(stats), m.entry.Name)
		}
	}
	if c.models.prefixes == nil {
		return
	}
	usage := c.models.prefixes.Usage()
	for _, f := range prefixFigures() {
		ch <- prometheus.MustNewConstMetric(f.desc(), f.kind, f.value(usage))
	}
}
