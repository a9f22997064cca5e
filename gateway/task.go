package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// task is an unfinished job of this process.
type task struct {
	job  jeantrail.Job // as admitted; never changed
	work Work
	// What the road made of the request before it was admitted; see proposal.
	cacheUse     jeantrail.CacheUse
	cacheKey     []byte
	rulesApplied []string
	rulesSkipped []string
	feed         *feed
	// Of a job that goes on where an earlier process left it: its log, and how
	// that says it began.
	log   []jeantrail.Event
	began jeantrail.Event

	// ctx is the life of the job. It is kept here because it belongs to no
	// call: it ends by cancel, whoever calls that.
	ctx    context.Context
	cancel context.CancelCauseFunc

	done  chan struct{}  // closed when the job is settled or given up
	final *jeantrail.Job // set before done is closed, nil if it was given up
	err   error          // set before done is closed, why it was given up

	mu      sync.Mutex
	started time.Time   // zero while queued
	leases  int         // holders that keep a job which is not async alive
	grace   *time.Timer // set while the last holder may come back
	closed  bool        // no timer may be set any more
}

func newTask(p *proposal, flushBytes int) *task {
	t := &task{
		job: p.job, work: p.work, cacheUse: p.cacheUse, cacheKey: p.cacheKey,
		rulesApplied: p.rulesApplied, rulesSkipped: p.rulesSkipped,
		feed: newFeed(p.job.ID, flushBytes), done: make(chan struct{}),
	}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	return t
}

func (t *task) running() bool { return !t.startedAt().IsZero() }

func (t *task) startedAt() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.started
}

func (t *task) setStarted(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started = at
}

// hold adds a holder.
func (t *task) hold() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leases++
	t.stopGrace()
}

func (t *task) release(grace time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leases--
	if t.leases > 0 || t.closed {
		return
	}
	if grace <= 0 {
		t.cancel(ErrClientGone)
		return
	}
	t.grace = time.AfterFunc(grace, t.expire)
}

// expire runs when the grace is over. A lease that was taken in the same
// instant wins.
func (t *task) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leases == 0 {
		t.cancel(ErrClientGone)
	}
}

func (t *task) stopGrace() {
	if t.grace != nil {
		t.grace.Stop()
		t.grace = nil
	}
}

// close says how the job ended and lets go of what it held.
func (t *task) close(final *jeantrail.Job, err error) {
	t.mu.Lock()
	t.closed = true
	t.stopGrace()
	t.mu.Unlock()
	t.cancel(nil)
	t.final, t.err = final, err
	close(t.done)
}
