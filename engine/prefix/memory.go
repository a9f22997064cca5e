package prefix

import (
	"time"

	"github.com/jeantrail/jeantrail-ai/engine"
)

// oldest is the entry that was not of use for longest, of those that fit.
func oldest(of map[*entry]bool, fits func(*entry) bool) (found *entry) {
	for e := range of {
		if fits(e) && (found == nil || e.used.Before(found.used)) {
			found = e
		}
	}
	return found
}

// makeRoom drops the least recently used states until so many bytes fit into
// memory. One that is on no disk leaves for it if no other does.
func (s *Store) makeRoom(bytes int64) bool {
	if bytes > s.opt.RAM {
		return false
	}
	for s.ramBytes+bytes > s.opt.RAM {
		e := oldest(s.ram, func(e *entry) bool { return !e.writing })
		if e == nil {
			return false
		}
		if s.leaving == nil && s.writable(e) {
			delete(s.ram, e)
			s.ramBytes -= e.bytes
			s.leaving = e
			s.nudge()
			continue
		}
		s.evict(e)
	}
	return true
}

// evict drops a state from memory for others.
func (s *Store) evict(e *entry) {
	s.count(e.space, engine.PrefixUsage{Evicted: 1})
	if e.file == "" {
		s.count(e.space, engine.PrefixUsage{Lost: 1})
	}
	s.forget(e)
}

// forget drops a state from memory.
func (s *Store) forget(e *entry) {
	if s.ram[e] {
		delete(s.ram, e)
		s.ramBytes -= e.bytes
	}
	if s.leaving == e {
		s.leaving = nil
	}
	e.space.ram.remove(e)
	e.state = nil
	s.freed += e.bytes
	if s.freed >= collectBytes {
		s.nudge()
	}
}

// keep takes a state into memory, or on its way to the disk if memory is too
// small for it.
func (s *Store) keep(sp *space, tokens []engine.Token, state []byte, used time.Time) bool {
	if e := sp.ram.exact(tokens); e != nil {
		e.used = used
		return true
	}
	e := sp.disk.exact(tokens)
	if e == nil {
		e = &entry{space: sp, tokens: tokens, bytes: int64(len(state))}
	}
	for _, old := range sp.ram.within(tokens) {
		if !old.writing && old != s.leaving {
			s.forget(old)
		}
	}
	e.used, e.stale = used, e.file != ""
	switch {
	case s.makeRoom(e.bytes):
		s.ram[e] = true
		s.ramBytes += e.bytes
	case s.leaving == nil && s.writable(e):
		s.leaving = e
	default:
		if e.file == "" {
			s.count(sp, engine.PrefixUsage{Lost: 1})
		}
		return false
	}
	e.state = state
	sp.ram.add(e)
	s.nudge()
	return true
}
