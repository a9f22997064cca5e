package health

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is a worker that the test makes ill and well.
type patient struct {
	mu      sync.Mutex
	answer  jeantrail.Probe
	takes   time.Duration
	hangs   bool // it answers nothing at all
	running int
	queued  int
	speaks  string
	probed  []time.Time // when each probe began
}

func (p *patient) Probe(ctx context.Context) jeantrail.Probe {
	p.mu.Lock()
	p.probed = append(p.probed, time.Now())
	answer, takes, hangs := p.answer, p.takes, p.hangs
	p.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return jeantrail.Probe{Status: jeantrail.WorkerDown, Problem: ctx.Err().Error()}
	}
	select {
	case <-ctx.Done():
		return jeantrail.Probe{Status: jeantrail.WorkerDown, Problem: ctx.Err().Error()}
	case <-time.After(takes):
		return answer
	}
}

func (p *patient) Occupancy() (running, queued int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running, p.queued
}

func (p *patient) Speaks() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.speaks
}

// is changes the patient.
func (p *patient) is(change func(*patient)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *patient) says(status jeantrail.WorkerStatus, problem string) {
	p.is(func(p *patient) { p.answer = jeantrail.Probe{Status: status, Problem: problem} })
}

func (p *patient) times() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]time.Time(nil), p.probed...)
}

func well() *patient {
	return &patient{answer: jeantrail.Probe{Status: jeantrail.WorkerReady, Model: "sd_xl_base_1.0", Version: "1.2"}}
}

func ill(problem string) *patient {
	return &patient{answer: jeantrail.Probe{Status: jeantrail.WorkerDown, Problem: problem}}
}

func sdxl() jeantrail.Worker {
	return jeantrail.Worker{Name: "sdxl", Kind: jeantrail.KindImage, URL: "http://127.0.0.1:8002", Dialect: "auto", Concurrency: 1}
}

// diary keeps what a monitor tells.
type diary struct {
	mu      sync.Mutex
	changes []jeantrail.Worker
	records []jeantrail.Probe
	fail    error
	stuck   bool // writing waits until it is given up
}

func (d *diary) OnChange(w jeantrail.Worker) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes = append(d.changes, w)
}

func (d *diary) RecordProbe(ctx context.Context, p jeantrail.Probe) error {
	d.mu.Lock()
	stuck := d.stuck
	d.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records = append(d.records, p)
	return d.fail
}

func (d *diary) statuses() (changed, recorded []jeantrail.WorkerStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.changes {
		changed = append(changed, w.Status)
	}
	for _, p := range d.records {
		recorded = append(recorded, p.Status)
	}
	return changed, recorded
}

// watching starts a monitor of one worker. The test must be in a bubble.
func watching(t *testing.T, about jeantrail.Worker, p Prober, s Settings, o Options) *Monitor {
	t.Helper()
	m := New(o)
	if err := m.Add(about, p, s); err != nil {
		t.Fatal(err)
	}
	m.Start()
	t.Cleanup(m.Stop)
	return m
}

func worker(t *testing.T, m *Monitor, name string) jeantrail.Worker {
	t.Helper()
	w, err := m.Worker(name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func wantStatus(t *testing.T, m *Monitor, want jeantrail.WorkerStatus) jeantrail.Worker {
	t.Helper()
	w := worker(t, m, "sdxl")
	if w.Status != want {
		t.Errorf("the status is %s (%s), want %s", w.Status, w.Problem, want)
	}
	return w
}

// request sends one request through the gate and returns what the gate said.
func request(g *Gate, outcome error) error {
	leave, err := g.Enter()
	if err != nil {
		return err
	}
	leave(outcome)
	return nil
}

func unavailable() error {
	return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "connection refused")
}
