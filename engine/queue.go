package engine

import (
	"cmp"
	"slices"
)

// queue holds the sequences that wait for a slot, the next one first.
//
// Its order never has to be computed again: a class is worth a fixed time of
// waiting, so that each sequence has one key for life, its arrival plus that
// time. Whoever waits long enough stands before a more urgent newcomer, and a
// preempted sequence comes back to where it was.
type queue struct{ waiting []*sequence }

func (q *queue) push(s *sequence) {
	at, _ := slices.BinarySearchFunc(q.waiting, s, func(a, b *sequence) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return cmp.Compare(a.id, b.id)
	})
	q.waiting = slices.Insert(q.waiting, at, s)
}

func (q *queue) head() *sequence {
	if len(q.waiting) == 0 {
		return nil
	}
	return q.waiting[0]
}

func (q *queue) remove(s *sequence) bool {
	i := slices.Index(q.waiting, s)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}
