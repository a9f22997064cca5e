package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

// A model is pulled beside a running instance, which can use it at once; it is
// removed again when no job uses it.
func TestPullBesideAnInstance(t *testing.T) {
	h := hubtest.New(t)
	file := filepath.Join(t.TempDir(), "tiny.gguf")
	writeModel(t, file, 7, "")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := h.Put("Qwen/Tiny-GGUF", "Tiny-Q4_K_M.gguf", content)
	home := t.TempDir()
	in := startSidecar(t, home)
	in.modelReady()
	run := commands(t, home, h.URL)
	if out := run(exitOK, "model", "pull", "hf:Qwen/Tiny-GGUF"); !has(out, sum) || !has(out, "serve --model Tiny-Q4_K_M") {
		t.Errorf("pulled: %s", out)
	}
	if out := run(exitOK, "model", "pull", "hf:Qwen/Tiny-GGUF", "--json"); !has(out, `"phase":"installed"`) || !has(out, `"fetched_bytes":0`) {
		t.Errorf("pulled again: %s", out)
	}
	status, answer := in.call(http.MethodPost, "/generate", map[string]any{"prompt": "hello", "model": "Tiny-Q4_K_M", "max_tokens": 4})
	if status != http.StatusOK || answer["model"] != "Tiny-Q4_K_M" {
		t.Errorf("%d %v", status, answer)
	}
	h.Put("Qwen/Tiny-GGUF", "Broken-Q8_0.gguf", []byte(strings.Repeat("<html>", 1000)))
	if out := run(exitUsage, "model", "pull", "hf:Qwen/Tiny-GGUF:Q8_0"); !has(out, "error:") {
		t.Errorf("a page instead of a model: %s", out)
	}
	if out := run(exitRefused, "model", "pull", "hf:Qwen/Missing-GGUF"); !has(out, "Missing-GGUF") {
		t.Errorf("a repository that is not there: %s", out)
	}
	if out := run(exitNotFound, "model", "pull", "qwen3-8"); !has(out, "qwen3-8b") {
		t.Errorf("a name that was nearly right: %s", out)
	}
	in.settled()
	if out := run(exitOK, "model", "remove", "Tiny-Q4_K_M"); !has(out, "removed") {
		t.Errorf("removed: %s", out)
	}
	if _, err := os.Stat(filepath.Join(home, "models", "Tiny-Q4_K_M.gguf")); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	run(exitOK, "model", "prune")
	if status, answer := in.call(http.MethodPost, "/generate", map[string]any{"prompt": "hello", "model": "Tiny-Q4_K_M"}); status != http.StatusNotFound {
		t.Errorf("after it was removed: %d %v", status, answer)
	}
	if left, err := filepath.Glob(filepath.Join(home, "models", "[^.]*.gguf")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The same over the interface: a pull goes on without its client, says how far it
// is, and the model can be used when it is done.
func TestPullOverTheInterface(t *testing.T) {
	h := hubtest.New(t)
	file := filepath.Join(t.TempDir(), "tiny.gguf")
	writeModel(t, file, 8, "")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := h.Put("Qwen/Tiny-GGUF", "Tiny-Q4_K_M.gguf", content)
	t.Setenv("HF_ENDPOINT", h.URL)
	in := startSidecar(t, t.TempDir())
	in.modelReady()
	status, pull := in.call(http.MethodPost, "/models/pull", map[string]any{"name": "hf:Qwen/Tiny-GGUF"})
	if status != http.StatusAccepted {
		t.Fatalf("%d %v", status, pull)
	}
	path := "/models/pulls/" + pull["pull_id"].(string)
	events, _ := in.fetch(path + "/events") // until it is over
	if !has(string(events), "event: done") || !has(string(events), sum) {
		t.Errorf("events: %s", events)
	}
	_, pull = in.call(http.MethodGet, path, nil)
	if pull["status"] != "done" || pull["model"] != "Tiny-Q4_K_M" || pull["done_bytes"] != float64(len(content)) {
		t.Errorf("at the end: %v", pull)
	}
	status, answer := in.call(http.MethodPost, "/generate", map[string]any{"prompt": "hello", "model": "Tiny-Q4_K_M", "max_tokens": 4})
	if status != http.StatusOK || answer["model"] != "Tiny-Q4_K_M" {
		t.Errorf("%d %v", status, answer)
	}
	_, pull = in.call(http.MethodPost, "/models/pull", map[string]any{"name": "hf:Qwen/Missing-GGUF"})
	events, _ = in.fetch("/models/pulls/" + pull["pull_id"].(string) + "/events")
	if !has(string(events), "event: failed") || !has(string(events), "forbidden") {
		t.Errorf("a repository that is not there: %s", events)
	}
	if status, answer := in.call(http.MethodPost, "/models/pull", map[string]any{"name": "qwen3-8"}); status != http.StatusNotFound {
		t.Errorf("a name that was nearly right: %d %v", status, answer)
	}
	in.settled()
}

// commands returns what runs a command on a home, with that hub, and fails the test
// if it does not exit as wanted.
func commands(t *testing.T, home, hub string) func(want int, a ...string) string {
	return func(want int, a ...string) string {
		t.Helper()
		cmd := exec.Command("jeantrail-ai", a...)
		cmd.Env = append(os.Environ(), "JEANTRAIL_HOME="+home, "HF_ENDPOINT="+hub)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
			t.Fatalf("%v: %v\n%s", a, err, out)
		}
		return string(out)
	}
}
