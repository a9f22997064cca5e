package health

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func TestBreakerOpensAndOneProbeClosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := well()
		m := watching(t, sdxl(), p, Settings{Open: time.Hour}, Options{})
		gate := m.Gate("sdxl")
		synctest.Wait()
		p.says(jeantrail.WorkerDown, "connection refused")
		for i := range 3 {
			if err := request(gate, unavailable()); err != nil {
				t.Fatalf("request %d was refused: %v", i, err)
			}
		}
		err := request(gate, nil)
		e := jeantrail.AsError(err)
		if e.Code != jeantrail.CodeWorkerUnavailable || e.RetryAfter < time.Second || e.RetryAfter > 12*time.Second ||
			e.Names["worker"] != "sdxl" || e.Hint == "" {
			t.Errorf("the refusal is %+v", e)
		}
		if want := "the worker sdxl is left alone after 3 failures in a row: connection refused"; e.Message != want {
			t.Errorf("it says %q, want %q", e.Message, want)
		}
		synctest.Wait()
		if w := wantStatus(t, m, jeantrail.WorkerDown); w.Breaker != "open" || w.ConsecutiveFailures < 3 {
			t.Errorf("with the breaker open: %+v", w)
		}

		p.says(jeantrail.WorkerReady, "")
		if err := request(gate, nil); err == nil {
			t.Error("it was used before a probe found it")
		}
		time.Sleep(12 * time.Second) // no more than one pause
		synctest.Wait()
		if w := wantStatus(t, m, jeantrail.WorkerReady); w.Breaker != "closed" {
			t.Errorf("when it is back: %+v", w)
		}
		if err := request(gate, nil); err != nil {
			t.Errorf("it is back, and refused: %v", err)
		}
	})
}

func TestHalfOpenLetsOneThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := well()
		m := watching(t, sdxl(), p, Settings{Open: time.Minute}, Options{})
		gate := m.Gate("sdxl")
		synctest.Wait()
		p.says(jeantrail.WorkerDown, "no route to host")
		trip := func() {
			t.Helper()
			for range 3 {
				if err := request(gate, unavailable()); err != nil {
					t.Fatal(err)
				}
			}
		}
		trip()
		time.Sleep(61 * time.Second)
		if w := worker(t, m, "sdxl"); w.Breaker != "half-open" {
			t.Errorf("after a minute: %+v", w)
		}
		leave, err := gate.Enter()
		if err != nil {
			t.Fatalf("nothing is let through: %v", err)
		}
		if err := request(gate, nil); jeantrail.CodeOf(err) != jeantrail.CodeWorkerUnavailable {
			t.Errorf("a second one: %v", err)
		}
		leave(context.Canceled) // says nothing: the next one may try
		leave, err = gate.Enter()
		if err != nil {
			t.Fatalf("after one that was cancelled: %v", err)
		}
		leave(unavailable())
		if err := request(gate, nil); err == nil {
			t.Error("it is used after the try failed")
		}

		time.Sleep(61 * time.Second)
		if err := request(gate, nil); err != nil {
			t.Fatal(err)
		}
		if w := worker(t, m, "sdxl"); w.Breaker != "closed" {
			t.Errorf("after the try went well: %+v", w)
		}
	})
}

// TestOnlyTheWorkersFaultCounts ends requests in every way.
func TestOnlyTheWorkersFaultCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			err    error
			counts bool
		}{
			{unavailable(), true},
			{jeantrail.Errorf(jeantrail.CodeDeadline, "it took too long"), true},
			{fmt.Errorf("send: %w", context.DeadlineExceeded), true},
			{fmt.Errorf("send: %w", context.Canceled), false},
			{jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "gone: %w", context.Canceled), false},
			{jeantrail.Errorf(jeantrail.CodeCancelled, "cancelled"), false},
			{jeantrail.Errorf(jeantrail.CodeInvalid, "width"), false},
			{jeantrail.Errorf(jeantrail.CodeBudgetExceeded, "no money"), false},
			{jeantrail.Errorf(jeantrail.CodeQueueFull, "full"), false},
			{jeantrail.Errorf(jeantrail.CodeInternal, "a defect"), false},
			{nil, false},
		} {
			p := well()
			m := watching(t, sdxl(), p, Settings{}, Options{})
			synctest.Wait()
			probes := len(p.times())
			p.is(func(p *patient) { p.takes = time.Second }) // so that none of them closes the breaker yet
			for range 5 {
				if err := request(m.Gate("sdxl"), c.err); err != nil && !c.counts {
					t.Errorf("%v: the gate says %v", c.err, err)
				}
			}
			if open := worker(t, m, "sdxl").Breaker == "open"; open != c.counts {
				t.Errorf("%v: the breaker is open: %v, want %v", c.err, open, c.counts)
			}
			synctest.Wait()
			if asked := len(p.times()) > probes; asked != c.counts {
				t.Errorf("%v: it was probed at once: %v, want %v", c.err, asked, c.counts)
			}
			m.Stop()
		}
	})
}

func TestFailuresAskForOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := well()
		p.takes = time.Second
		m := watching(t, sdxl(), p, Settings{Trip: 1000}, Options{})
		time.Sleep(time.Second)
		synctest.Wait()
		for range 100 {
			if err := request(m.Gate("sdxl"), unavailable()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if n := len(p.times()); n > 3 { // the first, one at once, and at most one that was asked for meanwhile
			t.Errorf("%d probes", n)
		}
		if w := wantStatus(t, m, jeantrail.WorkerDegraded); w.ErrorRate < 0.9 || w.ConsecutiveFailures != 0 {
			t.Errorf("it answers probes and fails requests: %+v", w)
		}
		time.Sleep(6 * time.Minute) // the window forgets
		wantStatus(t, m, jeantrail.WorkerReady)
	})
}

// TestEarlierProbeDoesNotClose has requests fail while a probe is under way that
// began when the worker was well.
func TestEarlierProbeDoesNotClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := well()
		p.takes = time.Second
		m := watching(t, sdxl(), p, Settings{Trip: 1, Open: time.Hour}, Options{})
		time.Sleep(500 * time.Millisecond)
		p.says(jeantrail.WorkerDown, "connection refused")
		if err := request(m.Gate("sdxl"), unavailable()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(600 * time.Millisecond)
		if w := wantStatus(t, m, jeantrail.WorkerReady); w.Breaker != "open" {
			t.Errorf("after the probe that began before: %+v", w)
		}
		time.Sleep(time.Second)
		wantStatus(t, m, jeantrail.WorkerDown)
	})
}

func TestSuccessHasADownWorkerProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ill("connection refused")
		m := watching(t, sdxl(), p, Settings{}, Options{})
		synctest.Wait()
		p.says(jeantrail.WorkerReady, "")
		if err := request(m.Gate("sdxl"), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantStatus(t, m, jeantrail.WorkerReady)
	})
}

func TestGateBeforeTheWorkerIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{})
		gate := m.Gate("sdxl")
		for range 10 {
			if err := request(gate, unavailable()); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Add(sdxl(), well(), Settings{Trip: 1}); err != nil {
			t.Fatal(err)
		}
		m.Start()
		defer m.Stop()
		synctest.Wait()
		if err := request(gate, unavailable()); err != nil {
			t.Errorf("what went before counted: %v", err)
		}
		if err := request(gate, nil); err == nil {
			t.Error("the gate does not know of the worker")
		}
	})
}
