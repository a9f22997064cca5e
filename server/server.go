package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Times and sizes that are part of the contract or protect the process.
const (
	// DefaultMaxBody bounds a request's body: twice the longest prompt, because
	// JSON may write one byte as two and more.
	DefaultMaxBody = 2 * jeantrail.MaxPromptBytes
	// DefaultMaxUpload bounds the files that one request brings.
	DefaultMaxUpload = 256 << 20
	// DefaultResumeWindow is how long a job that was started on a WebSocket
	// outlives it.
	DefaultResumeWindow = 30 * time.Second

	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	bodyTimeout       = 30 * time.Second // for the next bodyStep bytes of a body, or its rest, to arrive
	bodyStep          = 64 << 10
	writeTimeout      = 10 * time.Second // for one event to leave; then the client counts as gone
	ssePing           = 15 * time.Second
	socketPing        = 20 * time.Second
	socketSilence     = 60 * time.Second
)

// errShuttingDown is the cause of a request's context when the process stops.
var errShuttingDown = errors.New("server is shutting down")

// Options configure a Server. Road, Money, Models, Files, Workflows, Fleet, Pulls
// and Benches are required.
type Options struct {
	Road      Road
	Money     Money
	Models    Models
	Files     Files
	Workflows Workflows
	Fleet     Fleet
	Pulls     Pulls
	Benches   Benches
	Metrics   *Metrics // nil: a new one
	// Vitals tells how the store and the queue are; nil means they are well.
	Vitals func(context.Context) Vitals

	// Token is the secret that every call but /health and /ready must show; ""
	// is the keyless mode, in which the caller is the local user.
	Token string
	// AllowedHosts are names, or name:port pairs, that a Host header may carry
	// besides the loopback names.
	AllowedHosts []string
	// AllowedOrigins are browser origins (scheme://host[:port]) that may call
	// besides the server's own and the desktop shell's.
	AllowedOrigins []string
	// RemoteWorkersAllowed is shown in /health: workers may be outside this
	// machine and its private networks.
	RemoteWorkersAllowed bool

	Version      string
	InstanceID   string
	Logger       *slog.Logger     // nil: discard
	Clock        func() time.Time // nil: time.Now
	MaxBody      int64            // bytes, without the files in it; 0: DefaultMaxBody
	MaxUpload    int64            // bytes of the files that one request brings; 0: DefaultMaxUpload
	ResumeWindow time.Duration    // 0: DefaultResumeWindow
}

// Server answers the API. Make it with New.
type Server struct {
	opt     Options
	log     *slog.Logger
	metrics *Metrics
	guard   *guard
	auth    *auth
	openapi []byte
	handler http.Handler
	http    *http.Server
	started time.Time

	life      context.Context // ends when streams must end
	endLife   context.CancelCauseFunc
	sockets   tracker
	newcomers newcomers
	stopping  atomic.Bool
}

// complete says what is missing in the options, and fills in the defaults.
func (opt *Options) complete() error {
	if opt.Road == nil || opt.Money == nil || opt.Models == nil || opt.Files == nil || opt.Workflows == nil || opt.Fleet == nil || opt.Pulls == nil || opt.Benches == nil {
		return errors.New("make server: Road, Money, Models, Files, Workflows, Fleet, Pulls and Benches are required")
	}
	if opt.Metrics == nil {
		opt.Metrics = NewMetrics()
	}
	if opt.Vitals == nil {
		opt.Vitals = func(context.Context) Vitals { return Vitals{} }
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	if opt.MaxBody <= 0 {
		opt.MaxBody = DefaultMaxBody
	}
	if opt.MaxUpload <= 0 {
		opt.MaxUpload = DefaultMaxUpload
	}
	if opt.ResumeWindow <= 0 {
		opt.ResumeWindow = DefaultResumeWindow
	}
	return nil
}

// New makes a server. It fails if the options are not usable: without one that is
// required, or with a host or origin that is not well formed.
func New(opt Options) (*Server, error) {
	if err := opt.complete(); err != nil {
		return nil, err
	}
	g, err := newGuard(opt.AllowedHosts, opt.AllowedOrigins)
	if err != nil {
		return nil, err
	}
	s := &Server{
		opt: opt, log: opt.Logger, metrics: opt.Metrics, guard: g, auth: newAuth(opt.Token),
		started: opt.Clock(),
	}
	s.life, s.endLife = context.WithCancelCause(context.Background())
	if s.openapi, err = buildOpenAPI(s.routes(), opt.Version); err != nil {
		return nil, err
	}
	s.handler = s.chain(s.mux())
	s.http = &http.Server{
		ConnState: s.newcomers.track,
		Handler:   s.handler, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(opt.Logger.Handler(), slog.LevelWarn),
	}
	s.metrics.watch(&snapshot{models: opt.Models, money: opt.Money, fleet: opt.Fleet, vitals: opt.Vitals, clock: opt.Clock, version: opt.Version})
	return s, nil
}

// Handler returns the whole API with its checks.
func (s *Server) Handler() http.Handler { return s.handler }

// OpenAPI returns the OpenAPI 3.1 document as JSON.
func (s *Server) OpenAPI() []byte { return s.openapi }

// Describe returns the OpenAPI 3.1 document of a version as JSON. It needs no
// server: the routes and the wire types are all that the document is made of.
func Describe(version string) ([]byte, error) {
	return buildOpenAPI((&Server{}).routes(), version)
}

// Serve answers on ln until StopAccepting or Shutdown; it then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.http.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	}
	return nil
}

// StopAccepting makes /ready say no and refuses new jobs, while open
// connections and streams go on. It is the first step of an orderly stop: the
// Road is drained next, so that clients see how their jobs end, and Shutdown
// comes last.
func (s *Server) StopAccepting() {
	s.stopping.Store(true)
	s.http.SetKeepAlivesEnabled(false)
}

// Shutdown closes the listeners, ends every stream and socket and waits for
// their handlers; when ctx ends first it cuts the connections. It is idempotent.
func (s *Server) Shutdown(ctx context.Context) error {
	s.StopAccepting()
	s.endLife(errShuttingDown)
	s.newcomers.close()
	err := s.http.Shutdown(ctx)
	if err == nil {
		err = s.sockets.wait(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("shut down server: %w", err), s.http.Close())
	}
	return nil
}

// bound ties a request's context to the server's life, so that a stop reaches
// handlers also under a listener that the server does not own.
func (s *Server) bound(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	stop := context.AfterFunc(s.life, func() { cancel(errShuttingDown) })
	return ctx, func() { stop(); cancel(context.Canceled) }
}

// tracker counts hijacked connections, which http.Server no longer knows.
type tracker struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when closed and n is zero
}

func (t *tracker) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.n++
	return true
}

func (t *tracker) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.closed && t.n == 0 {
		close(t.idle)
	}
}

// wait refuses newcomers and returns when the last connection has left.
func (t *tracker) wait(ctx context.Context) error {
	t.mu.Lock()
	if !t.closed {
		t.closed, t.idle = true, make(chan struct{})
		if t.n == 0 {
			close(t.idle)
		}
	}
	idle := t.idle
	t.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
