package engine

// place gives the sequence a slot and as much of its tokens as the KV cache
// has, makes it wait for a sequence that is evaluating them, or has a kept state
// brought back. What a slot loses by that is saved if it is worth it.
func (s *scheduler) place(q *sequence) {
	in, inN := s.bestIdle(q)
	donor, donorN := s.bestDonor(q)
	leader, n := s.bestLeader(q)
	if p, ok := s.bestKept(q, max(inN, donorN, n)); ok {
		s.bring(q, p)
		return
	}
	if n-max(inN, donorN) >= shareMin {
		sl := s.freeSlot()
		common := commonPrefix(&sl.history, &q.history)
		s.spare(sl, common)
		s.occupy(sl, q)
		s.truncate(sl, common)
		q.leader, q.waitLen = leader, n
		return
	}
	sl := s.freeSlot()
	if in != nil && s.inPlace(in, inN, donorN, sl) {
		s.spare(in, inN)
		s.occupy(in, q)
		s.truncate(in, inN)
		return
	}
	s.occupy(sl, q)
	s.adopt(q, donor, donorN)
}

// inPlace decides between going on in the idle slot that has n tokens of the
// prompt and sharing donorN tokens of another slot into sl. Going on in a slot
// destroys what else it holds, so that a slot which shares less than half is
// left to its own conversation, if copying costs nothing.
func (s *scheduler) inPlace(in *slot, n, donorN int, sl *slot) bool {
	if in == sl && n >= donorN {
		return true
	}
	if n == 0 {
		return false
	}
	if !s.info.Unified {
		return donorN-n < shareMin
	}
	return n >= donorN && 2*n >= len(in.tokens)
}

// adopt fills the slot of q with the first n tokens of a donor, if that is
// better than what the slot already has.
func (s *scheduler) adopt(q *sequence, donor *slot, n int) {
	have := min(commonPrefix(&q.slot.history, &q.history), len(q.tokens)-1)
	worth := have + 1
	if !s.info.Unified {
		worth = have + shareMin // copying moves memory there
	}
	if donor != nil && donor != q.slot && n >= worth {
		s.spare(q.slot, 0)
		s.copyPrefix(q.slot, donor, n)
		return
	}
	s.spare(q.slot, have)
	s.truncate(q.slot, have)
}

// follow moves sequences on whose shared prefix is there, and looks for
// another way where the leader went away.
func (s *scheduler) follow() {
	for _, q := range s.running {
		if q.leader == nil {
			continue
		}
		donor, n := s.bestDonor(q)
		if n < q.waitLen && s.advancing(q.leader) {
			continue
		}
		q.leader = nil
		if leader, m := s.bestLeader(q); m-n >= shareMin {
			q.leader, q.waitLen = leader, m
			continue
		}
		s.adopt(q, donor, n)
	}
}

// advancing reports whether a sequence is evaluating its prompt now.
func (s *scheduler) advancing(q *sequence) bool {
	return q.slot != nil && q.leader == nil && !q.paused && !q.ended
}

// bestIdle finds the idle slot with the longest common prefix; among equals
// the one used least recently. At least one token is always left to evaluate,
// because sampling needs its logits.
func (s *scheduler) bestIdle(q *sequence) (best *slot, n int) {
	for i := range s.slots {
		sl := &s.slots[i]
		if sl.run != nil {
			continue
		}
		if m := min(commonPrefix(&sl.history, &q.history), len(q.tokens)-1); best == nil || m > n || m == n && sl.used < best.used {
			best, n = sl, m
		}
	}
	return best, n
}

// bestDonor finds the slot, idle or not, with the longest common prefix.
func (s *scheduler) bestDonor(q *sequence) (best *slot, n int) {
	for i := range s.slots {
		sl := &s.slots[i]
		if sl == q.slot {
			continue
		}
		if m := min(commonPrefix(&sl.history, &q.history), len(q.tokens)-1); m > n {
			best, n = sl, m
		}
	}
	return best, n
}

// bestLeader finds the sequence that is about to evaluate the longest prefix
// shared with q.
func (s *scheduler) bestLeader(q *sequence) (best *sequence, n int) {
	for _, r := range s.running {
		if r == q || !s.advancing(r) || r.pending() <= 1 {
			continue
		}
		m := min(commonPrefix(&r.history, &q.history), len(q.tokens)-1)
		if m > n && m > len(r.slot.tokens) {
			best, n = r, m
		}
	}
	return best, n
}

// sharedLive is how many tokens of q active slots hold or will soon hold.
func (s *scheduler) sharedLive(q *sequence) int {
	if !s.info.Unified {
		return 0
	}
	n := 0
	for _, r := range s.running {
		n = max(n, min(commonPrefix(&r.history, &q.history), len(q.tokens)-1))
	}
	return n
}
