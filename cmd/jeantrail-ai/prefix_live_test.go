package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What was in the KV cache at a stop is of use after the next start: the prompt is
// not evaluated again, and says the same. With no room on the disk nothing is left.
func TestRestartBeginsWarm(t *testing.T) {
	home := t.TempDir()
	long := strings.Repeat("The program keeps what was said, and what was answered. ", 40)
	ask := func(in *instance, from any) (text string, cached float64) {
		t.Helper()
		status, answer := in.call(http.MethodPost, "/generate", map[string]any{
			"prompt": long + "What are you?", "raw": true, "max_tokens": 12, "temperature": 0, "cache": false,
		})
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, answer)
		}
		if got := answer["timings"].(map[string]any)["cached_from"]; got != from {
			t.Errorf("cached tokens came from %v, want %v", got, from)
		}
		return answer["text"].(string), answer["usage"].(map[string]any)["cached_tokens"].(float64)
	}
	in := startSidecar(t, home)
	in.modelReady()
	ask(in, nil)
	want, warm := ask(in, "kv") // evaluated as the restored one will be: only the end
	if code := in.stop(); code != 0 {
		t.Fatalf("exit %d", code)
	}
	files, _ := filepath.Glob(filepath.Join(home, "prefix", "*.kv"))
	if len(files) != 1 {
		t.Fatalf("files: %v", files)
	}
	for path, mode := range map[string]os.FileMode{filepath.Dir(files[0]): 0o700, files[0]: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}

	in = startSidecar(t, home)
	in.modelReady()
	in.metric(`jeantrail_prefix_entries{tier="disk"} 1`)
	text, cached := ask(in, "disk")
	if text != want || cached != warm || cached < 256 {
		t.Errorf("%v tokens were cached, before the restart %v; it says %q, before %q", cached, warm, text, want)
	}
	in.metric(`jeantrail_engine_prefix_hits_total{model="builtin",tier="disk"} 1`)
	if code := in.stop(); code != 0 {
		t.Fatalf("exit %d", code)
	}

	configure(t, home, "engine: {prefix_disk: 0}\n")
	in = startSidecar(t, home)
	in.modelReady()
	if _, cached := ask(in, nil); cached != 0 {
		t.Errorf("%v tokens were cached although nothing is kept on the disk", cached)
	}
	if code := in.stop(); code != 0 {
		t.Fatalf("exit %d", code)
	}
	if files, _ := filepath.Glob(filepath.Join(home, "prefix", "*")); len(files) > 0 {
		t.Errorf("left: %v", files)
	}
}

// metric waits until the metrics have a line.
func (in *instance) metric(line string) {
	in.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		text, _ := in.fetch("/metrics")
		if strings.Contains(string(text), line) {
			return
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("the metrics have no %s:\n%s", line, text)
		}
	}
}
