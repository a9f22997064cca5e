package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub"
)

// maxPulls is how many pulls are remembered, the oldest ended ones forgotten
// first.
const maxPulls = 100

// pulls are the downloads of this process. A pull goes on without the client that
// asked for it; it ends with the process, and the same request goes on from there.
type pulls struct {
	folder string
	log    *slog.Logger
	life   context.Context
	end    context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	client *hub.Client // made with the first pull
	all    []*pulling  // in the order in which they began
}

// pulling is one pull.
type pulling struct {
	now     jeantrail.Pull
	request hub.Request
	cancel  context.CancelFunc
	changed chan struct{} // closed and replaced at each change
}

func newPulls(folder string, log *slog.Logger) *pulls {
	p := &pulls{folder: folder, log: log}
	p.life, p.end = context.WithCancel(context.Background())
	return p
}

// Start implements server.Pulls.
func (p *pulls) Start(_ context.Context, source, name, sha256 string) (jeantrail.Pull, error) {
	resolved, err := sourceOf(source)
	if err != nil {
		return jeantrail.Pull{}, err
	}
	if _, err := hub.ParseSource(resolved); err != nil {
		return jeantrail.Pull{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return jeantrail.Pull{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	request := hub.Request{Source: resolved, Name: name, SHA256: sha256}
	for _, one := range p.all {
		if one.request == request && !one.now.Status.Terminal() {
			return one.now, nil
		}
	}
	if p.client == nil {
		if p.client, err = newHub(p.folder); err != nil {
			return jeantrail.Pull{}, err
		}
	}
	ctx, cancel := context.WithCancel(p.life)
	one := &pulling{
		request: request, cancel: cancel, changed: make(chan struct{}),
		now: jeantrail.Pull{ID: id.String(), Source: source, Status: jeantrail.PullResolving, StartedAt: time.Now().UTC()},
	}
	p.forget()
	p.all = append(p.all, one)
	client := p.client
	p.work.Go(func() { p.run(ctx, client, one) })
	return one.now, nil
}

// forget makes room for another pull. The caller holds mu.
func (p *pulls) forget() {
	for len(p.all) >= maxPulls {
		i := slices.IndexFunc(p.all, func(one *pulling) bool { return one.now.Status.Terminal() })
		if i < 0 {
			return
		}
		p.all = slices.Delete(p.all, i, i+1)
	}
}

func (p *pulls) run(ctx context.Context, client *hub.Client, one *pulling) {
	defer one.cancel()
	got, err := client.Pull(ctx, one.request, func(e hub.Event) {
		p.change(one, func(now *jeantrail.Pull) {
			if e.Phase != hub.PhaseDone { // that is said when it has returned
				now.Status = jeantrail.PullStatus(e.Phase)
			}
			now.File, now.Done, now.Total, now.Speed, now.Left = e.File, e.Done, e.Total, e.BytesPerSecond, e.Left
			if e.Note != "" {
				now.Note = e.Note
			}
		})
	})
	p.change(one, func(now *jeantrail.Pull) {
		now.EndedAt, now.Speed, now.Left = time.Now().UTC(), 0, 0
		switch {
		case err == nil:
			now.Status, now.Model, now.Path, now.SHA256 = jeantrail.PullDone, got.Name, got.Files[0].Path, got.Files[0].SHA256
			if got.Projector != nil {
				now.MMProj = got.Projector.Path
			}
		case ctx.Err() != nil:
			now.Status = jeantrail.PullCancelled
		default:
			now.Status, now.Err = jeantrail.PullFailed, jeantrail.AsError(err)
		}
	})
	if err != nil && ctx.Err() == nil {
		p.log.Warn("a pull failed", "source", one.now.Source, "error", err)
	}
}

// change changes a pull and wakes who watches it.
func (p *pulls) change(one *pulling, how func(*jeantrail.Pull)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	how(&one.now)
	close(one.changed)
	one.changed = make(chan struct{})
}

// find returns a pull or not_found. The caller holds mu.
func (p *pulls) find(id string) (*pulling, error) {
	for _, one := range p.all {
		if one.now.ID == id {
			return one, nil
		}
	}
	return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no pull %.80q", id).
		WithHint("GET /models/pulls lists those of this process. One of an earlier process goes on if it is asked for again.")
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

// Cancel implements server.Pulls.
func (p *pulls) Cancel(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, err := p.find(id)
	if err == nil {
		one.cancel()
	}
	return err
}

// Close ends every pull; what came is kept.
func (p *pulls) Close() {
	p.end()
	p.work.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		p.client.Close()
	}
}
