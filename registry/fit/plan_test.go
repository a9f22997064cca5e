package fit

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
)

func TestPlansForMachines(t *testing.T) {
	for _, tt := range []struct {
		machine, model string
		nCtx           int
		fits           bool
		gpuLayers      [2]int // from, to
		largest        [2]int
	}{
		{"laptop with 8 GB", "qwen3-4b", 8192, true, [2]int{0, 0}, [2]int{12000, 17000}},
		{"laptop with 8 GB", "qwen3-8b", 8192, false, [2]int{0, 0}, [2]int{0, 0}},
		{"laptop with 8 GB", "qwen3-0.6b", 0, false, [2]int{0, 0}, [2]int{30000, 40000}},
		{"PC with 16 GB and 8", "qwen3-8b", 8192, true, [2]int{37, 37}, [2]int{40960, 40960}},
		{"PC with 16 GB and 8", "qwen3-14b", 8192, true, [2]int{18, 30}, [2]int{40960, 40960}},
		{"PC with 16 GB and 8", "qwen3-32b", 8192, false, [2]int{1, 65}, [2]int{0, 0}},
		{"PC with a 24 GB GPU", "qwen3-32b", 8192, true, [2]int{65, 65}, [2]int{40960, 40960}},
		{"PC with a 24 GB GPU", "qwen3-235b-a22b", 8192, false, [2]int{1, 95}, [2]int{0, 0}},
		{"workstation of 64 GB", "qwen3-32b", 40960, true, [2]int{0, 0}, [2]int{40960, 40960}},
		{"workstation of 64 GB", "qwen3-235b-a22b", 256, false, [2]int{0, 0}, [2]int{0, 0}},
		{"server of 512 GB", "qwen3-235b-a22b", 40960, true, [2]int{0, 0}, [2]int{40960, 40960}},
	} {
		machine, m := machines[tt.machine], fromCatalogue(t, tt.model)
		p := Make(machine, m, Setting{NCtx: tt.nCtx, GPULayers: -1}, nil)
		if n := p.Setting.GPULayers; p.Fits != tt.fits || n < tt.gpuLayers[0] || n > tt.gpuLayers[1] {
			t.Errorf("%s on the %s: fits %v with %d layers on the GPU", tt.model, tt.machine, p.Fits, n)
		}
		if p.LargestContext < tt.largest[0] || p.LargestContext > tt.largest[1] {
			t.Errorf("%s on the %s: largest context %d", tt.model, tt.machine, p.LargestContext)
		}
		if err := p.Refusal(); (err == nil) != tt.fits {
			t.Errorf("%s on the %s: refusal %v", tt.model, tt.machine, err)
		}
		if p.Need != m.Needs(p.Setting) || p.TokensPerSecond <= 0 || p.SpeedIsBound {
			t.Errorf("%s on the %s: %+v", tt.model, tt.machine, p)
		}
	}
}

// TestTheLargestContextIsExact looks at one step on each side.
func TestTheLargestContextIsExact(t *testing.T) {
	machine, m := machines["laptop with 8 GB"], fromCatalogue(t, "qwen3-4b")
	largest := Make(machine, m, Setting{}, nil).LargestContext
	for nCtx, fits := range map[int]bool{largest: true, largest - 255: true, largest + 1: false} {
		if got := Make(machine, m, Setting{NCtx: nCtx}, nil).Fits; got != fits {
			t.Errorf("with %d tokens, of at most %d: fits %v", nCtx, largest, got)
		}
	}
}

