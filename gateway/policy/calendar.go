package policy

import (
	"strconv"
	"strings"
)

// set holds small numbers, one a bit: hours or days of the week.
type set uint32

func (s set) has(n int) bool { return 0 <= n && n < 32 && s&(1<<n) != 0 }

// span returns the numbers from one to another, both included, that count from
// 0 to size-1 and then from 0 again.
func span(from, to, size int) set {
	var s set
	for n := from; ; n = (n + 1) % size {
		s |= 1 << n
		if n == to {
			return s
		}
	}
}

const hoursOfDay = 24

// hours reads an hour, a range or comparison of hours, or a list of these.
func (m member) hours() (set, error) {
	items, err := m.items()
	if err != nil {
		return 0, err
	}
	var all set
	for _, item := range items {
		if from, to, ok := hourRange(item); ok {
			all |= span(from, to, hoursOfDay)
			continue
		}
		c, err := item.comparison(hoursOfDay-1, hourHint)
		if err != nil {
			return 0, err
		}
		for hour := range hoursOfDay {
			if c.holds(int64(hour)) {
				all |= 1 << hour
			}
		}
	}
	return all, nil
}

// hourRange reads a string such as "9-17".
func hourRange(m member) (from, to int, ok bool) {
	text, err := m.text()
	if err != nil {
		return 0, 0, false
	}
	first, last, _ := strings.Cut(text, "-")
	low, okLow := wholeNumber(first)
	high, okHigh := wholeNumber(last)
	return int(low), int(high), okLow && okHigh && low < hoursOfDay && high < hoursOfDay
}

// weekdayNames are the days as time.Weekday counts them.
var weekdayNames = [...]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

const weekdayHint = `Write "mon" or "monday", a range such as "mon-fri", or a list of these.`

// weekdays reads a day of the week, a range of days, or a list of these.
func (m member) weekdays() (set, error) {
	texts, err := m.texts()
	if err != nil {
		return 0, err
	}
	var all set
	for _, text := range texts {
		first, last, ranged := strings.Cut(text, "-")
		from, ok := weekday(first)
		to := from
		if ok && ranged {
			to, ok = weekday(last)
		}
		if !ok {
			return 0, refuse(m.path, "is %s, which is no day of the week", quote(text)).WithHint("%s", weekdayHint)
		}
		all |= span(from, to, len(weekdayNames))
	}
	return all, nil
}

// weekday reads the name of a day, whole or its first three letters, in any
// case.
func weekday(text string) (int, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	for i, name := range weekdayNames {
		if text == name || text == name[:3] {
			return i, true
		}
	}
	return 0, false
}

// weekdayName names a day, or shows a number that is none.
func weekdayName(day int) string {
	if day < 0 || day >= len(weekdayNames) {
		return strconv.Itoa(day)
	}
	return weekdayNames[day]
}
