//go:build cgo

package native_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/jeantrail/jeantrail-ai/build/benchmodel/ggufsplit"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/qwen3"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// randomModel writes a model of the tiny shape, whose answers depend on every
// weight.
func randomModel(t *testing.T) string {
	t.Helper()
	shape, err := qwen3.ShapeByName("tiny")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "whole.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := qwen3.Write(t.Context(), f, qwen3.Options{Shape: shape, Vocabulary: qwen3.TinyVocabulary(), Seed: 3}); err != nil {
		t.Fatal(err)
	}
	return path
}

// greedy returns what a model says without chance.
func greedy(t *testing.T, path string, change func(*native.Options)) string {
	t.Helper()
	o := native.Options{Path: path, NCtx: 1024}
	if change != nil {
		change(&o)
	}
	d := open(t, o)
	tokens, err := d.Vocab().Tokenize("split", true)
	if err != nil || len(tokens) == 0 {
		t.Fatalf("tokens %v, %v", tokens, err)
	}
	return answer(t, d, 0, tokens, engine.SamplingParams{})
}

// TestASplitModelSaysTheSame loads a model whole and in parts.
func TestASplitModelSaysTheSame(t *testing.T) {
	whole := randomModel(t)
	want := greedy(t, whole, nil)
	if want == "" {
		t.Fatal("the whole model says nothing")
	}
	for _, parts := range []int{2, 3, 7} {
		paths, err := ggufsplit.Split(whole, filepath.Join(t.TempDir(), "m"), parts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := gguf.Inspect(paths[0]); err != nil {
			t.Errorf("%d parts are refused: %v", parts, err)
		}
		for name, change := range map[string]func(*native.Options){
			"mapped":   nil,
			"copied":   func(o *native.Options) { o.NoMmap = true },
			"as it is": func(o *native.Options) { o.NoRepack, o.CheckTensors = true, true },
		} {
			t.Run(fmt.Sprintf("%d parts %s", parts, name), func(t *testing.T) {
				if got := greedy(t, paths[0], change); got != want {
					t.Errorf("in parts it says %q, whole %q", got, want)
				}
			})
		}
	}
}

// TestOddSplitsLoad loads parts as other tools cut them: metadata alone in the
// first, nothing in one, an alignment of its own.
func TestOddSplitsLoad(t *testing.T) {
	whole := randomModel(t)
	f, err := gguf.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	want := greedy(t, whole, nil)
	n := len(f.Tensors)
	for name, test := range map[string]struct {
		ends      []int // of each part's tensors
		alignment uint32
	}{
		"metadata alone in the first": {ends: []int{0, n / 2, n}},
		"a part with nothing":         {ends: []int{n / 2, n / 2, n}},
		"the last with nothing":       {ends: []int{n, n}},
		"larger alignment":            {ends: []int{n / 3, n}, alignment: 4096},
	} {
		t.Run(name, func(t *testing.T) {
			prefix, from := filepath.Join(t.TempDir(), "m"), 0
			for i, end := range test.ends {
				writePart(t, f, in, from, end, i, len(test.ends), gguf.PartPath(prefix, i+1, len(test.ends)), test.alignment)
				from = end
			}
			first := gguf.PartPath(prefix, 1, len(test.ends))
			if _, err := gguf.Inspect(first); err != nil {
				t.Fatalf("it is refused: %v", err)
			}
			if got := greedy(t, first, nil); got != want {
				t.Errorf("in parts it says %q, whole %q", got, want)
			}
		})
	}
}

// writePart writes the tensors [from, end) of f as part i of parts.
func writePart(t *testing.T, f *gguf.File, in *os.File, from, end, i, parts int, path string, alignment uint32) {
	t.Helper()
	var w gguf.Writer
	set := func(key string, v gguf.Value) {
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	if i == 0 {
		for key, v := range f.Metadata.All() {
			set(key, v)
		}
	} else if alignment > 0 {
		set("general.alignment", gguf.ValueOf(alignment))
	}
	set("split.no", gguf.ValueOf(uint16(i)))
	set("split.count", gguf.ValueOf(uint16(parts)))
	set("split.tensors.count", gguf.ValueOf(int32(len(f.Tensors))))
	for k := from; k < end; k++ {
		tensor := &f.Tensors[k]
		err := w.Add(tensor.Name, tensor.Type, tensor.Dims, func(out io.Writer) error {
			_, err := io.Copy(out, f.Data(in, tensor))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := w.WriteTo(out); err != nil {
		t.Fatal(err)
	}
}