func TestRefusalsSayWhatWouldFit(t *testing.T) {
	m := fromCatalogue(t, "qwen3-4b")
	p := Make(machines["laptop with 8 GB"], m, Setting{NCtx: 32768, Slots: 4}, nil)
	var e *jeantrail.Error
	if err := p.Refusal(); !errors.As(err, &e) || e.Code != jeantrail.CodeUnsupported {
		t.Fatalf("refusal %v", err)
	}
	for _, want := range []string{"qwen3-4b", "32768 tokens for 4 conversations", "4.5 GiB of memory can be used"} {
		if !strings.Contains(e.Message, want) {
			t.Errorf("message %q lacks %q", e.Message, want)
		}
	}
	for _, want := range []string{"engine.slots: 1 in place of 4", "n_ctx: 1", "for the model qwen3-4b in config.yaml", "the model qwen3-0.6b"} {
		if !strings.Contains(e.Hint, want) {
			t.Errorf("hint %q lacks %q", e.Hint, want)
		}
	}
	if e.Numbers["fits_slots"] != 1 || e.Numbers["fits_n_ctx"] != int64(p.LargestContext) || e.Names["fits_model"] != "qwen3-0.6b" {
		t.Errorf("for a program: %v, %v", e.Numbers, e.Names)
	}
	var keys []string
	for _, c := range p.Nearest {
		keys = append(keys, c.Key+": "+c.Value)
	}
	if want := []string{"engine.slots: 1", fmt.Sprintf("n_ctx: %d", p.LargestContext), "model: qwen3-0.6b"}; !slices.Equal(keys, want) {
		t.Errorf("changes %q, want %q", keys, want)
	}
	n := p.Need
	for name, want := range map[string]int64{
		"needed_bytes": n.Total, "ram_bytes": n.RAM, "kv_bytes": 32768 * 147_456, "n_ctx": 32768,
		"usable_ram_bytes": 5*gib - systemReserve, "largest_n_ctx": int64(p.LargestContext),
	} {
		if e.Numbers[name] != want {
			t.Errorf("%s is %d, want %d", name, e.Numbers[name], want)
		}
	}
	hopeless := Make(Machine{RAMAvailable: gib / 2}, m, Setting{NCtx: 256}, nil)
	if e := jeantrail.AsError(hopeless.Refusal()); len(hopeless.Nearest) > 0 || !strings.Contains(e.Hint, "No smaller setting") {
		t.Errorf("on a machine with nothing left: %+v, hint %q", hopeless.Nearest, e.Hint)
	}
	e = jeantrail.AsError(Make(machines["PC with 16 GB and 8"], fromCatalogue(t, "qwen3-32b"), Setting{NCtx: 8192, GPULayers: 65}, nil).Refusal())
	if !strings.Contains(e.Message, "graphics memory, of which 6.7 GiB can be used") {
		t.Errorf("with a GPU: %q", e.Message)
	}
	e = jeantrail.AsError(Make(machines["PC with 16 GB and 8"], fromCatalogue(t, "qwen3-14b"), Setting{NCtx: 8192, GPULayers: 41}, nil).Refusal())
	if n := e.Numbers["fits_n_gpu_layers"]; n < 18 || n > 30 || !strings.Contains(e.Hint, fmt.Sprintf("n_gpu_layers: %d in place of 41", n)) {
		t.Errorf("with too many layers on the GPU: %v, hint %q", e.Numbers, e.Hint)
	}
	streams := Make(machines["laptop with 8 GB"], m, Setting{NCtx: 32768, Slots: 4, Streams: true}, nil)
	if each := jeantrail.AsError(streams.Refusal()).Numbers["fits_n_ctx"]; each*4 != int64(streams.LargestContext) || each%256 != 0 {
		t.Errorf("of four caches each would have %d tokens, of %d together", each, streams.LargestContext)
	}
}

func TestABudgetBoundsTheMemory(t *testing.T) {
	machine := machines["workstation of 64 GB"]
	machine.RAMLimit = 4 * gib
	if p := Make(machine, fromCatalogue(t, "qwen3-8b"), Setting{NCtx: 8192}, nil); p.Fits || p.UsableRAM != 4*gib {
		t.Errorf("beyond the budget: fits %v in %d bytes", p.Fits, p.UsableRAM)
	}
}

