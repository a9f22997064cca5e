package engine

// cellLedger mirrors which cells of the KV cache are in use, so that a plan
// knows what fits before it asks. A cell is shared when several sequences hold
// it (MemCopy in a unified cache); it is live while an active slot holds it.
//
// In a cache that is not unified nothing is shared and each sequence has cells
// of its own, which admission keeps within bounds; the ledger still counts.
type cellLedger struct {
	refs  []int32 // by cell: how many slots hold it
	lives []int32 // by cell: how many of them are active
	free  []int32
	used  int
	live  int
	// limit is how many cells there seem to be: fewer than the cache claims
	// after it refused a batch that should have fitted.
	limit int
}

func newCellLedger(n int) *cellLedger {
	l := &cellLedger{refs: make([]int32, n), lives: make([]int32, n), free: make([]int32, n), limit: n}
	for i := range l.free {
		l.free[i] = int32(n - 1 - i)
	}
	return l
}

func (l *cellLedger) room() int { return max(0, l.limit-l.used) }

func (l *cellLedger) size() int { return len(l.refs) }

// take gives a new cell to an active slot. The caller has asked room.
func (l *cellLedger) take() int32 {
	c := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	l.refs[c], l.lives[c] = 1, 1
	l.used++
	l.live++
	return c
}

// share gives a cell to one more slot, an active one.
func (l *cellLedger) share(c int32) {
	l.refs[c]++
	l.wake(c)
}

// drop takes a cell from a slot and reports whether it became free.
func (l *cellLedger) drop(c int32, active bool) bool {
	if active {
		l.rest(c)
	}
	l.refs[c]--
	if l.refs[c] > 0 {
		return false
	}
	l.free = append(l.free, c)
	l.used--
	return true
}

func (l *cellLedger) wake(c int32) {
	l.lives[c]++
	if l.lives[c] == 1 {
		l.live++
	}
}

func (l *cellLedger) rest(c int32) {
	l.lives[c]--
	if l.lives[c] == 0 {
		l.live--
	}
}
