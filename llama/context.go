//go:build cgo

package llama

// #include "shim.h"
import "C"

import (
	"fmt"
	"hash/fnv"
	"sync/atomic"
	"unsafe"
)

// Context is a KV cache with what computes on it. One goroutine at a time, locked
// to its OS thread, uses it; Abort and the sampler calls may come from any.
type Context struct {
	handle
	c     *C.lx_context
	model *Model
	info  ContextInfo
	print uint64 // fingerprint of what a saved state depends on
	busy  atomic.Bool
	leak  *leakAlarm

	// Views of the arenas on the C heap; valid until Close.
	ops     []C.lx_mem_op
	spans   []C.lx_span
	tokens  []int32
	results []C.lx_result
	top     []C.lx_top
	step    *C.lx_step_info
	err     *C.char
}

func (p ContextParams) toC() C.lx_context_params {
	return C.lx_context_params{
		n_ctx:           C.int32_t(p.NCtx),
		n_batch:         C.int32_t(p.NBatch),
		n_ubatch:        C.int32_t(p.NUBatch),
		n_seq_max:       C.int32_t(p.NSeqMax),
		n_threads:       C.int32_t(p.NThreads),
		n_threads_batch: C.int32_t(p.NThreadsBatch),
		kv_unified:      cbool(p.Unified),
		flash_attn:      C.int32_t(p.FlashAttn),
		type_k:          C.int32_t(p.TypeK),
		type_v:          C.int32_t(p.TypeV),
		offload_kqv:     1,
		op_offload:      1,
	}
}

// NewContext makes a context on m, which it keeps open.
func NewContext(m *Model, p ContextParams) (*Context, error) {
	if err := m.acquire(); err != nil {
		return nil, fmt.Errorf("create context: model %w", err)
	}
	p = p.withDefaults()
	cp := p.toC()
	var c *C.lx_context
	var e errText
	msg, n := e.ptr()
	if err := e.fail("create context", C.lx_context_new(m.c, &cp, &c, msg, n)); err != nil {
		m.release()
		return nil, err
	}
	x := &Context{c: c, model: m}
	x.viewArenas()
	x.readInfo()
	x.print = fingerprint(m.info, p, x.info)
	x.leak = watchLeak(x, "context", 1)
	return x, nil
}

func (x *Context) viewArenas() {
	var a C.lx_arenas
	C.lx_context_arenas(x.c, &a)
	x.ops = unsafe.Slice(a.ops, int(a.n_ops))
	x.spans = unsafe.Slice(a.spans, int(a.n_spans))
	x.tokens = unsafe.Slice((*int32)(a.tokens), int(a.n_tokens))
	x.results = unsafe.Slice(a.results, int(a.n_results))
	x.top = unsafe.Slice(a.top, int(a.n_top))
	x.step = a.info
	x.err = a.err
}

func (x *Context) readInfo() {
	var i C.lx_context_info
	C.lx_context_get_info(x.c, &i)
	x.info = ContextInfo{
		NCtx: int(i.n_ctx), NCtxSeq: int(i.n_ctx_seq), NBatch: int(i.n_batch), NUBatch: int(i.n_ubatch),
		NSeqMax: int(i.n_seq_max), NThreads: int(i.n_threads), NThreadsBatch: int(i.n_threads_batch),
		Unified: i.kv_unified != 0, KVBytes: int64(i.kv_bytes), ComputeBytes: int64(i.compute_bytes), CopiedBytes: int64(i.copied_bytes),
	}
}

// fingerprint hashes what must be equal for a saved sequence to be read back.
func fingerprint(m ModelInfo, p ContextParams, c ContextInfo) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, pinTree, m.Architecture, m.Name, m.NParams, m.Bytes, m.FType, m.NLayer, m.NEmbd, m.NVocab,
		p.TypeK, p.TypeV, p.FlashAttn, c.Unified)
	return h.Sum64()
}

// Info tells the sizes that llama.cpp chose.
func (x *Context) Info() ContextInfo { return x.info }

// Model is what the context was made on.
func (x *Context) Model() *Model { return x.model }

// enter claims the context for its one user until leave.
func (x *Context) enter() error {
	if err := x.acquire(); err != nil {
		return fmt.Errorf("context %w", err)
	}
	if !x.busy.CompareAndSwap(false, true) {
		x.release()
		return ErrConcurrent
	}
	return nil
}

func (x *Context) leave() {
	x.busy.Store(false)
	x.release()
}

// Abort sets or clears the flag that makes a running step end early. Any
// goroutine. It is read between the nodes of a computation on a CPU; GPU back ends
// read it between steps at best.
func (x *Context) Abort(on bool) {
	if x.acquire() != nil {
		return
	}
	defer x.release()
	C.lx_abort(x.c, cbool(on))
}

// SeqLen returns the position after the last one of a sequence in the KV cache:
// how many tokens it holds, unless it holds images with M-RoPE.
func (x *Context) SeqLen(seq int) (int, error) {
	if err := x.enter(); err != nil {
		return 0, fmt.Errorf("read sequence length: %w", err)
	}
	defer x.leave()
	n := C.lx_seq_len(x.c, C.int32_t(seq))
	if n < 0 {
		return 0, &Error{Op: "read sequence length", Kind: ErrArgument, Msg: fmt.Sprintf("sequence %d of %d", seq, x.info.NSeqMax)}
	}
	return int(n), nil
}

// WarmUp evaluates one token, so that the first real step does not pay for
// pages and buffers touched for the first time. It empties the KV cache.
func (x *Context) WarmUp() error {
	if err := x.enter(); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	defer x.leave()
	var e errText
	msg, n := e.ptr()
	return e.fail("warm up", C.lx_warm_up(x.c, msg, n))
}

// Close frees the context and its samplers, and lets go of the model. It fails
// with [ErrInUse] while a call is running, and is idempotent.
func (x *Context) Close() error {
	free, err := x.handle.close()
	if err != nil {
		return fmt.Errorf("close context: %w", err)
	}
	if free {
		C.lx_context_free(x.c)
		x.ops, x.spans, x.tokens, x.results, x.top = nil, nil, nil, nil, nil
		x.leak.closed.Store(true)
		x.model.release()
	}
	return nil
}