func TestAnIntegratedGPUTakesTheMachinesMemory(t *testing.T) {
	machine := Machine{RAMAvailable: 8 * gib, Devices: []Device{{VRAMFree: 16 * gib}}}
	m := fromCatalogue(t, "qwen3-14b")
	if !Make(machine, m, Setting{NCtx: 4096, GPULayers: -1}, nil).Fits {
		t.Error("a GPU with memory of its own")
	}
	machine.Devices[0].SharesTheMachine = true
	if Make(machine, m, Setting{NCtx: 4096, GPULayers: -1}, nil).Fits {
		t.Error("the same memory is counted twice")
	}
}

// TestSeveralGPUs: each has scratch space and a reserve of its own, and those that
// share the machine's memory are left alone beside one that does not.
func TestSeveralGPUs(t *testing.T) {
	m := fromCatalogue(t, "qwen3-14b")
	machine := Machine{RAMAvailable: 8 * gib, RAMBandwidth: 20e9, Devices: []Device{
		{Name: "A", VRAMFree: 7 * gib, Bandwidth: 400e9}, {Name: "B", VRAMFree: 7 * gib, Bandwidth: 300e9},
	}}
	both := Make(machine, m, Setting{NCtx: 4096, GPULayers: -1}, []Model{})
	if !both.Fits || both.Setting.GPULayers != m.Layers()+1 || both.Setting.Devices != 2 || both.UsableVRAM != 12*gib {
		t.Fatalf("on two GPUs: %+v", both)
	}
	one := both.Setting
	one.Devices = 1
	if got, want := both.Need.VRAM-m.Needs(one).VRAM, both.Need.Compute; got != want {
		t.Errorf("the second GPU takes %d bytes more, its scratch space is %d", got, want)
	}
	machine.Devices = append(machine.Devices, Device{Name: "C", VRAMFree: 8 * gib, Bandwidth: 1e9, SharesTheMachine: true})
	if got := Make(machine, m, Setting{NCtx: 4096, GPULayers: -1}, []Model{}); got.UsableVRAM != both.UsableVRAM || got.Need != both.Need || got.TokensPerSecond != both.TokensPerSecond {
		t.Errorf("beside an integrated GPU: %+v, want %+v", got, both)
	}
	machine.Devices = machine.Devices[1:2]
	if got := Make(machine, m, Setting{NCtx: 4096, GPULayers: -1}, []Model{}); !got.Fits || got.Setting.GPULayers >= m.Layers() || got.Setting.GPULayers < 10 {
		t.Errorf("on one of them: %+v", got)
	}
}

// TestSpeedIsBandwidthOverBytes works the estimate out by hand.
func TestSpeedIsBandwidthOverBytes(t *testing.T) {
	m := fromCatalogue(t, "qwen3-8b")
	bytes := float64(m.ActiveBytes() + 1024*147_456)
	machine := Machine{RAMBandwidth: 40e9}
	close := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got/want-1) > 0.001 {
			t.Errorf("%s: %.2f tokens a second, want %.2f", what, got, want)
		}
	}
	cpu, bound := TokensPerSecond(machine, m, Setting{NCtx: 8192})
	if bound {
		t.Error("the CPU's speed is a bound")
	}
	close("CPU", cpu, 0.75*40e9/bytes)
	// Four query heads share the keys and values of one: four cores go through them
	// at 26 GB/s in all, a hundred are faster than the memory.
	machine.CoresPhysical = 4
	few, _ := TokensPerSecond(machine, m, Setting{NCtx: 8192})
	close("four cores", few, 1/(float64(m.ActiveBytes())/(0.75*40e9)+4*1024*147_456/26e9))
	machine.CoresPhysical = 100
	many, _ := TokensPerSecond(machine, m, Setting{NCtx: 8192})
	close("a hundred cores", many, cpu)
	machine.CoresPhysical = 0
	machine.Devices = []Device{{VRAMFree: 24 * gib, Bandwidth: 400e9}}
	gpu, _ := TokensPerSecond(machine, m, Setting{NCtx: 8192, GPULayers: -1})
	close("GPU", gpu, 10*cpu)
	half, _ := TokensPerSecond(machine, m, Setting{NCtx: 8192, GPULayers: 18})
	if half <= cpu || half >= gpu {
		t.Errorf("half on the GPU: %.2f, between %.2f and %.2f", half, cpu, gpu)
	}
	machine.Devices[0].Bandwidth = 0
	if most, bound := TokensPerSecond(machine, m, Setting{NCtx: 8192, GPULayers: 18}); !bound || most < half {
		t.Errorf("with a GPU of unknown speed: %.2f, bound %v", most, bound)
	}
	if all, _ := TokensPerSecond(machine, m, Setting{NCtx: 8192, GPULayers: -1}); all != 0 {
		t.Errorf("all on a GPU of unknown speed: %.2f", all)
	}
	if unknown, _ := TokensPerSecond(Machine{}, m, Setting{}); unknown != 0 {
		t.Errorf("with nothing known: %.2f", unknown)
	}
}

