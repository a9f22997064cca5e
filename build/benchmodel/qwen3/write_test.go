package qwen3

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

func tinyOptions(t *testing.T, seed uint64) Options {
	t.Helper()
	s, err := ShapeByName("Tiny")
	if err != nil {
		t.Fatal(err)
	}
	return Options{Shape: s, Vocabulary: TinyVocabulary(), Template: "{{ messages }}", Seed: seed}
}

func writeModel(t *testing.T, opt Options) []byte {
	t.Helper()
	var out bytes.Buffer
	n, err := Write(t.Context(), &out, opt)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(out.Len()) {
		t.Fatalf("Write says %d bytes and wrote %d", n, out.Len())
	}
	return out.Bytes()
}

func TestWriteMakesASoundModel(t *testing.T) {
	opt := tinyOptions(t, 1)
	for _, tied := range []bool{true, false} {
		opt.Shape.Tied = tied
		b := writeModel(t, opt)
		f, err := gguf.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if err := gguf.Validate(f); err != nil {
			t.Fatal(err)
		}
		s := gguf.Summarize(f)
		if s.Tied != tied || s.Quantization != "F16" || s.Layers != 2 || s.Parameters != opt.Shape.Parameters(len(opt.Vocabulary.Tokens)) {
			t.Errorf("summary = %+v", s)
		}
	}
}

func TestWriteDependsOnTheSeedAlone(t *testing.T) {
	a, b, c := writeModel(t, tinyOptions(t, 1)), writeModel(t, tinyOptions(t, 1)), writeModel(t, tinyOptions(t, 2))
	if !bytes.Equal(a, b) {
		t.Error("the same seed gave another file")
	}
	if bytes.Equal(a, c) {
		t.Error("another seed gave the same file")
	}
	// Pinned, since golden outputs of other packages rest on these weights.
	h := fnv.New64a()
	h.Write(a)
	if got := h.Sum64(); got != goldenTinySum {
		t.Errorf("FNV-1a of the tiny model with seed 1 = %#x, want %#x", got, uint64(goldenTinySum))
	}
}

const goldenTinySum = 0xf0090ad99292ae79

// TestWeightsAreNormal checks mean, deviation and tails of a matrix.
func TestWeightsAreNormal(t *testing.T) {
	var out bytes.Buffer
	const n = 1 << 20
	src := newSource(3)
	if err := src.tensor(t.Context(), tensor{name: "w", dims: []int64{1024, n / 1024}}, &out); err != nil {
		t.Fatal(err)
	}
	var sum, squares float64
	beyond := 0
	for p := out.Bytes(); len(p) > 0; p = p[2:] {
		x := halfValue(binary.LittleEndian.Uint16(p))
		sum, squares = sum+x, squares+x*x
		if math.Abs(x) > 2*deviation {
			beyond++
		}
	}
	// The table of 2^16 numbers sets the error: deviation/256 for the mean.
	if mean := sum / n; math.Abs(mean) > 4*deviation/256 {
		t.Errorf("mean = %g", mean)
	}
	if sd := math.Sqrt(squares / n); math.Abs(sd-deviation) > 0.02*deviation {
		t.Errorf("deviation = %g, want %g", sd, deviation)
	}
	if share := float64(beyond) / n; math.Abs(share-0.0455) > 0.005 {
		t.Errorf("%.4f of the weights lie beyond two deviations, want 0.0455", share)
	}
}

// halfValue decodes a half by its definition.
func halfValue(h uint16) float64 {
	exp, frac := int(h>>10&31), float64(h&1023)
	v := math.Ldexp(frac, -24)
	if exp > 0 {
		v = math.Ldexp(1024+frac, exp-25)
	}
	if h&0x8000 != 0 {
		return -v
	}
	return v
}

func TestHalfBits(t *testing.T) {
	for h := range uint16(0x7c00) { // every finite half is its own rounding
		for _, bits := range []uint16{h, h | 0x8000} {
			if got := halfBits(float32(halfValue(bits))); got != bits {
				t.Fatalf("halfBits(%g) = %#x, want %#x", halfValue(bits), got, bits)
			}
		}
	}
	for f, want := range map[float32]uint16{
		1 + 1.0/2048: 0x3c00, 1 + 3.0/2048: 0x3c02, // ties go to even
		1.0 / (1 << 25): 0, 3.0 / (1 << 25): 2, 2047.75 / 2048: 0x3c00,
	} {
		if got := halfBits(f); got != want {
			t.Errorf("halfBits(%g) = %#x, want %#x", f, got, want)
		}
	}
}

func TestWriteStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, err := Write(ctx, io.Discard, tinyOptions(t, 1)); !errors.Is(err, stopped) {
		t.Errorf("error = %v, want the cause", err)
	}
}

// TestParameters holds the shapes against the sizes the publisher states:
// billions of parameters with and without the embedding.
func TestParameters(t *testing.T) {
	for name, want := range map[string]float64{"0.6b": 0.596, "1.7b": 1.72, "4b": 4.02, "8b": 8.19, "14b": 14.77, "32b": 32.76} {
		s, err := ShapeByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := float64(s.Parameters(151936)) / 1e9; math.Abs(got-want) > 0.005*want {
			t.Errorf("%s has %.3f billion parameters, want %.3f", name, got, want)
		}
	}
	if _, err := ShapeByName("7b"); err == nil {
		t.Error("an unknown shape has no error")
	}
}

func TestTinyVocabulary(t *testing.T) {
	v := TinyVocabulary()
	for token, id := range map[string]int{"!": '!', "Ġ": ' ', "Ċ": '\n', "ÿ": 255, "Ā": 0, "Ń": 0xad, "ĊĊ": 256} {
		if v.Tokens[id] != token {
			t.Errorf("token %d = %q, want %q", id, v.Tokens[id], token)
		}
	}
	if v.Tokens[v.EndOfTurn] != "<|im_end|>" || v.Types[v.EndOfTurn] != gguf.TokenControl {
		t.Errorf("end of turn = %q of type %d", v.Tokens[v.EndOfTurn], v.Types[v.EndOfTurn])
	}
	if id := slices.Index(v.Tokens, "<think>"); id < 0 || v.Types[id] != gguf.TokenUserDefined {
		t.Error("<think> is missing or not user-defined")
	}
}

func TestLoadVocabulary(t *testing.T) {
	write := func(pre string, tokens []string) string {
		var w gguf.Writer
		for _, p := range []struct {
			key   string
			value gguf.Value
		}{
			{"general.architecture", gguf.ValueOf("qwen2")}, {"tokenizer.ggml.model", gguf.ValueOf("gpt2")},
			{"tokenizer.ggml.pre", gguf.ValueOf(pre)}, {"tokenizer.ggml.tokens", gguf.ValueOf(tokens)},
			{"tokenizer.ggml.token_type", gguf.ValueOf(slices.Repeat([]int32{4}, len(tokens)))},
			{"tokenizer.ggml.merges", gguf.ValueOf([]string{"a b"})},
		} {
			if err := w.Set(p.key, p.value); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(t.TempDir(), "vocab.gguf")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := w.WriteTo(f); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tokens := make([]string, 151936)
	for i := range tokens {
		tokens[i] = string(rune(0x20000 + i))
	}
	tokens[firstAdded] = endOfText
	v, err := LoadVocabulary(write("qwen2", tokens))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[int]struct {
		text string
		typ  int32
	}{
		151643: {"<|endoftext|>", gguf.TokenControl}, 151645: {"<|im_end|>", gguf.TokenControl},
		151657: {"<tool_call>", gguf.TokenUserDefined}, 151667: {"<think>", gguf.TokenUserDefined},
		151668: {"</think>", gguf.TokenUserDefined}, 151669: {tokens[151669], gguf.TokenUnused}, 0: {tokens[0], 4},
	} {
		if v.Tokens[id] != want.text || v.Types[id] != want.typ {
			t.Errorf("token %d = %q of type %d, want %q of type %d", id, v.Tokens[id], v.Types[id], want.text, want.typ)
		}
	}
	if v.EndOfText != 151643 || v.EndOfTurn != 151645 {
		t.Errorf("ends = %d and %d", v.EndOfText, v.EndOfTurn)
	}
	for name, path := range map[string]string{
		"another tokenizer": write("llama-bpe", tokens), "too small": write("qwen2", tokens[:10]), "no file": "missing.gguf",
	} {
		if _, err := LoadVocabulary(path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
