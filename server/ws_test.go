package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/jeantrail/jeantrail-ai"
)

// peer is the client's end of a socket.
type peer struct {
	t    *testing.T
	conn *websocket.Conn
}

func dialSocket(t *testing.T, l *pipeListener, header http.Header) *peer {
	t.Helper()
	conn, resp, err := (&websocket.Dialer{NetDialContext: l.dial}).DialContext(t.Context(), "ws://127.0.0.1:3001/ws", header)
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, resp)
	}
	return &peer{t, conn}
}

func (p *peer) send(message string) {
	p.t.Helper()
	if err := p.conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

func (p *peer) receive() map[string]any {
	p.t.Helper()
	_, data, err := p.conn.ReadMessage()
	if err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		p.t.Fatalf("receive %q: %v", data, err)
	}
	return m
}

// until returns the next message of a type, and fails on a rejection of another.
func (p *peer) until(kind string) map[string]any {
	p.t.Helper()
	for {
		m := p.receive()
		if m["type"] == kind {
			return m
		}
		if m["type"] == "rejected" {
			p.t.Fatalf("waiting for %s: %v", kind, m)
		}
	}
}

// closed reads until the server's close and returns its code.
func (p *peer) closed() int {
	for {
		_, _, err := p.conn.ReadMessage()
		var closing *websocket.CloseError
		if errors.As(err, &closing) {
			return closing.Code
		}
		if err != nil {
			return -1
		}
	}
}

// socketTest runs a test of a socket inside a bubble.
func socketTest(t *testing.T, opt Options, test func(t *testing.T, road *fakeRoad, l *pipeListener, p *peer)) {
	synctest.Test(t, func(t *testing.T) {
		road, ok := opt.Road.(*fakeRoad)
		if !ok {
			road = newFakeRoad(nil)
		} else {
			road = newFakeRoad(road.onSubmit) // its channels must be the bubble's own
		}
		opt.Road = road
		l, _, stop := serve(t, newTestServer(t, opt))
		defer stop()
		p := dialSocket(t, l, nil)
		defer p.conn.Close()
		test(t, road, l, p)
	})
}

func TestSocketGenerate(t *testing.T) {
	socketTest(t, Options{Road: newFakeRoad(answerScript)}, func(t *testing.T, road *fakeRoad, _ *pipeListener, p *peer) {
		p.send(`{"type":"generate","id":"a","request":{"prompt":"x","model":"qwen-3-72b"}}`)
		accepted := p.receive()
		id := (<-road.submitted).snapshot().ID
		if fmt.Sprint(accepted) != fmt.Sprint(map[string]any{"type": "accepted", "id": "a", "job_id": id}) {
			t.Fatalf("first comes %v", accepted)
		}
		var got []string
		for range 5 {
			e := p.receive()
			got = append(got, fmt.Sprintf("%v %v %v", e["type"], e["seq"], e["partial"]))
			if e["type"] == "done" {
				if r := e["result"].(map[string]any); r["requested_model"] != "qwen-3-72b" || r["status"] != "succeeded" {
					t.Errorf("result %v", r)
				}
			}
		}
		if want := "[queued 1 <nil> started 2 <nil> token 3 true token 3 <nil> done 4 <nil>]"; fmt.Sprint(got) != want {
			t.Errorf("events %v, want %s", got, want)
		}
		p.send(`{"type":"generate","id":"b","request":{"prompt":"x","stream":false}}`)
		for {
			e := p.receive()
			if e["type"] == "token" {
				t.Errorf("a token without a stream: %v", e)
			}
			if e["type"] == "done" {
				break
			}
		}
	})
}

func TestSocketManyJobs(t *testing.T) {
	socketTest(t, Options{}, func(t *testing.T, road *fakeRoad, _ *pipeListener, p *peer) {
		jobs := map[string]*fakeJob{}
		for _, name := range []string{"a", "b", "c"} {
			p.send(`{"type":"generate","id":"` + name + `","request":{"prompt":"x"}}`)
			accepted := p.until("accepted")
			jobs[name] = <-road.submitted
			if accepted["id"] != name || accepted["job_id"] != jobs[name].snapshot().ID {
				t.Fatalf("accepted %v", accepted)
			}
		}
		for _, name := range []string{"c", "a", "b"} {
			jobs[name].succeed("text of " + name)
			done := p.until("done")
			if done["job_id"] != jobs[name].snapshot().ID || done["result"].(map[string]any)["text"] != "text of "+name {
				t.Errorf("done %v", done)
			}
		}
	})
}

