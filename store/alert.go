package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const raiseSQL = `INSERT INTO ai_alerts (budget_id, window_start, percent, window_end, user_id, limit_micros, spent_micros, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

const selectAlerts = `SELECT budget_id, window_start, percent, window_end, user_id, limit_micros, spent_micros, created_at FROM ai_alerts `

// The last columns only settle the order of what happened in one instant.
const newestAlerts = `ORDER BY created_at DESC, percent DESC, budget_id, window_start DESC LIMIT ?`

const (
	alertsOfSQL = selectAlerts + ofUserOrAll + newestAlerts
	alertsSQL   = selectAlerts + newestAlerts
)

// Raise keeps an alert and reports whether it is new: there is one for each
// budget, window and percentage.
func (s *Store) Raise(ctx context.Context, a jeantrail.Alert) (fresh bool, err error) {
	err = s.write(ctx, "raise alert", func(ctx context.Context, tx *sql.Tx) (err error) {
		fresh, err = s.raiseTx(ctx, tx, a)
		return err
	})
	return fresh && err == nil, err
}

func (s *Store) raiseTx(ctx context.Context, tx *sql.Tx, a jeantrail.Alert) (fresh bool, err error) {
	if a.BudgetID == "" || a.Percent < 1 || a.Percent > 100 {
		return false, misuse("raise alert of budget %q: it is about %d percent", a.BudgetID, a.Percent)
	}
	res, err := on(ctx, tx, s.stmt.money.raise).ExecContext(ctx, a.BudgetID, optionalMillis(a.Window.Start), a.Percent,
		sql.Null[int64]{V: optionalMillis(a.Window.End), Valid: !a.Window.End.IsZero()},
		orNull(a.UserID), int64(a.Limit), int64(a.Spent), millis(a.At))
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// forgetAlertsTx makes it possible that a budget's alerts are raised again.
func forgetAlertsTx(ctx context.Context, tx *sql.Tx, budget string) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM ai_alerts WHERE budget_id = ?", budget)
	return err
}

// Alerts returns up to limit alerts, newest first: those of a user and of
// everybody, or all if user is nil. A limit of 0 is DefaultPage; one that is
// negative or above MaxPage is invalid.
func (s *Store) Alerts(ctx context.Context, user *string, limit int) ([]jeantrail.Alert, error) {
	const op = "read alerts"
	if limit == 0 {
		limit = DefaultPage
	}
	if limit < 0 || limit > MaxPage {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "read alerts: limit is %d, it must be between 1 and %d", limit, MaxPage)
	}
	query, args := alertsSQL, []any{limit}
	if user != nil {
		query, args = alertsOfSQL, []any{*user, limit}
	}
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, failedIn(ctx, op, err)
	}
	defer rows.Close()
	var alerts []jeantrail.Alert
	for rows.Next() {
		a, err := scanAlert(rows)
		if err != nil {
			return nil, failedIn(ctx, op, err)
		}
		alerts = append(alerts, a)
	}
	return alerts, failedIn(ctx, op, rows.Err())
}

func scanAlert(from row) (jeantrail.Alert, error) {
	var (
		a              jeantrail.Alert
		user           sql.Null[string]
		start, created int64
		end            sql.Null[int64]
	)
	err := from.Scan(&a.BudgetID, &start, &a.Percent, &end, &user, &a.Limit, &a.Spent, &created)
	a.UserID, a.At = user.V, time.UnixMilli(created).UTC()
	a.Window = jeantrail.Window{Start: optionalInstant(start), End: instant(end)}
	return a, err
}
