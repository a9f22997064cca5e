package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/testkit"
)

const txt2imgPath = "/sdapi/v1/txt2img"

func TestFaultsOfAnImageWorker(t *testing.T) {
	other := testkit.Serve(t, testkit.SDServer{})
	tests := []struct {
		name  string
		fault testkit.Fault
		code  jeantrail.Code // "": the job succeeds all the same
		words string
	}{
		{"starting", testkit.Starting(1), jeantrail.CodeModelLoading, "Loading model"},
		{"500 with HTML", testkit.HTML500(), jeantrail.CodeWorkerUnavailable, "500 Internal Server Error"},
		{"wrong content type", testkit.WrongContentType("text/plain"), "", ""},
		{"a page instead of JSON", testkit.Answer(200, "text/html", "<!doctype html><p>hello"), jeantrail.CodeWorkerUnavailable, "text/html"},
		{"empty", testkit.EmptyOK(), jeantrail.CodeWorkerUnavailable, "broke off"},
		{"truncated", testkit.Truncated(600), jeantrail.CodeWorkerUnavailable, "broke the connection"},
		{"cut", testkit.Cut(600), jeantrail.CodeWorkerUnavailable, "broke off"},
		{"error after headers", testkit.ErrorAfterHeaders(), jeantrail.CodeWorkerUnavailable, "broke the connection"},
		{"reset", testkit.Reset(), jeantrail.CodeWorkerUnavailable, "broke the connection"},
		{"reset after headers", testkit.ResetAfterHeaders(), jeantrail.CodeWorkerUnavailable, "broke the connection"},
		{"gzip bomb", testkit.GzipBomb(1 << 30), jeantrail.CodeWorkerUnavailable, "gzip"},
		{"redirect to another host", testkit.RedirectTo(other.URL + txt2imgPath), jeantrail.CodeWorkerUnavailable, "elsewhere"},
		{"not a picture", testkit.Answer(200, "application/json", `{"images":["aGVsbG8="],"info":""}`), jeantrail.CodeWorkerUnavailable, "no whole pictures"},
		{"not base64", testkit.Answer(200, "application/json", `{"images":["a$b="],"info":""}`), jeantrail.CodeWorkerUnavailable, "base64"},
		{"null", testkit.Answer(200, "application/json", `null`), jeantrail.CodeWorkerUnavailable, "JSON"},
		{"no pictures", testkit.Answer(200, "application/json", `{"images":[]}`), jeantrail.CodeWorkerUnavailable, "made no picture"},
		{"validation", testkit.Answer(422, "application/json", `{"detail":[{"loc":["body","steps"],"msg":"too many","type":"x"}]}`),
			jeantrail.CodeInvalid, "steps: too many"},
		{"out of memory", testkit.Answer(500, "application/json", `{"error":"OutOfMemoryError","detail":"","message":"CUDA out of memory."}`),
			jeantrail.CodeWorkerUnavailable, "OutOfMemoryError: CUDA out of memory."},
		{"wants a key", testkit.Answer(401, "application/json", `{"detail":"no"}`), jeantrail.CodeWorkerUnavailable, "does not let us in"},
		{"too many", testkit.Answer(429, "application/json", `{"error":"job queue is full"}`), jeantrail.CodeQueueFull, "job queue is full"},
		{"no such path", testkit.Answer(404, "text/plain", "Not Found"), jeantrail.CodeUnsupported, "Not Found"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := testkit.Serve(t, testkit.SDServer{})
			srv.Fault(txt2imgPath, tt.fault)
			g := new(gate)
			w := newWorker(t, Options{Kind: jeantrail.KindImage, URL: srv.URL, Gate: g})
			s := new(record)
			res, err := run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64}), s)
			if tt.code == "" {
				if err != nil || res.Usage.Images != 1 {
					t.Errorf("result is %+v, %v, want a picture", res, err)
				}
			} else {
				e := wantCode(t, err, tt.code)
				if !strings.Contains(e.Message, tt.words) || len(e.Message) > 700 {
					t.Errorf("message is %q, want one with %q", e.Message, tt.words)
				}
				if res.FinishReason != jeantrail.FinishError || res.Usage.Images != 0 || len(s.artifacts) != 0 {
					t.Errorf("result is %+v, want an error and nothing made", res)
				}
			}
			if len(g.left) != 1 || !errors.Is(g.left[0], err) {
				t.Errorf("the gate was left with %v, want %v", g.left, err)
			}
			wantIdle(t, w)
			wantNoSpool(t, w)
		})
	}
	if n := len(other.Requests()); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

