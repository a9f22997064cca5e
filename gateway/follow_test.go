package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

// Text is seen before it is stored, and the stored event adds only what is
// missing.
func TestPiecesComeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		more := make(chan string)
		r := serve(t, func(_ context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
			begin(sink)
			for text := range more {
				sink.Token(text, strings.HasPrefix(text, "?"), 1)
			}
			return nil
		})
		job := r.submit(text("x"))
		early := r.follow(job.ID, 0)
		until(t, early, jeantrail.EventStarted)
		from := time.Now()
		next := func(reader *gateway.Reader) jeantrail.Event {
			t.Helper()
			ev, err := reader.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return ev
		}
		expect := func(ev jeantrail.Event, seq int64, partial bool, text string, tokens int) {
			t.Helper()
			if ev.Seq != seq || ev.Partial != partial || ev.Text != text || ev.Tokens != tokens {
				t.Errorf("got seq %d partial %v %q %d tokens, want %d %v %q %d",
					ev.Seq, ev.Partial, ev.Text, ev.Tokens, seq, partial, text, tokens)
			}
		}
		more <- "one"
		expect(next(early), 3, true, "one", 1)
		more <- " two"
		expect(next(early), 3, true, " two", 1)
		if waited := time.Since(from); waited != 0 {
			t.Errorf("the pieces took %v", waited)
		}
		late := r.follow(job.ID, 2)
		expect(next(late), 3, true, "one two", 2)
		more <- "" // counts, but shows nothing
		more <- "?hm"
		// A change of kind closes the event; its pieces need not wait for it.
		expect(next(early), 4, true, "?hm", 1)
		expect(next(early), 3, false, "", 1)
		expect(next(early), 4, false, "", 0)
		if waited := time.Since(from); waited != gateway.DefaultFlushEvery {
			t.Errorf("the events were stored after %v", waited)
		}
		expect(next(late), 3, false, "", 1)
		expect(next(late), 4, false, "?hm", 1)
		stored := r.follow(job.ID, 0)
		until(t, stored, jeantrail.EventStarted)
		expect(next(stored), 3, false, "one two", 3)
		expect(next(stored), 4, false, "?hm", 1)
		close(more)
		for _, reader := range []*gateway.Reader{early, late, stored} {
			if ev := next(reader); ev.Type != jeantrail.EventDone || ev.Seq != 5 {
				t.Errorf("then %d %s", ev.Seq, ev.Type)
			}
			if _, err := reader.Next(context.Background()); err != io.EOF {
				t.Errorf("then %v", err)
			}
		}
	})
}

func TestLongTextIsStoredWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, func(ctx context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
			begin(sink)
			sink.Token(strings.Repeat("a", 60), false, 1)
			sink.Token(strings.Repeat("b", 60), false, 1)
			sink.Token("c", false, 1)
			<-ctx.Done()
			return context.Cause(ctx)
		}, func(o *gateway.Options) { o.FlushBytes, o.FlushEvery = 100, time.Hour })
		job := r.submit(text("x"))
		from := time.Now()
		reader := r.follow(job.ID, 0)
		until(t, reader, jeantrail.EventStarted)
		for {
			ev, err := reader.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if !ev.Partial {
				break
			}
		}
		if waited := time.Since(from); waited != 0 {
			t.Errorf("stored after %v", waited)
		}
	})
}

func TestProgressKeepsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, func(_ context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
			for i := range 100 { // while the model is loading: before the start
				sink.Progress(jeantrail.Progress{Stage: "load", Done: int64(i), Total: 100})
			}
			<-time.After(time.Second)
			sink.Progress(jeantrail.Progress{Stage: "load", Done: 100, Total: 100})
			begin(sink)
			sink.Progress(jeantrail.Progress{Stage: "prefill", Done: 1, Total: 2})
			sink.Token("x", false, 1)
			return nil
		})
		seen := readAll(t, r.follow(r.submit(text("x")).ID, 0))
		var got []string
		for _, ev := range seen.events {
			got = append(got, fmt.Sprintf("%s %s %d", ev.Type, ev.Progress.Stage, ev.Progress.Done))
		}
		want := "queued  0,progress load 99,progress load 100,started  0,progress prefill 1,token  0,done  0"
		if strings.Join(got, ",") != want {
			t.Errorf("got %q, want %q", strings.Join(got, ","), want)
		}
	})
}

