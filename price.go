package jeantrail

import "time"

// AnyModel is the model's name in the price of every model of a kind that has
// none of its own.
const AnyModel = "*"

// Price is what one unit of a model's work costs. A job keeps the price that
// it was admitted under.
type Price struct {
	Model           string // the model that was asked about, or AnyModel in a table
	PromptToken     Money
	CachedToken     Money // a prompt token that the KV cache had
	CompletionToken Money
	Image           Money
	AudioInSecond   Money // of audio that is heard
	AudioOutSecond  Money // of audio that is made
}

// PriceEntry is a row of the price table: of a model, or of AnyModel, from an
// instant on until a later row of the same model takes its place.
type PriceEntry struct {
	Kind      Kind
	ValidFrom time.Time
	Price
}

// Validate reports the first thing wrong with the row.
func (e *PriceEntry) Validate() error {
	if !e.Kind.Known() {
		return Errorf(CodeInvalid, "kind %q is not known", e.Kind).WithHint("Use text, image, transcribe, speak or pipeline.")
	}
	if e.Model == "" || len(e.Model) > MaxModelBytes {
		return Errorf(CodeInvalid, "the model of a price must be 1 to %d bytes long", MaxModelBytes).
			WithHint("Name a model, or %q for every model of the kind.", AnyModel)
	}
	for _, m := range []Money{e.PromptToken, e.CachedToken, e.CompletionToken, e.Image, e.AudioInSecond, e.AudioOutSecond} {
		if m < 0 {
			return Errorf(CodeInvalid, "a price is %s, it must not be negative", m)
		}
	}
	return nil
}

// Bounds are the most that a request can use; its price is the most that it
// can cost.
type Bounds struct {
	PromptTokens     int
	CompletionTokens int
	Images           int
	AudioIn          time.Duration
	AudioOut         time.Duration
	// Exact is false while the model is loading: PromptTokens is then an upper
	// bound, one token for each byte.
	Exact bool
	// Open says that the caller set no limit on the answer, so that
	// CompletionTokens is the configured one: a budget with less room may then
	// shorten the answer instead of refusing it.
	Open bool
}

// Cost is what a job was charged, and what was held for it while it ran.
type Cost struct {
	Amount   Money
	Reserved Money
}
