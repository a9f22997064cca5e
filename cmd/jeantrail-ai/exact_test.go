package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	builtinmodel "github.com/jeantrail/jeantrail-ai/build/builtin-model"
)

// peer is llama-server, built from the same source by "make peers".
type peer struct {
	base string
}

// startPeer runs llama-server on a model, or skips the test where it was not
// built; "make test" builds it.
func startPeer(t *testing.T, model string, slots, ctxEach int) *peer {
	t.Helper()
	path, err := filepath.Abs("../../build/bin/peers/llama-server")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("llama-server is not there; build it with: make peers")
	}
	port := freePort(t)
	cmd := exec.Command(path, "-m", model, "--host", "127.0.0.1", "--port", strconv.Itoa(port), "-np", strconv.Itoa(slots),
		"-c", strconv.Itoa(slots*ctxEach), "--no-webui", "-fa", "on", "--jinja")
	var output lockedBuffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("llama-server said:\n%s", tail(output.String(), 2000))
		}
	})
	p := &peer{base: fmt.Sprintf("http://127.0.0.1:%d", port)}
	p.waitHealthy(t, &output)
	return p
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func (p *peer) waitHealthy(t *testing.T, output *lockedBuffer) {
	t.Helper()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(2 * limit)
	for {
		resp, err := http.Get(p.base + "/health")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("llama-server does not come up:\n%s", tail(output.String(), 2000))
		}
		<-ticker.C
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// complete asks for a greedy completion of a raw prompt.
func (p *peer) complete(ctx context.Context, prompt string, n int) (string, error) {
	var answer struct {
		Content string `json:"content"`
	}
	err := postJSON(ctx, p.base+"/completion", map[string]any{
		"prompt": prompt, "n_predict": n, "temperature": 0, "cache_prompt": false,
	}, &answer)
	return answer.Content, err
}

// chat asks for a greedy answer to one question, without reasoning.
func (p *peer) chat(ctx context.Context, question string, n int) (string, error) {
	var answer struct {
		Choices []struct {
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
		} `json:"choices"`
	}
	err := postJSON(ctx, p.base+"/v1/chat/completions", map[string]any{
		"messages": []map[string]string{{"role": "user", "content": question}}, "max_tokens": n, "temperature": 0,
		"cache_prompt": false, "chat_template_kwargs": map[string]any{"enable_thinking": false},
	}, &answer)
	if err != nil || len(answer.Choices) == 0 {
		return "", fmt.Errorf("chat: %w", err)
	}
	return answer.Choices[0].Message.Content, nil
}

func postJSON(ctx context.Context, url string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, resp.Status, answer)
	}
	return json.Unmarshal(answer, into)
}

// questions are prompts of different lengths, languages and kinds.
func questions() []string {
	return []string{
		"Hello!", "What can you do?", "Who are you?", "How do I download a model?", "Which port do you use?",
		"Stream an answer to me", "How do I cancel a job?", "What does a token cost?", "Bonjour, ça va?", "你好",
		"Tell me a joke", "What is 2 + 2?", "Where are my files kept?", "Is my data private?", "thanks",
		"list the commands", "How do I start the server as a sidecar of my desktop application, and what does it print?",
		"The quick brown fox jumps over the lazy dog.", "emoji 🙂🚀", "def fibonacci(n):\n    ", "<|im_end|> is only text here",
		"A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
	}
}

