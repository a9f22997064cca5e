package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jeantrail/jeantrail-ai/internal/testkit"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

const (
	tinyRepo = "Qwen/Tiny-GGUF"
	tinyFile = "Tiny-Q4_K_M.gguf"
	// onePart is what the program fetches in one request.
	onePart = 16 << 20
)

// largeModel is a model that runs, with random bytes behind it until it has the
// length.
func largeModel(t *testing.T, length int) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tiny.gguf")
	writeModel(t, file, 9, "")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	large := make([]byte, max(length, len(content)))
	_, _ = rand.NewChaCha8([32]byte{1}).Read(large) // never fails
	copy(large, content)
	return large
}

// holdHub makes the hub stop sending when that many bytes more were sent, and tells
// when that is so. Until then it sends slowly, so that the program keeps up.
func holdHub(h *hubtest.Hub, more int64) (reached <-chan struct{}, goOn func()) {
	there, released := make(chan struct{}), make(chan struct{})
	arrived := sync.OnceFunc(func() { close(there) })
	sent, _ := h.Sent(tinyRepo, tinyFile)
	h.Behave(func(b *hubtest.Behaviour) {
		b.BytesPerSecond, b.Hold, b.HoldAfter = 16<<20, released, sent+more
		b.OnSent = func(total int64) {
			if total >= b.HoldAfter {
				arrived()
			}
		}
	})
	return there, func() {
		h.Behave(func(b *hubtest.Behaviour) { b.BytesPerSecond, b.Hold, b.OnSent = 0, nil, nil })
		close(released)
	}
}

// program runs a command on a home.
func program(home string, a ...string) *exec.Cmd {
	cmd := exec.Command("jeantrail-ai", a...)
	cmd.Env = append(os.Environ(), "JEANTRAIL_HOME="+home)
	return cmd
}

// said runs a command and returns what it printed.
func said(t *testing.T, home string, want int, a ...string) string {
	t.Helper()
	cmd := program(home, a...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
		t.Fatalf("%v: %v\n%s", a, err, out)
	}
	return string(out)
}

