package main

import (
	"context"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry"
)

// modelStates remembers what was said about each model, for those who watch. A
// watcher that is slow misses what was in between, never the newest, and holds
// nobody up.
type modelStates struct {
	mu      sync.Mutex
	version int64
	newest  map[string]lastWord
	changed chan struct{} // closed and replaced when something is said
}

// lastWord is what was said last about a model.
type lastWord struct {
	version int64
	state   jeantrail.ModelState
}

func newModelStates() *modelStates {
	return &modelStates{newest: make(map[string]lastWord), changed: make(chan struct{})}
}

func (s *modelStates) say(state jeantrail.ModelState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.newest[state.Name] = lastWord{s.version, state}
	close(s.changed)
	s.changed = make(chan struct{})
}

// next returns the oldest of the newest words after a version; what it returns is
// closed when there is another one.
func (s *modelStates) next(after int64) (next lastWord, there bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.newest {
		if one.version > after && (!there || one.version < next.version) {
			next, there = one, true
		}
	}
	return next, there, s.changed
}

// follow sends each model's state after a version, the newest only, until ctx
// ends.
func (s *modelStates) follow(ctx context.Context, after int64, to chan<- jeantrail.ModelState) {
	for {
		next, there, changed := s.next(after)
		out := to
		if !there {
			out = nil // nothing to send
		}
		select {
		case out <- next.state:
			after = next.version
		case <-changed: // also while nobody reads: there may be a newer word by then
		case <-ctx.Done():
			return
		}
	}
}

// say tells the registry, the launching app and those who watch how a model is.
func (m *models) say(name string, s registry.State) {
	m.SetState(name, s)
	m.opt.Handshake.Model(name, s.Status, s.Progress, s.Problem)
	m.states.say(jeantrail.ModelState{Name: name, Status: s.Status, Progress: s.Progress, Problem: s.Problem})
}

// Watch implements server.Models.
func (m *models) Watch(ctx context.Context) <-chan jeantrail.ModelState {
	m.states.mu.Lock()
	after := m.states.version
	m.states.mu.Unlock()
	list := m.List(ctx)
	states := make(chan jeantrail.ModelState)
	go func() { // ends with ctx
		defer close(states)
		for _, one := range list {
			select {
			case states <- jeantrail.ModelState{Name: one.Name, Status: one.Status, Progress: one.Progress, Problem: one.Problem}:
			case <-ctx.Done():
				return
			}
		}
		m.states.follow(ctx, after, states)
	}()
	return states
}