// templated are the questions as the model was trained to see them. A model
// this small is sure of itself only there: elsewhere two tokens are often all
// but equally likely, and how rows are batched decides between them.
func templated() []string {
	var prompts []string
	for _, q := range plain() {
		prompts = append(prompts, "<|im_start|>user\n"+q+"<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
	}
	return prompts
}

// plain are the questions without control tokens. The peer reads those in what
// a user writes; that we do not is tested elsewhere.
func plain() []string {
	return slices.DeleteFunc(questions(), func(q string) bool { return has(q, "<|") })
}

// generator asks one side for a greedy text.
type generator func(ctx context.Context, prompt string) (string, error)

func (in *instance) raw(n int) generator {
	return func(ctx context.Context, prompt string) (string, error) {
		return in.generate(ctx, map[string]any{"prompt": prompt, "raw": true, "max_tokens": n, "temperature": 0, "cache": false})
	}
}

func (in *instance) ask(n int) generator {
	return func(ctx context.Context, prompt string) (string, error) {
		return in.generate(ctx, map[string]any{"prompt": prompt, "max_tokens": n, "temperature": 0, "cache": false})
	}
}

func (in *instance) generate(ctx context.Context, body map[string]any) (string, error) {
	status, answer, err := in.tryCall(ctx, http.MethodPost, "/generate", body)
	if err != nil || status != http.StatusOK {
		return "", fmt.Errorf("generate: %d %v %w", status, answer, err)
	}
	return answer["text"].(string), nil
}

// alone asks one prompt after the other, together all at once.
func alone(t *testing.T, g generator, prompts []string) []string {
	t.Helper()
	texts := make([]string, len(prompts))
	for i, prompt := range prompts {
		text, err := g(t.Context(), prompt)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = text
	}
	return texts
}

func together(t *testing.T, g generator, prompts []string) []string {
	t.Helper()
	texts := make([]string, len(prompts))
	errs := make([]error, len(prompts))
	var group sync.WaitGroup
	for i, prompt := range prompts {
		group.Go(func() { texts[i], errs[i] = g(t.Context(), prompt) })
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

func builtInFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "builtin.gguf")
	if err := os.WriteFile(path, builtinmodel.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSameTextAsLlamaServer compares greedy output, through both programs' HTTP
// interfaces, token for token.
func TestSameTextAsLlamaServer(t *testing.T) {
	p := startPeer(t, builtInFile(t), 1, 512)
	in := startSidecar(t, t.TempDir())
	in.modelReady()
	const n = 64
	compare(t, "completion", templated(), alone(t, in.raw(n), templated()),
		alone(t, func(ctx context.Context, prompt string) (string, error) { return p.complete(ctx, prompt, n) }, templated()))
	compare(t, "chat", plain(), alone(t, in.ask(n), plain()),
		alone(t, func(ctx context.Context, prompt string) (string, error) { return p.chat(ctx, prompt, n) }, plain()))
}

// TestSameTextOnALargeModel does the same on the model that the variable names:
// "make exact" makes one of the shape of Qwen3-0.6B.
func TestSameTextOnALargeModel(t *testing.T) {
	model := os.Getenv("JEANTRAIL_TEST_LARGE_MODEL")
	if model == "" {
		t.Skip("no large model; run: make exact")
	}
	home := t.TempDir()
	config := fmt.Sprintf("default_model: large\nmodels:\n  - name: large\n    model_path: %q\n    n_ctx: 512\n", model)
	if err := os.WriteFile(filepath.Join(home, "config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startPeer(t, model, 1, 512)
	in := startSidecar(t, home)
	in.modelReady()
	const n = 24
	prompts := questions()[:6]
	compare(t, "completion", prompts, alone(t, in.raw(n), prompts),
		alone(t, func(ctx context.Context, prompt string) (string, error) { return p.complete(ctx, prompt, n) }, prompts))
}

func compare(t *testing.T, kind string, prompts, ours, theirs []string) {
	t.Helper()
	for i := range prompts {
		if ours[i] != theirs[i] {
			t.Errorf("%s of %q:\n ours   %q\n theirs %q", kind, prompts[i], ours[i], theirs[i])
		}
	}
	t.Logf("%s: %d prompts compared", kind, len(prompts))
}

// TestManyAtOnceSayTheSameAsAlone runs 16 requests at once. Rows of a batch may
// round differently from a row alone, in any engine; so a prompt counts where
// the peer's own batched run says the same as its single one.
func TestManyAtOnceSayTheSameAsAlone(t *testing.T) {
	const n = 48
	prompts := templated()[:16]
	p := startPeer(t, builtInFile(t), 16, 512)
	theirs := func(ctx context.Context, prompt string) (string, error) { return p.complete(ctx, prompt, n) }
	theirAlone, theirTogether := alone(t, theirs, prompts), together(t, theirs, prompts)

	in := startSidecar(t, t.TempDir())
	in.modelReady()
	ourAlone, ourTogether := alone(t, in.raw(n), prompts), together(t, in.raw(n), prompts)
	compared := 0
	for i, prompt := range prompts {
		if theirAlone[i] != theirTogether[i] {
			continue
		}
		compared++
		if ourAlone[i] != ourTogether[i] {
			t.Errorf("%q\n alone    %q\n together %q", prompt, ourAlone[i], ourTogether[i])
		}
	}
	t.Logf("%d of %d prompts compared", compared, len(prompts))
	if compared < len(prompts)/2 {
		t.Errorf("only %d prompts could be compared", compared)
	}
}
