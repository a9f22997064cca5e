package contract

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/gateway/workflow"
	"github.com/jeantrail/jeantrail-ai/server"
	"github.com/jeantrail/jeantrail-ai/store"
	"github.com/jeantrail/jeantrail-ai/store/artifact"
)

// script is a backend that answers three tokens, or, to the prompt "endless",
// goes on until it is told to stop.
type script struct{}

func (script) Prepare(_ context.Context, req *jeantrail.Request) (gateway.Work, error) {
	if req.Model == "cold" && req.Text.NoWait {
		return nil, jeantrail.Errorf(jeantrail.CodeModelLoading, "the model cold is being loaded").WithNumber("progress_percent", 40)
	}
	return work{request: *req.Text}, nil
}

// work is one request, of which the prompt alone decides about the answer.
type work struct{ request jeantrail.TextRequest }

func (w work) Bounds() jeantrail.Bounds {
	b := jeantrail.Bounds{PromptTokens: 12, CompletionTokens: 100, Exact: true, Open: w.request.MaxTokens == nil}
	if w.request.MaxTokens != nil {
		b.CompletionTokens = *w.request.MaxTokens
	}
	return b
}

func (w work) Fingerprint() ([]byte, bool) {
	sum := sha256.Sum256([]byte(w.request.System + "\x00" + w.request.Prompt))
	return sum[:], w.request.Temperature != nil && *w.request.Temperature == 0
}

func (work) Run(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	engine := jeantrail.EngineInfo{Device: "CPU", NCtx: 2048}
	sink.Started(job.Model, engine, 12, 4)
	result := &jeantrail.Result{Model: job.Model, FinishReason: jeantrail.FinishStop, Engine: engine, Cache: jeantrail.CacheOff}
	for _, text := range []string{"one ", "two ", "three"} {
		sink.Token(text, false, 1)
		result.Text += text
	}
	result.Usage = jeantrail.Usage{PromptTokens: 12, CachedTokens: 4, CompletionTokens: 3}
	if job.Request.Text.Prompt == "endless" {
		<-ctx.Done()
		result.FinishReason = jeantrail.FinishCancelled
		return result, context.Cause(ctx)
	}
	return result, nil
}

type models struct{ workflows *workflow.Library }

func (m models) Resolve(kind jeantrail.Kind, name string) (string, gateway.Backend, error) {
	switch {
	case name == "none":
		return "", nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no model %q", name)
	case kind == jeantrail.KindPipeline:
		return m.workflows.Resolve(name)
	case kind != jeantrail.KindText:
		return "worker-" + string(kind), worker{}, nil
	}
	return "builtin", script{}, nil
}

func (models) List(context.Context) []jeantrail.Model {
	return []jeantrail.Model{{Name: "builtin", Default: true, Status: jeantrail.ModelReady}}
}

// road lends the gateway the shape that the server asks for.
type road struct{ *gateway.Gateway }

func (r road) Lease(id string) func(time.Duration) {
	lease, err := r.Gateway.Lease(context.Background(), jeantrail.Principal{Role: jeantrail.RoleAdmin}, id)
	if err != nil {
		return func(time.Duration) {}
	}
	return lease.Release
}

func (r road) Follow(ctx context.Context, p jeantrail.Principal, id string, after int64) (server.EventReader, error) {
	return r.Gateway.Follow(ctx, p, id, after)
}

// house is a server with all that stands behind it.
type house struct {
	url      string
	store    *store.Store
	document validator.Validator
}

