package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/fit"
	"github.com/jeantrail/jeantrail-ai/registry/memory"
)

const mib = 1 << 20

// machineOf is a machine with so much memory and GPUs with so much that can be
// used for models.
func machineOf(ram int64, gpus ...fit.Device) fit.Machine {
	return fit.Machine{RAMTotal: 64 << 30, RAMAvailable: 64 << 30, RAMLimit: ram, Devices: gpus}
}

// gpu is a GPU with so much room for models.
func gpu(room int64, shares bool) fit.Device {
	const reserve = 1 << 30 // that fit leaves
	return fit.Device{Name: "GPU", VRAMFree: reserve + room, VRAMTotal: 8 << 30, SharesTheMachine: shares}
}

// tinyModel is a model of some 12 MiB, 1 KiB of KV cache for a token, trained with
// 512 tokens.
func tinyModel(t *testing.T) (string, fit.Model) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	writeModel(t, path, 1, "")
	m, err := fit.Read("tiny", path, "")
	if err != nil {
		t.Fatal(err)
	}
	if kvPerToken(m) != 1024 || m.ContextTrain != 512 {
		t.Fatalf("the model has %d bytes for a token, and was trained with %d", kvPerToken(m), m.ContextTrain)
	}
	return path, m
}

func askedTiny(kv string, slots, nCtx, layers int) asked {
	return asked{name: "tiny", kv: kv, slots: slots, nCtx: nCtx, batchTokens: 512, gpuLayers: layers}
}

// Without streams the pool of cells shrinks to what fits, down to one whole
// conversation.
func TestLayoutShrinksThePool(t *testing.T) {
	_, m := tinyModel(t)
	wide := site{machine: machineOf(64 * mib)}
	all := wide.lay(m, askedTiny("auto", 16, 512, 0))
	if !all.plan.Fits || all.kv.Cells != 16*512 || all.kv.Unified || all.largest != 512 {
		t.Fatalf("with room for all: %+v, fits %v, largest %d", all.kv, all.plan.Fits, all.largest)
	}
	whole := all.plan.Need.RAM
	for _, c := range []struct {
		kv      string
		less    int64 // than what all streams take
		fits    bool
		unified bool
	}{
		{"auto", 4 * mib, true, true}, {"unified", 4 * mib, true, true}, {"streams", 4 * mib, false, false}, {"auto", 0, true, false}, {"auto", 9 * mib, false, true},
	} {
		s := site{machine: machineOf(whole - c.less)}
		l := s.lay(m, askedTiny(c.kv, 16, 512, 0))
		if l.plan.Fits != c.fits || l.kv.Unified != c.unified || l.kv.CtxSeq != 512 || l.kv.Cells < 512 {
			t.Errorf("%s with %d less: %+v, fits %v", c.kv, c.less, l.kv, l.plan.Fits)
		}
		if c.fits && l.plan.Need.RAM > whole-c.less {
			t.Errorf("%s with %d less takes %d of %d", c.kv, c.less, l.plan.Need.RAM, whole-c.less)
		}
	}
}

