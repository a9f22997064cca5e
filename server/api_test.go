package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Every code has its row, and the table has no other.
func TestCodeTable(t *testing.T) {
	table := codeTable()
	for _, code := range jeantrail.Codes() {
		row, ok := table[code]
		if !ok || row.status < 400 || row.title == "" {
			t.Errorf("code %s has the row %+v", code, row)
		}
		delete(table, code)
	}
	if len(table) > 0 {
		t.Errorf("rows of unknown codes: %v", table)
	}
	if rowOf("no such code").status != 500 {
		t.Error("an unknown code is not internal")
	}
}

// Each code crosses the wire whole, whichever way it is wrapped.
func TestProblemOfEachCode(t *testing.T) {
	for _, code := range jeantrail.Codes() {
		t.Run(string(code), func(t *testing.T) {
			road := newFakeRoad(nil)
			cause := &jeantrail.Error{
				Code: code, Message: "what happened", Hint: "what to do", Err: errors.New("secret"),
				Numbers: map[string]int64{"n_ctx": 2048, "status": 1},
			}
			road.submitErr = fmt.Errorf("submit: %w", cause)
			s := newTestServer(t, Options{Road: road})
			row := codeTable()[code]
			w := call(s, "POST", "/generate", `{"prompt":"x"}`)
			m := wantProblem(t, w, row.status, code)
			if m["n_ctx"] != 2048.0 || m["hint"] != "what to do" || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("problem %s", w.Body)
			}
			if got := w.Header().Get("Retry-After") != ""; got != (row.retry > 0) {
				t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
			}
		})
	}
}

func TestUnknownErrorSaysNothing(t *testing.T) {
	road := newFakeRoad(nil)
	road.submitErr = errors.New("secret")
	s := newTestServer(t, Options{Road: road})
	w := call(s, "POST", "/generate", `{"prompt":"x"}`)
	wantProblem(t, w, 500, jeantrail.CodeInternal)
	if strings.Contains(w.Body.String(), "secret") {
		t.Errorf("it tells %s", w.Body)
	}
}

func TestPathsAndMethods(t *testing.T) {
	s := newTestServer(t, Options{})
	wantProblem(t, call(s, "GET", "/", ""), 404, jeantrail.CodeNotFound)
	wantProblem(t, call(s, "GET", "/generate-images", ""), 404, jeantrail.CodeNotFound)
	for path, allow := range map[string]string{"/generate": "POST", "/job/x": "DELETE, GET", "/health": "GET"} {
		w := call(s, "PUT", path, "")
		if wantProblem(t, w, 405, jeantrail.CodeUnsupported); w.Header().Get("Allow") != allow {
			t.Errorf("PUT %s: Allow is %q", path, w.Header().Get("Allow"))
		}
	}
	if w := call(s, "HEAD", "/health", ""); w.Code != 200 {
		t.Errorf("HEAD /health: %d", w.Code)
	}
	wantProblem(t, call(s, "GET", "/ws", ""), 400, jeantrail.CodeInvalid)
}

func TestJob(t *testing.T) {
	road := newFakeRoad(answerScript)
	s := newTestServer(t, Options{Road: road})
	call(s, "POST", "/generate", `{"messages":[{"role":"user","content":"x"}],"seed":7,"logit_bias":{"5":-1},"metadata":{"k":"v"}}`)
	id := (<-road.submitted).snapshot().ID
	m := decoded(t, call(s, "GET", "/job/"+id, ""))
	request, result := m["request"].(map[string]any), m["result"].(map[string]any)
	if m["status"] != "succeeded" || m["last_seq"] != 4.0 || m["created_at"] != "2026-01-02T03:04:05.006Z" ||
		request["seed"] != 7.0 || request["logit_bias"].(map[string]any)["5"] != -1.0 || result["text"] != "Hello <b>\n\"you\"" ||
		m["cost"].(map[string]any)["usd"] != "0.001234" {
		t.Errorf("job %v", m)
	}
	wantProblem(t, call(s, "GET", "/job/none", ""), 404, jeantrail.CodeNotFound)
}