func open(t *testing.T) *house {
	t.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, filepath.Join(t.TempDir(), "jeantrail.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files, err := artifact.Open(filepath.Join(dir, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	library, err := workflow.New(workflow.Options{Files: os.DirFS(dir), Storage: storage(dir)})
	if err != nil {
		t.Fatal(err)
	}
	metrics := server.NewMetrics()
	gw, err := gateway.New(gateway.Options{Store: st, Models: models{library}, Files: files, Observer: metrics})
	if err != nil {
		t.Fatal(err)
	}
	library.Attach(gw)
	if err := gw.Start(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Options{
		Road: road{gw}, Money: gw, Models: models{library}, Files: files, Workflows: library, Fleet: fleet{}, Pulls: newPulls(), Benches: benches{st}, Metrics: metrics,
		Version: "1.2.3", ResumeWindow: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := server.Listen("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	doc, err := libopenapi.NewDocument(s.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	t.Cleanup(func() {
		v.Release()
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		s.StopAccepting()
		for _, err := range []error{gw.Stop(ctx), s.Shutdown(ctx), <-served, st.Close()} {
			if err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
	return &house{url: "http://" + ln.Addr().String(), store: st, document: v}
}

// call sends a request, checks the answer against the document and returns it.
func (h *house) call(t *testing.T, method, path, body string, header ...string) (int, map[string]any, string) {
	t.Helper()
	request := func() *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json") // unless the test says otherwise
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	resp, err := http.DefaultClient.Do(request())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	if ok, errs := h.document.ValidateHttpResponse(request(), resp); !ok && resp.Header.Get("Content-Type") != "text/event-stream" {
		for _, err := range errs {
			t.Errorf("%s %s answered %s: %s: %s", method, path, data, err.Message, err.Reason)
		}
	}
	var object map[string]any
	_ = json.Unmarshal(data, &object) // nil for a stream
	return resp.StatusCode, object, string(data)
}

func TestDocument(t *testing.T) {
	if ok, errs := open(t).document.ValidateDocument(); !ok {
		for _, err := range errs {
			t.Errorf("%s: %s", err.Message, err.Reason)
		}
	}
}

// One job after another, in each form, through all of the house.
func TestAnswers(t *testing.T) {
	h := open(t)
	status, m, body := h.call(t, "POST", "/generate", `{"prompt":"x","model":"qwen-3-72b","user_id":"user123","stream":false,"max_tokens":2048,"temperature":0.7}`)
	if status != 200 || m["text"] != "one two three" || m["requested_model"] != "qwen-3-72b" || m["model"] != "builtin" {
		t.Fatalf("sync: %d %s", status, body)
	}
	self := "/job/" + m["job_id"].(string)
	cost := m["cost"].(map[string]any)["amount_micros"].(float64)
	if cost <= 0 {
		t.Errorf("it cost %v", cost)
	}
	status, m, body = h.call(t, "GET", self, "")
	if status != 200 || m["status"] != "succeeded" || m["user_id"] != "user123" || m["cost"].(map[string]any)["amount_micros"] != cost {
		t.Errorf("job: %d %s", status, body)
	}
	if _, m, body = h.call(t, "GET", self+"/events", ""); m["next"] != m["events"].([]any)[len(m["events"].([]any))-1].(map[string]any)["seq"] {
		t.Errorf("events: %s", body)
	}
	last := int(m["next"].(float64))
	if _, _, body = h.call(t, "GET", fmt.Sprintf("%s/events?after=%d", self, last-1), "", "Accept", "text/event-stream"); !strings.HasPrefix(body, fmt.Sprintf("retry: 1000\n\nid: %d\nevent: done\n", last)) {
		t.Errorf("resumed: %s", body)
	}
	if status, _, _ = h.call(t, "GET", fmt.Sprintf("%s/events?after=%d", self, last), "", "Accept", "text/event-stream"); status != 204 {
		t.Errorf("after the end: %d", status)
	}
	if status, _, body = h.call(t, "DELETE", self, ""); status != 200 {
		t.Errorf("cancel what is over: %d %s", status, body)
	}
	for _, rq := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/jobs?limit=5&user_id=user123", "", 200}, {"GET", "/jobs?limit=0", "", 400}, {"GET", "/job/none", "", 404},
		{"POST", "/generate", `{"prompt":"x","variables":{"a":1}}`, 400}, {"POST", "/generate", `{"promt":"x"}`, 400},
		{"POST", "/generate", `{"prompt":"x","model":"none"}`, 404},
		{"GET", "/models", "", 200}, {"GET", "/models/builtin", "", 200}, {"GET", "/models/x", "", 404},
		{"GET", "/health", "", 200}, {"GET", "/ready", "", 200}, {"GET", "/openapi.json", "", 200},
	} {
		if status, _, body := h.call(t, rq.method, rq.path, rq.body); status != rq.status {
			t.Errorf("%s %s: %d %s", rq.method, rq.path, status, body)
		}
	}
	if _, _, body = h.call(t, "GET", "/metrics", ""); !strings.Contains(body, `jeantrail_jobs_total{kind="text",model="builtin",state="succeeded"} 1`) {
		t.Error("the gateway's jobs are not counted")
	}
}

// The text of a stream is whole, whichever way the pieces fell.
func TestStream(t *testing.T) {
	h := open(t)
	_, _, body := h.call(t, "POST", "/generate", `{"prompt":"x","stream":true}`, "Accept", "text/event-stream")
	text, seq := "", 0.0
	for frame := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		_, data, found := strings.Cut(frame, "data: ")
		if !found {
			continue
		}
		var e map[string]any
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err)
		}
		if e["type"] == "token" {
			text += e["text"].(string)
		}
		if e["partial"] == nil {
			if e["seq"] != seq+1 {
				t.Errorf("after %v comes %v", seq, e["seq"])
			}
			seq++
		}
	}
	if text != "one two three" {
		t.Errorf("the pieces make %q of\n%s", text, body)
	}
}

func TestCancelEndsTheWaitingCaller(t *testing.T) {
	h := open(t)
	answered := make(chan string, 1)
	go func() {
		resp, err := http.Post(h.url+"/generate", "", strings.NewReader(`{"prompt":"endless"}`))
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		answered <- fmt.Sprint(resp.StatusCode, string(data))
	}()
	id := h.running(t)
	if status, _, body := h.call(t, "DELETE", "/job/"+id, ""); status != 200 && status != 202 {
		t.Errorf("cancel: %d %s", status, body)
	}
	if got := <-answered; !strings.HasPrefix(got, "200") || !strings.Contains(got, `"status":"cancelled"`) || !strings.Contains(got, `"text":"one two three"`) {
		t.Errorf("the caller got %s", got)
	}
}

// running returns the id of the job that runs, when one does.
func (h *house) running(t *testing.T) string {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); {
		_, m, _ := h.call(t, "GET", "/jobs?status=running", "")
		if jobs := m["jobs"].([]any); len(jobs) > 0 {
			return jobs[0].(map[string]any)["job_id"].(string)
		}
	}
	t.Fatal("no job runs")
	return ""
}

