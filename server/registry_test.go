package server

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/golden"
)

func TestRegistry(t *testing.T) {
	fleet := &fakeFleet{workers: fewWorkers(), memory: jeantrail.MemoryUse{
		Limit: 16 << 30, Used: 9 << 30,
		Holders: []jeantrail.MemoryHolder{{Name: "builtin", Bytes: 2 << 30, Source: "model", Pinned: true, CanUnload: true, UsedAt: epoch()}, {Name: "sdxl", Bytes: 7 << 30, Source: "config", Busy: true}},
		Recent:  []jeantrail.MemoryDecision{{At: epoch(), For: "sdxl", Need: 7 << 30, Did: "unloaded qwen3-8b", Reason: "it was idle"}},
	}}
	s := newTestServer(t, Options{Fleet: fleet, RemoteWorkersAllowed: true})
	golden.Check(t, "registry.golden", call(s, "GET", "/registry", "").Body.Bytes())

	fleet.history = []jeantrail.Probe{{At: epoch(), Worker: "sdxl", Status: jeantrail.WorkerReady, Latency: time.Millisecond, Model: "sd_xl_base", Version: "1"}, {At: epoch(), Status: jeantrail.WorkerDown, Problem: "refused"}}
	m := decoded(t, call(s, "GET", "/registry/sd-xl/history?limit=7", ""))
	if entries := m["history"].([]any); m["worker"] != "sdxl" || len(entries) != 2 || entries[1].(map[string]any)["problem"] != "refused" || fleet.limit != 7 {
		t.Errorf("the history is %v", m)
	}
	if m := decoded(t, call(s, "POST", "/registry/whisper/probe", "")); m["name"] != "whisper" || m["status"] != "down" || m["breaker"] != "open" {
		t.Errorf("probed: %v", m)
	}
	if left := time.Until(fleet.until); left > probeTimeout || fleet.until.IsZero() {
		t.Errorf("the probe may take until %v", fleet.until)
	}
	for _, path := range []string{"/registry/none/history", "/registry/..%2fsdxl/history"} {
		wantProblem(t, call(s, "GET", path, ""), 404, jeantrail.CodeNotFound)
	}
	wantProblem(t, call(s, "POST", "/registry/none/probe", "{}"), 404, jeantrail.CodeNotFound)
	wantProblem(t, call(s, "GET", "/registry/sdxl/history?limit=0", ""), 400, jeantrail.CodeInvalid)
	wantProblem(t, call(s, "POST", "/registry/sdxl/probe", `{"deep":true}`), 400, jeantrail.CodeInvalid)
}

// as calls with the rights of a role.
func as(s *Server, role jeantrail.Role, serve handlerFunc, method, path string, values ...string) error {
	r := httptest.NewRequest(method, "http://127.0.0.1:3001"+path, nil)
	for i := 0; i+1 < len(values); i += 2 {
		r.SetPathValue(values[i], values[i+1])
	}
	return serve(httptest.NewRecorder(), r.WithContext(withPrincipal(r.Context(), jeantrail.Principal{UserID: "u", Role: role})))
}

// What concerns everybody is for administrators, and only they see where a worker
// is.
func TestRolesOfTheFleet(t *testing.T) {
	s := newTestServer(t, Options{})
	for name, serve := range map[string]handlerFunc{
		"reload": s.reloadConfig, "load": s.loadModel, "unload": s.unloadModel, "put": s.putWorkflow, "delete": s.deleteWorkflow,
	} {
		for _, role := range []jeantrail.Role{jeantrail.RoleUser, jeantrail.RoleViewer} {
			if err := as(s, role, serve, "POST", "/", "name", "builtin"); jeantrail.CodeOf(err) != jeantrail.CodeForbidden {
				t.Errorf("%s as %s: %v", name, role, err)
			}
		}
	}
	if err := as(s, jeantrail.RoleViewer, s.probeWorker, "POST", "/", "name", "sdxl"); jeantrail.CodeOf(err) != jeantrail.CodeForbidden {
		t.Errorf("a viewer probes: %v", err)
	}
	if err := as(s, jeantrail.RoleUser, s.probeWorker, "POST", "/", "name", "sdxl"); err != nil {
		t.Errorf("a user probes: %v", err)
	}
	viewer := s.uploadFor(t.Context(), jeantrail.Principal{Role: jeantrail.RoleViewer})
	if _, err := viewer.text(inBase64Text(aPNG()), "x", ""); jeantrail.CodeOf(err) != jeantrail.CodeForbidden || s.opt.Files.(*fakeFiles).count() != 0 {
		t.Errorf("a viewer sends a file: %v", err)
	}
	if w := workerOf(&fewWorkers()[0], jeantrail.Principal{Role: jeantrail.RoleUser}); w.URL != "" {
		t.Errorf("a user sees %s", w.URL)
	}
}

