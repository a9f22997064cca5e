package engine

// commit notes what a step did to the cache. seqLen is asked after a step that
// was aborted.
func (s *scheduler) commit(outcome Outcome, seqLen func(seq int) int) {
	b := &s.batch
	switch outcome {
	case OutcomeOK:
		s.cells.limit = min(s.cells.limit+1, s.cells.size())
		for i := range b.spans {
			if b.image {
				s.evaluatedImage(b.seqs[i])
			} else {
				s.evaluated(b.seqs[i], b.spans[i].Tokens)
			}
		}
	case OutcomeAborted:
		for i := range b.spans { // of an image there are no tokens: nothing of it is there
			n := seqLen(b.spans[i].Seq) - b.spans[i].Pos
			s.evaluated(b.seqs[i], b.spans[i].Tokens[:max(0, min(n, len(b.spans[i].Tokens)))])
		}
		s.stats.Aborts++
	}
}

func (s *scheduler) evaluated(q *sequence, tokens []Token) {
	s.extend(q.slot, tokens)
	q.done = max(q.done, min(len(q.slot.tokens), q.nPrompt))
	s.stats.EvaluatedTokens += int64(len(tokens))
}

func (s *scheduler) evaluatedImage(q *sequence) {
	k := q.imageAt(q.next())
	s.extendImage(q.slot, q.images[k])
	q.encoded[k] = nil
	q.done = max(q.done, min(len(q.slot.tokens), q.nPrompt))
	s.stats.EvaluatedTokens += int64(q.images[k].rows)
}

// noRoom reacts to a cache that refused the batch although the ledger had room
// for it: from now on the ledger believes in fewer cells, so that the next plan
// evicts, takes smaller chunks or preempts. The belief grows back with every
// step that succeeds. It returns false when there is nothing left to give up.
func (s *scheduler) noRoom() bool {
	s.stats.NoRoom++
	s.cells.limit = s.cells.used + s.batch.rows()/2
	smaller := s.batch.rows() > 1 && !s.batch.image // an image cannot go in pieces
	return s.oldestIdle() != nil || smaller || len(s.running) > 1
}

// leave takes an ended sequence out, wherever it is.
func (s *scheduler) leave(q *sequence) {
	if q.slot != nil {
		s.vacate(q)
		return
	}
	s.queue.remove(q)
}

// measure learns from a step how long steps take.
func (s *scheduler) measure(info StepInfo) {
	const weight = 0.3 // of the newest step in the moving averages
	seconds := float64(info.DecodeUS) / 1e6
	b := &s.batch
	if seconds <= 0 || b.image { // an image's rows do not tell of a prompt's speed
		return
	}
	if b.prefill == 0 {
		s.decodeSec = mix(s.decodeSec, seconds+float64(info.SampleUS)/1e6, weight)
		return
	}
	if b.decode > 0 {
		// What the prompts cost is what the step took longer than without them.
		seconds = max(seconds-s.decodeSec, seconds/10)
	}
	s.rate = mix(s.rate, float64(b.prefill)/seconds, weight)
}

func mix(old, sample, weight float64) float64 {
	if old == 0 {
		return sample
	}
	return old + weight*(sample-old)
}
