package engine

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// loop is the engine's goroutine: take what came in, plan, step, hand out. It is
// the decoder that keeps it on one thread, if it has to.
func (e *Engine) loop() {
	defer close(e.done)
	defer e.rest(true)
	defer e.publish()
	defer e.closeShelf()
	defer e.encoders.Wait()
	defer e.readers.Wait()
	defer e.survive()
	for {
		over, err := e.drain()
		if err != nil {
			e.fail(err)
			return
		}
		if over {
			e.settle()
			return
		}
		e.pause()
		b := e.sched.plan()
		e.publish()
		e.see(b.wanted)
		e.fetch(b)
		if b.empty() {
			e.wait()
			continue
		}
		if err := e.work(b); err != nil {
			e.fail(err)
			return
		}
	}
}

// survive turns a panic of the loop into a failed engine: the callers get an
// error instead of waiting for ever.
func (e *Engine) survive() {
	if p := recover(); p != nil {
		e.fail(fmt.Errorf("run step: panic: %v\n%s", p, debug.Stack()))
	}
}

// drain takes in what other goroutines left, and reports whether the engine is
// to end. An error means that the decoder cannot go on.
func (e *Engine) drain() (over bool, err error) {
	e.mu.Lock()
	inbox, cancels, seen, fetched, demotions := e.inbox, e.cancels, e.seen, e.fetched, e.demotions
	e.inbox, e.cancels, e.seen, e.fetched, e.demotions = nil, nil, nil, nil, nil
	killed, stopping := e.killed, e.stopping
	e.mu.Unlock()

	for _, q := range inbox {
		e.sched.queue.push(q)
	}
	if seen != nil {
		e.takeIn(seen)
	}
	for _, f := range fetched {
		e.takeFetched(f)
	}
	for _, q := range cancels {
		e.end(q, jeantrail.FinishCancelled, *q.cause.Load())
	}
	if killed {
		e.endAll(jeantrail.FinishCancelled, jeantrail.Errorf(jeantrail.CodeShuttingDown, "the program is stopping"))
	}
	for _, d := range demotions {
		if err := e.demote(d); err != nil {
			return false, err
		}
	}
	return stopping && e.idle(), nil
}

// idle reports whether no job is left. A job that was submitted before Stop is
// in the inbox or with the scheduler, so that mu decides.
func (e *Engine) idle() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jobs == 0
}

// pause takes sequences whose reader is behind out of the next batch, and
// cancels those that waited too long for theirs.
func (e *Engine) pause() {
	for i := len(e.sched.running) - 1; i >= 0; i-- {
		q := e.sched.running[i]
		if !q.stream.full() && !q.paused {
			continue
		}
		q.stream.paused.Store(true)
		if !q.stream.full() {
			q.stream.paused.Store(false)
			q.paused, q.pausedAt = false, time.Time{}
			continue
		}
		if !q.paused {
			q.paused, q.pausedAt = true, time.Now()
			e.sched.stats.Pauses++
		}
		if time.Since(q.pausedAt) >= e.opts.SlowReader {
			e.end(q, jeantrail.FinishCancelled, jeantrail.Errorf(jeantrail.CodeSlowReader,
				"the reader was %d tokens behind for %v", q.stream.unread.Load(), e.opts.SlowReader).
				WithHint("Read the stream faster, or ask for the result when the job is done."))
		}
	}
}

// wait sleeps until something comes in or the next paused job runs out of time.
func (e *Engine) wait() {
	var timeout <-chan time.Time
	var first time.Time
	for _, q := range e.sched.running {
		if q.paused && (first.IsZero() || q.pausedAt.Before(first)) {
			first = q.pausedAt
		}
	}
	if !first.IsZero() {
		t := time.NewTimer(time.Until(first.Add(e.opts.SlowReader)))
		defer t.Stop()
		timeout = t.C
	}
	e.rest(false)
	select {
	case <-e.wakeup:
	case <-timeout:
	}
}

// rest tells a decoder that wants to know that there is nothing to step, or over,
// never will be.
func (e *Engine) rest(over bool) {
	if r, ok := e.dec.(Rester); ok {
		r.Rest(over)
	}
}

// work carries out one batch: what it drops is saved before the step, and what
// was emptied is filled after it.
func (e *Engine) work(b *batch) error {
	e.save(b)
	if b.rows() > 0 || len(b.ops) > 0 {
		if err := e.runStep(b); err != nil {
			return err
		}
	}
	return e.load(b)
}

// runStep runs one batch and hands out what came of it. An error means that
// the decoder cannot go on.
func (e *Engine) runStep(b *batch) error {
	e.begin(b)
	e.enter(b)
	var info StepInfo
	var err error
	e.results, info, err = e.dec.Step(b.ops, b.spans, e.results[:0])
	e.exit()
	if err != nil {
		return fmt.Errorf("run step: %w", err)
	}
	e.sched.stats.count(info)
	switch info.Outcome {
	case OutcomeOK, OutcomeAborted:
		e.sched.commit(info.Outcome, e.dec.SeqLen)
	case OutcomeNoRoom:
		e.refused(b)
	case OutcomeInvalid:
		e.invalid(b)
	default:
		return fmt.Errorf("run step: the decoder answered with outcome %d, which is not known", info.Outcome)
	}
	if info.Outcome == OutcomeAborted {
		e.dec.Abort(false)
	}
	if info.Outcome != OutcomeOK {
		return nil
	}
	e.sched.measure(info)
	return e.handOut(b)
}