func wantNoSpool(t *testing.T, w *Worker) {
	t.Helper()
	left, err := os.ReadDir(w.opts.Spool)
	if err != nil || len(left) != 0 {
		t.Errorf("%d files are left in the spool, %v", len(left), err)
	}
}

func TestWorkerThatIsDown(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{}, testkit.Stopped())
	for _, dialect := range []string{"auto", "sdapi"} {
		w := imageWorker(t, srv, dialect)
		_, err := run(t, w, imageOf(jeantrail.ImageRequest{}), new(record))
		e := wantCode(t, err, jeantrail.CodeWorkerUnavailable)
		if !strings.Contains(e.Message, "not running") || !strings.Contains(e.Message, srv.URL) || e.RetryAfter <= 0 || !strings.Contains(e.Hint, "worker up") {
			t.Errorf("error is %+v", e)
		}
		if p := w.Probe(t.Context()); p.Status != jeantrail.WorkerDown || !strings.Contains(p.Problem, "not running") {
			t.Errorf("probe is %+v, want down", p)
		}
		wantIdle(t, w)
	}
	srv.Up()
	w := imageWorker(t, srv, "auto")
	if _, err := run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64}), new(record)); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

func TestHangingWorkerMeetsTheDeadline(t *testing.T) {
	for name, fault := range map[string]testkit.Fault{"hang": testkit.Hang(), "slow drip": testkit.SlowDrip(20 * time.Millisecond)} {
		t.Run(name, func(t *testing.T) {
			srv := testkit.Serve(t, testkit.SDServer{})
			srv.Fault(txt2imgPath, fault)
			w := newWorker(t, Options{Kind: jeantrail.KindImage, URL: srv.URL, Timeout: 150 * time.Millisecond})
			_, err := run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64}), new(record))
			wantCode(t, err, jeantrail.CodeDeadline)
			srv.AwaitCancelled(1)
			wantIdle(t, w)
			wantNoSpool(t, w)
		})
	}
}

func TestCancelFreesTheTurn(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{})
	srv.Fault(txt2imgPath, testkit.Hang().Times(1))
	w := imageWorker(t, srv, "sdapi")
	ctx, cancel := context.WithCancel(t.Context())
	k := prepared(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64}))
	done := make(chan error)
	go func() {
		_, err := k.Run(ctx, &jeantrail.Job{}, new(record))
		done <- err
	}()
	srv.AwaitWorking(1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want cancelled", err)
	}
	if _, err := run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64}), new(record)); err != nil {
		t.Errorf("the next job: %v", err)
	}
	wantIdle(t, w)
}

func TestWorkerSeesAtMostItsLimit(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{}, testkit.Delay(time.Millisecond))
	w := newWorker(t, Options{Kind: jeantrail.KindImage, URL: srv.URL, Dialect: "sdapi", Concurrency: 2})
	const jobs = 30
	errs := make(chan error, jobs)
	for range jobs {
		k := prepared(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64}))
		go func() {
			_, err := k.Run(t.Context(), &jeantrail.Job{}, new(record))
			errs <- err
		}()
	}
	for range jobs {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := srv.MaxConcurrent(); n != 2 {
		t.Errorf("the worker saw %d requests at once, want 2", n)
	}
	wantIdle(t, w)
}

// book answers names with addresses in turn.
type book struct {
	answers []string
	asked   atomic.Int64
}

