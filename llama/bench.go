//go:build cgo

package llama

// #include "shim.h"
import "C"

import (
	"fmt"
	"time"
)

// BenchPrompt evaluates nPrompt random tokens as llama-bench's pp test does, and
// returns the time. It empties the KV cache, as all benchmarks do. Warm up first,
// by one run that does not count.
func (x *Context) BenchPrompt(nPrompt int) (time.Duration, error) {
	if err := x.enter(); err != nil {
		return 0, fmt.Errorf("bench prompt: %w", err)
	}
	defer x.leave()
	var us C.int64_t
	var e errText
	msg, n := e.ptr()
	err := e.fail("bench prompt", C.lx_bench_pp(x.c, C.int32_t(nPrompt), &us, msg, n))
	return time.Duration(us) * time.Microsecond, err
}

// BenchGenerate evaluates nGen random tokens one by one as llama-bench's tg test
// does: no sampling, no text.
func (x *Context) BenchGenerate(nGen int) (time.Duration, error) {
	if err := x.enter(); err != nil {
		return 0, fmt.Errorf("bench generate: %w", err)
	}
	defer x.leave()
	var us C.int64_t
	var e errText
	msg, n := e.ptr()
	err := e.fail("bench generate", C.lx_bench_tg(x.c, C.int32_t(nGen), &us, msg, n))
	return time.Duration(us) * time.Microsecond, err
}

// BenchBatched does what llama-batched-bench does: nSeq prompts of nPrompt
// tokens, or one that they share, then nGen steps with a token of each sequence.
func (x *Context) BenchBatched(nPrompt, nGen, nSeq int, shared bool) (prompt, gen time.Duration, err error) {
	if err := x.enter(); err != nil {
		return 0, 0, fmt.Errorf("bench batched: %w", err)
	}
	defer x.leave()
	var usPrompt, usGen C.int64_t
	var e errText
	msg, n := e.ptr()
	err = e.fail("bench batched", C.lx_bench_batched(x.c, C.int32_t(nPrompt), C.int32_t(nGen), C.int32_t(nSeq),
		cbool(shared), &usPrompt, &usGen, msg, n))
	return time.Duration(usPrompt) * time.Microsecond, time.Duration(usGen) * time.Microsecond, err
}
