package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/jeantrail/jeantrail-ai"
)

// The limits of one socket.
const (
	maxSubscriptions   = 256
	maxCorrelationByte = 128
)

// socketRequest is a message from the client. Which fields it has depends on type.
type socketRequest struct {
	Type    string          `json:"type" enum:"generate,generate_image,transcribe,speak,pipeline,subscribe,unsubscribe,cancel,ping"`
	ID      string          `json:"id,omitempty" maxLength:"128" doc:"The client's own name for the message; the reply repeats it."`
	Request json.RawMessage `json:"request,omitempty" doc:"As the body of the path that does the same: a GenerateRequest, ImageRequest, TranscribeRequest, SpeakRequest or PipelineRequest."`
	JobID   string          `json:"job_id,omitempty" doc:"subscribe, unsubscribe, cancel"`
	After   int64           `json:"after,omitempty" minimum:"0" doc:"subscribe: only events with a greater seq"`
}

// socketReply is a message to the client that is not an event.
type socketReply struct {
	Type  string   `json:"type" enum:"accepted,rejected,pong"`
	ID    string   `json:"id,omitempty" doc:"As in the message that it answers."`
	JobID string   `json:"job_id,omitempty" format:"uuid"`
	Error *problem `json:"error,omitempty" doc:"rejected"`
}

// webSocket serves GET /ws.
func (s *Server) webSocket(w http.ResponseWriter, r *http.Request) error {
	if !websocket.IsWebSocketUpgrade(r) {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "this path speaks WebSocket only").
			WithHint("Open it with a WebSocket client; GET /job/{id}/events streams over plain HTTP.")
	}
	if !s.sockets.enter() {
		return jeantrail.Errorf(jeantrail.CodeShuttingDown, "the server is shutting down")
	}
	defer s.sockets.leave()
	upgrader := websocket.Upgrader{
		Subprotocols:     []string{subprotocol},
		HandshakeTimeout: writeTimeout,
		// The guard has checked the origin of this very request.
		CheckOrigin: func(*http.Request) bool { return true },
		Error: func(w http.ResponseWriter, _ *http.Request, _ int, reason error) {
			writeProblem(w, jeantrail.Errorf(jeantrail.CodeInvalid, "the upgrade failed: %w", reason), 0)
		},
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil // Error has answered
	}
	s.metrics.streamOpened("websocket")
	defer s.metrics.streamClosed("websocket")
	newSocket(s, conn, r).serve()
	return nil
}

// socket is one connection. The handler's goroutine reads; one goroutine
// writes; one watches for alerts; each subscription has one that follows its
// job. serve joins them all.
type socket struct {
	server    *Server
	conn      *websocket.Conn
	principal jeantrail.Principal
	ctx       context.Context // ends with the socket
	end       context.CancelCauseFunc
	out       chan []byte // unbuffered: a slow client slows its own followers only
	followers sync.WaitGroup

	// Only the reading goroutine uses what follows.
	releases map[string]func(time.Duration)
	subs     map[string]*subscription
}

// subscription is a job that the client hears of.
type subscription struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when its goroutine has ended
	over   atomic.Bool   // the terminal event was read; set before it is sent
}

func newSocket(s *Server, conn *websocket.Conn, r *http.Request) *socket {
	c := &socket{
		server: s, conn: conn, principal: caller(r), out: make(chan []byte),
		releases: map[string]func(time.Duration){}, subs: map[string]*subscription{},
	}
	c.ctx, c.end = context.WithCancelCause(r.Context())
	return c
}

// errClosed is the cause of a socket's context when the client ended it.
var errClosed = errors.New("the socket was closed")

// watchAlerts passes the alerts of the client's user on as they are raised. A
// client that wants those of before asks GET /alerts.
func (c *socket) watchAlerts(alerts <-chan jeantrail.Alert) {
	for {
		select {
		case a, open := <-alerts:
			if !open {
				return
			}
			message := alertOf(&a)
			message.Type = string(jeantrail.EventAlert)
			if c.send(message) != nil {
				return
			}
		case <-c.ctx.Done():
			return
		}
	}
}

// serve runs the socket until the client, an error or the server ends it. The
// jobs that were started on it live on for the resume window.
func (c *socket) serve() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	alerts, stop := c.server.opt.Money.WatchAlerts(c.principal)
	defer stop()
	c.followers.Go(func() { c.watchAlerts(alerts) })
	c.read()
	c.end(errClosed)
	c.followers.Wait()
	<-written
	for _, release := range c.releases {
		release(c.server.opt.ResumeWindow)
	}
}

// read handles messages until the connection fails or is silent for too long.
func (c *socket) read() {
	heard := func() error { return c.conn.SetReadDeadline(time.Now().Add(socketSilence)) }
	c.conn.SetReadLimit(c.server.opt.MaxBody)
	c.conn.SetPongHandler(func(string) error { return heard() })
	answerPing := c.conn.PingHandler()
	c.conn.SetPingHandler(func(data string) error { return errors.Join(heard(), answerPing(data)) })
	for {
		if heard() != nil {
			return
		}
		kind, data, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		if kind != websocket.TextMessage {
			c.end(&websocket.CloseError{Code: websocket.CloseUnsupportedData, Text: "messages are JSON text"})
			return
		}
		if c.handle(data) != nil {
			return
		}
	}
}

// write sends what the others give it and pings in between, and closes the
// connection when the socket ends, which also ends read.
func (c *socket) write() {
	defer c.conn.Close()
	pings := time.NewTicker(socketPing)
	defer pings.Stop()
	for {
		var err error
		select {
		case data := <-c.out:
			_ = c.conn.SetWriteDeadline(c.writeLimit())
			err = c.conn.WriteMessage(websocket.TextMessage, data)
		case <-pings.C:
			err = c.conn.WriteControl(websocket.PingMessage, nil, c.writeLimit())
		case <-c.ctx.Done():
			_ = c.conn.WriteControl(websocket.CloseMessage, c.goodbye(), c.writeLimit())
			return
		}
		if err != nil {
			c.end(clientGone(err))
			return
		}
	}
}

func (c *socket) writeLimit() time.Time { return time.Now().Add(writeTimeout) }

// goodbye tells the client why the server closes.
func (c *socket) goodbye() []byte {
	cause := context.Cause(c.ctx)
	var closing *websocket.CloseError
	switch {
	case errors.As(cause, &closing):
		return websocket.FormatCloseMessage(closing.Code, closing.Text)
	case errors.Is(cause, errShuttingDown):
		return websocket.FormatCloseMessage(websocket.CloseGoingAway, "the server is shutting down")
	default:
		return websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	}
}

// send hands a message to the writer. Its only error is the socket's end.
func (c *socket) send(v any) error {
	data, err := encodeJSON(v)
	if err != nil {
		return err
	}
	select {
	case c.out <- data:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}
