package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/golden"
)

func TestStreamGolden(t *testing.T) {
	s := newTestServer(t, Options{})
	w := call(s, "POST", "/generate", `{"prompt":"x","model":"qwen-3-72b"}`, "Accept", "text/event-stream")
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/event-stream" || !w.Flushed {
		t.Fatalf("status %d, header %v, flushed %v", w.Code, w.Header(), w.Flushed)
	}
	golden.Check(t, "stream.golden", w.Body.Bytes())
}

func TestStreamOfOtherEnds(t *testing.T) {
	s := newTestServer(t, Options{Road: newFakeRoad(func(j *fakeJob) {
		j.emit(jeantrail.Event{Type: jeantrail.EventProgress, Progress: jeantrail.Progress{Stage: "load", Done: 1, Total: 2, Unit: "layers"}})
		j.end(jeantrail.StateInterrupted, &jeantrail.Result{Model: "builtin", Text: "half", FinishReason: jeantrail.FinishCancelled},
			jeantrail.Errorf(jeantrail.CodeShuttingDown, "the program was stopped").WithNumber("seconds", 5))
	})})
	golden.Check(t, "interrupted.golden", call(s, "POST", "/generate", `{"prompt":"x","stream":true}`).Body.Bytes())
}

// An alert is an event of the job that raised it, and the result says what the
// job used and what became of the rules.
func TestStreamAlertGolden(t *testing.T) {
	alert := someAlert()
	s := newTestServer(t, Options{Road: newFakeRoad(func(j *fakeJob) {
		j.start()
		j.emit(jeantrail.Event{Type: jeantrail.EventAlert, Alert: &alert})
		j.emit(jeantrail.Event{Type: jeantrail.EventAlert, Alert: &jeantrail.Alert{BudgetID: "b2", Percent: 100}})
		j.end(jeantrail.StateSucceeded, &jeantrail.Result{
			Model: "builtin", FinishReason: jeantrail.FinishBudget, Truncated: true, Cache: jeantrail.CacheMiss,
			Usage:        jeantrail.Usage{Images: 2, AudioIn: 1250 * time.Millisecond, AudioOut: time.Second},
			RulesApplied: []string{"short"}, RulesSkipped: []string{"long: there is no model \"x\""},
			Energy: jeantrail.Energy{Measured: true, Source: "rapl", Millijoule: 1500, Price: 3},
		}, nil)
	})})
	golden.Check(t, "alert.golden", call(s, "POST", "/generate", `{"prompt":"x","stream":true}`).Body.Bytes())
}

func TestEnergy(t *testing.T) {
	if got := energyOf(jeantrail.Energy{}); got != nil {
		t.Errorf("nothing to say is %+v", got)
	}
	got := energyOf(jeantrail.Energy{Reason: "no counter", Millijoule: 5, Price: 5})
	if got == nil || got.Measured || got.Reason != "no counter" || got.Joules != nil || got.CostMicros != nil {
		t.Errorf("what was not measured is %+v", got)
	}
}

// Resuming gives what comes after, with the header before the query; a job that
// has nothing more to say ends an EventSource's attempts.
func TestStreamResume(t *testing.T) {
	road := newFakeRoad(answerScript)
	s := newTestServer(t, Options{Road: road})
	call(s, "POST", "/generate", `{"prompt":"x"}`)
	path := "/job/" + (<-road.submitted).snapshot().ID + "/events"
	<-road.released
	sse := []string{"Accept", "text/event-stream"}

	ids := func(body string) (ids []string) {
		for line := range strings.Lines(body) {
			if id, ok := strings.CutPrefix(line, "id: "); ok {
				ids = append(ids, strings.TrimSpace(id))
			}
		}
		return ids
	}
	if got := fmt.Sprint(ids(call(s, "GET", path, "", sse...).Body.String())); got != "[1 2 3 4]" {
		t.Errorf("from the start: %s", got)
	}
	if got := <-road.released; got.grace != DefaultResumeWindow {
		t.Errorf("a reader's lease is released with %v", got.grace)
	}
	if got := fmt.Sprint(ids(call(s, "GET", path+"?after=2", "", sse...).Body.String())); got != "[3 4]" {
		t.Errorf("after=2: %s", got)
	}
	if got := fmt.Sprint(ids(call(s, "GET", path+"?after=1", "", append(sse, "Last-Event-ID", "3")...).Body.String())); got != "[4]" {
		t.Errorf("Last-Event-ID 3: %s", got)
	}
	if w := call(s, "GET", path+"?after=4", "", sse...); w.Code != http.StatusNoContent {
		t.Errorf("after the end: %d %s", w.Code, w.Body)
	}
	wantProblem(t, call(s, "GET", path+"?after=-1", ""), 400, jeantrail.CodeInvalid)
	wantProblem(t, call(s, "GET", path, "", "Last-Event-ID", "x"), 400, jeantrail.CodeInvalid)
	wantProblem(t, call(s, "GET", path+"?afther=1", ""), 400, jeantrail.CodeInvalid)
	wantProblem(t, call(s, "GET", "/job/none/events", ""), 404, jeantrail.CodeNotFound)
}

