package engine

import (
	"cmp"
	"slices"
	"time"
)

const (
	// shareMin is how many tokens a prefix must save to be worth waiting for
	// another's prefill, or copying memory.
	shareMin = 32
	// growthCredit is how many cells admission sets aside for each answer.
	growthCredit = 128
	// evictStep is the least that is evicted at once, so that a full cache does
	// not cost one operation per token.
	evictStep = 64
)

// batch is what one step will do. Its slices are used again by the next plan.
type batch struct {
	ops     []MemOp
	spans   []Span
	seqs    []*sequence // by span
	begun   []*sequence // whose first span this is
	image   bool        // the one span is an image
	wanted  []wanted    // images to encode meanwhile, the first one first
	saves   []save      // states to save before anything else
	loads   []*sequence // whose state is to be loaded after everything else
	fetches []*sequence // whose state is to be read from the disk meanwhile
	decode  int         // rows of sequences that are decoding
	prefill int         // rows of prompts
}

// wanted is an image of a sequence that is to be encoded.
type wanted struct {
	q     *sequence
	image int
}

func (b *batch) reset() {
	b.ops, b.spans, b.seqs, b.begun, b.wanted = b.ops[:0], b.spans[:0], b.seqs[:0], b.begun[:0], b.wanted[:0]
	b.saves, b.loads, b.fetches = b.saves[:0], b.loads[:0], b.fetches[:0]
	b.decode, b.prefill, b.image = 0, 0, false
}

func (b *batch) rows() int { return b.decode + b.prefill }

// empty reports whether there is nothing to do for the decoder.
func (b *batch) empty() bool { return b.rows() == 0 && len(b.ops) == 0 && len(b.loads) == 0 }

// scheduler decides. It does no I/O, reads no clock and starts nothing: what it
// plans depends on the calls made to it alone, which is what the traces in
// testdata hold on to.
type scheduler struct {
	info     Info
	target   time.Duration
	minChunk int

	slots   []slot
	cells   *cellLedger
	shelf   Shelf // nil: what leaves the cache is gone
	queue   queue
	running []*sequence // that have a slot, in the order in which they got it
	batch   batch
	order   []*sequence // scratch
	tick    uint64

	imageLast bool    // the last step was an image's
	rate      float64 // prompt tokens per second, measured; 0 is not known yet
	decodeSec float64 // seconds of a step that only decodes, measured
	perToken  float64 // bytes of a saved state, for each token; 0 is not known yet

	stats Stats // the counters that the scheduler knows
}

func newScheduler(info Info, o Options) *scheduler {
	s := &scheduler{info: info, target: o.TargetStep, minChunk: o.MinChunk, slots: make([]slot, info.NSeqMax)}
	for i := range s.slots {
		s.slots[i].seq = i
	}
	n := info.NCtx
	if !info.Unified {
		n = info.NCtxSeq * info.NSeqMax
	}
	s.cells = newCellLedger(n)
	return s
}

// plan makes the next batch: admit, share prefixes, one row for each stream
// that decodes, then prompts. The batch is valid until the next call.
func (s *scheduler) plan() *batch {
	s.tick++
	s.batch.reset()
	s.arrive()
	s.admit()
	s.follow()
	s.rewind()
	for {
		s.planRows()
		if s.batch.rows() > 0 || !s.stuck() {
			break
		}
		if !s.preempt() && !s.trust() {
			break
		}
	}
	s.sortSpans()
	s.want()
	return &s.batch
}

// planRows fills the batch. An image must be alone in its step, and lets the
// others have the one after it, so that neither starves.
func (s *scheduler) planRows() {
	if !s.imageLast && s.planImage() {
		s.imageLast = true
		return
	}
	s.imageLast = false
	s.planDecode()
	s.planPrefill()
	if s.batch.rows() == 0 {
		s.imageLast = s.planImage()
	}
}

// admit moves sequences from the queue to slots, strictly in the queue's
// order: letting a small one pass would starve a large one.
func (s *scheduler) admit() {
	for {
		q := s.queue.head()
		if q == nil || s.freeSlot() == nil || !s.fits(q) {
			return
		}
		s.queue.remove(q)
		s.place(q)
	}
}

// fits reports whether the KV cache has room for q beside those that run. What
// is cached does not count, it can be evicted; a sequence that would be alone
// fits, since it was admitted to the queue.
func (s *scheduler) fits(q *sequence) bool {
	if !s.info.Unified || len(s.running) == 0 {
		return true
	}
	need := len(q.tokens) - s.sharedLive(q) + q.growth()
	return s.cells.live+s.promised(nil)+need <= s.cells.limit
}

// promised is how many cells those that run will still take, but for one of them.
func (s *scheduler) promised(but *sequence) (cells int) {
	for _, r := range s.running {
		if r == but {
			continue
		}
		n := r.pending()
		if r.leader != nil {
			n = min(n, len(r.tokens)-r.waitLen)
		}
		cells += n + r.growth()
	}
	return cells
}

// rewind drops the last token of sequences that have every token in the cache
// and yet nothing sampled from it, which an aborted step can leave behind.
func (s *scheduler) rewind() {
	for _, q := range s.running {
		if q.pending() == 0 {
			s.truncate(q.slot, len(q.slot.tokens)-1)
		}
	}
}

