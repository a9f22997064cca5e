package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jeantrail/jeantrail-ai/build/benchmodel/projector"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/qwen3"
	"github.com/jeantrail/jeantrail-ai/internal/testkit"
)

// chatML is a template that random models understand as little as any other.
const chatML = `{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`

// writeModel makes a tiny random model, and one that sees also its projector.
func writeModel(t *testing.T, path string, seed uint64, mmproj string) {
	t.Helper()
	shape, err := qwen3.ShapeByName("tiny")
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, content func(io.Writer) (int64, error)) {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := content(f); err != nil {
			t.Fatal(err)
		}
	}
	write(path, func(w io.Writer) (int64, error) {
		return qwen3.Write(context.Background(), w, qwen3.Options{
			Shape: shape, Vocabulary: qwen3.TinyVocabulary(), Template: chatML, Seed: seed, Vision: mmproj != "",
		})
	})
	if mmproj != "" {
		write(mmproj, func(w io.Writer) (int64, error) {
			return projector.Write(w, projector.Options{Kind: projector.Qwen3VL, TextWidth: shape.Embedding, Seed: 1})
		})
	}
}

// A model with a projector reads images, without a worker: over the API and in a
// workflow, and the picture counts as tokens of the prompt.
func TestModelInProcessSees(t *testing.T) {
	home := t.TempDir()
	model, mmproj := filepath.Join(home, "eye.gguf"), filepath.Join(home, "eye-mmproj.gguf")
	writeModel(t, model, 1, mmproj)
	configure(t, home, fmt.Sprintf("models:\n  - {name: eye, model_path: %q, mmproj_path: %q, n_ctx: 2048}\n", model, mmproj))
	in := startSidecar(t, home)
	in.modelReady()
	ask := func(body map[string]any) (int, map[string]any) {
		body["prompt"], body["max_tokens"], body["temperature"] = "What is it?", 8, 0
		return in.call(http.MethodPost, "/generate", body)
	}
	picture := testkit.PNG(96, 64, 1)
	status, seen := ask(map[string]any{"images": []any{picture}})
	if status != http.StatusOK || seen["model"] != "eye" {
		t.Fatalf("%d %v", status, seen)
	}
	_, blind := ask(map[string]any{"model": "eye"})
	tokens := func(answer map[string]any) float64 {
		return answer["usage"].(map[string]any)["prompt_tokens"].(float64)
	}
	if tokens(seen) <= tokens(blind) {
		t.Errorf("%v tokens with the picture, %v without", tokens(seen), tokens(blind))
	}
	// Until the files' checksums are known nothing is kept.
	_, again := ask(map[string]any{"images": []any{picture}})
	for n := 0; again["cache"] != "hit" && n < 1000; n++ {
		_, again = ask(map[string]any{"images": []any{picture}})
	}
	_, other := ask(map[string]any{"images": []any{testkit.PNG(96, 64, 2)}})
	if again["text"] != seen["text"] || again["cache"] != "hit" || other["cache"] == "hit" {
		t.Errorf("the same picture %v (cache %v), another one %v", again["text"], again["cache"], other["cache"])
	}
	if status, broken := ask(map[string]any{"images": []any{[]byte("\x89PNG\r\n\x1a\nnot one")}}); status < 400 || status >= 500 {
		t.Errorf("a broken picture: %d %v", status, broken)
	}
	status, described := in.call(http.MethodPost, "/pipeline/process", map[string]any{
		"workflow": "image_description", "input_data": map[string]any{"image_base64": picture},
	})
	if status != http.StatusOK || first(t, described, "stages")["model"] != "eye" {
		t.Errorf("%d %v", status, described)
	}
	in.settled()
}

// Two models that do not fit together take turns: the idle one is unloaded, no
// request fails, and the decisions can be seen.
func TestModelsShareTheMemory(t *testing.T) {
	home := t.TempDir()
	var config strings.Builder
	config.WriteString("default_model: a\nengine: {slots: 2}\nmemory: {limit: 20MB}\nmodels:\n")
	for i, name := range []string{"a", "b"} {
		path := filepath.Join(home, name+".gguf")
		writeModel(t, path, uint64(i+1), "")
		fmt.Fprintf(&config, "  - {name: %s, model_path: %q, n_ctx: 512}\n", name, path)
	}
	configure(t, home, config.String())
	in := startSidecar(t, home)
	in.modelReady()
	var group sync.WaitGroup
	for n := range 24 {
		group.Go(func() {
			name := []string{"a", "b"}[n%2]
			status, answer, err := in.tryCall(t.Context(), http.MethodPost, "/generate", map[string]any{
				"prompt": fmt.Sprintf("job %d", n), "model": name, "max_tokens": 8, "ignore_eos": true,
			})
			if err != nil || status != http.StatusOK || answer["model"] != name {
				t.Errorf("job %d: %d %v %v", n, status, answer, err)
			}
		})
	}
	group.Wait()
	_, registry := in.call(http.MethodGet, "/registry", nil)
	memory := registry["memory"].(map[string]any)
	if used, limit := memory["used_bytes"].(float64), memory["limit_bytes"].(float64); limit != 20e6 || used > limit {
		t.Errorf("%v of %v bytes", used, limit)
	}
	if !strings.Contains(fmt.Sprint(memory["recent"]), "unloaded") {
		t.Errorf("nothing was unloaded: %v", memory)
	}
	metrics, _ := in.fetch("/metrics")
	for _, name := range []string{"a", "b"} {
		if !strings.Contains(string(metrics), `model="`+name+`"`) {
			t.Errorf("no figures of model %s", name)
		}
	}
	status, answer := in.call(http.MethodPost, "/models/a/unload", nil)
	if status >= 300 && status != http.StatusConflict {
		t.Errorf("unload: %d %v", status, answer)
	}
	in.settled()
}

// A worker that can let go of its memory, and a model in process, take turns.
func TestWorkerAndModelShareTheMemory(t *testing.T) {
	home := t.TempDir()
	forge := testkit.Serve(t, testkit.Forge{})
	path := filepath.Join(home, "a.gguf")
	writeModel(t, path, 1, "")
	configure(t, home, fmt.Sprintf("default_model: a\nengine: {slots: 2}\nmemory: {limit: 20MB}\n"+
		"models:\n  - {name: a, model_path: %q, n_ctx: 512}\n"+
		"workers:\n  - {name: forge, kind: image, url: %q, memory: 15MB}\n", path, forge.URL))
	in := startSidecar(t, home)
	in.recovered("forge")
	for n := range 3 {
		status, answer := in.call(http.MethodPost, "/generate", map[string]any{"prompt": fmt.Sprintf("job %d", n), "max_tokens": 8})
		if status != http.StatusOK {
			t.Fatalf("text: %d %v", status, answer)
		}
		status, answer = in.call(http.MethodPost, "/generate-image", map[string]any{"prompt": fmt.Sprintf("job %d", n), "width": 64, "height": 64})
		if status != http.StatusOK {
			t.Fatalf("picture: %d %v", status, answer)
		}
	}
	_, registry := in.call(http.MethodGet, "/registry", nil)
	recent := fmt.Sprint(registry["memory"].(map[string]any)["recent"])
	if !strings.Contains(recent, "unloaded forge") || !strings.Contains(recent, "unloaded a") {
		t.Errorf("decisions: %s", recent)
	}
	in.settled()
}
