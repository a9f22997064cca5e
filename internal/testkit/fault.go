package testkit

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// A Fault is a way in which a server, or what lies before it, misbehaves. It
// stands in the place of a double's answer, or spoils it. The server that is
// not there at all is Server.Down.
type Fault struct {
	limited bool
	left    int
	serve   func(w http.ResponseWriter, r *http.Request, real http.Handler)
}

// Times limits the fault to the next n requests.
func (f Fault) Times(n int) Fault {
	f.limited, f.left = true, n
	return f
}

// Fault puts a fault on a path, or on all paths that have none of their own
// when the path is "". It takes the place of an earlier one.
func (s *Server) Fault(path string, f Fault) {
	s.update(func() { s.faults[path] = &f })
}

// Heal takes the fault off a path.
func (s *Server) Heal(path string) {
	s.update(func() { delete(s.faults, path) })
}

// faultAt returns what is to answer the next request to the path, nil for the
// double itself.
func (s *Server) faultAt(path string) func(http.ResponseWriter, *http.Request, http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range []string{path, ""} {
		f := s.faults[key]
		if f == nil || f.limited && f.left == 0 {
			continue
		}
		if f.limited {
			f.left--
		}
		return f.serve
	}
	return nil
}

// Answer gives this answer and nothing else.
func Answer(status int, contentType, body string) Fault {
	return Fault{serve: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		write(w, status, contentType, []byte(body))
	}}
}

// Starting answers the next n requests with the 503 of a server that loads its
// model, in llama-server's words.
func Starting(n int) Fault {
	return Answer(http.StatusServiceUnavailable, "application/json",
		`{"error":{"message":"Loading model","type":"unavailable_error","code":503}}`).Times(n)
}

// HTML500 answers with the error page of a Flask server.
func HTML500() Fault {
	return Fault{serve: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		flaskError(w, http.StatusInternalServerError)
	}}
}

// Hang sends nothing at all until the client leaves, which Cancelled counts.
func Hang() Fault {
	return Fault{serve: func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }}
}

// SlowDrip sends the real answer byte by byte, with that time between bytes.
func SlowDrip(every time.Duration) Fault {
	return spoiled(func(w http.ResponseWriter, r *http.Request, a *answer) {
		a.head(w)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := range a.body.Len() {
			if _, err := w.Write(a.body.Bytes()[i : i+1]); err != nil {
				return
			}
			flush(w)
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
}

// WrongContentType sends the real answer under another content type.
func WrongContentType(contentType string) Fault {
	return spoiled(func(w http.ResponseWriter, _ *http.Request, a *answer) {
		a.header.Set("Content-Type", contentType)
		a.head(w)
		_, _ = w.Write(a.body.Bytes())
	})
}

// Truncated announces the real answer's length, sends its first n bytes and
// breaks the connection: the client can see that something is missing.
func Truncated(n int) Fault {
	return spoiled(func(w http.ResponseWriter, _ *http.Request, a *answer) {
		a.header.Set("Content-Length", strconv.Itoa(a.body.Len()))
		a.head(w)
		_, _ = w.Write(a.first(n))
		flush(w)
		panic(http.ErrAbortHandler)
	})
}

// Cut sends the first n bytes of the real answer as if they were all: HTTP is
// content, only the data itself shows that something is missing.
func Cut(n int) Fault {
	return spoiled(func(w http.ResponseWriter, _ *http.Request, a *answer) {
		a.header.Set("Content-Length", strconv.Itoa(len(a.first(n))))
		a.head(w)
		_, _ = w.Write(a.first(n))
	})
}

// EmptyOK sends the head of the real answer and an empty body.
func EmptyOK() Fault { return Cut(0) }

// ErrorAfterHeaders sends the head and half of the real answer, without a
// length, and breaks off, as a server that fails in the middle of its work.
func ErrorAfterHeaders() Fault {
	return spoiled(func(w http.ResponseWriter, _ *http.Request, a *answer) {
		a.header.Del("Content-Length")
		a.head(w)
		_, _ = w.Write(a.first(a.body.Len() / 2))
		flush(w)
		panic(http.ErrAbortHandler)
	})
}

// Huge begins as the real answer does and goes on for n bytes, made on the fly
// and without a length: text goes on with letters that fit base64, anything
// else with zeros.
func Huge(n int64) Fault {
	return spoiled(func(w http.ResponseWriter, _ *http.Request, a *answer) {
		a.header.Del("Content-Length")
		a.head(w)
		begin := a.first(60)
		_, err := w.Write(begin)
		filler := make([]byte, 32<<10)
		if isText(a.header.Get("Content-Type")) {
			for i := range filler {
				filler[i] = 'A'
			}
		}
		for rest := n - int64(len(begin)); rest > 0 && err == nil; rest -= int64(len(filler)) {
			_, err = w.Write(filler[:min(rest, int64(len(filler)))])
		}
	})
}

// GzipBomb sends n zeros, packed, under the real answer's content type and a
// Content-Encoding that nobody asked for.
func GzipBomb(n int64) Fault {
	return spoiled(func(w http.ResponseWriter, _ *http.Request, a *answer) {
		a.header.Del("Content-Length")
		a.header.Set("Content-Encoding", "gzip")
		a.head(w)
		packed := gzip.NewWriter(w)
		if _, err := io.CopyN(packed, zeros{}, n); err == nil {
			_ = packed.Close()
		}
	})
}

// RedirectTo sends the client elsewhere with a 307, which repeats the body.
func RedirectTo(url string) Fault {
	return Fault{serve: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Location", url)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}}
}

// Reset resets the connection without an answer.
func Reset() Fault {
	return Fault{serve: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { reset(w, "") }}
}

// ResetAfterHeaders sends the head of an answer and resets the connection.
func ResetAfterHeaders() Fault {
	return spoiled(func(w http.ResponseWriter, _ *http.Request, a *answer) {
		reset(w, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
			a.header.Get("Content-Type"), max(a.body.Len(), 1)))
	})
}

// reset sends the text and closes the connection with what it still holds.
func reset(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, text)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// spoiled is a fault that has the double answer and sends that in its own way.
func spoiled(send func(http.ResponseWriter, *http.Request, *answer)) Fault {
	return Fault{serve: func(w http.ResponseWriter, r *http.Request, real http.Handler) {
		a := &answer{header: make(http.Header), status: http.StatusOK}
		real.ServeHTTP(a, r)
		send(w, r, a)
	}}
}

// An answer is what a double would have sent.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
func (a *answer) FlushError() error           { return nil }

// head sends status and header.
func (a *answer) head(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	flush(w)
}

// first returns the first n bytes, or all if there are fewer.
func (a *answer) first(n int) []byte { return a.body.Bytes()[:min(n, a.body.Len())] }

// zeros is an endless supply of them.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
