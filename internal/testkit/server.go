package testkit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Double is a server that this package can put on a port.
type Double interface {
	// Handler returns the server as it is right after its start. It is called
	// anew each time that the server comes up.
	Handler(*Server) http.Handler
	// Work returns the paths at which the server computes. MaxConcurrent and
	// AwaitWorking look at these only, not at probes.
	Work() []string
}

// How long a test waits for something that must happen.
const patience = 90 * time.Second

// A client that leaves is noticed a moment later. Within this time, what it
// left behind does not count as concurrent with the request that follows.
const noticing = 100 * time.Millisecond

// Server is a double on a loopback port. All methods may be called by any
// goroutine, except those that wait or fail: they belong to the test's own.
type Server struct {
	URL string // http://127.0.0.1:port, the same after Down and Up

	t       testing.TB
	double  Double
	address string
	idle    time.Duration
	delay   time.Duration
	gate    <-chan struct{}
	absent  bool // down from the beginning

	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever what follows changes
	calls   []*Request
	notes   []string
	faults  map[string]*Fault
	run     *run // nil while down
}

// A run is the life of the server from Up to Down.
type run struct {
	server   *http.Server
	handler  http.Handler
	stop     chan struct{} // closed by Down
	handlers sync.WaitGroup
}

// Option changes how a double is served.
type Option func(*Server)

// Idle sets after what time an unused connection is closed. It is 5 s unless
// told, as with the servers built on httplib and on uvicorn.
func Idle(d time.Duration) Option { return func(s *Server) { s.idle = d } }

// Delay makes every request at a Work path take that long.
func Delay(d time.Duration) Option { return func(s *Server) { s.delay = d } }

// Gate holds work back: each step of it begins when something can be received
// from the channel. A closed channel holds nothing back. A picture by Forge is
// as many steps as were asked for and a chat answer one for each token; any
// other work is one step.
func Gate(c <-chan struct{}) Option { return func(s *Server) { s.gate = c } }

// Stopped leaves the server down: connections are refused until Up.
func Stopped() Option { return func(s *Server) { s.absent = true } }

// Serve puts the double on a free loopback port until the test ends.
func Serve(t testing.TB, d Double, options ...Option) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen for a double: %v", err)
	}
	s := &Server{
		URL: "http://" + listener.Addr().String(), address: listener.Addr().String(),
		t: t, double: d, idle: 5 * time.Second,
		changed: make(chan struct{}), faults: make(map[string]*Fault),
	}
	for _, option := range options {
		option(s)
	}
	t.Cleanup(s.Down)
	if s.absent {
		_ = listener.Close()
		return s
	}
	s.start(listener)
	return s
}

// Up starts a server that is down, at the address that it had. It has
// forgotten what a restarted process forgets; what was recorded stays.
func (s *Server) Up() {
	s.t.Helper()
	s.mu.Lock()
	up := s.run != nil
	s.mu.Unlock()
	if up {
		return
	}
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatalf("start the double again at %s: %v", s.address, err)
	}
	s.start(listener)
}

func (s *Server) start(listener net.Listener) {
	now := &run{stop: make(chan struct{}), server: &http.Server{IdleTimeout: s.idle}}
	now.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(now, w, r) })
	now.server.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, servedKey{}, new(atomic.Int64))
	}
	s.mu.Lock()
	s.run = now
	s.mu.Unlock()
	now.handler = s.double.Handler(s)
	now.handlers.Go(func() { _ = now.server.Serve(listener) })
}

// Down ends the server as a crash does: connections break, later ones are
// refused. It returns when all its goroutines have ended.
func (s *Server) Down() {
	s.mu.Lock()
	now := s.run
	s.run = nil
	s.mu.Unlock()
	if now == nil {
		return
	}
	_ = now.server.Close() // first, so that work which ends now reaches nobody
	close(now.stop)
	now.handlers.Wait()
}

// servedKey finds the number of requests that a connection has carried.
type servedKey struct{}

// shortLived is a double that closes connections after so many requests.
type shortLived interface{ perConnection() int64 }

func (s *Server) serve(now *run, w http.ResponseWriter, r *http.Request) {
	if !s.enter(now) {
		panic(http.ErrAbortHandler) // not a 200 without a body
	}
	defer now.handlers.Done()
	if d, ok := s.double.(shortLived); ok {
		if count, ok := r.Context().Value(servedKey{}).(*atomic.Int64); ok && count.Add(1) >= d.perConnection() {
			w.Header().Set("Connection", "close")
		}
	}
	// net/http tells of a client that left only once its body has been read.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	call := s.record(r, body)
	unwatch := context.AfterFunc(r.Context(), func() { s.leave(now, call) })
	defer func() {
		// A handler may wake before the watch does and take it away unused.
		if !unwatch() || r.Context().Err() != nil {
			s.leave(now, call)
		}
		s.update(func() { call.end(time.Now()) })
	}()
	watched := &watched{ResponseWriter: w, done: sync.OnceFunc(func() {
		s.update(func() { call.worked = time.Now() })
	})}
	if f := s.faultAt(r.URL.Path); f != nil {
		f(watched, r, now.handler)
		return
	}
	now.handler.ServeHTTP(watched, r)
}

