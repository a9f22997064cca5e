package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// committer stores what the jobs report. One goroutine collects the new events
// of all jobs and appends them in one transaction, so that the number of
// transactions does not grow with the number of jobs. Nobody waits for it: what
// is not stored yet stays in the feeds.
type committer struct {
	store   Store
	every   time.Duration
	timeout time.Duration

	mu     sync.Mutex
	marked []*task // whose feeds have something to store

	wake    chan struct{} // something was marked
	hurried chan struct{} // do not wait for the interval to pass
	quit    chan struct{}
	ended   chan struct{}
}

func newCommitter(store Store, every, timeout time.Duration) *committer {
	return &committer{
		store:   store,
		every:   every,
		timeout: timeout,
		wake:    make(chan struct{}, 1),
		hurried: make(chan struct{}, 1),
		quit:    make(chan struct{}),
		ended:   make(chan struct{}),
	}
}

func (c *committer) start() { go c.loop() }

// stop ends the goroutine, after the flush it may be in. Jobs that are still
// unfinished store their events by themselves when they settle.
func (c *committer) stop() {
	close(c.quit)
	<-c.ended
}

func (c *committer) loop() {
	defer close(c.ended)
	interval := time.NewTimer(c.every)
	defer interval.Stop()
	for {
		select {
		case <-c.quit:
			return
		case <-c.wake:
		}
		interval.Reset(c.every)
		select {
		case <-c.quit:
			return
		case <-interval.C:
		case <-c.hurried:
		}
		c.flush()
	}
}

func (c *committer) mark(t *task) {
	c.mu.Lock()
	c.marked = append(c.marked, t)
	c.mu.Unlock()
	signal(c.wake)
}

func (c *committer) hurry() { signal(c.hurried) }

// signal leaves a note in a channel with one place; a note that is there
// already is enough.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// bundle is what one job has to store.
type bundle struct {
	task   *task
	events []jeantrail.Event
}

func (c *committer) flush() {
	bundles, events := c.collect()
	if len(bundles) == 0 {
		return
	}
	err := c.append(events)
	for _, b := range bundles {
		// One job's events may be what spoils the transaction; the others must
		// not suffer from it.
		if err != nil && len(bundles) > 1 {
			c.conclude(b, c.append(b.events))
			continue
		}
		c.conclude(b, err)
	}
}

// collect claims the marked feeds. One that somebody else has claimed is left
// out: it is marked again when it is released, or settled by who has it.
func (c *committer) collect() (bundles []bundle, events []jeantrail.Event) {
	c.mu.Lock()
	marked := c.marked
	c.marked = nil
	c.mu.Unlock()
	for _, t := range marked {
		fresh, held := t.feed.tryClaim()
		if held != nil {
			continue
		}
		bundles = append(bundles, bundle{task: t, events: fresh})
		events = append(events, fresh...)
	}
	return bundles, events
}

func (c *committer) append(events []jeantrail.Event) error {
	if len(events) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	return c.store.Append(ctx, events)
}

// conclude tells a feed what became of its events. They stay in it until they
// are stored: a store that is busy is asked again at the next flush; for one
// that failed the job is stopped, and settling tries a last time.
func (c *committer) conclude(b bundle, err error) {
	switch {
	case err == nil && len(b.events) > 0:
		b.task.feed.stored(b.events[len(b.events)-1].Seq)
	case err != nil && !transient(err):
		b.task.cancel(err)
	}
	if b.task.feed.release() {
		c.mark(b.task)
	}
}

// transient reports whether a store error may be gone at the next try.
func transient(err error) bool {
	e := jeantrail.AsError(err)
	return e.RetryAfter > 0 || e.Code == jeantrail.CodeDeadline
}
