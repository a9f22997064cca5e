package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/ledger"
)

// How long settling waits before it asks a store again that had an error.
const (
	settleRetryFirst = 20 * time.Millisecond
	settleRetryMost  = 500 * time.Millisecond
)

// settle is the second transaction: it closes the job with what the backend
// returned. Neither the caller nor a cancelled job can stop it.
func (g *Gateway) settle(s *sink, result *jeantrail.Result, err error) {
	t := s.task
	// From here on nobody else adds events to this job's log, or stores them.
	pending := t.feed.seal()
	state, failure := outcome(t.ctx, result.FinishReason, err)
	if state == jeantrail.StateSucceeded && !t.running() {
		// Its start could not be stored, or was never reported: a defect of the
		// backend.
		cause := cmp.Or(context.Cause(t.ctx), errors.New("the backend ended a job that it had not started"))
		state, failure = jeantrail.StateFailed, jeantrail.AsError(cause)
	}
	if state == jeantrail.StateInterrupted && t.canGoOn() && g.storePending(t, pending) {
		g.leaveOpen(t)
		return
	}
	now := g.now()
	g.complete(s, result, state, now)
	terminal := t.feed.next(terminalEvent(state, now, result, failure))
	settlement := jeantrail.Settlement{
		JobID:    t.job.ID,
		From:     jeantrail.StateQueued,
		To:       state,
		At:       now,
		Result:   result,
		Err:      failure,
		Events:   append(pending, terminal),
		QueueFor: result.Timings.Queue,
		CacheKey: keep(t, state, result),
	}
	if t.running() {
		settlement.From = jeantrail.StateRunning
	}
	// Without the job's cancel, which is often why it is being settled.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), g.opts.SettleTimeout)
	defer cancel()
	settled, err := g.storeSettlement(ctx, settlement)
	if err != nil {
		g.giveUp(t, err)
		return
	}
	for i := range settled.Alerts {
		t.feed.add(jeantrail.Event{Type: jeantrail.EventAlert, At: now, Alert: &settled.Alerts[i]})
	}
	terminal = t.feed.add(terminal)
	final := t.job
	final.State, final.StartedAt, final.FinishedAt = state, t.startedAt(), now
	final.LastSeq, final.Result, final.Err = terminal.Seq, result, failure
	// Before anybody can see the end: who then reads the metrics finds it there.
	g.opts.Observer.JobFinished(&final)
	t.feed.finish()
	g.leave(t)
	t.close(&final, nil)
	if failure != nil && failure.Code == jeantrail.CodeInternal {
		// The caller is told no more than the code; the cause must not be lost.
		g.opts.Logger.Error("job failed", slog.String("job", final.ID), slog.Any("error", failure))
	}
	g.raised(settled.Alerts)
	if settlement.CacheKey != nil {
		g.trim.filed(g, int64(len(result.Text)+len(result.Reasoning)))
	}
}

// storePending stores the last events of a job that is left open, and reports
// whether that went well.
func (g *Gateway) storePending(t *task, pending []jeantrail.Event) bool {
	if len(pending) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), g.opts.SettleTimeout)
	defer cancel()
	if err := g.opts.Store.Append(ctx, pending); err != nil {
		g.opts.Logger.Warn("the last events of a job could not be stored", slog.String("job", t.job.ID), slog.Any("error", err))
		return false
	}
	t.feed.stored(pending[len(pending)-1].Seq)
	return true
}

// giveUp leaves a job open in the store, for Recover at the next start. Readers
// and waiters are told, because nothing more will come.
func (g *Gateway) giveUp(t *task, err error) {
	g.opts.Logger.Error("settle job failed; the next start will close it",
		slog.String("job", t.job.ID), slog.Any("error", err))
	failure := unsettled(t.job.ID, err)
	t.feed.abandon(failure)
	g.leave(t)
	t.close(nil, failure)
}

// storeSettlement settles, and tries again while that may help and ctx lasts.
// It cannot settle twice: a job that is no longer in the state From is a
// conflict, and nothing changes.
func (g *Gateway) storeSettlement(ctx context.Context, s jeantrail.Settlement) (jeantrail.Settled, error) {
	due := func(standings []jeantrail.BudgetStanding) []jeantrail.Alert {
		alerts := ledger.Due(standings)
		for i := range alerts {
			alerts[i].At = s.At
		}
		return alerts
	}
	for wait := settleRetryFirst; ; wait = min(2*wait, settleRetryMost) {
		settled, err := g.opts.Store.Settle(ctx, s, due)
		code := jeantrail.CodeOf(err)
		if err == nil {
			return settled, nil
		}
		if code == jeantrail.CodeConflict || code == jeantrail.CodeNotFound {
			return settled, fmt.Errorf("settle job: %w", err)
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return settled, fmt.Errorf("settle job: %w", err)
		}
	}
}

