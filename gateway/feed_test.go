package gateway

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// A reader that begins behind the terminal event of a job whose task is just
// leaving has nothing to wait for.
func TestReaderBehindTheEnd(t *testing.T) {
	f := newFeed("job", 100)
	last := f.add(jeantrail.Event{Type: jeantrail.EventDone})
	f.finish()
	r := &Reader{jobID: "job", feed: f, seq: last.Seq}
	if _, err := r.Next(context.Background()); err != io.EOF {
		t.Errorf("next: %v", err)
	}
}

func TestReaderOfAnAbandonedFeed(t *testing.T) {
	gone := errors.New("gone")
	f := newFeed("job", 100)
	f.add(jeantrail.Event{Type: jeantrail.EventQueued})
	f.stored(1)
	f.token(time.Now(), "never stored", false, 1)
	f.abandon(gone)
	r := &Reader{jobID: "job", feed: f}
	if ev, err := r.Next(context.Background()); err != nil || ev.Seq != 1 {
		t.Errorf("stored event: %+v %v", ev, err)
	}
	if _, err := r.Next(context.Background()); !errors.Is(err, gone) {
		t.Errorf("then %v", err)
	}
}

// The feed of a long job holds a bounded number of stored events.
func TestFeedForgetsWhatIsStored(t *testing.T) {
	f := newFeed("job", 1)
	for range 10 * feedKeep {
		f.token(time.Now(), "x", false, 1)
		events := f.claim()
		f.stored(events[len(events)-1].Seq)
		if more := f.release(); more || len(events) != 1 {
			t.Fatalf("%d events to store, more: %v", len(events), more)
		}
	}
	if len(f.log) != feedKeep || f.base != 9*feedKeep || f.last() != 10*feedKeep {
		t.Errorf("the feed holds %d events after %d", len(f.log), f.base)
	}
}

// One mark is enough until the committer has been there.
func TestFeedTellsOnce(t *testing.T) {
	f := newFeed("job", 100)
	told := 0
	report := func() {
		if tell, _ := f.token(time.Now(), "x", false, 1); tell {
			told++
		}
	}
	report()
	report()
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	f.claim()
	report() // while it is being stored: release says it
	f.stored(1)
	if !f.release() || told != 1 {
		t.Errorf("after the release: told %d times", told)
	}
	report()
	if told != 1 {
		t.Errorf("still marked, told %d times", told)
	}
}

func BenchmarkToken(b *testing.B) {
	f := newFeed("job", DefaultFlushBytes)
	at := time.Now()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f.token(at, " word", false, 1)
		if i%1000 == 0 {
			f.claim()
			f.stored(f.last())
			f.release()
		}
	}
}