// begin tells those that leave the queue with this batch.
func (e *Engine) begin(b *batch) {
	if len(b.begun) == 0 {
		return
	}
	now := time.Now()
	for _, q := range b.begun {
		q.begunAt = now
		q.hold()
		if q.seed && !q.seeded {
			q.seeded = true
			if err := e.dec.SeedSampler(q.sampler, q.prompt()); err != nil {
				q.seedErr = err
			}
		}
		q.stream.start(startedAt{prompt: q.nPrompt, cached: q.cached})
	}
}

// enter opens the window in which cancel may abort the step. What was cancelled
// since drain looked is aborted here.
func (e *Engine) enter(b *batch) {
	abort := false
	e.mu.Lock()
	e.step++
	e.abortable = b.decode == 0
	for _, q := range b.seqs {
		q.inStep = e.step
		abort = abort || e.abortable && q.cause.Load() != nil
	}
	abort = abort || e.killed
	e.mu.Unlock()
	if abort {
		e.abort()
	}
}

func (e *Engine) exit() {
	e.mu.Lock()
	e.abortable = false
	e.mu.Unlock()
	if e.raised.Swap(false) {
		e.dec.Abort(false)
	}
}

// refused handles a cache without room. When there is nothing left to give up,
// the one job that does not fit ends; no other does.
func (e *Engine) refused(b *batch) {
	if e.sched.noRoom() {
		return
	}
	for _, q := range b.seqs {
		e.end(q, jeantrail.FinishError, jeantrail.Errorf(jeantrail.CodeInternal,
			"the KV cache has no room for a job that is alone in it"))
	}
}

// invalid handles a batch that the decoder refused, which is a defect. Nothing
// of it was evaluated: its jobs end, the others go on.
func (e *Engine) invalid(b *batch) {
	for _, q := range b.seqs {
		e.end(q, jeantrail.FinishError, jeantrail.Errorf(jeantrail.CodeInternal, "the decoder refused the batch"))
	}
}

// handOut passes the sampled tokens to their streams, and ends who is done.
func (e *Engine) handOut(b *batch) error {
	now := time.Now()
	for i := range e.results {
		r := &e.results[i]
		if r.Span < 0 || r.Span >= len(b.seqs) || !b.spans[r.Span].Sample {
			return fmt.Errorf("hand out tokens: result for span %d, of which nothing was asked", r.Span)
		}
		e.accept(b.seqs[r.Span], r, now)
	}
	for i, q := range b.seqs {
		if !b.spans[i].Sample && !q.ended {
			q.stream.report(q.progress())
		}
	}
	return nil
}

// accept takes one sampled token.
func (e *Engine) accept(q *sequence, r *Result, now time.Time) {
	if err := r.Err; err != nil || q.seedErr != nil {
		if err == nil {
			err = q.seedErr
		}
		e.end(q, jeantrail.FinishError, jeantrail.Errorf(jeantrail.CodeInvalid, "sample token: %w", err).
			WithHint("Check the grammar or schema of the request."))
		return
	}
	if q.completion == 0 {
		q.firstAt = now
	}
	q.lastAt = now
	q.completion++
	e.sched.stats.CompletionTokens++
	q.tokens = append(q.tokens, r.Token)
	stopped := false
	if r.EOG && !q.ignoreEOS {
		if q.out.reasoning { // the turn ends before the model closed its reasoning
			q.reasoning++
		}
		q.out.flush(1)
		stopped = true
	} else {
		wasReasoning := q.out.reasoning
		stopped = q.out.token(r.Token, e.vocab.Piece(r.Token))
		if wasReasoning || q.out.reasoning {
			q.reasoning++
		}
		if !stopped && q.completion < q.maxTokens {
			return
		}
		if !stopped {
			q.out.flush(0)
			reason := jeantrail.FinishLength
			if q.onBudget {
				reason = jeantrail.FinishBudget
			}
			e.end(q, reason, nil)
			return
		}
	}
	e.end(q, jeantrail.FinishStop, nil)
}

// end closes a job: its slot becomes idle, its stream gets the last word. A job
// ends once; later calls do nothing.
func (e *Engine) end(q *sequence, reason jeantrail.FinishReason, err error) {
	if q.ended {
		return
	}
	q.ended = true
	if err != nil {
		q.out.flush(0)
	}
	now := time.Now()
	e.unfetch(q)
	e.sched.leave(q)
	e.unsee(q)
	e.mu.Lock()
	e.jobs--
	if q.begun {
		e.service = time.Duration(mix(float64(e.service), float64(now.Sub(q.begunAt)), 0.2))
	}
	e.mu.Unlock()
	e.sched.stats.finished(reason)
	q.stream.finish(final{reason: reason, err: err, usage: q.usage(), timings: q.timings(now)})
}

// endAll ends every job that the loop knows.
func (e *Engine) endAll(reason jeantrail.FinishReason, err error) {
	for len(e.sched.running) > 0 {
		e.end(e.sched.running[0], reason, err)
	}
	for q := e.sched.queue.head(); q != nil; q = e.sched.queue.head() {
		e.end(q, reason, err)
	}
}

// fail ends the engine: nothing is known of the decoder any more.
func (e *Engine) fail(err error) {
	e.mu.Lock()
	e.failed = err
	inbox := e.inbox
	e.inbox = nil
	e.mu.Unlock()
	for _, q := range inbox {
		e.sched.queue.push(q)
	}
	e.endAll(jeantrail.FinishError, jeantrail.Errorf(jeantrail.CodeInternal, "the engine has failed: %w", err))
}
