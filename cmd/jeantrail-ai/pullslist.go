package main

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

// find returns a pull or not_found. The caller holds mu.
func (p *pulls) find(id string) (*pulling, error) {
	for _, one := range p.all {
		if one.now.ID == id {
			return one, nil
		}
	}
	return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no pull %.80q", id).
		WithHint("List them: jeantrail-ai model pulls, or GET /models/pulls. Of those that ended, the last %d are kept.", store.MaxEndedPulls)
}

// List implements server.Pulls.
func (p *pulls) List() []jeantrail.Pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]jeantrail.Pull, 0, len(p.all))
	for _, one := range slices.Backward(p.all) {
		list = append(list, one.now)
	}
	return list
}

// Get implements server.Pulls.
func (p *pulls) Get(id string) (jeantrail.Pull, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, err := p.find(id)
	if err != nil {
		return jeantrail.Pull{}, err
	}
	return one.now, nil
}

// Watch implements server.Pulls.
func (p *pulls) Watch(ctx context.Context, id string) (<-chan jeantrail.Pull, error) {
	p.mu.Lock()
	one, err := p.find(id)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	states := make(chan jeantrail.Pull)
	go func() { // ends with ctx or the pull
		defer close(states)
		for {
			p.mu.Lock()
			now, changed := one.now, one.changed
			p.mu.Unlock()
			select {
			case states <- now:
			case <-ctx.Done():
				return
			}
			if now.Status.Terminal() {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return states, nil
}

// renew has a model looked at anew of which a pull fetched the file at path: what
// is known of it is of an earlier file, or of none. Jobs on that one finish first.
func (m *models) renew(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, t := range m.texts {
		if m.closed || filepath.Clean(t.entry.Path) != filepath.Clean(path) {
			continue
		}
		delete(m.texts, name)
		m.background.Go(func() {
			if err := t.retire(m.life); err != nil {
				m.opt.Logger.Warn("freeing a model failed", "model", name, "error", err)
			}
		})
	}
}
