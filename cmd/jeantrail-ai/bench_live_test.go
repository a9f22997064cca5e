package main

import (
	"net/http"
	"os/exec"
	"testing"
)

// Benchmarks are measured beside an instance that runs, kept by it, and known to
// its rules from then on.
func TestBenchBesideAnInstance(t *testing.T) {
	home := t.TempDir()
	in := startSidecar(t, home)
	in.modelReady()
	held := func() bool {
		t.Helper()
		status, report := in.call(http.MethodPost, "/rules/test", map[string]any{
			"request": map[string]any{"prompt": "Hello"},
			"rule":    map[string]any{"conditions": map[string]any{"tokens_per_second": ">=0"}, "actions": map[string]any{"temperature": 0.5}},
		})
		if status != http.StatusOK {
			t.Fatalf("test the rule: %d %v", status, report)
		}
		return report["trials"].([]any)[0].(map[string]any)["held"].(bool)
	}
	if held() {
		t.Error("nothing was measured, and a rule goes by it")
	}
	command := func(a ...string) {
		t.Helper()
		if out, err := exec.Command("jeantrail-ai", append([]string{"--home", home, "bench"}, a...)...).CombinedOutput(); err != nil {
			t.Fatalf("bench %v: %v\n%s", a, err, out)
		}
	}
	command("raw", "-p", "0", "-n", "4", "-r", "1")
	command("engine", "-p", "16", "-n", "4", "--n-restore", "16", "--streams", "1", "-r", "1")
	_, all := in.call(http.MethodGet, "/bench", nil)
	benches := all["benches"].([]any)
	if len(benches) != 2 || benches[0].(map[string]any)["kind"] != "engine" || benches[1].(map[string]any)["model"] != "builtin" {
		t.Fatalf("kept are %v", benches)
	}
	if !held() {
		t.Error("the model was measured, and no rule knows it")
	}
	command("remove", "last")
	command("remove", "last")
	if held() {
		t.Error("what was measured is deleted, and a rule still goes by it")
	}
}