// A client that leaves, over HTTP at once and over a socket after the resume
// window, ends its job, and what was produced is charged.
func TestClientGoneCancels(t *testing.T) {
	h := open(t)
	leave := map[string]func() func(){
		"stream": func() func() {
			ctx, cancel := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, "POST", h.url+"/generate", strings.NewReader(`{"prompt":"endless","stream":true}`))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			return func() { cancel(); resp.Body.Close() }
		},
		"socket": func() func() {
			conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url, "http")+"/ws", nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"generate","id":"1","request":{"prompt":"endless"}}`)); err != nil {
				t.Fatal(err)
			}
			return func() { conn.Close() }
		},
	}
	for name, begin := range leave {
		gone := begin()
		id := h.running(t)
		gone()
		for {
			_, m, body := h.call(t, "GET", "/job/"+id, "")
			if m["status"] == "running" {
				continue
			}
			if m["status"] != "cancelled" || m["usage"].(map[string]any)["completion_tokens"] != 3.0 || m["cost"].(map[string]any)["amount_micros"] == 0.0 {
				t.Errorf("%s: %s", name, body)
			}
			break
		}
	}
}

// The document refuses what the server refuses.
func TestDocumentIsStrict(t *testing.T) {
	h := open(t)
	for path, bodies := range map[string][]string{
		"/generate": {`{"promt":"x"}`, `{"prompt":"x","max_tokens":0}`, `{"prompt":"x","priority":"soon"}`, `{"prompt":"x","images":[{"url":"x"}]}`,
			`{"prompt":"x","images":[{"sha256":"x","bytes":1}]}`, `{"prompt":"x","images":[""]}`},
		"/generate-image":   {`{"prompt":"x","width":0}`, `{"prompt":"x","n":9}`, `{"prompt":"x","seed":-1}`, `{"prompt":"x","user":"y"}`},
		"/transcribe":       {`{"audio_base64":"UklG","format":"docx"}`, `{"file":{"job_id":"x"}}`, `{"audio":"x"}`},
		"/speak":            {`{"text":"x","speed":9}`, `{"txt":"x"}`},
		"/pipeline/process": {`{}`, `{"workflow":""}`, `{"workflow":"text_to_image","input_data":{"prompt":["x"]}}`, `{"workflow":"text_to_image","input":{}}`},
	} {
		for _, body := range bodies {
			r := httptest.NewRequest("POST", h.url+path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			if ok, _ := h.document.ValidateHttpRequest(r); ok {
				t.Errorf("the document of %s accepts %s", path, body)
			}
			if status, _, _ := h.call(t, "POST", path, body); status != http.StatusBadRequest {
				t.Errorf("%s answers %s with %d", path, body, status)
			}
		}
	}
	for path, body := range map[string]string{
		"/generate":       `{"prompt":"x","images":["` + inBase64(picture) + `"]}`,
		"/generate-image": `{"prompt":"x","width":64,"model":"m","async":true}`, "/transcribe": `{"audio_base64":"` + inBase64(sound) + `","async":true}`,
		"/speak": `{"text":"x","async":true}`, "/pipeline/estimate": `{"workflow":"text_to_image","input_data":{"prompt":"x","n":1}}`,
	} {
		r := httptest.NewRequest("POST", h.url+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if ok, errs := h.document.ValidateHttpRequest(r); !ok {
			t.Errorf("the document of %s refuses %s: %v", path, body, errs[0])
		}
		if status, _, text := h.call(t, "POST", path, body); status != http.StatusOK && status != http.StatusAccepted {
			t.Errorf("%s answers %s with %d %s", path, body, status, text)
		}
	}
}
