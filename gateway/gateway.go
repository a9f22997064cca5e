package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/policy"
	"github.com/jeantrail/jeantrail-ai/gateway/prompt"
)

// The defaults of Options.
const (
	DefaultMaxQueued     = 1024
	DefaultFlushEvery    = 100 * time.Millisecond
	DefaultFlushBytes    = 4096
	DefaultStoreTimeout  = 10 * time.Second
	DefaultSettleTimeout = 3 * time.Second
	DefaultCacheBytes    = 64 << 20
	DefaultCacheAge      = 7 * 24 * time.Hour
)

// MaxArtifact is the most bytes that one file of a job may have.
const MaxArtifact = 1 << 30

// Options of a Gateway. Store and Models are required; zero for any other
// field means its default.
type Options struct {
	Store    Store
	Models   Models
	Logger   *slog.Logger     // default: nothing is logged
	Observer Observer         // default: nobody is told
	Clock    func() time.Time // default: time.Now; stamps only, never waits
	// Files keeps what jobs make; without it a job that makes files fails.
	Files Files
	// Templates may be named by requests; default: the built-in ones.
	Templates *prompt.Library
	// Meter begins to measure what a job draws; what it returns ends it.
	// Default: nothing is measured, and no result speaks of it.
	Meter func() (end func() jeantrail.Energy)
	// Speed returns how fast a model writes one answer, in whole tokens per second,
	// as it was last measured here, for rules that ask; false if it was not. It is
	// called at each admission and must not wait. nil: nothing was measured.
	Speed func(model string) (tokensPerSecond int64, measured bool)
	// Notify is told of every alert that is raised and must not block. Default:
	// nobody is.
	Notify func(jeantrail.Alert)

	MaxQueued     int           // admitted jobs that wait to be started
	FlushEvery    time.Duration // how long reported text may wait to be stored
	FlushBytes    int           // how much of a job's text may wait to be stored
	StoreTimeout  time.Duration // limit of one admitting, starting or appending transaction
	SettleTimeout time.Duration // limit for settling one job, repeated attempts included

	// LeaveQueued lets async jobs that an earlier process left in the queue stay
	// there, for a process that will not last long enough to run them.
	LeaveQueued bool

	CacheOff   bool          // no result is kept for later requests
	CacheBytes int64         // of the texts of kept results
	CacheAge   time.Duration // how long a result is kept
}

