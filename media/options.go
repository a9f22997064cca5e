package media

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// What a worker gets that is not told otherwise.
const (
	DefaultTimeout   = 30 * time.Minute
	DefaultMaxTokens = 2048
)

// AutoDialect lets a probe find out which dialect a server speaks.
const AutoDialect = "auto"

// Options of a Worker.
type Options struct {
	Name    string
	Kind    jeantrail.Kind // image, transcribe, speak or text
	URL     string         // http or https; a path before the dialect's own is kept
	Dialect string         // "" or auto: a probe finds out
	Model   string         // asked of the worker; "": its own, or the first that it lists
	Vision  bool           // a text worker that reads images
	// APIKey is sent as a bearer token, or to an sdapi worker with HTTP Basic if
	// it has the form user:password.
	APIKey      string
	Concurrency int           // requests at once; 0 means 1
	Timeout     time.Duration // of one job at the worker, without its time in the queue; 0 means DefaultTimeout
	AllowRemote bool          // addresses outside this machine and its private networks

	Files Files // where requests' files lie; needed for transcribe, and for text with Vision
	Gate  Gate  // nil: always open
	// Room asks the memory budget for room before each job, and returns what ends
	// the use. nil: none is needed.
	Room func(ctx context.Context) (release func(), err error)
	// Spool is the folder of files that are being received; "" means the system's.
	// They have no name there as far as the system allows, and no end but their
	// job's.
	Spool string

	Width, Height, Steps int // of pictures that ask for none; 0: the worker's own
	MaxTokens            int // of answers that ask for none; 0 means DefaultMaxTokens
	NCtx                 int // tokens that prompt and answer have room for; 0: not known

	Logger   *slog.Logger // nil: nothing is logged
	Resolver Resolver     // nil: the system's
}

// Gate is where the health monitor may keep requests from a worker.
type Gate interface {
	// Enter asks to send a request. If it may be sent, leave is called once with
	// how it ended.
	Enter() (leave func(err error), err error)
}

// Sink takes what a job reports, from one goroutine at a time.
type Sink interface {
	// Started is called once, when the job has left the queue.
	Started(model string, engine jeantrail.EngineInfo, promptTokens, cachedTokens int)
	// Allowance returns how many tokens may be sampled after such a prompt.
	Allowance(promptTokens, cachedTokens int) int
	Token(text string, reasoning bool, tokens int)
	Progress(jeantrail.Progress)
	// Artifact keeps a file and fills in index, checksum and size.
	Artifact(a jeantrail.Artifact, content io.Reader) (jeantrail.Artifact, error)
	Stage(jeantrail.Stage)
}

// Files keeps files by their content.
type Files interface {
	// Put keeps what r gives. More than limit bytes are too_large.
	Put(ctx context.Context, r io.Reader, limit int64) (jeantrail.File, error)
	// Open returns a file's content, or not_found.
	Open(f jeantrail.File) (io.ReadSeekCloser, error)
}

// Resolver finds the addresses of a name. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// complete fills in the defaults and reports the first thing that is wrong.
func (o *Options) complete() (*url.URL, error) {
	if o.Name == "" {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "a worker has no name").WithHint("Give it one in config.yaml.")
	}
	if o.Concurrency < 0 || o.Timeout < 0 || o.MaxTokens < 0 || o.NCtx < 0 || o.Width < 0 || o.Height < 0 || o.Steps < 0 {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "a number of the worker %s is negative", o.Name)
	}
	o.Concurrency = max(o.Concurrency, 1)
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = DefaultMaxTokens
	}
	if o.Dialect == AutoDialect {
		o.Dialect = ""
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Gate == nil {
		o.Gate = open{}
	}
	if o.Room == nil {
		o.Room = func(context.Context) (func(), error) { return func() {}, nil }
	}
	return o.address()
}

// address reads the URL.
func (o *Options) address() (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(o.URL, "/"))
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the url of the worker %s is not an http address", o.Name).
			WithHint("Use one like http://127.0.0.1:8002, with nothing after the path.")
	}
	if u.User != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the url of the worker %s has a password in it", o.Name).
			WithHint("Put it into api_key as user:password; a url is shown to many.")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := (&guard{worker: o.Name, remote: o.AllowRemote}).check(ip); err != nil {
			err.Code = jeantrail.CodeInvalid
			return nil, err
		}
	}
	return u, nil
}

// open is the gate of a worker that nobody watches.
type open struct{}

func (open) Enter() (func(error), error) { return func(error) {}, nil }
