package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

var today = epoch.Truncate(24 * time.Hour)

func newBudget(user string) jeantrail.Budget {
	return jeantrail.Budget{
		ID: newID(), UserID: user, Type: jeantrail.BudgetDaily, AmountCents: 1000, AlertThreshold: 80, CreatedAt: epoch,
	}
}

func TestBudgetComesBackWhole(t *testing.T) {
	ctx, s := context.Background(), open(t)
	b := newBudget("ann")
	b.Type, b.PeriodStart, b.PeriodEnd = jeantrail.BudgetPeriod, today.AddDate(0, 0, -1), today.AddDate(0, 0, 2)
	b.AmountCents, b.AlertThreshold = jeantrail.MaxBudgetCents, 1
	must(t, s.AddBudget(ctx, b))
	got, err := s.Budget(ctx, b.ID, epoch)
	must(t, err)
	want := jeantrail.BudgetStanding{Budget: b, Window: jeantrail.Window{Start: b.PeriodStart, End: b.PeriodEnd}}
	if *got != want {
		t.Errorf("budget\n%+v\nwant\n%+v", *got, want)
	}
	if got, err = s.Budget(ctx, b.ID, b.PeriodEnd); err != nil || *got != (jeantrail.BudgetStanding{Budget: b}) {
		t.Errorf("after its period: %+v, error %v", got, err)
	}
}

func TestBudgetsAreRefusedWithAReason(t *testing.T) {
	ctx, s := context.Background(), open(t)
	b := newBudget("ann")
	must(t, s.AddBudget(ctx, b))
	wantCode(t, s.AddBudget(ctx, b), jeantrail.CodeConflict)
	bad := newBudget("ann")
	bad.AlertThreshold = 0
	wantCode(t, s.AddBudget(ctx, bad), jeantrail.CodeInvalid)
	bad = newBudget("ann")
	bad.ID = ""
	wantCode(t, s.AddBudget(ctx, bad), jeantrail.CodeInternal)

	unknown := func(err error) {
		t.Helper()
		wantCode(t, err, jeantrail.CodeNotFound)
		if jeantrail.AsError(err).Hint == "" {
			t.Errorf("%v: no hint", err)
		}
	}
	_, err := s.Budget(ctx, "nobody's", epoch)
	unknown(err)
	unknown(s.ChangeBudget(ctx, "nobody's", func(*jeantrail.Budget) error { return nil }))
	unknown(s.DeleteBudget(ctx, "nobody's"))

	stop := errors.New("stop")
	for name, c := range map[string]struct {
		change func(*jeantrail.Budget) error
		code   jeantrail.Code
	}{
		"refused by change": {func(b *jeantrail.Budget) error { b.AmountCents = 1; return stop }, jeantrail.CodeInternal},
		"invalid":           {func(b *jeantrail.Budget) error { b.AmountCents = -1; return nil }, jeantrail.CodeInvalid},
		"another id":        {func(b *jeantrail.Budget) error { b.ID = newID(); return nil }, jeantrail.CodeInternal},
		"another age":       {func(b *jeantrail.Budget) error { b.CreatedAt = epoch.Add(1); return nil }, jeantrail.CodeInternal},
	} {
		err := s.ChangeBudget(ctx, b.ID, c.change)
		wantCode(t, err, c.code)
		if name == "refused by change" && !errors.Is(err, stop) {
			t.Errorf("the reason of change became %v", err)
		}
		if got, err := s.Budget(ctx, b.ID, epoch); err != nil || got.Budget != b {
			t.Errorf("%s: the budget is now %+v, error %v", name, got, err)
		}
	}
}

// The integration guide's statement, in SQLite's spelling of dates, run by
// another process while the store is open.
func TestBudgetWrittenByHandCountsFromTheNextRequest(t *testing.T) {
	ctx, s := context.Background(), open(t)
	db := raw(t, s.Path())
	user := "user123"
	for _, owner := range []string{"'user123'", "NULL", "''", "'somebody else'"} {
		_, err := db.Exec(`INSERT INTO ai_budgets (user_id, budget_type, amount_cents, period_start, period_end, alert_threshold_percentage)
			VALUES (` + owner + `, 'daily', 1000, CURRENT_DATE, date('now', '+1 day'), 80)`)
		must(t, err)
	}
	job := newJob(time.Now())
	job.UserID = user
	must(t, s.Admit(ctx, job, event(job.ID, 1, jeantrail.EventQueued), func(got []jeantrail.BudgetStanding) (jeantrail.Money, error) {
		if len(got) != 3 {
			t.Errorf("%d budgets apply, want 3: %+v", len(got), got)
		}
		for _, b := range got {
			w, _ := b.Budget.Window(job.CreatedAt)
			if b.Limit() != 10_000_000 || b.AlertThreshold != 80 || b.Window != w || b.UserID != user && b.UserID != "" || b.Reserved != 0 {
				t.Errorf("standing %+v", b)
			}
		}
		return 7, nil
	}))
	got, err := s.Standings(ctx, &user, job.CreatedAt, false)
	must(t, err)
	for _, b := range got {
		if b.Reserved != 7 {
			t.Errorf("after the admission: %+v", b)
		}
	}
	_, err = db.Exec("DELETE FROM ai_budgets")
	must(t, err)
	if got, err := s.Standings(ctx, nil, job.CreatedAt, true); err != nil || len(got) != 0 {
		t.Errorf("after they were deleted: %+v, error %v", got, err)
	}
}

// SQLite takes years that are no calendar's; such a row stops requests with its
// own name instead of counting for nothing.
func TestBudgetWithoutAReadablePeriodIsNamed(t *testing.T) {
	ctx, s := context.Background(), open(t)
	_, err := s.Writer().Exec(`INSERT INTO ai_budgets (id, budget_type, amount_cents, period_start) VALUES ('odd', 'daily', 1, '-0044-03-15')`)
	must(t, err)
	_, err = s.Standings(ctx, nil, epoch, true)
	wantCode(t, err, jeantrail.CodeInternal)
	if e := jeantrail.AsError(err); e.Hint == "" || e.Message == "internal error" {
		t.Errorf("error %+v", e)
	}
}

func BenchmarkStandings(b *testing.B) {
	for name, n := range map[string]int{"without budgets": 0, "with four budgets": 4} {
		b.Run(name, func(b *testing.B) {
			ctx, s := context.Background(), open(b)
			for i := range n {
				must(b, s.AddBudget(ctx, newBudget([]string{"ann", ""}[i%2])))
			}
			for range 64 {
				admit(b, s, newJob(epoch))
			}
			user := "ann"
			for b.Loop() {
				got, err := s.Standings(ctx, &user, epoch, false)
				if err != nil || len(got) != n {
					b.Fatalf("%d standings, error %v", len(got), err)
				}
			}
		})
	}
}
