package store_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

// unsynced is open for a property, which writes too much to wait for the disk.
func unsynced(t *testing.T) *store.Store {
	t.Helper()
	s := open(t)
	_, err := s.Writer().Exec("PRAGMA synchronous = OFF")
	must(t, err)
	return s
}

// wipe makes the store empty for the next case.
func wipe(t rapid.TB, s *store.Store) {
	t.Helper()
	for _, table := range []string{"ai_result_cache", "ai_costs", "ai_results", "ai_job_events", "ai_reservations", "ai_jobs",
		"ai_budgets", "ai_cost_optimization_rules", "ai_alerts", "ai_usage_stats", "ai_spending"} {
		_, err := s.Writer().Exec("DELETE FROM " + table)
		okay(t, err)
	}
}

// okay is must for a property.
func okay(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// dump returns every row of a table, in order.
func dump(t rapid.TB, s *store.Store, table string) []string {
	t.Helper()
	rows, err := s.Readers().Query("SELECT * FROM " + table)
	okay(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	okay(t, err)
	var all []string
	for rows.Next() {
		values, dst := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			dst[i] = &values[i]
		}
		okay(t, rows.Scan(dst...))
		text := ""
		for i, v := range values {
			text += fmt.Sprintf("%s=%v ", columns[i], v)
		}
		all = append(all, text)
	}
	okay(t, rows.Err())
	slices.Sort(all)
	return all
}

// amounts are mostly small; some are absurd, so that sums stop at the largest.
func amounts() *rapid.Generator[jeantrail.Money] {
	return rapid.OneOf(
		rapid.Map(rapid.Int64Range(0, 5_000_000), func(n int64) jeantrail.Money { return jeantrail.Money(n) }),
		rapid.Map(rapid.Int64Range(0, 5_000_000), func(n int64) jeantrail.Money { return jeantrail.Money(n) }),
		rapid.SampledFrom([]jeantrail.Money{0, 999_999, 1_000_000, jeantrail.MaxMoney / 2, jeantrail.MaxMoney - 1, jeantrail.MaxMoney}),
	)
}

// instants lie within ten weeks, often where a window or an hour begins.
func instants() *rapid.Generator[time.Time] {
	hours := rapid.Map(rapid.IntRange(-5*7*24, 5*7*24), func(h int) time.Time {
		return epoch.Truncate(time.Hour).Add(time.Duration(h) * time.Hour)
	})
	return rapid.Custom(func(t *rapid.T) time.Time {
		at := hours.Draw(t, "hour")
		if rapid.Bool().Draw(t, "at midnight") {
			at = at.Truncate(24 * time.Hour)
		}
		return at.Add(rapid.SampledFrom([]time.Duration{0, 0, -time.Millisecond, time.Millisecond, 17 * time.Minute}).Draw(t, "beside it"))
	})
}

// days are period bounds; zero is none.
func days() *rapid.Generator[time.Time] {
	return rapid.Map(rapid.IntRange(-40, 40), func(d int) time.Time {
		if d%4 == 0 {
			return time.Time{}
		}
		return epoch.Truncate(24*time.Hour).AddDate(0, 0, d)
	})
}

func budgets() *rapid.Generator[jeantrail.Budget] {
	return rapid.Custom(func(t *rapid.T) jeantrail.Budget {
		return jeantrail.Budget{
			ID: newID(), UserID: rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(t, "whose"),
			Type:        rapid.SampledFrom(jeantrail.BudgetTypes()).Draw(t, "type"),
			AmountCents: rapid.Int64Range(0, jeantrail.MaxBudgetCents).Draw(t, "amount"),
			PeriodStart: days().Draw(t, "start"), PeriodEnd: days().Draw(t, "end"),
			AlertThreshold: rapid.IntRange(1, 100).Draw(t, "threshold"),
			CreatedAt:      epoch.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "age")) * time.Second),
		}
	}).Filter(func(b jeantrail.Budget) bool { return b.Validate() == nil })
}

// accounts is the naive book beside the store's.
type accounts struct {
	budgets []jeantrail.Budget
	open    []held
	charges []charge
}

type held struct {
	id, user string
	amount   jeantrail.Money
}

type charge struct {
	user   string
	at     time.Time
	amount jeantrail.Money
}

// standings is what Standings must say; whose nil is all users.
func (a *accounts) standings(whose *string, at time.Time, all bool) []jeantrail.BudgetStanding {
	var found []jeantrail.BudgetStanding
	for _, b := range a.budgets {
		if whose != nil && b.UserID != "" && b.UserID != *whose {
			continue
		}
		s := jeantrail.BudgetStanding{Budget: b}
		w, applies := b.Window(at)
		if applies {
			s.Window = w
			for _, c := range a.charges {
				before := !w.Start.IsZero() && c.at.Before(w.Start)
				after := !w.End.IsZero() && !c.at.Before(w.End)
				if (b.UserID == "" || b.UserID == c.user) && !before && !after {
					s.Spent = s.Spent.Add(c.amount)
				}
			}
			for _, h := range a.open {
				if b.UserID == "" || b.UserID == h.user {
					s.Reserved = s.Reserved.Add(h.amount)
				}
			}
		}
		if applies || all {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b jeantrail.BudgetStanding) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return found
}

func sameStandings(t rapid.TB, what string, got, want []jeantrail.BudgetStanding) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s\n%+v\nwant\n%+v", what, got, want)
	}
}

