package ledger_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/ledger"
)

// standing is a budget of so many cents with so much used.
func standing(id string, cents int64, spent, reserved jeantrail.Money) jeantrail.BudgetStanding {
	return jeantrail.BudgetStanding{
		Budget: jeantrail.Budget{ID: id, Type: jeantrail.BudgetTotal, AmountCents: cents, AlertThreshold: 80},
		Spent:  spent, Reserved: reserved,
	}
}

func TestAudioIsRoundedUpOnceForEachDirection(t *testing.T) {
	price := jeantrail.Price{AudioInSecond: 10_000, AudioOutSecond: 5_000}
	ms := time.Millisecond
	for _, tt := range []struct {
		name  string
		price jeantrail.Price
		usage jeantrail.Usage
		want  jeantrail.Money
	}{
		{"a second heard", price, jeantrail.Usage{AudioIn: time.Second}, 10_000},
		{"a second made", price, jeantrail.Usage{AudioOut: time.Second}, 5_000},
		{"a millisecond", price, jeantrail.Usage{AudioIn: ms}, 10},
		{"exactly a micro-dollar", jeantrail.Price{AudioInSecond: 1}, jeantrail.Usage{AudioIn: time.Second}, 1},
		{"just under", jeantrail.Price{AudioInSecond: 1}, jeantrail.Usage{AudioIn: 999 * ms}, 1},
		{"just over", jeantrail.Price{AudioInSecond: 1}, jeantrail.Usage{AudioIn: 1001 * ms}, 2},
		{"both, each rounded", jeantrail.Price{AudioInSecond: 1, AudioOutSecond: 1}, jeantrail.Usage{AudioIn: ms, AudioOut: ms}, 2},
		{"nothing heard", price, jeantrail.Usage{}, 0},
		{"free", jeantrail.Price{}, jeantrail.Usage{AudioIn: time.Hour}, 0},
		{"does not wrap", jeantrail.Price{AudioInSecond: jeantrail.MaxMoney}, jeantrail.Usage{AudioIn: time.Hour}, jeantrail.MaxMoney},
		{"largest that fits", jeantrail.Price{AudioInSecond: jeantrail.MaxMoney - 1}, jeantrail.Usage{AudioIn: time.Second}, jeantrail.MaxMoney - 1},
		{"images", jeantrail.Price{Image: 50_000}, jeantrail.Usage{Images: 3}, 150_000},
	} {
		if got := ledger.Charge(tt.price, tt.usage); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestDecide(t *testing.T) {
	price := jeantrail.Price{PromptToken: 1000, CompletionToken: 1000}
	closed := jeantrail.Bounds{PromptTokens: 10, CompletionTokens: 100} // 110,000
	open := closed
	open.Open = true
	for _, tt := range []struct {
		name      string
		standings []jeantrail.BudgetStanding
		price     jeantrail.Price
		bounds    jeantrail.Bounds
		hold      jeantrail.Money
		refused   string
	}{
		{"no budget", nil, price, closed, 110_000, ""},
		{"fits to the micro-dollar", []jeantrail.BudgetStanding{standing("a", 11, 0, 0)}, price, closed, 110_000, ""},
		{"one too few", []jeantrail.BudgetStanding{standing("a", 11, 1, 0)}, price, closed, 0, "a"},
		{"reserved counts like spent", []jeantrail.BudgetStanding{standing("a", 11, 0, 1)}, price, closed, 0, "a"},
		{"the tightest of several", []jeantrail.BudgetStanding{standing("a", 100, 0, 0), standing("b", 10, 0, 0), standing("c", 1, 0, 0)}, price, closed, 0, "b"},
		{"an open answer is shortened", []jeantrail.BudgetStanding{standing("a", 5, 0, 0)}, price, open, 50_000, ""},
		{"but not below an answer", []jeantrail.BudgetStanding{standing("a", 10, 74_001, 0)}, price, open, 0, "a"},
		{"just an answer", []jeantrail.BudgetStanding{standing("a", 10, 74_000, 0)}, price, open, 26_000, ""},
		{"free is never refused", []jeantrail.BudgetStanding{standing("a", 0, 0, 0)}, jeantrail.Price{}, closed, 0, ""},
		{"overspent already", []jeantrail.BudgetStanding{standing("a", 1, 999_999, 0)}, price, open, 0, "a"},
	} {
		d := ledger.Decide(tt.standings, tt.price, tt.bounds)
		refused := ""
		if d.Refused != nil {
			refused = d.Refused.ID
		}
		if d.Hold != tt.hold || refused != tt.refused || d.Need != ledger.Estimate(tt.price, tt.bounds) {
			t.Errorf("%s: hold %d, refused by %q, need %d", tt.name, d.Hold, refused, d.Need)
		}
	}
}

// What is held never takes a budget over its limit, and a job that ends where
// its allowance does never costs more than its hold.
func TestHoldsFitAndAllowancesFitHolds(t *testing.T) {
	money := func(name string, most int64, t *rapid.T) jeantrail.Money {
		return jeantrail.Money(rapid.Int64Range(0, most).Draw(t, name))
	}
	rapid.Check(t, func(t *rapid.T) {
		price := jeantrail.Price{PromptToken: money("prompt price", 3000, t), CachedToken: money("cached price", 3000, t), CompletionToken: money("price", 3000, t)}
		bounds := jeantrail.Bounds{
			PromptTokens: rapid.IntRange(1, 500).Draw(t, "prompt"), CompletionTokens: rapid.IntRange(1, 500).Draw(t, "completion"),
			Open: rapid.Bool().Draw(t, "open"),
		}
		var standings []jeantrail.BudgetStanding
		for range rapid.IntRange(0, 3).Draw(t, "budgets") {
			standings = append(standings, standing("b", rapid.Int64Range(0, 200).Draw(t, "cents"), money("spent", 2_000_000, t), money("reserved", 500_000, t)))
		}
		d := ledger.Decide(standings, price, bounds)
		if d.Hold > d.Need {
			t.Fatalf("hold %d of a need of %d", d.Hold, d.Need)
		}
		for _, s := range standings {
			if d.Hold > 0 && s.Spent.Add(s.Reserved).Add(d.Hold) > s.Limit() {
				t.Fatalf("a hold of %d does not fit %+v", d.Hold, s)
			}
		}
		if d.Refused != nil {
			if d.Hold != 0 || d.Need <= d.Refused.Remaining() {
				t.Fatalf("refused a need of %d by %+v", d.Need, *d.Refused)
			}
			return
		}
		cached := rapid.IntRange(0, bounds.PromptTokens).Draw(t, "cached")
		tokens := min(ledger.Allowance(price, d.Hold, bounds.PromptTokens, cached), bounds.CompletionTokens)
		if tokens < min(bounds.CompletionTokens, ledger.LeastAnswer) {
			t.Fatalf("the hold of %d leaves %d tokens", d.Hold, tokens)
		}
		cost := ledger.Charge(price, jeantrail.Usage{PromptTokens: bounds.PromptTokens, CachedTokens: cached, CompletionTokens: tokens})
		if cost > d.Hold {
			t.Fatalf("a job within its allowance costs %d, its hold is %d", cost, d.Hold)
		}
	})
}

func TestDue(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spent jeantrail.Money
		cents int64
		want  []int
	}{
		{"below", 79_999, 10, nil},
		{"at the threshold", 80_000, 10, []int{80}},
		{"between", 99_999, 10, []int{80}},
		{"all of it", 100_000, 10, []int{80, 100}},
		{"a budget of nothing is used up", 0, 0, []int{80, 100}},
		{"the largest budget", jeantrail.MaxMoney / 2, jeantrail.MaxBudgetCents, nil},
	} {
		var got []int
		for _, a := range ledger.Due([]jeantrail.BudgetStanding{standing("a", tt.cents, tt.spent, 0)}) {
			if a.BudgetID != "a" || a.Spent != tt.spent {
				t.Errorf("%s: %+v", tt.name, a)
			}
			got = append(got, a.Percent)
		}
		if len(got) != len(tt.want) || len(got) > 0 && got[0] != tt.want[0] {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	s := standing("a", 10, 100_000, 0)
	s.AlertThreshold = 100
	if got := ledger.Due([]jeantrail.BudgetStanding{s}); len(got) != 1 || got[0].Percent != 100 {
		t.Errorf("a threshold of 100 raises %+v", got)
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name            string
		spent, reserved jeantrail.Money
		want            []int
	}{
		{"much is left", 10_000, 0, nil},
		{"nearly used up", 85_000, 0, []int{80, 100}},
		{"nearly held up", 50_000, 30_000, []int{100}},
		{"used up", 100_000, 0, []int{80, 100}},
	} {
		s := standing("a", 10, tt.spent, tt.reserved)
		var got []int
		for _, a := range ledger.Refused(&s) {
			got = append(got, a.Percent)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestSumAndUsed(t *testing.T) {
	if got := ledger.Sum(1, 2, 3); got != 6 {
		t.Errorf("Sum = %d", got)
	}
	if got := ledger.Sum(jeantrail.MaxMoney, 1); got != jeantrail.MaxMoney {
		t.Errorf("Sum wraps to %d", got)
	}
	if percent, any := ledger.Used(nil); any || percent != 0 {
		t.Errorf("without a budget %d %v are used", percent, any)
	}
	percent, any := ledger.Used([]jeantrail.BudgetStanding{standing("a", 10, 10_000, 0), standing("b", 10, 20_000, 35_999)})
	if !any || percent != 55 {
		t.Errorf("%d %% are used, want 55", percent)
	}
}