func (b *book) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	n := int(b.asked.Add(1)) - 1
	return []netip.Addr{netip.MustParseAddr(b.answers[min(n, len(b.answers)-1)])}, nil
}

func TestNameThatMovesToAPublicAddress(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{})
	names := &book{answers: []string{"127.0.0.1", "203.0.113.7"}}
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "http://"), ":")
	w := newWorker(t, Options{Kind: jeantrail.KindImage, URL: "http://worker.example:" + port, Resolver: names})
	req := imageOf(jeantrail.ImageRequest{Width: 64, Height: 64})
	if _, err := run(t, w, req, new(record)); err != nil {
		t.Fatal(err)
	}
	w.Close() // the connection that is open was made to an address that was allowed
	_, err := run(t, w, req, new(record))
	e := wantCode(t, err, jeantrail.CodeWorkerUnavailable)
	if !strings.Contains(e.Message, "203.0.113.7") || !strings.Contains(e.Hint, "allow_remote_workers") {
		t.Errorf("error is %q, %q", e.Message, e.Hint)
	}
	if p := w.Probe(t.Context()); p.Status != jeantrail.WorkerDown {
		t.Errorf("probe is %+v, want down", p)
	}
}

func TestAddressesOfWorkers(t *testing.T) {
	for address, want := range map[string]struct{ private, remote bool }{
		"127.0.0.1": {true, true}, "::1": {true, true}, "10.1.2.3": {true, true}, "172.31.0.1": {true, true}, "192.168.0.9": {true, true},
		"fd00::1": {true, true}, "::ffff:127.0.0.1": {true, true},
		"8.8.8.8": {false, true}, "2001:4860:4860::8888": {false, true}, "::ffff:8.8.8.8": {false, true}, "64:ff9b::7f00:1": {false, true},
		"169.254.169.254": {false, true}, "fe80::1": {false, true}, "100.64.0.1": {false, true}, "172.32.0.1": {false, true},
		"0.0.0.0": {false, false}, "::": {false, false}, "224.0.0.1": {false, false}, "ff02::1": {false, false}, "255.255.255.255": {false, false},
	} {
		ip := netip.MustParseAddr(address)
		if got := (&guard{}).check(ip) == nil; got != want.private {
			t.Errorf("%s is allowed: %v, want %v", address, got, want.private)
		}
		if got := (&guard{remote: true}).check(ip) == nil; got != want.remote {
			t.Errorf("%s is allowed where remote workers are: %v, want %v", address, got, want.remote)
		}
	}
}

func TestBadOptions(t *testing.T) {
	good := Options{Name: "w", Kind: jeantrail.KindImage, URL: "http://127.0.0.1:1"}
	for name, change := range map[string]func(*Options){
		"no name":         func(o *Options) { o.Name = "" },
		"no url":          func(o *Options) { o.URL = "" },
		"another scheme":  func(o *Options) { o.URL = "file:///etc/passwd" },
		"a query":         func(o *Options) { o.URL += "/?x=1" },
		"a password":      func(o *Options) { o.URL = "http://a:b@127.0.0.1:1" },
		"a public one":    func(o *Options) { o.URL = "http://8.8.8.8" },
		"another dialect": func(o *Options) { o.Dialect = "coqui" },
		"another kind":    func(o *Options) { o.Kind = jeantrail.KindPipeline },
		"concurrency":     func(o *Options) { o.Concurrency = -1 },
	} {
		o := good
		change(&o)
		if _, err := New(o); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("%s: error is %v, want invalid", name, err)
		}
	}
	if _, err := New(good); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestRedirectsOnTheSameServerAreFollowedByProbesOnly(t *testing.T) {
	var posts atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/old", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/new", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/new", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts.Add(1)
		}
		_, _ = io.WriteString(w, "here")
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	w := newWorker(t, Options{Kind: jeantrail.KindImage, URL: srv.URL})
	if p, err := w.client.get(t.Context(), "/old"); err != nil || string(p.body) != "here" {
		t.Errorf("page is %q, %v", p.body, err)
	}
	_, err := w.client.do(t.Context(), query{method: http.MethodPost, path: "/old", body: strings.NewReader("x")})
	wantCode(t, err, jeantrail.CodeWorkerUnavailable)
	if posts.Load() != 0 {
		t.Error("a POST was sent elsewhere")
	}
}

