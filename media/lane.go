package media

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// What a lower priority is worth in waiting. One key, the arrival and this, then
// orders all for good: who has waited that much longer goes first, so that none
// starves.
const (
	batchWaits      = 30 * time.Second
	backgroundWaits = 2 * time.Minute
)

// lane lets so many jobs at a worker at once and has the others wait in order.
type lane struct {
	limit int

	mu      sync.Mutex
	running int
	arrived uint64   // how many ever waited
	waiting []*place // the next one first
}

// place is a job's in the queue.
type place struct {
	key    time.Time
	order  uint64
	called chan struct{} // closed when its turn has come
	moved  chan struct{} // has room for one: its position may have changed
}

// enter waits for the job's turn and returns what ends it, which must be called.
// While it waits, moved is told how many are ahead whenever that changes. When
// ctx ends first the error is its cause and nothing is left behind.
func (l *lane) enter(ctx context.Context, p jeantrail.Priority, moved func(ahead int)) (leave func(), err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	w := l.push(p)
	if w == nil {
		return sync.OnceFunc(l.leave), nil
	}
	last := -1
	for {
		if ahead := l.ahead(w); ahead >= 0 && ahead != last {
			moved(ahead)
			last = ahead
		}
		select {
		case <-w.called:
			return sync.OnceFunc(l.leave), nil
		case <-w.moved:
		case <-ctx.Done():
			if !l.drop(w) { // its turn came in the same moment
				l.leave()
			}
			return nil, context.Cause(ctx)
		}
	}
}

// push takes the turn, and returns nil, or a place in the queue.
func (l *lane) push(p jeantrail.Priority) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running < l.limit && len(l.waiting) == 0 {
		l.running++
		return nil
	}
	l.arrived++
	w := &place{key: time.Now(), order: l.arrived, called: make(chan struct{}), moved: make(chan struct{}, 1)}
	switch p {
	case jeantrail.PriorityBatch:
		w.key = w.key.Add(batchWaits)
	case jeantrail.PriorityBackground:
		w.key = w.key.Add(backgroundWaits)
	}
	at, _ := slices.BinarySearchFunc(l.waiting, w, func(a, b *place) int {
		if c := a.key.Compare(b.key); c != 0 {
			return c
		}
		return int(int64(a.order - b.order))
	})
	l.waiting = slices.Insert(l.waiting, at, w)
	l.tell(at + 1)
	return w
}

// leave ends a turn and calls the next.
func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.call()
}

// call gives the free turns to who waits. The caller holds the lock.
func (l *lane) call() {
	called := false
	for l.running < l.limit && len(l.waiting) > 0 {
		close(l.waiting[0].called)
		l.waiting = slices.Delete(l.waiting, 0, 1)
		l.running++
		called = true
	}
	if called {
		l.tell(0)
	}
}

// drop takes a place out of the queue and reports whether it was there.
func (l *lane) drop(w *place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.Index(l.waiting, w)
	if at < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, at, at+1)
	l.tell(at)
	return true
}

// tell has those from a position on look where they stand. The caller holds the
// lock.
func (l *lane) tell(from int) {
	for _, w := range l.waiting[from:] {
		select {
		case w.moved <- struct{}{}:
		default:
		}
	}
}

// ahead returns how many wait before a place, -1 if it has been called.
func (l *lane) ahead(w *place) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Index(l.waiting, w)
}

// occupancy returns how many jobs are at the worker and how many wait.
func (l *lane) occupancy() (running, queued int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running, len(l.waiting)
}

// close takes the whole lane if nobody is in it, so that nobody gets in until
// reopen.
func (l *lane) close() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running > 0 || len(l.waiting) > 0 {
		return false
	}
	l.running = l.limit
	return true
}

func (l *lane) reopen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = 0
	l.call()
}
