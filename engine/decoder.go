package engine

import "context"

// Token is an id in the model's vocabulary.
type Token = int32

// Decoder is what the loop needs of a model: evaluate rows, sample, and keep
// the KV cache. engine/native satisfies it with llama.cpp; tests with a script.
//
// Unless a method says otherwise it may be called by one goroutine only, the
// engine's loop.
type Decoder interface {
	// Info describes the loaded model and context. Any goroutine.
	Info() Info

	// Vocab reads the vocabulary. Any goroutine.
	Vocab() Vocab

	// NewSampler builds a sampler chain and returns its handle. Any goroutine:
	// parsing a grammar may take long and must not hold up the loop.
	NewSampler(SamplingParams) (SamplerID, error)

	// FreeSampler returns a handle. Freeing one that is in a running step is a
	// programming error. Any goroutine.
	FreeSampler(SamplerID)

	// SeedSampler shows a sampler the tokens that precede generation, for its
	// penalties; it looks at the last SamplingParams.PenaltyLastN of them.
	SeedSampler(SamplerID, []Token) error

	// Step applies ops to the KV cache in order, evaluates the spans in one
	// batch and samples for each span that has Sample set. There is one Result
	// for each such span, in the order of spans; results is reused if it has
	// the capacity. An error means that nothing is known of the cache; any
	// outcome that llama.cpp documents is in StepInfo.Outcome instead.
	Step(ops []MemOp, spans []Span, results []Result) ([]Result, StepInfo, error)

	// Abort sets or clears the flag that makes a running Step end early with
	// OutcomeAborted. Any goroutine.
	Abort(on bool)

	// SeqLen returns the position after the last one of a sequence in the KV
	// cache. Behind text that is how many tokens it holds.
	SeqLen(seq int) int

	// SaveSeq copies a sequence's KV state to memory, LoadSeq puts such a copy
	// into an empty sequence. The blob fits this model, context type and
	// build only.
	SaveSeq(seq int) ([]byte, error)
	LoadSeq(seq int, blob []byte) error

	// Close frees everything. It is idempotent, and comes after the last Step.
	Close() error
}

// Rester is a Decoder that keeps compute threads for the goroutine of Step, which
// may have to give them up for another decoder.
type Rester interface {
	// Rest says that there is nothing to step; over, that there never will be
	// again. From the goroutine of Step.
	Rest(over bool)
	// OnCrowded names what to call, from any goroutine, when Rest is wanted though
	// the loop may be asleep.
	OnCrowded(wake func())
}

// Info describes a decoder.
type Info struct {
	Model           string // the model's own name, from its metadata
	Architecture    string // for example "qwen3"
	Device          string // "CPU", or the name of the device that holds the layers
	LayersTotal     int
	LayersOffloaded int
	FallbackReason  string // why fewer layers are on a device than were asked for; "" if none
	NCtx            int    // KV cells in all
	NCtxSeq         int    // the longest one sequence may be, in tokens
	NSeqMax         int    // sequences, numbered 0 to NSeqMax-1
	NBatch          int    // the most rows that one Step may hold
	NUBatch         int    // the most rows that are evaluated at once
	NCtxTrain       int    // the context the model was trained with
	Unified         bool   // all sequences share the NCtx cells, and MemCopy is free
	ChatTemplate    string // Jinja source from the metadata; "" if there is none
	Vision          bool   // it reads images, and is a VisionDecoder
	Threads         int
	ModelBytes      int64 // weights
	ProjectorBytes  int64 // weights of what encodes images
	KVBytes         int64 // KV cache
	ComputeBytes    int64 // scratch space of a step
	CopiedBytes     int64 // of the weights, those that are kept in another layout than the file's
}

// Vocab turns text to tokens and back.
type Vocab interface {
	// Tokenize splits text. With parseSpecial the text of control tokens (for
	// example "<|im_end|>") becomes those tokens; without it, it is only text.
	// No BOS token is added.
	Tokenize(text string, parseSpecial bool) ([]Token, error)
	// Piece returns the bytes of one token, which may be part of a rune. The
	// piece of a control token is empty unless it was asked for by SpecialText.
	Piece(Token) []byte
	// SpecialText returns the text of a control or user-defined token.
	SpecialText(Token) string
	// IsEOG reports whether the token ends a generation.
	IsEOG(Token) bool
	// IsControl reports whether the token is a control token.
	IsControl(Token) bool
	// Lookup finds the token whose whole text is piece.
	Lookup(piece string) (Token, bool)
	// Size is the number of tokens.
	Size() int
	// BOS returns the token that llama.cpp would put in front of a text, if the
	// model wants one.
	BOS() (Token, bool)
}

