package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// fakeBenches keeps reports that are {"id": "…"} and nothing else.
type fakeBenches struct {
	runs   []jeantrail.BenchRun
	speeds []jeantrail.MeasuredSpeed
	filter jeantrail.BenchFilter
	limit  int
}

func (f *fakeBenches) Add(_ context.Context, report []byte) (*jeantrail.BenchRun, error) {
	id, ok := strings.CutPrefix(string(report), `{"id":"`)
	if !ok {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "this is no report")
	}
	run := jeantrail.BenchRun{ID: strings.TrimSuffix(id, `"}`), Kind: jeantrail.BenchRaw, CreatedAt: epoch(), Report: report}
	f.runs = append(f.runs, run)
	return &run, nil
}

func (f *fakeBenches) List(_ context.Context, filter jeantrail.BenchFilter, limit int) ([]jeantrail.BenchSummary, error) {
	f.filter, f.limit = filter, limit
	var list []jeantrail.BenchSummary
	for _, run := range slices.Backward(f.runs) {
		list = append(list, jeantrail.BenchSummary{
			ID: run.ID, Kind: run.Kind, CreatedAt: run.CreatedAt, Tests: 3, Model: "builtin", SHA256: "00aa", Quantization: "Q4_K_M", Backend: "CPU",
			Threads: 2, GPULayers: 1, CPU: "a processor", GPU: "a card", Version: "1.2.3", URL: "http://10.0.0.1", Decode: 12.5, FirstToken: 1500 * time.Microsecond,
		})
	}
	return list, nil
}

func (f *fakeBenches) Speeds(context.Context) ([]jeantrail.MeasuredSpeed, error) {
	return f.speeds, nil
}

func (f *fakeBenches) Get(_ context.Context, id string) (*jeantrail.BenchRun, error) {
	for _, run := range f.runs {
		if strings.HasPrefix(run.ID, id) {
			return &run, nil
		}
	}
	return nil, noSuch("benchmark", id)
}

func (f *fakeBenches) Delete(ctx context.Context, id string) error {
	run, err := f.Get(ctx, id)
	if err == nil {
		f.runs = slices.DeleteFunc(f.runs, func(other jeantrail.BenchRun) bool { return other.ID == run.ID })
	}
	return err
}

const aBench = "01942000-0000-4000-8000-000000000001"

