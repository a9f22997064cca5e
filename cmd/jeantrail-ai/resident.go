package main

import (
	"context"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/memory"
)

// unloadLimit is how long unloading an idle model may take.
const unloadLimit = 10 * time.Second

// place is the memory that a model takes, in bytes: of the machine, and of GPUs
// that have their own.
type place struct{ ram, vram int64 }

// opened is a model in memory.
type opened struct {
	engine *engine.Engine
	info   jeantrail.EngineInfo
	place  place
	close  func(context.Context) error // ends the engine and frees the model
}

// opener knows how a model gets into memory.
type opener interface {
	// check reports why the model cannot be loaded, from what is known already.
	check(ctx context.Context) error
	// need is what it will take, or why it cannot be opened or does not fit.
	need(ctx context.Context) (place, error)
	// open loads it; progress is told values from 0 to 1, from any one goroutine.
	open(ctx context.Context, progress func(float64)) (*opened, error)
	say(registry.State)
}

// resident is a model that can be in memory or not. It is loaded when somebody
// needs it, and unloaded when somebody else needs its memory and it is idle; a
// running generation is never cut.
//
// Who runs a job on it holds its place in the memory budgets, which keeps it from
// being unloaded for others. Who only looks at it, to prepare a request, counts
// among its readers, for whom unloading waits.
type resident struct {
	entry  registry.Entry
	opener opener
	holder *memory.Holder
	vram   *memory.Holder // nil if no GPU has memory of its own

	life context.Context // ends when loading must stop
	end  context.CancelFunc
	work sync.WaitGroup // of Load

	// saying is held while how the model is changes and is told, so that no word is
	// overtaken by an older one. It is taken before mu.
	saying sync.Mutex

	mu      sync.Mutex
	idle    *sync.Cond // signalled when readers become none
	now     *opened
	busy    chan struct{} // closed when the load or unload that runs is over; nil if none does
	loads   bool          // it is a load
	percent int           // how far that is, in tens
	moved   chan struct{} // closed and replaced when percent changes
	placing chan struct{} // closed when Load has a place, or gets none; nil if none runs
	failure error         // of the last load; sticks until somebody asks for another one
	readers int
	jobs    int
	places  int // held in the machine's memory
	pinned  bool
	closed  bool
}

func newResident(entry registry.Entry, o opener, room *room, pinned bool) *resident {
	r := &resident{entry: entry, opener: o, pinned: pinned || entry.BuiltIn, moved: make(chan struct{})}
	r.idle = sync.NewCond(&r.mu)
	r.life, r.end = context.WithCancel(context.Background())
	holding := memory.Holding{
		Name: entry.Name, Source: "model", Pinned: r.pinned,
		Unload: func(ctx context.Context) error { return r.unload(ctx) },
	}
	r.holder = room.Register(holding)
	if room.vram != nil {
		r.vram = room.vram.Register(holding)
	}
	return r
}

// pin says whether the model stays when others need room, and reports whether
// that is a change.
func (r *resident) pin(on bool) (changed bool) {
	on = on || r.entry.BuiltIn
	r.mu.Lock()
	changed, r.pinned = r.pinned != on, on
	r.mu.Unlock()
	r.holder.Pin(on)
	if r.vram != nil {
		r.vram.Pin(on)
	}
	return changed
}

// bytes is what the model is counted with; 0 if it is not loaded.
func (r *resident) bytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		return 0
	}
	return r.now.place.ram + r.now.place.vram
}

// ready returns the engine if the model is loaded, nil while it is not, and the
// reason if it cannot be. done must be called if there is an engine.
func (r *resident) ready(ctx context.Context) (e *engine.Engine, done func(), err error) {
	r.mu.Lock()
	now, loads, failure := r.now, r.busy != nil, r.failure
	if now != nil {
		r.readers++
	}
	r.mu.Unlock()
	switch {
	case now != nil:
		return now.engine, sync.OnceFunc(r.looked), nil
	case loads:
		return nil, nil, nil
	case failure != nil && !aboutRoom(failure):
		return nil, nil, failure
	}
	return nil, nil, r.opener.check(ctx)
}

func (r *resident) looked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers--
	r.idle.Broadcast()
}

// Engine returns the engine without waiting; nil while the model is not loaded.
func (r *resident) Engine() *engine.Engine {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		return nil
	}
	return r.now.engine
}

// Unload frees the model if no job uses it; a conflict says that one does.
func (r *resident) Unload(ctx context.Context) error {
	r.mu.Lock()
	used := r.jobs > 0 || r.busy != nil
	r.mu.Unlock()
	if used {
		return jeantrail.Errorf(jeantrail.CodeConflict, "the model %s is in use", r.entry.Name).
			WithHint("Wait for its jobs, or cancel them.")
	}
	return r.unload(ctx)
}

// unload frees the model when nobody looks at it any more. A job that comes
// meanwhile waits, and loads it again.
func (r *resident) unload(ctx context.Context) error {
	r.mu.Lock()
	if r.busy != nil || r.jobs > 0 {
		r.mu.Unlock()
		return jeantrail.Errorf(jeantrail.CodeConflict, "the model %s is in use", r.entry.Name)
	}
	now, over := r.now, make(chan struct{})
	r.now, r.failure, r.busy, r.loads = nil, nil, over, false
	for r.readers > 0 {
		r.idle.Wait()
	}
	r.mu.Unlock()
	var err error
	if now != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unloadLimit)
		err = now.close(ctx)
		cancel()
		r.saying.Lock()
		r.opener.say(registry.State{Status: jeantrail.ModelAvailable})
		r.saying.Unlock()
	}
	r.mu.Lock()
	waits := r.places > 0 // for a GPU, with a place in the machine's memory that it keeps
	r.mu.Unlock()
	if !waits {
		r.holder.Resize(0)
	}
	if r.vram != nil {
		r.vram.Resize(0)
	}
	r.mu.Lock()
	r.busy = nil
	r.mu.Unlock()
	close(over)
	return err
}

// Close stops loading and frees the model. Nobody may use it any more.
func (r *resident) Close(ctx context.Context) error {
	r.end()
	r.mu.Lock()
	r.closed = true
	busy := r.busy
	r.mu.Unlock()
	if busy != nil {
		<-busy
	}
	r.work.Wait()
	r.mu.Lock()
	now := r.now
	r.now = nil
	r.mu.Unlock()
	r.holder.Gone()
	if r.vram != nil {
		r.vram.Gone()
	}
	if now == nil {
		return nil
	}
	return now.close(ctx)
}

// retire frees a model that another one takes the place of, when its jobs are
// done. Until then it makes room like any other.
func (r *resident) retire(ctx context.Context) error {
	r.holder.Pin(false)
	if r.vram != nil {
		r.vram.Pin(false)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for jeantrail.CodeOf(r.Unload(ctx)) == jeantrail.CodeConflict && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return r.Close(context.WithoutCancel(ctx))
}
