package store_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func newAlert(b jeantrail.Budget, percent int, at time.Time) jeantrail.Alert {
	w, _ := b.Window(at)
	return jeantrail.Alert{BudgetID: b.ID, UserID: b.UserID, Percent: percent, Window: w, Limit: b.Limit(), Spent: b.Limit() - 1, At: at}
}

func TestAlertIsRaisedOncePerBudgetWindowAndPercentage(t *testing.T) {
	ctx, s := context.Background(), open(t)
	daily, total, other := newBudget("ann"), newBudget(""), newBudget("bob")
	total.Type = jeantrail.BudgetTotal
	var want []jeantrail.Alert
	for i, a := range []jeantrail.Alert{
		newAlert(daily, 80, epoch), newAlert(daily, 100, epoch.Add(time.Second)), newAlert(daily, 80, epoch.AddDate(0, 0, 1)),
		newAlert(total, 80, epoch.Add(2*time.Second)), newAlert(other, 80, epoch.Add(3*time.Second)),
	} {
		for again := range 2 {
			fresh, err := s.Raise(ctx, a)
			must(t, err)
			if fresh != (again == 0) {
				t.Errorf("alert %d, raised %d times before: new is %v", i, again, fresh)
			}
			a.At = a.At.Add(time.Hour) // the first one stays
			a.Spent++
		}
		a.At, a.Spent = a.At.Add(-2*time.Hour), a.Spent-2
		want = append(want, a)
	}
	slices.SortFunc(want, func(a, b jeantrail.Alert) int { return b.At.Compare(a.At) })
	all, err := s.Alerts(ctx, nil, 0)
	must(t, err)
	if !slices.Equal(all, want) {
		t.Errorf("alerts\n%+v\nwant\n%+v", all, want)
	}
	user := "ann"
	anns, err := s.Alerts(ctx, &user, 2)
	must(t, err)
	want = slices.DeleteFunc(want, func(a jeantrail.Alert) bool { return a.UserID == "bob" })[:2]
	if !slices.Equal(anns, want) {
		t.Errorf("alerts of ann and everybody\n%+v\nwant\n%+v", anns, want)
	}
	for _, limit := range []int{-1, 501} {
		_, err := s.Alerts(ctx, nil, limit)
		wantCode(t, err, jeantrail.CodeInvalid)
	}
	for _, percent := range []int{0, 101} {
		_, err := s.Raise(ctx, newAlert(daily, percent, epoch))
		wantCode(t, err, jeantrail.CodeInternal)
	}
}

func TestOneOfManyRaisesIsNew(t *testing.T) {
	ctx, s := context.Background(), open(t)
	b := newBudget("ann")
	var fresh atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			is, err := s.Raise(ctx, newAlert(b, 80, epoch))
			if err != nil {
				t.Error(err)
			}
			if is {
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	if n := fresh.Load(); n != 1 {
		t.Errorf("%d of the raises were new", n)
	}
}

func TestAlertsAreArmedAnew(t *testing.T) {
	ctx, s := context.Background(), open(t)
	for name, c := range map[string]struct {
		change func(*jeantrail.Budget)
		armed  bool
	}{
		"nothing":   {func(*jeantrail.Budget) {}, false},
		"amount":    {func(b *jeantrail.Budget) { b.AmountCents++ }, true},
		"threshold": {func(b *jeantrail.Budget) { b.AlertThreshold-- }, true},
		"type":      {func(b *jeantrail.Budget) { b.Type = jeantrail.BudgetWeekly }, true},
		"start":     {func(b *jeantrail.Budget) { b.PeriodStart = today }, true},
		"end":       {func(b *jeantrail.Budget) { b.PeriodEnd = today.AddDate(1, 0, 0) }, true},
		"owner":     {func(b *jeantrail.Budget) { b.UserID = "bob" }, true},
	} {
		b, other := newBudget("ann"), newBudget("ann")
		must(t, s.AddBudget(ctx, b))
		for _, b := range []jeantrail.Budget{b, other} {
			_, err := s.Raise(ctx, newAlert(b, 80, epoch))
			must(t, err)
		}
		must(t, s.ChangeBudget(ctx, b.ID, func(b *jeantrail.Budget) error { c.change(b); return nil }))
		fresh, err := s.Raise(ctx, newAlert(b, 80, epoch))
		must(t, err)
		if fresh != c.armed {
			t.Errorf("after a change of %s the alert is new: %v", name, fresh)
		}
		if fresh, err = s.Raise(ctx, newAlert(other, 80, epoch)); err != nil || fresh {
			t.Errorf("a change of %s armed another budget's alert, error %v", name, err)
		}
		must(t, s.DeleteBudget(ctx, b.ID))
		alerts, err := s.Alerts(ctx, nil, 500)
		must(t, err)
		if slices.ContainsFunc(alerts, func(a jeantrail.Alert) bool { return a.BudgetID == b.ID }) {
			t.Errorf("%s: the alerts of a deleted budget are still there", name)
		}
	}
}

// The alerts that a settlement raises stand in the job's log before its end.
func TestSettlementKeepsItsAlerts(t *testing.T) {
	ctx, s := context.Background(), open(t)
	b := newBudget("ann")
	must(t, s.AddBudget(ctx, b))
	known := newAlert(b, 100, epoch)
	if fresh, err := s.Raise(ctx, known); err != nil || !fresh {
		t.Fatalf("new %v, error %v", fresh, err)
	}
	st := settlement(running(t, s).ID, jeantrail.StateRunning, jeantrail.StateSucceeded, 2, 0)
	raised := newAlert(b, 80, epoch) // as the events of settlement
	done, err := s.Settle(ctx, st, func(standings []jeantrail.BudgetStanding) []jeantrail.Alert {
		if len(standings) != 1 || standings[0].Spent != st.Result.Cost.Amount || standings[0].Reserved != 0 {
			t.Errorf("standings at settlement: %+v", standings)
		}
		return []jeantrail.Alert{known, raised}
	})
	must(t, err)
	if !slices.Equal(done.Alerts, []jeantrail.Alert{raised}) {
		t.Errorf("raised %+v", done.Alerts)
	}
	events, err := s.Events(ctx, st.JobID, 2, 10)
	must(t, err)
	if len(events) != 2 || events[0].Alert == nil || *events[0].Alert != raised || events[1].Type != jeantrail.EventDone {
		t.Errorf("the log ends with %+v", events)
	}
}
