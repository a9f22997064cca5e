package store

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const selectBudgets = `SELECT id, user_id, budget_type, amount_cents, period_start, period_end, alert_threshold_percentage, created_at
FROM ai_budgets `

// ofUserOrAll selects what belongs to a user or to everybody. That is NULL, but
// somebody who writes a row by hand may think of the empty string.
const ofUserOrAll = `WHERE user_id IN (?, '') OR user_id IS NULL `

const (
	budgetsOfSQL = selectBudgets + ofUserOrAll + `ORDER BY created_at, id`
	budgetsSQL   = selectBudgets + `ORDER BY created_at, id`
	budgetSQL    = selectBudgets + `WHERE id = ?`
)

// As in Totals, dollars and the rest are summed apart.
const (
	spentSQL = `SELECT coalesce(sum(cost_micros / 1000000), 0), coalesce(sum(cost_micros % 1000000), 0)
FROM ai_spending WHERE user_id = ? AND day >= ? AND day < ?`
	reservedSQL = `SELECT coalesce(sum(micros / 1000000), 0), coalesce(sum(micros % 1000000), 0)
FROM ai_reservations WHERE released_at IS NULL`
	reservedOfSQL = reservedSQL + ` AND user_id = ?`
)

const insertBudgetSQL = `INSERT INTO ai_budgets
	(id, user_id, budget_type, amount_cents, period_start, period_end, alert_threshold_percentage, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

const updateBudgetSQL = `UPDATE ai_budgets SET user_id = ?, budget_type = ?, amount_cents = ?, period_start = ?, period_end = ?,
	alert_threshold_percentage = ? WHERE id = ?`

// Standings returns how budgets stand at a time, oldest budget first: those of
// a user and of everybody, or all if user is nil. Budgets that do not apply then
// are left out; if all is set they come too, with a zero Window and nothing
// spent or reserved.
func (s *Store) Standings(ctx context.Context, user *string, at time.Time, all bool) ([]jeantrail.BudgetStanding, error) {
	var standings []jeantrail.BudgetStanding
	err := s.read(ctx, "read budgets", func(tx *sql.Tx) error {
		var rows *sql.Rows
		var err error
		if user != nil {
			rows, err = on(ctx, tx, s.stmt.money.readers.budgets).QueryContext(ctx, *user)
		} else {
			rows, err = tx.QueryContext(ctx, budgetsSQL)
		}
		if err != nil {
			return err
		}
		budgets, err := scanBudgets(rows)
		if err != nil {
			return err
		}
		standings, err = s.stmt.money.readers.standTx(ctx, tx, budgets, at, all)
		return err
	})
	return standings, err
}

// standingsTx returns how the budgets of a user and of everybody that apply at
// a time stand in a transaction of the writer. Without any it is one look into
// an index. The table is read each time: a row that was written by hand counts
// from the next request on.
func (s *Store) standingsTx(ctx context.Context, tx *sql.Tx, user string, at time.Time) ([]jeantrail.BudgetStanding, error) {
	rows, err := on(ctx, tx, s.stmt.money.writer.budgets).QueryContext(ctx, user)
	if err != nil {
		return nil, err
	}
	budgets, err := scanBudgets(rows)
	if err != nil || len(budgets) == 0 {
		return nil, err
	}
	return s.stmt.money.writer.standTx(ctx, tx, budgets, at, false)
}

// standTx adds to budgets what is spent and reserved in their windows.
func (st *standingStatements) standTx(ctx context.Context, tx *sql.Tx, budgets []jeantrail.Budget,
	at time.Time, all bool) ([]jeantrail.BudgetStanding, error) {
	var standings []jeantrail.BudgetStanding
	reserved := make(map[string]jeantrail.Money, 2)
	for _, b := range budgets {
		standing := jeantrail.BudgetStanding{Budget: b}
		window, applies := b.Window(at)
		if !applies {
			if all {
				standings = append(standings, standing)
			}
			continue
		}
		standing.Window = window
		var err error
		if standing.Spent, err = st.spentTx(ctx, tx, b.UserID, window); err != nil {
			return nil, err
		}
		held, known := reserved[b.UserID]
		if !known {
			if held, err = st.reservedTx(ctx, tx, b.UserID); err != nil {
				return nil, err
			}
			reserved[b.UserID] = held
		}
		standing.Reserved = held
		standings = append(standings, standing)
	}
	return standings, nil
}

// spentTx sums up the days of a window; the user "" is everybody.
func (st *standingStatements) spentTx(ctx context.Context, tx *sql.Tx, user string, w jeantrail.Window) (jeantrail.Money, error) {
	start, end := int64(math.MinInt64), int64(math.MaxInt64)
	if !w.Start.IsZero() {
		start = millis(w.Start)
	}
	if !w.End.IsZero() {
		end = millis(w.End)
	}
	var dollars, rest int64
	err := on(ctx, tx, st.spent).QueryRowContext(ctx, user, start, end).Scan(&dollars, &rest)
	return money(dollars, rest), err
}

// reservedTx sums up what is held for a user, or for everybody.
func (st *standingStatements) reservedTx(ctx context.Context, tx *sql.Tx, user string) (jeantrail.Money, error) {
	var row *sql.Row
	if user == "" {
		row = on(ctx, tx, st.reserved).QueryRowContext(ctx)
	} else {
		row = on(ctx, tx, st.reservedOf).QueryRowContext(ctx, user)
	}
	var dollars, rest int64
	err := row.Scan(&dollars, &rest)
	return money(dollars, rest), err
}

// Budget returns how a budget stands at a time, with a zero Window and nothing
// spent or reserved if it does not apply then. An unknown id is not_found.
func (s *Store) Budget(ctx context.Context, id string, at time.Time) (*jeantrail.BudgetStanding, error) {
	var standing *jeantrail.BudgetStanding
	err := s.read(ctx, "read budget", func(tx *sql.Tx) error {
		b, err := budgetTx(ctx, tx, id)
		if err != nil {
			return err
		}
		standings, err := s.stmt.money.readers.standTx(ctx, tx, []jeantrail.Budget{*b}, at, true)
		if err != nil {
			return err
		}
		standing = &standings[0]
		return nil
	})
	return standing, err
}

func budgetTx(ctx context.Context, tx *sql.Tx, id string) (*jeantrail.Budget, error) {
	b, err := scanBudget(tx.QueryRowContext(ctx, budgetSQL, id))
	if err == sql.ErrNoRows {
		return nil, unknownBudget(id)
	}
	return b, err
}

func unknownBudget(id string) error {
	return jeantrail.Errorf(jeantrail.CodeNotFound, "budget %q is not known", id).
		WithHint("List the budgets: jeantrail-ai budget list, or GET /budgets.")
}

// AddBudget inserts a budget. What Budget.Validate refuses is invalid, an id
// that is in use a conflict.
func (s *Store) AddBudget(ctx context.Context, b jeantrail.Budget) error {
	if b.ID == "" {
		return misuse("add budget: it has no id")
	}
	if err := b.Validate(); err != nil {
		return err
	}
	return s.write(ctx, "add budget", func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, insertBudgetSQL, b.ID, orNull(b.UserID), string(b.Type), b.AmountCents,
			day(b.PeriodStart), day(b.PeriodEnd), b.AlertThreshold, millis(b.CreatedAt))
		return one(res, err, jeantrail.Errorf(jeantrail.CodeConflict, "add budget: the id %s is in use", b.ID))
	})
}

// ChangeBudget reads a budget, lets change alter it, and writes it, in one
// transaction. What change returns is returned, and nothing is written then; it
// may be called again, with the budget read anew. If whose budget it is, its
// amount, threshold, type or period changes, its alerts are forgotten, so that
// they are raised again. An unknown id is not_found, and what Budget.Validate
// refuses is invalid.
func (s *Store) ChangeBudget(ctx context.Context, id string, change func(*jeantrail.Budget) error) error {
	return s.write(ctx, "change budget", func(ctx context.Context, tx *sql.Tx) error {
		was, err := budgetTx(ctx, tx, id)
		if err != nil {
			return err
		}
		b := *was
		if err := change(&b); err != nil {
			return err
		}
		if b.ID != was.ID || !b.CreatedAt.Equal(was.CreatedAt) {
			return misuse("change budget %s: its id and its age are for good", id)
		}
		if err := b.Validate(); err != nil {
			return err
		}
		b.PeriodStart, b.PeriodEnd, b.CreatedAt = b.PeriodStart.UTC(), b.PeriodEnd.UTC(), was.CreatedAt
		if b == *was {
			return nil
		}
		_, err = tx.ExecContext(ctx, updateBudgetSQL, orNull(b.UserID), string(b.Type), b.AmountCents,
			day(b.PeriodStart), day(b.PeriodEnd), b.AlertThreshold, id)
		if err != nil {
			return err
		}
		return forgetAlertsTx(ctx, tx, id)
	})
}

// DeleteBudget deletes a budget and its alerts. An unknown id is not_found.
func (s *Store) DeleteBudget(ctx context.Context, id string) error {
	return s.write(ctx, "delete budget", func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM ai_budgets WHERE id = ?", id)
		if err := one(res, err, unknownBudget(id)); err != nil {
			return err
		}
		return forgetAlertsTx(ctx, tx, id)
	})
}

func scanBudgets(rows *sql.Rows) ([]jeantrail.Budget, error) {
	defer rows.Close()
	var budgets []jeantrail.Budget
	for rows.Next() {
		b, err := scanBudget(rows)
		if err != nil {
			return nil, err
		}
		budgets = append(budgets, *b)
	}
	return budgets, rows.Err()
}

func scanBudget(from row) (*jeantrail.Budget, error) {
	var (
		b                jeantrail.Budget
		user, start, end sql.Null[string]
		created          int64
	)
	err := from.Scan(&b.ID, &user, &b.Type, &b.AmountCents, &start, &end, &b.AlertThreshold, &created)
	if err != nil {
		return nil, err
	}
	b.UserID, b.CreatedAt = user.V, time.UnixMilli(created).UTC()
	if b.PeriodStart, err = midnight(start); err == nil {
		b.PeriodEnd, err = midnight(end)
	}
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInternal, "budget %s: its period cannot be read: %w", b.ID, err).
			WithHint("Write period_start and period_end as YYYY-MM-DD, with a year from 0001 to 9999.")
	}
	return &b, nil
}

// orNull is how the owner of a budget or rule is stored: NULL is everybody.
func orNull(user string) sql.Null[string] {
	return sql.Null[string]{V: user, Valid: user != ""}
}

// day is how the bounds of a period are stored.
func day(t time.Time) sql.Null[string] {
	if t.IsZero() {
		return sql.Null[string]{}
	}
	return sql.Null[string]{V: t.UTC().Format(time.DateOnly), Valid: true}
}

// midnight reads what day wrote.
func midnight(day sql.Null[string]) (time.Time, error) {
	if !day.Valid {
		return time.Time{}, nil
	}
	return time.Parse(time.DateOnly, day.V)
}

// one returns none if a statement touched no row.
func one(res sql.Result, err, none error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = none
	}
	return err
}