// SamplerID is a handle from NewSampler.
type SamplerID int32

// SamplingParams describes a sampler chain. The zero value is greedy. The
// order of the chain is llama.cpp's default: penalties, DRY, top-k, typical-p,
// top-p, min-p, temperature, and the seeded draw.
type SamplingParams struct {
	Temperature      float32 // <= 0 is greedy
	TopK             int32   // <= 0 is off
	TopP             float32 // 0 or >= 1 is off
	MinP             float32 // 0 is off
	TypicalP         float32 // 0 or >= 1 is off
	RepeatPenalty    float32 // 0 or 1 is off
	FrequencyPenalty float32
	PresencePenalty  float32
	PenaltyLastN     int32 // window of the penalties, in tokens; 0 means 64
	DryMultiplier    float32
	DryBase          float32 // 0 means 1.75
	DryAllowedLength int32   // 0 means 2
	DryPenaltyLastN  int32   // 0 means the whole context
	DryBreakers      []string
	Seed             uint32
	LogitBias        map[Token]float32
	Grammar          string // GBNF; "" is off
}

// MemOpKind says what a MemOp does.
type MemOpKind int32

// The operations on the KV cache. P0 and P1 bound the positions [P0, P1);
// P1 < 0 means to the end.
const (
	MemRemove MemOpKind = iota // drop positions of Seq
	MemCopy                    // share positions of Seq with Dst
)

// MemOp is one operation on the KV cache.
type MemOp struct {
	Kind   MemOpKind
	Seq    int
	Dst    int
	P0, P1 int
}

// Span is a run of consecutive positions of one sequence to evaluate.
type Span struct {
	Seq    int
	Pos    int // position of the first row; the one after the last in the sequence
	Tokens []Token
	// Image is there instead of Tokens. Such a span is alone in its step, is not
	// sampled, and is in the cache whole or, unless the outcome is OutcomeOK, not
	// at all.
	Image  *ImageRows
	Sample bool // sample after the last token of the span
	// Sampler is used if Sample is set; the sampled token is accepted by it.
	Sampler SamplerID
	// Logprobs asks for that many of the most likely tokens; 0 for none.
	Logprobs int
}

// rows is how many KV cells the span takes.
func (s *Span) rows() int {
	if s.Image != nil {
		return s.Image.NRows
	}
	return len(s.Tokens)
}

// Result is what a span with Sample set gave.
type Result struct {
	Span    int // index into spans
	Token   Token
	EOG     bool
	Err     error // the sampler's grammar cannot go on
	Logprob float32
	Top     []TokenLogprob
}

// TokenLogprob is a candidate with the natural logarithm of its probability.
type TokenLogprob struct {
	Token   Token
	Logprob float32
}

// Outcome is how a step ended.
type Outcome int

// The documented results of llama_decode, one by one.
const (
	OutcomeOK      Outcome = iota
	OutcomeNoRoom          // no KV cells for the batch; the cache is as it was before the spans
	OutcomeAborted         // Abort was set; the spans' first tokens may be in the cache, ask SeqLen
	OutcomeInvalid         // the batch was refused; nothing was evaluated
)

// StepInfo tells how a step went.
type StepInfo struct {
	Outcome  Outcome
	DecodeUS int64 // evaluating, in microseconds
	SampleUS int64 // sampling, in microseconds
}

// Renderer renders chat messages with the model's own template. A decoder that
// can do so implements it; the loop does not use it, Prepare does, for
// templates that this package does not know. Any goroutine.
type Renderer interface {
	RenderChat(ctx context.Context, messages []ChatMessage, tools []string, thinking bool) (string, error)
}

// ChatMessage is one message in a conversation as templates see it.
type ChatMessage struct {
	Role      string // system, user, assistant or tool
	Content   string
	Reasoning string     // an assistant's earlier reasoning; templates may drop it
	ToolCalls []ToolCall // an assistant's calls
}

// ToolCall is one call of a tool by the assistant.
type ToolCall struct {
	Name      string
	Arguments string // a JSON object
}