// What a refusal proposes does fit.
func TestRefusalProposesWhatFits(t *testing.T) {
	_, m := tinyModel(t)
	small := site{machine: machineOf(64 * mib)}
	one := small.lay(m, askedTiny("unified", 1, 512, 0)).plan.Need.RAM
	eight := small.lay(m, askedTiny("streams", 8, 512, 0)).plan.Need.RAM
	for name, c := range map[string]struct {
		machine fit.Machine
		asked   asked
		held    stays
		hints   []string
		not     []string
	}{
		"a long context":   {machineOf(one + 1), askedTiny("auto", 1, 8192, 0), stays{}, []string{"n_ctx: 512 for the model tiny"}, []string{"engine.kv", "pin"}},
		"streams":          {machineOf(eight - mib), askedTiny("streams", 8, 512, 0), stays{}, []string{"engine.kv: unified", "engine.slots: "}, []string{"n_gpu_layers"}},
		"too many layers":  {machineOf(64*mib, gpu(4*mib, false)), askedTiny("auto", 1, 512, 3), stays{}, []string{"n_gpu_layers: "}, []string{"n_gpu_layers: 3"}},
		"what stays":       {machineOf(mib), askedTiny("auto", 1, 512, 0), stays{ram: 63 * mib, by: "a 63.0 MiB"}, []string{"pin it no longer: a 63.0 MiB"}, []string{"n_ctx"}},
		"too little stays": {machineOf(mib), askedTiny("auto", 1, 512, 0), stays{ram: mib, by: "a 1.0 MiB"}, []string{"memory.limit"}, []string{"pin"}},
		"nothing is there": {machineOf(mib), askedTiny("auto", 1, 512, 0), stays{}, []string{"memory.limit"}, []string{"n_ctx"}},
	} {
		s := site{machine: c.machine, held: c.held}
		l := s.lay(m, c.asked)
		if l.plan.Fits {
			t.Errorf("%s: it fits: %+v", name, l.plan.Need)
			continue
		}
		e := s.refuse(&l, m, c.asked)
		if e.Code != jeantrail.CodeUnsupported || e.Numbers["needed_bytes"] != l.plan.Need.Total || e.Numbers["n_ctx"] != int64(l.kv.CtxSeq) ||
			e.Numbers["largest_n_ctx"] != int64(l.largest) || e.Names["held_by"] != c.held.by {
			t.Errorf("%s: %v %v %v", name, e, e.Numbers, e.Names)
		}
		for _, hint := range c.hints {
			if !strings.Contains(e.Hint, hint) {
				t.Errorf("%s: the hint %q has no %q", name, e.Hint, hint)
			}
		}
		for _, hint := range c.not {
			if strings.Contains(e.Hint, hint) {
				t.Errorf("%s: the hint %q has %q", name, e.Hint, hint)
			}
		}
	}
}

// -1 puts on a GPU what fits it; any other number is kept; without one there are
// none, and nothing is refused for that.
func TestLayersOfTheLayout(t *testing.T) {
	_, m := tinyModel(t)
	for name, c := range map[string]struct {
		gpus   []fit.Device
		layers int
		want   int
		fits   bool
		shared bool
	}{
		"all fit":             {[]fit.Device{gpu(64*mib, false)}, -1, 3, true, false},
		"none fit":            {[]fit.Device{gpu(0, false)}, -1, 0, true, false},
		"a number":            {[]fit.Device{gpu(64*mib, false)}, 1, 1, true, false},
		"too many":            {[]fit.Device{gpu(0, false)}, 3, 3, false, false},
		"no GPU":              {nil, -1, 0, true, false},
		"no GPU and a number": {nil, 20, 0, true, false},
		"an integrated one":   {[]fit.Device{gpu(64*mib, true)}, -1, 3, true, true},
	} {
		s := site{machine: machineOf(64*mib, c.gpus...)}
		l := s.lay(m, askedTiny("auto", 1, 512, c.layers))
		if l.plan.Setting.GPULayers != c.want || l.plan.Fits != c.fits || l.shared != c.shared || l.layers != 3 {
			t.Errorf("%s: %d layers of %d, fits %v, shared %v", name, l.plan.Setting.GPULayers, l.layers, l.plan.Fits, l.shared)
		}
		ram, vram := l.takes()
		if c.want > 0 && c.shared == (vram > 0) || c.shared && ram != l.plan.Need.RAM+l.plan.Need.VRAM {
			t.Errorf("%s: it takes %d and %d", name, ram, vram)
		}
	}
}

// capacityOf is a capacity of a machine that does not change.
func capacityOf(machine fit.Machine, limit int64) *capacity {
	r := &room{Budget: memory.New(limit), workers: make(map[string]*workerRoom)}
	return newCapacity(r, func(context.Context) fit.Machine { return machine })
}

