//go:build cgo

package llama

/*
#cgo noescape lx_step
#cgo nocallback lx_step
#include "shim.h"
*/
import "C"

import "fmt"

// Step applies ops to the KV cache in order, evaluates the spans in one batch
// and samples for each span that asks for it. There is a Result for each of
// those, in the order of spans; results is reused if it has the capacity.
//
// An error means that nothing is known of the cache, except for one that wraps
// [ErrArgument] about a span: then the ops were applied and no span was.
func (x *Context) Step(ops []MemOp, spans []Span, results []Result) ([]Result, StepInfo, error) {
	if err := x.enter(); err != nil {
		return results[:0], StepInfo{}, fmt.Errorf("step: %w", err)
	}
	defer x.leave()
	if err := x.writeArenas(ops, spans); err != nil {
		return results[:0], StepInfo{}, err
	}
	if rc := C.lx_step(x.c, C.int32_t(len(ops)), C.int32_t(len(spans))); rc != C.LX_OK {
		return results[:0], StepInfo{}, statusError("step", rc, C.GoString(x.err))
	}
	info, err := x.stepInfo()
	if err != nil {
		return results[:0], info, err
	}
	return x.readResults(results[:0]), info, nil
}

// stepInfo reads how the step went. An outcome that is fatal is an error.
func (x *Context) stepInfo() (StepInfo, error) {
	info := StepInfo{
		MemoryUS: int64(x.step.us_memory),
		DecodeUS: int64(x.step.us_decode),
		SampleUS: int64(x.step.us_sample),
	}
	switch rc := x.step.decode_rc; {
	case rc == 0:
		info.Outcome = OutcomeOK
	case rc == 1:
		info.Outcome = OutcomeNoRoom
	case rc == 2:
		info.Outcome = OutcomeAborted
	case rc == -1:
		info.Outcome = OutcomeInvalid
	default:
		return info, &Error{Op: "step", Kind: ErrFatal, Msg: fmt.Sprintf("llama_decode gave %d", int(rc))}
	}
	return info, nil
}

func (x *Context) writeArenas(ops []MemOp, spans []Span) error {
	if len(ops) > len(x.ops) {
		return &Error{Op: "step", Kind: ErrArgument, Msg: fmt.Sprintf("%d memory operations, at most %d fit", len(ops), len(x.ops))}
	}
	if len(spans) > len(x.spans) {
		return &Error{Op: "step", Kind: ErrArgument, Msg: fmt.Sprintf("%d spans, at most n_batch = %d fit", len(spans), len(x.spans))}
	}
	for i, op := range ops {
		x.ops[i] = C.lx_mem_op{
			kind: C.int32_t(op.Kind), seq: C.int32_t(op.Seq), dst: C.int32_t(op.Dst),
			p0: C.int32_t(op.P0), p1: C.int32_t(op.P1),
		}
	}
	at := 0
	for i := range spans {
		s := &spans[i]
		n := copy(x.tokens[at:], s.Tokens)
		if n < len(s.Tokens) {
			return &Error{Op: "step", Kind: ErrArgument, Msg: fmt.Sprintf("the spans have more than n_batch = %d tokens", len(x.tokens))}
		}
		var flags C.uint32_t
		if s.Sample {
			flags = C.LX_SPAN_SAMPLE
		}
		x.spans[i] = C.lx_span{
			seq: C.int32_t(s.Seq), pos: C.int32_t(s.Pos), tok_off: C.int32_t(at), n_tok: C.int32_t(n),
			sampler: C.int32_t(s.Sampler), n_top: C.int32_t(s.Top), flags: flags,
		}
		at += n
	}
	return nil
}

func (x *Context) readResults(results []Result) []Result {
	for i := range int(x.step.n_results) {
		c := &x.results[i]
		r := Result{Span: int(c.span), Token: int32(c.token), EOG: c.eog != 0, Logprob: float32(c.logprob)}
		switch c.status {
		case C.LX_SAMPLED_GRAMMAR_END:
			r.Err = ErrGrammarEnd
		case C.LX_SAMPLED_NOT_FINITE:
			r.Err = ErrNotFinite
		case C.LX_SAMPLED_EXCEPTION:
			r.Err = &Error{Op: "sample", Kind: ErrException, Msg: C.GoString(x.err)}
		}
		if c.n_top > 0 {
			r.Top = make([]TokenLogprob, c.n_top)
			for j := range r.Top {
				t := x.top[int(c.top_off)+j]
				r.Top[j] = TokenLogprob{Token: int32(t.token), Logprob: float32(t.logprob)}
			}
		}
		results = append(results, r)
	}
	return results
}
