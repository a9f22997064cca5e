package bench

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// defaultTimeout is the time limit of a request.
const defaultTimeout = 5 * time.Minute

// HTTPOptions are what HTTP measures. Zero values take the defaults.
type HTTPOptions struct {
	URL   string // http://127.0.0.1:8080; one that ends in an API's path names the API
	API   API    // auto
	Model string // the server's own choice, or its only one
	Token string // sent as Authorization: Bearer, and to no other address

	Streams []int // requests at once: 1, 4, 8 and 16
	// Requests is how many requests are measured for each number of streams,
	// rounded up to whole rounds, in which each stream sends one: five rounds.
	Requests     int
	PromptTokens int  // about: 128
	MaxTokens    int  // of each answer: 64
	SharedPrefix bool // all prompts have their first three quarters in common
	// Seed makes the prompts. Drawn if 0, and in the report. To use one twice on
	// one server measures what it has in its cache.
	Seed     uint64
	Timeout  time.Duration // of each request: 5 min
	Client   *http.Client  // one that opens a connection for each request
	Progress func(Progress)
}

func (o *HTTPOptions) check() (err error) {
	if o.Streams, err = checkStreams(o.Streams); err != nil {
		return err
	}
	if o.Requests < 0 || o.Requests > mostRequests-mostStreams || o.Timeout < 0 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "bench http: requests are between 0 and %d, and the time limit is not negative", mostRequests-mostStreams)
	}
	if o.API == "" {
		o.API = APIAuto
	}
	if !slices.Contains(APIs(), o.API) {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "bench http: there is no API %q", o.API).WithHint("It is auto or one of %s.", apiNames())
	}
	o.PromptTokens, o.MaxTokens = orDefault(o.PromptTokens, defaultPrompt), orDefault(o.MaxTokens, defaultGen)
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	for o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return checkTokens(o.PromptTokens, o.MaxTokens)
}

// rounds is how many rounds of that many streams are run.
func (o *HTTPOptions) rounds(streams int) int {
	if o.Requests == 0 {
		return defaultRounds
	}
	return (o.Requests + streams - 1) / streams
}

// newClient opens a connection for each request, as some servers close idle ones
// after seconds, and a request that meets such a one is lost. What it takes to
// connect counts. A redirect is not followed, so that a token stays where it was
// meant for.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// HTTP measures a server from outside: streams side by side, each of which sends
// one request in a round, and waits for the others when it is answered. Requests
// that fail are counted by kind.
//
// The caller adds what it knows of the machine and the model. If it is an error
// that stops the measurement, the report has what was measured until then; it is
// nil if there was nothing to begin with. The error is worker_unavailable if no
// server answers, unauthorized without the right token, unsupported if it is
// none that is known, invalid if the options are, or the model has to be named.
func HTTP(ctx context.Context, o HTTPOptions) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	m := &measurement{runner: s, track: tracker{tell: o.Progress}, report: New(KindHTTP, time.Now())}
	r := m.report
	r.Settings.URL, r.Settings.API, r.Settings.Seed = s.base.String(), s.api, o.Seed
	r.Model.Name, r.Build.Version = s.model, s.version
	p := prompts{seed: o.Seed, tokens: o.PromptTokens, shared: o.SharedPrefix}
	if err := m.unmeasured(ctx, p.of("warm up", 0)); err != nil {
		return nil, err
	}
	defer func() {
		for _, n := range s.notes() {
			r.note("%s", n)
		}
	}()
	for _, streams := range o.Streams {
		if err := m.load(ctx, p, streams, o.rounds(streams), o.MaxTokens); err != nil {
			return r, err
		}
	}
	return r, nil
}

// open finds the server and out what it is.
func (o *HTTPOptions) open(ctx context.Context) (*server, error) {
	base, api, err := address(o.URL)
	if err != nil {
		return nil, err
	}
	if o.API != APIAuto {
		api = o.API
	}
	s := &server{http: o.Client, base: base, api: api, model: o.Model, token: o.Token, timeout: o.Timeout}
	if s.http == nil {
		s.http = newClient()
	}
	if s.api == APIAuto {
		if err := s.detect(ctx); err != nil {
			return nil, err
		}
	}
	return s, s.about(ctx)
}
