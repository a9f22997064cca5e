package energy

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
)

func TestPriceRoundsHalfUp(t *testing.T) {
	const kWh = 3_600_000_000 // millijoules
	for _, c := range []struct {
		millijoule int64
		perKWh     jeantrail.Money
		want       jeantrail.Money
	}{
		{kWh, 300_000, 300_000}, // 30 cents
		{kWh / 2, 300_000, 150_000},
		{kWh - 1, 1, 1},
		{kWh / 2, 1, 1},
		{kWh/2 - 1, 1, 0},
		{kWh + kWh/2, 1, 2},
		{kWh + kWh/2 - 1, 1, 1},
		{12_000, 300_000, 1}, // 12 J at 30 cents is exactly one micro-dollar
		{17_999, 300_000, 1},
		{18_000, 300_000, 2},
		{5_999, 300_000, 0},
		{6_000, 300_000, 1},
		{1, kWh / 2, 1},
		{1, kWh/2 - 1, 0},
		{0, 300_000, 0},
		{kWh, 0, 0},
		{-kWh, 300_000, 0},
		{kWh, -1, 0},
		{math.MinInt64, math.MinInt64, 0},
		{math.MaxInt64, 1, 2_562_047_788}, // 2562047788.02
		{math.MaxInt64, kWh, jeantrail.MaxMoney},
		{math.MaxInt64, kWh - 1, math.MaxInt64 - 2_562_047_788},
		{math.MaxInt64, kWh + 1, jeantrail.MaxMoney},
		{math.MaxInt64, jeantrail.MaxMoney, jeantrail.MaxMoney},
	} {
		if got := Price(c.millijoule, c.perKWh); got != c.want {
			t.Errorf("%d mJ at %d a kWh: %d, want %d", c.millijoule, c.perKWh, got, c.want)
		}
	}
}

func TestPriceIsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		millijoule := rapid.Int64Range(0, math.MaxInt64).Draw(rt, "millijoule")
		perKWh := rapid.Int64Range(0, math.MaxInt64).Draw(rt, "per kWh")
		want := new(big.Int).Mul(big.NewInt(millijoule), big.NewInt(perKWh))
		want.Add(want, big.NewInt(1_800_000_000)).Div(want, big.NewInt(3_600_000_000))
		if most := big.NewInt(math.MaxInt64); want.Cmp(most) > 0 {
			want = most
		}
		if got := Price(millijoule, jeantrail.Money(perKWh)); int64(got) != want.Int64() {
			rt.Errorf("got %d, want %s", got, want)
		}
	})
}
