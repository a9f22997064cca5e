package memory

import (
	"testing"
	"testing/synctest"

	"github.com/jeantrail/jeantrail-ai"
)

// A pin changes who makes room from then on, also for those who wait already.
func TestPin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		a, goes := model(b, "a", 60)
		a.Pin(true)
		c, _ := model(b, "c", 0)
		if _, err := c.Need(t.Context(), 60); jeantrail.CodeOf(err) != jeantrail.CodeWorkerUnavailable || goes.called() != 0 {
			t.Errorf("beside a pinned one: %v, %d unloaded", err, goes.called())
		}
		a.Pin(false)
		need(t, c, 60)()
		if goes.called() != 1 {
			t.Errorf("%d unloaded", goes.called())
		}
		release := need(t, c, 60)
		refused := make(chan error, 1)
		go func() {
			_, err := a.Need(t.Context(), 60)
			refused <- err
		}()
		synctest.Wait()
		c.Pin(true)
		if err := <-refused; jeantrail.CodeOf(err) != jeantrail.CodeWorkerUnavailable {
			t.Errorf("who waits for one that is then pinned: %v", err)
		}
		release()
		if u := b.Use(); !u.Holders[1].Pinned || u.Holders[0].Pinned {
			t.Errorf("the holders are %+v", u.Holders)
		}
	})
}