// Cancelling is idempotent and shows what was produced.
func TestCancelJob(t *testing.T) {
	road := newFakeRoad(nil)
	s := newTestServer(t, Options{Road: road})
	call(s, "POST", "/generate", `{"prompt":"x","async":true}`)
	id := (<-road.submitted).snapshot().ID
	for range 2 {
		m := decoded(t, call(s, "DELETE", "/job/"+id, ""))
		if m["status"] != "cancelled" || m["result"].(map[string]any)["finish_reason"] != "cancelled" {
			t.Errorf("job %v", m)
		}
	}
	wantProblem(t, call(s, "DELETE", "/job/none", ""), 404, jeantrail.CodeNotFound)
}

func TestListJobs(t *testing.T) {
	road := newFakeRoad(answerScript)
	s := newTestServer(t, Options{Road: road})
	call(s, "POST", "/generate", `{"prompt":"private"}`)
	w := call(s, "GET", "/jobs?user_id=u&status=succeeded&kind=text&model=builtin&workflow=w&parent=p&from=2026-01-02&to=2026-01-03T00:00:00%2B01:00&limit=7&cursor=c", "")
	m := decoded(t, w)
	if jobs := m["jobs"].([]any); len(jobs) != 1 || m["next"] != "more" || strings.Contains(w.Body.String(), "private") {
		t.Errorf("listing %v", m)
	}
	want := jeantrail.JobFilter{
		UserID: "u", State: "succeeded", Kind: "text", Model: "builtin", Workflow: "w", Parent: "p", Limit: 7, Cursor: "c",
		From: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 2, 23, 0, 0, 0, time.UTC),
	}
	if road.filter != want {
		t.Errorf("filter %+v, want %+v", road.filter, want)
	}
	for _, query := range []string{"status=done", "kind=film", "limit=0", "limit=501", "limit=x", "from=yesterday", "to=1", "user=u", "limit=1&limit=2", "%zz"} {
		wantProblem(t, call(s, "GET", "/jobs?"+query, ""), 400, jeantrail.CodeInvalid)
	}
}

func TestModels(t *testing.T) {
	s := newTestServer(t, Options{})
	models := decoded(t, call(s, "GET", "/models", ""))["models"].([]any)
	if m := models[0].(map[string]any); len(models) != 1 || m["name"] != "builtin" || m["path"] != "/somewhere/builtin.gguf" || m["default"] != true {
		t.Errorf("models %v", models)
	}
	for _, name := range []string{"builtin", "qwen-3-72b", "qwen%2F3"} {
		if m := decoded(t, call(s, "GET", "/models/"+name, "")); m["name"] != "builtin" {
			t.Errorf("%s is %v", name, m)
		}
	}
	wantProblem(t, call(s, "GET", "/models/none", ""), 404, jeantrail.CodeNotFound)
	wantProblem(t, call(s, "GET", "/models?all=1", ""), 400, jeantrail.CodeInvalid)
}

