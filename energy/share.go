package energy

import (
	"sync"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	closedReason = "the energy meter was closed before the job ended"
	lateReason   = "the energy counters did not answer in time"
)

// Share is what one job draws, from Begin to End.
type Share struct {
	meter *Meter // nil if nothing is measured
	once  sync.Once
	total jeantrail.Energy

	// Under the meter's mu, if there is a meter.
	microjoule int64
	problem    string // why the figure is not known; "" if it is
	left       bool   // the last reading counts
}

// End ends the share and returns it, rounded half up to millijoules, with its
// price. It waits for a reading, but no longer than a moment: Reason then says
// that it came too late. Further calls return the same.
func (s *Share) End() jeantrail.Energy {
	s.once.Do(func() { s.total = s.end() })
	return s.total
}

func (s *Share) end() jeantrail.Energy {
	m := s.meter
	if m == nil {
		return jeantrail.Energy{Reason: s.problem}
	}
	m.ask(s, true)
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.problem == "" && !s.left {
		s.problem = lateReason
		if m.closed {
			s.problem = closedReason
		}
	}
	if s.problem != "" {
		return jeantrail.Energy{Reason: s.problem}
	}
	e := jeantrail.Energy{Measured: true, Source: m.source, Millijoule: (s.microjoule + 500) / 1000}
	e.Price = Price(e.Millijoule, m.perKWh)
	return e
}

// spoil leaves the share without a figure; the first reason counts.
func (s *Share) spoil(reason string) {
	if s.problem == "" {
		s.problem = reason
	}
}
