package ggufsplit

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/jeantrail/jeantrail-ai/build/benchmodel/qwen3"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

func TestSplit(t *testing.T) {
	shape, err := qwen3.ShapeByName("tiny")
	if err != nil {
		t.Fatal(err)
	}
	var model bytes.Buffer
	if _, err := qwen3.Write(t.Context(), &model, qwen3.Options{Shape: shape, Vocabulary: qwen3.TinyVocabulary(), Seed: 1}); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	whole := filepath.Join(folder, "whole.gguf")
	if err := os.WriteFile(whole, model.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := gguf.Inspect(whole)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := Split(whole, filepath.Join(folder, "m"), 3)
	if err != nil || len(parts) != 3 || parts[2] != filepath.Join(folder, "m-00003-of-00003.gguf") {
		t.Fatalf("parts %v, %v", parts, err)
	}
	if got, err := gguf.Inspect(parts[0]); err != nil || got.Parameters != want.Parameters || got.WeightBytes != want.WeightBytes {
		t.Errorf("the parts are %+v, %v", got, err)
	}
	for name, split := range map[string]func() ([]string, error){
		"one part":                   func() ([]string, error) { return Split(whole, filepath.Join(folder, "x"), 1) },
		"a part again":               func() ([]string, error) { return Split(parts[0], filepath.Join(folder, "x"), 2) },
		"a file that is not there":   func() ([]string, error) { return Split(whole+"x", filepath.Join(folder, "x"), 2) },
		"a folder that is not there": func() ([]string, error) { return Split(whole, filepath.Join(folder, "no", "x"), 2) },
		"a name that is taken half-way": func() ([]string, error) {
			if err := os.MkdirAll(gguf.PartPath(filepath.Join(folder, "y"), 2, 2), 0o700); err != nil {
				t.Fatal(err)
			}
			return Split(whole, filepath.Join(folder, "y"), 2)
		},
	} {
		if made, err := split(); err == nil || made != nil {
			t.Errorf("%s: %v, %v", name, made, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(folder, "[xy]-*")); err != nil || len(left) != 1 { // the folder that was in the way
		t.Errorf("left: %v, %v", left, err)
	}
}