// Files are read when they or the room for them changed, and for a load when that
// is a while ago.
func TestLayoutsAreRemembered(t *testing.T) {
	path, _ := tinyModel(t)
	c := capacityOf(fit.Machine{RAMTotal: 8 << 30, RAMAvailable: 8 << 30}, 64*mib)
	a := askedTiny("auto", 2, 512, 0)
	a.path = path
	layout := func(age time.Duration) layout {
		t.Helper()
		l, err := c.layout(t.Context(), a, age)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	readAt := func() time.Time { return c.layouts["tiny"].at }
	layout(0)
	first := readAt()
	if layout(0); !readAt().Equal(first) {
		t.Error("it is read again for a list")
	}
	if layout(time.Hour); !readAt().Equal(first) {
		t.Error("it is read again at once")
	}
	if layout(time.Nanosecond); readAt().Equal(first) {
		t.Error("it is not read again for a load")
	}
	c.room.Register(memory.Holding{Name: "pinned", Bytes: 60 * mib, Pinned: true})
	c.room.Register(memory.Holding{Name: "idle", Bytes: 60 * mib, Unload: func(context.Context) error { return nil }})
	if l := layout(0); l.plan.Fits || l.plan.UsableRAM != 4*mib || !strings.Contains(l.refusal.Names["held_by"], "pinned 60.0 MiB") || strings.Contains(l.refusal.Names["held_by"], "idle") {
		t.Errorf("beside a pinned one: %+v, refused with %v", l.plan, l.refusal)
	}
	if err := os.WriteFile(path, []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.layout(t.Context(), a, 0); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("another file: %v", err)
	}
}

// What is short is told, and refused only if it could not work.
func TestSpareMemory(t *testing.T) {
	path, _ := tinyModel(t)
	a := askedTiny("auto", 2, 512, 0)
	a.path = path
	for name, c := range map[string]struct {
		available, held int64
		note, short     bool
	}{
		"enough": {64 * mib, 0, false, false}, "held by a model of ours": {mib, 64 * mib, false, false}, "nothing at all": {-1 << 50, 0, true, true},
	} {
		machine := fit.Machine{RAMTotal: 8 << 30, RAMAvailable: c.available}
		capacity := capacityOf(machine, 0)
		capacity.room.Register(memory.Holding{Name: "other", Source: "model", Bytes: c.held})
		l, err := capacity.layout(t.Context(), a, 0)
		if err != nil || l.refusal != nil {
			t.Fatalf("%s: %v %v", name, err, l.refusal)
		}
		if note, short := capacity.spare(t.Context(), l); (note != "") != c.note || short != c.short {
			t.Errorf("%s: %q, short %v", name, note, short)
		}
	}
	l := layout{plan: fit.Plan{Need: fit.Need{RAM: 64 * mib, Mapped: 60 * mib}}}
	if note, short := capacityOf(fit.Machine{RAMTotal: 8 << 30, RAMAvailable: 8 * mib}, 0).spare(t.Context(), l); note == "" || short {
		t.Errorf("weights that are mapped: %q, short %v", note, short)
	}
	if note, short := capacityOf(fit.Machine{}, 0).spare(t.Context(), l); note != "" || short {
		t.Errorf("a memory that cannot be told: %q, short %v", note, short)
	}
}

// The memory is measured once, and then speeds are told.
func TestBandwidthIsMeasuredOnce(t *testing.T) {
	path, _ := tinyModel(t)
	c := capacityOf(fit.Machine{RAMTotal: 8 << 30, RAMAvailable: 8 << 30}, 0)
	measured := 0
	c.measure = func(_ context.Context, most int64) (float64, error) {
		measured++
		if most != 2<<30 {
			t.Errorf("it may take %d", most)
		}
		return 10e9, nil
	}
	a := askedTiny("auto", 2, 512, 0)
	a.path = path
	speed := func() float64 {
		l, err := c.layout(t.Context(), a, 0)
		if err != nil {
			t.Fatal(err)
		}
		return l.told().TokensPerSecond
	}
	if got := speed(); got != 0 {
		t.Errorf("before it was measured: %v", got)
	}
	for range 2 {
		if err := c.gauge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := speed(); got <= 0 || measured != 1 {
		t.Errorf("measured %d times: %v", measured, got)
	}
}

// Memory of other models on the GPUs counts as free, what stays there does not.
func TestShiftedGPUs(t *testing.T) {
	two := []fit.Device{{VRAMFree: 10, VRAMTotal: 100}, {VRAMFree: 20, VRAMTotal: 50}}
	for _, c := range []struct {
		bytes         int64
		first, second int64
	}{{0, 10, 20}, {40, 50, 20}, {100, 100, 30}, {1000, 100, 50}, {-5, 5, 20}, {-25, 0, 5}, {-100, 0, 0}} {
		got := shifted(two, c.bytes)
		if got[0].VRAMFree != c.first || got[1].VRAMFree != c.second || two[0].VRAMFree != 10 {
			t.Errorf("%d: %+v", c.bytes, got)
		}
	}
}
