package hub

import (
	"context"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
)

// A flight is one pull that is under way, and everybody who waits for it.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when result and err are set
	result Result
	err    error

	mu       sync.Mutex
	latest   Event
	watchers map[*watcher]bool // under Client.mu as well, while it is changed
	leaving  bool              // nobody waits any more; under Client.mu
}

// A watcher is one caller of Pull. Its events wait here, so that a slow caller
// holds up neither the pull nor the others.
type watcher struct {
	wake    chan struct{}
	mu      sync.Mutex
	pending []Event
}

// push adds an event. Of events that follow each other and say nothing but how
// far it is, only the last is kept.
func (w *watcher) push(e Event) {
	w.mu.Lock()
	if n := len(w.pending); n > 0 && replaces(e, w.pending[n-1]) {
		w.pending[n-1] = e
	} else {
		w.pending = append(w.pending, e)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func replaces(e, old Event) bool {
	return e.Phase == old.Phase && e.File == old.File && e.Note == "" && old.Note == ""
}

func (w *watcher) drain(progress func(Event)) {
	w.mu.Lock()
	events := w.pending
	w.pending = nil
	w.mu.Unlock()
	if progress == nil {
		return
	}
	for _, e := range events {
		progress(e)
	}
}

// publish hands an event to everybody who waits.
func (f *flight) publish(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = e
	for w := range f.watchers {
		w.push(e)
	}
}

// board makes the caller a watcher of the flight of that key, which it starts if
// there is none. One that everybody has left is waited for: it still holds the
// lock.
func (c *Client) board(ctx context.Context, key string, run func(context.Context, func(Event)) (Result, error)) (*flight, *watcher, error) {
	w := &watcher{wake: make(chan struct{}, 1)}
	for {
		c.mu.Lock()
		f := c.flights[key]
		if f == nil {
			f = c.start(ctx, key, w, run)
			c.mu.Unlock()
			return f, w, nil
		}
		if !f.leaving {
			f.mu.Lock()
			f.watchers[w] = true
			if f.latest.Phase != "" {
				w.push(f.latest)
			}
			f.mu.Unlock()
			c.mu.Unlock()
			return f, w, nil
		}
		c.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, nil, stopped(ctx)
		}
	}
}

// start begins a flight for its first watcher, who misses no event. It does not end with the context of its first caller:
// others may have joined. The caller holds c.mu.
func (c *Client) start(ctx context.Context, key string, w *watcher, run func(context.Context, func(Event)) (Result, error)) *flight {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{cancel: cancel, done: make(chan struct{}), watchers: map[*watcher]bool{w: true}}
	c.flights[key] = f
	go func() {
		defer cancel()
		f.result, f.err = run(own, f.publish)
		c.mu.Lock()
		delete(c.flights, key)
		c.mu.Unlock()
		close(f.done)
	}()
	return f
}

// leave takes a watcher off. The last one stops the pull, and waits until it has
// written down what the next one needs to go on.
func (c *Client) leave(f *flight, w *watcher) {
	c.mu.Lock()
	f.mu.Lock()
	delete(f.watchers, w)
	last := len(f.watchers) == 0
	f.mu.Unlock()
	if last {
		f.leaving = true
	}
	c.mu.Unlock()
	if last {
		f.cancel()
		<-f.done
	}
}

// follow waits for a flight, and hands its events on in the caller's goroutine.
func (c *Client) follow(ctx context.Context, f *flight, w *watcher, progress func(Event)) (Result, error) {
	defer c.leave(f, w)
	for {
		select {
		case <-w.wake:
			w.drain(progress)
		case <-f.done:
			w.drain(progress)
			return f.result, f.err
		case <-ctx.Done():
			return Result{}, stopped(ctx)
		}
	}
}

// stopped is the error of a pull that its caller ended.
func stopped(ctx context.Context) error {
	return jeantrail.Errorf(jeantrail.CodeCancelled, "the pull was stopped: %w", context.Cause(ctx)).
		WithHint("What was fetched is kept: the same pull goes on where this one stopped.")
}
