package energy

import (
	"strings"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	defaultInterval = 200 * time.Millisecond
	minInterval     = 10 * time.Millisecond
	maxInterval     = 10 * time.Second

	// lookAgain is how long a meter that can read nothing leaves it at that.
	lookAgain = time.Minute
	// patience is how long a job waits for a reading. One takes microseconds
	// (RAPL) to milliseconds (NVML, some batteries).
	patience = 100 * time.Millisecond
)

// Options of a Meter. The zero value is right for a program that runs.
type Options struct {
	// Root is the folder that holds sys and proc; "" is "/". The GPUs are read
	// only at "/".
	Root string
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
	// Interval is the time between readings while jobs are at work; 0 is 200 ms.
	// It is held between 10 ms and 10 s.
	Interval time.Duration
	// PerKWh is the price of a kilowatt-hour. Default: results have no price.
	PerKWh jeantrail.Money
}

// Meter measures what the machine draws for jobs. Its methods may be called from
// any goroutine.
type Meter struct {
	clock    func() time.Time
	interval time.Duration
	perKWh   jeantrail.Money
	// look finds the sources. The error says what was not found, or may not be
	// read; there may be one beside sources.
	look func() ([]probe, error)
	wake chan struct{} // has room for one

	mu      sync.Mutex
	source  string // what the probes are, "" if there are none
	lacking string // what is not read, and why
	failure string // why the last reading failed, "" if it did not
	asked   []request
	atWork  []*Share // in the order in which they began
	running bool     // a goroutine reads
	stopped chan struct{}
	closed  bool

	// Of the goroutine that reads while there is one, and otherwise of who holds
	// mu.
	probes []probe
	looked time.Time // when the sources were last looked for
	last   reading
}

// A request is a job that begins or ends: it takes the next reading that starts
// after it.
type request struct {
	share  *Share
	leaves bool
	done   chan struct{} // closed when the reading counts
}

// Open finds out what can be read. It does not fail: a meter without a source
// gives the reason instead of a figure, and looks again once a minute when a job
// begins.
func Open(o Options) *Meter {
	if o.Root == "" {
		o.Root = "/"
	}
	return open(o, func() ([]probe, error) { return look(o.Root) })
}

func open(o Options, look func() ([]probe, error)) *Meter {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Interval == 0 {
		o.Interval = defaultInterval
	}
	m := &Meter{
		clock:    o.Clock,
		interval: min(max(o.Interval, minInterval), maxInterval),
		perKWh:   o.PerKWh,
		look:     look,
		wake:     make(chan struct{}, 1),
	}
	m.find()
	m.last = m.read()
	m.failure = words(m.last.err)
	return m
}

// Source returns what jobs are measured with: "rapl", "nvml", "rapl+nvml" or
// "battery", and "" if the last reading failed or there is nothing to read.
func (m *Meter) Source() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != "" {
		return ""
	}
	return m.source
}

// Reason returns why nothing is measured, or which source beside Source is there
// but cannot be read, and what to do about it. "" means that all there is, is
// read.
func (m *Meter) Reason() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reason()
}

// reason is Reason for who holds mu.
func (m *Meter) reason() string {
	if m.failure != "" && m.lacking != "" {
		return m.failure + "; " + m.lacking
	}
	return m.failure + m.lacking
}

// Begin starts a job's share. It waits for a reading, but no longer than a
// moment; without a source it returns at once. End must be called.
func (m *Meter) Begin() *Share {
	s := &Share{meter: m}
	m.mu.Lock()
	idle := !m.running && len(m.probes) == 0 && m.clock().Sub(m.looked) < lookAgain
	if m.closed {
		s.problem = closedReason
	} else if idle {
		s.problem = m.reason()
	}
	m.mu.Unlock()
	if s.problem != "" {
		s.meter = nil
		return s
	}
	if !m.ask(s, false) { // what it draws before the reading that comes is not known
		m.mu.Lock()
		s.spoil(lateReason)
		m.mu.Unlock()
	}
	return s
}

// Close ends the measuring; shares that have not ended have no figure then. It
// may be called twice.
func (m *Meter) Close() {
	m.mu.Lock()
	m.closed = true
	running, stopped := m.running, m.stopped
	if !running {
		m.finish()
	}
	m.nudge()
	m.mu.Unlock()
	if !running {
		return
	}
	// A counter that does not answer must not hold up the end of the program;
	// the goroutine ends when it does answer.
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-stopped:
	case <-late.C:
	}
}

// words puts an error in one line, with what to do about it.
func words(err error) string {
	if err == nil {
		return ""
	}
	e := jeantrail.AsError(err)
	text := e.Error()
	if e.Hint != "" {
		text += "; " + strings.TrimSuffix(e.Hint, ".")
	}
	return text
}
