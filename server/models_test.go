package server

import (
	"bufio"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Survey, Show and Watch make a list of models that never change a Models.
func (m fakeModels) Survey(ctx context.Context) []jeantrail.Model { return m.List(ctx) }

func (m fakeModels) Show(_ context.Context, name string) (*jeantrail.Model, error) {
	for i := range m {
		if m[i].Name == name || slices.Contains(m[i].Aliases, name) {
			return &m[i], nil
		}
	}
	return nil, noSuch("model", name)
}

func (m fakeModels) Watch(ctx context.Context) <-chan jeantrail.ModelState {
	return watched{fakeModels: m}.Watch(ctx)
}

// watched is a Models whose states a test says.
type watched struct {
	fakeModels
	states chan jeantrail.ModelState
}

func (m watched) Watch(ctx context.Context) <-chan jeantrail.ModelState {
	out := make(chan jeantrail.ModelState)
	go func() {
		defer close(out)
		for _, one := range m.fakeModels {
			select {
			case out <- jeantrail.ModelState{Name: one.Name, Status: one.Status, Progress: one.Progress, Problem: one.Problem}:
			case <-ctx.Done():
				return
			}
		}
		for {
			select {
			case s := <-m.states:
				out <- s
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func TestModelFit(t *testing.T) {
	models := readyModels()
	models[0].Pinned, models[0].LoadedBytes = true, 7
	models[0].Fit = &jeantrail.ModelFit{
		Reason: "it needs 9 GiB", Hint: "n_ctx: 512", Note: "slow", Weights: 1, Projector: 2, KV: 3, Compute: 4, Total: 10, RAM: 6, VRAM: 5,
		UsableRAM: 8, UsableVRAM: 9, NCtx: 1024, Slots: 2, KVCells: 2048, LargestNCtx: 512, GPULayers: 3, Layers: 29, TokensPerSecond: 12.345, SpeedIsBound: true,
	}
	s := newTestServer(t, Options{Models: models})
	const want = `"fit":{"fits":false,"reason":"it needs 9 GiB","hint":"n_ctx: 512","note":"slow","weights_bytes":1,"projector_bytes":2,"kv_bytes":3,` +
		`"compute_bytes":4,"total_bytes":10,"ram_bytes":6,"vram_bytes":5,"usable_ram_bytes":8,"usable_vram_bytes":9,"n_ctx":1024,"slots":2,"kv_cells":2048,` +
		`"largest_n_ctx":512,"gpu_layers":3,"layers":29,"tokens_per_second":12.3,"speed_is_bound":true}`
	for _, path := range []string{"/models", "/models/builtin", "/models/qwen-3-72b", "/registry"} {
		body := call(s, "GET", path, "").Body.String()
		if !strings.Contains(body, want) || !strings.Contains(body, `"pinned":true`) || !strings.Contains(body, `"loaded_bytes":7`) {
			t.Errorf("%s: %s", path, body)
		}
	}
	wantProblem(t, call(s, "GET", "/models/none", ""), 404, jeantrail.CodeNotFound)
}

// How the models are is told at once and at each change, with pings between.
func TestModelEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		models := watched{readyModels(), make(chan jeantrail.ModelState)}
		s := newTestServer(t, Options{Models: models})
		_, client, stop := serve(t, s)
		defer stop()
		resp, err := client.Get("http://127.0.0.1/models/events")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
			t.Fatalf("%d %s", resp.StatusCode, got)
		}
		lines := bufio.NewScanner(resp.Body)
		next := func(want string) {
			t.Helper()
			for lines.Scan() {
				if line := lines.Text(); line != "" && !strings.HasPrefix(line, "retry:") {
					if line != want {
						t.Errorf("got %q, want %q", line, want)
					}
					return
				}
			}
			t.Fatalf("the stream ended before %q", want)
		}
		next("event: model")
		next(`data: {"name":"builtin","status":"ready","progress":0}`)
		go func() {
			models.states <- jeantrail.ModelState{Name: "b", Status: jeantrail.ModelLoading, Progress: 0.5}
			models.states <- jeantrail.ModelState{Name: "b", Status: jeantrail.ModelFailed, Problem: "no room"}
		}()
		next("event: model")
		next(`data: {"name":"b","status":"loading","progress":0.5}`)
		next("event: model")
		next(`data: {"name":"b","status":"failed","progress":0,"problem":"no room"}`)
		begun := time.Now()
		next(": ping")
		if took := time.Since(begun); took != ssePing {
			t.Errorf("the ping came after %v", took)
		}
	})
	wantProblem(t, call(newTestServer(t, Options{}), "GET", "/models/events?after=1", ""), 400, jeantrail.CodeInvalid)
}

// A pinned model that cannot be loaded makes the health bad, but not the readiness
// of the default one.
func TestHealthOfPinnedModels(t *testing.T) {
	for _, tt := range []struct {
		status jeantrail.ModelStatus
		pinned bool
		want   string
	}{
		{jeantrail.ModelFailed, true, "degraded"}, {jeantrail.ModelMissing, true, "degraded"},
		{jeantrail.ModelFailed, false, "ok"}, {jeantrail.ModelLoading, true, "ok"},
	} {
		models := append(readyModels(), jeantrail.Model{Name: "b", Status: tt.status, Pinned: tt.pinned, Problem: "no room"})
		s := newTestServer(t, Options{Models: models})
		m := decoded(t, call(s, "GET", "/health", ""))
		b := m["models"].(map[string]any)["b"].(map[string]any)
		if m["status"] != tt.want || b["problem"] != "no room" || b["pinned"] != tt.pinned {
			t.Errorf("%s, pinned %v: %v", tt.status, tt.pinned, m)
		}
		if w := call(s, "GET", "/ready", ""); w.Code != 200 {
			t.Errorf("%s, pinned %v: /ready %d", tt.status, tt.pinned, w.Code)
		}
	}
}

// wait_for_model reaches the road, and its refusal says when to try again.
func TestWaitForModel(t *testing.T) {
	road := newFakeRoad(answerScript)
	s := newTestServer(t, Options{Road: road})
	for body, noWait := range map[string]bool{
		`{"prompt":"x","wait_for_model":false}`: true, `{"prompt":"x","wait_for_model":true}`: false, `{"prompt":"x"}`: false,
	} {
		if w := call(s, "POST", "/generate", body); w.Code != 200 {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
		if got := wait(t, road.submitted, "the job").snapshot().Request.Text.NoWait; got != noWait {
			t.Errorf("%s: %v", body, got)
		}
	}
	road.submitErr = jeantrail.Errorf(jeantrail.CodeModelLoading, "loading").WithNumber("progress_percent", 40)
	w := call(s, "POST", "/generate", `{"prompt":"x","wait_for_model":false}`)
	if m := wantProblem(t, w, 503, jeantrail.CodeModelLoading); m["progress_percent"] != 40.0 || w.Header().Get("Retry-After") != "2" {
		t.Errorf("%v, after %s", m, w.Header().Get("Retry-After"))
	}
	l, _, stop := serve(t, s)
	defer stop()
	socket := dialSocket(t, l, nil)
	socket.send(`{"type":"generate","id":"1","request":{"prompt":"x","wait_for_model":false}}`)
	m := socket.receive()
	if e, _ := m["error"].(map[string]any); m["type"] != "rejected" || m["id"] != "1" || e["code"] != "model_loading" || e["progress_percent"] != 40.0 || e["retry_after_seconds"] != 2.0 {
		t.Errorf("over a socket: %v", m)
	}
	_ = socket.conn.Close() // the server sees it go, whatever this says
}