// anyMachine draws a machine with or without a GPU.
func anyMachine(t *rapid.T) Machine {
	m := Machine{RAMAvailable: rapid.Int64Range(0, 64*gib).Draw(t, "ram"), RAMBandwidth: 20e9}
	for range rapid.IntRange(0, 2).Draw(t, "devices") {
		m.Devices = append(m.Devices, Device{
			VRAMFree: rapid.Int64Range(0, 32*gib).Draw(t, "vram"), SharesTheMachine: rapid.Bool().Draw(t, "shared"),
		})
	}
	return m
}

func TestMoreMemoryNeverFitsLess(t *testing.T) {
	var models []Model
	for _, name := range catalogue.Names() {
		models = append(models, fromCatalogue(t, name))
	}
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(models).Draw(t, "model")
		machine := anyMachine(t)
		want := Setting{
			NCtx: rapid.IntRange(1, 60000).Draw(t, "context"), Slots: rapid.IntRange(1, 4).Draw(t, "slots"),
			GPULayers: rapid.SampledFrom([]int{-1, 0, 10, 100}).Draw(t, "layers"),
		}
		before := Make(machine, m, want, []Model{})
		machine.RAMAvailable += rapid.Int64Range(0, 16*gib).Draw(t, "more ram")
		for i := range machine.Devices {
			machine.Devices[i].VRAMFree += rapid.Int64Range(0, 16*gib).Draw(t, "more vram")
		}
		after := Make(machine, m, want, []Model{})
		if before.Fits && !after.Fits || after.LargestContext < before.LargestContext {
			t.Fatalf("before %+v, after %+v", before, after)
		}
		if before.Fits && before.LargestContext < min(before.Setting.NCtx, roundContext(m.ContextTrain)*want.Slots) {
			t.Fatalf("%d tokens fit, and the most are %d", before.Setting.NCtx, before.LargestContext)
		}
		for _, c := range before.Nearest {
			if c.Need != m.Needs(c.Setting) || shortfall(Machine{RAMAvailable: before.UsableRAM + systemReserve, Devices: []Device{{VRAMFree: before.UsableVRAM + deviceReserve}}}, c.Need) > 0 {
				t.Fatalf("what would fit does not: %+v", c)
			}
		}
	})
}

func TestALargerContextNeverNeedsLess(t *testing.T) {
	var models []Model
	for _, name := range catalogue.Names() {
		models = append(models, fromCatalogue(t, name))
	}
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(models).Draw(t, "model")
		s := Setting{
			NCtx: rapid.IntRange(1, 1<<20).Draw(t, "context"), Q8KV: rapid.Bool().Draw(t, "q8"),
			UBatch: rapid.SampledFrom([]int{0, 1, 256, 2048}).Draw(t, "ubatch"), GPULayers: rapid.IntRange(-1, 100).Draw(t, "layers"),
		}
		a := m.Needs(s)
		s.NCtx += rapid.IntRange(0, 1<<20).Draw(t, "more")
		b := m.Needs(s)
		if b.Total < a.Total || b.RAM < a.RAM || b.VRAM < a.VRAM || a.RAM < 0 || a.RAM+a.VRAM < a.Total {
			t.Fatalf("%+v, and with a larger context %+v", a, b)
		}
	})
}
