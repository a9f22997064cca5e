package hub

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

// slowServer answers ranged requests with bodies that come in small pieces, one
// each gap.
type slowServer struct {
	content []byte
	gap     time.Duration
}

func (s slowServer) RoundTrip(r *http.Request) (*http.Response, error) {
	var from, to int
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil {
		return nil, err
	}
	gap := s.gap
	if to < probeBytes {
		gap = 0
	}
	return &http.Response{
		StatusCode: http.StatusPartialContent, Request: r,
		Header: http.Header{
			"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", from, to, len(s.content))}, "Etag": {`"1"`},
		},
		Body: &slowBody{r: r, left: bytes.NewReader(s.content[from : to+1]), gap: gap},
	}, nil
}

type slowBody struct {
	r    *http.Request
	left *bytes.Reader
	gap  time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.gap > 0 {
		select {
		case <-time.After(b.gap):
		case <-b.r.Context().Done():
			return 0, b.r.Context().Err()
		}
	}
	return io.LimitReader(b.left, 1000).Read(p)
}

func (b *slowBody) Close() error { return nil }

// TestSlowIsNotStalled tells a connection that is slow from one that is dead.
func TestSlowIsNotStalled(t *testing.T) {
	content := hubtest.Content(20_000, 1)
	for gap, stalls := range map[time.Duration]bool{29 * time.Second: false, 31 * time.Second: true} {
		folder := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			c, err := New(Options{Folder: folder, Retries: 2, Validate: accept})
			if err != nil {
				t.Fatal(err)
			}
			c.http.Transport = slowServer{content, gap}
			var l log
			_, err = c.Pull(t.Context(), Request{Source: "http://slow.example/m.gguf"}, l.add)
			switch {
			case !stalls && (err != nil || strings.Contains(l.notes(), errStalled.Error())):
				t.Errorf("a piece each %s: %v; %s", gap, err, l.notes())
			case stalls && (jeantrail.CodeOf(err) != jeantrail.CodeWorkerUnavailable || !strings.Contains(err.Error(), errStalled.Error())):
				t.Errorf("a piece each %s: %v", gap, err)
			}
		})
	}
}
