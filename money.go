package jeantrail

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Money is an amount in micro-dollars: 1_000_000 is one US dollar. It is an
// integer so that sums over millions of jobs are exact.
type Money int64

// MicrosPerUSD is the number of Money units in one US dollar.
const MicrosPerUSD = 1_000_000

// MicrosPerCent is the number of Money units in one US cent.
const MicrosPerCent = MicrosPerUSD / 100

// MaxMoney is the largest amount; sums and products stop there instead of
// wrapping round, so that an absurd request becomes an unaffordable one.
const MaxMoney Money = math.MaxInt64

// Add returns m+n, held at MaxMoney and its negative.
func (m Money) Add(n Money) Money {
	sum := m + n
	if n > 0 && sum < m {
		return MaxMoney
	}
	if n < 0 && sum > m {
		return -MaxMoney
	}
	return sum
}

// Times returns m multiplied by a count of units, held at MaxMoney. A negative
// count is a programming error and counts as zero.
func (m Money) Times(units int64) Money {
	if m <= 0 || units <= 0 {
		return 0
	}
	if int64(m) > math.MaxInt64/units {
		return MaxMoney
	}
	return m * Money(units)
}

// USD writes the amount as a decimal number of dollars with all six places,
// for example "0.001234".
func (m Money) USD() string {
	sign, n := "", uint64(m)
	if m < 0 {
		sign, n = "-", uint64(-m)
	}
	return fmt.Sprintf("%s%d.%06d", sign, n/MicrosPerUSD, n%MicrosPerUSD)
}

// String is USD with a dollar sign in front.
func (m Money) String() string { return "$" + m.USD() }

// ParseUSD reads a decimal number of dollars with at most six places, exactly.
func ParseUSD(s string) (Money, error) {
	bad := func() (Money, error) {
		return 0, Errorf(CodeInvalid, "parse amount %q: not a number of dollars with at most six decimal places", s)
	}
	digits, negative := strings.CutPrefix(strings.TrimSpace(s), "-")
	whole, frac, _ := strings.Cut(digits, ".")
	if len(frac) > 6 || (whole == "" && frac == "") || strings.ContainsAny(digits, "+-_ ") {
		return bad()
	}
	n, err := strconv.ParseInt(whole+frac+strings.Repeat("0", 6-len(frac)), 10, 64)
	if err != nil {
		return bad()
	}
	if negative {
		n = -n
	}
	return Money(n), nil
}
