package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// two makes tiny models a and b, and the beginning of a configuration of them
// under a limit that holds one of them.
func two(t *testing.T, home string) (config string, paths [2]string) {
	t.Helper()
	for i, name := range []string{"a", "b"} {
		paths[i] = filepath.Join(home, name+".gguf")
		writeModel(t, paths[i], uint64(i+1), "")
	}
	return "default_model: a\nengine: {slots: 2, prefix_ram: '0'}\nmemory: {limit: 20MB}\nmodels:\n", paths
}

// cli runs a command beside the instance of a home.
func cli(t *testing.T, home string, want int, a ...string) string {
	t.Helper()
	cmd := exec.Command("jeantrail-ai", a...)
	cmd.Env = append(os.Environ(), "JEANTRAIL_HOME="+home)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
		t.Fatalf("%v: %v, want exit code %d\n%s", a, err, want, out)
	}
	return string(out)
}

// A model that does not fit the memory is refused before a job is made of it, with
// the numbers and with what would fit; that, once it is in the configuration, does.
func TestWhatDoesNotFitIsRefused(t *testing.T) {
	home := t.TempDir()
	config, paths := two(t, home)
	model := func(name, path string, nCtx float64) string {
		return fmt.Sprintf("  - {name: %s, model_path: %q, n_ctx: %.0f}\n", name, path, nCtx)
	}
	configure(t, home, config+model("a", paths[0], 512)+model("b", paths[1], 65536))
	in := startSidecar(t, home)
	in.modelReady()
	ask := map[string]any{"prompt": "hello", "model": "b", "max_tokens": 4}
	status, refused := in.call(http.MethodPost, "/generate", ask)
	largest, _ := refused["largest_n_ctx"].(float64)
	if status != http.StatusUnprocessableEntity || refused["code"] != "unsupported" || refused["n_ctx"] != 65536.0 || largest < 512 || refused["job_id"] != nil {
		t.Fatalf("%d %v", status, refused)
	}
	if needed, usable := refused["needed_bytes"].(float64), refused["usable_ram_bytes"].(float64); needed <= usable || usable != 20e6 || refused["kv_bytes"].(float64) < 64<<20 {
		t.Errorf("the numbers are %v", refused)
	}
	hint := fmt.Sprintf("n_ctx: %.0f for the model b", largest)
	if !strings.Contains(fmt.Sprint(refused["hint"]), hint) {
		t.Errorf("the hint is %v, want one with %q", refused["hint"], hint)
	}
	if status, answer := in.call(http.MethodPost, "/models/b/load", nil); status != http.StatusUnprocessableEntity || answer["needed_bytes"] != refused["needed_bytes"] {
		t.Errorf("load: %d %v", status, answer)
	}
	if out := cli(t, home, exitOK, "model", "show", "b"); !has(out, hint) || !has(out, "tokens per second (estimated)") || !has(out, "failed") {
		t.Errorf("shown:\n%s", out)
	}
	if out := cli(t, home, exitUsage, "model", "load", "b"); !has(out, hint) {
		t.Errorf("loaded:\n%s", out)
	}
	configure(t, home, config+model("a", paths[0], 512)+model("b", paths[1], largest))
	if status, answer := in.call(http.MethodPost, "/config/reload", nil); status != http.StatusOK {
		t.Fatalf("reload: %d %v", status, answer)
	}
	if status, answer := in.call(http.MethodPost, "/generate", ask); status != http.StatusOK || answer["model"] != "b" {
		t.Errorf("with what was proposed: %d %v", status, answer)
	}
	_, shown := in.call(http.MethodGet, "/models/b", nil)
	fit, _ := shown["fit"].(map[string]any)
	if fit["fits"] != true || fit["n_ctx"] != largest || shown["loaded_bytes"].(float64) > 20e6 || shown["loaded_bytes"] != fit["ram_bytes"] {
		t.Errorf("loaded: %v", shown)
	}
	in.settled()
}

