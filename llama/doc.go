// Package llama is the cgo wall around llama.cpp: everything that is C lives
// here, and nothing C leaves it.
//
// The C++ side is a shim (shim.h and shim_*.cpp) with opaque handles, integer
// statuses and error texts. No exception crosses it, no call goes from C to Go,
// and no Go pointer is kept by C. Data of a step crosses through arenas on the C
// heap, so that a step is one cgo call that allocates nothing.
//
// Images cross as pixels: no file is decoded in C. A [Vision] turns them into
// rows, plain Go data, and [Context.StepImage] puts those into the KV cache.
//
// Ownership. A [Model] is immutable after [LoadModel] and may be used by any
// goroutine; a [Context] is used by one goroutine at a time, locked to its OS thread,
// because OpenMP keeps a pool of compute threads for each thread that starts a
// computation, until [ReleaseThreads]. [Context.Abort] and the sampler calls are
// the exceptions and may come from anywhere. Contexts and projectors hold their Model: [Model.Close]
// fails with [ErrInUse] until they are closed. Every Close is idempotent. A
// value that is garbage-collected while open is reported, never freed.
//
// It may import the standard library, golang.org/x/sys and a CPU-feature
// library; nothing of this module. Only engine/native imports it. Without cgo the
// same API compiles and every entry returns [ErrNoCgo].
//
// What must never happen here: a scheduling decision, a callback into Go, a
// lock held over a call into C, an argument that can abort the process reaching
// llama.cpp unchecked.
package llama
