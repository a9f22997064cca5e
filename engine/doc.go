// Package engine runs text generation in the process: a queue, the slots of a
// KV cache and one loop that batches every running request into one step of a
// Decoder. DESIGN.md tells how and why.
//
// Who owns what. The loop goroutine owns the scheduler, the slots and the
// decoder's step; it is the only one to touch them. A goroutine that calls Run
// owns its sampler handle and the reading end of its stream; the one that encodes
// an image owns its pixels and hands in its rows; one that reads a kept prefix hands
// in its state. What they share is the inbox under Engine.mu and the stream under
// its own mutex.
//
// The package knows no C, no HTTP and no SQL; it may import the root package,
// engine/chat, engine/picture and the standard library. engine/native joins it to
// llama.cpp, engine/enginetest to a script; engine/prefix keeps what leaves the KV
// cache.
//
// What must never happen here: the loop waiting for a reader or the disk; a mutex
// held over a channel send or a call of the decoder; a token that is sampled but
// not counted; text that is not UTF-8; one request's trouble failing another.
package engine
