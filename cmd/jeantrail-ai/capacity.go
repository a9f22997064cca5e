package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"

	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry/fit"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
	"github.com/jeantrail/jeantrail-ai/registry/memory"
)

// machineAge is how old what is known about the machine may be for a list of
// models. A load looks anew.
const machineAge = 2 * time.Second

// unknownMemory stands for the size of a memory that cannot be told.
const unknownMemory = 1 << 50

// capacity is what this machine has for models, and how each would be laid out in
// it. Its methods may be called from any goroutine.
type capacity struct {
	room    *room
	look    func(context.Context) fit.Machine // memory and GPUs as they are now
	measure func(ctx context.Context, maxBytes int64) (float64, error)

	measuring sync.Mutex // held while the bandwidth is measured

	mu        sync.Mutex
	machine   fit.Machine // as it was seen last
	seen      time.Time
	bandwidth float64                // of the memory, in bytes per second; 0 until it was measured
	layouts   map[string]remade      // by the model's name
	readers   map[string]*sync.Mutex // held while that model's files are read
}

// remade is a layout and what it was made from.
type remade struct {
	at       time.Time // when the files were read
	asked    asked
	files    [2]fileState
	measures measures
	layout   layout
	err      error
}

// fileState is enough to see that a file is another one.
type fileState struct {
	size    int64
	changed time.Time
}

// measures is what a layout depends on besides the model.
type measures struct {
	ram, vram int64
	bandwidth float64
	heldBy    string
}

func newCapacity(room *room, look func(context.Context) fit.Machine) *capacity {
	return &capacity{room: room, look: look, measure: fit.MeasureBandwidth, layouts: make(map[string]remade), readers: make(map[string]*sync.Mutex)}
}

// lookAtMachine returns what looks at the memory and the GPUs. Memory that cannot
// be told is 0, and then limits nothing.
func lookAtMachine(folder string, log *slog.Logger) func(context.Context) fit.Machine {
	return func(ctx context.Context) fit.Machine {
		machine, err := fit.Probe(context.WithoutCancel(ctx), folder)
		if err != nil {
			log.Warn("cannot tell how much memory there is; only memory.limit holds models to something", "error", err)
		}
		machine.Devices, machine.Kernels = devices(), fit.KernelsOf(native.BuildInfo().Features)
		return machine
	}
}

// devices are the GPUs that this program was built for.
func devices() []fit.Device {
	var list []fit.Device
	for _, d := range native.Devices() {
		if d.GPU {
			list = append(list, fit.Device{Name: d.Description, VRAMFree: d.FreeBytes, VRAMTotal: d.TotalBytes, SharesTheMachine: d.SharesMemory})
		}
	}
	return list
}

// now returns the machine as it was seen a moment ago.
func (c *capacity) now(ctx context.Context) fit.Machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.IsZero() || time.Since(c.seen) > machineAge {
		c.machine, c.seen = c.look(ctx), time.Now()
	}
	return c.machine
}

// gauge measures how fast the memory can be read, once. That takes up to half a
// second, and until then no speed is told.
func (c *capacity) gauge(ctx context.Context) error {
	c.measuring.Lock()
	defer c.measuring.Unlock()
	c.mu.Lock()
	known := c.bandwidth > 0
	c.mu.Unlock()
	if known {
		return nil
	}
	bandwidth, err := c.measure(ctx, c.now(ctx).RAMAvailable/4)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.bandwidth = bandwidth
	c.mu.Unlock()
	return nil
}

// stays is what others hold that a model cannot get, and who they are.
type stays struct {
	ram, vram int64
	by        string
}

// siteOf returns the machine as a model would find it if everybody who can let go
// of memory did. So can programs outside, as far as the system is concerned: what
// they hold now is for spare to judge.
func (c *capacity) siteOf(ctx context.Context, name string) *site {
	machine := c.now(ctx)
	var held stays
	var vramUsed int64
	held.ram, held.by = immovable(c.room.Budget, name)
	if c.room.vram != nil {
		held.vram, _ = immovable(c.room.vram, name) // the same ones
		vramUsed = c.room.vram.Use().Used
	}
	kvMemory := machine.RAMTotal
	if c.room.configured > 0 {
		kvMemory = min(cmp.Or(kvMemory, c.room.configured), c.room.configured)
	}
	machine.RAMTotal = cmp.Or(machine.RAMTotal, unknownMemory)
	machine.RAMAvailable = machine.RAMTotal
	machine.RAMLimit = max(cmp.Or(c.room.Use().Limit, machine.RAMTotal)-held.ram, 1)
	machine.Devices = shifted(machine.Devices, vramUsed-held.vram)
	c.mu.Lock()
	machine.RAMBandwidth = c.bandwidth
	c.mu.Unlock()
	return &site{machine, held, kvMemory}
}