// A pull goes on by itself after a kill and after an orderly stop, under the same
// id, and fetches little twice. When it is done the model answers, and the pull is
// on record from then on.
func TestPullSurvivesRestarts(t *testing.T) {
	length := 200 << 20
	if testing.Short() {
		length = 80 << 20
	}
	content := largeModel(t, length)
	h := hubtest.New(t)
	sum := h.Put(tinyRepo, tinyFile, content)
	t.Setenv("HF_ENDPOINT", h.URL)
	home := t.TempDir()

	reached, goOn := holdHub(h, int64(length)/4)
	in := startSidecar(t, home)
	status, pull := in.call(http.MethodPost, "/models/pull", map[string]any{"name": "hf:" + tinyRepo, "as": "mine"})
	if status != http.StatusAccepted {
		t.Fatalf("%d %v", status, pull)
	}
	path := "/models/pulls/" + pull["pull_id"].(string)
	<-reached
	in.kill()
	goOn()
	_, again := h.Sent(tinyRepo, tinyFile)
	if out := said(t, home, exitOK, "model", "pulls"); !has(out, pull["pull_id"].(string)) || !has(out, "downloading") || !has(out, noteWaiting) {
		t.Errorf("the pulls after a kill:\n%s", out)
	}

	reached, goOn = holdHub(h, int64(length)/4)
	in = startSidecar(t, home)
	<-reached
	if code := in.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	goOn()
	_, killed := h.Sent(tinyRepo, tinyFile)
	if killed -= again; killed > onePart {
		t.Errorf("after a kill %d bytes came twice", killed)
	}
	var list []wirePull
	if err := json.Unmarshal([]byte(said(t, home, exitOK, "model", "pulls", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].ID != pull["pull_id"] || list[0].terminal() || list[0].Note != noteWaiting || list[0].Done < int64(length)/4 {
		t.Errorf("the pulls after a stop: %+v", list)
	}

	in = startSidecar(t, home)
	events, _ := in.fetch(path + "/events")
	if !has(string(events), "event: done") || !has(string(events), sum) {
		t.Errorf("events: %.2000s", events)
	}
	_, all := h.Sent(tinyRepo, tinyFile)
	if stopped := all - killed - again; stopped > onePart {
		t.Errorf("after a stop %d bytes came twice", stopped)
	}
	t.Logf("of %d bytes came twice: %d before, %d after the kill, %d after the stop", length, again, killed, all-killed-again)
	got, err := os.ReadFile(filepath.Join(home, "models", "mine.gguf"))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file has %d bytes that are not the right ones: %v", len(got), err)
	}
	status, answer := in.call(http.MethodPost, "/generate", map[string]any{"prompt": "hello", "model": "mine", "max_tokens": 4})
	if status != http.StatusOK || answer["model"] != "mine" {
		t.Errorf("%d %v", status, answer)
	}
	in.settled()
	in.stop()

	h.Forget()
	in = startSidecar(t, home)
	_, pull = in.call(http.MethodGet, path, nil)
	if pull["status"] != "done" || pull["sha256"] != sum || pull["model"] != "mine" || pull["ended_at"] == nil {
		t.Errorf("after the end and a restart: %v", pull)
	}
	if events, _ := in.fetch(path + "/events"); !has(string(events), "event: done") {
		t.Errorf("events of an ended pull: %s", events)
	}
	in.stop()
	if n := len(h.Requests()); n > 0 {
		t.Errorf("%d requests after the end", n)
	}
}

// A pull that is cancelled after a restart, or between two, ends for good.
func TestPullIsCancelledAfterARestart(t *testing.T) {
	h := hubtest.New(t)
	content := largeModel(t, 40<<20)
	h.Put(tinyRepo, tinyFile, content)
	t.Setenv("HF_ENDPOINT", h.URL)
	for name, cancel := range map[string]func(in *instance, home, id string) string{
		"by a running instance": func(in *instance, home, id string) string {
			return said(t, home, exitOK, "model", "pull", "--cancel", id)
		},
		"while nothing runs": func(in *instance, home, id string) string {
			in.stop()
			return said(t, home, exitOK, "model", "pull", "--cancel", id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			reached, goOn := holdHub(h, 2<<20)
			in := startSidecar(t, home)
			_, pull := in.call(http.MethodPost, "/models/pull", map[string]any{"name": "hf:" + tinyRepo})
			id := pull["pull_id"].(string)
			<-reached
			in.kill()
			goOn()
			reached, goOn = holdHub(h, 1<<20)
			defer goOn()
			in = startSidecar(t, home)
			<-reached
			if out := cancel(in, home, id); out != id+" cancelled\n" {
				t.Errorf("cancelled: %q", out)
			}
			if in.cmd.ProcessState == nil {
				in.stop()
			}
			h.Forget()
			in = startSidecar(t, home)
			_, pull = in.call(http.MethodGet, "/models/pulls/"+id, nil)
			if pull["status"] != "cancelled" || pull["ended_at"] == nil {
				t.Errorf("the pull is %v", pull)
			}
			if out := said(t, home, exitOK, "model", "pull", "--cancel", id); out != id+" cancelled\n" {
				t.Errorf("cancelled again: %q", out)
			}
			in.stop()
			if n := len(h.Requests()); n > 0 {
				t.Errorf("%d requests after the end", n)
			}
			if _, err := os.Stat(filepath.Join(home, "models", tinyFile)); !os.IsNotExist(err) {
				t.Errorf("the model is there: %v", err)
			}
		})
	}
	said(t, t.TempDir(), exitNotFound, "model", "pull", "--cancel", "none")
	said(t, t.TempDir(), exitUsage, "model", "pull", "--cancel", "none", "x")
}

// A token is looked for at each start. If it is gone, the error says what is
// missing.
func TestPullGoesOnWithoutItsToken(t *testing.T) {
	h := hubtest.New(t)
	h.Put(tinyRepo, tinyFile, largeModel(t, 40<<20))
	h.Behave(func(b *hubtest.Behaviour) { b.Gated, b.Token, b.Known = true, "hf_secret", true })
	t.Setenv("HF_ENDPOINT", h.URL)
	t.Setenv("HF_TOKEN", "hf_secret")
	home := t.TempDir()
	reached, goOn := holdHub(h, 1<<20)
	defer goOn()
	in := startSidecar(t, home)
	_, pull := in.call(http.MethodPost, "/models/pull", map[string]any{"name": "hf:" + tinyRepo})
	<-reached
	in.kill()
	t.Setenv("HF_TOKEN", "")
	in = startSidecar(t, home)
	path := "/models/pulls/" + pull["pull_id"].(string)
	if events, _ := in.fetch(path + "/events"); !has(string(events), "event: failed") || !has(string(events), `"code":"forbidden"`) || !has(string(events), "HF_TOKEN") {
		t.Errorf("events: %s", events)
	}
	in.stop()
	if data, err := os.ReadFile(filepath.Join(home, "jeantrail.db")); err != nil || bytes.Contains(data, []byte("hf_secret")) {
		t.Errorf("the token is in the database, or that is not there: %v", err)
	}
}

// With a running instance the command asks it, and leaves it at work when it is
// interrupted. Two commands share one pull.
func TestPullCommandAsksTheInstance(t *testing.T) {
	h := hubtest.New(t)
	content := largeModel(t, 40<<20)
	sum := h.Put(tinyRepo, tinyFile, content)
	t.Setenv("HF_ENDPOINT", h.URL)
	home := t.TempDir()
	in := startSidecar(t, home)
	reached, goOn := holdHub(h, 1<<20)
	first := program(home, "model", "pull", "hf:"+tinyRepo, "--json")
	var out, problems bytes.Buffer
	first.Stdout, first.Stderr = &out, &problems
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := first.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // the code is looked at
	if first.ProcessState.ExitCode() != exitInterrupted || !has(problems.String(), "the instance goes on") || !has(problems.String(), "--cancel") {
		t.Errorf("interrupted: %d\n%s", first.ProcessState.ExitCode(), problems.String())
	}
	if !has(out.String(), `"phase":"downloading"`) || !has(out.String(), `"total_bytes":`+fmt.Sprint(len(content))) {
		t.Errorf("lines: %s", out.String())
	}
	_, list := in.call(http.MethodGet, "/models/pulls", nil)
	if list := list["pulls"].([]any); len(list) != 1 || list[0].(map[string]any)["status"] != "downloading" {
		t.Fatalf("after the interruption: %v", list)
	}
	goOn()
	printed := said(t, home, exitOK, "model", "pull", "hf:"+tinyRepo, "--json")
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	if last := lines[len(lines)-1]; !has(last, `"phase":"installed"`) || !has(last, sum) || !has(last, `"path":`) || !has(last, fmt.Sprintf(`"fetched_bytes":%d`, len(content))) {
		t.Errorf("the end: %s", last)
	}
	if out := said(t, home, exitOK, "model", "pull", "hf:"+tinyRepo); !has(out, "is there already") || !has(out, sum) {
		t.Errorf("again: %s", out)
	}
	if out := said(t, home, exitRefused, "model", "pull", "hf:Qwen/Missing-GGUF"); !has(out, "hint:") {
		t.Errorf("what is not there: %s", out)
	}
	if out := said(t, home, exitUsage, "model", "pull", "hf:nonsense"); !has(out, "hint:") {
		t.Errorf("what is not well formed: %s", out)
	}
	_, list = in.call(http.MethodGet, "/models/pulls", nil)
	if list := list["pulls"].([]any); len(list) != 3 {
		t.Errorf("the pulls are %v", list)
	}
	if _, again := h.Sent(tinyRepo, tinyFile); again > 0 {
		t.Errorf("%d bytes came twice", again)
	}
	in.stop()
}

// A command that pulls by itself and an instance that starts meanwhile share the
// work: the instance waits for the command.
func TestPullIsSharedWithACommand(t *testing.T) {
	h := hubtest.New(t)
	content := largeModel(t, 40<<20)
	sum := h.Put(tinyRepo, tinyFile, content)
	t.Setenv("HF_ENDPOINT", h.URL)
	home := t.TempDir()
	reached, goOn := holdHub(h, 1<<20)
	alone := program(home, "model", "pull", "hf:"+tinyRepo)
	var out bytes.Buffer
	alone.Stdout, alone.Stderr = &out, &out
	if err := alone.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	in := startSidecar(t, home)
	resp, err := in.client().do(t.Context(), http.MethodPost, "/models/pull", map[string]any{"name": "hf:" + tinyRepo, "stream": true}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	seen, waits := readUntil(t, resp, "waiting for that pull")
	if !waits {
		t.Fatalf("the instance does not wait: %s", seen)
	}
	if err := alone.Process.Signal(syscall.SIGINT); err != nil { // what it brought is taken over
		t.Fatal(err)
	}
	_ = alone.Wait() // the code is looked at
	if code := alone.ProcessState.ExitCode(); code != exitInterrupted || !has(out.String(), "goes on where this one stopped") {
		t.Errorf("interrupted: %d\n%s", code, out.String())
	}
	goOn()
	if seen, done := readUntil(t, resp, "event: done"); !done {
		t.Errorf("the end: %s", seen)
	}
	if got, err := os.ReadFile(filepath.Join(home, "models", tinyFile)); err != nil || hubtest.SHA256(got) != sum {
		t.Errorf("the file has %d bytes that are not the right ones: %v", len(got), err)
	}
	if _, again := h.Sent(tinyRepo, tinyFile); again > onePart {
		t.Errorf("%d bytes came twice", again)
	}
	in.stop()
}

// readUntil reads events until one holds the text.
func readUntil(t *testing.T, resp *http.Response, text string) (seen string, found bool) {
	t.Helper()
	buffer := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buffer)
		seen += string(buffer[:n])
		if has(seen, text) {
			return seen, true
		}
		if err != nil {
			return seen, false
		}
	}
}

