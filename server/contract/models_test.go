package contract

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

// Survey, Show and Watch know one model, of which all is known.
func (m models) Survey(ctx context.Context) []jeantrail.Model {
	list := m.List(ctx)
	list[0].Pinned, list[0].LoadedBytes = true, 18<<20
	list[0].Fit = &jeantrail.ModelFit{
		Fits: true, Note: "other programs hold the memory", Weights: 5 << 20, KV: 3 << 20, Compute: 10 << 20, Total: 18 << 20, RAM: 18 << 20, UsableRAM: 1 << 30,
		NCtx: 2560, Slots: 8, KVCells: 20480, LargestNCtx: 2560, Layers: 29,
	}
	return list
}

func (m models) Show(ctx context.Context, name string) (*jeantrail.Model, error) {
	one := &m.Survey(ctx)[0]
	if name != one.Name {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no model %q", name)
	}
	one.Fit.TokensPerSecond = 41.5
	return one, nil
}

func (m models) Watch(ctx context.Context) <-chan jeantrail.ModelState {
	states := make(chan jeantrail.ModelState)
	go func() {
		defer close(states)
		for _, s := range []jeantrail.ModelState{
			{Name: "builtin", Status: jeantrail.ModelLoading, Progress: 0.5}, {Name: "builtin", Status: jeantrail.ModelFailed, Problem: "no room"},
		} {
			select {
			case states <- s:
			case <-ctx.Done():
				return
			}
		}
		<-ctx.Done()
	}()
	return states
}

// How a model fits is where the document says, and how it comes into memory can be
// watched.
func TestModels(t *testing.T) {
	h := open(t)
	list := h.want(t, 200, "GET", "/models", "")["models"].([]any)[0].(map[string]any)
	if fit := list["fit"].(map[string]any); list["pinned"] != true || list["loaded_bytes"] != float64(18<<20) || fit["fits"] != true || fit["tokens_per_second"] != nil {
		t.Errorf("listed: %v", list)
	}
	if one := h.want(t, 200, "GET", "/models/builtin", ""); one["fit"].(map[string]any)["tokens_per_second"] != 41.5 {
		t.Errorf("shown: %v", one)
	}
	h.want(t, 404, "GET", "/models/none", "")
	h.want(t, 200, "POST", "/models/builtin/load", "")
	h.want(t, 404, "POST", "/models/none/load", "")

	resp, err := http.Get(h.url + "/models/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got []string
	for lines := bufio.NewScanner(resp.Body); len(got) < 4 && lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "event:") || strings.HasPrefix(line, "data:") {
			got = append(got, line)
		}
	}
	const want = `event: model|data: {"name":"builtin","status":"loading","progress":0.5}|event: model|data: {"name":"builtin","status":"failed","progress":0,"problem":"no room"}`
	if strings.Join(got, "|") != want {
		t.Errorf("watched: %q", got)
	}
	h.want(t, 400, "GET", "/models/events?after=1", "")
}

// A request that does not wait for a model is told when to try again.
func TestModelThatIsLoading(t *testing.T) {
	h := open(t)
	if m := h.want(t, 503, "POST", "/generate", `{"prompt":"x","model":"cold","wait_for_model":false}`); m["code"] != "model_loading" || m["progress_percent"] != 40.0 || m["retry_after_seconds"] != 2.0 {
		t.Errorf("refused: %v", m)
	}
	h.want(t, 200, "POST", "/generate", `{"prompt":"x","model":"cold","wait_for_model":true}`)
	h.want(t, 400, "POST", "/generate", `{"prompt":"x","wait_for_model":"no"}`)
}
