package hub

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	maxRedirects = 10
	agent        = "jeantrail-ai"
)

// newTransport speaks HTTP/1.1 only: over HTTP/2 the parallel parts would share
// one connection, and its buffers are large.
func newTransport(streams int) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   15 * time.Second,
		ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost:   streams + 1,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true, // ranges are of the file as it is
		Protocols:             protocols,
	}
}

// answer is a response and what was learnt on the way to it.
type answer struct {
	*http.Response
	url *url.URL    // that answered, after redirects
	hub http.Header // X-Linked-ETag and others, from the first answer that had them
}

// close gives the connection back if little is left of the body, else drops it.
func (a *answer) close() {
	_, _ = io.CopyN(io.Discard, a.Body, 4<<10) // what cannot be read is dropped with the connection
	_ = a.Body.Close()
}

// get asks for a URL and follows redirects. Each request has the token if, and
// only if, it goes to the hub. An answer of any status is returned. The error is
// final or a *transient.
func (c *Client) get(ctx context.Context, u *url.URL, header http.Header) (*answer, error) {
	hub := make(http.Header)
	for range maxRedirects + 1 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, badSource("the address %s cannot be asked for", shown(u))
		}
		req.Header = header.Clone()
		if req.Header == nil {
			req.Header = make(http.Header)
		}
		req.Header.Set("User-Agent", agent)
		req.Header.Set("Accept-Encoding", "identity")
		if c.tokenFor(u) != "" {
			req.Header.Set("Authorization", "Bearer "+c.tokenFor(u))
		}
		resp, err := c.http.Do(req)
		if err != nil {
			return nil, connectionError(ctx, u, err)
		}
		a := &answer{Response: resp, url: u, hub: hub}
		for _, name := range []string{"X-Linked-Etag", "X-Linked-Size", "X-Repo-Commit", "X-Error-Code", "X-Error-Message"} {
			if v := resp.Header.Get(name); v != "" && hub.Get(name) == "" {
				hub.Set(name, v)
			}
		}
		next, err := redirect(a)
		if err != nil || next == nil {
			if err != nil {
				a.close()
				return nil, err
			}
			return a, nil
		}
		a.close()
		u = next
	}
	return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s redirects more than %d times", u.Host, maxRedirects).
		WithHint("Check the address, and HF_ENDPOINT if it is set.")
}

// redirect returns where an answer sends us, or nil if it is none.
func redirect(a *answer) (*url.URL, error) {
	switch a.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	next, err := a.url.Parse(a.Header.Get("Location"))
	if err != nil || a.Header.Get("Location") == "" {
		return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s redirects to an address that cannot be read", a.url.Host)
	}
	if err := checkURL(next); err != nil {
		return nil, err
	}
	if a.url.Scheme == "https" && next.Scheme == "http" {
		return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s redirects from https to unprotected http at %s", a.url.Host, next.Host).
			WithHint("Anybody on the way could change the file. Use another source.")
	}
	return next, nil
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && a.Hostname() == b.Hostname() && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// tokenFor returns the token if it may be sent to u: to the hub, and not
// unprotected over a network.
func (c *Client) tokenFor(u *url.URL) string {
	if !sameOrigin(u, c.endpoint) || !c.protected() {
		return ""
	}
	return c.opts.Token
}

// protected reports whether what is sent to the hub stays secret.
func (c *Client) protected() bool {
	ip := net.ParseIP(c.endpoint.Hostname())
	return c.endpoint.Scheme == "https" || c.endpoint.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

var errStalled = errors.New("nothing came for too long")

// watch returns a context that ends when touch was not called for the stall time.
func (c *Client) watch(ctx context.Context) (watched context.Context, touch, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.opts.Stall, func() { cancel(errStalled) })
	return watched, func() { timer.Reset(c.opts.Stall) }, func() { timer.Stop(); cancel(context.Canceled) }
}
