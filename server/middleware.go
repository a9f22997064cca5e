package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// requestInfo is what the outer layers want to know of the inner ones.
type requestInfo struct {
	route string // the pattern, never the path: it becomes a metric label
	quiet bool
	err   error
}

func infoOf(ctx context.Context) *requestInfo {
	info, _ := ctx.Value(requestInfoKey).(*requestInfo)
	return info
}

// chain puts what every request passes around the routes, outermost first.
func (s *Server) chain(routes http.Handler) http.Handler {
	return s.observe(s.recoverPanics(s.guard.handle(routes, s.fail)))
}

// observe counts and logs a request when it is over, without its body, query or
// headers.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		info := &requestInfo{route: "denied"}
		ctx, cancel := s.bound(context.WithValue(r.Context(), requestInfoKey, info))
		defer cancel()
		rec := &recorder{ResponseWriter: w}
		defer func() {
			took := time.Since(began)
			s.metrics.request(r.Method, info.route, rec.code(), took)
			s.logRequest(r, info, rec, took)
		}()
		limitBodyTime(rec, r)
		next.ServeHTTP(rec, r.WithContext(ctx))
	})
}

func (s *Server) logRequest(r *http.Request, info *requestInfo, rec *recorder, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case rec.code() >= http.StatusInternalServerError && rec.code() != http.StatusServiceUnavailable:
		level = slog.LevelError
	case info.quiet:
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("route", info.route), slog.Int("status", rec.code()),
		slog.Int64("bytes", rec.bytes), slog.Duration("took", took),
	}
	if info.err != nil {
		attrs = append(attrs, slog.String("code", string(jeantrail.CodeOf(info.err))))
		if id := jobIDOf(info.err); id != "" {
			attrs = append(attrs, slog.String("job", id))
		}
		// Only a defect's cause is logged: the message of any other error may
		// quote what the caller sent.
		if jeantrail.CodeOf(info.err) == jeantrail.CodeInternal {
			attrs = append(attrs, slog.String("error", info.err.Error()))
		}
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// recoverPanics keeps a defect in one handler from ending the process.
func (s *Server) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(http.ErrAbortHandler)
			}
			s.log.Error("handler panicked", "route", infoOf(r.Context()).route, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			s.fail(w, r, fmt.Errorf("handler panicked: %v", v))
		}()
		next.ServeHTTP(w, r)
	})
}

// endpoint is the inner end of the chain: who calls, then the handler, then the
// one place where its error is written.
func (s *Server) endpoint(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := infoOf(r.Context())
		info.route, info.quiet = rt.path, rt.quiet
		p, err := s.auth.principal(r)
		switch {
		case err == nil:
			r = r.WithContext(withPrincipal(r.Context(), p))
		case !rt.open:
			s.fail(w, r, err)
			return
		}
		if err := rt.serve(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// fail ends a request with an error: as a problem if nothing was written yet,
// else by cutting the connection, so that the client cannot take a torn stream
// for a whole one.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	info := infoOf(r.Context())
	info.err = err
	rec, _ := w.(*recorder)
	begun := rec != nil && rec.status != 0
	stopping := errors.Is(context.Cause(r.Context()), errShuttingDown)
	switch {
	case rec != nil && rec.hijacked:
	case errors.Is(err, errBodyTimeout):
		// net/http has ended the context, but the client may still listen.
		late := jeantrail.Errorf(jeantrail.CodeDeadline, "the body did not arrive in time").
			WithHint("Send at least %d KiB, or the rest of it, every %v.", bodyStep>>10, bodyTimeout)
		info.err = late
		writeProblem(w, late, http.StatusRequestTimeout)
	case r.Context().Err() != nil && !stopping:
		// Nobody is there to read an answer; the status is for log and metrics.
		info.err = &jobError{jobID: jobIDOf(err), err: jeantrail.Errorf(jeantrail.CodeCancelled, "the client went away")}
		if !begun {
			w.WriteHeader(statusClientClosed)
		}
	case begun:
		panic(http.ErrAbortHandler)
	case stopping:
		stop := jeantrail.Errorf(jeantrail.CodeShuttingDown, "the server is shutting down")
		writeProblem(w, &jobError{jobID: jobIDOf(err), err: stop}, 0)
	default:
		writeProblem(w, err, 0)
	}
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status   int
	bytes    int64
	hijacked bool
}

func (r *recorder) code() int {
	if r.hijacked {
		return http.StatusSwitchingProtocols
	}
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection's deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Hijack implements http.Hijacker, which the WebSocket upgrade asks for.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil {
		r.hijacked = true
	}
	return conn, rw, err
}
