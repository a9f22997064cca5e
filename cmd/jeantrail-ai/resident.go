package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/memory"
)

// unloadLimit is how long unloading an idle model may take.
const unloadLimit = 10 * time.Second

// opened is a model in memory.
type opened struct {
	engine  *engine.Engine
	decoder *native.Decoder
}

// close ends the engine and frees the model.
func (o *opened) close(ctx context.Context) error {
	return errors.Join(o.engine.Stop(ctx), o.decoder.Close())
}

// opener knows how a model gets into memory.
type opener interface {
	// need is how much memory it takes, or why it cannot be opened.
	need(ctx context.Context) (int64, error)
	open(ctx context.Context) (*opened, error)
	say(registry.State)
}

// resident is a model that can be in memory or not. It is loaded when somebody
// needs it, and unloaded when somebody else needs its memory and it is idle; a
// running generation is never cut.
//
// Who runs a job on it holds its place in the memory budget, which keeps it from
// being unloaded for others. Who only looks at it, to prepare a request, counts
// among its readers, for whom unloading waits.
type resident struct {
	entry  registry.Entry
	opener opener
	holder *memory.Holder

	life context.Context // ends when loading must stop
	end  context.CancelFunc

	mu      sync.Mutex
	idle    *sync.Cond // signalled when readers become none
	now     *opened
	busy    chan struct{} // closed when the load or unload that runs is over; nil if none does
	failure error         // of the last load; sticks until somebody asks for another one
	readers int
	jobs    int
	closed  bool
}

func newResident(entry registry.Entry, o opener, budget *memory.Budget) *resident {
	r := &resident{entry: entry, opener: o}
	r.idle = sync.NewCond(&r.mu)
	r.life, r.end = context.WithCancel(context.Background())
	r.holder = budget.Register(memory.Holding{
		Name: entry.Name, Source: "model", Pinned: entry.BuiltIn,
		Unload: func(ctx context.Context) error { return r.unload(ctx) },
	})
	return r
}

// ready returns the engine if the model is loaded, nil while it is not, and the
// reason if it cannot be. done must be called if there is an engine.
func (r *resident) ready() (e *engine.Engine, done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.now != nil:
		r.readers++
		return r.now.engine, sync.OnceFunc(r.looked), nil
	case r.busy == nil && r.failure != nil:
		return nil, nil, r.failure
	}
	return nil, nil, nil
}

func (r *resident) looked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers--
	r.idle.Broadcast()
}

// use makes room for the model, loads it if it is not there, waits, and returns
// its engine. done must be called when it is not used any more.
func (r *resident) use(ctx context.Context) (*engine.Engine, func(), error) {
	release, err := r.takePlace(ctx)
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	r.jobs++
	r.mu.Unlock()
	done := sync.OnceFunc(func() {
		r.mu.Lock()
		r.jobs--
		r.mu.Unlock()
		release()
	})
	for {
		if e := r.Engine(); e != nil {
			return e, done, nil
		}
		over := r.load()
		select {
		case <-over:
		case <-ctx.Done():
			done()
			return nil, nil, context.Cause(ctx)
		}
		if err := r.failed(); err != nil {
			done()
			return nil, nil, err
		}
	}
}

// takePlace waits for the model's memory.
func (r *resident) takePlace(ctx context.Context) (release func(), err error) {
	need, err := r.opener.need(ctx)
	if err != nil {
		r.fail(err)
		return nil, err
	}
	return r.holder.Need(ctx, need)
}

// fail remembers why the model cannot be loaded.
func (r *resident) fail(err error) {
	r.mu.Lock()
	loaded := r.now != nil
	if !loaded && r.life.Err() == nil {
		r.failure = err
	}
	r.mu.Unlock()
	if !loaded {
		r.opener.say(registry.State{Status: jeantrail.ModelFailed, Problem: jeantrail.AsError(err).Message})
	}
}

func (r *resident) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now != nil || r.busy != nil {
		return nil
	}
	return r.failure
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

// Load loads the model in the background, without a job that needs it. A
// failure of before is forgotten.
func (r *resident) Load() {
	r.mu.Lock()
	r.failure = nil
	r.mu.Unlock()
	r.opener.say(registry.State{Status: jeantrail.ModelLoading})
	go func() {
		release, err := r.takePlace(r.life)
		if err != nil {
			if r.life.Err() == nil {
				r.fail(err)
			}
			return
		}
		defer release()
		<-r.load()
	}()
}

// load begins to load the model unless that was begun, and returns what is closed
// when it is over. The caller has a place in the memory budget.
func (r *resident) load() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	over := make(chan struct{})
	switch {
	case r.busy != nil:
		return r.busy
	case r.closed:
		r.failure = jeantrail.Errorf(jeantrail.CodeShuttingDown, "the program stopped before the model was loaded")
		close(over)
	case r.now != nil:
		close(over)
	default:
		r.busy = over
		go r.fill(over)
	}
	return over
}

func (r *resident) fill(over chan struct{}) {
	r.opener.say(registry.State{Status: jeantrail.ModelLoading})
	o, err := r.opener.open(r.life)
	if err != nil && r.life.Err() != nil {
		err = jeantrail.Errorf(jeantrail.CodeShuttingDown, "the program stopped before the model was loaded")
	}
	state := registry.State{Status: jeantrail.ModelFailed}
	if err != nil {
		state.Problem = jeantrail.AsError(err).Message
		r.holder.Resize(0)
	} else {
		state = registry.State{Status: jeantrail.ModelReady, Progress: 1, Engine: o.engine.Info()}
		// An unload that was under way when the place was taken gave it back.
		if need, err := r.opener.need(r.life); err == nil {
			r.holder.Resize(need)
		}
	}
	// Before anybody can use it, so that no later word is overtaken by this one.
	r.opener.say(state)
	r.mu.Lock()
	r.now, r.failure, r.busy = o, err, nil
	r.mu.Unlock()
	close(over)
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
	r.now, r.failure, r.busy = nil, nil, over
	for r.readers > 0 {
		r.idle.Wait()
	}
	r.mu.Unlock()
	var err error
	if now != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unloadLimit)
		err = now.close(ctx)
		cancel()
		r.opener.say(registry.State{Status: jeantrail.ModelAvailable})
	}
	r.holder.Resize(0)
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
	r.mu.Lock()
	now := r.now
	r.now = nil
	r.mu.Unlock()
	r.holder.Gone()
	if now == nil {
		return nil
	}
	return now.close(ctx)
}

// retire frees a model that another one takes the place of, when its jobs are
// done.
func (r *resident) retire(ctx context.Context) error {
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