func TestEventsAsJSON(t *testing.T) {
	road := newFakeRoad(func(j *fakeJob) {
		j.start()
		j.emit(jeantrail.Event{Type: jeantrail.EventToken, Partial: true, Text: "not stored"})
	})
	s := newTestServer(t, Options{Road: road})
	call(s, "POST", "/generate", `{"prompt":"x","async":true}`)
	path := "/job/" + (<-road.submitted).snapshot().ID + "/events"
	m := decoded(t, call(s, "GET", path, ""))
	if events := m["events"].([]any); len(events) != 2 || m["next"] != 2.0 {
		t.Errorf("a running job has %v", m)
	}
	m = decoded(t, call(s, "GET", path+"?after=2", ""))
	if events := m["events"].([]any); len(events) != 0 || m["next"] != 2.0 {
		t.Errorf("after the newest: %v", m)
	}
}

// Every piece leaves at once, and a quiet stream pings every 15 seconds.
func TestStreamFlushesAndPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		road := newFakeRoad(nil)
		s := newTestServer(t, Options{Road: road})
		_, client, stop := serve(t, s)
		defer stop()
		resp, err := client.Post("http://127.0.0.1:3001/generate", "application/json", strings.NewReader(`{"prompt":"x","stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		began, lines := time.Now(), bufio.NewReader(resp.Body)
		next := func(want string) {
			t.Helper()
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatalf("waiting for %q: %v", want, err)
				}
				if strings.HasPrefix(line, want) {
					return
				}
			}
		}
		job := <-road.submitted
		next("retry: 1000")
		next("event: queued")
		job.start()
		next("event: started")
		if took := time.Since(began); took != 0 {
			t.Errorf("an event took %v", took)
		}
		next(": ping")
		next(": ping")
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("the second ping came after %v", took)
		}
		job.succeed("ok")
		next("event: done")
		if rest, err := io.ReadAll(lines); err != nil || !strings.HasSuffix(string(rest), "}\n\n") {
			t.Errorf("the stream ends with %q, %v", rest, err)
		}
	})
}

// A client that does not read counts as gone after the write deadline.
func TestStreamSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		road := newFakeRoad(func(j *fakeJob) { j.start() })
		s := newTestServer(t, Options{Road: road})
		l, _, stop := serve(t, s)
		defer stop()
		conn, err := l.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		body := `{"prompt":"x","stream":true}`
		fmt.Fprintf(conn, "POST /generate HTTP/1.1\r\nHost: localhost:3001\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		began := time.Now()
		if got := <-road.released; got.grace != 0 {
			t.Errorf("released with grace %v", got.grace)
		}
		if took := time.Since(began); took != writeTimeout {
			t.Errorf("given up after %v, want %v", took, writeTimeout)
		}
	})
}

// A stream that breaks must not look like one that ended.
func TestBrokenStreamIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		road := newFakeRoad(nil)
		s := newTestServer(t, Options{Road: road})
		_, client, stop := serve(t, s)
		defer stop()
		resp, err := client.Post("http://127.0.0.1:3001/generate", "application/json", strings.NewReader(`{"prompt":"x","stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		(<-road.submitted).breakReaders(errors.New("disk on fire"))
		body, err := io.ReadAll(resp.Body)
		if !errors.Is(err, io.ErrUnexpectedEOF) || bytes.Contains(body, []byte("fire")) {
			t.Errorf("read %q, %v", body, err)
		}
	})
}

// Shutdown ends open streams; their jobs are let go.
func TestShutdownEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		road := newFakeRoad(nil)
		s := newTestServer(t, Options{Road: road})
		_, client, stop := serve(t, s)
		resp, err := client.Post("http://127.0.0.1:3001/generate", "application/json", strings.NewReader(`{"prompt":"x","stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		<-road.submitted
		began, rest := time.Now(), make(chan error, 1)
		go func() {
			_, err := io.ReadAll(resp.Body)
			rest <- err
		}()
		synctest.Wait() // the stream has sent all there is
		stop()
		if err := <-rest; err == nil {
			t.Error("the stream looks complete")
		}
		<-road.released
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
