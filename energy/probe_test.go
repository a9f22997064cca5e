package energy

import (
	"math"
	"testing"
	"time"
)

func TestCounterMoves(t *testing.T) {
	const second = maxWatts * 1_000_000 // microjoules of the most there is
	for _, c := range []struct {
		name                string
		most, before, after uint64
		elapsed             time.Duration
		want                int64 // -1: not known
	}{
		{"forward", 1000, 10, 25, time.Second, 15},
		{"not at all", 1000, 10, 10, time.Second, 0},
		{"over the end", 1000, 990, 25, time.Second, 35},
		{"from the very end", 1000, 1000, 0, time.Second, 0},
		{"back, and it never runs over", 0, 25, 10, time.Second, -1},
		{"back from beyond its end", 1000, 1002, 25, time.Second, -1},
		{"back from far below its end", 1 << 40, 25, 10, time.Second, -1},
		{"the most there is, and the lag", 1 << 40, 7, 7 + second + second/10, time.Second, second + second/10},
		{"a millijoule more", 1 << 40, 7, 7 + second + second/10 + 1000, time.Second, -1},
		{"no time went by", 1 << 40, 0, second / 10, 0, second / 10},
		{"the clock was set back", 1 << 40, 0, second / 10, -time.Hour, second / 10},
		{"all that a counter can hold", math.MaxUint64, 0, math.MaxUint64, math.MaxInt64, -1},
	} {
		counter := counter{label: "package-0", most: c.most}
		got, err := counter.drawn(c.before, c.after, c.elapsed)
		if c.want < 0 {
			if err == nil {
				t.Errorf("%s: %d uJ, want an error", c.name, got)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%s: %d uJ, want %d: %v", c.name, got, c.want, err)
		}
	}
}
