package jeantrail

import "time"

// Usage counts what a text job consumed and produced, in tokens, exactly, also
// when the job was cut short.
type Usage struct {
	PromptTokens     int // all tokens of the prompt that were needed, cached ones included
	CachedTokens     int // of those, how many came from the KV cache
	CompletionTokens int // all sampled tokens, reasoning and the final end-of-turn token included
	ReasoningTokens  int // of those, how many were reasoning
}

// Timings of a job. First token is counted from the admission.
type Timings struct {
	Queue           time.Duration
	Prompt          time.Duration // prefill
	FirstToken      time.Duration
	Total           time.Duration
	TokensPerSecond float64 // completion tokens after the first, per second of decode; 0 if there were fewer than two
}

// EngineInfo says what ran a text job. Nothing about it is silent: a fallback
// names its reason.
type EngineInfo struct {
	Device          string
	LayersOffloaded int
	NCtx            int // the longest sequence, in tokens
	FallbackReason  string
}

// FinishReason says why a generation ended.
type FinishReason string

// The reasons.
const (
	FinishStop      FinishReason = "stop"      // the model ended its turn, or a stop string was met
	FinishLength    FinishReason = "length"    // max_tokens or the context was reached
	FinishCancelled FinishReason = "cancelled" // the caller stopped it
	FinishBudget    FinishReason = "budget"    // the reservation was used up
	FinishError     FinishReason = "error"     // the backend failed midway
)

// CacheUse says what the result cache had to do with an answer.
type CacheUse string

// The uses.
const (
	CacheHit  CacheUse = "hit"
	CacheMiss CacheUse = "miss"
	CacheOff  CacheUse = "off"
)

// Cost is what a job was charged, and what was held for it while it ran.
type Cost struct {
	Amount   Money
	Reserved Money
}

// Price is what one unit of a model's work costs. A job keeps the price that
// it was admitted under.
type Price struct {
	Model            string
	PromptToken      Money
	CachedToken      Money
	CompletionToken  Money
	Image            Money
	AudioMillisecond Money
}

// Bounds are the most that a request can use; its price is the most that it
// can cost.
type Bounds struct {
	PromptTokens     int
	CompletionTokens int
	// Exact is false while the model is loading: PromptTokens is then an upper
	// bound, one token for each byte.
	Exact bool
}

// Result is what a job gave. Every field that is not about an error is filled
// as far as the work went, also for a job that was cancelled or failed.
type Result struct {
	Model        string // what answered, which may not be what was asked for
	Text         string
	Reasoning    string
	FinishReason FinishReason
	Truncated    bool // the text ended because a limit was reached
	Usage        Usage
	Cost         Cost
	Timings      Timings
	Engine       EngineInfo
	Cache        CacheUse
	RulesApplied []string
}
