package main

import (
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

func TestSidecarHandshake(t *testing.T) {
	in := startSidecar(t, t.TempDir())
	r := in.ready
	if r["protocol"] != 1.0 || r["pid"] != float64(in.cmd.Process.Pid) || r["version"] == "" || r["instance_id"] == "" {
		t.Errorf("ready line: %v", r)
	}
	if !strings.HasPrefix(r["base_url"].(string), "http://127.0.0.1:") || !strings.HasSuffix(r["ws_url"].(string), "/ws") {
		t.Errorf("ready line: %v", r)
	}
	if len(in.token()) != 64 {
		t.Errorf("token: %q", in.token())
	}
	// A job that arrives while the model loads is queued, not refused.
	status, answer := in.call("POST", "/generate", map[string]any{"prompt": "Hello"})
	if status != http.StatusOK || answer["text"] == "" {
		t.Errorf("generate: %d %v", status, answer)
	}
	in.modelReady()

	req, _ := http.NewRequest(http.MethodPost, in.url("/generate"), strings.NewReader(`{"prompt":"Hello"}`))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %d", resp.StatusCode)
	}
	if code := in.stop(); code != exitOK {
		t.Errorf("exit code %d after the input ended", code)
	}
}

func TestSidecarKeepsAGivenTokenToItself(t *testing.T) {
	t.Setenv("JEANTRAIL_TOKEN", "chosen-by-the-app-0123456789")
	in := startSidecar(t, t.TempDir())
	if _, shown := in.ready["token"]; shown {
		t.Errorf("the given token is in the handshake: %v", in.ready)
	}
	in.ready["token"] = "chosen-by-the-app-0123456789"
	if status, _ := in.call("GET", "/jobs", nil); status != http.StatusOK {
		t.Errorf("with the given token: %d", status)
	}
	if code := in.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestSidecarEndsOnSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		in := startSidecar(t, t.TempDir())
		if err := in.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code := in.wait(); code != exitOK {
			t.Errorf("exit code %d after %v", code, sig)
		}
	}
}

func TestSidecarEndsWithTheNamedParent(t *testing.T) {
	parent := exec.Command("holder")
	parentInput, err := parent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	in := startSidecar(t, t.TempDir(), "--parent-pid", strconv.Itoa(parent.Process.Pid))
	parentInput.Close()
	if err := parent.Wait(); err != nil {
		t.Fatal(err)
	}
	if code := in.wait(); code != exitOK {
		t.Errorf("exit code %d after the parent ended", code)
	}
}

// TestSidecarEndsWhenTheAppIsKilled kills the launching process while somebody
// else still holds the sidecar's input open: only the kernel's signal is left.
func TestSidecarEndsWhenTheAppIsKilled(t *testing.T) {
	in := launchSidecar(t, exec.Command("launcher", "serve", "--sidecar", "--port", "0"), t.TempDir())
	pid := int32(in.next("launched")["pid"].(float64))
	in.next("ready")
	sidecar, err := process.NewProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	// Its output ends when the sidecar, the last holder of it, is gone.
	for open := true; open; {
		select {
		case _, open = <-in.lines:
		case <-timer.C:
			_ = sidecar.Kill()
			t.Fatal("the sidecar outlives the app")
		}
	}
}

func TestOneInstancePerHome(t *testing.T) {
	home := t.TempDir()
	first := startSidecar(t, home)
	second := exec.Command("jeantrail-ai", "serve", "--port", "0")
	second.Env = append(os.Environ(), "JEANTRAIL_HOME="+home)
	out, err := second.CombinedOutput()
	if err == nil || second.ProcessState.ExitCode() != exitRunning {
		t.Errorf("the second start: %v\n%s", err, out)
	}
	if !has(string(out), first.url("")) {
		t.Errorf("the second start does not say where the first is:\n%s", out)
	}
	first.kill()
	// A crash leaves the announcement behind, but not the lock.
	third := startSidecar(t, home)
	if code := third.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(home + "/" + instanceFile); err == nil {
		t.Error("an orderly stop leaves the announcement behind")
	}
}

func TestFatalLineBeforeABadExit(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgresql://somewhere/db")
	in := launchSidecar(t, exec.Command("jeantrail-ai", "serve", "--sidecar", "--port", "0"), t.TempDir())
	line, ok := <-in.lines
	if !ok || line["event"] != "fatal" || line["code"] != "invalid" || !has(line["hint"].(string), "sqlite") {
		t.Errorf("handshake: %v", line)
	}
	if code := in.wait(); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}
