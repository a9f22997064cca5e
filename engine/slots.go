package engine

// slot is one sequence of the KV cache and what is in it. An idle slot keeps
// its tokens as a cached prefix until somebody needs the room.
type slot struct {
	seq     int
	history           // what the KV cache holds
	cells   []int32   // the cell of each row
	run     *sequence // nil when idle
	used    uint64    // the plan that used it last
	changed uint64    // the plan that last dropped rows of it or copied some into it
}

// occupy makes a slot active.
func (s *scheduler) occupy(sl *slot, q *sequence) {
	sl.run, q.slot = q, sl
	for _, c := range sl.cells {
		s.cells.wake(c)
	}
	s.running = append(s.running, q)
}

// vacate makes a slot idle. Its rows stay cached, encoded images that are not
// among them go.
func (s *scheduler) vacate(q *sequence) {
	sl := q.slot
	if q.load != nil {
		s.unload(q)
	}
	for _, c := range sl.cells {
		s.cells.rest(c)
	}
	sl.run, sl.used = nil, s.tick
	q.slot, q.leader, q.fetch, q.arrived, q.tier = nil, nil, nil, false, TierKV
	clear(q.encoded)
	for i, r := range s.running {
		if r == q {
			s.running = append(s.running[:i], s.running[i+1:]...)
			return
		}
	}
}

// truncate drops a slot's rows from n on, or from where the image begins that n
// would cut, and returns how many cells became free.
func (s *scheduler) truncate(sl *slot, n int) int {
	n = sl.whole(n)
	if n >= len(sl.tokens) {
		return 0
	}
	freed := 0
	for _, c := range sl.cells[n:] {
		if s.cells.drop(c, sl.run != nil) {
			freed++
		}
	}
	s.batch.ops = append(s.batch.ops, MemOp{Kind: MemRemove, Seq: sl.seq, P0: sl.position(n), P1: -1})
	sl.changed = s.tick
	sl.cut(n)
	sl.cells = sl.cells[:n]
	return freed
}

// copyPrefix puts the first n rows of src, which cut no image, into dst, an
// active slot, instead of what is there. Where every sequence has cells of its own, llama.cpp copies
// whole sequences only, so that the tail is removed afterwards.
func (s *scheduler) copyPrefix(dst, src *slot, n int) {
	s.truncate(dst, 0)
	op := MemOp{Kind: MemCopy, Seq: src.seq, Dst: dst.seq, P0: 0, P1: src.position(n)}
	if !s.info.Unified {
		op.P1 = -1
	}
	s.batch.ops = append(s.batch.ops, op)
	if !s.info.Unified && len(src.tokens) > n {
		s.batch.ops = append(s.batch.ops, MemOp{Kind: MemRemove, Seq: dst.seq, P0: src.position(n), P1: -1})
	}
	dst.changed = s.tick
	dst.tokens = append(dst.tokens[:0], src.tokens[:n]...)
	dst.images = dst.images[:0]
	for _, i := range src.images {
		if i.end() <= n {
			dst.images = append(dst.images, i)
		}
	}
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
	s.fill(sl)
}

// extendImage notes that an image was.
func (s *scheduler) extendImage(sl *slot, i imageSpan) {
	sl.appendImage(i.rows, i.positions, i.key)
	s.fill(sl)
}

// fill takes a cell for each row of a slot that has none.
func (s *scheduler) fill(sl *slot) {
	for len(sl.cells) < len(sl.tokens) {
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
		s.spare(sl, 0) // it will go on to lose, and only the whole of it can be saved
		n, freed := len(sl.tokens), 0
		for want := max(need, evictStep); n > 0 && freed < want; n-- {
			if s.cells.refs[sl.cells[n-1]] == 1 {
				freed++
			}
		}
		freed = s.truncate(sl, n)
		need -= freed
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
