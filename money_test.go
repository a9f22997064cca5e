package jeantrail_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func TestMoneyHoldsAtItsBounds(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want jeantrail.Money
	}{
		{"add", jeantrail.Money(3).Add(4), 7},
		{"add past the top", jeantrail.MaxMoney.Add(1), jeantrail.MaxMoney},
		{"add past the bottom", (-jeantrail.MaxMoney).Add(-2), -jeantrail.MaxMoney},
		{"times", jeantrail.Money(1000).Times(2048), 2_048_000},
		{"times past the top", jeantrail.Money(1000).Times(math.MaxInt64), jeantrail.MaxMoney},
		{"times nothing", jeantrail.Money(1000).Times(0), 0},
		{"times a negative count", jeantrail.Money(1000).Times(-1), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, c.got, c.want)
		}
	}
}

func TestUSDRoundTrip(t *testing.T) {
	for _, m := range []jeantrail.Money{0, 1, -1, 999_999, 1_000_000, 1_234_567, -50_000, 10_000_000_000_000} {
		got, err := jeantrail.ParseUSD(m.USD())
		if err != nil || got != m {
			t.Errorf("ParseUSD(%q) = %d, %v; want %d", m.USD(), got, err, m)
		}
	}
	if got := jeantrail.Money(1234).String(); got != "$0.001234" {
		t.Errorf("String() = %q", got)
	}
	for _, bad := range []string{"", ".", "1.2345678", "1e3", "--1", "+1", "1 2", "$5", "1.-2", "99999999999999999999"} {
		if got, err := jeantrail.ParseUSD(bad); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("ParseUSD(%q) = %d, %v; want it refused", bad, got, err)
		}
	}
}

func TestStatesMoveForwardOnly(t *testing.T) {
	for _, from := range jeantrail.States() {
		if !from.Valid() {
			t.Errorf("%s is not valid", from)
		}
		for _, to := range jeantrail.States() {
			if from.Terminal() && from.CanMoveTo(to) {
				t.Errorf("a %s job may become %s", from, to)
			}
			if to == jeantrail.StateQueued && from.CanMoveTo(to) {
				t.Errorf("a %s job may be queued again", from)
			}
		}
		if from.Terminal() && !jeantrail.EventOf(from).Terminal() {
			t.Errorf("the event of %s is not terminal", from)
		}
	}
	if jeantrail.StateQueued.CanMoveTo(jeantrail.StateSucceeded) {
		t.Error("a job may succeed without having run")
	}
}

func TestErrors(t *testing.T) {
	cause := io.ErrUnexpectedEOF
	err := fmt.Errorf("outer: %w", jeantrail.Errorf(jeantrail.CodeStorageFull, "write row: %w", cause).WithHint("free some space").WithNumber("bytes", 7))
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	e := jeantrail.AsError(err)
	if e.Code != jeantrail.CodeStorageFull || e.Hint != "free some space" || e.Numbers["bytes"] != 7 {
		t.Errorf("AsError = %+v", e)
	}
	if n := strings.Count(e.Error(), cause.Error()); n != 1 {
		t.Errorf("Error() names the cause %d times: %q", n, e.Error())
	}
	if hidden := jeantrail.AsError(errors.New("secret path")); strings.Contains(hidden.Message, "secret") || hidden.Code != jeantrail.CodeInternal {
		t.Errorf("an unknown error shows itself: %+v", hidden)
	}
	if jeantrail.CodeOf(nil) != "" {
		t.Error("nil has a code")
	}
}
