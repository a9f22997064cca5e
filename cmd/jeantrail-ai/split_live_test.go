package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai/build/benchmodel/ggufsplit"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

// A model in parts is one model from the pull to the removal, and says what the
// same model says in one file.
func TestASplitModelIsServed(t *testing.T) {
	folder := t.TempDir()
	whole := filepath.Join(folder, "whole.gguf")
	writeModel(t, whole, 7, "")
	parts, err := ggufsplit.Split(whole, filepath.Join(folder, "parts"), 3)
	if err != nil {
		t.Fatal(err)
	}
	contents := make([][]byte, len(parts))
	for i, path := range parts {
		if contents[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	h := hubtest.New(t)
	sum := registry.SumOf(h.PutSplit("Qwen/Big-GGUF", "Q4_K_M/Big-Q4_K_M", contents))
	home := t.TempDir()
	in := startSidecar(t, home)
	in.modelReady()
	run := commands(t, home, h.URL)
	if out := run(exitOK, "model", "pull", "hf:Qwen/Big-GGUF"); !has(out, "Big-Q4_K_M-00003-of-00003.gguf") || !has(out, "serve --model Big-Q4_K_M\n") {
		t.Errorf("pulled: %s", out)
	}
	run(exitOK, "model", "import", "--name", "whole", whole)
	if out := run(exitUsage, "model", "import", parts[1]); !has(out, parts[0]) {
		t.Errorf("import of the second part: %s", out)
	}
	run(exitOK, "model", "import", "--name", "again", parts[0])
	said := make(map[string]any)
	for _, name := range []string{"whole", "Big-Q4_K_M", "again"} {
		status, answer := in.call(http.MethodPost, "/generate", map[string]any{"prompt": "hello", "model": name, "max_tokens": 12, "temperature": 0})
		if status != http.StatusOK || answer["model"] != name || answer["text"] == "" {
			t.Fatalf("%s: %d %v", name, status, answer)
		}
		said[name] = answer["text"]
	}
	if said["whole"] != said["Big-Q4_K_M"] || said["whole"] != said["again"] {
		t.Errorf("they say %v", said)
	}
	if out := run(exitOK, "model", "verify", "Big-Q4_K_M"); strings.Count(out, ".gguf\n") != 3 || !has(out, sum+"  over the sums of the 3 parts\nsound: qwen3") {
		t.Errorf("verified: %s", out)
	}
	in.settled()
	if out := run(exitOK, "model", "remove", "Big-Q4_K_M"); !has(out, "removed") {
		t.Errorf("removed: %s", out)
	}
	models := filepath.Join(home, "models")
	if err := os.Remove(filepath.Join(models, "again-00002-of-00003.gguf")); err != nil {
		t.Fatal(err)
	}
	if status, answer := in.call(http.MethodGet, "/models/again", nil); status != http.StatusOK || !has(answer["problem"].(string), "again-00002-of-00003.gguf") {
		t.Errorf("without its second part: %d %v", status, answer)
	}
	run(exitOK, "model", "remove", "again")
	if left, err := filepath.Glob(filepath.Join(models, "*-of-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
