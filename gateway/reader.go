package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jeantrail/jeantrail-ai"
)

// readerPage is how many stored events a reader fetches at once.
const readerPage = 256

// Reader follows the events of one job. It is a position, not a queue: it holds
// no goroutine and nothing fills up while it is not asked, so that it can be as
// slow as it likes. It belongs to one goroutine.
type Reader struct {
	store Store
	jobID string
	feed  *feed // nil if the job was finished when the reader was made

	seq   int64             // number of the last whole event that was given
	parts []partial         // what pieces gave of the events after it, in order
	page  []jeantrail.Event // read from the store, not given yet
	ended bool
}

// partial is how much of an event that was not stored yet pieces have given.
type partial struct {
	seq    int64
	bytes  int
	tokens int
}

// Next waits for the next event. Stored events come once each, in order and
// without a gap; text that is not stored yet comes before as pieces, as
// jeantrail.Event describes. The Tokens of a piece are those it accounts for,
// and the whole event then has the remaining ones, so that what a reader was
// given adds up.
//
// After the terminal event it returns io.EOF. Any other error ends the stream
// without the job's end being known: of ctx, or of a store that failed.
func (r *Reader) Next(ctx context.Context) (jeantrail.Event, error) {
	for {
		if r.ended {
			return jeantrail.Event{}, io.EOF
		}
		if len(r.page) > 0 {
			ev := r.page[0]
			r.page = r.page[1:]
			return r.give(ev), nil
		}
		if err := ctx.Err(); err != nil {
			return jeantrail.Event{}, fmt.Errorf("follow job: %w", context.Cause(ctx))
		}
		if r.feed != nil {
			ev, step, changed, err := r.feed.read(r)
			switch {
			case err != nil:
				return jeantrail.Event{}, err
			case step == stepGive:
				return ev, nil
			case step == stepWait:
				select {
				case <-changed:
				case <-ctx.Done():
				}
				continue
			case step == stepEnd:
				r.ended = true
				continue
			}
		}
		if err := r.load(ctx); err != nil {
			return jeantrail.Event{}, err
		}
	}
}

// Close lets go of what the reader has in memory. Next then returns io.EOF.
func (r *Reader) Close() { r.feed, r.page, r.parts, r.ended = nil, nil, nil, true }

func (r *Reader) load(ctx context.Context) error {
	events, err := r.store.Events(ctx, r.jobID, r.seq, readerPage)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	if len(events) == 0 {
		return errors.New("read events: the log has no terminal event")
	}
	r.page = events
	return nil
}

// give moves past a whole event and takes away what pieces gave before.
func (r *Reader) give(ev jeantrail.Event) jeantrail.Event {
	if len(r.parts) > 0 && r.parts[0].seq == ev.Seq {
		ev.Text, ev.Tokens = ev.Text[r.parts[0].bytes:], ev.Tokens-r.parts[0].tokens
		r.parts = r.parts[1:]
	}
	r.seq, r.ended = ev.Seq, ev.Type.Terminal()
	return ev
}

// newestPart returns the number of the event that pieces have come to.
func (r *Reader) newestPart() int64 {
	if len(r.parts) == 0 {
		return r.seq + 1
	}
	return r.parts[len(r.parts)-1].seq
}

// piece gives what an event has gained since the last piece.
func (r *Reader) piece(e *entry) (jeantrail.Event, bool) {
	part := partial{seq: e.event.Seq}
	known := len(r.parts) > 0 && r.newestPart() == part.seq
	if known {
		part = r.parts[len(r.parts)-1]
	}
	ev := e.whole()
	ev.Text = ev.Text[part.bytes:]
	if ev.Text == "" {
		return ev, false
	}
	ev.Partial = true
	ev.Tokens -= part.tokens
	part.bytes += len(ev.Text)
	part.tokens += ev.Tokens
	if known {
		r.parts[len(r.parts)-1] = part
	} else {
		r.parts = append(r.parts, part)
	}
	return ev, true
}

type step int

const (
	stepGive step = iota // there is an event
	stepLoad             // what comes next is in the store only
	stepWait             // nothing yet
	stepEnd              // nothing ever
)

// read finds what a reader gets next.
func (f *feed) read(r *Reader) (jeantrail.Event, step, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch next := r.seq + 1; {
	case next <= f.base:
		return jeantrail.Event{}, stepLoad, nil, nil
	case next <= f.done:
		return r.give(f.at(next).whole()), stepGive, nil, nil
	case f.over: // the reader began after the terminal event
		return jeantrail.Event{}, stepEnd, nil, nil
	case f.err != nil:
		return jeantrail.Event{}, stepEnd, nil, f.err
	}
	for seq := r.newestPart(); seq <= f.last(); seq++ {
		// Only text runs ahead of the store; what follows another event waits
		// for it.
		if f.at(seq).event.Type != jeantrail.EventToken {
			break
		}
		if ev, ok := r.piece(f.at(seq)); ok {
			return ev, stepGive, nil, nil
		}
	}
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return jeantrail.Event{}, stepWait, f.changed, nil
}
