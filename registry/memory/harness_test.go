package memory

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// letsGo is a function to unload that counts its calls.
type letsGo struct {
	mu    sync.Mutex
	calls int
	takes time.Duration
	err   error
}

func (l *letsGo) unload(ctx context.Context) error {
	select {
	case <-time.After(l.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	return l.err
}

func (l *letsGo) called() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// model registers a holder that can be unloaded.
func model(b *Budget, name string, bytes int64) (*Holder, *letsGo) {
	l := &letsGo{}
	return b.Register(Holding{Name: name, Source: "model", Bytes: bytes, Unload: l.unload}), l
}

func need(t *testing.T, h *Holder, bytes int64) (release func()) {
	t.Helper()
	release, err := h.Need(t.Context(), bytes)
	if err != nil {
		t.Fatalf("%s needs %d: %v", h.name, bytes, err)
	}
	return release
}

// needs is need in a goroutine; what it returns is closed when it is served.
func needs(t *testing.T, h *Holder, bytes int64, then func(release func())) <-chan struct{} {
	served := make(chan struct{})
	go func() {
		defer close(served)
		release, err := h.Need(t.Context(), bytes)
		if err != nil {
			t.Errorf("%s needs %d: %v", h.name, bytes, err)
			return
		}
		then(release)
	}()
	synctest.Wait()
	return served
}

func waits(served <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-served:
		return false
	default:
		return true
	}
}

func wantUsed(t *testing.T, b *Budget, want int64) jeantrail.MemoryUse {
	t.Helper()
	u := b.Use()
	if u.Used != want {
		t.Errorf("%d bytes are used, want %d: %+v", u.Used, want, u.Holders)
	}
	return u
}