// A reader that comes back after any event gets the rest, the same from a live
// job, a finished one, and another process.
func TestFollowAfterAnyEvent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openStore(t, path)
	const pieces = 3*64 + 7 // more than a feed keeps
	flushed := make(chan struct{})
	r := &rig{t: t, store: s, Gateway: start(t, s, func(_ context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
		begin(sink)
		for i := range pieces {
			sink.Token(fmt.Sprintf("<%d>", i), i%2 == 1, 1)
		}
		<-flushed
		return nil
	})}
	job := r.submit(text("x"))
	live := r.follow(job.ID, 0)
	for ev := (jeantrail.Event{}); ev.Seq < pieces+2 || ev.Partial; {
		ev = until(t, live, jeantrail.EventToken)
	}
	compare := func(where string, after int64, v *view, want []jeantrail.Event) {
		t.Helper()
		if len(v.events) != len(want) {
			t.Fatalf("%s after %d: %d events, want %d", where, after, len(v.events), len(want))
		}
		for i, ev := range v.events {
			w := want[i]
			if ev.Seq != w.Seq || ev.Type != w.Type || ev.Text != w.Text || ev.Tokens != w.Tokens || !ev.At.Equal(w.At) {
				t.Fatalf("%s after %d: %+v, want %+v", where, after, ev, w)
			}
		}
	}
	const last = pieces + 3
	slow := r.follow(job.ID, 0)
	waiting := make(map[int64]*gateway.Reader)
	for after := int64(0); after < last; after += 5 {
		waiting[after] = r.follow(job.ID, after)
		if after+1 < last {
			if _, err := waiting[after].Next(context.Background()); err != nil {
				t.Fatal(err)
			}
			waiting[after] = r.follow(job.ID, after)
		}
	}
	close(flushed)
	r.wait(job.ID)
	all := readAll(t, slow).events
	if len(all) != last {
		t.Fatalf("%d events, want %d", len(all), last)
	}
	check := func(where string, follow func(after int64) *gateway.Reader) {
		t.Helper()
		for after := int64(0); after <= last; after += 5 {
			v := newView()
			v.events = append(v.events, all[:after]...)
			reader := follow(after)
			for {
				ev, err := reader.Next(context.Background())
				if err == io.EOF {
					break
				}
				if err == nil {
					err = v.add(ev)
				}
				if err != nil {
					t.Fatalf("%s after %d: %v", where, after, err)
				}
			}
			compare(where, after, v, all)
		}
		if _, err := follow(last).Next(context.Background()); err != io.EOF {
			t.Errorf("%s after the end: %v", where, err)
		}
	}
	check("live", func(after int64) *gateway.Reader {
		if reader, ok := waiting[after]; ok {
			return reader
		}
		return r.follow(job.ID, after)
	})
	check("finished", func(after int64) *gateway.Reader { return r.follow(job.ID, after) })
	r.stop()
	s.Close()
	s = openStore(t, path)
	defer s.Close()
	r = &rig{t: t, store: s, Gateway: start(t, s, say())}
	check("restarted", func(after int64) *gateway.Reader { return r.follow(job.ID, after) })
	for _, after := range []int64{-1, last + 1} {
		if _, err := r.Follow(context.Background(), local, job.ID, after); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("after %d: %v", after, err)
		}
	}
	r.stop()
	r.verify()
}

func TestReaderStopsWhenTold(t *testing.T) {
	r := serve(t, sayThenHang("x"))
	job := r.submit(text("x"))
	reader := r.follow(job.ID, 0)
	until(t, reader, jeantrail.EventStarted)
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error)
	go func() {
		for {
			if _, err := reader.Next(ctx); err != nil {
				ended <- err
				return
			}
		}
	}()
	cancel(gone)
	if err := <-ended; !errors.Is(err, gone) {
		t.Errorf("next: %v", err)
	}
	// The position is still good.
	if err := r.Cancel(context.Background(), local, job.ID); err != nil {
		t.Fatal(err)
	}
	until(t, reader, jeantrail.EventCancelled)
	reader.Close()
	if _, err := reader.Next(context.Background()); err != io.EOF {
		t.Errorf("after close: %v", err)
	}
}

// A reader that never reads, and one that reads one event a minute, keep
// nobody: neither the job nor other readers.
func TestSlowReaderHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pieces = 1000
		r := serve(t, func(_ context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
			begin(sink)
			for i := range pieces {
				sink.Token("x", i%2 == 0, 1)
				<-time.After(10 * time.Millisecond)
			}
			return nil
		})
		job := r.submit(text("x"))
		from := time.Now()
		r.follow(job.ID, 0) // never read
		slow := r.follow(job.ID, 0)
		if _, err := slow.Next(context.Background()); err != nil {
			t.Fatal(err)
		}
		fast := readAll(t, r.follow(job.ID, 0))
		if took := time.Since(from); took != pieces*10*time.Millisecond {
			t.Errorf("the job took %v", took)
		}
		if fast.sum != pieces || len(fast.events) != pieces+3 {
			t.Errorf("the fast reader saw %d tokens in %d events", fast.sum, len(fast.events))
		}
		for count := 2; ; count++ {
			<-time.After(time.Minute)
			_, err := slow.Next(context.Background())
			if err == io.EOF {
				break
			}
			if err != nil || count > pieces+3 {
				t.Fatalf("slow reader's event %d: %v", count, err)
			}
		}
	})
}
