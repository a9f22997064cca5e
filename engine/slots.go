package engine

// slot is one sequence of the KV cache and what is in it. An idle slot keeps
// its tokens as a cached prefix until somebody needs the room.
type slot struct {
	seq    int
	tokens []Token   // what the KV cache holds at positions 0, 1, …
	cells  []int32   // the cell of each token
	run    *sequence // nil when idle
	used   uint64    // the plan that used it last
}

// commonPrefix is the length of the longest common prefix of a and b.
func commonPrefix(a, b []Token) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// occupy makes a slot active.
func (s *scheduler) occupy(sl *slot, q *sequence) {
	sl.run, q.slot = q, sl
	for _, c := range sl.cells {
		s.cells.wake(c)
	}
	s.running = append(s.running, q)
}

// vacate makes a slot idle. Its tokens stay cached.
func (s *scheduler) vacate(q *sequence) {
	sl := q.slot
	for _, c := range sl.cells {
		s.cells.rest(c)
	}
	sl.run, sl.used = nil, s.tick
	q.slot, q.leader = nil, nil
	for i, r := range s.running {
		if r == q {
			s.running = append(s.running[:i], s.running[i+1:]...)
			return
		}
	}
}

// truncate drops a slot's tokens from position n on, and returns how many
// cells became free.
func (s *scheduler) truncate(sl *slot, n int) int {
	if n >= len(sl.tokens) {
		return 0
	}
	freed := 0
	for _, c := range sl.cells[n:] {
		if s.cells.drop(c, sl.run != nil) {
			freed++
		}
	}
	sl.tokens, sl.cells = sl.tokens[:n], sl.cells[:n]
	s.batch.ops = append(s.batch.ops, MemOp{Kind: MemRemove, Seq: sl.seq, P0: n, P1: -1})
	return freed
}

// copyPrefix puts the first n tokens of src into dst, an active slot, instead
// of what is there. Where every sequence has cells of its own, llama.cpp copies
// whole sequences only, so that the tail is removed afterwards.
func (s *scheduler) copyPrefix(dst, src *slot, n int) {
	s.truncate(dst, 0)
	op := MemOp{Kind: MemCopy, Seq: src.seq, Dst: dst.seq, P0: 0, P1: n}
	if !s.info.Unified {
		op.P1 = -1
	}
	s.batch.ops = append(s.batch.ops, op)
	if !s.info.Unified && len(src.tokens) > n {
		s.batch.ops = append(s.batch.ops, MemOp{Kind: MemRemove, Seq: dst.seq, P0: n, P1: -1})
	}
	dst.tokens = append(dst.tokens[:0], src.tokens[:n]...)
	for _, c := range src.cells[:n] {
		if s.info.Unified {
			s.cells.share(c)
		} else {
			c = s.cells.take()
		}
		dst.cells = append(dst.cells, c)
	}
	src.used = s.tick
}

// extend notes that tokens were evaluated at the end of a slot.
func (s *scheduler) extend(sl *slot, tokens []Token) {
	sl.tokens = append(sl.tokens, tokens...)
	for range tokens {
		sl.cells = append(sl.cells, s.cells.take())
	}
	sl.used = s.tick
}

// oldestIdle is the idle slot whose cells are wanted least; nil if none holds
// any.
func (s *scheduler) oldestIdle() *slot {
	var oldest *slot
	for i := range s.slots {
		sl := &s.slots[i]
		if sl.run == nil && len(sl.tokens) > 0 && (oldest == nil || sl.used < oldest.used) {
			oldest = sl
		}
	}
	return oldest
}

// evict frees at least need cells of cached prefixes, if there are as many. It
// takes them from the ends: the beginnings, system prompts most of all, are
// what the next request may share.
func (s *scheduler) evict(need int) {
	for need > 0 {
		sl := s.oldestIdle()
		if sl == nil {
			return
		}
		n, freed := len(sl.tokens), 0
		for want := max(need, evictStep); n > 0 && freed < want; n-- {
			if s.cells.refs[sl.cells[n-1]] == 1 {
				freed++
			}
		}
		need -= s.truncate(sl, n)
		s.stats.EvictedTokens += int64(freed)
	}
}

// freeSlot picks the idle slot for a sequence that brings its own content.
//
// Unified: an empty one, else the one not used for longest. Not unified: the
// one with the lowest number, because a batch is evaluated in one pass only if
// the active sequences are consecutive.
func (s *scheduler) freeSlot() *slot {
	var best *slot
	for i := range s.slots {
		sl := &s.slots[i]
		switch {
		case sl.run != nil:
		case best == nil:
			best = sl
		case s.info.Unified && len(best.tokens) > 0 && (len(sl.tokens) == 0 || sl.used < best.used):
			best = sl
		}
	}
	return best
}
