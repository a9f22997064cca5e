package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tmaxmax/go-sse"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	maxMessage = 1 << 20  // of one message of a stream, in bytes
	maxRefusal = 64 << 10 // of an answer that is none, in bytes
)

// server is a server that is measured. It is a Runner.
type server struct {
	http    *http.Client
	base    *url.URL // without a slash at the end
	api     API
	model   string // empty: the server's own choice
	token   string
	version string // what the server says of itself
	timeout time.Duration

	mu      sync.Mutex
	dropped []string // fields that the server refuses
	renamed bool     // max_tokens is called max_completion_tokens there
}

// errSlow is the cause of a request's end by its own time limit.
var errSlow = errors.New("the time limit of a request")

// Run implements Runner.
func (s *server) Run(ctx context.Context, r Request, token func(at time.Time, n int)) (Answer, error) {
	ctx, stop := context.WithTimeoutCause(ctx, s.timeout, errSlow)
	defer stop()
	resp, err := s.send(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	answer, err := s.stream(resp.Body, token)
	if err != nil && ctx.Err() != nil {
		return answer, s.broken(ctx, err)
	}
	return answer, err
}

// send posts a request until it is accepted, without the fields that the server
// says it does not know.
func (s *server) send(ctx context.Context, r Request) (*http.Response, error) {
	p := protocolOf(s.api)
	for {
		body, err := json.Marshal(s.shape(p.body(r)))
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base.String()+p.path, bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := s.do(req)
		if err != nil {
			return nil, s.broken(ctx, err)
		}
		if resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		resp.Body.Close()
		if err != nil {
			return nil, s.broken(ctx, err)
		}
		if !s.adapt(&p, resp.StatusCode, string(text)) {
			return nil, s.refused(resp.StatusCode, text)
		}
	}
}

func (s *server) do(req *http.Request) (*http.Response, error) {
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	return s.http.Do(req)
}

// shape fits a body to what the server knows.
func (s *server) shape(body map[string]any) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.model != "" {
		body["model"] = s.model
	}
	for _, name := range s.dropped {
		delete(body, name)
	}
	if s.renamed {
		body["max_completion_tokens"] = body["max_tokens"]
		delete(body, "max_tokens")
	}
	return body
}

// adapt reports whether there is another way to ask, after the server refused
// the last one with that status and text.
func (s *server) adapt(p *protocol, status int, text string) bool {
	if status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(text, "max_completion_tokens") && !s.renamed && p.optional != nil {
		s.renamed = true
		return true
	}
	for _, name := range p.optional {
		if strings.Contains(text, name) && !slices.Contains(s.dropped, name) {
			s.dropped = append(s.dropped, name)
			return true
		}
	}
	return false
}

// notes says what the server does not know.
func (s *server) notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var notes []string
	for _, name := range s.dropped {
		notes = append(notes, "the server refuses "+name+", so requests were sent without it")
	}
	return notes
}

// arrivals notes when the last bytes were read. Messages that came with one read
// came at one time, however long it takes to look at them.
type arrivals struct {
	from io.Reader
	last time.Time
}

func (a *arrivals) Read(b []byte) (int, error) {
	n, err := a.from.Read(b)
	if n > 0 {
		a.last = time.Now()
	}
	return n, err
}

// stream reads an answer to its end.
func (s *server) stream(body io.Reader, token func(at time.Time, n int)) (Answer, error) {
	p := protocolOf(s.api)
	from := &arrivals{from: body}
	var answer Answer
	whole := false
	for data, err := range messages(from, p.lines) {
		if err != nil {
			if errors.Is(err, bufio.ErrTooLong) {
				return answer, failure("malformed", jeantrail.CodeUnsupported, "a message of the stream is larger than %d KiB", maxMessage>>10)
			}
			return answer, failure("connection lost", jeantrail.CodeWorkerUnavailable, "the answer broke off: %w", err)
		}
		var one piece
		if err := p.read(data, &one); err != nil {
			return answer, err
		}
		if one.text != "" {
			token(from.last, max(1, one.tokens))
		}
		if one.answer != (Answer{}) {
			answer = one.answer
		}
		if one.end {
			return answer, nil
		}
		whole = whole || one.whole
	}
	if whole {
		return answer, nil
	}
	return answer, failure("cut short", jeantrail.CodeWorkerUnavailable, "the answer ended without saying that it is whole").
		WithHint("If that is always so, name the API that the server speaks.")
}

// messages yields the data of each event, or each line that is not empty.
func messages(r io.Reader, lines bool) func(yield func([]byte, error) bool) {
	if !lines {
		return func(yield func([]byte, error) bool) {
			for event, err := range sse.Read(r, &sse.ReadConfig{MaxEventSize: maxMessage}) {
				if err == nil && event.Data == "" {
					continue
				}
				if !yield([]byte(event.Data), err) {
					return
				}
			}
		}
	}
	return func(yield func([]byte, error) bool) {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, maxMessage)
		for scanner.Scan() {
			if line := bytes.TrimSpace(scanner.Bytes()); len(line) > 0 && !yield(line, nil) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// broken says why a request got no answer.
func (s *server) broken(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errSlow):
		return failure("timeout", jeantrail.CodeDeadline, "the answer took longer than %s", s.timeout).
			WithHint("Allow more time, or ask for fewer tokens or streams.")
	case cause != nil:
		return failure("cancelled", jeantrail.CodeCancelled, "the request was cancelled: %w", cause)
	}
	var lost *url.Error
	if errors.As(err, &lost) {
		err = lost.Err // its words have the whole address again
	}
	return failure("connection", jeantrail.CodeWorkerUnavailable, "%s does not answer: %w", s.base.Redacted(), err).
		WithHint("Check that the server runs, and its address.")
}

// refused turns a status and what came with it into an error.
func (s *server) refused(status int, text []byte) error {
	said := shorten(errorText(text))
	if said == "" {
		said = http.StatusText(status)
	}
	e := failure(fmt.Sprintf("http %d", status), jeantrail.CodeWorkerUnavailable, "the server answered %d: %s", status, said)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		e.Code = jeantrail.CodeUnauthorized
		return e.WithHint("Give the token that the server asks for.")
	case status == http.StatusNotFound:
		e.Code = jeantrail.CodeNotFound
		return e.WithHint("The server has no such model, or speaks another API than %s: name both.", s.api)
	case status >= 300 && status < 400:
		e.Code = jeantrail.CodeInvalid
		return e.WithHint("Give the address that it leads to: a token is not sent on to another one.")
	case status == http.StatusTooManyRequests:
		e.Code = jeantrail.CodeRateLimited
		return e.WithHint("Ask for fewer streams.")
	case status >= 400 && status < 500:
		e.Code = jeantrail.CodeInvalid
		return e.WithHint("Check the model, and that prompt and answer fit its context.")
	}
	return e.WithHint("The server's log may say more.")
}
