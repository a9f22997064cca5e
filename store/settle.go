package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const finishJobSQL = `UPDATE ai_jobs SET state = ?, finished_at = ?, error_code = ?, error = ?
WHERE id = ? AND state = ?
RETURNING user_id, kind, model, created_at, price_prompt_token_micros, price_cached_token_micros,
	price_completion_token_micros, price_image_micros, price_audio_ms_micros`

const releaseSQL = `UPDATE ai_reservations SET released_at = ? WHERE job_id = ? AND released_at IS NULL RETURNING micros`

const insertResultSQL = `INSERT INTO ai_results (job_id, model, finish_reason, truncated,
	prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens,
	queue_us, prompt_us, first_token_us, total_us, tokens_per_second,
	device, layers_offloaded, n_ctx, fallback_reason, cache, rules_applied, created_at, text, reasoning)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

const insertCostSQL = `INSERT INTO ai_costs (job_id, user_id, model, kind, prompt_tokens, cached_tokens, completion_tokens,
	prompt_token_micros, cached_token_micros, completion_token_micros, image_micros, audio_ms_micros,
	reserved_micros, amount_micros, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// The cost stops at the largest integer, as Money does; SQLite would turn it
// into a float.
const addUsageSQL = `INSERT INTO ai_usage_stats (hour, user_id, model, kind, requests, failures, cancellations, interruptions,
	prompt_tokens, cached_tokens, completion_tokens, cost_micros, latency_sum_us, latency_max_us, queue_sum_us, queue_max_us)
VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
	requests = requests + 1,
	failures = failures + excluded.failures,
	cancellations = cancellations + excluded.cancellations,
	interruptions = interruptions + excluded.interruptions,
	prompt_tokens = prompt_tokens + excluded.prompt_tokens,
	cached_tokens = cached_tokens + excluded.cached_tokens,
	completion_tokens = completion_tokens + excluded.completion_tokens,
	cost_micros = CASE WHEN cost_micros > 9223372036854775807 - excluded.cost_micros
		THEN 9223372036854775807 ELSE cost_micros + excluded.cost_micros END,
	latency_sum_us = latency_sum_us + excluded.latency_sum_us,
	latency_max_us = max(latency_max_us, excluded.latency_max_us),
	queue_sum_us = queue_sum_us + excluded.queue_sum_us,
	queue_max_us = max(queue_max_us, excluded.queue_max_us)`

// Settle moves a job to its final state, appends its last events, writes its
// result (if there is one), its cost and its part of the usage statistics, and
// releases its reservation, all in one transaction. A job that is not in
// s.From is a conflict and nothing changes. The last event must be the terminal
// one of s.To; it is stored without a copy of the result, which Events puts
// back.
func (s *Store) Settle(ctx context.Context, st jeantrail.Settlement) error {
	if err := checkSettlement(&st); err != nil {
		return err
	}
	return s.write(ctx, "settle job", func(ctx context.Context, tx *sql.Tx) error {
		return s.settleTx(ctx, tx, &st)
	})
}

func checkSettlement(st *jeantrail.Settlement) error {
	last := len(st.Events) - 1
	switch {
	case !st.To.Terminal() || !st.From.CanMoveTo(st.To):
		return misuse("settle job %s: it cannot go from %s to %s", st.JobID, st.From, st.To)
	case last < 0 || st.Events[last].Type != jeantrail.EventOf(st.To):
		return misuse("settle job %s: its last event is not %s", st.JobID, jeantrail.EventOf(st.To))
	case st.To == jeantrail.StateSucceeded && (st.Result == nil || st.Err != nil):
		return misuse("settle job %s: success needs a result and no error", st.JobID)
	case st.To == jeantrail.StateFailed && (st.Err == nil || st.Err.Code == ""):
		return misuse("settle job %s: failure needs an error", st.JobID)
	case st.Result != nil && st.Result.Cost.Amount < 0:
		return misuse("settle job %s: the cost is %s", st.JobID, st.Result.Cost.Amount)
	}
	for i := range st.Events {
		if st.Events[i].JobID != st.JobID || i < last && st.Events[i].Type.Terminal() {
			return misuse("settle job %s: event %d is %q of job %s", st.JobID, st.Events[i].Seq, st.Events[i].Type, st.Events[i].JobID)
		}
	}
	return nil
}

// settled is what the rows of a settlement have in common.
type settled struct {
	*jeantrail.Settlement
	user, kind, model string
	admitted          int64
	price             jeantrail.Price
	reserved          jeantrail.Money
	usage             jeantrail.Usage
	amount            jeantrail.Money
}

func (s *Store) settleTx(ctx context.Context, tx *sql.Tx, st *jeantrail.Settlement) error {
	// Before the state changes: a finished job's log is closed.
	if err := s.appendTx(ctx, tx, st.Events); err != nil {
		return err
	}
	job, err := s.finishTx(ctx, tx, st)
	if err != nil {
		return err
	}
	err = on(ctx, tx, s.stmt.release).QueryRowContext(ctx, millis(st.At), st.JobID).Scan(&job.reserved)
	if err == sql.ErrNoRows {
		return misuse("settle job %s: its reservation was released before", st.JobID)
	}
	if err != nil {
		return err
	}
	if st.Result != nil {
		if err := s.insertResultTx(ctx, tx, job); err != nil {
			return err
		}
	}
	if err := s.insertCostTx(ctx, tx, job); err != nil {
		return err
	}
	return s.addUsageTx(ctx, tx, job)
}

func (s *Store) finishTx(ctx context.Context, tx *sql.Tx, st *jeantrail.Settlement) (*settled, error) {
	var code string
	var body any
	if st.Err != nil {
		text, err := encode(rowOfError(st.Err))
		if err != nil {
			return nil, err
		}
		code, body = string(st.Err.Code), text
	}
	job := &settled{Settlement: st}
	p := &job.price
	err := on(ctx, tx, s.stmt.finishJob).QueryRowContext(ctx,
		string(st.To), millis(st.At), code, body, st.JobID, string(st.From)).
		Scan(&job.user, &job.kind, &job.model, &job.admitted,
			&p.PromptToken, &p.CachedToken, &p.CompletionToken, &p.Image, &p.AudioMillisecond)
	if err == sql.ErrNoRows {
		return nil, s.refusedTx(ctx, tx, "settle job", st.JobID, st.From)
	}
	if err != nil {
		return nil, err
	}
	if r := st.Result; r != nil {
		job.usage, job.amount = r.Usage, r.Cost.Amount
		if r.Model != "" {
			job.model = r.Model // a rule may have sent it elsewhere
		}
	}
	return job, nil
}

func (s *Store) insertResultTx(ctx context.Context, tx *sql.Tx, job *settled) error {
	r := job.Result
	rules := r.RulesApplied
	if rules == nil {
		rules = []string{}
	}
	applied, err := encode(rules)
	if err != nil {
		return err
	}
	_, err = on(ctx, tx, s.stmt.insertResult).ExecContext(ctx,
		job.JobID, r.Model, string(r.FinishReason), r.Truncated,
		r.Usage.PromptTokens, r.Usage.CachedTokens, r.Usage.CompletionTokens, r.Usage.ReasoningTokens,
		r.Timings.Queue.Microseconds(), r.Timings.Prompt.Microseconds(), r.Timings.FirstToken.Microseconds(),
		r.Timings.Total.Microseconds(), r.Timings.TokensPerSecond,
		r.Engine.Device, r.Engine.LayersOffloaded, r.Engine.NCtx, r.Engine.FallbackReason,
		string(r.Cache), applied, millis(job.At), r.Text, r.Reasoning)
	return err
}

func (s *Store) insertCostTx(ctx context.Context, tx *sql.Tx, job *settled) error {
	p := job.price
	_, err := on(ctx, tx, s.stmt.insertCost).ExecContext(ctx,
		job.JobID, job.user, job.model, job.kind,
		job.usage.PromptTokens, job.usage.CachedTokens, job.usage.CompletionTokens,
		int64(p.PromptToken), int64(p.CachedToken), int64(p.CompletionToken), int64(p.Image), int64(p.AudioMillisecond),
		int64(job.reserved), int64(job.amount), millis(job.At))
	return err
}

func (s *Store) addUsageTx(ctx context.Context, tx *sql.Tx, job *settled) error {
	at := millis(job.At)
	latency := max(0, at-job.admitted) * int64(time.Millisecond/time.Microsecond) // the clock may have been set back
	queue := max(0, job.QueueFor.Microseconds())
	_, err := on(ctx, tx, s.stmt.addUsage).ExecContext(ctx,
		millis(job.At.UTC().Truncate(time.Hour)), job.user, job.model, job.kind,
		job.To == jeantrail.StateFailed, job.To == jeantrail.StateCancelled, job.To == jeantrail.StateInterrupted,
		job.usage.PromptTokens, job.usage.CachedTokens, job.usage.CompletionTokens, int64(job.amount),
		latency, latency, queue, queue)
	return err
}
