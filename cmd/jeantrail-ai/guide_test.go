package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// startOpen starts the program as a user does, without a token, on a free port.
func startOpen(t testing.TB) *instance {
	t.Helper()
	home := t.TempDir()
	cmd := exec.Command("jeantrail-ai", "serve", "--port", "0")
	cmd.Env = append(os.Environ(), "JEANTRAIL_HOME="+home)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := &instance{t: t, cmd: cmd, exited: make(chan struct{}), stderr: &lockedBuffer{}, ready: map[string]any{}}
	found := make(chan string, 1)
	go func() {
		scan := bufio.NewScanner(stderr)
		for scan.Scan() {
			in.stderr.Write(append(scan.Bytes(), '\n'))
			if _, url, ok := strings.Cut(scan.Text(), " on http://"); ok {
				found <- "http://" + strings.TrimSpace(url)
			}
		}
		close(found)
	}()
	base, ok := <-found
	if !ok {
		t.Fatalf("no address:\n%s", in.stderr.String())
	}
	in.ready["base_url"] = base
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
	})
	return in
}

// post sends a body as curl does.
func post(t *testing.T, url, contentType, accept, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// TestGuide sends the integration guide's requests for text, letter by letter.
func TestGuide(t *testing.T) {
	in := startOpen(t)

	// Text generation.
	resp := post(t, in.url("/generate"), "application/json", "", `{
    "prompt": "Hello Jean!",
    "model": "qwen-3-72b",
    "user_id": "user123",
    "stream": false,
    "max_tokens": 2048,
    "temperature": 0.7
  }`)
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("generate: %s %v", resp.Status, answer)
	}
	if answer["model"] != "builtin" || answer["requested_model"] != "qwen-3-72b" || answer["text"] == "" || answer["status"] != "succeeded" {
		t.Errorf("generate: %v", answer)
	}

	// Job status.
	status, job := in.call(http.MethodGet, "/job/"+answer["job_id"].(string), nil)
	if status != http.StatusOK || job["status"] != "succeeded" || job["user_id"] != "user123" {
		t.Errorf("job: %d %v", status, job)
	}

	// Streaming.
	resp = post(t, in.url("/generate"), "application/json", "text/event-stream", `{
    "prompt": "Tell me a story",
    "stream": true
  }`)
	events, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("stream: %s %v", resp.Status, err)
	}
	for _, want := range []string{"event: queued", "event: started", "event: token", "event: done", "id: 1\n"} {
		if !has(string(events), want) {
			t.Errorf("the stream has no %q:\n%s", want, events)
		}
	}

	// The test line of the guide has no Content-Type; curl then sends a form's.
	resp = post(t, in.url("/generate"), "application/x-www-form-urlencoded", "", `{"prompt": "test", "user_id": "test"}`)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("without a content type: %s", resp.Status)
	}

	// Health and metrics.
	if status, health := in.call(http.MethodGet, "/health", nil); status != http.StatusOK || health["status"] != "ok" {
		t.Errorf("health: %d %v", status, health)
	}
	if metric(t, in, "jeantrail_store_up") != 1 {
		t.Error("metrics: the store is not up")
	}
}

// What the program itself proposes to ask first gets an answer, not the honest
// sentence of a small model that does not know.
func TestFirstQuestionsAreAnswered(t *testing.T) {
	in := startOpen(t)
	for question, begin := range map[string]string{
		"Hello! What can you do?": "I can explain what jeantrail-ai is",
		"What can you do?":        "I can explain what jeantrail-ai is",
		"Who are you?":            "I am the small built-in model",
		"Hello Jean!":             "Hello!",
		"Tell me a story":         "Once a small model",
	} {
		_, answer := in.call(http.MethodPost, "/generate", map[string]any{"prompt": question})
		if text, _ := answer["text"].(string); !strings.HasPrefix(text, begin) {
			t.Errorf("%s\n%v", question, answer["text"])
		}
	}
}
