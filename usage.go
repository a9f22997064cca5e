package jeantrail

import "time"

// Usage counts what a job consumed and produced, exactly, also when the job was
// cut short. An answer from the result cache used nothing.
type Usage struct {
	PromptTokens     int // all tokens of the prompt that were needed, cached ones included
	CachedTokens     int // of those, how many came from the KV cache
	CompletionTokens int // all sampled tokens, reasoning and the final end-of-turn token included
	ReasoningTokens  int // of those, how many were reasoning
	Images           int
	AudioIn          time.Duration // of the audio that was heard, in whole milliseconds
	AudioOut         time.Duration // of the audio that was made, in whole milliseconds
}

// Timings of a job. First token is counted from the admission.
type Timings struct {
	Queue      time.Duration
	Prompt     time.Duration // prefill
	FirstToken time.Duration
	Total      time.Duration
	// CachedFrom says where the cached tokens of the prompt came from: the KV cache,
	// or what was kept of it in memory (ram) or in a file (disk); "" if there were
	// none, or a worker does not tell.
	CachedFrom      string
	TokensPerSecond float64 // completion tokens after the first, per second of decode; 0 if there were fewer than two
}

// Add returns the sum of what two jobs used.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		PromptTokens: u.PromptTokens + v.PromptTokens, CachedTokens: u.CachedTokens + v.CachedTokens,
		CompletionTokens: u.CompletionTokens + v.CompletionTokens, ReasoningTokens: u.ReasoningTokens + v.ReasoningTokens,
		Images: u.Images + v.Images, AudioIn: u.AudioIn + v.AudioIn, AudioOut: u.AudioOut + v.AudioOut,
	}
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
	RulesApplied []string // names, in the order in which they were applied
	RulesSkipped []string // rules that held but could not be applied, each with the reason
	Energy       Energy
	Artifacts    []Artifact  // in the order in which they were made
	Transcript   *Transcript // of a transcription
	Pipeline     *Pipeline   // of a pipeline
}

// Energy is what the machine drew for a job, where it lets us measure that. It
// is told beside the list price and never part of it.
type Energy struct {
	Measured   bool
	Source     string // what was read, for example "rapl"; "" if nothing was
	Reason     string // why nothing was measured
	Millijoule int64
	Price      Money // at the configured price of a kilowatt-hour; 0 if none is
}
