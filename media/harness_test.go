package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record is a Sink that keeps what it is told.
type record struct {
	allowance int // 0: no limit
	full      error

	mu        sync.Mutex
	started   int
	prompt    int
	text      string
	reasoning string
	tokens    int
	progress  []jeantrail.Progress
	artifacts []jeantrail.Artifact
	contents  [][]byte
	discard   bool // contents are counted only
	piece     chan struct{}
}

func (r *record) Started(_ string, _ jeantrail.EngineInfo, prompt, _ int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started++
	r.prompt = prompt
}

func (r *record) Allowance(int, int) int {
	if r.allowance == 0 {
		return 1 << 30
	}
	return r.allowance
}

func (r *record) Token(text string, reasoning bool, tokens int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens += tokens
	if reasoning {
		r.reasoning += text
	} else {
		r.text += text
	}
	if r.piece != nil && text != "" {
		r.piece <- struct{}{}
	}
}

func (r *record) Progress(p jeantrail.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = append(r.progress, p)
}

func (r *record) Artifact(a jeantrail.Artifact, content io.Reader) (jeantrail.Artifact, error) {
	if r.full != nil {
		return a, r.full
	}
	sum := sha256.New()
	var kept bytes.Buffer
	to := io.Writer(&kept)
	if r.discard {
		to = io.Discard
	}
	n, err := io.Copy(io.MultiWriter(sum, to), content)
	if err != nil {
		return a, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a.Index, a.SHA256, a.Bytes = len(r.artifacts), hex.EncodeToString(sum.Sum(nil)), n
	r.artifacts = append(r.artifacts, a)
	r.contents = append(r.contents, kept.Bytes())
	return a, nil
}

func (r *record) Stage(jeantrail.Stage) {}

// lastProgress returns the newest report of a stage.
func (r *record) lastProgress(stage string) (jeantrail.Progress, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.progress) - 1; i >= 0; i-- {
		if r.progress[i].Stage == stage {
			return r.progress[i], true
		}
	}
	return jeantrail.Progress{}, false
}

// drawer is a Files in memory.
type drawer map[string][]byte

func (d drawer) Put(_ context.Context, r io.Reader, _ int64) (jeantrail.File, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return jeantrail.File{}, err
	}
	sum := sha256.Sum256(b)
	f := jeantrail.File{SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(b))}
	d[f.SHA256] = b
	return f, nil
}

func (d drawer) Open(f jeantrail.File) (io.ReadSeekCloser, error) {
	b, ok := d[f.SHA256]
	if !ok {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no such file")
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(b), io.NopCloser(nil)}, nil
}

// gate counts what goes through and refuses if it has an error.
type gate struct {
	refuse error

	mu      sync.Mutex
	entered int
	left    []error
}

func (g *gate) Enter() (func(error), error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refuse != nil {
		return nil, g.refuse
	}
	g.entered++
	return func(err error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.left = append(g.left, err)
	}, nil
}

func newWorker(t *testing.T, o Options) *Worker {
	t.Helper()
	if o.Name == "" {
		o.Name = "tester"
	}
	if o.Timeout == 0 {
		o.Timeout = 90 * time.Second
	}
	o.Spool = t.TempDir()
	w, err := New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(w.Close)
	return w
}

func prepared(t *testing.T, w *Worker, req jeantrail.Request) *Work {
	t.Helper()
	if err := req.Validate(); err != nil {
		t.Fatalf("the test's own request: %v", err)
	}
	k, err := w.Prepare(t.Context(), &req)
	if err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	return k
}

// run prepares and runs a request.
func run(t *testing.T, w *Worker, req jeantrail.Request, s *record) (*jeantrail.Result, error) {
	t.Helper()
	return prepared(t, w, req).Run(t.Context(), &jeantrail.Job{ID: "job", Kind: req.Kind}, s)
}

func imageOf(i jeantrail.ImageRequest) jeantrail.Request {
	if i.Prompt == "" {
		i.Prompt = "a red lighthouse at dusk"
	}
	return jeantrail.Request{Kind: jeantrail.KindImage, Image: &i}
}

func textOf(t jeantrail.TextRequest) jeantrail.Request {
	if t.Prompt == "" && len(t.Messages) == 0 {
		t.Prompt = "one two three four"
	}
	return jeantrail.Request{Kind: jeantrail.KindText, Text: &t}
}

func wantCode(t *testing.T, err error, code jeantrail.Code) *jeantrail.Error {
	t.Helper()
	var e *jeantrail.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error is %v (%s), want one with the code %s", err, jeantrail.CodeOf(err), code)
	}
	return e
}

// wantIdle checks that nothing was left in the lane.
func wantIdle(t *testing.T, w *Worker) {
	t.Helper()
	if running, queued := w.Occupancy(); running != 0 || queued != 0 {
		t.Errorf("%d jobs run and %d wait after the end, want none", running, queued)
	}
}
