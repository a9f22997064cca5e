package jeantrail_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
)

func day(s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestBudgetWindow(t *testing.T) {
	for _, tt := range []struct {
		name       string
		typ        jeantrail.BudgetType
		start, end string // of the budget
		at         string // RFC 3339
		from, to   string // of the window
		applies    bool
	}{
		{"a day", jeantrail.BudgetDaily, "", "", "2026-03-04T23:59:59Z", "2026-03-04", "2026-03-05", true},
		{"the next day begins at midnight", jeantrail.BudgetDaily, "", "", "2026-03-05T00:00:00Z", "2026-03-05", "2026-03-06", true},
		{"days are UTC", jeantrail.BudgetDaily, "", "", "2026-03-04T23:30:00-02:00", "2026-03-05", "2026-03-06", true},
		{"a week from Monday", jeantrail.BudgetWeekly, "", "", "2026-03-04T12:00:00Z", "2026-03-02", "2026-03-09", true},
		{"on a Sunday", jeantrail.BudgetWeekly, "", "", "2026-03-08T12:00:00Z", "2026-03-02", "2026-03-09", true},
		{"on a Monday", jeantrail.BudgetWeekly, "", "", "2026-03-09T00:00:00Z", "2026-03-09", "2026-03-16", true},
		{"a month", jeantrail.BudgetMonthly, "", "", "2026-02-28T12:00:00Z", "2026-02-01", "2026-03-01", true},
		{"over the year", jeantrail.BudgetMonthly, "", "", "2026-12-31T12:00:00Z", "2026-12-01", "2027-01-01", true},
		{"in all", jeantrail.BudgetTotal, "", "", "2026-03-04T12:00:00Z", "", "", true},
		{"in all since a day", jeantrail.BudgetTotal, "2026-03-01", "", "2026-03-04T12:00:00Z", "2026-03-01", "", true},
		{"a period", jeantrail.BudgetPeriod, "2026-03-01", "2026-03-11", "2026-03-04T12:00:00Z", "2026-03-01", "2026-03-11", true},
		{"before it", jeantrail.BudgetPeriod, "2026-03-01", "2026-03-11", "2026-02-28T23:59:59Z", "", "", false},
		{"after it", jeantrail.BudgetPeriod, "2026-03-01", "2026-03-11", "2026-03-11T00:00:00Z", "", "", false},
		{"the guide's day goes on", jeantrail.BudgetDaily, "2026-03-01", "2026-03-02", "2026-05-04T12:00:00Z", "2026-05-04", "2026-05-05", true},
		{"but not before it", jeantrail.BudgetDaily, "2026-03-01", "2026-03-02", "2026-02-28T12:00:00Z", "", "", false},
		{"ten days of days", jeantrail.BudgetDaily, "2026-03-01", "2026-03-11", "2026-03-10T12:00:00Z", "2026-03-10", "2026-03-11", true},
		{"are over", jeantrail.BudgetDaily, "2026-03-01", "2026-03-11", "2026-03-11T12:00:00Z", "", "", false},
		{"a week written as one goes on", jeantrail.BudgetWeekly, "2026-03-02", "2026-03-09", "2026-03-30T12:00:00Z", "2026-03-30", "2026-04-06", true},
		{"a month written as one goes on", jeantrail.BudgetMonthly, "2026-03-01", "2026-04-01", "2026-06-30T12:00:00Z", "2026-06-01", "2026-07-01", true},
		{"in all, ended", jeantrail.BudgetTotal, "2026-03-01", "2026-03-02", "2026-03-02T12:00:00Z", "", "", false},
	} {
		b := jeantrail.Budget{Type: tt.typ, PeriodStart: day(tt.start), PeriodEnd: day(tt.end)}
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		w, applies := b.Window(at)
		if applies != tt.applies || !w.Start.Equal(day(tt.from)) || !w.End.Equal(day(tt.to)) {
			t.Errorf("%s: from %v to %v, applies %v", tt.name, w.Start, w.End, applies)
		}
	}
}

// The windows of a recurring budget follow each other without a gap.
func TestWindowsFollowEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := jeantrail.Budget{Type: rapid.SampledFrom([]jeantrail.BudgetType{jeantrail.BudgetDaily, jeantrail.BudgetWeekly, jeantrail.BudgetMonthly}).Draw(t, "type")}
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0)
		w, ok := b.Window(at)
		if !ok || at.Before(w.Start) || !at.Before(w.End) {
			t.Fatalf("the window of %v is %v", at, w)
		}
		next, _ := b.Window(w.End)
		last, _ := b.Window(w.End.Add(-time.Nanosecond))
		if !next.Start.Equal(w.End) || last != w {
			t.Fatalf("after %v comes %v, its last instant is in %v", w, next, last)
		}
	})
}

