package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

func full(string, []string) error {
	return jeantrail.Errorf(jeantrail.CodeStorageFull, "there is no room left")
}

func busy() error {
	e := jeantrail.Errorf(jeantrail.CodeInternal, "another process is writing")
	e.RetryAfter = time.Second
	return e
}

// withFaults serves over a store whose writes can be made to fail.
func withFaults(t *testing.T, run func(context.Context, *jeantrail.Job, gateway.Sink) error, change ...func(*gateway.Options)) (*rig, *faulty) {
	f := new(faulty)
	change = append(change, func(o *gateway.Options) {
		f.Store = o.Store
		o.Store = f
	})
	return serve(t, run, change...), f
}

func TestDiskFullFailsTheJobAndKeepsTheText(t *testing.T) {
	r, f := withFaults(t, sayThenHang("all ", "that ", "came"))
	f.set(func(op string, ids []string) error {
		if op == "append" {
			return full(op, ids)
		}
		return nil
	})
	job := r.submit(async())
	seen := readAll(t, r.follow(job.ID, 0))
	got := r.wait(job.ID)
	if got.State != jeantrail.StateFailed || got.Err.Code != jeantrail.CodeStorageFull {
		t.Errorf("got %s %v", got.State, got.Err)
	}
	if seen.text(false) != "all that came" || seen.sum != 3 {
		t.Errorf("the log has %q, %d tokens", seen.text(false), seen.sum)
	}
}

func TestDiskFullAtAdmission(t *testing.T) {
	r, f := withFaults(t, say("x"))
	f.set(full)
	if _, err := r.Submit(context.Background(), local, text("x")); jeantrail.CodeOf(err) != jeantrail.CodeStorageFull {
		t.Errorf("submit: %v", err)
	}
	f.set(nil)
	r.wait(r.submit(text("x")).ID)
}

func TestStartThatCannotBeStored(t *testing.T) {
	for name, run := range map[string]func(context.Context, *jeantrail.Job, gateway.Sink) error{
		"backend stops": sayThenHang("x"), "backend goes on": say("x"),
	} {
		t.Run(name, func(t *testing.T) {
			r, f := withFaults(t, run)
			f.set(func(op string, ids []string) error {
				if op == "start" {
					return full(op, ids)
				}
				return nil
			})
			got := r.wait(r.submit(async()).ID)
			if got.State != jeantrail.StateFailed || got.Err.Code != jeantrail.CodeStorageFull || !got.StartedAt.IsZero() {
				t.Errorf("got %s %v, started %v", got.State, got.Err, got.StartedAt)
			}
		})
	}
}

// A store that is busy for a while costs nothing but time.
func TestBusyStoreIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := withFaults(t, func(ctx context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
			begin(sink)
			for range 100 {
				sink.Token("x", false, 1)
				select {
				case <-time.After(10 * time.Millisecond):
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return nil
		})
		calls := 0
		f.set(func(op string, _ []string) error {
			if calls++; op != "admit" && op != "start" && calls%3 != 0 {
				return busy()
			}
			return nil
		})
		job := r.submit(text("x"))
		seen := readAll(t, r.follow(job.ID, 0))
		if got := r.wait(job.ID); got.State != jeantrail.StateSucceeded || seen.text(false) != strings.Repeat("x", 100) {
			t.Errorf("got %s %q", got.State, seen.text(false))
		}
	})
}

func TestOneJobsBadEventsHurtNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := withFaults(t, func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
			begin(sink)
			sink.Token("text", false, 1)
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		good, bad := r.submit(async()), r.submit(async())
		f.set(func(op string, ids []string) error {
			if op == "append" && slices.Contains(ids, bad.ID) {
				return jeantrail.Errorf(jeantrail.CodeConflict, "a gap")
			}
			return nil
		})
		if got := r.wait(good.ID); got.State != jeantrail.StateSucceeded {
			t.Errorf("the other job: %s %v", got.State, got.Err)
		}
		if got := r.wait(bad.ID); got.State != jeantrail.StateFailed || got.Err.Code != jeantrail.CodeConflict {
			t.Errorf("the job: %s %v", got.State, got.Err)
		}
	})
}

