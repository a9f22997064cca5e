package memory

import (
	"context"
	"sync"
	"time"
)

// Holding says who holds memory.
type Holding struct {
	Name   string
	Source string // where the figure is from: model, config or worker
	Bytes  int64  // that it holds now; 0 for a model that is not loaded
	Pinned bool   // it is never unloaded

	// Unload makes it let go of its memory, and returns when it has: nil means
	// that it cannot. It is called only while nobody uses the holder, and nobody
	// gets to use it before Unload returns. After it returned nil the holder holds
	// nothing, or what it said with Resize meanwhile. An error leaves it as it is.
	Unload func(ctx context.Context) error
}

// Holder is a model or worker that holds memory, or can. Its methods may be
// called from any goroutine.
type Holder struct {
	budget *Budget
	name   string
	source string
	pinned bool
	unload func(ctx context.Context) error

	// Guarded by the budget's lock.
	bytes     int64
	users     int
	waiting   int  // calls of Need that wait
	unloading bool // its Unload runs
	resized   bool // since its Unload was called
	leaves    bool // it is gone as soon as nobody uses it
	usedAt    time.Time
}

// Register adds a holder. What it holds is counted even if it is more than there
// is room for: it is held already.
func (b *Budget) Register(h Holding) *Holder {
	holder := &Holder{
		budget: b, name: h.Name, source: h.Source, pinned: h.Pinned, unload: h.Unload,
		bytes: max(h.Bytes, 0), usedAt: time.Now().UTC(),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holders = append(b.holders, holder)
	b.wakeAll()
	return holder
}

// Pin says whether the holder stays when others need room. What it holds does not
// change.
func (h *Holder) Pin(on bool) {
	b := h.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	h.pinned = on
	b.wakeAll()
}

// Bytes returns what the holder holds.
func (h *Holder) Bytes() int64 {
	h.budget.mu.Lock()
	defer h.budget.mu.Unlock()
	return h.bytes
}

// Use marks the holder as busy until release is called; as it is, with what it
// holds. It waits only while the holder is unloaded, or about to be; who must
// have it loaded asks with Need.
func (h *Holder) Use(ctx context.Context) (release func(), err error) { return h.Need(ctx, 0) }

// Resize says how much the holder really holds: more than was asked for, or 0
// after loading failed. It is a fact, which no limit stops. One that is gone and
// not in use holds nothing.
func (h *Holder) Resize(bytes int64) {
	b := h.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.leaves && h.users == 0 {
		bytes = 0
	}
	h.bytes, h.resized = max(bytes, 0), true
	b.wakeAll()
}

// Gone says that the holder holds nothing any more and is to be forgotten. Work
// that waits for it can still run: what it then needs is counted until it is
// released.
func (h *Holder) Gone() {
	b := h.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	h.bytes, h.resized, h.leaves = 0, true, true
	b.forget(h)
	b.wakeAll()
}

// release ends one use.
func (h *Holder) release() func() {
	var once sync.Once
	return func() {
		once.Do(func() {
			b := h.budget
			b.mu.Lock()
			defer b.mu.Unlock()
			h.users--
			h.usedAt = time.Now().UTC()
			if h.leaves && h.users == 0 {
				h.bytes = 0
			}
			b.forget(h)
			b.wakeAll()
		})
	}
}

// reclaimable reports whether room can be had from the holder, now or when it is
// no longer busy.
func (h *Holder) reclaimable() bool { return h.leaves || !h.pinned && h.unload != nil }
