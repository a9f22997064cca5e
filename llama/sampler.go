//go:build cgo

package llama

/*
#include "shim.h"
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"runtime"
	"strings"
	"unsafe"
)

// NewSampler builds a sampler chain. Any goroutine; a grammar, and DRY with
// breakers, may take many milliseconds.
func (x *Context) NewSampler(p SamplerParams) (SamplerID, error) {
	if err := x.acquire(); err != nil {
		return 0, fmt.Errorf("create sampler: context %w", err)
	}
	defer x.release()
	if strings.IndexByte(p.Grammar, 0) >= 0 {
		return 0, &Error{Op: "create sampler", Kind: ErrArgument, Msg: "the grammar holds a NUL byte"}
	}
	cp, free := p.withDefaults().toC()
	defer free()
	var id C.int32_t
	var e errText
	msg, n := e.ptr()
	if err := e.fail("create sampler", C.lx_sampler_new(x.c, &cp, &id, msg, n)); err != nil {
		return 0, err
	}
	return SamplerID(id), nil
}

// toC copies p to C; free gives back what that took.
func (p SamplerParams) toC() (C.lx_sampler_params, func()) {
	cp := C.lx_sampler_params{
		temperature: C.float(p.Temperature), top_p: C.float(p.TopP), min_p: C.float(p.MinP),
		typical_p: C.float(p.TypicalP), top_k: C.int32_t(p.TopK),
		repeat_penalty: C.float(p.RepeatPenalty), frequency_penalty: C.float(p.FrequencyPenalty),
		presence_penalty: C.float(p.PresencePenalty), penalty_last_n: C.int32_t(p.PenaltyLastN),
		dry_multiplier: C.float(p.DryMultiplier), dry_base: C.float(p.DryBase),
		dry_allowed_length: C.int32_t(p.DryAllowedLength), dry_penalty_last_n: C.int32_t(p.DryPenaltyLastN),
		seed: C.uint32_t(p.Seed), force_generic: cbool(p.forceGeneric),
		n_bias: C.int32_t(len(p.LogitBias)), n_breakers: C.int32_t(len(p.DryBreakers)),
	}
	var pin runtime.Pinner
	var text []*C.char
	cstring := func(s string) *C.char {
		c := C.CString(s)
		text = append(text, c)
		return c
	}
	if len(p.LogitBias) > 0 {
		bias := make([]C.lx_logit_bias, 0, len(p.LogitBias))
		for t, b := range p.LogitBias {
			bias = append(bias, C.lx_logit_bias{token: C.int32_t(t), bias: C.float(b)})
		}
		pin.Pin(&bias[0])
		cp.bias = &bias[0]
	}
	if len(p.DryBreakers) > 0 {
		breakers := make([]*C.char, 0, len(p.DryBreakers))
		for _, b := range p.DryBreakers {
			breakers = append(breakers, cstring(b))
		}
		pin.Pin(&breakers[0])
		cp.breakers = &breakers[0]
	}
	if p.Grammar != "" {
		cp.grammar = cstring(p.Grammar)
	}
	return cp, func() {
		pin.Unpin()
		for _, c := range text {
			C.free(unsafe.Pointer(c))
		}
	}
}

// FreeSampler gives a sampler back. Any goroutine; one that a running step uses
// lives until the step ends. It fails if there is no such sampler.
func (x *Context) FreeSampler(id SamplerID) error {
	if err := x.acquire(); err != nil {
		return fmt.Errorf("free sampler: context %w", err)
	}
	defer x.release()
	if C.lx_sampler_free(x.c, C.int32_t(id)) != C.LX_OK {
		return &Error{Op: "free sampler", Kind: ErrArgument, Msg: "unknown sampler"}
	}
	return nil
}

// SeedSampler shows a sampler the tokens that precede generation, for its
// penalties; it looks at the last ones only. Not while a step uses the sampler.
func (x *Context) SeedSampler(id SamplerID, tokens []int32) error {
	if err := x.acquire(); err != nil {
		return fmt.Errorf("seed sampler: context %w", err)
	}
	defer x.release()
	var e errText
	msg, n := e.ptr()
	return e.fail("seed sampler", C.lx_sampler_seed_history(x.c, C.int32_t(id),
		(*C.int32_t)(unsafe.SliceData(tokens)), C.int32_t(len(tokens)), msg, n))
}

// Samplers returns how many samplers are alive.
func (x *Context) Samplers() int {
	if x.acquire() != nil {
		return 0
	}
	defer x.release()
	return int(C.lx_sampler_count(x.c))
}
