package llama

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
)

// handle counts who uses a C object, so that it is freed by the last one only
// and never under somebody's feet.
type handle struct {
	mu     sync.Mutex
	users  int
	closed bool
}

// acquire keeps the object open until release.
func (h *handle) acquire() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	h.users++
	return nil
}

func (h *handle) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users--
}

// close reports whether the caller is to free the object: once, and not while
// it is in use.
func (h *handle) close() (free bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false, nil
	}
	if h.users > 0 {
		return false, fmt.Errorf("%w by %d", ErrInUse, h.users)
	}
	h.closed = true
	return true, nil
}

// leakAlarm reports an object that was garbage-collected while open. It frees
// nothing: C memory may be in use by a thread that the collector cannot see.
type leakAlarm struct {
	what   string
	site   string
	closed atomic.Bool
	report func(what, site string)
}

// watchLeak arms an alarm for obj; skip counts frames up to the caller to blame.
func watchLeak[T any](obj *T, what string, skip int) *leakAlarm {
	_, file, line, _ := runtime.Caller(skip + 1)
	a := &leakAlarm{what: what, site: fmt.Sprintf("%s:%d", file, line), report: reportLeak}
	runtime.AddCleanup(obj, (*leakAlarm).ring, a)
	return a
}

func (a *leakAlarm) ring() {
	if !a.closed.Load() {
		a.report(a.what, a.site)
	}
}

func reportLeak(what, site string) {
	slog.Error("llama: not closed before it was garbage-collected", "what", what, "created", site)
}
