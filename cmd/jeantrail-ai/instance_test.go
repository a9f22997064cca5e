package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// limit is how long any of these tests may wait for something to happen; it
// is only reached when the thing never happens.
const limit = 60 * time.Second

// instance is the program running as another process.
type instance struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan map[string]any // the handshake
	stderr *lockedBuffer
	exited chan struct{}
	ready  map[string]any
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startSidecar launches the program as an app would and reads its first line.
func startSidecar(t *testing.T, home string, args ...string) *instance {
	t.Helper()
	in := launchSidecar(t, exec.Command("jeantrail-ai", append([]string{"serve", "--sidecar", "--port", "0", "--log-level", "warn"}, args...)...), home)
	in.ready = in.next("ready")
	return in
}

func launchSidecar(t *testing.T, cmd *exec.Cmd, home string) *instance {
	t.Helper()
	in := &instance{t: t, cmd: cmd, lines: make(chan map[string]any, 64), stderr: &lockedBuffer{}, exited: make(chan struct{})}
	cmd.Env = append(os.Environ(), "JEANTRAIL_HOME="+home)
	cmd.Stderr = in.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	in.stdin = stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(in.lines)
		scan := bufio.NewScanner(stdout)
		for scan.Scan() {
			line := make(map[string]any)
			if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
				line = map[string]any{"event": "not json", "line": scan.Text()}
			}
			in.lines <- line
		}
	}()
	t.Cleanup(func() {
		select {
		case <-in.exited:
		default:
			_ = cmd.Process.Kill()
			_, _ = cmd.Process.Wait()
		}
		if t.Failed() {
			t.Logf("stderr of the instance:\n%s", in.stderr.String())
		}
	})
	return in
}

// next reads the handshake up to the next line with that event.
func (in *instance) next(event string) map[string]any {
	in.t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case line, ok := <-in.lines:
			if !ok {
				in.t.Fatalf("the instance ended before %q; stderr:\n%s", event, in.stderr.String())
			}
			if line["event"] == event {
				return line
			}
			if line["event"] == "not json" || line["event"] == "fatal" {
				in.t.Fatalf("handshake: %v", line)
			}
		case <-timer.C:
			in.t.Fatalf("no %q line", event)
		}
	}
}

// modelReady waits until the model is loaded.
func (in *instance) modelReady() {
	in.t.Helper()
	for {
		line := in.next("model")
		if line["status"] == "ready" {
			return
		}
		if line["status"] == "failed" {
			in.t.Fatalf("model: %v", line)
		}
	}
}

// wait returns the exit code.
func (in *instance) wait() int {
	in.t.Helper()
	done := make(chan error, 1)
	go func() { done <- in.cmd.Wait() }()
	select {
	case err := <-done:
		close(in.exited)
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			in.t.Fatal(err)
		}
		return in.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		in.t.Fatal("the instance does not end")
		return -1
	}
}

// kill ends the instance as a crash does.
func (in *instance) kill() {
	in.t.Helper()
	if err := in.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		in.t.Fatal(err)
	}
	in.wait()
}

// stop asks the instance to end as an app does, by closing its input.
func (in *instance) stop() int {
	in.t.Helper()
	in.stdin.Close()
	return in.wait()
}

func (in *instance) url(path string) string { return in.ready["base_url"].(string) + path }

func (in *instance) token() string {
	if token, ok := in.ready["token"].(string); ok {
		return token
	}
	return ""
}

func (in *instance) client() *Client { return newClient(in.url(""), in.token()) }

// call sends a request and decodes the JSON answer.
func (in *instance) call(method, path string, body any) (int, map[string]any) {
	in.t.Helper()
	status, answer, err := in.tryCall(context.Background(), method, path, body)
	if err != nil {
		in.t.Fatalf("%s %s: %v", method, path, err)
	}
	return status, answer
}

func (in *instance) tryCall(ctx context.Context, method, path string, body any) (int, map[string]any, error) {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, in.url(path), payload)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if in.token() != "" {
		req.Header.Set("Authorization", "Bearer "+in.token())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer := make(map[string]any)
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return resp.StatusCode, nil, fmt.Errorf("decode: %w", err)
	}
	return resp.StatusCode, answer, nil
}

// hold is a process that lives until its input ends.
func hold() { _, _ = io.Copy(io.Discard, os.Stdin) }

// launch is an app that dies badly: it launches the sidecar with its own
// input and output, and then waits to be killed.
func launch() {
	cmd := exec.Command("jeantrail-ai", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stdout, `{"event":"launched","pid":%d}`+"\n", cmd.Process.Pid)
	_ = cmd.Wait()
}

func has(haystack, needle string) bool { return strings.Contains(haystack, needle) }
