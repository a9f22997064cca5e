package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var local = jeantrail.Principal{UserID: "local", Role: jeantrail.RoleAdmin, ActForOthers: true}

// The bounds of every scripted job, in tokens. The price is the store's default.
const (
	boundPrompt     = 50
	boundCompletion = 2000
	scriptPrompt    = 12
	scriptCached    = 5
)

// backend runs a Go function as a job.
type backend struct {
	run         func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error
	measure     func(*jeantrail.Request) error
	bounds      func(*jeantrail.Request) jeantrail.Bounds
	fingerprint func(*jeantrail.Request) ([]byte, bool)
}

// Prepare implements gateway.Backend.
func (b *backend) Prepare(_ context.Context, req *jeantrail.Request) (gateway.Work, error) {
	if b.measure != nil {
		if err := b.measure(req); err != nil {
			return nil, err
		}
	}
	return &work{backend: b, request: *req}, nil
}

// work is a request that a scripted backend has read.
type work struct {
	*backend
	request jeantrail.Request
}

func (w *work) Bounds() jeantrail.Bounds {
	if w.bounds != nil {
		return w.bounds(&w.request)
	}
	return jeantrail.Bounds{PromptTokens: boundPrompt, CompletionTokens: boundCompletion, Exact: true}
}

func (w *work) Fingerprint() ([]byte, bool) {
	if w.fingerprint == nil {
		return nil, false
	}
	return w.fingerprint(&w.request)
}

// Run keeps count for the script, as a backend has to.
func (w *work) Run(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	tally := &tally{Sink: sink}
	err := w.run(ctx, job, tally)
	r := &jeantrail.Result{
		Text: tally.text.String(), Reasoning: tally.reasoning.String(), Usage: tally.usage,
		FinishReason: jeantrail.FinishStop,
	}
	switch {
	case errors.Is(err, errHoldUsedUp):
		r.FinishReason, r.Truncated, err = jeantrail.FinishBudget, true, nil
	case err != nil && ctx.Err() != nil:
		r.FinishReason = jeantrail.FinishCancelled
	case err != nil:
		r.FinishReason = jeantrail.FinishError
	}
	return r, err
}

// errHoldUsedUp is what a script returns that ends where its allowance does.
var errHoldUsedUp = errors.New("the hold is used up")

type tally struct {
	gateway.Sink
	text, reasoning strings.Builder
	usage           jeantrail.Usage
}

func (t *tally) Started(model string, engine jeantrail.EngineInfo, prompt, cached int) {
	t.usage.PromptTokens, t.usage.CachedTokens = prompt, cached
	t.Sink.Started(model, engine, prompt, cached)
}

func (t *tally) Token(text string, reasoning bool, tokens int) {
	t.usage.CompletionTokens += tokens
	if reasoning {
		t.usage.ReasoningTokens += tokens
		t.reasoning.WriteString(text)
	} else {
		t.text.WriteString(text)
	}
	t.Sink.Token(text, reasoning, tokens)
}

func begin(sink gateway.Sink) {
	sink.Started("m", jeantrail.EngineInfo{Device: "CPU", NCtx: 4096}, scriptPrompt, scriptCached)
}

// say is a job that reports the pieces and ends.
func say(pieces ...string) func(context.Context, *jeantrail.Job, gateway.Sink) error {
	return func(_ context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
		begin(sink)
		for _, p := range pieces {
			sink.Token(p, false, 1)
		}
		sink.Token("", false, 1) // the end of the turn
		return nil
	}
}

// sayThenHang is a job that reports the pieces and then works until it is told
// to stop.
func sayThenHang(pieces ...string) func(context.Context, *jeantrail.Job, gateway.Sink) error {
	return func(ctx context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
		begin(sink)
		for _, p := range pieces {
			sink.Token(p, false, 1)
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}
}

// waitInQueue is a job that never gets a slot.
func waitInQueue(ctx context.Context, _ *jeantrail.Job, _ gateway.Sink) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

type models struct{ backend gateway.Backend }

func (m models) Resolve(_ jeantrail.Kind, name string) (string, gateway.Backend, error) {
	switch name {
	case "", "m", "alias":
		return "m", m.backend, nil
	}
	return "", nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no model %q", name)
}

func (models) List(context.Context) []jeantrail.Model { return nil }

func openStore(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), path, store.Options{})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	return s
}

