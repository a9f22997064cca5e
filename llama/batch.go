package llama

// MemOpKind says what a MemOp does.
type MemOpKind int32

// Operations on the KV cache.
const (
	MemRemove MemOpKind = 0 // drop positions [P0, P1) of Seq
	MemCopy   MemOpKind = 1 // give positions [P0, P1) of Seq to the empty sequence Dst
)

// MemOp is one operation on the KV cache. P1 < 0 means to the end. With one KV
// stream for each sequence a copy must be of the whole sequence, and takes
// effect in the next step that evaluates tokens.
type MemOp struct {
	Kind     MemOpKind
	Seq, Dst int
	P0, P1   int
}

// Span is a run of consecutive positions of one sequence to evaluate.
type Span struct {
	Seq int
	// Pos is the position of Tokens[0]. It must be the one after the last in the
	// sequence; behind an image with M-RoPE, whose cells share one, it may be later.
	Pos     int
	Tokens  []int32
	Sample  bool // sample after the last token
	Sampler SamplerID
	Top     int // most likely tokens wanted, at most [MaxTop]; 0 for none
}

// MaxTop is the most log-probabilities that one span may ask for.
const MaxTop = 32

// Result is what a span with Sample set gave.
type Result struct {
	Span    int // index into the spans
	Token   int32
	EOG     bool
	Err     error   // there is no token: ErrGrammarEnd, ErrNotFinite or an *Error
	Logprob float32 // natural logarithm, of the raw logits; only if Top was set
	Top     []TokenLogprob
}

// TokenLogprob is a token with the natural logarithm of its probability.
type TokenLogprob struct {
	Token   int32
	Logprob float32
}

// Outcome is how llama_decode ended.
type Outcome int

// The documented results of llama_decode that are not fatal.
const (
	OutcomeOK      Outcome = iota
	OutcomeNoRoom          // no KV cells; the cache is as it was before the spans
	OutcomeAborted         // whole ubatches may be in the cache: ask SeqLen
	OutcomeInvalid         // the batch was refused; nothing was evaluated
)

// StepInfo tells how a step went; times are in microseconds.
type StepInfo struct {
	Outcome  Outcome
	MemoryUS int64
	DecodeUS int64
	SampleUS int64
}