func TestHugeAnswerIsCapped(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{})
	srv.Fault(txt2imgPath, testkit.Huge(1<<30))
	w := imageWorker(t, srv, "sdapi")
	grown := growth(t, func() {
		_, err := run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64}), &record{discard: true})
		wantCode(t, err, jeantrail.CodeWorkerUnavailable)
	})
	if grown > 10<<20 {
		t.Errorf("memory grew by %d bytes over a huge answer, want less than 10 MiB", grown)
	}
	wantNoSpool(t, w)
}

func TestLimitOfAnAnswer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 1000))
	}))
	defer srv.Close()
	w := newWorker(t, Options{Kind: jeantrail.KindImage, URL: srv.URL})
	for limit, want := range map[int64]jeantrail.Code{999: jeantrail.CodeWorkerUnavailable, 1000: ""} {
		a, err := w.client.do(t.Context(), query{path: "/", limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(a)
		_ = a.Close()
		if jeantrail.CodeOf(err) != want || want == "" && len(b) != 1000 || want != "" && jeantrail.AsError(err).Numbers["limit"] != limit {
			t.Errorf("limit %d: %d bytes, %v", limit, len(b), err)
		}
	}
}

// A large artifact is passed on as it comes.
func TestLargePictureIsNotHeldInMemory(t *testing.T) {
	const size = 50 << 20
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			_, _ = io.WriteString(w, `{"sd_model_checkpoint":"x"}`)
			return
		}
		_, _ = io.WriteString(w, `{"images":["`)
		e := encoded(largePNG(size))
		_, _ = io.Copy(w, e)
		_, _ = io.WriteString(w, `"],"info":"{\"all_seeds\":[5]}"}`)
	}))
	defer srv.Close()
	w := newWorker(t, Options{Kind: jeantrail.KindImage, URL: srv.URL, Dialect: "sdapi"})
	s := &record{discard: true}
	grown := growth(t, func() {
		if _, err := run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64}), s); err != nil {
			t.Fatal(err)
		}
	})
	if len(s.artifacts) != 1 || s.artifacts[0].Bytes < size || *s.artifacts[0].Seed != 5 {
		t.Fatalf("artifacts are %+v", s.artifacts)
	}
	if grown > 10<<20 {
		t.Errorf("memory grew by %d bytes over a picture of %d, want less than 10 MiB", grown, size)
	}
}

// largePNG is a picture with a chunk of zeros that viewers pass over.
func largePNG(size int) io.Reader {
	small := testkit.PNG(64, 64, 1)
	end := len(small) - 12 // IEND
	length := []byte{byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)}
	return io.MultiReader(bytes.NewReader(small[:end]), bytes.NewReader(length), strings.NewReader("zero"),
		io.LimitReader(zeros{}, int64(size)), bytes.NewReader(make([]byte, 4)), bytes.NewReader(small[end:]))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// growth returns by how many bytes the process grew at most while f ran: its
// resident memory where the system tells the peak of it, else what Go has from
// the system.
func growth(t *testing.T, f func()) int64 {
	t.Helper()
	debug.FreeOSMemory()
	reset := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak is now what is resident
	if before, ok := peak(); ok && reset == nil {
		f()
		after, _ := peak()
		t.Logf("resident from %d to %d bytes at most", before, after)
		return after - before
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	t.Logf("of the system from %d to %d bytes", before.Sys, after.Sys)
	return int64(after.Sys) - int64(before.Sys-before.HeapReleased)
}

// peak returns the most memory that was resident.
func peak() (bytes int64, ok bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}