// complete fills in what the gateway knows better than the backend: the times
// since admission, and the money.
func (g *Gateway) complete(s *sink, r *jeantrail.Result, state jeantrail.State, end time.Time) {
	t := s.task
	// The log is the record; a backend that counted otherwise has a defect, and
	// what cannot be shown is not charged.
	if r.Usage.CompletionTokens != s.tokens {
		g.opts.Logger.Error("backend's count of sampled tokens differs from what it reported",
			slog.String("job", t.job.ID), slog.Int("counted", r.Usage.CompletionTokens), slog.Int("reported", s.tokens))
		r.Usage.CompletionTokens = s.tokens
	}
	r.Usage.Images, r.Usage.AudioOut = madeOf(s.made)
	r.Artifacts = s.made
	// Parts that exceed their whole could not be stored.
	r.Usage.CachedTokens = min(r.Usage.CachedTokens, r.Usage.PromptTokens)
	r.Usage.ReasoningTokens = min(r.Usage.ReasoningTokens, r.Usage.CompletionTokens)
	if r.Model == "" {
		r.Model = t.job.Model
	}
	r.Cache = t.cacheUse
	r.RulesApplied, r.RulesSkipped = t.rulesApplied, t.rulesSkipped
	if s.measure != nil {
		r.Energy = s.measure()
	}
	if r.Engine == (jeantrail.EngineInfo{}) {
		r.Engine = s.started.Engine
	}
	if r.FinishReason == "" {
		r.FinishReason = finishOf(state)
	}
	setTimings(&r.Timings, t.job.CreatedAt, t.startedAt(), s.first, end)
	g.charge(&t.job, r)
}

// madeOf counts what artifacts are charged for.
func madeOf(artifacts []jeantrail.Artifact) (images int, audio time.Duration) {
	for i := range artifacts {
		switch artifacts[i].Kind {
		case jeantrail.ArtifactImage:
			images++
		case jeantrail.ArtifactAudio:
			audio += artifacts[i].Duration
		}
	}
	return images, audio
}

func finishOf(s jeantrail.State) jeantrail.FinishReason {
	switch s {
	case jeantrail.StateSucceeded:
		return jeantrail.FinishStop
	case jeantrail.StateCancelled, jeantrail.StateInterrupted:
		return jeantrail.FinishCancelled
	default:
		return jeantrail.FinishError
	}
}

// setTimings fills in the times that count from the admission. A job that never
// started has waited until its end. The clock may have been set back meanwhile.
func setTimings(t *jeantrail.Timings, created, started, first, end time.Time) {
	if started.IsZero() {
		started = end
	}
	t.Queue, t.Total, t.FirstToken = max(0, started.Sub(created)), max(0, end.Sub(created)), 0
	if !first.IsZero() {
		t.FirstToken = max(0, first.Sub(created))
	}
}

// charge puts the cost into a result. That it stays within the reservation
// follows from bounds that hold; if a backend broke its bounds, the user does
// not pay for it.
func (g *Gateway) charge(job *jeantrail.Job, r *jeantrail.Result) {
	amount := ledger.Charge(job.Price, r.Usage)
	if amount > job.Reserved {
		g.opts.Logger.Error("job used more than its bounds; charging what was reserved", slog.String("job", job.ID),
			slog.Int64("used_micros", int64(amount)), slog.Int64("reserved_micros", int64(job.Reserved)))
		amount = job.Reserved
	}
	r.Cost = jeantrail.Cost{Amount: amount, Reserved: job.Reserved}
}

// terminalEvent is the last entry of a job's log. A failed job's result is
// with the job only.
func terminalEvent(s jeantrail.State, at time.Time, r *jeantrail.Result, failure *jeantrail.Error) jeantrail.Event {
	ev := jeantrail.Event{Type: jeantrail.EventOf(s), At: at, Err: failure}
	if s != jeantrail.StateFailed {
		ev.Result = r
	}
	return ev
}
