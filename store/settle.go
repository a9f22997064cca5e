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
	price_completion_token_micros, price_image_micros`

const releaseSQL = `UPDATE ai_reservations SET released_at = ? WHERE job_id = ? AND released_at IS NULL
RETURNING micros, audio_in_second_micros, audio_out_second_micros, workflow`

const insertResultSQL = `INSERT INTO ai_results (job_id, model, finish_reason, truncated,
	prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens,
	queue_us, prompt_us, first_token_us, total_us, cached_from, tokens_per_second,
	device, layers_offloaded, n_ctx, fallback_reason, cache, rules_applied, created_at, text, reasoning, transcript, pipeline)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

const insertCostSQL = `INSERT INTO ai_costs (job_id, user_id, model, kind, prompt_tokens, cached_tokens, completion_tokens,
	prompt_token_micros, cached_token_micros, completion_token_micros, image_micros, audio_in_second_micros, audio_out_second_micros,
	images, audio_in_ms, audio_out_ms, state, cache_hit, workflow, latency_us, queue_us, rules_skipped,
	energy_mj, energy_source, energy_micros, reserved_micros, amount_micros, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// Sums of money stop at the largest integer, as Money does; SQLite would turn
// them into floats.
const addUsageSQL = `INSERT INTO ai_usage_stats (hour, user_id, model, kind, requests, failures, cancellations, interruptions, cache_hits,
	prompt_tokens, cached_tokens, completion_tokens, images, audio_in_ms, audio_out_ms, cost_micros,
	latency_sum_us, latency_max_us, queue_sum_us, queue_max_us,
	latency_0, latency_1, latency_2, latency_3, latency_4, latency_5, latency_6, latency_7, latency_8, latency_9,
	queue_0, queue_1, queue_2, queue_3, queue_4, queue_5, queue_6, queue_7, queue_8, queue_9)
VALUES (?1, ?2, ?3, ?4, 1, ?5 = 'failed', ?5 = 'cancelled', ?5 = 'interrupted', ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15, ?15,
	?16 = 0, ?16 = 1, ?16 = 2, ?16 = 3, ?16 = 4, ?16 = 5, ?16 = 6, ?16 = 7, ?16 = 8, ?16 = 9,
	?17 = 0, ?17 = 1, ?17 = 2, ?17 = 3, ?17 = 4, ?17 = 5, ?17 = 6, ?17 = 7, ?17 = 8, ?17 = 9)