func TestSocketRejections(t *testing.T) {
	tests := []struct{ message, id, code, want string }{
		{`hello`, "", "invalid", "JSON"},
		{`{"type":"sing"}`, "", "invalid", `\"sing\" is not known`},
		{`{"type":"ping","volume":1}`, "", "invalid", "volume"},
		{`{"type":"generate","request":{"prompt":"x"}}`, "", "invalid", "needs an id"},
		{`{"type":"generate","id":"q"}`, "q", "invalid", "needs a request"},
		{`{"type":"generate","id":"q","request":{"promt":"x"}}`, "q", "invalid", "Did you mean"},
		{`{"type":"generate","id":"q","request":{}}`, "q", "invalid", "neither prompt nor messages"},
		{`{"type":"generate","id":"q","request":{"template":"t","raw":true}}`, "q", "invalid", "excludes raw"},
		{`{"type":"generate","id":"` + strings.Repeat("x", 129) + `"}`, "", "invalid", "128"},
		{`{"type":"generate_image","id":"q","request":{}}`, "q", "invalid", "no prompt"},
		{`{"type":"transcribe","id":"q","request":{}}`, "q", "invalid", "no audio"},
		{`{"type":"speak","id":"q","request":{"text":"x","voice":"../x"}}`, "q", "invalid", "not a path"},
		{`{"type":"pipeline","id":"q","request":{}}`, "q", "invalid", "GET /workflows"},
		{`{"type":"pipeline","id":"q","request":{"workflow":"none"}}`, "q", "not_found", "none"},
		{`{"type":"subscribe","id":"q","job_id":"none"}`, "q", "not_found", "none"},
		{`{"type":"subscribe","id":"q"}`, "q", "invalid", "job_id"},
		{`{"type":"subscribe","id":"q","job_id":"j","after":-1}`, "q", "invalid", "after"},
		{`{"type":"cancel","id":"q","job_id":"none"}`, "q", "not_found", "none"},
		{`{"type":"unsubscribe","id":"q"}`, "q", "invalid", "job_id"},
	}
	socketTest(t, Options{}, func(t *testing.T, _ *fakeRoad, _ *pipeListener, p *peer) {
		for _, tt := range tests {
			p.send(tt.message)
			m := p.receive()
			problem, _ := m["error"].(map[string]any)
			text, _ := json.Marshal(problem)
			id, _ := m["id"].(string)
			if m["type"] != "rejected" || id != tt.id || problem["code"] != tt.code || !strings.Contains(string(text), tt.want) {
				t.Errorf("%s\nanswered %v\nwant %s %s", tt.message, m, tt.code, tt.want)
			}
		}
		p.send(`{"type":"ping","id":"still here"}`)
		if m := p.receive(); m["type"] != "pong" || m["id"] != "still here" {
			t.Errorf("after all that: %v", m)
		}
	})
}

// A page that was loaded again opens another socket and goes on where it was;
// the leases say that the job stays alive in between.
func TestSocketResume(t *testing.T) {
	socketTest(t, Options{}, func(t *testing.T, road *fakeRoad, l *pipeListener, p *peer) {
		p.send(`{"type":"generate","id":"a","request":{"prompt":"x"}}`)
		p.until("queued")
		job := <-road.submitted
		id := job.snapshot().ID
		job.start()
		p.until("started")
		p.conn.Close()
		if got := <-road.released; got.id != id || got.grace != DefaultResumeWindow {
			t.Fatalf("released %+v", got)
		}
		second := dialSocket(t, l, nil)
		second.send(`{"type":"subscribe","job_id":"` + id + `","after":1}`)
		if e := second.receive(); e["type"] != "started" || e["seq"] != 2.0 {
			t.Errorf("it goes on with %v", e)
		}
		second.send(`{"type":"subscribe","id":"again","job_id":"` + id + `"}`)
		if m := second.receive(); m["type"] != "rejected" || m["error"].(map[string]any)["code"] != "conflict" {
			t.Errorf("subscribed twice: %v", m)
		}
		job.succeed("ok")
		second.until("done")
		second.conn.Close()
		if got := <-road.released; got.id != id {
			t.Errorf("released %+v", got)
		}
		if road.leases != 2 {
			t.Errorf("%d leases", road.leases)
		}
	})
}

