package server

import (
	"net"
	"net/http"
	"sync"
)

// newcomers are connections on which nothing has come yet: browsers open them in
// advance. http.Server.Shutdown waits five seconds for each to say something;
// nobody is served by that.
type newcomers struct {
	mu      sync.Mutex
	waiting map[net.Conn]bool
	closed  bool
}

// track is a http.Server's ConnState.
func (n *newcomers) track(c net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(n.waiting, c)
	case n.closed:
		_ = c.Close()
	default:
		if n.waiting == nil {
			n.waiting = make(map[net.Conn]bool)
		}
		n.waiting[c] = true
	}
}

// close ends those that are there, and any that still comes.
func (n *newcomers) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for c := range n.waiting {
		_ = c.Close()
	}
	clear(n.waiting)
}
