package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/prefix"
	"github.com/jeantrail/jeantrail-ai/registry/memory"
)

// dropLimit is how long whoever needs memory waits for kept prefixes to get to the
// disk; what is not there by then is dropped.
const dropLimit = 2 * time.Second

// keptPrefixes is what left the KV caches of all models. What it holds in memory
// counts in the machine's budget, as of one that lets go when others need it.
type keptPrefixes struct {
	*prefix.Store
	budget *memory.Budget
	holder *memory.Holder // nil before anything is held; one goroutine at a time
}

// newPrefixes makes the store of a home. Nothing is read or removed before the
// first model is loaded.
func newPrefixes(config *LoadedConfig, logger *slog.Logger, budget *memory.Budget) (*keptPrefixes, error) {
	ram, err := parseBytes(config.Engine.PrefixRAM)
	if err != nil {
		return nil, err
	}
	disk, err := parseBytes(config.Engine.PrefixDisk)
	if err != nil {
		return nil, err
	}
	k := &keptPrefixes{budget: budget}
	k.Store = prefix.New(prefix.Options{
		RAM: ram, Disk: disk, Folder: filepath.Join(config.Home, "prefix"), Logger: logger, Resized: k.resized,
	})
	return k, nil
}

// resized is called by one goroutine at a time.
func (k *keptPrefixes) resized(bytes int64) {
	if k.holder == nil {
		k.holder = k.budget.Register(memory.Holding{Name: "prefixes", Source: "prefixes", Unload: k.unload})
	}
	k.holder.Resize(bytes)
}

// unload lets go of what is in memory.
func (k *keptPrefixes) unload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dropLimit)
	defer cancel()
	k.Drop(ctx)
	return nil
}

// prefixFigure is one metric of what left the KV caches of all engines.
type prefixFigure struct {
	name, help string
	kind       prometheus.ValueType
	value      func(engine.PrefixUsage) float64
	tier       string // that it is about; "" for none
}

func (f prefixFigure) desc() *prometheus.Desc {
	return prometheus.NewDesc("jeantrail_prefix_"+f.name, f.help, nil, ofTier(f.tier))
}

func prefixFigures() []prefixFigure {
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	ram, disk := engine.TierRAM.String(), engine.TierDisk.String()
	const bytes, entries = "Bytes of states that left a KV cache and are kept.", "States that left a KV cache and are kept."
	return []prefixFigure{
		{"bytes", bytes, gauge, func(u engine.PrefixUsage) float64 { return float64(u.RAMBytes) }, ram},
		{"bytes", bytes, gauge, func(u engine.PrefixUsage) float64 { return float64(u.DiskBytes) }, disk},
		{"entries", entries, gauge, func(u engine.PrefixUsage) float64 { return float64(u.RAMEntries) }, ram},
		{"entries", entries, gauge, func(u engine.PrefixUsage) float64 { return float64(u.DiskEntries) }, disk},
		{"written_total", "States that were written to the disk.", counter, func(u engine.PrefixUsage) float64 { return float64(u.Written) }, ""},
		{"evicted_total", "States that were let go for others.", counter, func(u engine.PrefixUsage) float64 { return float64(u.Evicted) }, ""},
		{"lost_total", "States that were let go from memory and are on no disk.", counter, func(u engine.PrefixUsage) float64 { return float64(u.Lost) }, ""},
		{"rejected_total", "Files and states that were not sound or did not fit.", counter, func(u engine.PrefixUsage) float64 { return float64(u.Rejected) }, ""},
	}
}