func (o Options) withDefaults() (Options, error) {
	if o.Store == nil || o.Models == nil {
		return o, errors.New("make gateway: Store and Models are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observer == nil {
		o.Observer = unobserved{}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.MaxQueued <= 0 {
		o.MaxQueued = DefaultMaxQueued
	}
	if o.FlushEvery <= 0 {
		o.FlushEvery = DefaultFlushEvery
	}
	if o.FlushBytes <= 0 {
		o.FlushBytes = DefaultFlushBytes
	}
	if o.StoreTimeout <= 0 {
		o.StoreTimeout = DefaultStoreTimeout
	}
	if o.SettleTimeout <= 0 {
		o.SettleTimeout = DefaultSettleTimeout
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.CacheAge <= 0 {
		o.CacheAge = DefaultCacheAge
	}
	if o.Notify == nil {
		o.Notify = func(jeantrail.Alert) {}
	}
	if o.Templates == nil {
		var err error
		if o.Templates, err = prompt.New(nil); err != nil {
			return o, fmt.Errorf("make gateway: %w", err)
		}
	}
	return o, nil
}

type unobserved struct{}

func (unobserved) JobAdmitted(*jeantrail.Job)  {}
func (unobserved) JobStarted(*jeantrail.Job)   {}
func (unobserved) JobFinished(*jeantrail.Job)  {}
func (unobserved) AlertRaised(jeantrail.Alert) {}

type phase int

const (
	phaseNew phase = iota
	phaseRunning
	phaseStopped
)

// Stats is a snapshot of the unfinished jobs of this process.
type Stats struct {
	Queued   int
	Running  int
	Reserved jeantrail.Money // sum of their reservations
}

// Gateway carries jobs along the road. Its methods may be called from any
// goroutine.
type Gateway struct {
	opts   Options
	commit *committer
	alerts alertWatchers
	rules  atomic.Pointer[policy.Rules] // as they were parsed last
	trim   trimmer

	mu      sync.Mutex
	phase   phase
	tasks   map[string]*task // unfinished jobs of this process, by id
	revived []*task          // of an earlier process, to be run from Start on
	stats   Stats

	jobs    sync.WaitGroup // one for each task
	stopped chan struct{}  // closed when Stop is through
	stopErr error          // set before stopped is closed
}

// New makes a gateway that does nothing yet: Recover, then Start.
func New(o Options) (*Gateway, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Gateway{
		opts:    o,
		commit:  newCommitter(o.Store, o.FlushEvery, o.StoreTimeout),
		tasks:   make(map[string]*task),
		stopped: make(chan struct{}),
	}, nil
}

// Start begins to accept jobs. A gateway is started once.
func (g *Gateway) Start(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase != phaseNew {
		return errors.New("start gateway: it was started before")
	}
	g.phase = phaseRunning
	g.commit.start()
	for _, t := range g.revived {
		go g.run(t)
	}
	g.revived = nil
	return nil
}

// Stop refuses new jobs, interrupts the queued ones, lets the running ones go
// on until ctx ends and interrupts what is left then. It returns when every
// job is settled and no goroutine of the gateway runs; calling it again waits
// for the same. An error says how many jobs did not end in time: Recover
// settles them at the next start.
func (g *Gateway) Stop(ctx context.Context) error {
	g.mu.Lock()
	before := g.phase
	g.phase = phaseStopped
	g.mu.Unlock()
	if before == phaseStopped {
		<-g.stopped
		return g.stopErr
	}
	defer close(g.stopped)
	if before == phaseNew {
		return nil
	}
	g.stopErr = g.drain(ctx)
	g.commit.stop()
	return g.stopErr
}

func (g *Gateway) drain(ctx context.Context) error {
	idle := make(chan struct{})
	go func() {
		g.jobs.Wait()
		close(idle)
	}()
	g.interrupt(func(t *task) bool { return !t.running() })
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	g.interrupt(func(*task) bool { return true })
	// A backend returns soon after its context ends, and settling has its own
	// limit; only a defect makes this wait run out.
	limit := time.NewTimer(2 * g.opts.SettleTimeout)
	defer limit.Stop()
	select {
	case <-idle:
		return nil
	case <-limit.C:
		stats := g.Stats()
		return fmt.Errorf("stop gateway: %d jobs did not end when told to", stats.Queued+stats.Running)
	}
}

func (g *Gateway) interrupt(which func(*task) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range g.tasks {
		if which(t) {
			t.cancel(ErrShutdown)
		}
	}
}

// Stats returns the current figures.
func (g *Gateway) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stats
}

// now is the clock at the store's resolution, so that what a live reader sees
// equals what is read from the store later.
func (g *Gateway) now() time.Time {
	return g.opts.Clock().UTC().Truncate(time.Millisecond)
}

func (g *Gateway) task(id string) *task {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tasks[id]
}

// accepting is a first look, which spares work in vain; enter decides.
func (g *Gateway) accepting() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase != phaseRunning {
		return refused()
	}
	return nil
}

func refused() error {
	return jeantrail.Errorf(jeantrail.CodeShuttingDown, "the program is not accepting jobs").
		WithHint("Try again when it has been started again.")
}

// enter gives a task its place, before it is stored: from then on Recover
// knows that it has an owner. It returns how many queued jobs are ahead. What is
// reserved for the job is not known yet; hold adds it.
func (g *Gateway) enter(t *task) (ahead int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase != phaseRunning {
		return 0, refused()
	}
	if g.stats.Queued >= g.opts.MaxQueued {
		e := jeantrail.Errorf(jeantrail.CodeQueueFull, "%d jobs are waiting, the queue has no more places", g.stats.Queued).
			WithHint("Try again later, or set a higher queue limit.").
			WithNumber("queued", int64(g.stats.Queued))
		e.RetryAfter = time.Second
		return 0, e
	}
	ahead = g.stats.Queued
	g.stats.Queued++
	g.tasks[t.job.ID] = t
	g.jobs.Add(1)
	return ahead, nil
}

// hold counts what the store reserved for an admitted task.
func (g *Gateway) hold(t *task) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stats.Reserved = g.stats.Reserved.Add(t.job.Reserved)
}

// begun moves a task's place from queued to running.
func (g *Gateway) begun() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stats.Queued--
	g.stats.Running++
}

// leave takes the task's place back. The caller still has to call jobs.Done.
func (g *Gateway) leave(t *task) {
	running := t.running()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.tasks, t.job.ID)
	g.stats.Reserved -= t.job.Reserved
	if running {
		g.stats.Running--
	} else {
		g.stats.Queued--
	}
}
