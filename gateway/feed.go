package gateway

import (
	"strings"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// feedKeep is how many stored events a feed keeps in memory for live readers,
// which then need not ask the store for what was written a moment ago.
const feedKeep = 64

// feed is the log of one job as this process knows it: its newest stored
// events, those on their way to the store, and the one that still grows.
//
// It numbers events. It never waits for readers: they hold a position in it
// and are woken when it changes. Who wants to store events claims the feed
// first, so that one job's events are written by one goroutine at a time.
type feed struct {
	jobID string
	limit int // bytes of text at which an event stops growing

	mu      sync.Mutex
	base    int64             // number of the event before log[0]
	log     []*entry          // events base+1 and on, the stored ones first
	done    int64             // number of the newest stored event
	open    *entry            // the newest event while it may still grow
	dirty   bool              // the committer knows that there is something to store
	claimed chan struct{}     // closed when who stores events lets go; nil while nobody does
	sealed  bool              // claimed for good: the job is being settled
	later   []jeantrail.Event // alerts that came while the feed was claimed
	over    bool              // the terminal event is stored
	err     error             // why the log will not come to its end in this process
	changed chan struct{}     // closed at the next change; nil while nobody waits
}

// entry is an event of a feed; the text of a token event is kept apart because
// it grows.
type entry struct {
	event jeantrail.Event
	text  strings.Builder
}

func (e *entry) whole() jeantrail.Event {
	ev := e.event
	ev.Text = e.text.String()
	return ev
}

func newFeed(jobID string, limit int) *feed { return &feed{jobID: jobID, limit: limit} }

// resume begins where an earlier process left the log.
func (f *feed) resume(seq int64) { f.base, f.done = seq, seq }

// add numbers an event that does not grow and puts it at the end.
func (f *feed) add(ev jeantrail.Event) jeantrail.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = nil
	return f.push(ev).event
}

// next numbers an event as add would, without adding it: for one that must be
// stored before it counts. Only who has claimed the feed, and is the one who
// adds to it, can rely on the number.
func (f *feed) next(ev jeantrail.Event) jeantrail.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	ev.JobID, ev.Seq = f.jobID, f.last()+1
	return ev
}

func (f *feed) push(ev jeantrail.Event) *entry {
	ev.JobID, ev.Seq = f.jobID, f.last()+1
	e := &entry{event: ev}
	f.log = append(f.log, e)
	return e
}

// token adds text to the newest event, or begins another one. It reports
// whether the committer has to be told of the feed, and whether it should
// hurry.
func (f *feed) token(at time.Time, text string, reasoning bool, tokens int) (tell, hurry bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.open
	if e == nil || e.event.Type != jeantrail.EventToken || e.event.Reasoning != reasoning {
		e = f.push(jeantrail.Event{Type: jeantrail.EventToken, At: at, Reasoning: reasoning})
		f.open = e
	}
	e.text.WriteString(text)
	e.event.Tokens += tokens
	if e.text.Len() >= f.limit {
		f.open, hurry = nil, true
	}
	if text != "" {
		f.wake()
	}
	return f.soil(), hurry
}

// progress adds a report, or replaces the newest one of the same stage if that
// is not on its way to the store yet: only the last figure matters.
func (f *feed) progress(at time.Time, p jeantrail.Progress) (tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.open
	if e != nil && e.event.Type == jeantrail.EventProgress && e.event.Progress.Stage == p.Stage {
		e.event.At, e.event.Progress = at, p
		return false
	}
	f.open = f.push(jeantrail.Event{Type: jeantrail.EventProgress, At: at, Progress: p})
	return f.soil()
}

// report adds an event that does not grow, of the backend's making.
func (f *feed) report(ev jeantrail.Event) (tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = nil
	f.push(ev)
	return f.soil()
}

// alert puts an event of somebody else's making at the end. While the feed is
// claimed it waits, since who has claimed it may count on the next number; a
// job that is being settled gets no more.
func (f *feed) alert(at time.Time, a *jeantrail.Alert) (tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ev := jeantrail.Event{Type: jeantrail.EventAlert, At: at, Alert: a}
	switch {
	case f.sealed:
		return false
	case f.claimed != nil:
		f.later = append(f.later, ev)
		return false
	}
	f.open = nil
	f.push(ev)
	return f.soil()
}

// soil marks that there is something to store. While the feed is claimed it
// stays silent: release tells the same.
func (f *feed) soil() (tell bool) {
	tell = !f.dirty && f.claimed == nil
	f.dirty = true
	return tell
}

// claim waits until nobody else stores events of this feed, and returns those
// that are not stored yet. They do not change any more.
func (f *feed) claim() []jeantrail.Event {
	for {
		events, held := f.tryClaim()
		if held == nil {
			return events
		}
		<-held
	}
}

// seal is claim for good.
func (f *feed) seal() []jeantrail.Event {
	events := f.claim()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sealed = true
	return events
}

// tryClaim is claim without the wait: held is not nil if another goroutine has
// the feed, and is closed when that lets go.
func (f *feed) tryClaim() (events []jeantrail.Event, held <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.claimed != nil {
		return nil, f.claimed
	}
	f.claimed = make(chan struct{})
	f.open = nil
	for _, e := range f.log[f.done-f.base:] {
		events = append(events, e.whole())
	}
	return events, nil
}

// release ends a claim and reports whether the committer has to be told that
// there is more to store.
func (f *feed) release() (tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.claimed)
	f.claimed = nil
	for _, ev := range f.later {
		f.open = nil
		f.push(ev)
	}
	f.later = nil
	f.dirty = f.done < f.last()
	return f.dirty
}

// stored says that the events up to seq are in the store.
func (f *feed) stored(seq int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = max(f.done, min(seq, f.last()))
	if extra := f.done - f.base - feedKeep; extra > 0 {
		// A copy, so that the dropped entries can be collected.
		f.log = append([]*entry(nil), f.log[extra:]...)
		f.base += extra
	}
	f.wake()
}

// finish says that everything is stored and nothing follows.
func (f *feed) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done, f.over = f.last(), true
	f.wake()
}

// abandon says that the log could not be brought to its end in this process.
func (f *feed) abandon(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	f.wake()
}

func (f *feed) lastStored() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

func (f *feed) last() int64 { return f.base + int64(len(f.log)) }

func (f *feed) at(seq int64) *entry { return f.log[seq-f.base-1] }

func (f *feed) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}