func TestBench(t *testing.T) {
	benches := &fakeBenches{}
	s := newTestServer(t, Options{Benches: benches})
	if body := call(s, "GET", "/bench", "").Body.String(); body != `{"benches":[]}` {
		t.Errorf("there are %s", body)
	}
	w := call(s, "POST", "/bench", `{"id":"`+aBench+`"}`)
	want := `{"id":"` + aBench + `","kind":"raw","created_at":"2026-01-02T03:04:05.006Z","report":{"id":"` + aBench + `"}}`
	if w.Code != http.StatusCreated || w.Header().Get("Location") != "/bench/"+aBench || w.Body.String() != want {
		t.Errorf("kept: %d %v\n%s\nwant\n%s", w.Code, w.Header(), w.Body, want)
	}
	if w := call(s, "GET", "/bench/0194", ""); w.Code != 200 || w.Body.String() != want {
		t.Errorf("shown: %d %s", w.Code, w.Body)
	}
	list := `{"benches":[{"id":"` + aBench + `","kind":"raw","created_at":"2026-01-02T03:04:05.006Z","tests":3,"model":"builtin","sha256":"00aa","quantization":"Q4_K_M",` +
		`"backend":"CPU","threads":2,"gpu_layers":1,"cpu":"a processor","gpu":"a card","version":"1.2.3","url":"http://10.0.0.1","tokens_per_second":12.5,"first_token_ms":1.5}]}`
	if w := call(s, "GET", "/bench?kind=raw&model=00aa&limit=7", ""); w.Code != 200 || w.Body.String() != list {
		t.Errorf("listed: %d\n%s\nwant\n%s", w.Code, w.Body, list)
	}
	if benches.filter != (jeantrail.BenchFilter{Kind: jeantrail.BenchRaw, Model: "00aa"}) || benches.limit != 7 {
		t.Errorf("asked for %d of %+v", benches.limit, benches.filter)
	}
	if w := call(s, "DELETE", "/bench/"+aBench, ""); w.Code != http.StatusNoContent || len(benches.runs) != 0 {
		t.Errorf("deleted: %d %s", w.Code, w.Body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		wantProblem(t, call(s, method, "/bench/"+aBench, ""), 404, jeantrail.CodeNotFound)
	}
	wantProblem(t, call(s, "POST", "/bench", `{}`), 400, jeantrail.CodeInvalid)
	for _, query := range []string{"?limit=0", "?limit=501", "?user_id=x"} {
		wantProblem(t, call(s, "GET", "/bench"+query, ""), 400, jeantrail.CodeInvalid)
	}
	wantProblem(t, call(s, "GET", "/bench/speeds?kind=raw", ""), 400, jeantrail.CodeInvalid)
}

func TestBenchSpeeds(t *testing.T) {
	benches := &fakeBenches{}
	s := newTestServer(t, Options{Benches: benches})
	if body := call(s, "GET", "/bench/speeds", "").Body.String(); body != `{"speeds":[]}` {
		t.Errorf("there are %s", body)
	}
	benches.speeds = []jeantrail.MeasuredSpeed{{
		RunID: aBench, Kind: jeantrail.BenchEngine, MeasuredAt: epoch(), Model: "qwen3-8b", SHA256: "00aa", Bytes: 5, Parameters: 8,
		CPU: "a processor", Backend: "CPU", Threads: 4, GPULayers: 0, TokensPerSecond: 7.25,
	}}
	want := `{"speeds":[{"bench_id":"` + aBench + `","kind":"engine","measured_at":"2026-01-02T03:04:05.006Z","model":"qwen3-8b","sha256":"00aa","bytes":5,` +
		`"parameters":8,"cpu":"a processor","backend":"CPU","threads":4,"gpu_layers":0,"tokens_per_second":7.25}]}`
	if body := call(s, "GET", "/bench/speeds", "").Body.String(); body != want {
		t.Errorf("speeds\n%s\nwant\n%s", body, want)
	}
}

// Everybody may see how fast models are, only administrators what was measured
// where, and keep and delete it.
func TestRolesOfBenches(t *testing.T) {
	benches := &fakeBenches{runs: []jeantrail.BenchRun{{ID: aBench, Kind: jeantrail.BenchHTTP, CreatedAt: epoch(), Report: []byte(`{}`)}}}
	s := newTestServer(t, Options{Benches: benches})
	for _, role := range []jeantrail.Role{jeantrail.RoleUser, jeantrail.RoleViewer} {
		for name, serve := range map[string]handlerFunc{"keep": s.addBench, "show": s.getBench, "delete": s.deleteBench} {
			if err := as(s, role, serve, "GET", "/", "id", aBench); jeantrail.CodeOf(err) != jeantrail.CodeForbidden {
				t.Errorf("%s as %s: %v", name, role, err)
			}
		}
		for name, serve := range map[string]handlerFunc{"list": s.listBenches, "speeds": s.benchSpeeds} {
			if err := as(s, role, serve, "GET", "/"); err != nil {
				t.Errorf("%s as %s: %v", name, role, err)
			}
		}
		list, err := benches.List(t.Context(), jeantrail.BenchFilter{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if b := benchOf(&list[0], jeantrail.Principal{Role: role}); b.URL != "" || b.Decode == nil || *b.Decode != 12.5 {
			t.Errorf("%s sees %+v", role, b)
		}
	}
	if len(benches.runs) != 1 {
		t.Errorf("%d benchmarks are left", len(benches.runs))
	}
}
