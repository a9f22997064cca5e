package memory

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func TestReservation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		_, goes := model(b, "a", 60)
		release, err := b.Reserve(t.Context(), "job", 50)
		if err != nil || goes.called() != 1 {
			t.Fatalf("reserved: %v, with %d unloaded", err, goes.called())
		}
		u := wantUsed(t, b, 50)
		if h := u.Holders[1]; h.Name != "job" || h.Source != "reservation" || !h.Busy || h.CanUnload {
			t.Errorf("the reservation is %+v", h)
		}
		second := make(chan struct{})
		go func() {
			defer close(second)
			if release, err := b.Reserve(t.Context(), "next", 60); err != nil {
				t.Error(err)
			} else {
				release()
			}
		}()
		if !waits(second) {
			t.Error("two reservations share the room")
		}
		release()
		<-second
		if u := wantUsed(t, b, 0); len(u.Holders) != 1 {
			t.Errorf("left: %+v", u.Holders)
		}
	})
}

func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		a, _ := model(b, "a", 60)
		release := need(t, a, 60)
		d, _ := model(b, "d", 0)
		served := needs(t, d, 80, func(r func()) { r() })
		queued := needs(t, a, 60, func(r func()) { time.Sleep(time.Second); r() })
		a.Gone()
		if waits(served) {
			t.Error("the room of one that is gone was not given away")
		}
		a.Resize(10) // what is in use can say so, even then
		release()
		if waits(queued) { // d was unloaded for it; it runs for a second
			time.Sleep(2 * time.Second)
		}
		<-queued
		a.Resize(10)
		if u := wantUsed(t, b, 0); len(u.Holders) != 1 {
			t.Errorf("left: %+v", u.Holders)
		}
		need(t, a, 30)() // work that was queued for it ends in any case
		if u := wantUsed(t, b, 0); len(u.Holders) != 1 {
			t.Errorf("left: %+v", u.Holders)
		}
	})
}

func TestLimitChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(0)
		a, _ := model(b, "a", 0)
		need(t, a, 1<<40)() // no limit: it is counted only
		wantUsed(t, b, 1<<40)
		a.Resize(60)
		b.SetLimit(100)
		release := need(t, a, 60)
		d, _ := model(b, "d", 0)
		served := needs(t, d, 90, func(r func()) { r() })
		if !waits(served) {
			t.Error("the new limit does not hold")
		}
		b.SetLimit(200)
		if waits(served) {
			t.Error("who waits is not served by a higher limit")
		}
		b.SetLimit(50)
		need(t, a, 60)() // it holds that already
		if _, err := a.Need(t.Context(), 61); jeantrail.CodeOf(err) != jeantrail.CodeUnsupported {
			t.Errorf("beyond a lower limit: %v", err)
		}
		b.SetLimit(-1)
		if got := b.Use().Limit; got != 0 {
			t.Errorf("the limit is %d", got)
		}
		release()
	})
}

func TestDecisionsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		a, _ := model(b, "a", 0)
		c, _ := model(b, "c", 0)
		for range maxDecisions {
			need(t, a, 100)()
			need(t, c, 100)()
		}
		recent := b.Use().Recent
		if len(recent) != maxDecisions || recent[0].Did != "unloaded a" || recent[1].Did != "unloaded c" {
			t.Errorf("%d decisions, the newest %+v", len(recent), recent[0])
		}
	})
}