// immovable is what is held by those who stay when the named one needs room.
func immovable(b *memory.Budget, name string) (bytes int64, by string) {
	var list []string
	for _, h := range b.Use().Holders {
		if h.Name == name || h.Bytes == 0 || !h.Pinned && h.CanUnload || h.Source == "reservation" {
			continue
		}
		bytes += h.Bytes
		list = append(list, fmt.Sprintf("%s %s", h.Name, humanBytes(h.Bytes)))
	}
	return bytes, strings.Join(list, ", ")
}

// shifted are the GPUs with so many bytes more that are free, or fewer. Which of
// them a model is on is not known here; the first ones are taken.
func shifted(devices []fit.Device, bytes int64) []fit.Device {
	out := append([]fit.Device(nil), devices...)
	for i := range out {
		free := min(max(out[i].VRAMFree+bytes, 0), max(out[i].VRAMTotal, out[i].VRAMFree))
		bytes -= free - out[i].VRAMFree
		out[i].VRAMFree = free
	}
	return out
}

// layout returns how a model would be laid out. If neither its files nor what
// there is for it have changed since they were last read, and that was no longer
// than age ago, nothing is read; an age of 0 is any.
func (c *capacity) layout(ctx context.Context, a asked, age time.Duration) (layout, error) {
	if known, ok := c.known(ctx, a, age); ok {
		return known.layout, known.err
	}
	reading := c.reader(a.name)
	reading.Lock()
	defer reading.Unlock()
	if known, ok := c.known(ctx, a, age); ok { // since somebody else waited for the same
		return known.layout, known.err
	}
	s := c.siteOf(ctx, a.name)
	next := remade{at: time.Now(), asked: a, files: filesOf(a), measures: s.measures()}
	next.layout, next.err = s.read(a)
	if c.room.vram != nil {
		c.room.vram.SetLimit(next.measures.vram + s.held.vram)
	}
	c.mu.Lock()
	c.layouts[a.name] = next
	c.mu.Unlock()
	return next.layout, next.err
}

// reader is the lock of a model's files.
func (c *capacity) reader(name string) *sync.Mutex {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readers[name] == nil {
		c.readers[name] = new(sync.Mutex)
	}
	return c.readers[name]
}

func (c *capacity) known(ctx context.Context, a asked, age time.Duration) (remade, bool) {
	now := c.siteOf(ctx, a.name).measures()
	files := filesOf(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.layouts[a.name]
	return last, ok && last.asked == a && last.files == files && last.measures == now && (age == 0 || time.Since(last.at) < age)
}

// spare compares what a layout takes with the memory that is available now, that
// of this process included. note says what may be slow; short is true if it
// cannot work until other programs let go of memory: weights that are mapped from
// a file give way, what else there is does not.
func (c *capacity) spare(ctx context.Context, l layout) (note string, short bool) {
	machine := c.now(ctx)
	if machine.RAMTotal == 0 {
		return "", false
	}
	available := machine.RAMAvailable
	for _, h := range c.room.Use().Holders {
		if h.Source == "model" || h.Source == "prefixes" {
			available += h.Bytes
		}
	}
	ram, _ := l.takes()
	if ram <= available {
		return "", false
	}
	swap := int64(0)
	if s, err := mem.SwapMemoryWithContext(ctx); err == nil {
		swap = int64(s.Free)
	}
	note = fmt.Sprintf("it needs %s of memory and %s are available; other programs hold %s of the machine's %s",
		humanBytes(ram), humanBytes(available), humanBytes(max(machine.RAMTotal-available, 0)), humanBytes(machine.RAMTotal))
	return note, ram-l.plan.Need.Mapped > available+swap
}

func filesOf(a asked) [2]fileState { return [2]fileState{stateOf(a.path), stateOf(a.projector)} }

// stateOf is how a model's file is; of one in several files the sizes together
// and the newest change.
func stateOf(path string) fileState {
	if path == "" {
		return fileState{}
	}
	paths, err := gguf.PartPaths(path)
	if err != nil {
		return fileState{size: -1}
	}
	var state fileState
	for _, part := range paths {
		info, err := os.Stat(part)
		if err != nil {
			return fileState{size: -1}
		}
		state.size += info.Size()
		if info.ModTime().After(state.changed) {
			state.changed = info.ModTime()
		}
	}
	return state
}

// largestPrograms names who holds most of the machine's memory besides this
// process, for the log; "" if nobody can tell.
func largestPrograms(ctx context.Context) string {
	type program struct {
		name  string
		bytes uint64
	}
	list, err := process.ProcessesWithContext(ctx)
	if err != nil {
		return ""
	}
	var programs []program
	for _, p := range list {
		name, err := p.NameWithContext(ctx)
		held, errMemory := p.MemoryInfoWithContext(ctx)
		if err == nil && errMemory == nil && held != nil && int(p.Pid) != os.Getpid() {
			programs = append(programs, program{name, held.RSS})
		}
	}
	slices.SortFunc(programs, func(a, b program) int { return cmp.Compare(b.bytes, a.bytes) })
	var texts []string
	for _, p := range programs[:min(len(programs), 3)] {
		texts = append(texts, p.name+" "+humanBytes(int64(p.bytes)))
	}
	return strings.Join(texts, ", ")
}
