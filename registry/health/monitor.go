package health

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Prober looks at a worker. The status that it returns is ready, degraded,
// starting (it answers that it is loading) or down (anything else); it returns
// when ctx ends.
type Prober interface {
	Probe(ctx context.Context) jeantrail.Probe
}

// Occupied is a Prober that knows how many requests are at the worker and how
// many wait for it. It answers at once.
type Occupied interface {
	Occupancy() (running, queued int)
}

// Speaker is a Prober that finds out which dialect its worker speaks, "" as long
// as it has not. It answers at once.
type Speaker interface {
	Speaks() string
}

// Recorder keeps the history of workers.
type Recorder interface {
	RecordProbe(ctx context.Context, p jeantrail.Probe) error
}

// Options of a Monitor.
type Options struct {
	// Recorder is given each change of status, and each worker at least every
	// five minutes. nil: no history is kept.
	Recorder Recorder
	// OnChange is told of each change of status, by the worker's own goroutine: in
	// order for each worker, and at once for several. It must not call Stop.
	OnChange func(w jeantrail.Worker)
	Logger   *slog.Logger // default: nothing is logged
}

// Monitor watches workers. Its methods may be called from any goroutine.
type Monitor struct {
	onChange func(w jeantrail.Worker)
	history  *history // nil: none

	mu      sync.Mutex
	workers []*watched // in the order in which they were added
	ctx     context.Context
	cancel  context.CancelFunc
	started bool
	stopped bool
	loops   sync.WaitGroup
}

// New makes a monitor that watches nobody yet.
func New(o Options) *Monitor {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Monitor{onChange: o.OnChange}
	if o.Recorder != nil {
		m.history = newHistory(o.Recorder, o.Logger)
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Start begins to probe, at once. It does nothing if it was called before or
// the monitor was stopped.
func (m *Monitor) Start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started || m.stopped {
		return
	}
	m.started = true
	if m.history != nil {
		m.history.start()
	}
	now := time.Now().UTC()
	for _, w := range m.workers {
		w.added, w.kept = now, now // the grace of those that were added before begins here
		m.begin(w)
	}
}

// Stop ends the probing and returns when nothing of the monitor runs any more and
// the history is written. What was known stays to be read. It may be called more
// than once.
func (m *Monitor) Stop() {
	m.mu.Lock()
	m.stopped = true
	m.cancel()
	started := m.started
	m.mu.Unlock()
	m.loops.Wait()
	if started && m.history != nil {
		m.history.stop()
	}
}

// Add begins to watch a worker. Of about the description counts, not the state.
// A name that is watched already is a conflict.
func (m *Monitor) Add(about jeantrail.Worker, p Prober, s Settings) error {
	return m.put(about, p, s, false)
}

// Replace is Add for a name that may be watched already. If the worker is still
// the same (its kind, address and configured dialect are), what is known about
// it is kept, with the requests that are in flight.
func (m *Monitor) Replace(about jeantrail.Worker, p Prober, s Settings) error {
	return m.put(about, p, s, true)
}

func (m *Monitor) put(about jeantrail.Worker, p Prober, s Settings, replace bool) error {
	s, err := s.withDefaults()
	if err != nil {
		return err
	}
	if about.Name == "" {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "a worker has no name").WithHint("Give it one in config.yaml.")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return jeantrail.Errorf(jeantrail.CodeShuttingDown, "the worker %s is not watched any more: the process is stopping", about.Name)
	}
	old := m.find(about.Name)
	switch {
	case old == nil:
		w := newWatched(about, p, s)
		m.workers = append(m.workers, w)
		m.begin(w)
	case !replace:
		return jeantrail.Errorf(jeantrail.CodeConflict, "there are two workers called %s", about.Name).
			WithHint("Give one of them another name in config.yaml.")
	case old.about.Kind == about.Kind && old.about.URL == about.URL && old.about.Dialect == about.Dialect:
		old.describe(about, p, s)
		old.ask()
	default:
		w := newWatched(about, p, s)
		m.workers[slices.Index(m.workers, old)] = w
		old.end()
		m.begin(w)
	}
	return nil
}

// Remove stops watching a worker and reports whether it was watched.
func (m *Monitor) Remove(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.find(name)
	if w == nil {
		return false
	}
	m.workers = slices.DeleteFunc(m.workers, func(o *watched) bool { return o == w })
	w.end()
	return true
}

// Check has a worker probed at once, for somebody who does not want to wait for
// the next probe. An unknown name is ignored.
func (m *Monitor) Check(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := m.find(name); w != nil {
		w.ask()
	}
}

// Snapshot describes every worker, in the order in which they were added. It
// tells what is known and waits for nobody.
func (m *Monitor) Snapshot(ctx context.Context) []jeantrail.Worker {
	m.mu.Lock()
	all := make([]seen, 0, len(m.workers))
	for _, w := range m.workers {
		all = append(all, w.see())
	}
	m.mu.Unlock()
	workers := make([]jeantrail.Worker, 0, len(all))
	for _, s := range all {
		if ctx.Err() != nil {
			break
		}
		workers = append(workers, s.complete())
	}
	return workers
}

// Worker describes one worker, or is not_found.
func (m *Monitor) Worker(name string) (jeantrail.Worker, error) {
	m.mu.Lock()
	w := m.find(name)
	var s seen
	if w != nil {
		s = w.see()
	}
	m.mu.Unlock()
	if w == nil {
		return jeantrail.Worker{}, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no worker %q", name).
			WithHint("List them with: jeantrail-ai worker status")
	}
	return s.complete(), nil
}

// find returns the worker of a name or nil. The caller holds mu.
func (m *Monitor) find(name string) *watched {
	for _, w := range m.workers {
		if w.about.Name == name {
			return w
		}
	}
	return nil
}

// begin starts a worker's loop if the monitor runs. The caller holds mu.
func (m *Monitor) begin(w *watched) {
	if !m.started {
		return
	}
	ctx, cancel := context.WithCancel(m.ctx)
	w.end = cancel
	m.loops.Go(func() { defer cancel(); m.watch(ctx, w) })
}
