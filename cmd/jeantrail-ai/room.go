package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/fit"
	"github.com/jeantrail/jeantrail-ai/registry/memory"
)

// memoryShare is the part of the machine's memory, in percent, that models and
// workers may hold unless the configuration says otherwise.
const memoryShare = 85

// askMemory is how long a worker may take to say what it holds, and others to
// make room for that.
const askMemory = 2 * time.Second

// room is the one memory budget, with a holder for each model and for each
// worker of which somebody knows what it holds.
type room struct {
	*memory.Budget
	configured int64 // memory.limit; 0 if the configuration sets none

	// vram is the budget of the GPUs' own memory, which only models in process are
	// counted in; nil if there is none. Who needs both asks for the machine's first.
	vram *memory.Budget

	mu      sync.Mutex
	workers map[string]*workerRoom
}

// workerRoom is what a worker holds while it is up.
type workerRoom struct {
	holder *memory.Holder
	bytes  int64
}

// memoryHolder is what a worker's client knows about its memory.
type memoryHolder interface {
	// MemoryBytes asks what the worker holds; 0 if it does not tell.
	MemoryBytes(ctx context.Context) (int64, error)
	CanUnload() bool
	Unload(ctx context.Context) error
}

// newRoom makes the budgets of a machine.
func newRoom(config *LoadedConfig, machine fit.Machine) (*room, error) {
	limit, err := parseBytes(config.Memory.Limit)
	if err != nil {
		return nil, err
	}
	r := &room{configured: limit, workers: make(map[string]*workerRoom)}
	if limit == 0 {
		limit = machine.RAMTotal / 100 * memoryShare
	}
	r.Budget = memory.New(limit)
	if slices.ContainsFunc(machine.Devices, ownMemory) {
		r.vram = memory.New(machine.UsableVRAM())
	}
	return r, nil
}

// ownMemory reports whether a GPU has memory that is not the machine's.
func ownMemory(d fit.Device) bool { return !d.SharesTheMachine }

// expect makes a place for a worker. What the configuration says that it holds
// counts as long as the worker is up.
func (r *room) expect(name string, bytes int64, w memoryHolder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.workers[name]; old != nil {
		old.holder.Gone()
	}
	source := "config"
	if bytes == 0 {
		source = "worker"
	}
	r.workers[name] = &workerRoom{bytes: bytes, holder: r.Register(memory.Holding{
		Name: name, Source: source,
		Unload: func(ctx context.Context) error {
			if !w.CanUnload() {
				return jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s cannot let go of its memory", name)
			}
			return w.Unload(ctx)
		},
	})}
}

// present says that a worker came up or went down. One that comes up and of which
// nobody knows what it holds is asked.
func (r *room) present(name string, up bool, w memoryHolder) {
	r.mu.Lock()
	place := r.workers[name]
	r.mu.Unlock()
	switch {
	case place == nil:
	case !up:
		place.holder.Resize(0)
	case place.bytes > 0:
		place.holds(place.bytes)
	default:
		ctx, cancel := context.WithTimeout(context.Background(), askMemory)
		defer cancel()
		if bytes, err := w.MemoryBytes(ctx); err == nil && bytes > 0 {
			place.holds(bytes)
		}
	}
}

// holds takes in that a worker holds so much. Whoever is idle makes room for it;
// if that is not enough it counts all the same, since it is held already.
func (p *workerRoom) holds(bytes int64) {
	ctx, cancel := context.WithTimeout(context.Background(), askMemory)
	defer cancel()
	release, err := p.holder.Need(ctx, bytes)
	if err != nil {
		p.holder.Resize(bytes)
		return
	}
	release()
}

// work asks for what a worker needs while it does a job.
func (r *room) work(ctx context.Context, name string) (release func(), err error) {
	r.mu.Lock()
	place := r.workers[name]
	r.mu.Unlock()
	if place == nil {
		return func() {}, nil
	}
	return place.holder.Need(ctx, max(place.bytes, place.holder.Bytes()))
}

// forget drops a worker.
func (r *room) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if place := r.workers[name]; place != nil {
		place.holder.Gone()
		delete(r.workers, name)
	}
}
