package main

// defaultContext is the context of a model whose configuration sets none: long
// enough for a conversation, short enough that several fit the memory.
const defaultContext = 4096

// kvShare is the part of the machine's memory that KV caches may take.
const kvShare = 6 // one sixth

// contextStep is the multiple to which llama.cpp rounds contexts.
const contextStep = 256

// kvPlan is how a model's KV cache is laid out.
type kvPlan struct {
	Slots   int
	CtxSeq  int  // the longest sequence, in tokens
	Cells   int  // in all
	Unified bool // one pool of cells for all sequences
}

// planKV lays out the KV cache. The length of a conversation is never divided
// by the number of slots: with streams each slot has CtxSeq cells of its own,
// in the unified layout all share a pool that holds at least one whole
// conversation. Streams are taken while they fit: they are faster for many
// conversations at once, since each token looks at its own cells only, and what
// else is in the cache cannot change how an answer is rounded.
func planKV(layout string, slots, nCtx, trained int, perToken, memory int64) kvPlan {
	if nCtx <= 0 {
		nCtx = defaultContext
		if trained > 0 {
			nCtx = min(nCtx, trained)
		}
	}
	nCtx = (nCtx + contextStep - 1) / contextStep * contextStep
	p := kvPlan{Slots: slots, CtxSeq: nCtx, Cells: slots * nCtx}
	fits := perToken <= 0 || memory <= 0 || int64(p.Cells)*perToken <= memory/kvShare
	switch {
	case layout == "streams" || layout == "auto" && fits:
		return p
	case !fits:
		room := int(memory/kvShare/perToken) / contextStep * contextStep
		p.Cells = max(nCtx, min(room, p.Cells))
	}
	p.Unified = true
	return p
}