func TestSocketUnsubscribeAndCancel(t *testing.T) {
	socketTest(t, Options{}, func(t *testing.T, road *fakeRoad, _ *pipeListener, p *peer) {
		p.send(`{"type":"generate","id":"a","request":{"prompt":"x"}}`)
		p.until("queued")
		job := <-road.submitted
		id := job.snapshot().ID
		for range 2 {
			p.send(`{"type":"unsubscribe","job_id":"` + id + `"}`)
		}
		p.send(`{"type":"ping"}`)
		p.until("pong")
		job.start() // nobody hears of it
		p.send(`{"type":"cancel","job_id":"` + id + `"}`)
		p.send(`{"type":"ping","id":"2"}`)
		if m := p.receive(); m["id"] != "2" {
			t.Errorf("after unsubscribe came %v", m)
		}
		if got := <-road.cancelled; got != id {
			t.Errorf("cancelled %s", got)
		}
		p.send(`{"type":"subscribe","job_id":"` + id + `","after":2}`)
		if e := p.receive(); e["type"] != "cancelled" || e["result"].(map[string]any)["text"] != "so far" {
			t.Errorf("event %v", e)
		}
	})
}

// The server pings every 20 seconds and closes after 60 seconds of silence.
func TestSocketSilence(t *testing.T) {
	socketTest(t, Options{}, func(t *testing.T, _ *fakeRoad, _ *pipeListener, p *peer) {
		began, pings := time.Now(), 0
		p.conn.SetPingHandler(func(string) error { pings++; return nil }) // hears, but does not answer
		p.closed()
		if took := time.Since(began); took != socketSilence || pings < 2 {
			t.Errorf("closed after %v and %d pings", took, pings)
		}
	})
}

func TestSocketLivesOnPongs(t *testing.T) {
	socketTest(t, Options{}, func(t *testing.T, _ *fakeRoad, _ *pipeListener, p *peer) {
		began, pongs := time.Now(), make(chan struct{}, 100)
		answer := p.conn.PingHandler()
		p.conn.SetPingHandler(func(data string) error { pongs <- struct{}{}; return answer(data) })
		over := make(chan int, 1)
		go func() { over <- p.closed() }()
		for range 15 {
			<-pongs
		}
		if took := time.Since(began); took != 15*socketPing || len(over) != 0 {
			t.Errorf("15 pings took %v, closed: %v", took, len(over) != 0)
		}
		p.conn.Close()
		<-over
	})
}

// A client that does not read loses its socket after the write deadline.
func TestSocketSlowReader(t *testing.T) {
	socketTest(t, Options{}, func(t *testing.T, road *fakeRoad, _ *pipeListener, p *peer) {
		began := time.Now()
		p.send(`{"type":"generate","id":"a","request":{"prompt":"x"}}`)
		if got := <-road.released; got.grace != DefaultResumeWindow {
			t.Errorf("released %+v", got)
		}
		if took := time.Since(began); took < writeTimeout || took > 2*writeTimeout {
			t.Errorf("given up after %v", took)
		}
	})
}

func TestSocketClosing(t *testing.T) {
	socketTest(t, Options{MaxBody: 1000}, func(t *testing.T, _ *fakeRoad, l *pipeListener, p *peer) {
		go func() { _ = p.conn.WriteMessage(websocket.BinaryMessage, []byte("{}")) }()
		if code := p.closed(); code != websocket.CloseUnsupportedData {
			t.Errorf("a binary message: close code %d", code)
		}
		long := dialSocket(t, l, nil)
		go func() { _ = long.conn.WriteMessage(websocket.TextMessage, make([]byte, 2000)) }()
		if code := long.closed(); code != websocket.CloseMessageTooBig {
			t.Errorf("a long message: close code %d", code)
		}
	})
}

func TestSocketShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		road := newFakeRoad(nil)
		l, _, stop := serve(t, newTestServer(t, Options{Road: road}))
		p := dialSocket(t, l, nil)
		defer p.conn.Close()
		p.send(`{"type":"generate","id":"a","request":{"prompt":"x"}}`)
		p.until("queued")
		code := make(chan int, 1)
		go func() { code <- p.closed() }()
		stop()
		if got := <-code; got != websocket.CloseGoingAway {
			t.Errorf("close code %d", got)
		}
		if got := <-road.released; got.grace != DefaultResumeWindow {
			t.Errorf("released %+v", got)
		}
	})
}

