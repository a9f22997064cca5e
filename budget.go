package jeantrail

import (
	"slices"
	"time"
)

// BudgetType says how a budget's windows follow each other.
type BudgetType string

// The types. Windows begin and end at midnight UTC.
const (
	BudgetDaily   BudgetType = "daily"
	BudgetWeekly  BudgetType = "weekly"  // from Monday on
	BudgetMonthly BudgetType = "monthly" // calendar months
	BudgetTotal   BudgetType = "total"   // one window without an end
	BudgetPeriod  BudgetType = "period"  // one window, from PeriodStart to PeriodEnd
)

// BudgetTypes lists every type.
func BudgetTypes() []BudgetType {
	return []BudgetType{BudgetDaily, BudgetWeekly, BudgetMonthly, BudgetTotal, BudgetPeriod}
}

// DefaultAlertThreshold is the share of a budget, in percent, at which its
// owner is told.
const DefaultAlertThreshold = 80

// MaxBudgetCents is the largest budget: what Money can still count.
const MaxBudgetCents = int64(MaxMoney) / MicrosPerCent

// Budget is an amount that one user, or everybody together, may spend in each
// of its windows.
type Budget struct {
	ID             string // UUIDv7
	UserID         string // "" is everybody together
	Type           BudgetType
	AmountCents    int64
	PeriodStart    time.Time // midnight UTC; zero: since ever
	PeriodEnd      time.Time // midnight UTC, not included; zero: without end
	AlertThreshold int       // percent, 1 to 100
	CreatedAt      time.Time
}

// Limit is the amount as Money.
func (b *Budget) Limit() Money { return Money(MicrosPerCent).Times(b.AmountCents) }

// Validate reports the first thing wrong with the budget.
func (b *Budget) Validate() error {
	day := 24 * time.Hour
	switch {
	case len(b.UserID) > MaxUserIDBytes:
		return Errorf(CodeInvalid, "user_id must be at most %d bytes long", MaxUserIDBytes)
	case !slices.Contains(BudgetTypes(), b.Type):
		return Errorf(CodeInvalid, "budget_type %q is not known", b.Type).
			WithHint("Use daily, weekly, monthly, total or period.")
	case b.AmountCents < 0 || b.AmountCents > MaxBudgetCents:
		return Errorf(CodeInvalid, "amount_cents is %d, it must be between 0 and %d", b.AmountCents, MaxBudgetCents)
	case b.AlertThreshold < 1 || b.AlertThreshold > 100:
		return Errorf(CodeInvalid, "alert_threshold_percentage is %d, it must be between 1 and 100", b.AlertThreshold)
	case b.Type == BudgetPeriod && (b.PeriodStart.IsZero() || b.PeriodEnd.IsZero()):
		return Errorf(CodeInvalid, "a budget of type period needs period_start and period_end")
	case !b.PeriodStart.Equal(b.PeriodStart.Truncate(day)) || !b.PeriodEnd.Equal(b.PeriodEnd.Truncate(day)):
		return Errorf(CodeInvalid, "a period begins and ends with a day (UTC)")
	case !b.PeriodStart.IsZero() && !b.PeriodEnd.IsZero() && !b.PeriodStart.Before(b.PeriodEnd):
		return Errorf(CodeInvalid, "period_end must be after period_start")
	}
	return nil
}

// Window is a stretch of time in which spending counts against a budget.
type Window struct {
	Start time.Time // zero: since ever
	End   time.Time // not included; zero: without end
}

// Window returns the window that holds an instant, and false if the budget does
// not apply then: before its period_start, or after its period_end.
//
// A recurring budget whose period is just its first window, as the integration
// guide writes it ('daily', today, tomorrow), goes on window after window; a
// later period_end ends it.
func (b *Budget) Window(at time.Time) (Window, bool) {
	at = at.UTC()
	if !b.PeriodStart.IsZero() && at.Before(b.PeriodStart) {
		return Window{}, false
	}
	if end := b.PeriodEnd; !end.IsZero() && !at.Before(end) && !b.recurs() {
		return Window{}, false
	}
	var w Window
	midnight := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	switch b.Type {
	case BudgetDaily:
		w = Window{midnight, midnight.AddDate(0, 0, 1)}
	case BudgetWeekly:
		monday := midnight.AddDate(0, 0, -(int(midnight.Weekday())+6)%7)
		w = Window{monday, monday.AddDate(0, 0, 7)}
	case BudgetMonthly:
		first := time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
		w = Window{first, first.AddDate(0, 1, 0)}
	default:
		w = Window{b.PeriodStart, b.PeriodEnd}
	}
	return w, true
}

// recurs reports whether the period of the budget is only its first window.
func (b *Budget) recurs() bool {
	start, end := b.PeriodStart, b.PeriodEnd
	if start.IsZero() || end.IsZero() {
		return false
	}
	switch b.Type {
	case BudgetDaily:
		return !end.After(start.AddDate(0, 0, 1))
	case BudgetWeekly:
		return !end.After(start.AddDate(0, 0, 7))
	case BudgetMonthly:
		return !end.After(start.AddDate(0, 1, 0))
	default:
		return false
	}
}

// BudgetStanding is how much of a budget's window is used at an instant.
type BudgetStanding struct {
	Budget
	Window   Window
	Spent    Money // charged to jobs that ended in the window
	Reserved Money // held for jobs that have not ended
}

// Remaining is what is neither spent nor reserved, at least 0.
func (s *BudgetStanding) Remaining() Money {
	return max(0, s.Limit()-min(s.Limit(), s.Spent.Add(s.Reserved)))
}

// UsedPercent is the share that is spent or reserved, in percent, rounded down;
// 100 for a budget of nothing.
func (s *BudgetStanding) UsedPercent() int64 {
	limit, used := s.Limit(), s.Spent.Add(s.Reserved)
	if used >= limit {
		if limit == 0 {
			return 100
		}
		return int64(min(used/max(1, limit/100), 1_000_000))
	}
	return percentOf(used, limit)
}

// percentOf returns floor(100*part/whole) for part < whole, without overflow.
func percentOf(part, whole Money) int64 {
	if part <= MaxMoney/100 {
		return int64(part * 100 / whole)
	}
	return int64(part / (whole / 100))
}

// Alert says that the spending of a budget's window has reached a share of it.
// There is one for each budget, window and percentage.
type Alert struct {
	BudgetID string
	UserID   string // whose budget it is; "" is everybody's
	Percent  int    // the budget's threshold, or 100
	Window   Window
	Limit    Money
	Spent    Money
	At       time.Time
}
