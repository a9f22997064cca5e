package ledger_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/ledger"
)

func TestCharge(t *testing.T) {
	price := jeantrail.Price{PromptToken: 1000, CachedToken: 10, CompletionToken: 2000}
	tests := []struct {
		name  string
		usage jeantrail.Usage
		want  jeantrail.Money
	}{
		{"nothing", jeantrail.Usage{}, 0},
		{"prompt only", jeantrail.Usage{PromptTokens: 7}, 7000},
		{"cached part at its own price", jeantrail.Usage{PromptTokens: 7, CachedTokens: 5}, 2*1000 + 5*10},
		{"sampled tokens, reasoning included once", jeantrail.Usage{PromptTokens: 1, CompletionTokens: 3, ReasoningTokens: 2}, 7000},
		{"more cached than there was", jeantrail.Usage{PromptTokens: 2, CachedTokens: 9}, 20},
		{"negative counts are none", jeantrail.Usage{PromptTokens: -1, CachedTokens: -1, CompletionTokens: -1}, 0},
	}
	for _, tt := range tests {
		if got := ledger.Charge(price, tt.usage); got != tt.want {
			t.Errorf("%s: Charge = %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestEstimate(t *testing.T) {
	tests := []struct {
		name   string
		price  jeantrail.Price
		bounds jeantrail.Bounds
		want   jeantrail.Money
	}{
		{"plain", jeantrail.Price{PromptToken: 3, CompletionToken: 5}, jeantrail.Bounds{PromptTokens: 10, CompletionTokens: 4}, 50},
		{"dearer when cached", jeantrail.Price{PromptToken: 3, CachedToken: 4}, jeantrail.Bounds{PromptTokens: 10}, 40},
		{"free", jeantrail.Price{}, jeantrail.Bounds{PromptTokens: 10, CompletionTokens: 10}, 0},
		{"does not wrap in a product", jeantrail.Price{PromptToken: jeantrail.MaxMoney}, jeantrail.Bounds{PromptTokens: 2}, jeantrail.MaxMoney},
		{"does not wrap in the sum", jeantrail.Price{PromptToken: jeantrail.MaxMoney, CompletionToken: jeantrail.MaxMoney},
			jeantrail.Bounds{PromptTokens: 1, CompletionTokens: 1}, jeantrail.MaxMoney},
	}
	for _, tt := range tests {
		if got := ledger.Estimate(tt.price, tt.bounds); got != tt.want {
			t.Errorf("%s: Estimate = %d, want %d", tt.name, got, tt.want)
		}
	}
}

// Usage within the bounds never costs more than the estimate for them, and
// neither is ever negative.
func TestChargeStaysWithinEstimate(t *testing.T) {
	money := rapid.OneOf(rapid.Int64Range(0, 1_000_000), rapid.Int64Range(0, int64(jeantrail.MaxMoney)))
	tokens := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, 1<<40))
	rapid.Check(t, func(t *rapid.T) {
		price := jeantrail.Price{
			PromptToken:     jeantrail.Money(money.Draw(t, "prompt price")),
			CachedToken:     jeantrail.Money(money.Draw(t, "cached price")),
			CompletionToken: jeantrail.Money(money.Draw(t, "completion price")),
		}
		bounds := jeantrail.Bounds{PromptTokens: tokens.Draw(t, "prompt bound"), CompletionTokens: tokens.Draw(t, "completion bound")}
		usage := jeantrail.Usage{
			PromptTokens:     rapid.IntRange(0, bounds.PromptTokens).Draw(t, "prompt"),
			CachedTokens:     tokens.Draw(t, "cached"),
			CompletionTokens: rapid.IntRange(0, bounds.CompletionTokens).Draw(t, "completion"),
		}
		charge, estimate := ledger.Charge(price, usage), ledger.Estimate(price, bounds)
		if charge < 0 || charge > estimate {
			t.Fatalf("charge %d, estimate %d", charge, estimate)
		}
	})
}
