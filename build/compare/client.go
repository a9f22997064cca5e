package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/tmaxmax/go-sse"
)

// client opens a connection for each request: llama-server closes idle ones
// after five seconds, and a request that meets such a one is lost.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// taken is what one streamed answer took.
type taken struct {
	first time.Duration // to the first token
	last  time.Duration // to the last token; what follows it is not decoding
	count int           // tokens
}

// stream asks for n tokens and reads them all.
func (s *server) stream(ctx context.Context, prompt string, n int) (taken, error) {
	path, body := s.body(prompt, n)
	data, err := json.Marshal(body)
	if err != nil {
		return taken{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path, bytes.NewReader(data))
	if err != nil {
		return taken{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	begin := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return taken{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return taken{}, fmt.Errorf("%s: %s", resp.Status, text)
	}
	var t taken
	for event, err := range sse.Read(resp.Body, &sse.ReadConfig{MaxEventSize: 1 << 20}) {
		if err != nil {
			return t, err
		}
		if !hasToken(event.Data) {
			continue
		}
		t.last = time.Since(begin)
		if t.first == 0 {
			t.first = t.last
		}
	}
	t.count = n
	return t, nil
}

// hasToken tells a token from the events around it. Both servers stream pieces
// of text; theirs are called content. A piece without text is one whose bytes
// are held back, or only closes what was sent.
func hasToken(data string) bool {
	var e struct {
		Text    string `json:"text"`
		Content string `json:"content"`
	}
	return json.Unmarshal([]byte(data), &e) == nil && e.Text+e.Content != ""
}

// many streams the prompts at once; it returns the whole time and each answer's.
func (s *server) many(ctx context.Context, prompts []string, n int) (time.Duration, []taken, error) {
	answers := make([]taken, len(prompts))
	errs := make([]error, len(prompts))
	var group sync.WaitGroup
	begin := time.Now()
	for i, prompt := range prompts {
		group.Go(func() { answers[i], errs[i] = s.stream(ctx, prompt, n) })
	}
	group.Wait()
	whole := time.Since(begin)
	for _, err := range errs {
		if err != nil {
			return 0, nil, err
		}
	}
	return whole, answers, nil
}