func TestSocketBrokenLog(t *testing.T) {
	socketTest(t, Options{}, func(t *testing.T, road *fakeRoad, _ *pipeListener, p *peer) {
		p.send(`{"type":"generate","id":"a","request":{"prompt":"x"}}`)
		p.until("queued")
		job := <-road.submitted
		job.breakReaders(errors.New("disk on fire"))
		m := p.receive()
		if m["type"] != "rejected" || m["job_id"] != job.snapshot().ID || strings.Contains(fmt.Sprint(m), "fire") {
			t.Errorf("told %v", m)
		}
	})
}

func TestSocketSubscriptionLimit(t *testing.T) {
	socketTest(t, Options{}, func(t *testing.T, road *fakeRoad, _ *pipeListener, p *peer) {
		for range maxSubscriptions {
			p.send(`{"type":"generate","id":"a","request":{"prompt":"x"}}`)
			p.until("accepted")
		}
		p.send(`{"type":"generate","id":"b","request":{"prompt":"x"}}`)
		for {
			m := p.receive()
			if m["type"] == "rejected" {
				if m["id"] != "b" || m["error"].(map[string]any)["code"] != "rate_limited" {
					t.Errorf("rejected %v", m)
				}
				break
			}
		}
		(<-road.submitted).succeed("room again")
		p.until("done")
		p.send(`{"type":"generate","id":"c","request":{"prompt":"x"}}`)
		if m := p.until("accepted"); m["id"] != "c" {
			t.Errorf("accepted %v", m)
		}
	})
}

func TestSocketHandshake(t *testing.T) {
	tests := []struct {
		name   string
		token  string
		header http.Header
		status int
		proto  string
	}{
		{"keyless", "", http.Header{}, 101, ""},
		{"keyless, named protocol", "", http.Header{"Sec-Websocket-Protocol": {"jeantrail.v1"}}, 101, "jeantrail.v1"},
		{"header", "secret", http.Header{"Authorization": {"Bearer secret"}}, 101, ""},
		{"subprotocols", "secret", http.Header{"Sec-Websocket-Protocol": {"jeantrail.v1, bearer.secret"}}, 101, "jeantrail.v1"},
		{"subprotocols of the shell", "secret", http.Header{"Sec-Websocket-Protocol": {"jeantrail.v1, bearer.secret"}, "Origin": {"tauri://localhost"}}, 101, "jeantrail.v1"},
		{"no token", "secret", http.Header{}, 401, ""},
		{"wrong subprotocol", "secret", http.Header{"Sec-Websocket-Protocol": {"jeantrail.v1, bearer.public"}}, 401, ""},
		{"token alone", "secret", http.Header{"Sec-Websocket-Protocol": {"bearer.secret"}}, 401, ""},
		{"a page", "", http.Header{"Origin": {"https://evil.example"}}, 403, ""},
		{"a page with the token", "secret", http.Header{"Origin": {"https://evil.example"}, "Authorization": {"Bearer secret"}}, 403, ""},
		{"rebound name", "", http.Header{"Host": {"evil.example:3001"}, "Origin": {"http://evil.example:3001"}}, 403, ""},
		{"version", "", http.Header{"Sec-Websocket-Version": {"8"}}, 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, client, stop := serve(t, newTestServer(t, Options{Token: tt.token}))
				defer stop()
				// A plain request, because a WebSocket client would not let us be wrong.
				r, err := http.NewRequestWithContext(context.Background(), "GET", "http://127.0.0.1:3001/ws", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header = tt.header.Clone()
				r.Host = r.Header.Get("Host")
				r.Header.Del("Host")
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", "websocket")
				if r.Header.Get("Sec-WebSocket-Version") == "" {
					r.Header.Set("Sec-WebSocket-Version", "13")
				}
				r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
				resp, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if resp.StatusCode != tt.status || resp.Header.Get("Sec-WebSocket-Protocol") != tt.proto {
					t.Errorf("status %d, protocol %q", resp.StatusCode, resp.Header.Get("Sec-WebSocket-Protocol"))
				}
				if tt.status >= 400 && resp.Header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("content type %q", resp.Header.Get("Content-Type"))
				}
			})
		})
	}
	s := newTestServer(t, Options{})
	wantProblem(t, call(s, "GET", "/ws", ""), 400, jeantrail.CodeInvalid)
}
