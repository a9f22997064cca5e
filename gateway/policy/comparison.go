package policy

import (
	"math"
	"strconv"
	"strings"
)

// comparison holds of the whole numbers from low to high, both included, or of
// all others.
type comparison struct {
	low, high int64
	outside   bool
}

func (c comparison) holds(n int64) bool { return (c.low <= n && n <= c.high) != c.outside }

// The hints say how a comparison is written.
const (
	comparisonHint = `Write a whole number after <, <=, >, >=, = or !=, as in "<100", a range such as "100..200", or a number.`
	hourHint       = `Write an hour from 0 to 23, a range such as "9-17" or "22-6", a comparison such as ">=18", or a list of these.`
)

// comparison reads a number, or a string that compares with one. It refuses
// what holds of no number from 0 to most.
func (m member) comparison(most int64, hint string) (comparison, error) {
	text := string(m.value)
	switch kindOf(m.value) {
	case "a number":
	case "a string":
		var err error
		if text, err = m.text(); err != nil {
			return comparison{}, err
		}
	default:
		return comparison{}, m.wrongType("a number or a string that compares with one").WithHint("%s", hint)
	}
	c, ok := parseComparison(text)
	if !ok {
		return comparison{}, refuse(m.path, "is %s, which compares with no whole number", quote(text)).WithHint("%s", hint)
	}
	if !c.canHold(most) {
		return comparison{}, refuse(m.path, "is %s, which holds of nothing", quote(text)).WithHint("%s", hint)
	}
	return c, nil
}

// canHold reports whether the comparison holds of any number from 0 to most.
func (c comparison) canHold(most int64) bool {
	if c.outside {
		return c.low > 0 || c.high < most
	}
	return c.low <= c.high && c.low <= most && c.high >= 0
}

// parseComparison reads the text of a comparison.
func parseComparison(text string) (comparison, bool) {
	text = strings.TrimSpace(text)
	if from, to, ok := strings.Cut(text, ".."); ok {
		low, okLow := wholeNumber(from)
		high, okHigh := wholeNumber(to)
		return comparison{low: low, high: high}, okLow && okHigh
	}
	operator := text[:len(text)-len(strings.TrimLeft(text, "<>=!"))]
	n, ok := wholeNumber(text[len(operator):])
	switch operator {
	case "", "=":
		return comparison{low: n, high: n}, ok
	case "!=":
		return comparison{low: n, high: n, outside: true}, ok
	case "<":
		return comparison{low: math.MinInt64, high: n - 1}, ok
	case "<=":
		return comparison{low: math.MinInt64, high: n}, ok
	case ">":
		return comparison{low: n + 1, high: math.MaxInt64}, ok
	case ">=":
		return comparison{low: n, high: math.MaxInt64}, ok
	default:
		return comparison{}, false
	}
}

// wholeNumber reads up to 18 decimal digits, with spaces around them.
func wholeNumber(text string) (int64, bool) {
	text = strings.TrimSpace(text)
	if len(text) > 18 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}
