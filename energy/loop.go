package energy

import (
	"slices"
	"time"
)

// A reading is what all sources showed at one moment.
type reading struct {
	at     time.Time
	values [][]uint64 // by probe
	err    error      // set if not all of them could be read
}

// ask hands in a request, starts the goroutine if there is none, and waits until
// a reading answers it. It reports false if patience ends first, and a later
// reading answers it, or if the meter is closed.
func (m *Meter) ask(s *Share, leaves bool) bool {
	done := make(chan struct{})
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	m.asked = append(m.asked, request{share: s, leaves: leaves, done: done})
	if !m.running {
		m.running, m.stopped = true, make(chan struct{})
		go m.run(m.stopped)
	}
	m.nudge()
	m.mu.Unlock()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-done:
		return true
	case <-late.C:
		return false
	}
}

// nudge has the goroutine take a turn now, for who holds mu.
func (m *Meter) nudge() {
	select {
	case m.wake <- struct{}{}:
	default: // it is about to take one
	}
}

// run reads until there are no shares.
func (m *Meter) run(stopped chan<- struct{}) {
	defer close(stopped)
	tick := time.NewTicker(m.interval)
	defer tick.Stop()
	for m.turn() {
		select {
		case <-m.wake:
		case <-tick.C:
		}
	}
}

// turn takes one reading, divides what was drawn since the last one among the
// jobs at work, and lets in and out those who asked before it began. It reports
// whether there is more to do.
func (m *Meter) turn() bool {
	m.mu.Lock()
	asked := m.asked
	m.asked = nil
	select {
	case <-m.wake: // this turn is what it was for
	default:
	}
	m.mu.Unlock()

	// Whoever is at work when a source fails has no figure already, so the
	// sources may be exchanged under them.
	if (len(m.probes) == 0 || m.last.err != nil) && m.clock().Sub(m.looked) >= lookAgain {
		m.find()
	}
	next := m.read() // mu is free: the counters may take their time

	m.mu.Lock()
	defer m.mu.Unlock()
	m.divide(next)
	m.last, m.failure = next, words(next.err)
	for _, r := range asked {
		m.answer(r)
	}
	switch {
	case m.closed:
		m.finish()
	case len(m.atWork) > 0 || len(m.asked) > 0:
		return true
	}
	m.running = false
	return false
}

// divide gives each share its part of what was drawn since the last reading. The
// microjoules that do not divide go to those who are longest at work, so that
// nothing is lost.
func (m *Meter) divide(next reading) {
	count := int64(len(m.atWork))
	if count == 0 {
		return
	}
	drawn, err := m.drawn(next)
	if err != nil {
		for _, s := range m.atWork {
			s.spoil(words(err))
		}
		return
	}
	each, rest := drawn/count, drawn%count
	for i, s := range m.atWork {
		s.microjoule += each
		if int64(i) < rest {
			s.microjoule++
		}
	}
}

// drawn returns the microjoules between the last reading and the next.
func (m *Meter) drawn(next reading) (int64, error) {
	if m.last.err != nil {
		return 0, m.last.err
	}
	if next.err != nil {
		return 0, next.err
	}
	var sum int64
	for i, p := range m.probes {
		n, err := p.drawn(m.last.values[i], next.values[i], next.at.Sub(m.last.at))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// answer lets a share in or out.
func (m *Meter) answer(r request) {
	defer close(r.done)
	switch {
	case r.leaves:
		m.atWork = slices.DeleteFunc(m.atWork, func(s *Share) bool { return s == r.share })
		r.share.left = true
	case len(m.probes) == 0:
		r.share.spoil(m.reason())
	default:
		m.atWork = append(m.atWork, r.share)
	}
}

// read takes a reading of every source.
func (m *Meter) read() reading {
	r := reading{values: make([][]uint64, len(m.probes))}
	for i, p := range m.probes {
		if r.values[i], r.err = p.read(); r.err != nil {
			break
		}
	}
	r.at = m.clock()
	return r
}

// find looks for the sources, in the place of those there were.
func (m *Meter) find() {
	for _, p := range m.probes {
		p.close()
	}
	probes, err := m.look()
	source := ""
	for i, p := range probes {
		if i > 0 {
			source += "+"
		}
		source += p.name()
	}
	m.probes, m.looked = probes, m.clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.source, m.lacking = source, words(err)
}

// finish gives the sources back, for who holds mu when nobody reads any more.
func (m *Meter) finish() {
	for _, p := range m.probes {
		p.close()
	}
	for _, s := range m.atWork {
		s.spoil(closedReason)
	}
	for _, r := range m.asked {
		r.share.spoil(closedReason)
		close(r.done)
	}
	m.probes, m.atWork, m.asked = nil, nil, nil
	m.source, m.lacking, m.failure = "", closedReason, ""
}
