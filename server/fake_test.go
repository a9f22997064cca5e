package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// epoch is when every scripted thing happens.
func epoch() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC) }

// fakeRoad is a Road whose jobs do what the test says. onSubmit, if set, plays
// a job's script before Submit returns.
type fakeRoad struct {
	onSubmit  func(*fakeJob)
	submitErr error

	submitted chan *fakeJob
	released  chan release
	cancelled chan string

	mu     sync.Mutex
	jobs   map[string]*fakeJob
	who    jeantrail.Principal
	filter jeantrail.JobFilter
	leases int

	estimated jeantrail.Request
	estimate  jeantrail.Estimate
}

type release struct {
	id    string
	grace time.Duration
}

func newFakeRoad(onSubmit func(*fakeJob)) *fakeRoad {
	return &fakeRoad{
		onSubmit: onSubmit, jobs: map[string]*fakeJob{},
		submitted: make(chan *fakeJob, 1024), released: make(chan release, 1024), cancelled: make(chan string, 1024),
	}
}

type fakeJob struct {
	mu      sync.Mutex
	job     jeantrail.Job
	events  []jeantrail.Event // as a live reader gets them
	changed chan struct{}
	done    chan struct{}
	broken  error // what readers get after the events
}

func (f *fakeRoad) Submit(_ context.Context, p jeantrail.Principal, req jeantrail.Request) (*jeantrail.Job, error) {
	if f.submitErr != nil {
		return nil, f.submitErr
	}
	f.mu.Lock()
	id := fmt.Sprintf("01942000-0000-7000-8000-%012d", len(f.jobs)+1)
	if req.UserID == "" {
		req.UserID = p.UserID
	}
	j := &fakeJob{changed: make(chan struct{}), done: make(chan struct{}), job: jeantrail.Job{
		ID: id, Kind: req.Kind, UserID: req.UserID, State: jeantrail.StateQueued, Model: "builtin", RequestedModel: req.Model,
		Priority: jeantrail.PriorityInteractive, Async: req.Async, Request: req, Reserved: 5000, CreatedAt: epoch(),
	}}
	f.jobs[id], f.who = j, p
	f.mu.Unlock()
	j.emit(jeantrail.Event{Type: jeantrail.EventQueued})
	if f.onSubmit != nil {
		f.onSubmit(j)
	}
	f.submitted <- j
	return j.snapshot(), nil
}

func (f *fakeRoad) find(id string) (*fakeJob, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if j := f.jobs[id]; j != nil {
		return j, nil
	}
	return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no job %q", id)
}

func (f *fakeRoad) Lease(id string) func(time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leases++
	return sync.OnceValue(func() func(time.Duration) {
		return func(grace time.Duration) { f.released <- release{id, grace} }
	})()
}

func (f *fakeRoad) Wait(ctx context.Context, id string) (*jeantrail.Job, error) {
	j, err := f.find(id)
	if err != nil {
		return nil, err
	}
	select {
	case <-j.done:
		return j.snapshot(), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait: %w", context.Cause(ctx))
	}
}

func (f *fakeRoad) Follow(_ context.Context, _ jeantrail.Principal, id string, after int64) (EventReader, error) {
	j, err := f.find(id)
	if err != nil {
		return nil, err
	}
	return &fakeReader{job: j, after: after}, nil
}

func (f *fakeRoad) Cancel(_ context.Context, _ jeantrail.Principal, id string) error {
	j, err := f.find(id)
	if err != nil {
		return err
	}
	f.cancelled <- id
	j.end(jeantrail.StateCancelled, &jeantrail.Result{Model: "builtin", Text: "so far", FinishReason: jeantrail.FinishCancelled}, nil)
	return nil
}

func (f *fakeRoad) Job(_ context.Context, _ jeantrail.Principal, id string) (*jeantrail.Job, error) {
	j, err := f.find(id)
	if err != nil {
		return nil, err
	}
	return j.snapshot(), nil
}

func (f *fakeRoad) Jobs(_ context.Context, _ jeantrail.Principal, filter jeantrail.JobFilter) (jeantrail.JobPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.filter = filter
	page := jeantrail.JobPage{Next: "more"}
	for _, j := range f.jobs {
		page.Jobs = append(page.Jobs, *j.snapshot())
	}
	return page, nil
}

func (f *fakeRoad) Estimate(_ context.Context, p jeantrail.Principal, req jeantrail.Request) (*jeantrail.Estimate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.who, f.estimated = p, req
	if f.submitErr != nil {
		return nil, f.submitErr
	}
	return &f.estimate, nil
}

func (j *fakeJob) snapshot() *jeantrail.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	job := j.job
	return &job
}

// emit appends an event; a stored one gets the next number.
func (j *fakeJob) emit(e jeantrail.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.emitLocked(e)
}

func (j *fakeJob) emitLocked(e jeantrail.Event) {
	e.Seq, e.JobID, e.At = j.job.LastSeq+1, j.job.ID, epoch()
	if !e.Partial {
		j.job.LastSeq++
	}
	j.events = append(j.events, e)
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *fakeJob) end(state jeantrail.State, result *jeantrail.Result, failure *jeantrail.Error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.job.State.Terminal() {
		return
	}
	j.job.State, j.job.Result, j.job.Err, j.job.FinishedAt = state, result, failure, epoch()
	j.emitLocked(jeantrail.Event{Type: jeantrail.EventOf(state), Result: result, Err: failure})
	close(j.done)
}

