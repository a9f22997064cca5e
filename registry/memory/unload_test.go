package memory

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		a, goes := model(b, "a", 0)
		release := need(t, a, 80)
		d, _ := model(b, "d", 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := d.Need(ctx, 50)
		e := jeantrail.AsError(err)
		if e.Code != jeantrail.CodeDeadline || e.Numbers["needed_bytes"] != 50 || e.Names["held_by"] != "a 80 bytes (busy)" || time.Since(began) != time.Minute {
			t.Errorf("after %s: %+v", time.Since(began), e)
		}
		gone := errors.New("the client went away")
		left, leave := context.WithCancelCause(t.Context())
		leave(gone)
		if _, err := d.Need(left, 10); !errors.Is(err, gone) {
			t.Errorf("cancelled: %v", err)
		}
		if did := b.Use().Recent[0].Did; did != "gave up" {
			t.Errorf("decided %q", did)
		}
		// Nobody waits any more, so that a goes on as before.
		next := need(t, a, 80)
		release()
		next()
		wantUsed(t, b, 80)
		if goes.called() != 0 {
			t.Error("it was unloaded for somebody who gave up")
		}
	})
}

func TestUnloadThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		_, stuck := model(b, "stuck", 40)
		stuck.err = errors.New("connection refused")
		time.Sleep(time.Second)
		liar := b.Register(Holding{Name: "liar", Source: "worker", Bytes: 20})
		liar.unload = func(context.Context) error { liar.Resize(25); return nil } // it grew
		time.Sleep(time.Second)
		half := b.Register(Holding{Name: "half", Source: "model", Bytes: 35})
		half.unload = func(context.Context) error { half.Resize(5); return nil }
		d, _ := model(b, "d", 0)
		need(t, d, 30)()
		var did []string
		for _, x := range b.Use().Recent {
			did = append(did, x.Did+" ("+x.Reason+")")
		}
		want := "unloaded half (30 bytes were needed, and it was idle for 0s), could not unload stuck (connection refused)"
		if got := strings.Join(did, ", "); got != want {
			t.Errorf("decided %s, want %s", got, want)
		}
		wantUsed(t, b, 95)

		_, err := d.Need(t.Context(), 60)
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeWorkerUnavailable ||
			e.Names["held_by"] != "stuck 40 bytes (could not be unloaded), liar 25 bytes (could not be unloaded), half 5 bytes (idle)" {
			t.Errorf("nothing lets go: %+v", e)
		}
		wantUsed(t, b, 100) // d and half have what they had
	})
}

func TestUnloadThatPanics(t *testing.T) {
	b := New(100)
	h := b.Register(Holding{Name: "a", Bytes: 100, Unload: func(context.Context) error { panic("a defect") }})
	d, _ := model(b, "d", 0)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is hidden")
			}
		}()
		_, _ = d.Need(t.Context(), 50)
	}()
	need(t, h, 100)() // it is as it was, and nobody stands in the queue
	wantUsed(t, b, 100)
}

func TestUseWaitsForAnUnload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		a, goes := model(b, "a", 100)
		goes.takes = time.Second
		d, _ := model(b, "d", 0)
		served := needs(t, d, 50, func(r func()) { r() })
		if !waits(served) {
			t.Fatal("it was served before the other had let go")
		}
		wantUsed(t, b, 100)
		began := time.Now()
		release, err := a.Use(t.Context())
		if err != nil || time.Since(began) != time.Second || a.Bytes() != 0 {
			t.Errorf("used after %s with %d bytes: %v", time.Since(began), a.Bytes(), err)
		}
		release()
		<-served
	})
}

// TestUnloadGoesOnUnclaimed has the room no longer needed while it is made: the
// holder is still not to be used before it has let go.
func TestUnloadGoesOnUnclaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		a, goes := model(b, "a", 100)
		goes.takes = time.Second
		d, _ := model(b, "d", 0)
		served := needs(t, d, 50, func(r func()) { r() })
		b.SetLimit(200)
		used := needs(t, a, 0, func(r func()) { r() })
		if !waits(used) {
			t.Error("it is used while it is unloaded")
		}
		<-served
		<-used
		wantUsed(t, b, 50)
	})
}