// A request that does not wait for its model is told so and finds it later; one
// that waits has the load in its log; and who watches the models sees it too.
func TestWaitingForAModel(t *testing.T) {
	home := t.TempDir()
	config, paths := two(t, home)
	configure(t, home, config+fmt.Sprintf("  - {name: a, model_path: %q}\n  - {name: b, model_path: %q}\n", paths[0], paths[1]))
	in := startSidecar(t, home)
	in.modelReady()
	heard := make(chan string, 64)
	go func() {
		defer close(heard)
		err := in.client().WatchModels(t.Context(), func(s wireModelState) (bool, error) {
			heard <- s.Name + " " + s.Status
			return s.Name == "b" && s.Status == "ready", nil
		})
		if err != nil {
			heard <- err.Error()
		}
	}()
	for want := range 3 { // each model, before anything changes
		if got, more := <-heard; !more {
			t.Fatalf("the watch ended after %d states, with %s", want, got)
		}
	}
	ask := map[string]any{"prompt": "hello", "model": "b", "max_tokens": 4, "wait_for_model": false}
	status, answer := in.call(http.MethodPost, "/generate", ask)
	if _, counted := answer["progress_percent"].(float64); status != http.StatusServiceUnavailable || answer["code"] != "model_loading" || !counted || answer["job_id"] != nil {
		t.Fatalf("%d %v", status, answer)
	}
	var words []string
	for word := range heard {
		if strings.HasPrefix(word, "b ") {
			words = append(words, word)
		}
	}
	if all := strings.Join(words, ", "); !strings.HasPrefix(all, "b loading") || !strings.HasSuffix(all, "b ready") {
		t.Errorf("the watcher heard: %s", all)
	}
	if status, answer := in.call(http.MethodPost, "/generate", ask); status != http.StatusOK || answer["model"] != "b" {
		t.Errorf("once it is there: %d %v", status, answer)
	}
	delete(ask, "wait_for_model")
	if status, answer := in.call(http.MethodPost, "/models/b/unload", nil); status != http.StatusOK {
		t.Fatalf("unload: %d %v", status, answer)
	}
	status, answer = in.call(http.MethodPost, "/generate", ask)
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	_, log := in.call(http.MethodGet, "/job/"+answer["job_id"].(string)+"/events", nil)
	var types []string
	for _, e := range log["events"].([]any) {
		event := e.(map[string]any)
		types = append(types, event["type"].(string))
		if event["type"] == "progress" && (event["stage"] != "load" || event["unit"] != "percent" || event["total"] != 100.0) {
			t.Errorf("progress: %v", event)
		}
	}
	if all := strings.Join(types, " "); !strings.HasPrefix(all, "queued progress ") || !has(all, "progress started") || strings.Count(all, "progress") > 11 {
		t.Errorf("the log of a job that waited: %s", all)
	}
	in.settled()
}

// A pinned model stays, whoever needs room; two that do not fit together leave the
// second one out, which the health says; a reload changes a pin and unloads
// nothing; and what somebody unloads by name goes.
func TestPinnedModels(t *testing.T) {
	home := t.TempDir()
	config, paths := two(t, home)
	models := func(pinned ...bool) string {
		return config + fmt.Sprintf("  - {name: a, model_path: %q, pinned: %v}\n  - {name: b, model_path: %q, pinned: %v}\n", paths[0], pinned[0], paths[1], pinned[1])
	}
	configure(t, home, models(true, true))
	in := startSidecar(t, home)
	for line := in.next("model"); line["name"] != "b" || line["status"] != "failed"; line = in.next("model") {
		if line["name"] == "b" && line["status"] == "ready" {
			t.Fatalf("both are loaded: %v", line)
		}
	}
	_, health := in.call(http.MethodGet, "/health", nil)
	for health["status"] == "loading" { // the other one
		_, health = in.call(http.MethodGet, "/health", nil)
	}
	b := health["models"].(map[string]any)["b"].(map[string]any)
	if health["status"] != "degraded" || b["pinned"] != true || !has(fmt.Sprint(b["problem"]), "MiB") || !has(fmt.Sprint(b["problem"]), "a ") {
		t.Errorf("health: %v", health)
	}
	ask := func(name string, want int) map[string]any {
		t.Helper()
		status, answer := in.call(http.MethodPost, "/generate", map[string]any{"prompt": "hello", "model": name, "max_tokens": 4})
		if status != want {
			t.Errorf("%s: %d %v, want %d", name, status, answer, want)
		}
		return answer
	}
	ask("a", http.StatusOK)
	if refused := ask("b", http.StatusUnprocessableEntity); !has(fmt.Sprint(refused["held_by"]), "a ") || !has(fmt.Sprint(refused["hint"]), "pin") {
		t.Errorf("refused: %v", refused)
	}
	reload := func(config, want string) {
		t.Helper()
		configure(t, home, config)
		if _, answer := in.call(http.MethodPost, "/config/reload", nil); fmt.Sprint(answer["changes"]) != want {
			t.Errorf("reload: %v, want %s", answer, want)
		}
	}
	reload(models(true, false), "[model b is not pinned any more]")
	if _, a := in.call(http.MethodGet, "/models/a", nil); a["status"] != "ready" || a["pinned"] != true {
		t.Errorf("after a reload: %v", a)
	}
	reload(models(false, false), "[model a is not pinned any more]")
	if _, a := in.call(http.MethodGet, "/models/a", nil); a["status"] != "ready" || a["pinned"] != false {
		t.Errorf("not pinned any more: %v", a)
	}
	ask("b", http.StatusOK)
	reload(models(false, true), "[model b is pinned]")
	ask("a", http.StatusUnprocessableEntity)
	if out := cli(t, home, exitOK, "model", "unload", "b"); !has(out, "b is available") {
		t.Errorf("unloaded: %s", out)
	}
	if out := cli(t, home, exitOK, "model", "load", "a"); !has(out, "a is ready") {
		t.Errorf("loaded: %s", out)
	}
	if out := cli(t, home, exitOK, "model", "load", "a", "--no-wait"); !has(out, "a is ready") {
		t.Errorf("loaded again: %s", out)
	}
	ask("a", http.StatusOK)
	in.settled()
}
