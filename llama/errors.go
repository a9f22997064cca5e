package llama

import (
	"errors"
	"fmt"
)

// What errors of this package wrap, for errors.Is.
var (
	// ErrNoCgo: the program was built without cgo.
	ErrNoCgo = errors.New("built without cgo: rebuild with CGO_ENABLED=1 and a C++ compiler")
	// ErrClosed: the model or context was closed.
	ErrClosed = errors.New("closed")
	// ErrInUse: something still uses what was to be closed.
	ErrInUse = errors.New("in use")
	// ErrConcurrent: two goroutines used one context.
	ErrConcurrent = errors.New("context used by two goroutines at once")
	// ErrArgument: refused before llama.cpp saw it.
	ErrArgument = errors.New("invalid argument")
	// ErrException: C++ code threw, or an assertion failed on a guarded path.
	ErrException = errors.New("exception in llama.cpp")
	// ErrFailed: llama.cpp reported a failure.
	ErrFailed = errors.New("llama.cpp failed")
	// ErrFatal: llama_decode gave a result below -1; the context is not to be
	// used any further.
	ErrFatal = errors.New("fatal error while decoding")
	// ErrGrammarEnd: no token of the vocabulary fits the grammar.
	ErrGrammarEnd = errors.New("no token fits the grammar")
	// ErrNotFinite: the model gave no logit above minus infinity.
	ErrNotFinite = errors.New("the model gave no usable logits")
	// ErrStateMismatch: a saved state comes from another model, context type or
	// build, or is damaged.
	ErrStateMismatch = errors.New("saved state does not fit")
)

// Error is a failure of a call into llama.cpp.
type Error struct {
	Op   string // what failed, for example "load model"
	Kind error  // one of the sentinels
	Msg  string // llama.cpp's or the shim's own words
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Op, e.Msg) }

// Unwrap returns the sentinel.
func (e *Error) Unwrap() error { return e.Kind }