// rig is a gateway over a real store.
type rig struct {
	*gateway.Gateway
	t     testing.TB
	store *store.Store
}

// serve starts a gateway that ends with the test, and checks then that the
// database is sound and nothing is left open.
func serve(t *testing.T, run func(context.Context, *jeantrail.Job, gateway.Sink) error, change ...func(*gateway.Options)) *rig {
	t.Helper()
	s := openStore(t, filepath.Join(t.TempDir(), "test.db"))
	r := &rig{t: t, store: s, Gateway: start(t, s, run, change...)}
	t.Cleanup(func() { r.stop(); r.verify(); s.Close() })
	return r
}

func start(t testing.TB, s gateway.Store, run func(context.Context, *jeantrail.Job, gateway.Sink) error, change ...func(*gateway.Options)) *gateway.Gateway {
	t.Helper()
	o := gateway.Options{Store: s, Models: models{&backend{run: run}}}
	for _, c := range change {
		c(&o)
	}
	g, err := gateway.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return g
}

// stop interrupts whatever still runs.
func (r *rig) stop() {
	r.t.Helper()
	if err := r.Stop(ended()); err != nil {
		r.t.Errorf("stop: %v", err)
	}
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func (r *rig) verify() {
	r.t.Helper()
	if err := sound(r.store); err != nil {
		r.t.Error(err)
	}
	if s := r.Stats(); s != (gateway.Stats{}) {
		r.t.Errorf("stats at the end: %+v", s)
	}
}

// sound says what is wrong with a database that has no unfinished jobs.
func sound(s *store.Store) error {
	violations, err := s.Verify(context.Background())
	if err != nil || len(violations) > 0 {
		return fmt.Errorf("verify: %v %w", violations, err)
	}
	totals, err := s.Totals(context.Background())
	if err != nil || totals.OpenReservations != 0 || totals.Reserved != 0 {
		return fmt.Errorf("totals: %+v %w", totals, err)
	}
	return nil
}

func text(prompt string) jeantrail.Request {
	return jeantrail.Request{Kind: jeantrail.KindText, Text: &jeantrail.TextRequest{Prompt: prompt}}
}

func async() jeantrail.Request {
	req := text("hello")
	req.Async = true
	return req
}

func (r *rig) submit(req jeantrail.Request) *jeantrail.Job {
	r.t.Helper()
	job, err := r.Submit(context.Background(), local, req)
	if err != nil {
		r.t.Fatalf("submit: %v", err)
	}
	return job
}

func (r *rig) wait(id string) *jeantrail.Job {
	r.t.Helper()
	job, err := r.Wait(context.Background(), id)
	if err != nil {
		r.t.Fatalf("wait: %v", err)
	}
	return job
}

func (r *rig) follow(id string, after int64) *gateway.Reader {
	r.t.Helper()
	reader, err := r.Follow(context.Background(), local, id, after)
	if err != nil {
		r.t.Fatalf("follow: %v", err)
	}
	return reader
}

func (r *rig) lease(id string) *gateway.Lease {
	r.t.Helper()
	l, err := r.Lease(context.Background(), local, id)
	if err != nil {
		r.t.Fatalf("lease: %v", err)
	}
	return l
}

// until reads up to the first event of a type, and returns it.
func until(t testing.TB, r *gateway.Reader, want jeantrail.EventType) jeantrail.Event {
	t.Helper()
	for {
		ev, err := r.Next(context.Background())
		if err != nil {
			t.Fatalf("wait for %s: %v", want, err)
		}
		if ev.Type == want {
			return ev
		}
	}
}

// view is what a reader has seen, put together as a client has to.
type view struct {
	events []jeantrail.Event // whole ones, with the text of their pieces
	pieces map[int64]string
	tokens map[int64]int
	sum    int // of the tokens of everything given
}

func newView() *view { return &view{pieces: map[int64]string{}, tokens: map[int64]int{}} }

func (v *view) seq() int64 {
	if len(v.events) == 0 {
		return 0
	}
	return v.events[len(v.events)-1].Seq
}

// add takes an event and reports what is wrong with it.
func (v *view) add(ev jeantrail.Event) error {
	v.sum += ev.Tokens
	if ev.Seq <= v.seq() {
		return errors.New("an event came twice")
	}
	if ev.Partial {
		if ev.Type != jeantrail.EventToken || ev.Text == "" {
			return errors.New("a piece without text")
		}
		v.pieces[ev.Seq] += ev.Text
		v.tokens[ev.Seq] += ev.Tokens
		return nil
	}
	if ev.Seq != v.seq()+1 {
		return errors.New("a gap")
	}
	ev.Text = v.pieces[ev.Seq] + ev.Text
	ev.Tokens += v.tokens[ev.Seq]
	v.events = append(v.events, ev)
	return nil
}

// cut forgets what a client that was cut off has to forget, and returns the
// number to go on after.
func (v *view) cut() int64 {
	for seq, n := range v.tokens {
		if seq > v.seq() {
			v.sum -= n
		}
	}
	clear(v.pieces)
	clear(v.tokens)
	return v.seq()
}

func (v *view) text(reasoning bool) string {
	var b strings.Builder
	for _, ev := range v.events {
		if ev.Type == jeantrail.EventToken && ev.Reasoning == reasoning {
			b.WriteString(ev.Text)
		}
	}
	return b.String()
}

// readAll follows to the end.
func readAll(t testing.TB, r *gateway.Reader) *view {
	t.Helper()
	v := newView()
	for {
		ev, err := r.Next(context.Background())
		if err == io.EOF {
			return v
		}
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		if err := v.add(ev); err != nil {
			t.Fatalf("event %d %s: %v", ev.Seq, ev.Type, err)
		}
	}
}

// errDead is what the store of a dead process answers: nothing that would be
// worth another try.
var errDead = jeantrail.Errorf(jeantrail.CodeConflict, "the process is dead")

// faulty is a store whose writes fail when told to.
type faulty struct {
	gateway.Store
	mu   sync.Mutex
	fail func(op string, ids []string) error // asked before each write
}

func (f *faulty) set(fail func(op string, ids []string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *faulty) ask(op string, ids ...string) error {
	f.mu.Lock()
	fail := f.fail
	f.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(op, ids)
}

func (f *faulty) Admit(ctx context.Context, job *jeantrail.Job, ev jeantrail.Event,
	decide func([]jeantrail.BudgetStanding) (jeantrail.Money, error)) error {
	if err := f.ask("admit", job.ID); err != nil {
		return err
	}
	return f.Store.Admit(ctx, job, ev, decide)
}

func (f *faulty) Start(ctx context.Context, id string, at time.Time, ev jeantrail.Event) error {
	if err := f.ask("start", id); err != nil {
		return err
	}
	return f.Store.Start(ctx, id, at, ev)
}

func (f *faulty) Append(ctx context.Context, events []jeantrail.Event) error {
	var ids []string
	for _, ev := range events {
		ids = append(ids, ev.JobID)
	}
	if err := f.ask("append", ids...); err != nil {
		return err
	}
	return f.Store.Append(ctx, events)
}

func (f *faulty) Settle(ctx context.Context, s jeantrail.Settlement,
	due func([]jeantrail.BudgetStanding) []jeantrail.Alert) (jeantrail.Settled, error) {
	if err := f.ask("settle", s.JobID); err != nil {
		return jeantrail.Settled{}, err
	}
	return f.Store.Settle(ctx, s, due)
}
