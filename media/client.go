package media

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	// Servers close what is idle for 5 s; a request on such a connection is lost.
	idleTimeout = 3 * time.Second
	maxHeader   = 64 << 10
	maxPage     = 1 << 20 // bytes of an answer to a probe
	maxJSON     = 16 << 20
	redirects   = 3
)

// client is the road to one server.
type client struct {
	worker    string
	base      *url.URL
	key       string
	basic     bool // the key is sent with HTTP Basic
	http      *http.Client
	transport *http.Transport
}

func newClient(o *Options, base *url.URL) *client {
	g := &guard{worker: o.Name, remote: o.AllowRemote, resolver: o.Resolver}
	c := &client{worker: o.Name, base: base, key: o.APIKey}
	c.basic = o.Kind == jeantrail.KindImage && strings.Contains(o.APIKey, ":")
	c.transport = &http.Transport{ // and no proxy
		DialContext:            g.dial,
		TLSHandshakeTimeout:    2 * dialTimeout,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    o.Concurrency + 1,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		// No ResponseHeaderTimeout: most servers send nothing before they are done.
	}
	c.http = &http.Client{Transport: c.transport, CheckRedirect: follow}
	return c
}

// follow lets a GET go elsewhere on the same server. Anything else stays where it
// is and is an error by its status.
func follow(req *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method == http.MethodGet && req.Method == http.MethodGet && len(via) <= redirects &&
		req.URL.Scheme == first.URL.Scheme && req.URL.Host == first.URL.Host {
		return nil
	}
	return http.ErrUseLastResponse
}

// query is one request to a server.
type query struct {
	method      string // "" is GET
	path        string // below the worker's URL, beginning with a slash
	values      url.Values
	contentType string
	body        io.Reader
	length      int64 // of the body; 0 for one that is not known, unless body is a *bytes.Reader
	accept      string
	limit       int64 // the most bytes of the answer that are read; 0 means maxJSON
}

// jsonQuery is a POST of a value.
func jsonQuery(path string, v any) (query, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return query{}, err
	}
	return query{method: http.MethodPost, path: path, contentType: "application/json", body: bytes.NewReader(body), accept: "application/json"}, nil
}

// answer is what came with a status of success. Its Read fails when more comes
// than the query allowed, and says what a broken connection means.
type answer struct {
	header http.Header
	read   func(p []byte) (int, error)
	close  func() error
}

func (a *answer) Read(p []byte) (int, error) { return a.read(p) }

// Close ends the answer, whether it was read to the end or not.
func (a *answer) Close() error { return a.close() }

// do sends a query and returns its answer, which must be closed. Every error has
// a code, or is the cause of ctx.
func (c *client) do(ctx context.Context, q query) (*answer, error) {
	resp, err := c.send(ctx, &q)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, c.refusal(resp.StatusCode, resp.Header, body)
	}
	limit := q.limit
	if limit == 0 {
		limit = maxJSON
	}
	left := limit
	return &answer{header: resp.Header, close: resp.Body.Close, read: func(p []byte) (int, error) {
		n, err := resp.Body.Read(p[:min(int64(len(p)), left+1)])
		if left -= int64(n); left < 0 {
			return 0, c.unreadable("sent more than %d bytes, which is the most that is read of such an answer", limit).WithNumber("limit", limit)
		}
		if err != nil && err != io.EOF {
			err = c.fault(ctx, err)
		}
		return n, err
	}}, nil
}

// send does what all queries need, and refuses an answer that is packed.
func (c *client) send(ctx context.Context, q *query) (*http.Response, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	target := *c.base
	target.Path, target.RawQuery = strings.TrimSuffix(c.base.Path, "/")+q.path, q.values.Encode()
	method := q.method
	if method == "" {
		method = http.MethodGet
	}
	body := q.body
	var watched *watchedBody
	if _, ours := body.(*bytes.Reader); body != nil && !ours {
		watched = &watchedBody{Reader: body}
		body = watched
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	if q.length > 0 {
		req.ContentLength = q.length
	}
	c.dress(req, q)
	resp, err := c.http.Do(req)
	if err != nil {
		if watched != nil && watched.failed() != nil && ctx.Err() == nil {
			return nil, watched.failed() // it was not the worker
		}
		return nil, c.fault(ctx, err)
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		_ = resp.Body.Close()
		return nil, c.unreadable("packed its answer (%s), which nobody asked for", plain(coding, 40))
	}
	return resp, nil
}

// dress sets the header fields.
func (c *client) dress(req *http.Request, q *query) {
	req.Header.Set("User-Agent", "jeantrail-ai")
	if q.contentType != "" {
		req.Header.Set("Content-Type", q.contentType)
	}
	if q.accept != "" {
		req.Header.Set("Accept", q.accept)
	}
	if user, password, ok := strings.Cut(c.key, ":"); ok && c.basic {
		req.SetBasicAuth(user, password)
	} else if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
}

// decode sends a query and reads its answer as JSON into v.
func (c *client) decode(ctx context.Context, q query, v any) error {
	a, err := c.do(ctx, q)
	if err != nil {
		return err
	}
	defer a.Close()
	body, err := io.ReadAll(a)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		e := c.unreadable("did not answer in JSON: %s", words(body))
		e.Err = err
		return e
	}
	return nil
}

// page is a small answer of any status.
type page struct {
	status int
	header http.Header
	body   []byte
}

// get fetches a page for a probe. A body longer than a page may be is cut.
func (c *client) get(ctx context.Context, path string) (page, error) {
	q := query{path: path}
	if at, rest, ok := strings.Cut(path, "?"); ok {
		values, err := url.ParseQuery(rest)
		if err != nil {
			return page{}, err
		}
		q.path, q.values = at, values
	}
	resp, err := c.send(ctx, &q)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return page{}, c.fault(ctx, err)
	}
	return page{resp.StatusCode, resp.Header, body}, nil
}

// ok reports whether the page is a success whose body is JSON that fits v.
func (p page) ok(v any) bool { return p.status == http.StatusOK && json.Unmarshal(p.body, v) == nil }

// watchedBody remembers an error of what is being sent. The transport reads it on
// a goroutine of its own.
type watchedBody struct {
	io.Reader

	mu  sync.Mutex
	err error
}

func (w *watchedBody) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
	}
	return n, err
}

func (w *watchedBody) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