// planDecode adds the rows of streams that decode. If the cache has no room for
// them, cached prefixes go first, then the least urgent sequence.
func (s *scheduler) planDecode() {
	for {
		rows := 0
		for _, q := range s.running {
			if q.decoding() && !q.paused {
				rows++
			}
		}
		if missing := rows - s.cells.room(); missing > 0 {
			s.evict(missing)
			if rows > s.cells.room() && s.preempt() {
				continue
			}
		}
		break
	}
	for _, q := range s.running {
		if q.decoding() && !q.paused && s.batch.decode < min(s.info.NBatch, s.cells.room()) {
			s.add(q, 1)
			s.batch.decode++
		}
	}
}

// planPrefill fills the batch with prompts, up to what the target allows while
// somebody decodes.
func (s *scheduler) planPrefill() {
	budget := s.chunk()
	for _, q := range s.prefilling() {
		run := min(q.pending(), q.untilImage(q.next()))
		n := min(run, budget)
		if n < run && n < s.minChunk && s.batch.prefill > 0 {
			continue // a fragment costs a pass and gains little
		}
		if missing := s.batch.rows() + n - s.cells.room(); missing > 0 {
			s.evict(missing)
			n = min(n, s.cells.room()-s.batch.rows())
		}
		if n <= 0 {
			continue
		}
		s.add(q, n)
		s.batch.prefill += n
		budget -= n
	}
}

// prefilling lists the sequences whose prompt is to be evaluated, first one
// first. The list is valid until the next call.
func (s *scheduler) prefilling() []*sequence {
	s.order = s.order[:0]
	for _, q := range s.running {
		if q.leader == nil && !q.paused && !q.coming() && !q.decoding() && q.pending() > 0 {
			s.order = append(s.order, q)
		}
	}
	slices.SortFunc(s.order, s.comparePrefill)
	return s.order
}

// comparePrefill puts short prompts first, which keeps the mean time to first
// token low; the key counts too, so that a long one moves up as it waits.
func (s *scheduler) comparePrefill(a, b *sequence) int {
	return cmp.Or(cmp.Compare(a.key+s.prefillNanos(a), b.key+s.prefillNanos(b)), cmp.Compare(a.id, b.id))
}

func (s *scheduler) prefillNanos(q *sequence) int64 {
	rate := s.rate
	if rate == 0 {
		rate = 1000 // only the proportion to the keys depends on it
	}
	return int64(float64(q.pending()) / rate * float64(time.Second))
}

// chunk is how many prompt tokens the step may take. With nobody decoding that
// is what the decoder evaluates at once: more would gain no speed, and would
// make the first of several prompts wait for the last.
func (s *scheduler) chunk() int {
	if s.batch.decode == 0 {
		return min(s.info.NBatch, max(s.info.NUBatch, s.minChunk))
	}
	least := s.minChunk
	if !s.info.Unified {
		// llama.cpp evaluates the first token of the prompt together with the
		// decoding rows, and the rest by itself.
		least++
	}
	left := s.target.Seconds() - s.decodeSec
	return min(s.info.NBatch-s.batch.decode, max(least, int(left*s.rate)))
}

// add plans the next n rows of q, which are tokens or one image.
func (s *scheduler) add(q *sequence, n int) {
	at := q.next()
	if !q.begun {
		q.begun, q.cached, q.from = true, at, q.tier
		q.done = max(q.done, at)
		s.stats.hit(q.tier, at)
		s.batch.begun = append(s.batch.begun, q)
	}
	s.batch.spans = append(s.batch.spans, Span{
		Seq: q.slot.seq, Pos: q.position(at), Tokens: q.tokens[at : at+n],
		Sample: at+n == len(q.tokens), Sampler: q.sampler,
	})
	s.batch.seqs = append(s.batch.seqs, q)
}

// sortSpans orders the batch by sequence number, which caches that are not
// unified need.
func (s *scheduler) sortSpans() {
	b := &s.batch
	for i := 1; i < len(b.spans); i++ {
		for j := i; j > 0 && b.spans[j].Seq < b.spans[j-1].Seq; j-- {
			b.spans[j], b.spans[j-1] = b.spans[j-1], b.spans[j]
			b.seqs[j], b.seqs[j-1] = b.seqs[j-1], b.seqs[j]
		}
	}
}

// stuck reports whether somebody could go on if there were room.
func (s *scheduler) stuck() bool {
	for _, q := range s.running {
		if !q.paused && q.leader == nil && !q.coming() && !q.awaiting() {
			return true
		}
	}
	return false
}

// trust takes the cache at its word again, for a sequence that is alone and
// would otherwise never go on: the decoder shall decide.
func (s *scheduler) trust() bool {
	if s.cells.limit == s.cells.size() {
		return false
	}
	s.cells.limit = s.cells.size()
	return true
}

// preempt sends the youngest of the least urgent sequences back to the queue;
// its tokens so far are its prompt then. It refuses to do so to the only one.
func (s *scheduler) preempt() bool {
	if len(s.running) < 2 {
		return false
	}
	victim := s.running[0]
	for _, q := range s.running[1:] {
		if q.class > victim.class || q.class == victim.class && q.id > victim.id {
			victim = q
		}
	}
	s.vacate(victim)
	s.queue.push(victim)
	s.stats.Preemptions++
	return true
}
