package server

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
)

// fakePulls is a Pulls whose downloads do what the test says.
type fakePulls struct {
	mu      sync.Mutex
	all     []*fakePull // in the order in which they began
	err     error       // of Start
	asked   []string
	broken  bool        // a watch ends after the first state
	unwatch chan string // gets the id when a watch ends
}

type fakePull struct {
	now     jeantrail.Pull
	asked   string
	changed chan struct{} // closed and replaced at each change
}

func newFakePulls() *fakePulls { return &fakePulls{unwatch: make(chan string, 64)} }

func (f *fakePulls) Start(_ context.Context, r jeantrail.PullRequest) (jeantrail.Pull, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := r.Source + " as " + r.Name + " with " + r.SHA256 + " and " + r.MMProj
	f.asked = append(f.asked, asked)
	if f.err != nil {
		return jeantrail.Pull{}, f.err
	}
	for _, p := range f.all {
		if p.asked == asked && !p.now.Status.Terminal() {
			return p.now, nil
		}
	}
	p := &fakePull{asked: asked, changed: make(chan struct{}), now: jeantrail.Pull{
		ID: fmt.Sprintf("01942000-0000-7000-9000-%012d", len(f.all)+1), PullRequest: r, Status: jeantrail.PullResolving, StartedAt: epoch(),
	}}
	f.all = append(f.all, p)
	return p.now, nil
}

func (f *fakePulls) List() []jeantrail.Pull {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []jeantrail.Pull
	for _, p := range slices.Backward(f.all) {
		list = append(list, p.now)
	}
	return list
}

// find needs mu.
func (f *fakePulls) find(id string) (*fakePull, error) {
	for _, p := range f.all {
		if p.now.ID == id {
			return p, nil
		}
	}
	return nil, noSuch("pull", id)
}

func (f *fakePulls) Get(id string) (jeantrail.Pull, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.find(id)
	if err != nil {
		return jeantrail.Pull{}, err
	}
	return p.now, nil
}

func (f *fakePulls) Watch(ctx context.Context, id string) (<-chan jeantrail.Pull, error) {
	f.mu.Lock()
	p, err := f.find(id)
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	states := make(chan jeantrail.Pull)
	go func() {
		defer func() { close(states); f.unwatch <- id }()
		for {
			f.mu.Lock()
			now, changed, broken := p.now, p.changed, f.broken
			f.mu.Unlock()
			select {
			case states <- now:
			case <-ctx.Done():
				return
			}
			if now.Status.Terminal() || broken {
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

func (f *fakePulls) Cancel(id string) error {
	return f.change(id, func(now *jeantrail.Pull) {
		if !now.Status.Terminal() {
			now.Status, now.EndedAt = jeantrail.PullCancelled, epoch()
		}
	})
}

// change changes a pull and wakes who watches it.
func (f *fakePulls) change(id string, how func(*jeantrail.Pull)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.find(id)
	if err != nil {
		return err
	}
	how(&p.now)
	close(p.changed)
	p.changed = make(chan struct{})
	return nil
}
