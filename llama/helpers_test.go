//go:build cgo

package llama

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// modelPath finds the model that tests run on: JEANTRAIL_TEST_MODEL, or the
// built-in one.
func modelPath(tb testing.TB) string {
	tb.Helper()
	if p := os.Getenv("JEANTRAIL_TEST_MODEL"); p != "" {
		return p
	}
	p := filepath.Join("..", "build", "builtin-model", "builtin.gguf")
	if _, err := os.Stat(p); err != nil {
		tb.Fatalf("no model to test with: %v", err)
	}
	return p
}

func openModel(tb testing.TB) *Model {
	tb.Helper()
	m, err := LoadModel(context.Background(), ModelParams{Path: modelPath(tb), Load: LoadAuto}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Errorf("model: %v", err)
		}
	})
	return m
}

func openContext(tb testing.TB, m *Model, p ContextParams) *Context {
	tb.Helper()
	runtime.LockOSThread()
	if p.NCtx == 0 {
		p.NCtx = 512
	}
	if p.NThreads == 0 {
		p.NThreads = 1 // several contexts, and other packages' tests, share the cores
	}
	p.FlashAttn, p.TypeK, p.TypeV = FlashAttnAuto, KVF16, KVF16
	x, err := NewContext(m, p)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		runtime.UnlockOSThread()
		if err := x.Close(); err != nil {
			tb.Errorf("context: %v", err)
		}
	})
	return x
}

func open(tb testing.TB, p ContextParams) (*Model, *Context) {
	tb.Helper()
	m := openModel(tb)
	return m, openContext(tb, m, p)
}

// question is a prompt in the model's chat form.
func question(text string) string {
	return "<|im_start|>user\n" + text + "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
}

func tokenize(tb testing.TB, m *Model, text string) []int32 {
	tb.Helper()
	t, err := m.Vocab().Tokenize(text, true)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func newSampler(tb testing.TB, x *Context, p SamplerParams) SamplerID {
	tb.Helper()
	id, err := x.NewSampler(p)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// mustStep makes a step that has to end with OutcomeOK.
func mustStep(tb testing.TB, x *Context, ops []MemOp, spans []Span) []Result {
	tb.Helper()
	r, info, err := x.Step(ops, spans, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if info.Outcome != OutcomeOK {
		tb.Fatalf("outcome %d", info.Outcome)
	}
	return r
}

// generate runs one sequence from an empty cache and returns what came, at most
// n tokens, without the one that ended it.
func generate(tb testing.TB, x *Context, seq int, prompt []int32, s SamplerID, n int) []int32 {
	tb.Helper()
	r := mustStep(tb, x, []MemOp{{Kind: MemRemove, Seq: seq, P1: -1}},
		[]Span{{Seq: seq, Tokens: prompt, Sample: true, Sampler: s}})
	return continueFrom(tb, x, seq, len(prompt), r, s, n)
}

// continueFrom goes on after r, which was sampled with pos tokens in the cache.
func continueFrom(tb testing.TB, x *Context, seq, pos int, r []Result, s SamplerID, n int) []int32 {
	tb.Helper()
	var out []int32
	for {
		if r[0].Err != nil {
			tb.Fatal(r[0].Err)
		}
		if r[0].EOG {
			return out
		}
		out = append(out, r[0].Token)
		if len(out) == n {
			return out
		}
		r = mustStep(tb, x, nil, []Span{{Seq: seq, Pos: pos, Tokens: []int32{r[0].Token}, Sample: true, Sampler: s}})
		pos++
	}
}

func text(v *Vocab, tokens []int32) string {
	var b bytes.Buffer
	for _, t := range tokens {
		b.Write(v.Piece(t))
	}
	return b.String()
}

func seqLen(tb testing.TB, x *Context, seq int) int {
	tb.Helper()
	n, err := x.SeqLen(seq)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func wantError(tb testing.TB, err error, parts ...string) {
	tb.Helper()
	if err == nil {
		tb.Fatal("no error")
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			tb.Errorf("error %q does not say %q", err, p)
		}
	}
}