// A vision model that was pulled reads images at once, without a word in
// config.yaml; so does one whose first load failed before it was there.
func TestPulledModelSees(t *testing.T) {
	h := hubtest.New(t)
	folder := t.TempDir()
	writeModel(t, filepath.Join(folder, "eye.gguf"), 1, filepath.Join(folder, "mmproj.gguf"))
	for from, name := range map[string]string{"eye.gguf": "Eye-Q4_K_M.gguf", "mmproj.gguf": "mmproj-F16.gguf"} {
		content, err := os.ReadFile(filepath.Join(folder, from))
		if err != nil {
			t.Fatal(err)
		}
		h.Put("Qwen/Eye-GGUF", name, content)
	}
	t.Setenv("HF_ENDPOINT", h.URL)
	home := t.TempDir()
	configure(t, home, fmt.Sprintf("default_model: %s\nmodels:\n  - {name: late, model_path: %q, n_ctx: 1024}\n", builtInName, filepath.Join(home, "models", "mine.gguf")))
	in := startSidecar(t, home)
	in.modelReady()
	ask := func(body map[string]any) (int, map[string]any) {
		body["prompt"], body["max_tokens"] = "What is it?", 4
		return in.call(http.MethodPost, "/generate", body)
	}
	if status, answer := ask(map[string]any{"model": "late"}); status == http.StatusOK {
		t.Fatalf("before it is there: %d %v", status, answer)
	}
	if out := said(t, home, exitOK, "model", "pull", "hf:Qwen/Eye-GGUF"); !has(out, "reads images") {
		t.Errorf("pulled: %s", out)
	}
	for _, body := range []map[string]any{{"model": "Eye-Q4_K_M"}, {}} {
		body["images"] = []any{testkit.PNG(96, 64, 1)}
		if status, answer := ask(body); status != http.StatusOK || answer["model"] != "Eye-Q4_K_M" {
			t.Errorf("with a picture: %d %v", status, answer)
		}
	}
	said(t, home, exitOK, "model", "pull", "hf:Qwen/Eye-GGUF", "--name", "mine", "--no-mmproj")
	if status, answer := ask(map[string]any{"model": "late"}); status != http.StatusOK || answer["model"] != "late" {
		t.Errorf("when it is there: %d %v", status, answer)
	}
	in.settled()
	said(t, home, exitOK, "model", "remove", "Eye-Q4_K_M")
	if left, err := filepath.Glob(filepath.Join(home, "models", "Eye*")); err != nil || len(left) > 0 {
		t.Errorf("after it was removed there are %v, %v", left, err)
	}
	in.stop()
}