// A job whose end cannot be stored is left for the next start, and nobody is
// left waiting.
func TestSettleThatFailsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r, f := withFaults(t, func(_ context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
			begin(sink)
			sink.Token("stored", false, 2)
			<-time.After(time.Second)
			sink.Token(" and lost", false, 3)
			return nil
		}, func(o *gateway.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		f.set(func(op string, ids []string) error {
			if op == "settle" {
				return full(op, ids)
			}
			return nil
		})
		job := r.submit(text("secret prompt"))
		from := time.Now()
		reader := r.follow(job.ID, 0)
		var err error
		for err == nil {
			_, err = reader.Next(context.Background())
		}
		if jeantrail.CodeOf(err) != jeantrail.CodeStorageFull {
			t.Errorf("reader: %v", err)
		}
		if took := time.Since(from); took != time.Second+gateway.DefaultSettleTimeout {
			t.Errorf("settling was tried for %v", took-time.Second)
		}
		for op, err := range map[string]error{
			"wait":   second(r.Wait(context.Background(), job.ID)),
			"follow": second(r.Follow(context.Background(), local, job.ID, 0)),
		} {
			if e := jeantrail.AsError(err); e.Code != jeantrail.CodeStorageFull && e.Code != jeantrail.CodeInternal || e.Hint == "" {
				t.Errorf("%s: %v", op, err)
			}
		}
		if !strings.Contains(log.String(), job.ID) || strings.Contains(log.String(), "secret") || strings.Contains(log.String(), "stored and") {
			t.Errorf("log: %s", log.String())
		}
		f.set(nil)
		if n, err := r.Recover(context.Background()); n != 1 || err != nil {
			t.Errorf("recover: %d %v", n, err)
		}
		got := r.wait(job.ID)
		if got.State != jeantrail.StateInterrupted || got.Result.Text != "stored" ||
			got.Result.Cost.Amount != (scriptPrompt-scriptCached+2)*1000 {
			t.Errorf("recovered %s %+v", got.State, got.Result)
		}
	})
}

func TestRecover(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openStore(t, path)
	dead := new(faulty)
	dead.Store = s
	r := &rig{t: t, store: s, Gateway: start(t, dead, func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
		if job.Request.Text.Prompt == "queued" {
			return waitInQueue(ctx, job, sink)
		}
		begin(sink)
		sink.Token("hm", true, 2)
		sink.Token("so", false, 3)
		<-ctx.Done()
		return context.Cause(ctx)
	})}
	queued, running := r.submit(text("queued")), r.submit(text("running"))
	reader := r.follow(running.ID, 0)
	for ev := (jeantrail.Event{}); ev.Seq != 4 || ev.Partial; {
		ev = until(t, reader, jeantrail.EventToken)
	}
	// The process dies: nothing reaches the store any more.
	dead.set(func(string, []string) error { return errDead })
	r.stop()

	r.Gateway = start(t, s, say("x"))
	mine := r.submit(text("x"))
	for want := range 2 { // the second time there is nothing to do
		n, err := r.Recover(context.Background())
		if err != nil || n != 2-2*want {
			t.Errorf("recover: %d %v", n, err)
		}
	}
	if got := r.wait(mine.ID); got.State != jeantrail.StateSucceeded {
		t.Errorf("own job: %s", got.State)
	}
	got := r.wait(queued.ID)
	if got.State != jeantrail.StateInterrupted || got.Result.Cost.Amount != 0 || got.Err == nil {
		t.Errorf("queued: %s %+v", got.State, got.Result)
	}
	got = r.wait(running.ID)
	want := jeantrail.Usage{PromptTokens: scriptPrompt, CachedTokens: scriptCached, CompletionTokens: 5, ReasoningTokens: 2}
	if got.State != jeantrail.StateInterrupted || got.Result.Usage != want || got.Result.Text != "so" || got.Result.Reasoning != "hm" ||
		got.Result.Cost.Amount != (scriptPrompt-scriptCached+5)*1000 || got.Result.Engine.Device != "CPU" {
		t.Errorf("running: %s %+v", got.State, got.Result)
	}
	ev := until(t, r.follow(running.ID, 4), jeantrail.EventInterrupted)
	if ev.Seq != 5 || ev.Result == nil || ev.Result.Cost != got.Result.Cost || ev.Err == nil {
		t.Errorf("terminal event %+v", ev)
	}
	r.stop()
	r.verify()
	s.Close()
}

