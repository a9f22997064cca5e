package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub"
	"github.com/jeantrail/jeantrail-ai/store"
)

const (
	// keepPullEvery is how often a pull is written while only its bytes grow.
	keepPullEvery = 2 * time.Second
	// maxPullStarts is how many processes in a row may take a pull up and end
	// without a byte of it, an end or an orderly stop. More is a crash loop, of
	// which the pull may be the cause.
	maxPullStarts = 5
)

// noteWaiting is the note of a pull that nobody works on.
const noteWaiting = "The program stopped. The pull goes on at its next start."

// pulls are the downloads of models, those of earlier processes too. A pull goes
// on without the client that asked for it, and after the end of this process in
// the next one.
//
// The store has every pull; only this process writes there, as the owner of the
// home. What is ended here is ended there first.
type pulls struct {
	folder    string
	store     *store.Store
	log       *slog.Logger
	installed func(path string) // is told of each model file that was fetched
	life      context.Context
	end       context.CancelFunc
	work      sync.WaitGroup

	// beginning is held while pulls begin, and while one ends that nobody works on.
	beginning sync.Mutex
	client    *hub.Client // made with the first pull that begins; under beginning

	mu  sync.Mutex
	all []*pulling // in the order in which they began
}

// pulling is one pull.
type pulling struct {
	now       jeantrail.Pull
	cancel    context.CancelFunc // nil while nobody works on it
	cancelled bool               // somebody asked for its end, as opposed to the program's
	changed   chan struct{}      // closed and replaced at each change
}

// newPulls reads the pulls of a home. The open ones wait until GoOn.
func newPulls(ctx context.Context, folder string, s *store.Store, log *slog.Logger) (*pulls, error) {
	p := &pulls{folder: folder, store: s, log: log, installed: func(string) {}}
	p.life, p.end = context.WithCancel(context.Background())
	list, err := s.Pulls(ctx, -1)
	if err != nil {
		return nil, err
	}
	for _, now := range slices.Backward(list) {
		if !now.Status.Terminal() {
			now.Note = noteWaiting
		}
		p.all = append(p.all, &pulling{now: now, changed: make(chan struct{})})
	}
	return p, nil
}

// GoOn takes up the pulls that had not ended. It is for an instance that stays.
func (p *pulls) GoOn() {
	p.beginning.Lock()
	defer p.beginning.Unlock()
	p.mu.Lock()
	waiting := slices.DeleteFunc(slices.Clone(p.all), func(one *pulling) bool { return one.now.Status.Terminal() || one.cancel != nil })
	p.mu.Unlock()
	for _, one := range waiting {
		if err := p.takeUp(one); err != nil {
			p.finish(one, func(now *jeantrail.Pull) { now.Status, now.Err = jeantrail.PullFailed, jeantrail.AsError(err) })
			p.log.Warn("a pull cannot go on", "pull", one.now.ID, "error", err)
		}
	}
}

// takeUp goes on with a pull of an earlier process. The start is on record before
// anything happens that could end this process too. The caller holds beginning.
func (p *pulls) takeUp(one *pulling) error {
	if one.now.Starts >= maxPullStarts {
		return jeantrail.Errorf(jeantrail.CodeInternal, "the pull was begun %d times, and each time the program ended before it brought anything", one.now.Starts).
			WithHint("See the log of the last start, and crash.log in the home, for why. What came is kept: the same pull can be asked for again.").
			WithNumber("starts", int64(one.now.Starts))
	}
	p.change(one, func(now *jeantrail.Pull) {
		now.Starts++
		now.Status, now.Note = jeantrail.PullResolving, "Going on after the start of the program."
	})
	if err := p.keep(one); err != nil {
		p.log.Warn("the start of a pull is not on record", "pull", one.now.ID, "error", err)
	}
	request, client, err := p.prepare(one.now.PullRequest)
	if err == nil {
		p.begin(one, request, client)
	}
	return err
}

// prepare returns what a pull needs to begin, or why it cannot. HF_ENDPOINT and
// HF_TOKEN are those of this process. The caller holds beginning.
func (p *pulls) prepare(r jeantrail.PullRequest) (request hub.Request, client *hub.Client, err error) {
	if request, err = hubRequest(r); err != nil {
		return request, nil, err
	}
	if p.client == nil {
		p.client, err = newHub(p.folder)
	}
	return request, p.client, err
}

