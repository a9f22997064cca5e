package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// waiter is a call of Need.
type waiter struct {
	holder  *Holder
	want    int64
	wake    chan struct{} // has room for one
	refused []*Holder     // that were to be unloaded for it, and could not
	told    bool          // that it waits
}

// Need asks that the holder may hold so many bytes in all, and marks it as busy.
// It gets others unloaded for that, and waits for its turn and for those that
// are busy, until ctx ends. Bytes that it holds already are not counted again.
//
// When release is called the holder is no longer busy; it goes on holding the
// bytes. If what they were for failed, Resize before.
//
// The error is unsupported if it can never fit, worker_unavailable if what is in
// the way cannot be unloaded, deadline if ctx had a time limit, and otherwise the
// context's cause. The first three have the numbers and say who holds what.
func (h *Holder) Need(ctx context.Context, bytes int64) (release func(), err error) {
	b := h.budget
	w := &waiter{holder: h, want: max(bytes, 0), wake: make(chan struct{}, 1)}
	b.queueUp(w)
	defer b.quit(w)
	for {
		next := b.step(ctx, w)
		switch {
		case next.err != nil:
			return nil, next.err
		case next.granted:
			return h.release(), nil
		case next.unload != nil:
			b.unload(ctx, w, next.unload)
		default:
			select {
			case <-w.wake:
			case <-ctx.Done():
			}
		}
	}
}

// Reserve asks for room that is counted until release is called, for something
// that holds memory only while it works. It waits and fails like Need.
func (b *Budget) Reserve(ctx context.Context, name string, bytes int64) (release func(), err error) {
	h := &Holder{budget: b, name: name, source: "reservation", leaves: true}
	return h.Need(ctx, bytes)
}

// move is what a waiter does next; the zero value is to wait.
type move struct {
	granted bool
	err     error
	unload  *Holder
}

// step decides what a waiter does next, and takes what is granted.
func (b *Budget) step(ctx context.Context, w *waiter) move {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ctx.Err() != nil {
		return move{err: b.givenUp(ctx, w)}
	}
	h := w.holder
	if h.unloading {
		return move{}
	}
	first := b.queue[0]
	missing := b.missing(w)
	switch {
	case w.want <= h.bytes || b.limit == 0:
		if first != w && slices.Contains(b.plan(first), h) {
			return move{}
		}
	case w.want > b.limit || b.immovable(w):
		return move{err: b.refusal(w)}
	case first != w:
		return move{}
	case missing > 0:
		return b.makeRoom(w)
	}
	h.bytes = max(h.bytes, w.want)
	h.users++
	h.usedAt = time.Now().UTC()
	return move{granted: true}
}

// missing is how much room there is too little of for a waiter. The caller holds
// mu, here and below, unless it says otherwise.
func (b *Budget) missing(w *waiter) int64 {
	if b.limit == 0 || w.want <= w.holder.bytes {
		return 0
	}
	return b.used() - w.holder.bytes + w.want - b.limit
}

// immovable reports whether the room for a waiter cannot be made, even if
// everybody who can let go does.
func (b *Budget) immovable(w *waiter) bool {
	missing := b.missing(w)
	for _, o := range b.others(w) {
		missing -= o.bytes
	}
	return missing > 0
}

// others are the holders that may be made to let go for a waiter, in the order
// in which they are: those that are idle first, the least recently used first.
func (b *Budget) others(w *waiter) []*Holder {
	var all []*Holder
	for _, o := range b.holders {
		if o != w.holder && o.bytes > 0 && o.reclaimable() && !slices.Contains(w.refused, o) {
			all = append(all, o)
		}
	}
	slices.SortStableFunc(all, func(x, y *Holder) int {
		if busy := cmp.Compare(min(x.users, 1), min(y.users, 1)); busy != 0 {
			return busy
		}
		return x.usedAt.Compare(y.usedAt)
	})
	return all
}

// plan returns the holders that must let go for a waiter: no more of them than
// are needed.
func (b *Budget) plan(w *waiter) []*Holder {
	missing := b.missing(w)
	var picks []*Holder
	var sum int64
	for _, o := range b.others(w) {
		if sum >= missing {
			break
		}
		picks = append(picks, o)
		sum += o.bytes
	}
	return slices.DeleteFunc(picks, func(o *Holder) bool {
		spare := sum-o.bytes >= missing
		if spare {
			sum -= o.bytes
		}
		return spare
	})
}

// makeRoom is the next step of the first waiter, which does not fit. Nothing is
// unloaded before all that must be is idle: the waiter might give up until then.
func (b *Budget) makeRoom(w *waiter) move {
	picks := b.plan(w)
	var busy []string
	for _, o := range picks {
		if o.users > 0 {
			busy = append(busy, o.name)
		}
	}
	if len(busy) == 0 {
		picks[0].unloading, picks[0].resized = true, false
		return move{unload: picks[0]}
	}
	if !w.told {
		w.told = true
		b.decided(w, "waited for "+strings.Join(busy, ", "), "busy, and what is idle is not enough")
	}
	return move{}
}

// unload has a holder let go. The caller does not hold mu.
func (b *Budget) unload(ctx context.Context, w *waiter, o *Holder) {
	b.mu.Lock()
	before, usedAt := o.bytes, o.usedAt
	b.mu.Unlock()

	err := errors.New("its function to unload did not return")
	defer func() { // also if it panics: nobody could use the holder again
		b.mu.Lock()
		defer b.mu.Unlock()
		b.unloaded(w, o, before, usedAt, err)
	}()
	err = o.unload(ctx)
}

// unloaded takes in what became of a holder that was to let go.
func (b *Budget) unloaded(w *waiter, o *Holder, before int64, usedAt time.Time, err error) {
	o.unloading = false
	if err == nil && !o.resized {
		o.bytes = 0
	}
	switch {
	case err != nil:
		w.refused = append(w.refused, o)
		b.decided(w, "could not unload "+o.name, err.Error())
	case o.bytes >= before:
		w.refused = append(w.refused, o)
		b.decided(w, "could not unload "+o.name, "it holds as much as before")
	default:
		b.decided(w, "unloaded "+o.name, fmt.Sprintf("%s were needed, and it was idle for %s", jeantrail.Size(w.want), time.Since(usedAt).Round(time.Second)))
	}
	b.wakeAll()
}

// queueUp puts a waiter at the end of the queue. The caller does not hold mu.
func (b *Budget) queueUp(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.holders, w.holder) { // it is gone, or a reservation
		b.holders = append(b.holders, w.holder)
	}
	w.holder.waiting++
	b.queue = append(b.queue, w)
}

// quit takes a waiter out of the queue. The caller does not hold mu.
func (b *Budget) quit(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = slices.DeleteFunc(b.queue, func(o *waiter) bool { return o == w })
	w.holder.waiting--
	b.forget(w.holder)
	b.wakeAll()
}
