package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// sseRetry is how long an EventSource waits before it comes back, in
// milliseconds.
const sseRetry = 1000

// streamEvents writes a job's events after seq as Server-Sent Events until the
// terminal one, the client's leave or the server's stop.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request, job *jeantrail.Job, after int64) error {
	reader, err := s.opt.Road.Follow(r.Context(), caller(r), job.ID, after)
	if err != nil {
		return err
	}
	s.metrics.streamOpened("sse")
	defer s.metrics.streamClosed("sse")

	out, err := beginSSE(w)
	if err != nil {
		return err
	}
	return out.copy(r.Context(), reader, aboutOf(job))
}

// beginSSE makes the answer a stream of Server-Sent Events and sends its headers.
func beginSSE(w http.ResponseWriter) (*sseWriter, error) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy in between must not collect what we flush
	out := newSSEWriter(w)
	return out, out.open()
}

// sseWriter writes the stream's frames, each flushed, each under a deadline: a
// client that does not read for so long counts as gone.
type sseWriter struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	buf bytes.Buffer
	enc *json.Encoder
}

func newSSEWriter(w http.ResponseWriter) *sseWriter {
	out := &sseWriter{w: w, rc: http.NewResponseController(w)}
	out.enc = json.NewEncoder(&out.buf)
	out.enc.SetEscapeHTML(false)
	return out
}

// copy passes events on until the reader ends. Between them it sends a comment
// now and then, so that a connection that died unseen is noticed.
func (o *sseWriter) copy(ctx context.Context, reader EventReader, of about) error {
	for {
		untilPing, cancel := context.WithTimeout(ctx, ssePing)
		err := o.copyUntil(untilPing, reader, of)
		timeToPing := untilPing.Err() != nil
		cancel()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !timeToPing:
			return err
		}
		if err := o.comment("ping"); err != nil {
			return err
		}
	}
}

func (o *sseWriter) copyUntil(ctx context.Context, reader EventReader, of about) error {
	for {
		event, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		if err := o.event(&event, of); err != nil {
			return err
		}
	}
}

// open sends the headers at once, with the hint for coming back.
func (o *sseWriter) open() error {
	o.buf.Reset()
	o.buf.WriteString("retry: " + strconv.Itoa(sseRetry) + "\n\n")
	return o.send()
}

func (o *sseWriter) comment(text string) error {
	o.buf.Reset()
	o.buf.WriteString(": " + text + "\n\n")
	return o.send()
}

// event writes one event. Only a stored event has an id: a browser sends the
// last id back when it resumes, and a partial piece is nothing to resume after.
func (o *sseWriter) event(e *jeantrail.Event, of about) error {
	id := ""
	if !e.Partial {
		id = strconv.FormatInt(e.Seq, 10)
	}
	return o.frame(id, string(e.Type), eventOf(e, of))
}

// frame writes an event with its data as JSON; "" is no id.
func (o *sseWriter) frame(id, event string, data any) error {
	o.buf.Reset()
	if id != "" {
		o.buf.WriteString("id: ")
		o.buf.WriteString(id)
		o.buf.WriteByte('\n')
	}
	o.buf.WriteString("event: ")
	o.buf.WriteString(event)
	o.buf.WriteString("\ndata: ")
	if err := o.enc.Encode(data); err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	o.buf.WriteByte('\n')
	return o.send()
}

func (o *sseWriter) send() error {
	if err := o.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := o.w.Write(o.buf.Bytes()); err != nil {
		return clientGone(err)
	}
	if err := o.rc.Flush(); err != nil {
		return clientGone(err)
	}
	return nil
}

// clientGone names a failed write for what it is.
func clientGone(err error) error {
	return jeantrail.Errorf(jeantrail.CodeCancelled, "the client went away or does not read: %w", err)
}
