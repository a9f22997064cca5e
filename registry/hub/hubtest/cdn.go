package hubtest

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// ProbeBytes is the longest body from the beginning of a file that counts as a
// look at it, and is never cut.
const ProbeBytes = 64

// span is a run of bytes of a file that was sent.
type span struct{ from, to int64 }

// FileURL is where the file server gives a file, for pulls of plain URLs.
func (h *Hub) FileURL(repo, name string) string { return h.CDN + "/" + repo + "/" + name }

// Cuts is how many bodies were cut so far.
func (h *Hub) Cuts() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cuts
}

// Sent is how many bytes of a file were sent, and how many of them had been sent
// before. Looks at the beginning are not counted.
func (h *Hub) Sent(repo, name string) (total, again int64) {
	h.mu.Lock()
	var spans []span
	for _, s := range h.spans["/"+repo+"/"+name] {
		spans = append(spans, *s)
	}
	h.mu.Unlock()
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var covered, union int64
	for _, s := range spans {
		total += s.to - s.from
		union += max(0, s.to-max(s.from, covered))
		covered = max(covered, s.to)
	}
	return total, total - union
}

// Forget drops all counts and requests.
func (h *Hub) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.spans)
	h.requests, h.cuts, h.sent = nil, 0, 0
}

func (h *Hub) cdn(w http.ResponseWriter, r *http.Request) {
	h.keep(r, true)
	h.mu.Lock()
	b := h.behaviour
	repo, name := path.Split(strings.TrimPrefix(r.URL.Path, "/"))
	f := h.find(strings.TrimSuffix(repo, "/"), name)
	busy := b.BusyTimes > 0
	if busy {
		h.behaviour.BusyTimes--
	}
	if key := r.URL.RawQuery; key != "" {
		h.uses[key]++
		if b.Uses > 0 && h.uses[key] > b.Uses {
			f = nil
		}
	}
	h.mu.Unlock()
	switch {
	case busy:
		if b.RetryAfter != "" {
			w.Header().Set("Retry-After", b.RetryAfter)
		}
		http.Error(w, "slow down", b.BusyStatus)
	case r.Header.Get("Authorization") != "":
		http.Error(w, "Only one auth mechanism allowed", http.StatusBadRequest)
	case f == nil && r.URL.RawQuery != "":
		http.Error(w, "Request has expired", http.StatusForbidden)
	case f == nil:
		http.NotFound(w, r)
	case b.HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!DOCTYPE html><html><title>Log in</title></html>")) // the client went away
	default:
		h.body(w, r, f, b)
	}
}

// find looks for a file of which the folder is part of the name. The caller
// holds mu.
func (h *Hub) find(repo, name string) *file {
	for folder := repo; ; {
		if f := h.repos[folder][name]; f != nil {
			return f
		}
		i := strings.LastIndex(folder, "/")
		if i < 0 {
			return nil
		}
		name, folder = folder[i+1:]+"/"+name, folder[:i]
	}
}

func (h *Hub) body(w http.ResponseWriter, r *http.Request, f *file, b Behaviour) {
	content := f.content
	if b.Flip {
		content = slices.Clone(content)
		content[len(content)-2] ^= 1
	}
	if b.NoRanges || b.NoLength {
		r.Header.Del("Range")
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if b.Coding != "" {
		w.Header().Set("Content-Encoding", b.Coding)
	}
	modified := f.modified
	if b.NoTags {
		modified = time.Time{}
	} else {
		w.Header().Set("ETag", f.etag)
	}
	http.ServeContent(plain{&sender{ResponseWriter: w, h: h, r: r, b: b}}, r, "", modified, bytes.NewReader(content))
}

// plain hides everything of a sender but what a ResponseWriter has, so that no
// byte goes round it.
type plain struct{ http.ResponseWriter }

// sender counts what it sends, slows down, stalls and cuts.
type sender struct {
	http.ResponseWriter
	h          *Hub
	r          *http.Request
	b          Behaviour
	from, sent int64
	span       *span
	limit      int64 // of the body, from Cut or Stall; 0 is none
	stall      bool
	small      bool
}

func (s *sender) WriteHeader(status int) {
	if s.b.NoRanges || s.b.NoLength {
		s.Header().Del("Accept-Ranges")
	}
	if s.b.NoLength {
		s.Header().Del("Content-Length")
	}
	length := contentLength(s.Header().Get("Content-Length"))
	if first, ok := strings.CutPrefix(s.Header().Get("Content-Range"), "bytes "); ok {
		s.from = contentLength(first)
	}
	s.small = status == http.StatusPartialContent && s.from == 0 && length <= ProbeBytes
	if !s.small && status < 300 {
		if s.b.Cut != nil {
			s.limit = s.b.Cut()
		}
		if s.b.Stall != nil && s.limit == 0 {
			s.limit, s.stall = s.b.Stall(), true
		}
	}
	s.ResponseWriter.WriteHeader(status)
}

// contentLength reads the number that a text begins with.
func contentLength(text string) (n int64) {
	for _, c := range text {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

func (s *sender) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		chunk := b[:min(len(b), 32<<10)]
		if s.limit > 0 {
			chunk = chunk[:min(int64(len(chunk)), s.limit-s.sent)]
		}
		if !s.held() {
			panic(http.ErrAbortHandler)
		}
		s.count(int64(len(chunk)))
		n, err := s.ResponseWriter.Write(chunk)
		written, s.sent = written+n, s.sent+int64(n)
		if err != nil {
			return written, err
		}
		if s.limit > 0 && s.sent >= s.limit {
			s.end()
		}
		if s.b.BytesPerSecond > 0 && !s.wait(time.Duration(n)*time.Second/time.Duration(s.b.BytesPerSecond)) {
			panic(http.ErrAbortHandler)
		}
		b = b[n:]
	}
	return written, nil
}

// end breaks the body off, in one of the ways in which connections end, or
// waits until the client leaves.
func (s *sender) end() {
	if s.stall {
		_ = http.NewResponseController(s.ResponseWriter).Flush()
		s.wait(time.Hour)
		panic(http.ErrAbortHandler)
	}
	s.h.mu.Lock()
	s.h.cuts++
	s.h.mu.Unlock()
	if rand.IntN(2) == 0 {
		if conn, _, err := http.NewResponseController(s.ResponseWriter).Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset, not an end
			}
			_ = conn.Close()
		}
	}
	panic(http.ErrAbortHandler)
}

// held waits as Hold says, and reports false if the client went away meanwhile.
func (s *sender) held() bool {
	if s.b.Hold == nil || s.small {
		return true
	}
	s.h.mu.Lock()
	reached := s.h.sent >= s.b.HoldAfter
	s.h.mu.Unlock()
	if !reached {
		return true
	}
	_ = http.NewResponseController(s.ResponseWriter).Flush() // a broken connection shows at the next write
	select {
	case <-s.b.Hold:
		return true
	case <-s.r.Context().Done():
	case <-s.h.stop:
	}
	return false
}

// wait reports false if the client went away meanwhile.
func (s *sender) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.r.Context().Done():
	case <-s.h.stop:
	}
	return false
}

// count adds bytes that are about to be sent. Those that a broken connection
// then does not take are counted all the same.
func (s *sender) count(n int64) {
	if s.small {
		return
	}
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.span == nil {
		s.span = &span{s.from, s.from}
		s.h.spans[s.r.URL.Path] = append(s.h.spans[s.r.URL.Path], s.span)
	}
	s.span.to += n
	s.h.sent += n
	if s.b.OnSent != nil {
		s.b.OnSent(s.h.sent)
	}
}