func TestHealth(t *testing.T) {
	model := func(status jeantrail.ModelStatus) fakeModels {
		return fakeModels{{Name: "other", Status: jeantrail.ModelMissing}, {Name: "m", Default: true, Status: status, Progress: 0.4}}
	}
	tests := []struct {
		name   string
		models fakeModels
		vitals Vitals
		status string
		ready  int
	}{
		{"ready", model(jeantrail.ModelReady), Vitals{Queued: 2, Running: 1, Reserved: 99}, "ok", 200},
		{"not loaded", model(jeantrail.ModelAvailable), Vitals{}, "ok", 200},
		{"loading", model(jeantrail.ModelLoading), Vitals{}, "loading", 503},
		{"failed", model(jeantrail.ModelFailed), Vitals{}, "degraded", 503},
		{"no default", fakeModels{}, Vitals{}, "degraded", 503},
		{"store", model(jeantrail.ModelReady), Vitals{StoreErr: errors.New("secret")}, "degraded", 503},
		{"stopping", model(jeantrail.ModelReady), Vitals{Stopping: true}, "degraded", 503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newTestServer(t, Options{
				Models: tt.models, Vitals: func(context.Context) Vitals { return tt.vitals },
				Version: "1.2.3", InstanceID: "i", Clock: epoch,
			})
			w := call(s, "GET", "/health", "")
			m := decoded(t, w)
			if w.Code != 200 || m["status"] != tt.status || m["version"] != "1.2.3" || m["instance_id"] != "i" || m["uptime_seconds"] != 0.0 || m["workers"] == nil {
				t.Errorf("/health %d %v", w.Code, m)
			}
			if q := m["queue"].(map[string]any); q["queued"] != float64(tt.vitals.Queued) || q["reserved_micros"] != float64(tt.vitals.Reserved) {
				t.Errorf("queue %v", q)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("/health tells %s", w.Body)
			}
			if w := call(s, "GET", "/ready", ""); w.Code != tt.ready || (w.Header().Get("Retry-After") != "") != (tt.ready == 503) {
				t.Errorf("/ready %d %v", w.Code, w.Header())
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	s := newTestServer(t, Options{Metrics: m, Version: "1.2.3", Vitals: func(context.Context) Vitals { return Vitals{Running: 3} }})
	job := &jeantrail.Job{
		Kind: jeantrail.KindText, Model: "builtin", State: jeantrail.StateSucceeded, CreatedAt: epoch(),
		StartedAt: epoch().Add(time.Second), FinishedAt: epoch().Add(3 * time.Second),
		Result: &jeantrail.Result{
			Usage: jeantrail.Usage{PromptTokens: 12, CachedTokens: 4, CompletionTokens: 3}, Cost: jeantrail.Cost{Amount: 1234},
			Timings: jeantrail.Timings{FirstToken: time.Second},
		},
	}
	m.JobAdmitted(job)
	m.JobStarted(job)
	m.JobFinished(job)
	m.JobFinished(&jeantrail.Job{Kind: jeantrail.KindText, Model: "builtin", State: jeantrail.StateCancelled})
	call(s, "GET", "/jobs", "")
	call(s, "GET", "/nothing", "")
	call(s, "BREW", "/jobs", "", "Host", "evil.example")
	body := call(s, "GET", "/metrics", "").Body.String()
	for _, line := range []string{
		`jeantrail_http_requests_total{code="200",method="GET",route="/jobs"} 1`,
		`jeantrail_http_requests_total{code="404",method="GET",route="unmatched"} 1`,
		`jeantrail_http_requests_total{code="403",method="other",route="denied"} 1`,
		`jeantrail_http_request_duration_seconds_count{method="GET",route="/jobs"} 1`,
		`jeantrail_jobs_admitted_total{kind="text",model="builtin"} 1`,
		`jeantrail_jobs_total{kind="text",model="builtin",state="succeeded"} 1`,
		`jeantrail_jobs_total{kind="text",model="builtin",state="cancelled"} 1`,
		`jeantrail_tokens_total{model="builtin",type="completion"} 3`,
		`jeantrail_cost_microdollars_total{kind="text",model="builtin"} 1234`,
		`jeantrail_queue_wait_seconds_sum{kind="text"} 1`,
		`jeantrail_job_duration_seconds_sum{kind="text",state="succeeded"} 3`,
		`jeantrail_first_token_seconds_count{model="builtin"} 1`,
		`jeantrail_unfinished_jobs{state="running"} 3`,
		`jeantrail_model_status{model="builtin",status="ready"} 1`,
		`jeantrail_build_info{version="1.2.3"} 1`,
		`go_goroutines `,
	} {
		if !strings.Contains(body, line) {
			t.Errorf("no line %s", line)
		}
	}
}
