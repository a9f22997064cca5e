package hub

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// DefaultEndpoint is the hub that hf: sources mean if none is set.
const DefaultEndpoint = "https://huggingface.co"

// Options say how models are pulled. What is zero has the default.
type Options struct {
	Folder   string // the models folder; it must be given
	Endpoint string // http or https address of the hub; DefaultEndpoint
	Token    string // for the hub, "" for none; never sent to another host

	// Validate accepts or refuses the file of a model before it is installed; it
	// must be given. ValidateSplit does so for all parts of a split model, in order,
	// and ValidateProjector for a projector; without them, pulls that need them are
	// refused before anything is fetched. The files have temporary names.
	Validate, ValidateProjector func(path string) error
	ValidateSplit               func(parts []string) error

	// Wait has a pull wait while another process, or a pull from another source,
	// has a model of the same name under way. Without it that is a conflict.
	Wait bool

	Streams   int             // connections at a time; 4
	PartBytes int64           // bytes of one part; 16 MiB
	Stall     time.Duration   // after which a connection that sends nothing is given up; 30 s
	Retries   int             // tries in a row that may fail without a byte fetched; 10
	Backoff   time.Duration   // the first pause between tries; it doubles up to 30 s; 500 ms
	Transport *http.Transport // for tests; proxies of the environment and HTTP/1.1
}

// Environment returns what the variables HF_ENDPOINT and HF_TOKEN say, for
// Options.Endpoint and Options.Token.
func Environment() (endpoint, token string) {
	return strings.TrimSpace(os.Getenv("HF_ENDPOINT")), strings.TrimSpace(os.Getenv("HF_TOKEN"))
}

// Request is one pull.
type Request struct {
	Source string // as ParseSource reads it
	// Name is what the model is called here; "" is the name of its file.
	Name string
	// SHA256 is the expected hash of the model's file in hexadecimal; "" is what
	// the hub says. A split model has one for each part, so it takes none.
	SHA256 string
	// Projector is the projector to pull along: a file of the same repository, or
	// a URL if Source is one. "" is the one that the repository has, if any, and
	// "none" is none.
	Projector       string
	ProjectorSHA256 string
}

// File is a file that a pull installed or found installed.
type File struct {
	Path   string
	Bytes  int64
	SHA256 string // in hexadecimal
}

// Result is what a pull brought.
type Result struct {
	Name      string // of the model, as registry knows it
	SHA256    string // of the model, as registry.SumOf makes it of Files
	Source    string // where it came from, without passwords and signatures
	Commit    string // of the repository, "" if not known
	Files     []File // the model's file, or the parts of a split model in order; the first is the one to load
	Projector *File  // nil if there is none
	Fetched   int64  // bytes that came over the network
}

// Client pulls models. All methods may be called by any goroutine.
type Client struct {
	opts      Options
	endpoint  *url.URL
	transport *http.Transport
	http      *http.Client
	clock     func() time.Time
	free      func(folder string) (int64, error)
	reserve   func(f *os.File, size int64) error
	buffers   sync.Pool

	mu      sync.Mutex
	flights map[string]*flight
}

const (
	bufferBytes    = 512 << 10
	minPartBytes   = 64 << 10
	maxStreams     = 16
	maxTokenLength = 4096
)

// New makes a client. Options that can never work are invalid.
func New(o Options) (*Client, error) {
	o.Endpoint = cmp.Or(o.Endpoint, DefaultEndpoint)
	o.Streams = cmp.Or(o.Streams, 4)
	o.PartBytes = cmp.Or(o.PartBytes, 16<<20)
	o.Stall = cmp.Or(o.Stall, 30*time.Second)
	o.Retries = cmp.Or(o.Retries, 10)
	o.Backoff = cmp.Or(o.Backoff, 500*time.Millisecond)
	endpoint, err := url.Parse(o.Endpoint)
	if err != nil || checkURL(endpoint) != nil || endpoint.RawQuery != "" || endpoint.User != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the hub's address %q is not usable", o.Endpoint).
			WithHint("Set HF_ENDPOINT to an address such as %s, or leave it empty.", DefaultEndpoint)
	}
	for _, bad := range []struct {
		is   bool
		what string
	}{
		{o.Folder == "", "no models folder"},
		{o.Validate == nil, "no check for the files"},
		{o.Streams < 1 || o.Streams > maxStreams, "streams must be 1 to 16"},
		{o.PartBytes < minPartBytes, "part bytes must be at least 65536"},
		{o.Stall < 0 || o.Retries < 0 || o.Backoff < 0, "times and retries must not be negative"},
	} {
		if bad.is {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "options of the pull: %s", bad.what)
		}
	}
	if len(o.Token) > maxTokenLength || strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the hub's token has letters that no token has").
			WithHint("Look at HF_TOKEN: it must be the token alone, such as hf_…, without spaces or quotes.")
	}
	c := &Client{
		opts: o, endpoint: endpoint, transport: o.Transport, clock: time.Now,
		free: freeBytes, reserve: reserveBytes, flights: make(map[string]*flight),
	}
	if c.transport == nil {
		c.transport = newTransport(o.Streams)
	}
	c.http = &http.Client{
		Transport: c.transport,
		// Redirects are followed by hand, since the token must stay at home.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.buffers.New = func() any { b := make([]byte, bufferBytes); return &b }
	return c, nil
}

// Close gives idle connections back. Pulls that are under way end as their
// contexts do.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

var hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Pull brings a model into the models folder and returns its files. A model that
// is there already is not fetched again, and one that was fetched in part is
// fetched from there on. progress, if not nil, is called in the goroutine of the
// caller, never at the same time as itself.
//
// Codes: invalid (source, hash, or not a model), not_found, forbidden (gated or
// private), conflict (another file of that name, or another pull of it and no
// Options.Wait), storage_full with needed_bytes and free_bytes, rate_limited,
// unsupported, worker_unavailable (the source does not answer), cancelled.
func (c *Client) Pull(ctx context.Context, req Request, progress func(Event)) (Result, error) {
	if ctx.Err() != nil {
		return Result{}, stopped(ctx)
	}
	source, err := ParseSource(req.Source)
	if err != nil {
		return Result{}, err
	}
	source = source.ofHub(c.endpoint)
	for _, sum := range []*string{&req.SHA256, &req.ProjectorSHA256} {
		*sum = strings.ToLower(*sum)
		if *sum != "" && !hexSHA256.MatchString(*sum) {
			return Result{}, jeantrail.Errorf(jeantrail.CodeInvalid, "%q is not a SHA-256", *sum).
				WithHint("Give 64 hexadecimal digits.")
		}
	}
	if req.Name != "" {
		if _, err := newFileName(req.Name, wholeModel, 1, 1); err != nil {
			return Result{}, err
		}
	}
	req.Source = source.String()
	key := strings.Join([]string{req.Source, req.Name, req.SHA256, req.Projector, req.ProjectorSHA256}, "\x00")
	f, w, err := c.board(ctx, key, func(ctx context.Context, publish func(Event)) (Result, error) {
		return c.run(ctx, source, req, publish)
	})
	if err != nil {
		return Result{}, err
	}
	return c.follow(ctx, f, w, progress)
}
