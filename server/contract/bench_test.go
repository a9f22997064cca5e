package contract

import (
	"bytes"
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/bench"
	"github.com/jeantrail/jeantrail-ai/store"
)

// benches keeps reports in the store, as the program does.
type benches struct{ store *store.Store }

func (b benches) Add(ctx context.Context, report []byte) (*jeantrail.BenchRun, error) {
	r, err := bench.Read(bytes.NewReader(report))
	if err != nil {
		return nil, err
	}
	run, err := r.Run()
	if err != nil {
		return nil, err
	}
	return &run, b.store.AddBench(ctx, run)
}

func (b benches) List(ctx context.Context, f jeantrail.BenchFilter, limit int) ([]jeantrail.BenchSummary, error) {
	return b.store.Benches(ctx, f, limit)
}

func (b benches) Speeds(ctx context.Context) ([]jeantrail.MeasuredSpeed, error) {
	return b.store.MeasuredSpeeds(ctx)
}

func (b benches) Get(ctx context.Context, id string) (*jeantrail.BenchRun, error) {
	return b.store.Bench(ctx, id)
}

func (b benches) Delete(ctx context.Context, id string) error { return b.store.DeleteBench(ctx, id) }

// report is a benchmark of one test as JSON.
func report(t *testing.T, id string) string {
	t.Helper()
	r := bench.New(bench.KindRaw, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	r.ID = id
	r.Model, r.Machine.CPU = bench.Model{Name: "qwen3-8b", SHA256: strings.Repeat("a", 64)}, "a processor"
	r.Rows = []bench.Row{{Test: "tg128", Streams: 1, GenTokens: 128, Speed: &bench.Figure{N: 1, Mean: 7.5, Each: []float64{7.5}}}}
	var text strings.Builder
	if err := r.Write(&text, bench.FormatJSON); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// A benchmark is kept, listed, shown and deleted, and tells how fast its model is.
func TestBenches(t *testing.T) {
	h := open(t)
	const first, second = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	for _, id := range []string{first, second} {
		if m := h.want(t, 201, "POST", "/bench", report(t, id)); m["id"] != id || m["report"].(map[string]any)["id"] != id {
			t.Errorf("kept: %v", m)
		}
	}
	h.want(t, 409, "POST", "/bench", report(t, first))
	list := h.want(t, 200, "GET", "/bench?kind=raw&model=aaaaaaaa", "")["benches"].([]any)
	if one := list[0].(map[string]any); len(list) != 2 || one["id"] != second || one["tokens_per_second"] != 7.5 || one["model"] != "qwen3-8b" {
		t.Errorf("listed: %v", list)
	}
	if speeds := h.want(t, 200, "GET", "/bench/speeds", "")["speeds"].([]any); len(speeds) != 1 || speeds[0].(map[string]any)["tokens_per_second"] != 7.5 {
		t.Errorf("speeds: %v", speeds)
	}
	if m := h.want(t, 200, "GET", "/bench/"+first, ""); m["report"].(map[string]any)["rows"].([]any)[0].(map[string]any)["test"] != "tg128" {
		t.Errorf("shown: %v", m)
	}
	h.want(t, 400, "GET", "/bench/0", "") // both begin so
	h.want(t, 400, "GET", "/bench?kind=cold", "")
	h.want(t, 404, "GET", "/bench/none", "")
	h.want(t, 404, "DELETE", "/bench/none", "")
	if status, _, body := h.call(t, "DELETE", "/bench/"+first, ""); status != 204 {
		t.Errorf("deleted: %d %s", status, body)
	}
	if list := h.want(t, 200, "GET", "/bench?limit=1", "")["benches"].([]any); len(list) != 1 {
		t.Errorf("left: %v", list)
	}
}

// The document refuses the reports that the server refuses.
func TestDocumentOfBenches(t *testing.T) {
	h := open(t)
	whole := report(t, "00000000-0000-4000-8000-000000000003")
	for body, valid := range map[string]bool{
		whole: true, strings.Replace(whole, `"raw"`, `"cold"`, 1): false, `{}`: false, `{"format":1,"kind":"raw","rows":[]}`: false,
		strings.Replace(whole, "00000000-0000-4000-8000-000000000003", "x", 1): false,
	} {
		r := httptest.NewRequest("POST", h.url+"/bench", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if ok, errs := h.document.ValidateHttpRequest(r); ok != valid {
			t.Errorf("the document says %v of %s: %v", ok, body, errs)
		}
		status := 400
		if valid {
			status = 201
		}
		h.want(t, status, "POST", "/bench", body)
	}
}
