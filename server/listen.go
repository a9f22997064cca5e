package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/jeantrail/jeantrail-ai"
)

// Listen opens a TCP listener on addr (host:port; port 0 takes a free one).
// Without a token only a loopback host is accepted, because anybody who can
// reach the port could otherwise use it.
func Listen(addr, token string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "listen on %q: not a host:port address", addr).
			WithHint("Use for example 127.0.0.1:3001.")
	}
	if token == "" && !isLoopback(host) {
		return nil, jeantrail.Errorf(jeantrail.CodeForbidden,
			"listen on %q: only loopback addresses are open without a token", addr).
			WithHint("Listen on 127.0.0.1, or configure a token.")
	}
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, jeantrail.Errorf(jeantrail.CodeConflict, "listen on %s: the port is in use: %w", addr, err).
			WithHint("Another program, or another instance, has it. Stop that one or choose another port; port 0 takes a free one.")
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return ln, nil
}

// isLoopback reports whether a host without its port names this machine only.
// Names are not resolved: whoever controls the name would control the answer.
func isLoopback(host string) bool {
	if equalFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() && ip.Zone() == ""
}
