package energy

import (
	"math"
	"math/bits"

	"github.com/jeantrail/jeantrail-ai"
)

// millijoulePerKWh is how many millijoules a kilowatt-hour has: 1,000 W for
// 3,600 s, in thousandths.
const millijoulePerKWh = 1000 * 3600 * 1000

// Price returns what an amount of energy costs at a price of a kilowatt-hour,
// in whole micro-dollars, rounded half up: 0.5 becomes 1. It is held at
// jeantrail.MaxMoney. An amount or a price that is not positive costs nothing.
func Price(millijoule int64, perKWh jeantrail.Money) jeantrail.Money {
	if millijoule <= 0 || perKWh <= 0 {
		return 0
	}
	// The product may need 126 bits; with the half added it still fits 128.
	high, low := bits.Mul64(uint64(millijoule), uint64(perKWh))
	low, carry := bits.Add64(low, millijoulePerKWh/2, 0)
	high += carry
	if high >= millijoulePerKWh { // the quotient has more than 64 bits
		return jeantrail.MaxMoney
	}
	cost, _ := bits.Div64(high, low, millijoulePerKWh)
	return jeantrail.Money(min(cost, math.MaxInt64))
}