// begin starts the work on a pull. The caller holds beginning.
func (p *pulls) begin(one *pulling, request hub.Request, client *hub.Client) {
	ctx, cancel := context.WithCancel(p.life)
	p.mu.Lock()
	one.cancel = cancel
	p.mu.Unlock()
	p.work.Go(func() { p.run(ctx, client, request, one) })
}

// hubRequest says it in the words of the hub's client, or why it is not well
// formed.
func hubRequest(r jeantrail.PullRequest) (hub.Request, error) {
	source, err := sourceOf(r.Source)
	if err != nil {
		return hub.Request{}, err
	}
	_, err = hub.ParseSource(source)
	return hub.Request{Source: source, Name: r.Name, SHA256: r.SHA256, Projector: r.MMProj}, err
}

// Start implements server.Pulls.
func (p *pulls) Start(ctx context.Context, wanted jeantrail.PullRequest) (jeantrail.Pull, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return jeantrail.Pull{}, err
	}
	p.beginning.Lock()
	defer p.beginning.Unlock()
	if p.life.Err() != nil {
		return jeantrail.Pull{}, jeantrail.Errorf(jeantrail.CodeShuttingDown, "the program is stopping")
	}
	if one := p.same(wanted); one != nil {
		return p.snapshot(one), nil
	}
	request, client, err := p.prepare(wanted)
	if err != nil {
		return jeantrail.Pull{}, err
	}
	one := &pulling{changed: make(chan struct{}), now: jeantrail.Pull{
		ID: id.String(), PullRequest: wanted, Status: jeantrail.PullResolving, Starts: 1, StartedAt: wholeMillis(time.Now()),
	}}
	if err := p.store.AddPull(ctx, one.now); err != nil {
		return jeantrail.Pull{}, err
	}
	p.mu.Lock()
	p.all = append(p.all, one)
	p.mu.Unlock()
	p.begin(one, request, client)
	return p.snapshot(one), nil
}

// wholeMillis is an instant as the store keeps it.
func wholeMillis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// same finds a pull under way of the same; nil if there is none.
func (p *pulls) same(request jeantrail.PullRequest) *pulling {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.all, func(one *pulling) bool {
		return one.now.PullRequest == request && one.cancel != nil && !one.cancelled && !one.now.Status.Terminal()
	})
	if i < 0 {
		return nil
	}
	return p.all[i]
}

func (p *pulls) snapshot(one *pulling) jeantrail.Pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	return one.now
}

// run works on a pull until it ends or the program does.
func (p *pulls) run(ctx context.Context, client *hub.Client, request hub.Request, one *pulling) {
	defer one.cancel()
	var kept time.Time
	status := one.now.Status // as it is in the store
	got, err := client.Pull(ctx, request, func(e hub.Event) {
		p.change(one, func(now *jeantrail.Pull) { progress(now, e) })
		if one.now.Status == status && time.Since(kept) < keepPullEvery {
			return
		}
		if status, kept = one.now.Status, time.Now(); p.keep(one) != nil {
			kept = time.Time{} // the next event tries again
		}
	})
	p.mu.Lock()
	cancelled := one.cancelled
	p.mu.Unlock()
	switch {
	case err == nil:
		p.finish(one, func(now *jeantrail.Pull) { arrived(now, got) })
		if got.Fetched > 0 {
			p.installed(got.Files[0].Path)
		}
	case ctx.Err() != nil && cancelled:
		p.finish(one, func(now *jeantrail.Pull) { now.Status = jeantrail.PullCancelled })
	case ctx.Err() != nil:
		p.change(one, func(now *jeantrail.Pull) { now.Starts, now.Note, now.Speed, now.Left = 0, noteWaiting, 0, 0 })
		if err := p.keep(one); err != nil {
			p.log.Warn("how far a pull came is not on record", "pull", one.now.ID, "error", err)
		}
	default:
		p.finish(one, func(now *jeantrail.Pull) { now.Status, now.Err = jeantrail.PullFailed, jeantrail.AsError(err) })
		p.log.Warn("a pull failed", "pull", one.now.ID, "error", err)
	}
}