// Whatever happens to budgets and jobs, the standings are those of the naive
// book: asked by themselves, within an admission, and within a settlement.
func TestStandingsAreTheSums(t *testing.T) {
	ctx, s := context.Background(), unsynced(t)
	users := rapid.SampledFrom([]string{"ann", "bob", "cat"})
	rapid.Check(t, func(t *rapid.T) {
		wipe(t, s)
		var book accounts
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				b := budgets().Draw(t, "budget")
				okay(t, s.AddBudget(ctx, b))
				book.budgets = append(book.budgets, b)
			},
			"change": func(t *rapid.T) {
				if len(book.budgets) == 0 {
					t.Skip("no budget")
				}
				was := &book.budgets[rapid.IntRange(0, len(book.budgets)-1).Draw(t, "which")]
				is := budgets().Draw(t, "into")
				is.ID, is.CreatedAt = was.ID, was.CreatedAt
				okay(t, s.ChangeBudget(ctx, was.ID, func(b *jeantrail.Budget) error {
					if *b != *was {
						t.Fatalf("ChangeBudget read %+v, want %+v", *b, *was)
					}
					*b = is
					return nil
				}))
				*was = is
			},
			"delete": func(t *rapid.T) {
				if len(book.budgets) == 0 {
					t.Skip("no budget")
				}
				i := rapid.IntRange(0, len(book.budgets)-1).Draw(t, "which")
				okay(t, s.DeleteBudget(ctx, book.budgets[i].ID))
				book.budgets = slices.Delete(book.budgets, i, i+1)
			},
			"admit":  func(t *rapid.T) { book.admit(t, s, users) },
			"settle": func(t *rapid.T) { book.settle(t, s) },
			"": func(t *rapid.T) {
				user, at, all := users.Draw(t, "user"), instants().Draw(t, "at"), rapid.Bool().Draw(t, "all")
				got, err := s.Standings(ctx, &user, at, all)
				okay(t, err)
				sameStandings(t, "standings of "+user, got, book.standings(&user, at, all))
				got, err = s.Standings(ctx, nil, at, all)
				okay(t, err)
				want := book.standings(nil, at, all)
				sameStandings(t, "all standings", got, want)
				for _, w := range want {
					one, err := s.Budget(ctx, w.ID, at)
					okay(t, err)
					sameStandings(t, "one standing", []jeantrail.BudgetStanding{*one}, []jeantrail.BudgetStanding{w})
				}
			},
		})
	})
}

func (a *accounts) admit(t *rapid.T, s *store.Store, users *rapid.Generator[string]) {
	job := newJob(instants().Draw(t, "admitted"))
	job.UserID = users.Draw(t, "user")
	hold := amounts().Draw(t, "hold")
	want := a.standings(&job.UserID, job.CreatedAt, false)
	err := s.Admit(context.Background(), job, event(job.ID, 1, jeantrail.EventQueued),
		func(got []jeantrail.BudgetStanding) (jeantrail.Money, error) {
			sameStandings(t, "standings at admission", got, want)
			return hold, nil
		})
	okay(t, err)
	a.open = append(a.open, held{job.ID, job.UserID, hold})
}

func (a *accounts) settle(t *rapid.T, s *store.Store) {
	if len(a.open) == 0 {
		t.Skip("no open job")
	}
	i := rapid.IntRange(0, len(a.open)-1).Draw(t, "which")
	job := a.open[i]
	a.open = slices.Delete(a.open, i, i+1)
	st := settlement(job.id, jeantrail.StateQueued, jeantrail.StateCancelled, 1, 0)
	st.At = instants().Draw(t, "ended")
	cost := min(amounts().Draw(t, "cost"), job.amount)
	st.Result.Cost.Amount = cost
	a.charges = append(a.charges, charge{job.user, st.At, cost})
	want := a.standings(&job.user, st.At, false)
	asked := false
	_, err := s.Settle(context.Background(), st, func(got []jeantrail.BudgetStanding) []jeantrail.Alert {
		asked = true
		sameStandings(t, "standings at settlement", got, want)
		return nil
	})
	okay(t, err)
	if asked != (cost > 0 && len(want) > 0) {
		t.Fatalf("a cost of %v with %d budgets: asked for alerts %v", cost, len(want), asked)
	}
}
