package server

import (
	"context"
	"net"
	"testing"
	"time"
)

// A connection that was opened in advance does not hold up a stop.
func TestASilentConnectionDoesNotHoldUpTheStop(t *testing.T) {
	s := newTestServer(t, Options{})
	ln, err := Listen("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s.newcomers.await(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // less than net/http waits for such a connection
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// await waits until a connection is known.
func (n *newcomers) await(t *testing.T) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); {
		n.mu.Lock()
		there := len(n.waiting)
		n.mu.Unlock()
		if there > 0 {
			return
		}
	}
	t.Fatal("the connection is not seen")
}