// progress takes an event of the hub's client over.
func progress(now *jeantrail.Pull, e hub.Event) {
	if now.Status == jeantrail.PullDownloading && e.Phase == hub.PhaseDownloading && e.File == now.File && e.Done > now.Done {
		now.Starts = 0 // bytes came: this start was worth it, however it ends
	}
	if e.Phase != hub.PhaseDone { // that is said when it has returned
		now.Status = jeantrail.PullStatus(e.Phase)
	}
	now.File, now.Done, now.Total, now.Speed, now.Left = e.File, e.Done, e.Total, e.BytesPerSecond, e.Left
	if e.Note != "" {
		now.Note = e.Note
	}
}

// arrived is a pull that is done.
func arrived(now *jeantrail.Pull, got hub.Result) {
	now.Status, now.Model, now.ModelSHA256, now.Revision, now.Fetched = jeantrail.PullDone, got.Name, got.SHA256, got.Commit, got.Fetched
	for _, f := range got.Files {
		now.Files = append(now.Files, jeantrail.PullFile{Path: f.Path, Bytes: f.Bytes, SHA256: f.SHA256})
	}
	if f := got.Projector; f != nil {
		now.Files = append(now.Files, jeantrail.PullFile{Path: f.Path, Bytes: f.Bytes, SHA256: f.SHA256, Projector: true})
	}
}

// keep writes a pull as it stands.
func (p *pulls) keep(one *pulling) error {
	return p.store.SavePull(context.Background(), p.snapshot(one))
}

// finish ends a pull, in the store before anybody is told. If it cannot be
// written, the next start takes the pull up again and finds out the same.
func (p *pulls) finish(one *pulling, how func(*jeantrail.Pull)) {
	now := p.snapshot(one)
	now.File, now.EndedAt, now.Speed, now.Left = "", wholeMillis(time.Now()), 0, 0
	how(&now)
	if err := p.store.SavePull(context.Background(), now); err != nil {
		p.log.Warn("the end of a pull is not on record", "pull", now.ID, "error", err)
	}
	now.PullRequest = now.WithoutSecrets()
	p.change(one, func(was *jeantrail.Pull) { *was = now })
	p.forget()
}

// forget drops the pulls that the store has forgotten.
func (p *pulls) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ended []*pulling
	for _, one := range p.all {
		if one.now.Status.Terminal() {
			ended = append(ended, one)
		}
	}
	if len(ended) <= store.MaxEndedPulls {
		return
	}
	slices.SortFunc(ended, func(a, b *pulling) int {
		return cmp.Or(b.now.EndedAt.Compare(a.now.EndedAt), cmp.Compare(b.now.ID, a.now.ID))
	})
	p.all = slices.DeleteFunc(p.all, func(one *pulling) bool { return slices.Contains(ended[store.MaxEndedPulls:], one) })
}

// change changes a pull and wakes who watches it.
func (p *pulls) change(one *pulling, how func(*jeantrail.Pull)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	how(&one.now)
	close(one.changed)
	one.changed = make(chan struct{})
}

// Cancel implements server.Pulls.
func (p *pulls) Cancel(id string) error {
	p.beginning.Lock()
	defer p.beginning.Unlock()
	p.mu.Lock()
	one, err := p.find(id)
	if err != nil {
		p.mu.Unlock()
		return err
	}
	one.cancelled = true
	working, over := one.cancel, one.now.Status.Terminal()
	p.mu.Unlock()
	switch {
	case over:
	case working != nil:
		working()
	default: // it waits for a start, and will not see it
		p.finish(one, func(now *jeantrail.Pull) { now.Status = jeantrail.PullCancelled })
	}
	return nil
}

// Close stops the work on every pull. What came is kept, and so is the pull: it
// goes on at the next start.
func (p *pulls) Close() {
	p.end()
	p.beginning.Lock() // nobody begins from here on
	defer p.beginning.Unlock()
	p.work.Wait()
	if p.client != nil {
		p.client.Close()
	}
}
