package engine

import (
	"context"
	"time"
)

// Tier is where the cached beginning of a prompt came from.
type Tier int

// The tiers, the fastest one first.
const (
	TierKV   Tier = iota // it was in the KV cache
	TierRAM              // its state was in memory
	TierDisk             // its state was in a file
	tiers
)

func (t Tier) String() string {
	switch t {
	case TierKV:
		return "kv"
	case TierRAM:
		return "ram"
	case TierDisk:
		return "disk"
	}
	return "unknown"
}

// Prefixes keeps the states of conversations that left a KV cache, in memory
// and in files, for every engine in the process. engine/prefix satisfies it.
type Prefixes interface {
	// Shelf is the part of one engine. identity says what a state fits, "" while
	// that is not known: until then nothing goes to the disk or comes from there.
	Shelf(identity func() string) Shelf
}

// Shelf keeps states that fit one model in one kind of context. Its methods may
// be called from any goroutine. Those without a context never wait for the disk;
// those with one end when it does.
type Shelf interface {
	// Find looks up the state in memory and the one on the disk that have the
	// longest beginning in common with tokens; Common is 0 if there is none.
	Find(tokens []Token) (ram, disk Prefix)
	// Admit makes room for a state of about so many bytes, and reports whether
	// Keep would keep it.
	Admit(bytes int64) bool
	// Keep takes a state in, and lets the least recently used ones go for it.
	// Both slices are the shelf's from then on.
	Keep(tokens []Token, state []byte)
	// Put is Keep for callers that have time: it waits until older states are on
	// the disk instead of dropping them. used is when the state was of use.
	Put(ctx context.Context, tokens []Token, state []byte, used time.Time) error
	// Touch says that a state was of use.
	Touch(Prefix)
	// Fetch reads the state of a prefix that is on the disk. A file that is not
	// sound is removed.
	Fetch(ctx context.Context, p Prefix) ([]byte, error)
	// Reject drops a state that the decoder did not take.
	Reject(Prefix)
	// Flush moves everything in memory to the disk.
	Flush(ctx context.Context) error
	// Lasting reports whether what is kept can outlive the process.
	Lasting() bool
	// Usage tells what is kept.
	Usage() PrefixUsage
	// Close ends the use by an engine.
	Close()
}

// Prefix is a kept state, as Find found it.
type Prefix struct {
	Tier   Tier    // TierRAM or TierDisk
	Tokens []Token // that the state stands for; only to be read
	Common int     // how many of them are those that were looked up
	Bytes  int64   // of the state
	State  []byte  // what Decoder.SaveSeq gave; nil while it is on the disk
	Handle any     // the shelf's own
}

// PrefixUsage is what a shelf keeps. Counters count from the shelf's beginning,
// and of all shelves for the same model.
type PrefixUsage struct {
	RAMBytes    int64
	RAMEntries  int
	DiskBytes   int64
	DiskEntries int
	Written     int64 // files
	Evicted     int64 // states that were let go for others, from memory or disk
	Lost        int64 // of those from memory, how many were on no disk
	Rejected    int64 // files and states that were not sound or did not fit
}

// TierUse counts the jobs that began with cached tokens.
type TierUse struct {
	Jobs   int64
	Tokens int64
}
