package hub

import (
	"sync"
	"time"
)

// Phase is what a pull is at.
type Phase string

// The phases of a pull, in their order. Each file of a model is downloaded and
// verified before the next.
const (
	PhaseResolving   Phase = "resolving"
	PhaseDownloading Phase = "downloading"
	PhaseVerifying   Phase = "verifying"
	PhaseValidating  Phase = "validating"
	PhaseDone        Phase = "done"
)

// Event tells how far a pull is.
type Event struct {
	Phase Phase
	File  string // the file that is worked at, by its name in the models folder; "" for all
	// Done and Total are bytes: of all files of the pull, but of File alone while
	// it is verified. Total is 0 while it is not known.
	Done, Total int64
	// BytesPerSecond is the speed over the last few seconds, 0 if not known.
	BytesPerSecond int64
	// Left is the time left at that speed, 0 if not known.
	Left time.Duration
	// Note is a sentence for a person, such as why a connection is tried again.
	Note string
}

const (
	speedWindow   = 5 * time.Second
	eventInterval = 250 * time.Millisecond
)

// meter counts the bytes of a pull and emits its events. Its methods may be
// called by any goroutine; the events are emitted one after the other.
type meter struct {
	clock func() time.Time
	emit  func(Event)

	mu      sync.Mutex
	now     Event
	fetched int64    // never falls
	samples []sample // of fetched, the youngest last
}

type sample struct {
	at    time.Time
	bytes int64
}

func newMeter(clock func() time.Time, emit func(Event)) *meter {
	return &meter{clock: clock, emit: emit, samples: []sample{{at: clock()}}}
}

// begin opens a phase.
func (m *meter) begin(phase Phase, file string, done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = Event{Phase: phase, File: file, Done: done, Total: total}
	m.emit(m.now)
}

// count adds bytes that came over the network.
func (m *meter) count(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Done += n
	m.fetched += n
}

// at sets how far the phase is.
func (m *meter) at(done int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Done = done
}

// note emits an event with a sentence.
func (m *meter) note(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.now
	e.Note = text
	m.emit(e)
}

// ticking emits an event from time to time until the returned function is called.
func (m *meter) ticking() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(eventInterval)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
				m.tick()
			}
		}
	}()
	return func() { close(quit); <-done }
}

// tick measures the speed and emits an event.
func (m *meter) tick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock()
	m.samples = append(m.samples, sample{now, m.fetched})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= speedWindow {
		m.samples = m.samples[1:]
	}
	if m.now.Total == 0 {
		return
	}
	m.now.BytesPerSecond, m.now.Left = 0, 0
	span := now.Sub(m.samples[0].at)
	if bytes := m.fetched - m.samples[0].bytes; span > 0 && bytes > 0 && m.now.Phase == PhaseDownloading {
		m.now.BytesPerSecond = int64(float64(bytes) / span.Seconds())
		left := float64(m.now.Total-m.now.Done) / float64(bytes) * float64(span)
		m.now.Left = time.Duration(min(left, float64(100*24*time.Hour))).Round(time.Second)
	}
	m.emit(m.now)
}
