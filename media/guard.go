package media

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// dialTimeout is how long one address may take to accept a connection.
const dialTimeout = 5 * time.Second

// guard opens connections, to private addresses only unless remote ones are
// allowed. It looks at what a name stands for on every dial: a name that was
// private may be public the next time.
type guard struct {
	worker   string
	remote   bool
	resolver Resolver
}

// check refuses an address that a worker may not have. Link-local addresses are
// where clouds keep their secrets, and no worker's.
func (g *guard) check(ip netip.Addr) *jeantrail.Error {
	ip = ip.Unmap()
	switch {
	case ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s is at %s, which is no server's address", g.worker, ip).
			WithHint("Correct its url.")
	case g.remote, ip.IsLoopback(), ip.IsPrivate():
		return nil
	}
	return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s is at %s, which is neither on this machine nor in a private network", g.worker, ip).
		WithHint("Use an address such as 127.0.0.1 or 192.168.1.20, or set allow_remote_workers: true.")
}

// dial connects to the first address of the host that is allowed and accepts.
func (g *guard) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, err := g.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var failed error = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	dialer := &net.Dialer{Timeout: dialTimeout, Control: g.control}
	for _, ip := range addresses {
		if refusal := g.check(ip); refusal != nil {
			failed = refusal
			continue
		}
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(ip.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		failed = err
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

func (g *guard) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	if g.resolver != nil {
		return g.resolver.LookupNetIP(ctx, "ip", host)
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// control looks once more, at the address that the system is about to use.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read address of the worker: %w", err)
	}
	if refusal := g.check(target.Addr()); refusal != nil {
		return refusal
	}
	return nil
}
