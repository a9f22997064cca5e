package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden holds output against a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update rewrites it):\n%s\nwant\n%s", name, got, want)
	}
}

// network is a network within the process, on which time passes only as a test's
// clock says.
type network struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.done:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.done) })
	return nil
}

func (n *network) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case n.conns <- there:
		return here, nil
	case <-n.done:
		return nil, fmt.Errorf("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serving starts a server and returns a client that reaches it.
func serving(t *testing.T, h http.Handler) *http.Client {
	t.Helper()
	n := &network{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: h}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(n) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	client := newClient()
	client.Transport.(*http.Transport).DialContext = n.dial
	return client
}

// script is how a fake server answers a request.
type script struct {
	api    API
	first  time.Duration // to the first piece of text
	gap    time.Duration // between pieces
	pieces int           // most of them; fewer if fewer tokens were asked for
	each   int           // tokens of a piece
	text   string        // of a piece
	atOnce bool          // all of it in one write, when the last is made
	cut    int           // the connection breaks after so many pieces
	fault  int           // an error comes after so many pieces
	status int           // instead of an answer
	said   string        // with the status
	cached int           // tokens of the prompt
}

// fake is a server that keeps to a script, and to its API's form.
type fake struct {
	script func(number int) script // of the request with that number, from 0

	mu     sync.Mutex
	bodies []map[string]any
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	s := f.script(len(f.bodies))
	f.bodies = append(f.bodies, body)
	f.mu.Unlock()
	if r.URL.Path != protocolOf(s.api).path || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	if s.status != 0 {
		w.WriteHeader(s.status)
		fmt.Fprint(w, s.said)
		return
	}
	if asked := tokensAsked(body); s.each*s.pieces > asked {
		s.pieces = max(1, asked/s.each)
	}
	s.answer(r.Context(), w)
}

func tokensAsked(body map[string]any) int {
	if options, ok := body["options"].(map[string]any); ok {
		body = options
	}
	for _, name := range []string{"max_tokens", "max_completion_tokens", "n_predict", "num_predict"} {
		if n, ok := body[name].(float64); ok {
			return int(n)
		}
	}
	return 0
}

func (s *script) answer(ctx context.Context, w http.ResponseWriter) {
	out := http.NewResponseController(w)
	wait := s.first
	for i := range s.pieces {
		if !s.atOnce {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
		wait = s.gap
		fmt.Fprint(w, s.piece())
		if !s.atOnce && out.Flush() != nil {
			return
		}
		if s.cut == i+1 {
			panic(http.ErrAbortHandler)
		}
		if s.fault == i+1 {
			fmt.Fprint(w, s.failed())
			return
		}
	}
	if s.atOnce {
		time.Sleep(s.first + time.Duration(s.pieces-1)*s.gap)
	}
	fmt.Fprint(w, s.end())
}

// frame writes one message in the API's form.
func (s *script) frame(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	if s.api == APIOllama {
		return string(text) + "\n"
	}
	return "data: " + string(text) + "\n\n"
}

type object = map[string]any

func (s *script) piece() string {
	switch s.api {
	case APIJeantrail:
		return ": ping\n\nid: 1\nevent: token\n" + s.frame(object{"type": "token", "text": s.text, "tokens": s.each})
	case APILlamaServer:
		return s.frame(object{"content": s.text, "tokens": make([]int, s.each), "stop": false})
	case APIOllama:
		return s.frame(object{"response": s.text, "done": false})
	case APICompletions:
		return s.frame(object{"choices": []object{{"text": s.text}}})
	}
	return s.frame(object{"choices": []object{{"delta": object{"reasoning_content": s.text}}}})
}

func (s *script) failed() string {
	switch s.api {
	case APIJeantrail:
		return s.frame(object{"type": "failed", "error": object{"code": "internal", "detail": "the engine fell over"}})
	case APIOllama:
		return s.frame(object{"error": "the engine fell over"})
	}
	return s.frame(object{"error": object{"message": "the engine fell over"}})
}

func (s *script) end() string {
	tokens := s.pieces * s.each
	switch s.api {
	case APIJeantrail:
		return s.frame(object{"type": "done", "result": object{"usage": object{"prompt_tokens": 21, "completion_tokens": tokens, "cached_tokens": s.cached}}})
	case APILlamaServer:
		return s.frame(object{"content": "", "stop": true, "tokens_predicted": tokens, "tokens_evaluated": 21, "timings": object{"cache_n": s.cached}})
	case APIOllama:
		return s.frame(object{"response": "", "done": true, "eval_count": tokens, "prompt_eval_count": 21})
	}
	return s.frame(object{"choices": []object{{"delta": object{}, "finish_reason": "length"}}}) +
		s.frame(object{"choices": []object{}, "usage": object{"prompt_tokens": 21, "completion_tokens": tokens, "prompt_tokens_details": object{"cached_tokens": s.cached}}}) +
		"data: [DONE]\n\n"
}
