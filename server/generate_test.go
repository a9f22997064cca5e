package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// The guide's commands run as they are printed; only the place that they reach
// is another, and the job's id is filled in.
func TestGuideCommands(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	road := newFakeRoad(answerScript)
	s := newTestServer(t, Options{Road: road})
	ts := httptest.NewServer(s.Handler())
	defer ts.Close()
	_, port, err := net.SplitHostPort(ts.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("testdata/guide.sh")
	if err != nil {
		t.Fatal(err)
	}
	commands := strings.Split(strings.TrimSpace(string(guide)), "\n\n")
	wants := []string{
		`"requested_model":"qwen-3-72b"`, `"status":"succeeded"`, "event: done\ndata: {", `"text":"Hello`, `{"status":"ok"`,
		`"status":"succeeded"`, `"status":"succeeded"`,
	}
	if len(commands) != len(wants) {
		t.Fatalf("%d commands, %d expectations", len(commands), len(wants))
	}
	for i, command := range commands {
		command = strings.ReplaceAll(command, "{job_id}", "01942000-0000-7000-8000-000000000001")
		script := "curl() { command curl -sS -w '\\n%{http_code}' --noproxy '*' --connect-to localhost:3001:127.0.0.1:" + port + " \"$@\"; }\n" + command
		out, err := exec.Command("sh", "-c", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		if !strings.Contains(string(out), wants[i]) || !bytes.HasSuffix(out, []byte("\n200")) {
			t.Errorf("%s\nanswered %s\nwant %s", command, out, wants[i])
		}
	}
	first := wait(t, road.submitted, "the first job").snapshot().Request
	if first.UserID != "user123" || *first.Text.MaxTokens != 2048 || *first.Text.Temperature != 0.7 || first.Async {
		t.Errorf("the first command became %+v", first)
	}
	wait(t, road.submitted, "the story")
	wait(t, road.submitted, "the test")
	image := wait(t, road.submitted, "the image").snapshot().Request
	if image.UserID != "user123" || image.Image == nil || image.Image.Width != 1024 || image.Image.Height != 1024 || image.Image.Prompt != "A futuristic AI assistant" {
		t.Errorf("the image became %+v", image.Image)
	}
	pipeline := wait(t, road.submitted, "the pipeline").snapshot().Request
	if p := pipeline.Pipeline; pipeline.UserID != "user123" || p == nil || p.Workflow != "text_to_image" || p.Input["prompt"] != "Create a futuristic AI image" {
		t.Errorf("the pipeline became %+v", pipeline.Pipeline)
	}
}

func TestGenerateAnswersWhenDone(t *testing.T) {
	road := newFakeRoad(answerScript)
	s := newTestServer(t, Options{Road: road})
	w := call(s, "POST", "/generate", `{"prompt":"Hi","model":"qwen-3-72b"}`, "Content-Type", "application/json; charset=UTF-8")
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	want := `{"job_id":"01942000-0000-7000-8000-000000000001","status":"succeeded","model":"builtin","requested_model":"qwen-3-72b",` +
		`"text":"Hello <b>\n\"you\"","finish_reason":"stop","truncated":false,` +
		`"usage":{"prompt_tokens":12,"cached_tokens":4,"completion_tokens":3,"reasoning_tokens":0},` +
		`"cost":{"amount_micros":1234,"usd":"0.001234","reserved_micros":5000},` +
		`"timings":{"queue_ms":1,"prompt_ms":0,"first_token_ms":1.5,"total_ms":20,"cached_from":"kv","tokens_per_second":123.46},` +
		`"engine":{"device":"CPU","layers_offloaded":0,"n_ctx":2048},"cache":"off","rules_applied":[]}`
	if got := w.Body.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := wait(t, road.released, "release"); got.grace != 0 {
		t.Errorf("released with grace %v", got.grace)
	}
}

func TestGenerateEndStates(t *testing.T) {
	tests := []struct {
		name   string
		script func(*fakeJob)
		status int
		want   string
	}{
		{"cancelled elsewhere", func(j *fakeJob) {
			j.end(jeantrail.StateCancelled, &jeantrail.Result{Text: "half", FinishReason: jeantrail.FinishCancelled}, nil)
		}, 200, `"status":"cancelled"`},
		{"cancelled without a result", func(j *fakeJob) { j.end(jeantrail.StateCancelled, nil, nil) }, 499, `"code":"cancelled"`},
		{"failed", func(j *fakeJob) {
			j.end(jeantrail.StateFailed, nil, jeantrail.Errorf(jeantrail.CodeStorageFull, "no room"))
		}, 507, `"job_id":"01942000-0000-7000-8000-000000000001"`},
		{"failed by a defect", func(j *fakeJob) {
			j.end(jeantrail.StateFailed, nil, jeantrail.Errorf(jeantrail.CodeInternal, "secret pointer"))
		}, 500, `"detail":"internal error"`},
		{"interrupted", func(j *fakeJob) { j.end(jeantrail.StateInterrupted, &jeantrail.Result{}, nil) }, 503, `"code":"shutting_down"`},
		{"no reason", func(j *fakeJob) { j.end(jeantrail.StateFailed, nil, nil) }, 500, `"code":"internal"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newTestServer(t, Options{Road: newFakeRoad(tt.script)})
			w := call(s, "POST", "/generate", `{"prompt":"x"}`)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("answered %d %s, want %d %s", w.Code, w.Body, tt.status, tt.want)
			}
		})
	}
}

func TestGenerateDetached(t *testing.T) {
	never := func(*fakeJob) {}
	tests := []struct {
		name, body string
		header     []string
		script     func(*fakeJob)
		status     int
		applied    string
	}{
		{"async", `{"prompt":"x","async":true}`, nil, never, 202, ""},
		{"async beside a finished job", `{"prompt":"x","async":true}`, nil, answerScript, 202, ""},
		{"respond-async", `{"prompt":"x"}`, []string{"Prefer", "respond-async"}, never, 202, "respond-async"},
		{"wait long enough", `{"prompt":"x"}`, []string{"Prefer", "respond-async, wait=10"}, answerScript, 200, "respond-async, wait=10"},
		{"wait in vain", `{"prompt":"x"}`, []string{"Prefer", "wait=7"}, never, 202, "wait=7"},
		{"a wish that makes no sense", `{"prompt":"x"}`, []string{"Prefer", "wait=soon, handling=lenient"}, answerScript, 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				road := newFakeRoad(tt.script)
				s := newTestServer(t, Options{Road: road})
				began := time.Now()
				w := call(s, "POST", "/generate", tt.body, tt.header...)
				if w.Code != tt.status || w.Header().Get("Preference-Applied") != tt.applied {
					t.Fatalf("answered %d with %v: %s", w.Code, w.Header(), w.Body)
				}
				if took := time.Since(began); strings.Contains(tt.name, "in vain") && took != 7*time.Second {
					t.Errorf("waited %v", took)
				}
				if tt.status != 202 {
					return
				}
				id := (<-road.submitted).snapshot().ID
				links := decoded(t, w)["links"].(map[string]any)
				if w.Header().Get("Location") != "/job/"+id || links["events"] != "/job/"+id+"/events" || links["cancel"] != links["self"] {
					t.Errorf("links %v, location %q", links, w.Header().Get("Location"))
				}
				if road.leases != 0 {
					t.Error("a detached job is leased")
				}
			})
		})
	}
}

// A client that goes away lets go of its job at once; what it asked to outlive
// it does.
func TestClientGone(t *testing.T) {
	tests := []struct {
		name, body, prefer string
		released, cancel   bool
	}{
		{"waiting", `{"prompt":"x"}`, "", true, false},
		{"streaming", `{"prompt":"x","stream":true}`, "", true, false},
		{"waiting for the id of a job", `{"prompt":"x"}`, "wait=60", false, true},
		{"async", `{"prompt":"x","async":true}`, "wait=60", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			road := newFakeRoad(func(j *fakeJob) { j.start() })
			s := newTestServer(t, Options{Road: road})
			ctx, leave := context.WithCancel(context.Background())
			r := httptest.NewRequestWithContext(ctx, "POST", "http://localhost:3001/generate", strings.NewReader(tt.body))
			r.Header.Set("Prefer", tt.prefer)
			over := make(chan struct{})
			go func() {
				defer close(over)
				s.Handler().ServeHTTP(httptest.NewRecorder(), r)
			}()
			job := wait(t, road.submitted, "the job")
			leave()
			wait(t, over, "the handler")
			if got := len(road.released) == 1; got != tt.released {
				t.Errorf("released: %v, want %v", got, tt.released)
			}
			if got := len(road.cancelled) == 1; got != tt.cancel {
				t.Errorf("cancelled: %v, want %v", got, tt.cancel)
			}
			if tt.released {
				if got := <-road.released; got.id != job.snapshot().ID || got.grace != 0 {
					t.Errorf("released %+v", got)
				}
			}
		})
	}
}

func TestGenerateRefusals(t *testing.T) {
	tests := []struct {
		name, body string
		status     int
		code       jeantrail.Code
		want       string // in detail or hint
	}{
		{"nothing", "", 400, jeantrail.CodeInvalid, "empty"},
		{"no JSON", "prompt=hello", 400, jeantrail.CodeInvalid, "line 1, column 1"},
		{"cut off", "{\n  \"prompt\": \"x", 400, jeantrail.CodeInvalid, "line 2"},
		{"something behind", `{"prompt":"x"} {}`, 400, jeantrail.CodeInvalid, "column 16"},
		{"a list", `[1]`, 400, jeantrail.CodeInvalid, "the body must be an object"},
		{"unknown field", `{"prompt":"x","max_token":5}`, 400, jeantrail.CodeInvalid, `Did you mean "max_tokens"?`},
		{"unknown field, nothing like it", `{"prompt":"x","colour":5}`, 400, jeantrail.CodeInvalid, "The fields are"},
		{"other letters", `{"Prompt":"x"}`, 400, jeantrail.CodeInvalid, `Did you mean "prompt"?`},
		{"unknown field inside", `{"messages":[{"role":"user","contents":"x"}]}`, 400, jeantrail.CodeInvalid, `"messages.contents"`},
		{"twice", `{"prompt":"x","prompt":"y"}`, 400, jeantrail.CodeInvalid, "given twice"},
		{"wrong type", `{"prompt":"x","max_tokens":"5"}`, 400, jeantrail.CodeInvalid, "max_tokens must be a whole number, not string"},
		{"negative seed", `{"prompt":"x","seed":-1}`, 400, jeantrail.CodeInvalid, "from 0 to 4294967295"},
		{"out of range", `{"prompt":"x","top_p":2}`, 400, jeantrail.CodeInvalid, "top_p"},
		{"bad UTF-8", "{\"prompt\":\"\xff\"}", 400, jeantrail.CodeInvalid, "UTF-8"},
		{"bias of a word", `{"prompt":"x","logit_bias":{"word":1}}`, 400, jeantrail.CodeInvalid, "token id"},
		{"arguments", `{"messages":[{"role":"assistant","tool_calls":[{"name":"f","arguments":"{}"}]}]}`, 400, jeantrail.CodeInvalid, "object"},
		{"stream and async", `{"prompt":"x","stream":true,"async":true}`, 400, jeantrail.CodeInvalid, "links.events"},
		{"template of a conversation", `{"template":"t","messages":[{"role":"user","content":"x"}]}`, 400, jeantrail.CodeInvalid, "excludes"},
		{"variables alone", `{"prompt":"x","variables":{"a":1}}`, 400, jeantrail.CodeInvalid, "need a template"},
		{"variable of a list", `{"template":"t","variables":{"a":[1]}}`, 400, jeantrail.CodeInvalid, `"a" is neither`},
		{"variable of nothing", `{"template":"t","variables":{"a":null}}`, 400, jeantrail.CodeInvalid, `"a" is neither`},
		{"variable twice", `{"template":"t","variables":{"a":1,"a":2}}`, 400, jeantrail.CodeInvalid, `"a" is given twice`},
		{"variables in a list", `{"template":"t","variables":[1]}`, 400, jeantrail.CodeInvalid, "variables must be an object"},
		{"cache", `{"prompt":"x","cache":"yes"}`, 400, jeantrail.CodeInvalid, "cache must be true or false"},
		{"nesting", `{"prompt":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, 400, jeantrail.CodeInvalid, "JSON"},
	}
	s := newTestServer(t, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := wantProblem(t, call(s, "POST", "/generate", tt.body), tt.status, tt.code)
			if text := fmt.Sprint(m["detail"], " ", m["hint"]); !strings.Contains(text, tt.want) {
				t.Errorf("says %q, want %q", text, tt.want)
			}
		})
	}
}

func TestGenerateKeepsHarmlessFields(t *testing.T) {
	road := newFakeRoad(answerScript)
	s := newTestServer(t, Options{Road: road})
	w := call(s, "POST", "/generate", `{"prompt":"x","task_type":"chat","metadata":{"a":"b"},"cache":false,"priority":"batch","variables":null}`)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	req := (<-road.submitted).snapshot().Request
	if req.TaskType != "chat" || req.Metadata["a"] != "b" || req.Priority != jeantrail.PriorityBatch || req.Cache == nil || *req.Cache {
		t.Errorf("the request became %+v", req)
	}
}

// A template takes the place of the prompt. Its variables keep their types, and
// numbers their digits.
func TestGenerateWithTemplate(t *testing.T) {
	road := newFakeRoad(answerScript)
	s := newTestServer(t, Options{Road: road})
	w := call(s, "POST", "/generate", `{"template":"price_intelligence","variables":{"price":12.340,"free":true,"name":"<b>","count":12345678901234567890}}`)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	req := (<-road.submitted).snapshot().Request
	want := map[string]any{"price": json.Number("12.340"), "free": true, "name": "<b>", "count": json.Number("12345678901234567890")}
	if req.Template != "price_intelligence" || !maps.Equal(req.Variables, want) || req.Cache != nil {
		t.Errorf("the request became %+v", req)
	}
}

func TestBodyLimit(t *testing.T) {
	s := newTestServer(t, Options{MaxBody: 100})
	long := `{"prompt":"` + strings.Repeat("x", 100) + `"}`
	if m := wantProblem(t, call(s, "POST", "/generate", long), 413, jeantrail.CodeTooLarge); m["limit"] != 100.0 {
		t.Errorf("limit is %v", m["limit"])
	}
	// The same without a Content-Length.
	r := httptest.NewRequest("POST", "http://127.0.0.1:3001/generate", strings.NewReader(long))
	r.ContentLength = -1
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	wantProblem(t, w, 413, jeantrail.CodeTooLarge)
	if w := call(s, "POST", "/generate", long[:80]+`"}`); w.Code != 200 {
		t.Errorf("a body within the limit: %d %s", w.Code, w.Body)
	}
}

func TestContentTypes(t *testing.T) {
	tests := []struct {
		name   string
		header []string
		status int
	}{
		{"none", nil, 200},
		{"empty", []string{"Content-Type", ""}, 200},
		{"curl -d", []string{"Content-Type", "application/x-www-form-urlencoded"}, 200},
		{"JSON", []string{"Content-Type", "application/json"}, 200},
		{"text", []string{"Content-Type", "text/plain"}, 415},
		{"multipart", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
		{"latin", []string{"Content-Type", "application/json; charset=latin1"}, 415},
		{"gzip", []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, 415},
		{"two", []string{"Content-Type", "application/json", "Content-Type", "text/plain"}, 400},
		{"browser JSON", []string{"Content-Type", "application/json", "Origin", "tauri://localhost"}, 200},
		{"browser form", []string{"Content-Type", "application/x-www-form-urlencoded", "Origin", "tauri://localhost"}, 415},
		{"browser none", []string{"Origin", "tauri://localhost"}, 415},
		{"browser without Origin", []string{"Sec-Fetch-Site", "same-origin", "Content-Type", "text/plain"}, 415},
	}
	s := newTestServer(t, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if w := call(s, "POST", "/generate", `{"prompt":"x"}`, tt.header...); w.Code != tt.status {
				t.Errorf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
		})
	}
}

func TestSubmitErrorComesBeforeTheStream(t *testing.T) {
	full := jeantrail.Errorf(jeantrail.CodeQueueFull, "the queue is full").WithNumber("queued", 7)
	full.RetryAfter = 1500 * time.Millisecond
	road := newFakeRoad(nil)
	road.submitErr = fmt.Errorf("submit: %w", full)
	s := newTestServer(t, Options{Road: road})
	w := call(s, "POST", "/generate", `{"prompt":"x","stream":true}`)
	m := wantProblem(t, w, 503, jeantrail.CodeQueueFull)
	if w.Header().Get("Retry-After") != "2" || m["queued"] != 7.0 || m["detail"] != "the queue is full" {
		t.Errorf("header %v, problem %v", w.Header(), m)
	}
}

func TestStopRefusesNewJobs(t *testing.T) {
	s := newTestServer(t, Options{})
	s.StopAccepting()
	wantProblem(t, call(s, "POST", "/generate", `{"prompt":"x"}`), 503, jeantrail.CodeShuttingDown)
	if w := call(s, "GET", "/ready", ""); w.Code != 503 {
		t.Errorf("/ready says %d", w.Code)
	}
	if w := call(s, "GET", "/health", ""); w.Code != 200 {
		t.Errorf("/health says %d", w.Code)
	}
}

// A client that sends its body too slowly is not waited for.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Options{})
		l, _, stop := serve(t, s)
		defer stop()
		conn, err := l.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		began := time.Now()
		if _, err := fmt.Fprint(conn, "POST /generate HTTP/1.1\r\nHost: localhost:3001\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil || !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 408")) {
			t.Errorf("answer %q, %v", buf[:n], err)
		}
		if took := time.Since(began); took != bodyTimeout {
			t.Errorf("it took %v, want %v", took, bodyTimeout)
		}
	})
}

func TestPanicIsAnInternalError(t *testing.T) {
	s := newTestServer(t, Options{Road: newFakeRoad(func(*fakeJob) { panic(errors.New("secret")) })})
	m := wantProblem(t, call(s, "POST", "/generate", `{"prompt":"x"}`), 500, jeantrail.CodeInternal)
	if body, _ := json.Marshal(m); bytes.Contains(body, []byte("secret")) {
		t.Errorf("the problem tells too much: %s", body)
	}
}
