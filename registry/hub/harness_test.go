package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

// childVariable holds what a child process is to pull, as JSON.
const childVariable = "JEANTRAIL_TEST_HUB_CHILD"

// errand is what a child process does.
type errand struct {
	Folder, Endpoint, Source string
	PartBytes                int64
	Mount                    bool // a file system of 2 MiB over Folder first
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		os.Exit(childMain(text))
	}
	goleak.VerifyTestMain(m)
}

// childMain pulls, and writes the code of the error, if there is one.
func childMain(text string) int {
	var e errand
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		fmt.Println(err)
		return 2
	}
	if e.Mount {
		if err := mountSmall(e.Folder); err != nil {
			fmt.Println("cannot mount:", err)
			return 3
		}
	}
	c, err := New(Options{
		Folder: e.Folder, Endpoint: e.Endpoint, PartBytes: e.PartBytes, Backoff: time.Millisecond, Retries: 100, Validate: accept, ValidateSplit: acceptAll,
	})
	if err == nil {
		_, err = c.Pull(context.Background(), Request{Source: e.Source}, nil)
	}
	if err != nil {
		fmt.Println(jeantrail.CodeOf(err), err)
		return 1
	}
	return 0
}

// child makes a command that runs an errand in a process of its own.
func child(t *testing.T, e errand, environment ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), environment...), childVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = &output, &output
	return cmd, &output
}

// accept is a check that any file which begins right passes.
func accept(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(data, []byte("GGUF")) {
		return errors.New("not GGUF")
	}
	return nil
}

// acceptAll is accept for the parts of a model.
func acceptAll(parts []string) error {
	for _, path := range parts {
		if err := accept(path); err != nil {
			return err
		}
	}
	return nil
}

// newClient makes a client of the hub with a new models folder.
func newClient(t *testing.T, h *hubtest.Hub, change ...func(*Options)) *Client {
	t.Helper()
	o := Options{
		Folder: t.TempDir(), Endpoint: h.URL, PartBytes: minPartBytes, Backoff: time.Millisecond,
		Validate: accept, ValidateSplit: acceptAll, ValidateProjector: accept,
	}
	for _, c := range change {
		c(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// log keeps the events of a pull.
type log struct {
	mu     sync.Mutex
	events []Event
}

func (l *log) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *log) notes() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var notes []string
	for _, e := range l.events {
		if e.Note != "" {
			notes = append(notes, e.Note)
		}
	}
	return strings.Join(notes, "\n")
}

// pullOne pulls and fails the test on an error.
func pullOne(t *testing.T, c *Client, req Request) (Result, *log) {
	t.Helper()
	var l log
	r, err := c.Pull(t.Context(), req, l.add)
	if err != nil {
		t.Fatalf("pull %s: %v\n%s", req.Source, err, l.notes())
	}
	return r, &l
}

// holds fails the test unless a file has this content.
func holds(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes that are not the %d expected ones", path, len(got), len(want))
	}
}

// names lists the files of a models folder, and those of unfinished pulls.
func names(t *testing.T, folder string) (installed, unfinished []string) {
	t.Helper()
	for _, place := range []struct {
		path string
		into *[]string
	}{{folder, &installed}, {filepath.Join(folder, incomingFolder), &unfinished}} {
		entries, err := os.ReadDir(place.path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				*place.into = append(*place.into, e.Name())
			}
		}
	}
	return installed, unfinished
}

const repo = "Qwen/Qwen3-Test-GGUF"

// once returns a function that gives n the first times times, then 0.
func once(times int, n int64) func() int64 {
	var mu sync.Mutex
	return func() int64 {
		mu.Lock()
		defer mu.Unlock()
		if times == 0 {
			return 0
		}
		times--
		return n
	}
}
