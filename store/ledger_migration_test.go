package store_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

// ledgerless makes a file as it was before migration 4, with finished jobs in
// it. Their queue times lie on and just above each bound of the histograms.
func ledgerless(t *testing.T, path string) (jobs int) {
	t.Helper()
	db := raw(t, path)
	files, err := fs.Sub(store.Migrations(), "migrations")
	must(t, err)
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithTableName(store.VersionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	must(t, err)
	_, err = p.UpTo(context.Background(), 3)
	must(t, err)
	exec := func(query string, args ...any) {
		t.Helper()
		_, err := db.Exec(query, args...)
		must(t, err)
	}
	exec("PRAGMA application_id = " + store.ApplicationID)
	exec(`INSERT INTO ai_prices (kind, model, valid_from, audio_ms_micros) VALUES ('speak', 'coqui', 5, 7)`)
	states := jeantrail.States()[2:]
	var waits []time.Duration
	for _, bound := range jeantrail.HistogramBounds() {
		waits = append(waits, bound, bound+time.Microsecond)
	}
	for i, wait := range waits {
		id, state := newID(), states[i%len(states)]
		user, created := []string{"ann", "bob"}[i%2], epoch.Add(time.Duration(i)*5*time.Hour)
		ended := created.Add(wait.Truncate(time.Millisecond))
		code, body := "", any(nil)
		if state == jeantrail.StateFailed {
			code, body = "internal", `{"message": "no"}`
		}
		exec(`INSERT INTO ai_jobs (id, kind, user_id, state, model, priority, async, price_model, price_prompt_token_micros,
				price_cached_token_micros, price_completion_token_micros, price_image_micros, price_audio_ms_micros,
				created_at, started_at, finished_at, error_code, error, request)
			VALUES (?, 'text', ?, ?, 'm', 'batch', 0, 'm', 1000, 0, 1000, 0, 0, ?, ?, ?, ?, ?, '{"kind": "text", "text": {"prompt": "Hello"}}')`,
			id, user, string(state), created.UnixMilli(), created.UnixMilli(), ended.UnixMilli(), code, body)
		exec("INSERT INTO ai_reservations (job_id, user_id, micros, created_at, released_at) VALUES (?, ?, ?, 1, 2)", id, user, jeantrail.MaxMoney)
		exec("INSERT INTO ai_job_events (job_id, seq, type, at, tokens) VALUES (?, 1, 'queued', 1, 0), (?, 2, 'token', 1, 3), (?, 3, ?, 1, 0)",
			id, id, id, string(jeantrail.EventOf(state)))
		if i != len(waits)-1 { // the last one has no result
			exec(`INSERT INTO ai_results (job_id, model, finish_reason, truncated, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens,
					queue_us, prompt_us, first_token_us, total_us, tokens_per_second, device, layers_offloaded, n_ctx, fallback_reason, cache, created_at, text, reasoning)
				VALUES (?, 'm', 'stop', 0, 5, 2, 3, 0, ?, 0, 0, 0, 0.0, 'cpu', 0, 512, '', 'off', 1, 'text', '')`, id, wait.Microseconds())
		}
		amount := []jeantrail.Money{6_000, 0, jeantrail.MaxMoney, 1_500_000}[i%4]
		exec(`INSERT INTO ai_costs (job_id, user_id, model, kind, prompt_tokens, cached_tokens, completion_tokens, prompt_token_micros,
				cached_token_micros, completion_token_micros, image_micros, audio_ms_micros, reserved_micros, amount_micros, created_at)
			VALUES (?, ?, 'm', 'text', 5, 2, 3, 1000, 0, 1000, 0, 0, ?, ?, ?)`, id, user, jeantrail.MaxMoney, amount, ended.UnixMilli())
	}
	must(t, db.Close())
	return len(waits)
}

func TestLedgerIsFilledFromTheCostsThatAreThere(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "old.db")
	n := ledgerless(t, path)
	s := reopen(t, path, store.Options{})
	rebuilt(t, s) // nothing is changed by making the statistics anew, and the file is sound

	usage, err := s.Usage(ctx, jeantrail.StatisticsFilter{})
	must(t, err)
	var sum jeantrail.UsageRow
	for _, u := range usage {
		sum.Requests += u.Requests
		sum.Failures += u.Failures
		sum.Cancellations += u.Cancellations
		sum.Interruptions += u.Interruptions
		for i := range u.Queue.Buckets {
			sum.Queue.Buckets[i] += u.Queue.Buckets[i]
			sum.Latency.Buckets[i] += u.Latency.Buckets[i]
		}
	}
	// Each bound has a wait on it and one just above, the last without a result;
	// what ended had no microseconds.
	if sum.Requests != int64(n) || sum.Failures != 5 || sum.Cancellations != 4 || sum.Interruptions != 4 ||
		sum.Queue.Buckets != [...]int64{2, 2, 2, 2, 2, 2, 2, 2, 2, 0} || sum.Latency.Buckets != [...]int64{2, 2, 2, 2, 2, 2, 2, 2, 2, 0} {
		t.Errorf("the statistics add up to %+v", sum)
	}

	b := newBudget("")
	b.Type = jeantrail.BudgetTotal
	must(t, s.AddBudget(ctx, b))
	if got, err := s.Budget(ctx, b.ID, epoch); err != nil || got.Spent != jeantrail.MaxMoney || got.Reserved != 0 {
		t.Errorf("everybody's spending: %+v, error %v", got, err)
	}
	prices, err := s.Prices(ctx, epoch)
	must(t, err)
	coqui := jeantrail.PriceEntry{Kind: jeantrail.KindSpeak, ValidFrom: time.UnixMilli(5).UTC(), Price: jeantrail.Price{Model: "coqui", AudioOutSecond: 7_000}}
	if !slices.Contains(prices, coqui) || len(prices) != 6 {
		t.Errorf("prices %+v", prices)
	}
	page, err := s.Jobs(ctx, jeantrail.JobFilter{})
	must(t, err)
	if len(page.Jobs) != n || page.Jobs[1].Result == nil || page.Jobs[1].Result.Usage.PromptTokens != 5 {
		t.Errorf("%d jobs, the newest but one %+v", len(page.Jobs), page.Jobs[1])
	}
}