// What was promised to an async caller is run after a crash, once, at the price
// and hold of before; a job whose caller is gone is not.
func TestRecoverRunsWhatWasPromised(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "test.db"))
	defer s.Close()
	crash := func(g *gateway.Gateway, dead *faulty) {
		t.Helper()
		dead.set(func(string, []string) error { return errDead })
		if err := g.Stop(ended()); err != nil {
			t.Fatal(err)
		}
	}
	dead := &faulty{Store: s}
	r := &rig{t: t, store: s, Gateway: start(t, dead, waitInQueue)}
	promised, gone, twice := r.submit(async()), r.submit(text("hello")), r.submit(async())
	if _, err := r.SetPrice(context.Background(), local, jeantrail.PriceEntry{Kind: jeantrail.KindText, Price: jeantrail.Price{Model: "m", CompletionToken: 7}}); err != nil {
		t.Fatal(err)
	}
	crash(r.Gateway, dead)

	// A process that does not last leaves them where they are.
	brief := start(t, s, say("x"), func(o *gateway.Options) { o.LeaveQueued = true })
	if n, err := brief.Recover(context.Background()); n != 1 || err != nil { // only the one whose caller is gone
		t.Errorf("recover in passing: %d %v", n, err)
	}
	if err := brief.Stop(context.Background()); err != nil {
		t.Error(err)
	}

	// It comes up, lets one of them begin and crashes before the other does.
	dead = &faulty{Store: s}
	g, err := gateway.New(gateway.Options{Store: dead, Models: models{&backend{run: func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
		if job.ID == twice.ID {
			return waitInQueue(ctx, job, sink)
		}
		return say("kept")(ctx, job, sink)
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := g.Recover(context.Background()); n != 0 || err != nil {
		t.Errorf("recover: %d %v", n, err)
	}
	if stats := g.Stats(); stats.Queued != 2 || stats.Reserved != promised.Reserved+twice.Reserved {
		t.Errorf("before the start: %+v", stats)
	}
	if err := g.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.Gateway = g
	got := r.wait(promised.ID)
	if got.State != jeantrail.StateSucceeded || got.Result.Text != "kept" || got.Price != promised.Price ||
		got.Result.Cost.Amount != (scriptPrompt-scriptCached+2)*1000 || got.Reserved != promised.Reserved {
		t.Errorf("the promised job: %s %+v, price %+v", got.State, got.Result, got.Price)
	}
	var types []jeantrail.EventType
	for _, ev := range readAll(t, r.follow(promised.ID, 0)).events {
		types = append(types, ev.Type)
	}
	if want := []jeantrail.EventType{jeantrail.EventQueued, jeantrail.EventQueued, jeantrail.EventStarted, jeantrail.EventToken, jeantrail.EventDone}; !slices.Equal(types, want) {
		t.Errorf("its log: %v", types)
	}
	if got := r.wait(gone.ID); got.State != jeantrail.StateInterrupted {
		t.Errorf("the job whose caller is gone: %s", got.State)
	}
	crash(g, dead)

	r.Gateway = start(t, s, say("x"))
	if n, err := r.Recover(context.Background()); n != 1 || err != nil {
		t.Errorf("recover again: %d %v", n, err)
	}
	if got := r.wait(twice.ID); got.State != jeantrail.StateInterrupted || got.Result.Cost.Amount != 0 {
		t.Errorf("the job that saw two crashes: %s %+v", got.State, got.Result)
	}
	r.stop()
	r.verify()
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := gateway.New(gateway.Options{}); err == nil {
		t.Error("a gateway without store and models was made")
	}
	s := openStore(t, filepath.Join(t.TempDir(), "test.db"))
	defer s.Close()
	g, err := gateway.New(gateway.Options{Store: s, Models: models{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Submit(context.Background(), local, text("x")); err == nil {
		t.Error("a job was admitted before the start")
	}
	if err := g.Stop(context.Background()); err != nil {
		t.Errorf("stop before start: %v", err)
	}
	if err := g.Start(context.Background()); err == nil {
		t.Error("a stopped gateway was started")
	}
}

type recorder struct{ calls chan string }

func (r recorder) JobAdmitted(j *jeantrail.Job) { r.calls <- fmt.Sprint("admitted ", j.State) }
func (r recorder) JobStarted(j *jeantrail.Job)  { r.calls <- fmt.Sprint("started ", j.State) }
func (recorder) AlertRaised(jeantrail.Alert)    {}

func (r recorder) JobFinished(j *jeantrail.Job) {
	r.calls <- fmt.Sprint("finished ", j.State, " ", j.Result.Cost.Amount)
}

func TestObserver(t *testing.T) {
	calls := make(chan string, 10)
	r := serve(t, say("x"), func(o *gateway.Options) { o.Observer = recorder{calls} })
	r.wait(r.submit(text("x")).ID)
	r.stop()
	close(calls)
	var got []string
	for c := range calls {
		got = append(got, c)
	}
	want := []string{"admitted queued", "started running", "finished succeeded $0.009000"}
	if !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}
