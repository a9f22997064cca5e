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

// use makes room for the model, loads it if it is not there, waits, and returns
// its engine. progress, if not nil, is told how far the load is, in percent. done
// must be called when the engine is not used any more.
func (r *resident) use(ctx context.Context, progress func(percent int)) (*engine.Engine, func(), error) {
	release, err := r.takePlace(ctx)
	if err != nil {
		if ctx.Err() == nil && !aboutRoom(err) {
			r.fail(err)
		}
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
		err := r.await(ctx, r.load(), progress)
		if err == nil {
			err = r.failed()
		}
		if err != nil {
			done()
			return nil, nil, err
		}
	}
}

// await waits for the end of a load or unload.
func (r *resident) await(ctx context.Context, over <-chan struct{}, progress func(percent int)) error {
	for {
		r.mu.Lock()
		percent, moved, loads := r.percent, r.moved, r.busy != nil && r.loads
		r.mu.Unlock()
		if loads && progress != nil {
			progress(percent)
		}
		select {
		case <-over:
			return nil
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// takePlace waits for the model's memory. For the built-in model there always is
// some.
func (r *resident) takePlace(ctx context.Context) (release func(), err error) {
	need, err := r.placeNeeded(ctx)
	if err != nil {
		return nil, err
	}
	give, err := r.placeIn(ctx, r.holder, need.ram)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.places++
	r.mu.Unlock()
	leave := sync.OnceFunc(func() {
		r.mu.Lock()
		r.places--
		r.mu.Unlock()
		give()
	})
	if r.vram == nil {
		return leave, nil
	}
	giveVRAM, err := r.placeIn(ctx, r.vram, need.vram)
	if err != nil {
		leave()
		return nil, err
	}
	return func() { giveVRAM(); leave() }, nil
}

func (r *resident) placeIn(ctx context.Context, h *memory.Holder, bytes int64) (release func(), err error) {
	release, err = h.Need(ctx, bytes)
	if r.entry.BuiltIn && aboutRoom(err) {
		return h.Use(ctx)
	}
	return release, err
}

// placeNeeded is what the model takes. While it is in memory, or on its way
// there, that is not asked again.
func (r *resident) placeNeeded(ctx context.Context) (place, error) {
	r.mu.Lock()
	now, loads := r.now, r.busy != nil && r.loads
	r.mu.Unlock()
	switch {
	case now != nil:
		return now.place, nil
	case loads:
		need := place{ram: r.holder.Bytes()}
		if r.vram != nil {
			need.vram = r.vram.Bytes()
		}
		return need, nil
	}
	return r.opener.need(ctx)
}

// aboutRoom reports whether an error says that there is no room. That may change
// without anybody's doing, so that it is asked anew each time.
func aboutRoom(err error) bool {
	code := jeantrail.CodeOf(err)
	return code == jeantrail.CodeUnsupported || code == jeantrail.CodeWorkerUnavailable
}

// fail says why the model cannot be loaded, and remembers it.
func (r *resident) fail(err error) {
	r.saying.Lock()
	defer r.saying.Unlock()
	r.mu.Lock()
	there := r.now != nil || r.busy != nil
	if !there && r.life.Err() == nil {
		r.failure = err
	}
	r.mu.Unlock()
	if !there {
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

// Load loads the model in the background, without a job that needs it. A
// failure of before is forgotten. What it returns is closed when there is a place
// for the model, or there will be none.
func (r *resident) Load() (placed <-chan struct{}) {
	r.saying.Lock()
	defer r.saying.Unlock()
	done := make(chan struct{})
	r.mu.Lock()
	placing, there := r.placing, r.closed || r.now != nil || r.busy != nil && r.loads
	if placing == nil && !there {
		r.failure, r.placing = nil, done
	}
	r.mu.Unlock()
	switch {
	case placing != nil:
		return placing
	case there:
		close(done)
		return done
	}
	r.opener.say(registry.State{Status: jeantrail.ModelLoading})
	r.work.Go(func() { r.loadAlone(done) })
	return done
}

// loadAlone is the goroutine of Load.
func (r *resident) loadAlone(placed chan struct{}) {
	release, err := r.takePlace(r.life)
	r.mu.Lock()
	r.placing = nil
	r.mu.Unlock()
	close(placed)
	if err != nil {
		if r.life.Err() == nil {
			r.fail(err)
		}
		return
	}
	defer release()
	for r.Engine() == nil && r.failed() == nil {
		<-r.load()
	}
}

// loading is the refusal of a request that does not wait, and begins the load. It
// is nil if the model is there after all.
func (r *resident) loading() error {
	r.Load()
	r.mu.Lock()
	loaded, percent := r.now != nil, 0
	if r.busy != nil && r.loads {
		percent = r.percent
	}
	r.mu.Unlock()
	if loaded {
		return nil
	}
	e := jeantrail.Errorf(jeantrail.CodeModelLoading, "the model %s is being loaded; %d %% of it are in memory", r.entry.Name, percent).
		WithHint("Try again, or leave wait_for_model out to have the job wait.").
		WithNumber("progress_percent", int64(percent))
	e.RetryAfter = retryLoading
	return e
}

// retryLoading is after how long it is worth to ask again for a model that is
// being loaded.
const retryLoading = time.Second

// load begins to load the model unless that was begun, and returns what is closed
// when it is over. The caller has a place in the memory budgets.
func (r *resident) load() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	over := make(chan struct{})
	switch {
	case r.busy != nil:
		return r.busy
	case r.closed:
		r.failure = stoppedLoading()
		close(over)
	case r.now != nil:
		close(over)
	default:
		r.busy, r.loads, r.percent = over, true, 0
		go r.fill(over)
	}
	return over
}

func stoppedLoading() error {
	return jeantrail.Errorf(jeantrail.CodeShuttingDown, "the program stopped before the model was loaded")
}

func (r *resident) fill(over chan struct{}) {
	r.saying.Lock()
	r.opener.say(registry.State{Status: jeantrail.ModelLoading})
	r.saying.Unlock()
	o, err := r.opener.open(r.life, r.advance)
	if err != nil && r.life.Err() != nil {
		err = stoppedLoading()
	}
	state := registry.State{Status: jeantrail.ModelFailed}
	if err != nil {
		state.Problem = jeantrail.AsError(err).Message
		r.resize(place{})
	} else {
		state = registry.State{Status: jeantrail.ModelReady, Progress: 1, Engine: o.info}
		// An unload that was under way when the place was taken gave it back.
		r.resize(o.place)
	}
	r.saying.Lock()
	r.opener.say(state)
	r.mu.Lock()
	r.now, r.failure, r.busy = o, err, nil
	r.mu.Unlock()
	r.saying.Unlock()
	close(over)
}

// resize says what the model holds.
func (r *resident) resize(p place) {
	r.holder.Resize(p.ram)
	if r.vram != nil {
		r.vram.Resize(p.vram)
	}
}

// advance tells how far the load is, in steps of a tenth, so that nobody is
// flooded.
func (r *resident) advance(progress float64) {
	tens := int(min(max(progress, 0), 1)*10) * 10
	r.saying.Lock()
	defer r.saying.Unlock()
	r.mu.Lock()
	stands := tens <= r.percent
	if !stands {
		r.percent = tens
		close(r.moved)
		r.moved = make(chan struct{})
	}
	r.mu.Unlock()
	if !stands {
		r.opener.say(registry.State{Status: jeantrail.ModelLoading, Progress: progress})
	}
}
