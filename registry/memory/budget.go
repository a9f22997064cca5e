package memory

import (
	"slices"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// maxDecisions is how many decisions are remembered.
const maxDecisions = 32

// Budget is a limit and who holds how much of it. Its methods may be called from
// any goroutine.
type Budget struct {
	mu      sync.Mutex
	limit   int64
	holders []*Holder // in the order in which they registered
	queue   []*waiter // the next one first
	recent  []jeantrail.MemoryDecision
}

// New makes a budget of so many bytes; 0 or less means that there is no limit,
// and that it only counts.
func New(limit int64) *Budget { return &Budget{limit: max(limit, 0)} }

// SetLimit changes the limit, for those who wait too. What is held already stays,
// even if it is more.
func (b *Budget) SetLimit(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = max(limit, 0)
	b.wakeAll()
}

// Use tells how the budget stands.
func (b *Budget) Use() jeantrail.MemoryUse {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := jeantrail.MemoryUse{Limit: b.limit, Used: b.used(), Recent: slices.Clone(b.recent)}
	for _, h := range b.holders {
		if h.leaves && h.users == 0 {
			continue // it is gone, and only waits to be back
		}
		u.Holders = append(u.Holders, jeantrail.MemoryHolder{
			Name: h.name, Bytes: h.bytes, Source: h.source, Busy: h.users > 0, Pinned: h.pinned,
			CanUnload: h.unload != nil, UsedAt: h.usedAt,
		})
	}
	return u
}

// used is what all hold together. The caller holds mu, here and below.
func (b *Budget) used() int64 {
	var sum int64
	for _, h := range b.holders {
		sum += h.bytes
	}
	return sum
}

// decided remembers a decision.
func (b *Budget) decided(w *waiter, did, reason string) {
	d := jeantrail.MemoryDecision{At: time.Now().UTC(), For: w.holder.name, Need: w.want, Did: did, Reason: reason}
	b.recent = slices.Insert(b.recent, 0, d)
	if len(b.recent) > maxDecisions {
		b.recent = b.recent[:maxDecisions]
	}
}

// wakeAll has everybody who waits look again.
func (b *Budget) wakeAll() {
	for _, w := range b.queue {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// forget drops a holder that is gone if nothing is left of it.
func (b *Budget) forget(h *Holder) {
	if h.leaves && h.users == 0 && h.waiting == 0 {
		b.holders = slices.DeleteFunc(b.holders, func(o *Holder) bool { return o == h })
	}
}
