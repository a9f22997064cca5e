//go:build cgo

package llama

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// sourceDir finds the llama.cpp checkout that the archives were built from.
func sourceDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("JEANTRAIL_LLAMA_SRC"); dir != "" {
		return dir
	}
	out, err := exec.Command(filepath.Join("..", "third_party", "fetch")).Output()
	if err != nil {
		t.Fatalf("find llama.cpp's source (or set JEANTRAIL_LLAMA_SRC): %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// The vectors beside ggml-vocab-qwen2.gguf: texts separated by a line of
// __ggml_vocab_test__, and a line of token ids for each.
func TestTokenizerVectors(t *testing.T) {
	base := filepath.Join(sourceDir(t), "models", "ggml-vocab-qwen2.gguf")
	m, err := LoadModel(context.Background(), ModelParams{Path: base, VocabOnly: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	in, err1 := os.ReadFile(base + ".inp")
	out, err2 := os.ReadFile(base + ".out")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	texts := strings.Split(strings.TrimSuffix(string(in), "\n__ggml_vocab_test__\n"), "\n__ggml_vocab_test__\n")
	ids := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(texts) != len(ids) || len(ids) < 30 {
		t.Fatalf("%d texts, %d lines of tokens", len(texts), len(ids))
	}
	for i, in := range texts {
		var want []int32
		for f := range strings.FieldsSeq(ids[i]) {
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, int32(n))
		}
		got, err := m.Vocab().Tokenize(in, false)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
		if back := text(m.Vocab(), got); back != in {
			t.Errorf("%q came back as %q", in, back)
		}
	}
	if _, err := NewContext(m, ContextParams{}); err == nil {
		t.Error("a context on a vocabulary")
	}
}

func TestSpecialTokens(t *testing.T) {
	m := openModel(t)
	v := m.Vocab()
	end, ok := v.Lookup("<|im_end|>")
	if !ok || !v.IsEOG(end) || !v.IsControl(end) || len(v.Piece(end)) != 0 || v.SpecialText(end) != "<|im_end|>" {
		t.Errorf("<|im_end|> is %d, %v", end, ok)
	}
	think, ok := v.Lookup("<think>")
	if !ok || v.IsEOG(think) || v.SpecialText(think) != "<think>" {
		t.Errorf("<think> is %d, %v", think, ok)
	}
	if _, ok := v.Lookup("no such piece"); ok {
		t.Error("found a piece that is not there")
	}
	for _, bad := range []int32{-1, int32(v.Size())} {
		if v.Piece(bad) != nil || v.IsEOG(bad) || v.IsControl(bad) || v.SpecialText(bad) != "" {
			t.Errorf("token %d exists", bad)
		}
	}
	with, err := v.Tokenize("a<|im_end|>", true)
	if err != nil || !slices.Contains(with, end) {
		t.Errorf("with parsing: %v, %v", with, err)
	}
	without, err := v.Tokenize("a<|im_end|>", false)
	if err != nil || slices.Contains(without, end) || text(v, without) != "a<|im_end|>" {
		t.Errorf("without parsing: %v, %v", without, err)
	}
	if none, err := v.Tokenize("", true); err != nil || len(none) != 0 {
		t.Errorf("empty text: %v, %v", none, err)
	}
	// More tokens than the first buffer has room for.
	dense := strings.Repeat("\x01", 999)
	tokens, err := v.Tokenize(dense, false)
	if err != nil || text(v, tokens) != dense {
		t.Errorf("%d tokens for 999 bytes, %v", len(tokens), err)
	}
}

func TestTokenizeConcurrently(t *testing.T) {
	m := openModel(t)
	want := tokenize(t, m, question("How do I pull a model?"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				got, err := m.Vocab().Tokenize(question("How do I pull a model?"), true)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%v, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
