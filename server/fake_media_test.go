package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// fakeFiles is a Files in memory.
type fakeFiles struct {
	mu      sync.Mutex
	content map[string][]byte // by checksum
	err     error
}

func newFakeFiles() *fakeFiles { return &fakeFiles{content: map[string][]byte{}} }

func (f *fakeFiles) Put(_ context.Context, r io.Reader, limit int64) (jeantrail.File, error) {
	if f.err != nil {
		return jeantrail.File{}, f.err
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return jeantrail.File{}, err
	}
	if int64(len(data)) > limit {
		return jeantrail.File{}, jeantrail.Errorf(jeantrail.CodeTooLarge, "the file has more than %d bytes", limit).WithNumber("limit", limit)
	}
	return f.keep(data), nil
}

// keep is Put for a test.
func (f *fakeFiles) keep(data []byte) jeantrail.File {
	sum := sha256.Sum256(data)
	file := jeantrail.File{SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data))}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.content[file.SHA256] = data
	return file
}

func (f *fakeFiles) Open(file jeantrail.File) (io.ReadSeekCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, ok := f.content[file.SHA256]
	if !ok {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "the file is not there any more")
	}
	return readSeekCloser{bytes.NewReader(data)}, nil
}

func (f *fakeFiles) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.content)
}

type readSeekCloser struct{ *bytes.Reader }

func (readSeekCloser) Close() error { return nil }

// fakeWorkflows is a Workflows in memory.
type fakeWorkflows struct {
	mu   sync.Mutex
	list []jeantrail.Workflow
	err  error // of Put
}

func newFakeWorkflows() *fakeWorkflows {
	return &fakeWorkflows{list: []jeantrail.Workflow{
		{
			Name: "multimodal_analysis", Description: "Takes all.", BuiltIn: true, Source: "name: multimodal_analysis\n",
			Inputs: []jeantrail.WorkflowInput{
				{Name: "text", Type: "string", Required: true}, {Name: "audio", Type: "audio"}, {Name: "image", Type: "image"},
				{Name: "n", Type: "integer", Default: 2}, {Name: "key_base64", Type: "string"},
			},
			Stages: []jeantrail.WorkflowStage{
				{Name: "hear", Kind: jeantrail.KindTranscribe, Parallel: 1, OnError: "skip"},
				{Name: "look", Kind: jeantrail.KindText, Model: "sees", Parallel: 1}, {Name: "tell", Kind: jeantrail.KindText},
			},
		},
		{Name: "text_to_image", BuiltIn: true, Inputs: []jeantrail.WorkflowInput{{Name: "prompt", Type: "string", Required: true}}},
	}}
}

func (f *fakeWorkflows) at(name string) int {
	return slices.IndexFunc(f.list, func(w jeantrail.Workflow) bool { return w.Name == name })
}

func (f *fakeWorkflows) List() []jeantrail.Workflow { return f.list }

func (f *fakeWorkflows) Get(name string) (*jeantrail.Workflow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.at(name)
	if i < 0 {
		return nil, noSuch("workflow", name)
	}
	w := f.list[i]
	return &w, nil
}

func (f *fakeWorkflows) Put(name string, source []byte) (*jeantrail.Workflow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	w := jeantrail.Workflow{Name: name, Source: string(source)}
	if i := f.at(name); i >= 0 {
		f.list[i] = w
	} else {
		f.list = append(f.list, w)
	}
	return &w, nil
}

func (f *fakeWorkflows) Delete(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.at(name)
	switch {
	case i < 0:
		return noSuch("workflow", name)
	case f.list[i].BuiltIn:
		return jeantrail.Errorf(jeantrail.CodeConflict, "the workflow comes with the program")
	}
	f.list = slices.Delete(f.list, i, i+1)
	return nil
}

// fakeFleet is a Fleet that remembers what it was asked.
type fakeFleet struct {
	workers []jeantrail.Worker
	history []jeantrail.Probe
	memory  jeantrail.MemoryUse
	changes []string
	err     error

	asked []string
	limit int
	until time.Time // deadline of ProbeNow
}

func fewWorkers() []jeantrail.Worker {
	return []jeantrail.Worker{
		{
			Name: "sdxl", Aliases: []string{"sd-xl"}, Kind: jeantrail.KindImage, URL: "http://127.0.0.1:8002", Dialect: "auto", Speaks: "sdapi",
			Model: "sd_xl_base", Version: "1", Default: true, Status: jeantrail.WorkerReady, Latency: 1500 * time.Microsecond,
			CheckedAt: epoch(), ReadyAt: epoch(), Since: epoch(), ErrorRate: 0.25, ConsecutiveFailures: 0, Breaker: "closed",
			Concurrency: 1, Running: 1, Queued: 2, MemoryBytes: 7 << 30, MemoryFrom: "config",
		},
		{
			Name: "whisper", Kind: jeantrail.KindTranscribe, URL: "http://127.0.0.1:8004", Dialect: "auto", Optional: true,
			Status: jeantrail.WorkerDown, Problem: "connection refused", ConsecutiveFailures: 3, Breaker: "open", Concurrency: 1,
		},
	}
}

func (f *fakeFleet) Workers() []jeantrail.Worker { return f.workers }

func (f *fakeFleet) History(_ context.Context, name string, limit int) ([]jeantrail.Probe, error) {
	f.asked, f.limit = append(f.asked, "history "+name), limit
	return f.history, f.err
}

func (f *fakeFleet) ProbeNow(ctx context.Context, name string) (jeantrail.Worker, error) {
	f.asked = append(f.asked, "probe "+name)
	f.until, _ = ctx.Deadline()
	for _, w := range f.workers {
		if w.Name == name {
			return w, f.err
		}
	}
	return jeantrail.Worker{}, noSuch("worker", name)
}

func (f *fakeFleet) Memory() jeantrail.MemoryUse { return f.memory }

func (f *fakeFleet) Reload(context.Context) ([]string, error) { return f.changes, f.err }

func (f *fakeFleet) Load(_ context.Context, name string) error {
	f.asked = append(f.asked, "load "+name)
	return f.err
}

func (f *fakeFleet) Unload(_ context.Context, name string) error {
	f.asked = append(f.asked, "unload "+name)
	return f.err
}