ON CONFLICT DO UPDATE SET
	requests = requests + 1,
	failures = failures + excluded.failures,
	cancellations = cancellations + excluded.cancellations,
	interruptions = interruptions + excluded.interruptions,
	cache_hits = cache_hits + excluded.cache_hits,
	prompt_tokens = prompt_tokens + excluded.prompt_tokens,
	cached_tokens = cached_tokens + excluded.cached_tokens,
	completion_tokens = completion_tokens + excluded.completion_tokens,
	images = images + excluded.images,
	audio_in_ms = audio_in_ms + excluded.audio_in_ms,
	audio_out_ms = audio_out_ms + excluded.audio_out_ms,
	cost_micros = CASE WHEN cost_micros > 9223372036854775807 - excluded.cost_micros
		THEN 9223372036854775807 ELSE cost_micros + excluded.cost_micros END,
	latency_sum_us = latency_sum_us + excluded.latency_sum_us,
	latency_max_us = max(latency_max_us, excluded.latency_max_us),
	queue_sum_us = queue_sum_us + excluded.queue_sum_us,
	queue_max_us = max(queue_max_us, excluded.queue_max_us),
	latency_0 = latency_0 + excluded.latency_0, latency_1 = latency_1 + excluded.latency_1,
	latency_2 = latency_2 + excluded.latency_2, latency_3 = latency_3 + excluded.latency_3,
	latency_4 = latency_4 + excluded.latency_4, latency_5 = latency_5 + excluded.latency_5,
	latency_6 = latency_6 + excluded.latency_6, latency_7 = latency_7 + excluded.latency_7,
	latency_8 = latency_8 + excluded.latency_8, latency_9 = latency_9 + excluded.latency_9,
	queue_0 = queue_0 + excluded.queue_0, queue_1 = queue_1 + excluded.queue_1,
	queue_2 = queue_2 + excluded.queue_2, queue_3 = queue_3 + excluded.queue_3,
	queue_4 = queue_4 + excluded.queue_4, queue_5 = queue_5 + excluded.queue_5,
	queue_6 = queue_6 + excluded.queue_6, queue_7 = queue_7 + excluded.queue_7,
	queue_8 = queue_8 + excluded.queue_8, queue_9 = queue_9 + excluded.queue_9`

// A cost counts for its user and, under ”, for everybody.
const addSpendingSQL = `INSERT INTO ai_spending (user_id, day, cost_micros) VALUES (?1, ?2, ?3), ('', ?2, ?3)
ON CONFLICT DO UPDATE SET cost_micros = CASE WHEN cost_micros > 9223372036854775807 - excluded.cost_micros
	THEN 9223372036854775807 ELSE cost_micros + excluded.cost_micros END`

// Settle moves a job to its final state, appends its last events, writes its
// result (if there is one), its cost and its part of the usage statistics and of
// the spending, and releases its reservation, all in one transaction. A job that
// is not in st.From is a conflict and nothing changes. The last event must be the
// terminal one of st.To; it is stored without a copy of the result, which Events
// puts back.
//
// If the job cost something, due is given the budgets that apply to its user, as
// they stand with that cost. Of the alerts that it returns the new ones are
// kept, each with an event before the terminal one.
func (s *Store) Settle(ctx context.Context, st jeantrail.Settlement,
	due func([]jeantrail.BudgetStanding) []jeantrail.Alert) (jeantrail.Settled, error) {
	if err := checkSettlement(&st); err != nil {
		return jeantrail.Settled{}, err
	}
	var done jeantrail.Settled
	err := s.write(ctx, "settle job", func(ctx context.Context, tx *sql.Tx) (err error) {
		done, err = s.settleTx(ctx, tx, &st, due)
		return err
	})
	if err != nil {
		return jeantrail.Settled{}, err
	}
	return done, nil
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
	workflow          string
	admitted          int64
	price             jeantrail.Price
	reserved          jeantrail.Money
	usage             jeantrail.Usage
	amount            jeantrail.Money
}

func (s *Store) settleTx(ctx context.Context, tx *sql.Tx, st *jeantrail.Settlement,
	due func([]jeantrail.BudgetStanding) []jeantrail.Alert) (jeantrail.Settled, error) {
	var done jeantrail.Settled
	last := len(st.Events) - 1
	// Before the state changes: a finished job's log is closed.
	if err := s.lastEventsTx(ctx, tx, st.Events); err != nil {
		return done, err
	}
	job, err := s.finishTx(ctx, tx, st)
	if err != nil {
		return done, err
	}
	err = on(ctx, tx, s.stmt.release).QueryRowContext(ctx, millis(st.At), st.JobID).
		Scan(&job.reserved, &job.price.AudioInSecond, &job.price.AudioOutSecond, &job.workflow)
	if err == sql.ErrNoRows {
		return done, misuse("settle job %s: its reservation was released before", st.JobID)
	}
	if err != nil {
		return done, err
	}
	if st.Result != nil {
		if err := s.insertResultTx(ctx, tx, job); err != nil {
			return done, err
		}
	}
	if err := s.insertCostTx(ctx, tx, job); err != nil {
		return done, err
	}
	if err := s.addUsageTx(ctx, tx, job); err != nil {
		return done, err
	}
	if err := s.fileResultTx(ctx, tx, job); err != nil {
		return done, err
	}
	if done.Alerts, err = s.spendTx(ctx, tx, job, due); err != nil {
		return done, err
	}
	return done, s.closeLogTx(ctx, tx, st.Events[last], done.Alerts)
}

// lastEventsTx appends a settlement's events but the terminal one, and checks
// that this goes on where the log ends then.
func (s *Store) lastEventsTx(ctx context.Context, tx *sql.Tx, events []jeantrail.Event) error {
	head, err := s.openLogTx(ctx, tx, events[0].JobID)
	if err != nil {
		return err
	}
	for i := range events {
		if events[i].Seq != head+1+int64(i) {
			return gap(&events[i], head+int64(i))
		}
		if i == len(events)-1 {
			break
		}
		if err := s.insertEventTx(ctx, tx, &events[i]); err != nil {
			return err
		}
	}
	return nil
}

// spendTx adds the cost to what was spent, and keeps the alerts that it raises.
func (s *Store) spendTx(ctx context.Context, tx *sql.Tx, job *settled,
	due func([]jeantrail.BudgetStanding) []jeantrail.Alert) ([]jeantrail.Alert, error) {
	if job.amount == 0 {
		return nil, nil
	}
	day := job.At.UTC().Truncate(24 * time.Hour)
	if _, err := on(ctx, tx, s.stmt.addSpending).ExecContext(ctx, job.user, millis(day), int64(job.amount)); err != nil {
		return nil, err
	}
	standings, err := s.standingsTx(ctx, tx, job.user, job.At)
	if err != nil || len(standings) == 0 {
		return nil, err
	}
	var raised []jeantrail.Alert
	for _, alert := range due(standings) {
		fresh, err := s.raiseTx(ctx, tx, alert)
		if err != nil {
			return nil, err
		}
		if fresh {
			raised = append(raised, alert)
		}
	}
	return raised, nil
}

// closeLogTx ends a job's log: the alerts that its cost raised, then the
// terminal event.
func (s *Store) closeLogTx(ctx context.Context, tx *sql.Tx, terminal jeantrail.Event, alerts []jeantrail.Alert) error {
	for i := range alerts {
		ev := jeantrail.Event{Seq: terminal.Seq, Type: jeantrail.EventAlert, JobID: terminal.JobID, At: terminal.At, Alert: &alerts[i]}
		if err := s.insertEventTx(ctx, tx, &ev); err != nil {
			return err
		}
		terminal.Seq++
	}
	return s.insertEventTx(ctx, tx, &terminal)
}

// fileResultTx puts the result where later requests like it find it.
func (s *Store) fileResultTx(ctx context.Context, tx *sql.Tx, job *settled) error {
	if len(job.CacheKey) == 0 || job.Result == nil {
		return nil
	}
	size := int64(len(job.Result.Text) + len(job.Result.Reasoning))
	return s.fileTx(ctx, tx, job.user, job.CacheKey, job.JobID, size, job.At)
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
			&p.PromptToken, &p.CachedToken, &p.CompletionToken, &p.Image)
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
	transcript, pipeline, err := resultParts(r)
	if err != nil {
		return err
	}
	_, err = on(ctx, tx, s.stmt.insertResult).ExecContext(ctx,
		job.JobID, r.Model, string(r.FinishReason), r.Truncated,
		r.Usage.PromptTokens, r.Usage.CachedTokens, r.Usage.CompletionTokens, r.Usage.ReasoningTokens,
		r.Timings.Queue.Microseconds(), r.Timings.Prompt.Microseconds(), r.Timings.FirstToken.Microseconds(),
		r.Timings.Total.Microseconds(), r.Timings.CachedFrom, r.Timings.TokensPerSecond,
		r.Engine.Device, r.Engine.LayersOffloaded, r.Engine.NCtx, r.Engine.FallbackReason,
		string(r.Cache), applied, millis(job.At), r.Text, r.Reasoning, transcript, pipeline)
	return err
}

func (s *Store) insertCostTx(ctx context.Context, tx *sql.Tx, job *settled) error {
	p, u, e := &job.price, &job.usage, jeantrail.Energy{}
	skipped := "[]"
	if r := job.Result; r != nil {
		e = r.Energy
		if len(r.RulesSkipped) > 0 {
			var err error
			if skipped, err = encode(r.RulesSkipped); err != nil {
				return err
			}
		}
	}
	energy := sql.Null[int64]{V: e.Millijoule, Valid: e.Measured}
	source := e.Source
	if !e.Measured {
		source = e.Reason
	}
	_, err := on(ctx, tx, s.stmt.insertCost).ExecContext(ctx,
		job.JobID, job.user, job.model, job.kind, u.PromptTokens, u.CachedTokens, u.CompletionTokens,
		int64(p.PromptToken), int64(p.CachedToken), int64(p.CompletionToken), int64(p.Image), int64(p.AudioInSecond), int64(p.AudioOutSecond),
		u.Images, u.AudioIn.Milliseconds(), u.AudioOut.Milliseconds(), string(job.To), job.cacheHit(), job.workflow,
		job.latency(), job.queue(), skipped,
		energy, source, int64(e.Price), int64(job.reserved), int64(job.amount), millis(job.At))
	return err
}

func (job *settled) cacheHit() bool {
	return job.Result != nil && job.Result.Cache == jeantrail.CacheHit
}

// latency is the time from the admission to the end, in microseconds. The clock
// may have been set back.
func (job *settled) latency() int64 {
	return max(0, millis(job.At)-job.admitted) * int64(time.Millisecond/time.Microsecond)
}

func (job *settled) queue() int64 { return max(0, job.QueueFor.Microseconds()) }

func (s *Store) addUsageTx(ctx context.Context, tx *sql.Tx, job *settled) error {
	u, latency, queue := &job.usage, job.latency(), job.queue()
	_, err := on(ctx, tx, s.stmt.addUsage).ExecContext(ctx,
		millis(job.At.UTC().Truncate(time.Hour)), job.user, job.model, job.kind, string(job.To), job.cacheHit(),
		u.PromptTokens, u.CachedTokens, u.CompletionTokens, u.Images, u.AudioIn.Milliseconds(), u.AudioOut.Milliseconds(),
		int64(job.amount), latency, queue,
		jeantrail.HistogramBucket(micros(latency)), jeantrail.HistogramBucket(micros(queue)))
	return err
}
