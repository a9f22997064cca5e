package hub

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/qwen3"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

// TestARealModel pulls a sound model, and one that is whole by its hash but was
// cut before it was uploaded.
func TestARealModel(t *testing.T) {
	shape, err := qwen3.ShapeByName("tiny")
	if err != nil {
		t.Fatal(err)
	}
	var model bytes.Buffer
	if _, err := qwen3.Write(t.Context(), &model, qwen3.Options{Shape: shape, Vocabulary: qwen3.TinyVocabulary(), Seed: 1}); err != nil {
		t.Fatal(err)
	}
	h := hubtest.New(t)
	h.Put(repo, "tiny-Q4_K_M.gguf", model.Bytes())
	h.Put(repo, "tiny-Q8_0.gguf", model.Bytes()[:model.Len()/2])
	c := newClient(t, h, func(o *Options) {
		o.Validate = func(path string) error { _, err := registry.Check(path); return err }
	})
	pullOne(t, c, Request{Source: "hf:" + repo, Name: "tiny"})
	r, err := registry.New(c.opts.Folder, "tiny", nil)
	if err != nil {
		t.Fatal(err)
	}
	if models := r.List(t.Context()); len(models) != 1 || models[0].Status != jeantrail.ModelAvailable || models[0].Architecture != "qwen3" {
		t.Errorf("models: %+v", models)
	}
	_, err = c.Pull(t.Context(), Request{Source: "hf:" + repo + ":Q8_0"}, nil)
	if e := jeantrail.AsError(err); e.Code != jeantrail.CodeInvalid || !strings.Contains(e.Message, "tiny-Q8_0.gguf") || e.Hint == "" {
		t.Errorf("half a model: %v, hint %q", err, e.Hint)
	}
	if installed, _ := names(t, c.opts.Folder); len(installed) != 1 {
		t.Errorf("the folder has %v", installed)
	}
}
