//go:build cgo

package llama

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSaveAndLoadSequence(t *testing.T) {
	for _, unified := range []bool{true, false} {
		m, x := open(t, ContextParams{NCtx: 1024, NSeqMax: 2, Unified: unified})
		s := newSampler(t, x, SamplerParams{})
		p := tokenize(t, m, question("How do I pull a model?"))
		last := len(p) - 1
		want := generate(t, x, 0, p, s, 16)
		mustStep(t, x, []MemOp{{Seq: 0, P0: last, P1: -1}}, nil)

		blob, err := x.SaveSeq(0)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "prefix")
		if err := x.SaveSeqFile(file, 0, p[:last]); err != nil {
			t.Fatal(err)
		}
		if err := x.SaveSeqFile(file, 0, p); !errors.Is(err, ErrArgument) {
			t.Errorf("a file with tokens that are not in the cache: %v", err)
		}
		if err := x.LoadSeq(0, blob); !errors.Is(err, ErrArgument) {
			t.Errorf("load into a sequence that is not empty: %v", err)
		}

		resume := func() []int32 {
			if n := seqLen(t, x, 1); n != last {
				t.Fatalf("%d tokens were restored, not %d", n, last)
			}
			r := mustStep(t, x, nil, []Span{{Seq: 1, Pos: last, Tokens: p[last:], Sample: true, Sampler: s}})
			got := continueFrom(t, x, 1, len(p), r, s, 16)
			mustStep(t, x, []MemOp{{Seq: 1, P1: -1}}, nil)
			return got
		}
		if err := x.LoadSeq(1, blob); err != nil {
			t.Fatal(err)
		}
		if got := resume(); !slices.Equal(got, want) {
			t.Errorf("from memory %q, without %q", text(m.Vocab(), got), text(m.Vocab(), want))
		}
		tokens, err := x.LoadSeqFile(file, 1)
		if err != nil || !slices.Equal(tokens, p[:last]) {
			t.Fatalf("tokens %v, %v", tokens, err)
		}
		if got := resume(); !slices.Equal(got, want) {
			t.Errorf("from a file %q, without %q", text(m.Vocab(), got), text(m.Vocab(), want))
		}
		damaged(t, x, blob, file)
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func damaged(t *testing.T, x *Context, blob []byte, file string) {
	t.Helper()
	other := bytes.Clone(blob)
	other[9] ^= 1
	for name, b := range map[string][]byte{
		"nothing":       nil,
		"noise":         []byte("not a saved sequence at all, but long enough"),
		"cut short":     blob[:len(blob)-1],
		"another model": other,
	} {
		if err := x.LoadSeq(1, b); !errors.Is(err, ErrStateMismatch) || seqLen(t, x, 1) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The header fits and the inside does not.
	broken := append(bytes.Clone(blob[:headerBytes]), make([]byte, len(blob)-headerBytes)...)
	if err := x.LoadSeq(1, broken); err == nil || seqLen(t, x, 1) != 0 {
		t.Errorf("zeros were loaded: %v", err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := x.LoadSeqFile(file, 1); !errors.Is(err, ErrStateMismatch) {
		t.Errorf("a damaged file: %v", err)
	}
	if _, err := x.LoadSeqFile(file+".none", 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := x.SaveSeq(9); !errors.Is(err, ErrArgument) {
		t.Errorf("a sequence that is not there: %v", err)
	}
}

func TestSaveWaitsForACopy(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 512, NSeqMax: 2})
	p := tokenize(t, m, question("Hello!"))
	mustStep(t, x, nil, []Span{{Tokens: p}})
	mustStep(t, x, []MemOp{{Kind: MemCopy, Seq: 0, Dst: 1, P1: -1}}, nil)
	_, err := x.SaveSeq(1)
	wantError(t, err, "next step")
	mustStep(t, x, nil, []Span{{Seq: 0, Pos: len(p), Tokens: p[:1]}})
	if _, err := x.SaveSeq(1); err != nil {
		t.Error(err)
	}
}
