package ledger

import (
	"math"
	"math/bits"

	"github.com/jeantrail/jeantrail-ai"
)

// LeastAnswer is how many tokens a budget must have room for after the prompt,
// for an answer whose length the caller left open: a shorter one is not worth
// its prompt.
const LeastAnswer = 16

// Estimate returns the most that work within the bounds can cost. Every prompt
// token counts at the dearer of the plain and the cached price, because nobody
// knows beforehand which ones the KV cache will serve.
//
// An amount that does not fit is jeantrail.MaxMoney, which no budget has.
func Estimate(p jeantrail.Price, b jeantrail.Bounds) jeantrail.Money {
	amount := max(p.PromptToken, p.CachedToken).Times(int64(b.PromptTokens))
	amount = amount.Add(p.CompletionToken.Times(int64(b.CompletionTokens)))
	amount = amount.Add(p.Image.Times(int64(b.Images)))
	amount = amount.Add(audio(p.AudioInSecond, b.AudioIn.Milliseconds()))
	return amount.Add(audio(p.AudioOutSecond, b.AudioOut.Milliseconds()))
}

// Sum returns the most that several jobs can cost together, for example the
// stages of a workflow.
func Sum(estimates ...jeantrail.Money) jeantrail.Money {
	var sum jeantrail.Money
	for _, e := range estimates {
		sum = sum.Add(e)
	}
	return sum
}

// Charge returns what the usage costs: cached prompt tokens at their own price,
// the other prompt tokens and all sampled tokens at theirs, images and seconds
// of audio at theirs. Cached tokens beyond the prompt are none.
//
// Only audio can cost a fraction of a micro-dollar. It is measured in
// milliseconds, and what a job's heard and made audio cost is rounded up to a
// whole micro-dollar, once each.
func Charge(p jeantrail.Price, u jeantrail.Usage) jeantrail.Money {
	amount := prompt(p, u.PromptTokens, u.CachedTokens)
	amount = amount.Add(p.CompletionToken.Times(int64(u.CompletionTokens)))
	amount = amount.Add(p.Image.Times(int64(u.Images)))
	amount = amount.Add(audio(p.AudioInSecond, u.AudioIn.Milliseconds()))
	return amount.Add(audio(p.AudioOutSecond, u.AudioOut.Milliseconds()))
}

func prompt(p jeantrail.Price, tokens, cached int) jeantrail.Money {
	tokens = max(tokens, 0)
	cached = min(max(cached, 0), tokens)
	return p.PromptToken.Times(int64(tokens - cached)).Add(p.CachedToken.Times(int64(cached)))
}

// audio returns the price of milliseconds, rounded up.
func audio(second jeantrail.Money, ms int64) jeantrail.Money {
	if second <= 0 || ms <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(second), uint64(ms))
	if hi >= 1000 { // the quotient would not fit
		return jeantrail.MaxMoney
	}
	quotient, rest := bits.Div64(hi, lo, 1000)
	if quotient >= uint64(jeantrail.MaxMoney) {
		return jeantrail.MaxMoney
	}
	if rest > 0 {
		quotient++
	}
	return jeantrail.Money(quotient)
}

// Allowance returns how many tokens a job may sample after its prompt before
// its hold is used up.
func Allowance(p jeantrail.Price, hold jeantrail.Money, promptTokens, cachedTokens int) int {
	if p.CompletionToken <= 0 {
		return math.MaxInt
	}
	return int(max(0, hold-prompt(p, promptTokens, cachedTokens)) / p.CompletionToken)
}

// Decision is what the budgets make of a request.
type Decision struct {
	Need jeantrail.Money // the most that the request can cost
	// Least is what a budget must have room for: Need, or less if the caller
	// left the length of the answer open.
	Least jeantrail.Money
	Hold  jeantrail.Money // what to reserve; less than Need if the answer is shortened
	// Refused is the budget that has no room, nil if the request may run.
	Refused *jeantrail.BudgetStanding
}

// Decide says what to hold for a request whose user's budgets stand as given.
// What costs nothing is never refused. A request that does not fit the tightest
// budget is refused, unless its caller left the length of the answer open: then
// the answer is held to what there is room for, if that is an answer at all.
func Decide(standings []jeantrail.BudgetStanding, p jeantrail.Price, b jeantrail.Bounds) Decision {
	d := Decision{Need: Estimate(p, b)}
	d.Hold, d.Least = d.Need, d.Need
	if d.Need == 0 {
		return d
	}
	if b.Open {
		short := b
		short.CompletionTokens = min(b.CompletionTokens, LeastAnswer)
		d.Least = Estimate(p, short)
	}
	for i := range standings {
		remaining := standings[i].Remaining()
		if remaining >= d.Hold {
			continue
		}
		d.Hold = remaining
		if remaining < d.Least && d.Refused == nil {
			d.Refused = &standings[i]
		}
	}
	if d.Refused != nil {
		d.Hold = 0
	}
	return d
}

// Short returns the first budget that has no room for an amount, nil if all have.
// What costs nothing fits everywhere.
func Short(standings []jeantrail.BudgetStanding, need jeantrail.Money) *jeantrail.BudgetStanding {
	for i := range standings {
		if need > 0 && standings[i].Remaining() < need {
			return &standings[i]
		}
	}
	return nil
}

// Used returns the share, in percent, that is used of the budget that is used
// most, and false if there is none.
func Used(standings []jeantrail.BudgetStanding) (percent int64, any bool) {
	for i := range standings {
		percent = max(percent, standings[i].UsedPercent())
	}
	return percent, len(standings) > 0
}

// Due returns the alerts of budgets whose spending has reached their threshold,
// or all of them. Who keeps them knows which were raised before.
func Due(standings []jeantrail.BudgetStanding) []jeantrail.Alert {
	var due []jeantrail.Alert
	for i := range standings {
		s := &standings[i]
		if reached(s, s.AlertThreshold) && s.AlertThreshold < 100 {
			due = append(due, alert(s, s.AlertThreshold))
		}
		if reached(s, 100) {
			due = append(due, alert(s, 100))
		}
	}
	return due
}

// Refused returns the alerts of a budget that had no room for a request. If it is
// used beyond its threshold it counts as used up then: nothing would tell its
// owner, since what does not fit is not spent. A request that is too large for a
// budget with much left says nothing about the budget.
func Refused(s *jeantrail.BudgetStanding) []jeantrail.Alert {
	due := Due([]jeantrail.BudgetStanding{*s})
	if !reached(s, 100) && s.UsedPercent() >= int64(s.AlertThreshold) {
		due = append(due, alert(s, 100))
	}
	return due
}

// reached reports whether spent/limit >= percent/100, without a fraction.
func reached(s *jeantrail.BudgetStanding, percent int) bool {
	spentHi, spentLo := bits.Mul64(uint64(max(0, s.Spent)), 100)
	limitHi, limitLo := bits.Mul64(uint64(s.Limit()), uint64(percent))
	return spentHi > limitHi || spentHi == limitHi && spentLo >= limitLo
}

func alert(s *jeantrail.BudgetStanding, percent int) jeantrail.Alert {
	return jeantrail.Alert{
		BudgetID: s.ID, UserID: s.UserID, Percent: percent, Window: s.Window, Limit: s.Limit(), Spent: s.Spent,
	}
}