// watched notes when a request has been worked for: a client that knows the
// length of an answer may come with its next request before the handler of
// this one has returned.
type watched struct {
	http.ResponseWriter
	done func()
}

func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watched) WriteHeader(status int) {
	w.begin()
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}

func (w *watched) begin() {
	if w.Header().Get("Content-Length") != "" {
		w.done()
	}
}

// worked tells that what is still to be written ends the answer for a client.
func worked(w http.ResponseWriter) {
	if w, ok := w.(*watched); ok {
		w.done()
	}
}

// enter counts a handler in, unless Down already waits for the last one.
func (s *Server) enter(now *run) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != now {
		return false
	}
	now.handlers.Add(1)
	return true
}

func (s *Server) record(r *http.Request, body []byte) *Request {
	call := &Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header.Clone(), Body: body,
		began: time.Now(), work: slices.Contains(s.double.Work(), r.URL.Path),
	}
	s.update(func() { s.calls = append(s.calls, call) })
	return call
}

// leave notes that the client went away, unless it was the server that did.
func (s *Server) leave(now *run, call *Request) {
	s.update(func() {
		if s.run == now && call.ended.IsZero() {
			call.Cancelled = true
			call.end(time.Now())
		}
	})
}

// update changes what is recorded and wakes those who wait for a change.
func (s *Server) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Requests returns what the server was asked so far, in order of arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Request, 0, len(s.calls))
	for _, c := range s.calls {
		all = append(all, *c)
	}
	return all
}

// RequestsTo returns what the server was asked at that path.
func (s *Server) RequestsTo(path string) []Request {
	return slices.DeleteFunc(s.Requests(), func(r Request) bool { return r.Path != path })
}

// MaxConcurrent returns the most requests at Work paths that were there at
// once, whether computed or waiting for another to end.
func (s *Server) MaxConcurrent() int {
	type edge struct {
		at    time.Time
		count int
	}
	var edges []edge
	for _, r := range s.Requests() {
		if !r.work {
			continue
		}
		edges = append(edges, edge{r.began, 1})
		switch end := r.done(); {
		case end.IsZero():
		case r.Cancelled && end.Add(-noticing).Before(r.began):
			edges = append(edges, edge{r.began, -1})
		case r.Cancelled:
			edges = append(edges, edge{end.Add(-noticing), -1})
		default:
			edges = append(edges, edge{end, -1})
		}
	}
	slices.SortStableFunc(edges, func(a, b edge) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.count - b.count
	})
	most, here := 0, 0
	for _, e := range edges {
		here += e.count
		most = max(most, here)
	}
	return most
}

// Cancelled returns how many requests were left by their client before the
// answer was complete.
func (s *Server) Cancelled() int {
	count := 0
	for _, r := range s.Requests() {
		if r.Cancelled {
			count++
		}
	}
	return count
}

// Note writes down something that the server did and a test may ask for.
func (s *Server) Note(format string, args ...any) {
	s.update(func() { s.notes = append(s.notes, fmt.Sprintf(format, args...)) })
}

// Notes returns what the server did that it should not have been made to do:
// parameters executed from a prompt, files opened, models changed.
func (s *Server) Notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.notes)
}

// AwaitCancelled waits until so many clients have left, and fails the test
// when they do not.
func (s *Server) AwaitCancelled(n int) {
	s.t.Helper()
	s.await(fmt.Sprintf("%d cancelled requests", n), func() bool { return s.Cancelled() >= n })
}

// AwaitRequests waits until so many requests have come to that path.
func (s *Server) AwaitRequests(path string, n int) {
	s.t.Helper()
	s.await(fmt.Sprintf("%d requests to %s", n, path), func() bool { return len(s.RequestsTo(path)) >= n })
}

// AwaitWorking waits until so many requests at Work paths are there at once.
func (s *Server) AwaitWorking(n int) {
	s.t.Helper()
	s.await(fmt.Sprintf("%d requests at work", n), func() bool {
		here := 0
		for _, r := range s.Requests() {
			if r.work && r.done().IsZero() {
				here++
			}
		}
		return here >= n
	})
}

func (s *Server) await(what string, done func() bool) {
	s.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if done() {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			s.t.Fatalf("the double saw no %s within %v", what, patience)
		}
	}
}
