package main

import (
	"context"
	"fmt"

	"github.com/jeantrail/jeantrail-ai/llama"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// fileType checks the name of a quantisation before hours of work depend on it.
func fileType(name string) (llama.FType, error) {
	n, ok := gguf.FileType(name)
	if !ok {
		return 0, fmt.Errorf("unknown quantisation %q: use one such as Q4_K_M, Q8_0 or F16", name)
	}
	return llama.FType(n), nil
}

// quantise turns the F16 model at src into one of type typ at dst. Native
// quantisation cannot be interrupted: when ctx ends, quantise returns and
// leaves it behind, to end with the process.
func quantise(ctx context.Context, src, dst string, typ llama.FType, threads int) error {
	done := make(chan error, 1)
	go func() { done <- llama.Quantize(src, dst, typ, threads, false) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
