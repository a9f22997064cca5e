package engine

import (
	"context"
	"fmt"
	"runtime/debug"
)

// fetched is a state that was read from the disk, or could not be.
type fetched struct {
	q     *sequence
	fetch *fetch
	state []byte
	err   error
}

// identityOfState says what a saved state fits: the model, what computes it, and
// the KV cache's layout. It is "" while the model is not known.
func (e *Engine) identityOfState() string {
	id := e.identity()
	if id == "" {
		return ""
	}
	return fmt.Sprintf("%s|kv %d in %d cells, %d at most, unified %t", id, e.info.KVBytes, e.info.NCtx, e.info.NCtxSeq, e.info.Unified)
}

// save takes the states that a batch is about to drop.
func (e *Engine) save(b *batch) {
	for _, s := range b.saves {
		state, err := e.saveSeq(s.seq, len(s.tokens))
		if err == nil {
			e.shelf.Keep(s.tokens, state)
		}
	}
	clear(b.saves)
}

// saveSeq copies the state of a sequence of n tokens.
func (e *Engine) saveSeq(seq, n int) ([]byte, error) {
	if have := e.dec.SeqLen(seq); have != n {
		e.sched.stats.PrefixSaveFailures++
		return nil, fmt.Errorf("save prefix: the decoder has %d tokens of sequence %d, not %d", have, seq, n)
	}
	state, err := e.dec.SaveSeq(seq)
	if err != nil {
		e.sched.stats.PrefixSaveFailures++
		return nil, fmt.Errorf("save prefix: %w", err)
	}
	e.sched.perToken = float64(len(state)) / float64(n)
	e.sched.stats.PrefixSaves++
	return state, nil
}

// load puts the states of a batch into their slots, which the step has emptied.
// An error means that nothing is known of the cache.
func (e *Engine) load(b *batch) error {
	for _, q := range b.loads {
		p := q.load
		if p == nil {
			continue // it was preempted in the same plan
		}
		seq := q.slot.seq
		err := e.dec.LoadSeq(seq, p.State)
		ok := err == nil && e.dec.SeqLen(seq) == len(p.Tokens)
		if ok {
			e.shelf.Touch(*p)
		} else {
			e.shelf.Reject(*p)
		}
		e.sched.loaded(q, ok)
		if !ok && e.dec.SeqLen(seq) > 0 {
			if _, _, err := e.dec.Step([]MemOp{{Kind: MemRemove, Seq: seq, P0: 0, P1: -1}}, nil, nil); err != nil {
				return fmt.Errorf("drop a state that does not fit: %w", err)
			}
		}
	}
	clear(b.loads)
	return nil
}

// fetch begins to read the states that a batch wants from the disk, one after
// the other.
func (e *Engine) fetch(b *batch) {
	for _, q := range b.fetches {
		f := q.fetch
		if f == nil {
			continue // it was preempted in the same plan
		}
		ctx, cancel := context.WithCancel(context.Background())
		f.cancel = cancel
		e.readers.Go(func() {
			defer cancel()
			state, err := e.read(ctx, f.prefix)
			e.mu.Lock()
			e.fetched = append(e.fetched, fetched{q: q, fetch: f, state: state, err: err})
			e.mu.Unlock()
			e.wake()
		})
	}
	clear(b.fetches)
}

// read fetches one state when it is its turn, so that few of them are in memory
// beside the budget. A panic is an error: it came from a file.
func (e *Engine) read(ctx context.Context, p Prefix) (state []byte, err error) {
	select {
	case e.reading <- struct{}{}:
		defer func() { <-e.reading }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return e.shelf.Fetch(ctx, p)
}

// takeFetched hands a state to the sequence that waits for it. Without one the
// sequence evaluates its prompt.
func (e *Engine) takeFetched(f fetched) {
	if f.q.fetch != f.fetch {
		return // it has ended or was preempted
	}
	f.fetch.done = true
	if f.err != nil {
		e.sched.stats.PrefixLoadFailures++
		return
	}
	f.fetch.prefix.State = f.state
}

// unfetch ends the reading for a sequence that has ended.
func (e *Engine) unfetch(q *sequence) {
	if q.fetch != nil && q.fetch.cancel != nil {
		q.fetch.cancel()
	}
}
