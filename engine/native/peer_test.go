//go:build cgo

package native_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
)

// startPeer runs llama-server, built from the same source, on a model with a
// projector, or skips the test where it was not built.
func startPeer(t *testing.T, model, mmproj string) (base string) {
	t.Helper()
	path, err := filepath.Abs("../../build/bin/peers/llama-server")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("llama-server is not there; build it with: make peers")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	cmd := exec.Command(path, "-m", model, "--mmproj", mmproj, "--host", "127.0.0.1", "--port", strconv.Itoa(port), "-np", "1", "-c", "1024", "-t", "1")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("llama-server said:\n%s", output.Bytes()[max(0, output.Len()-3000):])
		}
	})
	base = "http://127.0.0.1:" + strconv.Itoa(port)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if resp, err := http.Get(base + "/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return base
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatal("llama-server ended")
		}
	}
}

func call(ctx context.Context, url string, body, answer any) error {
	method, content := http.MethodGet, []byte(nil)
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(content))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return json.Unmarshal(text, answer)
}

// TestSeesAsPeer compares the tokens of greedy answers with those of
// llama-server.
func TestSeesAsPeer(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			model, mmproj := writePair(t, kind)
			base := startPeer(t, model, mmproj)
			s := openSeeing(t, model, mmproj, native.Options{})
			var props struct {
				Marker string `json:"media_marker"`
			}
			if err := call(t.Context(), base+"/props", nil, &props); err != nil || props.Marker == "" {
				t.Fatalf("marker %q, %v", props.Marker, err)
			}
			for i, c := range []struct {
				question string
				images   [][]byte
			}{
				{"What is it?", [][]byte{drawing(t, 112, 84, 1)}},
				{"And this, in a few words?", [][]byte{drawing(t, 300, 200, 2)}},
				{"What changed?", [][]byte{drawing(t, 64, 128, 3), drawing(t, 200, 90, 4)}},
			} {
				prompt, data := "<|im_start|>user\n", []string{}
				var got []engine.Token
				for _, image := range c.images {
					prompt += props.Marker
					data = append(data, base64.StdEncoding.EncodeToString(image))
				}
				prompt += c.question + "<|im_end|>\n<|im_start|>assistant\n"
				var answer struct {
					Tokens []engine.Token `json:"tokens"`
					Prompt int            `json:"tokens_evaluated"`
				}
				if err := call(t.Context(), base+"/completion", map[string]any{
					"prompt":    map[string]any{"prompt_string": prompt, "multimodal_data": data},
					"n_predict": answerTokens, "temperature": 0, "ignore_eos": true, "return_tokens": true, "cache_prompt": false,
				}, &answer); err != nil {
					t.Fatal(err)
				}
				sink := &quiet{}
				if len(c.images) == 1 {
					got, sink = s.ask(t, c.question, s.files.put(c.images[0]))
				} else {
					got, sink = s.ask(t, c.question, s.files.put(c.images[0]), s.files.put(c.images[1]))
				}
				if !slices.Equal(got, answer.Tokens) || sink.prompt != answer.Prompt {
					t.Errorf("question %d: %v after a prompt of %d, llama-server %v after %d", i, got, sink.prompt, answer.Tokens, answer.Prompt)
				}
			}
		})
	}
}