func TestReload(t *testing.T) {
	fleet := &fakeFleet{}
	s := newTestServer(t, Options{Fleet: fleet})
	if body := call(s, "POST", "/config/reload", "").Body.String(); body != `{"changes":[]}` {
		t.Errorf("nothing changed: %s", body)
	}
	fleet.changes = []string{"worker sdxl is added"}
	if body := call(s, "POST", "/config/reload", "{}").Body.String(); body != `{"changes":["worker sdxl is added"]}` {
		t.Errorf("something changed: %s", body)
	}
	fleet.err = jeantrail.Errorf(jeantrail.CodeInvalid, "config.yaml:3: workers: no url")
	wantProblem(t, call(s, "POST", "/config/reload", ""), 400, jeantrail.CodeInvalid)
}

func TestLoadAndUnload(t *testing.T) {
	models, fleet := readyModels(), &fakeFleet{}
	s := newTestServer(t, Options{Models: models, Fleet: fleet})
	w := call(s, "POST", "/models/qwen-3-72b/unload", "")
	if w.Code != 200 || decoded(t, w)["name"] != "builtin" {
		t.Errorf("unload: %d %s", w.Code, w.Body)
	}
	models[0].Status = jeantrail.ModelLoading
	if w := call(s, "POST", "/models/qwen%2F3/load", ""); w.Code != 202 || decoded(t, w)["status"] != "loading" {
		t.Errorf("load: %d %s", w.Code, w.Body)
	}
	if got := strings.Join(fleet.asked, ", "); got != "unload builtin, load builtin" {
		t.Errorf("the fleet was asked to %s", got)
	}
	wantProblem(t, call(s, "POST", "/models/none/load", ""), 404, jeantrail.CodeNotFound)
	fleet.err = jeantrail.Errorf(jeantrail.CodeConflict, "a job uses it")
	wantProblem(t, call(s, "POST", "/models/builtin/unload", ""), 409, jeantrail.CodeConflict)
}

// A worker that somebody asked for and that does not work makes the health bad,
// but not the readiness of the model.
func TestHealthOfWorkers(t *testing.T) {
	worker := func(status jeantrail.WorkerStatus, optional bool) []jeantrail.Worker {
		return []jeantrail.Worker{{Name: "w", Status: status, Optional: optional}, {Name: "v", Status: jeantrail.WorkerReady}}
	}
	tests := []struct {
		workers []jeantrail.Worker
		status  string
	}{
		{worker(jeantrail.WorkerReady, false), "ok"}, {worker(jeantrail.WorkerUnknown, false), "ok"}, {worker(jeantrail.WorkerStarting, false), "ok"},
		{worker(jeantrail.WorkerDegraded, false), "degraded"}, {worker(jeantrail.WorkerDown, false), "degraded"},
		{worker(jeantrail.WorkerDown, true), "ok"}, {worker(jeantrail.WorkerDegraded, true), "ok"}, {nil, "ok"},
	}
	for _, tt := range tests {
		s := newTestServer(t, Options{Fleet: &fakeFleet{workers: tt.workers}})
		m := decoded(t, call(s, "GET", "/health", ""))
		workers := m["workers"].(map[string]any)
		if m["status"] != tt.status || m["remote_workers_allowed"] != false || len(workers) != len(tt.workers) ||
			len(workers) > 0 && workers["w"] != string(tt.workers[0].Status) {
			t.Errorf("%+v: %v", tt.workers, m)
		}
		if w := call(s, "GET", "/ready", ""); w.Code != 200 {
			t.Errorf("%+v: /ready %d", tt.workers, w.Code)
		}
	}
	broken := Options{RemoteWorkersAllowed: true, Vitals: func(context.Context) Vitals { return Vitals{StoreErr: errors.New("gone")} }}
	if m := decoded(t, call(newTestServer(t, broken), "GET", "/health", "")); m["status"] != "degraded" || m["remote_workers_allowed"] != true {
		t.Errorf("/health %v", m)
	}
}
