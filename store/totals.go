package store

import (
	"context"
	"database/sql"

	"github.com/jeantrail/jeantrail-ai"
)

// Totals are sums over the whole database, as of one commit.
type Totals struct {
	Jobs             map[jeantrail.State]int64 // every state has an entry
	Events           int64
	OpenReservations int64           // jobs that money is held for
	Reserved         jeantrail.Money // how much
	Cost             jeantrail.Money
	PromptTokens     int64
	CachedTokens     int64
	CompletionTokens int64
}

// Dollars and the rest are summed apart, because sum() fails when it passes the
// largest integer, which two absurd reservations are enough for.
const (
	reservedTotalSQL = `SELECT count(*), coalesce(sum(micros / 1000000), 0), coalesce(sum(micros % 1000000), 0)
FROM ai_reservations WHERE released_at IS NULL`
	costTotalSQL = `SELECT coalesce(sum(amount_micros / 1000000), 0), coalesce(sum(amount_micros % 1000000), 0),
	coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0), coalesce(sum(completion_tokens), 0)
FROM ai_costs`
)

// Totals counts everything. It reads every cost and event row; it is for
// people and tests, not for a metric that is scraped.
func (s *Store) Totals(ctx context.Context) (Totals, error) {
	t := Totals{Jobs: make(map[jeantrail.State]int64)}
	for _, state := range jeantrail.States() {
		t.Jobs[state] = 0
	}
	err := s.read(ctx, "sum up", func(tx *sql.Tx) error {
		if err := countStates(ctx, tx, t.Jobs); err != nil {
			return err
		}
		var dollars, rest int64
		if err := tx.QueryRowContext(ctx, reservedTotalSQL).Scan(&t.OpenReservations, &dollars, &rest); err != nil {
			return err
		}
		t.Reserved = money(dollars, rest)
		err := tx.QueryRowContext(ctx, costTotalSQL).Scan(&dollars, &rest, &t.PromptTokens, &t.CachedTokens, &t.CompletionTokens)
		if err != nil {
			return err
		}
		t.Cost = money(dollars, rest)
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM ai_job_events").Scan(&t.Events)
	})
	return t, err
}

func money(dollars, rest int64) jeantrail.Money {
	return jeantrail.Money(jeantrail.MicrosPerUSD).Times(dollars).Add(jeantrail.Money(rest))
}

func countStates(ctx context.Context, tx *sql.Tx, counts map[jeantrail.State]int64) error {
	rows, err := tx.QueryContext(ctx, "SELECT state, count(*) FROM ai_jobs GROUP BY state")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var state jeantrail.State
		var n int64
		if err := rows.Scan(&state, &n); err != nil {
			return err
		}
		counts[state] = n
	}
	return rows.Err()
}
