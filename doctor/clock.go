package doctor

import (
	"strings"
	"time"
)

// Clock is what time it is, and what was written by which time. What is not known
// is zero.
type Clock struct {
	Now    time.Time
	Built  time.Time     // the source of this program was committed, or its file written
	Newest time.Time     // entry of the database
	Files  time.Time     // the newest change of a file in the home
	Moved  time.Duration // by which the clock was set on while the instance runs; negative: back
}

const (
	// skew is what two clocks may differ by.
	skew = 5 * time.Minute
)

// CheckClock judges the clock by which costs and budgets go.
func CheckClock(c Clock) []Finding {
	const name = "clock"
	set := "sudo timedatectl set-ntp true, or set it: sudo date -s '…'"
	var found []Finding
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	if !c.Built.IsZero() && c.Now.Before(c.Built.Add(-skew)) {
		found = append(found, problem(name, "It is %s by the clock, which is before this program was made (%s).", day(c.Now), day(c.Built)).
			because("Costs and budgets go by days and months, and certificates of hubs seem not valid yet.").mend(set))
	}
	if newest := later(c.Newest, c.Now); newest > 0 {
		found = append(found, problem(name, "It is %s by the clock, and the newest entry in the database is of %s, %s later.", day(c.Now), day(c.Newest), span(newest)).
			because("New jobs stand before old ones, and count for the budget of another day.").mend(set))
	} else if newest := later(c.Files, c.Now); newest > 0 {
		found = append(found, warning(name, "It is %s by the clock, and a file in the home was written %s later.", day(c.Now), span(newest)).
			because("The clock was set back; costs of the time between count for the wrong day.").mend(set))
	}
	if c.Moved > skew || c.Moved < -skew {
		way := "on"
		if c.Moved < 0 {
			way = "back"
		}
		found = append(found, warning(name, "The clock was set %s by %s since the instance was started.", way, span(c.Moved.Abs())).
			because("Costs before that count for the wrong time, and its timers may be.").
			mend("See whether the clock is right now: timedatectl", "Then start the instance anew."))
	}
	return orGood(found, good(name, "It is %s UTC, and nothing here was written later.", day(c.Now)))
}

// later is by how much t is after now, 0 if that is no more than clocks differ.
func later(t, now time.Time) time.Duration {
	if d := t.Sub(now); !t.IsZero() && d > skew {
		return d
	}
	return 0
}

// span writes a duration in its largest units.
func span(d time.Duration) string {
	if days := int(d / (24 * time.Hour)); days > 0 {
		return plural(days, "day", "days")
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
