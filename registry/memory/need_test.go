package memory

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func TestLeastRecentlyUsedLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		a, aGoes := model(b, "a", 0)
		c, cGoes := model(b, "c", 0)
		need(t, a, 40)()
		time.Sleep(time.Minute)
		need(t, c, 40)()
		time.Sleep(time.Minute)
		need(t, a, 40)() // it is there already
		wantUsed(t, b, 80)
		time.Sleep(time.Minute)

		d, _ := model(b, "d", 0)
		release := need(t, d, 50)
		if aGoes.called() != 0 || cGoes.called() != 1 {
			t.Errorf("a was unloaded %d times and c %d times, want 0 and 1", aGoes.called(), cGoes.called())
		}
		u := wantUsed(t, b, 90)
		if len(u.Recent) != 1 || u.Limit != 100 {
			t.Fatalf("the use is %+v", u)
		}
		got, at := u.Recent[0], time.Now().UTC()
		want := jeantrail.MemoryDecision{At: at, For: "d", Need: 50, Did: "unloaded c", Reason: "50 bytes were needed, and it was idle for 2m0s"}
		if !got.At.Equal(want.At) || got.At.Location() != time.UTC || got.For != want.For || got.Need != want.Need || got.Did != want.Did || got.Reason != want.Reason {
			t.Errorf("decided %+v, want %+v", got, want)
		}
		busy := u.Holders[2]
		if !busy.Busy || busy.Name != "d" || busy.Bytes != 50 || !busy.CanUnload || busy.Pinned || busy.Source != "model" || !busy.UsedAt.Equal(at) {
			t.Errorf("the holder is %+v", busy)
		}
		release()
		release() // a second time is nothing
		if u := b.Use(); u.Holders[2].Busy || u.Used != 90 {
			t.Errorf("after release: %+v", u)
		}
	})
}

// TestNoMoreThanNeededLetsGo has a small idle holder that alone is not enough,
// and a large one that is.
func TestNoMoreThanNeededLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		_, small := model(b, "small", 10)
		time.Sleep(time.Second)
		_, large := model(b, "large", 80)
		d, _ := model(b, "d", 0)
		need(t, d, 60)()
		if small.called() != 0 || large.called() != 1 {
			t.Errorf("small was unloaded %d times and large %d times, want 0 and 1", small.called(), large.called())
		}
		wantUsed(t, b, 70)
	})
}

func TestPinnedAndBusyStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		pinned := &letsGo{}
		b.Register(Holding{Name: "builtin", Source: "model", Bytes: 30, Pinned: true, Unload: pinned.unload})
		b.Register(Holding{Name: "whisper", Source: "config", Bytes: 20})
		a, aGoes := model(b, "a", 0)
		release := need(t, a, 40)
		d, _ := model(b, "d", 0)

		_, err := d.Need(t.Context(), 51)
		e := jeantrail.AsError(err)
		if e.Code != jeantrail.CodeWorkerUnavailable || e.Hint == "" || e.Numbers["needed_bytes"] != 51 || e.Numbers["limit_bytes"] != 100 || e.Numbers["used_bytes"] != 90 {
			t.Errorf("more than can be freed: %+v", e)
		}
		if want := "builtin 30 bytes (pinned), whisper 20 bytes (cannot be unloaded), a 40 bytes (busy)"; e.Names["held_by"] != want || !strings.Contains(e.Message, want) {
			t.Errorf("held by %q in %q, want %q", e.Names["held_by"], e.Message, want)
		}
		_, err = d.Need(t.Context(), 101)
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeUnsupported || e.Numbers["needed_bytes"] != 101 || e.Hint == "" {
			t.Errorf("more than the budget: %+v", e)
		}
		if _, err = d.Need(t.Context(), 1<<63-1); jeantrail.CodeOf(err) != jeantrail.CodeUnsupported {
			t.Errorf("more than any machine has: %v", err)
		}

		served := needs(t, d, 50, func(release func()) { release() })
		if !waits(served) || aGoes.called() != 0 {
			t.Fatal("it did not wait for one that is busy")
		}
		if got := b.Use().Recent[0]; got.Did != "waited for a" || got.For != "d" {
			t.Errorf("decided %+v", got)
		}
		release()
		if waits(served) || aGoes.called() != 1 || pinned.called() != 0 {
			t.Error("it was not served when the other was idle")
		}
		wantUsed(t, b, 100)
	})
}

func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		a, _ := model(b, "a", 0)
		c, _ := model(b, "c", 0)
		d, _ := model(b, "d", 0)
		releaseA := need(t, a, 60)
		var releaseC func()
		cServed := needs(t, c, 80, func(r func()) { releaseC = r })
		dServed := needs(t, d, 10, func(r func()) { r() })
		again := needs(t, a, 60, func(r func()) { r() })
		used := make(chan struct{})
		go func() {
			defer close(used)
			if release, err := a.Use(t.Context()); err != nil {
				t.Error(err)
			} else {
				release()
			}
		}()
		if !waits(cServed) || !waits(dServed) || !waits(again) || !waits(used) {
			t.Fatal("somebody went before who came first")
		}
		releaseA()
		if waits(cServed) {
			t.Fatal("who came first was not served")
		}
		if waits(dServed) || !waits(again) {
			t.Error("d fits beside c, a does not")
		}
		releaseC()
		if waits(again) || waits(used) {
			t.Error("a was not served in the end")
		}
	})
}

// TestUnclaimedGoOn has somebody wait for one holder while another, which it does
// not need, is used all the time.
func TestUnclaimedGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		old, _ := model(b, "old", 50)
		release := need(t, old, 50)
		time.Sleep(time.Second)
		other, goes := model(b, "other", 50)
		use := need(t, other, 50)
		d, _ := model(b, "d", 0)
		served := needs(t, d, 50, func(r func()) { r() })
		for range 10 {
			next := need(t, other, 50) // would wait for ever if it were held up
			use()
			use = next
			if !waits(served) {
				t.Fatal("it was served too early")
			}
		}
		release()
		if waits(served) || goes.called() != 0 {
			t.Error("it was not served with the room of the one that it waited for")
		}
		use()
	})
}

// TestEachNeedsTheOthersRoom has two that can never be loaded together.
func TestEachNeedsTheOthersRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		a, aGoes := model(b, "a", 50)
		c, cGoes := model(b, "c", 50)
		blockA, blockC := need(t, a, 50), need(t, c, 50)
		var releaseA func()
		aServed := needs(t, a, 100, func(r func()) { releaseA = r })
		cServed := needs(t, c, 100, func(r func()) { r() })
		if !waits(aServed) || !waits(cServed) {
			t.Fatal("nobody waits")
		}
		blockA()
		blockC()
		if waits(aServed) || !waits(cServed) || aGoes.called() != 0 || cGoes.called() != 1 {
			t.Fatal("who was first in the queue did not get the other's room")
		}
		releaseA()
		if waits(cServed) || aGoes.called() != 1 {
			t.Error("the second did not get the room of the first")
		}
		wantUsed(t, b, 100)
	})
}
