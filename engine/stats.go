package engine

import "github.com/jeantrail/jeantrail-ai"

// Stats is a snapshot of an engine. Counters count from Start.
type Stats struct {
	Slots        int     // sequences that can run at once
	Running      int     // of those, how many do
	Paused       int     // of those, how many wait for their reader
	Waiting      int     // jobs in the queue
	KVCells      int     // tokens that the KV cache can hold
	KVUsed       int     // tokens in it, cached prefixes included; a shared one counts once
	KVLive       int     // of those, how many belong to running jobs
	PrefillRate  float64 // prompt tokens per second, moving average
	DecodeMicros int64   // of a step that only decodes, moving average

	Steps            int64
	EvaluatedTokens  int64 // rows of all steps
	CompletionTokens int64
	EvictedTokens    int64
	Preemptions      int64
	Pauses           int64
	Aborts           int64 // steps that were ended early
	NoRoom           int64 // steps that the KV cache refused
	DecodeUS         int64 // time in evaluation, microseconds
	SampleUS         int64 // time in sampling, microseconds
	Stopped          int64 // jobs that ended by themselves, by stop string or end of turn
	CutOff           int64 // jobs that reached max_tokens
	Cancelled        int64
	Failed           int64

	Hits               [tiers]TierUse // by Tier
	PrefixSaves        int64          // states that were copied from the KV cache
	PrefixSaveFailures int64
	PrefixLoadFailures int64 // states that could not be read or loaded; their prompts were evaluated
	PrefixesDropped    int64 // that were worth saving, and had no room
	Prefixes           PrefixUsage
}

// hit counts a job that begins with so many cached tokens.
func (s *Stats) hit(from Tier, tokens int) {
	if tokens > 0 {
		s.Hits[from].Jobs++
		s.Hits[from].Tokens += int64(tokens)
	}
}

func (s *Stats) count(info StepInfo) {
	s.Steps++
	s.DecodeUS += info.DecodeUS
	s.SampleUS += info.SampleUS
}

func (s *Stats) finished(reason jeantrail.FinishReason) {
	switch reason {
	case jeantrail.FinishStop:
		s.Stopped++
	case jeantrail.FinishLength:
		s.CutOff++
	case jeantrail.FinishCancelled:
		s.Cancelled++
	default:
		s.Failed++
	}
}

// Stats returns the state as of the beginning of the running step.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	s := e.stats
	s.Waiting += len(e.inbox)
	e.mu.Unlock()
	if e.shelf != nil {
		s.Prefixes = e.shelf.Usage()
	}
	return s
}

func (e *Engine) snapshot() Stats {
	s := e.sched.stats
	s.Slots, s.Running, s.Waiting = len(e.sched.slots), len(e.sched.running), len(e.sched.queue.waiting)
	for _, q := range e.sched.running {
		if q.paused {
			s.Paused++
		}
	}
	s.KVCells, s.KVUsed, s.KVLive = e.sched.cells.size(), e.sched.cells.used, e.sched.cells.live
	s.PrefillRate, s.DecodeMicros = e.sched.rate, int64(e.sched.decodeSec*1e6)
	return s
}

// publish makes the loop's numbers visible.
func (e *Engine) publish() {
	s := e.snapshot()
	e.mu.Lock()
	e.stats = s
	e.mu.Unlock()
}
