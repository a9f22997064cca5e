package engine

import (
	"slices"
)

const (
	// keepMin is how many tokens must be lost for good for a sequence's state to
	// be worth saving.
	keepMin = 256
	// bringMin is how many tokens a kept state must save beyond what the KV cache
	// has.
	bringMin = 64
	// A state is copied at about ramSpeed and read at about diskSpeed, in bytes per
	// second. They are careful guesses, not measured, so that plans do not depend on
	// a clock; evaluating costs a hundred times as much.
	ramSpeed  = 2 << 30
	diskSpeed = 512 << 20
	// firstRate is the speed of prompts, in tokens per second, until it is measured.
	firstRate = 1000
)

// save is a sequence whose state is to be saved before a step drops it.
type save struct {
	seq    int
	tokens []Token
}

// fetch is a state on its way from the disk for a sequence, which has a slot
// meanwhile.
type fetch struct {
	prefix Prefix
	done   bool
	cancel func() // set by the loop
}

// spare notes that a slot is about to lose its rows from n on. If they are many
// and nobody else has them, the state is saved before the step. Images are not:
// their rows cannot be put back.
func (s *scheduler) spare(sl *slot, n int) {
	if s.shelf == nil || sl.changed == s.tick || len(sl.images) > 0 || len(sl.tokens)-n < keepMin {
		return
	}
	for i := range s.slots {
		if other := &s.slots[i]; other != sl {
			n = max(n, commonPrefix(&other.history, &sl.history))
		}
	}
	if len(sl.tokens)-n < keepMin || len(sl.tokens)-s.keptOf(sl) < keepMin {
		return
	}
	if !s.shelf.Admit(s.stateBytes(len(sl.tokens))) {
		s.stats.PrefixesDropped++
		return
	}
	s.batch.saves = append(s.batch.saves, save{seq: sl.seq, tokens: slices.Clone(sl.tokens)})
}

// keptOf is how many tokens of a slot the shelf has a state for.
func (s *scheduler) keptOf(sl *slot) int {
	ram, disk := s.shelf.Find(sl.tokens)
	return max(ram.Common, disk.Common)
}

// stateBytes is about how large the state of n tokens is.
func (s *scheduler) stateBytes(n int) int64 {
	if s.perToken == 0 {
		s.perToken = float64(s.info.KVBytes) / float64(s.cells.size())
	}
	return int64(s.perToken * float64(n))
}

// bestKept finds the kept state with which q begins to decode soonest, if that is
// sooner than with the have tokens that the KV cache has.
func (s *scheduler) bestKept(q *sequence, have int) (best Prefix, ok bool) {
	if s.shelf == nil || len(q.tokens)-1-have < bringMin {
		return best, false
	}
	ram, disk := s.shelf.Find(q.tokens[:min(len(q.tokens)-1, q.untilImage(0))])
	gained := 0.0
	for _, p := range [...]Prefix{ram, disk} {
		if p.Common-have < bringMin || !s.holds(q, p) {
			continue
		}
		if g := s.gain(p, have); g > gained {
			best, ok, gained = p, true, g
		}
	}
	return best, ok
}

// gain is how many seconds a kept state saves, given have tokens.
func (s *scheduler) gain(p Prefix, have int) float64 {
	rate, cost := s.rate, float64(p.Bytes)/ramSpeed
	if rate == 0 {
		rate = firstRate
	}
	if p.Tier == TierDisk {
		cost += float64(p.Bytes) / diskSpeed
	}
	return float64(p.Common-have)/rate - cost
}

// holds reports whether the cache can take in the whole of a state for q beside
// what the others have and were promised: it is cut to the common prefix only after
// that, and shares no cells with them.
func (s *scheduler) holds(q *sequence, p Prefix) bool {
	if len(p.Tokens) > s.info.NCtxSeq {
		return false
	}
	live := s.cells.live
	if q.slot != nil { // what only it has is given up first
		for _, c := range q.slot.cells {
			if s.cells.lives[c] == 1 {
				live--
			}
		}
	}
	need := max(len(p.Tokens), len(q.tokens)+q.growth())
	return !s.info.Unified || live+s.promised(q)+need <= s.cells.limit
}

// bring gives q, which has no slot, one with a kept state; a state that is on the
// disk is read first, while q waits in its slot.
func (s *scheduler) bring(q *sequence, p Prefix) {
	sl := s.freeSlot()
	if p.Tier == TierRAM {
		s.spare(sl, 0)
		s.truncate(sl, 0)
		s.occupy(sl, q)
		s.load(q, p)
		return
	}
	n := min(commonPrefix(&sl.history, &q.history), len(q.tokens)-1)
	s.spare(sl, n)
	s.occupy(sl, q)
	s.truncate(sl, n)
	q.fetch = &fetch{prefix: p}
	s.batch.fetches = append(s.batch.fetches, q)
}

// load has a state loaded into the slot of q after the step. Its cells are taken
// now, so that nobody else gets them.
func (s *scheduler) load(q *sequence, p Prefix) {
	s.truncate(q.slot, 0)
	if missing := len(p.Tokens) - s.cells.room(); missing > 0 {
		s.evict(missing)
	}
	for range p.Tokens {
		q.slot.cells = append(q.slot.cells, s.cells.take())
	}
	q.load = &p
	s.batch.loads = append(s.batch.loads, q)
}

// loaded notes how loading went. What is more than the prompt has is dropped by
// the next plan.
func (s *scheduler) loaded(q *sequence, ok bool) {
	p := q.load
	if !ok {
		s.unload(q)
		q.arrived = true
		s.stats.PrefixLoadFailures++
		return
	}
	q.load, q.arrived, q.tier = nil, true, p.Tier
	q.slot.tokens = append(q.slot.tokens[:0], p.Tokens...)
	q.slot.used = s.tick
}

// unload gives back the cells of a state that is not loaded.
func (s *scheduler) unload(q *sequence) {
	for _, c := range q.slot.cells {
		s.cells.drop(c, true)
	}
	q.slot.cells = q.slot.cells[:0]
	q.load = nil
}

// arrive moves on the sequences whose state was loaded, read, or could not be.
func (s *scheduler) arrive() {
	for _, q := range s.running {
		switch {
		case q.arrived:
			q.arrived = false
			if n := min(commonPrefix(&q.slot.history, &q.history), len(q.tokens)-1); n > 0 {
				s.truncate(q.slot, n)
				continue
			}
		case q.fetch != nil && q.fetch.done:
			p := q.fetch.prefix
			q.fetch = nil
			if _, n := s.bestDonor(q); p.State != nil && p.Common-n >= bringMin && s.holds(q, p) {
				s.load(q, p)
				continue
			}
		default:
			continue
		}
		donor, n := s.bestDonor(q)
		s.adopt(q, donor, n)
	}
}

// coming reports whether a kept state is on its way to the sequence.
func (q *sequence) coming() bool { return q.load != nil || q.fetch != nil }