func (j *fakeJob) breakReaders(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = err
	close(j.changed)
	j.changed = make(chan struct{})
}

// start plays the beginning of an answer, succeed its end.
func (j *fakeJob) start() {
	j.mu.Lock()
	j.job.State, j.job.StartedAt = jeantrail.StateRunning, epoch()
	j.mu.Unlock()
	j.emit(jeantrail.Event{Type: jeantrail.EventStarted, Model: "builtin", Prompt: 12, Cached: 4, Engine: jeantrail.EngineInfo{Device: "CPU", NCtx: 2048}})
}

func (j *fakeJob) succeed(text string) {
	j.end(jeantrail.StateSucceeded, &jeantrail.Result{
		Model: "builtin", Text: text, FinishReason: jeantrail.FinishStop,
		Usage:   jeantrail.Usage{PromptTokens: 12, CachedTokens: 4, CompletionTokens: 3},
		Cost:    jeantrail.Cost{Amount: 1234, Reserved: 5000},
		Timings: jeantrail.Timings{Queue: time.Millisecond, FirstToken: 1500 * time.Microsecond, Total: 20 * time.Millisecond, CachedFrom: "kv", TokensPerSecond: 123.456},
		Engine:  jeantrail.EngineInfo{Device: "CPU", NCtx: 2048}, Cache: jeantrail.CacheOff,
	}, nil)
}

// answer is the script of a short answer with a live piece.
func answerScript(j *fakeJob) {
	j.start()
	j.emit(jeantrail.Event{Type: jeantrail.EventToken, Partial: true, Text: "Hel", Tokens: 1})
	j.emit(jeantrail.Event{Type: jeantrail.EventToken, Text: "lo <b>\n\"you\"", Tokens: 2})
	j.succeed("Hello <b>\n\"you\"")
}

type fakeReader struct {
	job   *fakeJob
	after int64
	at    int
}

func (r *fakeReader) Next(ctx context.Context) (jeantrail.Event, error) {
	for {
		e, changed, err := r.poll()
		if err != nil || changed == nil {
			return e, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return e, fmt.Errorf("follow: %w", context.Cause(ctx))
		}
	}
}

func (r *fakeReader) poll() (jeantrail.Event, <-chan struct{}, error) {
	r.job.mu.Lock()
	defer r.job.mu.Unlock()
	for r.at < len(r.job.events) {
		e := r.job.events[r.at]
		r.at++
		if e.Seq > r.after {
			return e, nil, nil
		}
	}
	if r.job.broken != nil {
		return jeantrail.Event{}, nil, r.job.broken
	}
	if r.job.job.State.Terminal() {
		return jeantrail.Event{}, nil, io.EOF
	}
	return jeantrail.Event{}, r.job.changed, nil
}

type fakeModels []jeantrail.Model

func (m fakeModels) List(context.Context) []jeantrail.Model { return m }

func readyModels() fakeModels {
	return fakeModels{{
		Name: "builtin", Aliases: []string{"qwen-3-72b", "qwen/3"}, Default: true, BuiltIn: true, Status: jeantrail.ModelReady,
		Path: "/somewhere/builtin.gguf", Bytes: 5 << 20, Architecture: "qwen3", Quantization: "Q4_K_M", NCtx: 2048, CheckedAt: epoch(),
	}}
}

// newTestServer makes a server that has what the options leave out.
func newTestServer(t *testing.T, opt Options) *Server {
	t.Helper()
	if opt.Road == nil {
		opt.Road = newFakeRoad(answerScript)
	}
	if opt.Money == nil {
		opt.Money = newFakeMoney()
	}
	if opt.Models == nil {
		opt.Models = readyModels()
	}
	if opt.Files == nil {
		opt.Files = newFakeFiles()
	}
	if opt.Workflows == nil {
		opt.Workflows = newFakeWorkflows()
	}
	if opt.Fleet == nil {
		opt.Fleet = &fakeFleet{workers: fewWorkers()}
	}
	if opt.Pulls == nil {
		opt.Pulls = newFakePulls()
	}
	if opt.Benches == nil {
		opt.Benches = &fakeBenches{}
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return s
}

// call sends one request straight into the handler.
func call(s *Server, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:3001"+path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// decoded returns an answer's body as a JSON object.
func decoded(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		t.Fatalf("body %q: %v", w.Body, err)
	}
	return m
}

// wantProblem checks that an answer is a problem of a code.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code jeantrail.Code) map[string]any {
	t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("status %d, content type %q, want %d and a problem; body %s", w.Code, w.Header().Get("Content-Type"), status, w.Body)
	}
	m := decoded(t, w)
	if m["code"] != string(code) || m["status"] != float64(status) || m["detail"] == "" || m["title"] == "" {
		t.Fatalf("problem %v, want code %s", m, code)
	}
	return m
}

// wait receives from a channel or fails.
func wait[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	select {
	case v := <-ch:
		return v
	case <-timeout.C:
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// pipeListener is a listener in memory: connections without buffers and, inside
// a synctest bubble, with the bubble's time.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "127.0.0.1:3001" }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve runs a server on a listener in memory and returns the way to it; stop
// shuts the server down and waits for all of it.
func serve(t *testing.T, s *Server) (l *pipeListener, client *http.Client, stop func()) {
	t.Helper()
	l = newPipeListener()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	transport := &http.Transport{DialContext: l.dial}
	return l, &http.Client{Transport: transport}, func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}
