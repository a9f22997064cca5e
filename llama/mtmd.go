//go:build cgo

package llama

/*
#cgo noescape lx_step_image
#cgo nocallback lx_step_image
#include "shim.h"
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Vision is a projector: it turns the pixels of an image into rows that its
// model reads in place of tokens. Layout and Abort may come from any goroutine,
// Encode from one at a time.
type Vision struct {
	handle
	c     *C.lx_vision
	model *Model
	info  VisionInfo
	busy  atomic.Bool
	leak  *leakAlarm
}

// OpenVision loads the projector for m, which it keeps open; it blocks until
// that is done. progress and ctx are as in [LoadModel].
func OpenVision(ctx context.Context, m *Model, p VisionParams, progress func(float64)) (*Vision, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("open projector: %w", err)
	}
	if err := m.acquire(); err != nil {
		return nil, fmt.Errorf("open projector: model %w", err)
	}
	load := C.lx_load_new()
	if load == nil {
		m.release()
		return nil, &Error{Op: "open projector", Kind: ErrFailed, Msg: "out of memory"}
	}
	defer C.lx_load_free(load)
	if p.NThreads == 0 {
		p.NThreads = DefaultThreads()
	}
	cp := C.lx_vision_params{
		use_gpu: cbool(p.GPU), n_threads: C.int32_t(p.NThreads), no_warm_up: cbool(p.NoWarmUp),
		min_tokens: C.int32_t(p.MinTokens), max_tokens: C.int32_t(p.MaxTokens),
	}
	path := C.CString(p.Path)
	defer C.free(unsafe.Pointer(path))
	stop := watchLoad(ctx, load, progress)
	var c *C.lx_vision
	var e errText
	msg, n := e.ptr()
	status := C.lx_vision_new(m.c, path, &cp, load, &c, msg, n)
	stop()
	if status != C.LX_OK {
		m.release()
		if status == C.LX_E_CANCELLED {
			return nil, fmt.Errorf("open projector: %w", context.Cause(ctx))
		}
		return nil, e.fail("open projector", status)
	}
	v := &Vision{c: c, model: m}
	var i C.lx_vision_info
	C.lx_vision_get_info(c, &i)
	v.info = VisionInfo{NEmbd: int(i.n_embd), MRoPE: i.axes == 4, NonCausal: i.non_causal != 0}
	v.leak = watchLeak(v, "projector", 1)
	if progress != nil {
		progress(1)
	}
	return v, nil
}

// Info describes the projector.
func (v *Vision) Info() VisionInfo { return v.info }

// Layout tells of what parts an image of that size consists, without its pixels.
func (v *Vision) Layout(width, height int) ([]ImagePart, error) {
	if err := v.acquire(); err != nil {
		return nil, fmt.Errorf("lay out image: projector %w", err)
	}
	defer v.release()
	parts, tokens := make([]C.lx_image_part, 8), make([]int32, 64)
	for {
		var nParts, nTokens C.int32_t
		var e errText
		msg, n := e.ptr()
		status := C.lx_vision_layout(v.c, C.int32_t(width), C.int32_t(height), &parts[0], C.int32_t(len(parts)), &nParts,
			(*C.int32_t)(&tokens[0]), C.int32_t(len(tokens)), &nTokens, msg, n)
		if status == C.LX_E_NOMEM && (int(nParts) > len(parts) || int(nTokens) > len(tokens)) {
			parts, tokens = make([]C.lx_image_part, max(int(nParts), 1)), make([]int32, max(int(nTokens), 1))
			continue
		}
		if err := e.fail("lay out image", status); err != nil {
			return nil, err
		}
		return partsFromC(parts[:nParts], tokens), nil
	}
}

func partsFromC(parts []C.lx_image_part, tokens []int32) []ImagePart {
	out := make([]ImagePart, len(parts))
	for i, p := range parts {
		out[i] = ImagePart{NRows: int(p.n_tokens), NPos: int(p.n_pos)}
		if p.is_image == 0 {
			out[i].Tokens = tokens[p.tok_off : p.tok_off+p.n_tokens : p.tok_off+p.n_tokens]
		}
	}
	return out
}

// Encode computes the rows of an image: one value for each part of its layout
// that is not text. rgb has three bytes for each pixel. It blocks, computing on
// the calling thread and its OpenMP workers.
func (v *Vision) Encode(rgb []byte, width, height int) ([]ImageRows, error) {
	if width <= 0 || height <= 0 || len(rgb) != 3*width*height {
		return nil, &Error{Op: "encode image", Kind: ErrArgument, Msg: fmt.Sprintf("%d bytes for %d by %d pixels", len(rgb), width, height)}
	}
	parts, err := v.Layout(width, height)
	if err != nil {
		return nil, err
	}
	if err := v.acquire(); err != nil {
		return nil, fmt.Errorf("encode image: projector %w", err)
	}
	defer v.release()
	if !v.busy.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("encode image: %w", ErrConcurrent)
	}
	defer v.busy.Store(false)

	var out []ImageRows
	rows := 0
	for _, p := range parts {
		if p.Tokens == nil {
			out = append(out, ImageRows{NRows: p.NRows, NPos: p.NPos, NonCausal: v.info.NonCausal})
			rows += p.NRows
		}
	}
	if rows == 0 {
		return nil, &Error{Op: "encode image", Kind: ErrFailed, Msg: "libmtmd made no rows of it"}
	}
	embd := make([]float32, rows*v.info.NEmbd)
	var rel []int32
	var crel *C.int32_t
	if v.info.MRoPE {
		rel = make([]int32, 4*rows)
		crel = (*C.int32_t)(&rel[0])
	}
	var e errText
	msg, n := e.ptr()
	status := C.lx_vision_encode(v.c, (*C.uint8_t)(&rgb[0]), C.int32_t(width), C.int32_t(height),
		(*C.float)(&embd[0]), C.int64_t(len(embd)), crel, C.int64_t(len(rel)), msg, n)
	if err := e.fail("encode image", status); err != nil {
		return nil, err
	}
	for i, at := 0, 0; i < len(out); i++ {
		end := at + out[i].NRows
		out[i].Embd = embd[at*v.info.NEmbd : end*v.info.NEmbd]
		if rel != nil {
			out[i].Rel = rel[4*at : 4*end]
		}
		at = end
	}
	return out, nil
}

// Abort sets or clears the flag that makes a running Encode end with
// [context.Canceled]. Any goroutine.
func (v *Vision) Abort(on bool) {
	if v.acquire() != nil {
		return
	}
	defer v.release()
	C.lx_vision_abort(v.c, cbool(on))
}

// Close frees the projector and lets go of the model. It fails with [ErrInUse]
// while a call is running, and is idempotent.
func (v *Vision) Close() error {
	free, err := v.handle.close()
	if err != nil {
		return fmt.Errorf("close projector: %w", err)
	}
	if free {
		C.lx_vision_free(v.c)
		v.leak.closed.Store(true)
		v.model.release()
	}
	return nil
}

// StepImage applies ops to the KV cache in order and puts the rows of one image
// part behind pos tokens of a sequence: all of them, or none if the outcome is
// not [OutcomeOK]. Errors are as in [Context.Step].
func (x *Context) StepImage(ops []MemOp, seq, pos int, rows ImageRows) (StepInfo, error) {
	if err := x.enter(); err != nil {
		return StepInfo{}, fmt.Errorf("step: %w", err)
	}
	defer x.leave()
	if len(rows.Embd) == 0 || rows.Rel != nil && len(rows.Rel) != 4*rows.NRows {
		return StepInfo{}, &Error{Op: "step", Kind: ErrArgument, Msg: "the image has no rows, or not a position for each"}
	}
	if err := x.writeArenas(ops, nil); err != nil {
		return StepInfo{}, err
	}
	rc := x.stepImage(len(ops), seq, pos, &rows)
	if rc != C.LX_OK {
		return StepInfo{}, statusError("step", rc, C.GoString(x.err))
	}
	return x.stepInfo()
}

// stepImage passes on the rows by pointers that C does not keep.
func (x *Context) stepImage(nOps, seq, pos int, rows *ImageRows) C.int32_t {
	span := C.lx_image_span{
		seq: C.int32_t(seq), pos: C.int32_t(pos), n_rows: C.int32_t(rows.NRows), n_pos: C.int32_t(rows.NPos),
		non_causal: cbool(rows.NonCausal), n_floats: C.int64_t(len(rows.Embd)),
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&rows.Embd[0])
	span.embd = (*C.float)(&rows.Embd[0])
	if rows.Rel != nil {
		pin.Pin(&rows.Rel[0])
		span.rel = (*C.int32_t)(&rows.Rel[0])
	}
	return C.lx_step_image(x.c, C.int32_t(nOps), &span)
}