func TestBudgetValidate(t *testing.T) {
	good := func() jeantrail.Budget {
		return jeantrail.Budget{Type: jeantrail.BudgetDaily, AmountCents: 1000, AlertThreshold: 80}
	}
	if b := good(); b.Validate() != nil {
		t.Fatalf("a good budget: %v", b.Validate())
	}
	for name, change := range map[string]func(*jeantrail.Budget){
		"type":            func(b *jeantrail.Budget) { b.Type = "hourly" },
		"negative":        func(b *jeantrail.Budget) { b.AmountCents = -1 },
		"more than money": func(b *jeantrail.Budget) { b.AmountCents = jeantrail.MaxBudgetCents + 1 },
		"threshold":       func(b *jeantrail.Budget) { b.AlertThreshold = 0 },
		"over 100 %":      func(b *jeantrail.Budget) { b.AlertThreshold = 101 },
		"no period":       func(b *jeantrail.Budget) { b.Type = jeantrail.BudgetPeriod },
		"part of a day":   func(b *jeantrail.Budget) { b.PeriodStart = day("2026-03-01").Add(time.Hour) },
		"backwards":       func(b *jeantrail.Budget) { b.PeriodStart, b.PeriodEnd = day("2026-03-02"), day("2026-03-01") },
	} {
		b := good()
		change(&b)
		if e := b.Validate(); jeantrail.CodeOf(e) != jeantrail.CodeInvalid {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestStandingNumbers(t *testing.T) {
	for _, tt := range []struct {
		cents           int64
		spent, reserved jeantrail.Money
		remaining       jeantrail.Money
		percent         int64
	}{
		{10, 0, 0, 100_000, 0},
		{10, 30_000, 20_000, 50_000, 50},
		{10, 99_999, 0, 1, 99},
		{10, 100_000, 0, 0, 100},
		{10, 150_000, 100_000, 0, 250},
		{0, 0, 0, 0, 100},
		{jeantrail.MaxBudgetCents, jeantrail.MaxMoney / 2, 0, 0, 50},
		{jeantrail.MaxBudgetCents, jeantrail.MaxMoney, jeantrail.MaxMoney, 0, 100},
	} {
		s := jeantrail.BudgetStanding{Budget: jeantrail.Budget{AmountCents: tt.cents}, Spent: tt.spent, Reserved: tt.reserved}
		if tt.cents < jeantrail.MaxBudgetCents && s.Remaining() != tt.remaining || s.UsedPercent() != tt.percent || s.Remaining() < 0 {
			t.Errorf("%d cents, %d spent, %d reserved: %d remain, %d %%", tt.cents, tt.spent, tt.reserved, s.Remaining(), s.UsedPercent())
		}
	}
}

func TestHistogram(t *testing.T) {
	var h jeantrail.Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	for _, d := range []time.Duration{0, 10 * time.Millisecond, 11 * time.Millisecond, 700 * time.Millisecond, time.Hour} {
		h.Buckets[jeantrail.HistogramBucket(d)]++
		h.Max = max(h.Max, d)
	}
	if want := [jeantrail.HistogramBuckets]int64{2, 1, 0, 0, 1, 0, 0, 0, 0, 1}; h.Buckets != want {
		t.Errorf("buckets %v, want %v", h.Buckets, want)
	}
	for q, want := range map[float64]time.Duration{0: 10 * time.Millisecond, 0.5: 50 * time.Millisecond, 0.75: time.Second, 1: time.Hour} {
		if got := h.Quantile(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if len(jeantrail.HistogramBounds()) != jeantrail.HistogramBuckets-1 {
		t.Error("a bound is missing or too many")
	}
}
