package engine

import "time"

// Options configure an Engine. Every zero field but Model has a default.
type Options struct {
	// Model is the name that results carry.
	Model string
	// Identity says which model file this is (a checksum) and what computes it;
	// "" while that is not known. nil: never known, so that results have no
	// fingerprint. Any goroutine.
	Identity func() string
	// Projector says in the same way what reads images for the model. Without it
	// results about images have no fingerprint.
	Projector func() string
	// Prefixes keeps what leaves the KV cache; nil: it is gone.
	Prefixes Prefixes
	// Files opens the images of requests; nil: there are none.
	Files Files
	// MaxPixels is the most that an image may have. 0 means 32 Mi (2 to the 25th).
	MaxPixels int
	// DefaultMaxTokens is used when a request sets no max_tokens; it is clipped
	// to the room that the prompt leaves. 0 means 1024.
	DefaultMaxTokens int
	// Sampling is used for whatever a request leaves open. A Seed of 0 means a
	// random one for each request.
	Sampling SamplingParams
	// MaxContext is the longest sequence that is accepted, in tokens, if that is
	// less than what the decoder allows: in a unified cache that is all of it.
	MaxContext int
	// MaxQueue is how many jobs may wait for a slot. 0 means 256.
	MaxQueue int
	// TargetStep is how long a step may take while somebody decodes; prompts are
	// cut into chunks that fit. 0 means 100 ms.
	TargetStep time.Duration
	// MinChunk is the smallest such chunk, in tokens. 0 means 64: below it the
	// tiled attention kernels of llama.cpp's CPU backend do not run.
	MinChunk int
	// AgeStep is how long a waiting job takes to draw level with one that is a
	// priority higher and has just arrived. 0 means 15 s.
	AgeStep time.Duration
	// MaxUnread is how many tokens a reader may be behind before its job is
	// paused. 0 means 256.
	MaxUnread int
	// SlowReader is how long a job may stay paused before it is cancelled. 0
	// means 30 s.
	SlowReader time.Duration
}

func (o Options) withDefaults() Options {
	o.DefaultMaxTokens = orDefault(o.DefaultMaxTokens, 1024)
	o.MaxPixels = orDefault(o.MaxPixels, 32<<20)
	o.MaxQueue = orDefault(o.MaxQueue, 256)
	o.TargetStep = orDefault(o.TargetStep, 100*time.Millisecond)
	o.MinChunk = orDefault(o.MinChunk, 64)
	o.AgeStep = orDefault(o.AgeStep, 15*time.Second)
	o.MaxUnread = orDefault(o.MaxUnread, 256)
	o.SlowReader = orDefault(o.SlowReader, 30*time.Second)
	return o
}

func orDefault[T int | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}
