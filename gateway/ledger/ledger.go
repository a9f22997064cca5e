package ledger

import "github.com/jeantrail/jeantrail-ai"

// Estimate returns the most that work within the bounds can cost. Every prompt
// token counts at the dearer of the plain and the cached price, because nobody
// knows beforehand which ones the KV cache will serve.
//
// An amount that does not fit is jeantrail.MaxMoney, which no budget has.
func Estimate(p jeantrail.Price, b jeantrail.Bounds) jeantrail.Money {
	prompt := max(p.PromptToken, p.CachedToken).Times(int64(b.PromptTokens))
	return prompt.Add(p.CompletionToken.Times(int64(b.CompletionTokens)))
}

// Charge returns what the usage costs: cached prompt tokens at their own price,
// the other prompt tokens and all sampled tokens at theirs. Cached tokens
// beyond the prompt are none.
func Charge(p jeantrail.Price, u jeantrail.Usage) jeantrail.Money {
	prompt := max(u.PromptTokens, 0)
	cached := min(max(u.CachedTokens, 0), prompt)
	amount := p.PromptToken.Times(int64(prompt - cached))
	amount = amount.Add(p.CachedToken.Times(int64(cached)))
	return amount.Add(p.CompletionToken.Times(int64(u.CompletionTokens)))
}
