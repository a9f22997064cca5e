package contract

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jeantrail/jeantrail-ai"
)

// pulls are downloads that are done when somebody watches them, but of the
// model none, which fails.
type pulls struct {
	mu  sync.Mutex
	all []jeantrail.Pull
}

func newPulls() *pulls { return &pulls{} }

func (p *pulls) Start(_ context.Context, r jeantrail.PullRequest) (jeantrail.Pull, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.all {
		if one.PullRequest == r && !one.Status.Terminal() {
			return one, nil
		}
	}
	one := jeantrail.Pull{ID: uuid.Must(uuid.NewV7()).String(), PullRequest: r, Status: jeantrail.PullDownloading, Total: 10, StartedAt: time.Now()}
	p.all = append(p.all, one)
	return one, nil
}

func (p *pulls) List() []jeantrail.Pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.all)
	slices.Reverse(list)
	return list
}

func (p *pulls) Get(id string) (jeantrail.Pull, error) { return p.end(id, "") }

// end gives a pull that is under way a status, if there is one to give.
func (p *pulls) end(id string, status jeantrail.PullStatus) (jeantrail.Pull, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.all, func(one jeantrail.Pull) bool { return one.ID == id })
	if i < 0 {
		return jeantrail.Pull{}, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no pull %q", id)
	}
	one := &p.all[i]
	if status == "" || one.Status.Terminal() {
		return *one, nil
	}
	one.Status, one.EndedAt = status, time.Now()
	switch {
	case status == jeantrail.PullDone && one.Source == "none":
		one.Status, one.Err = jeantrail.PullFailed, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no such model")
	case status == jeantrail.PullDone:
		one.Model, one.ModelSHA256, one.Done, one.Fetched, one.Revision = "qwen3-8b", strings.Repeat("0", 64), 10, 10, strings.Repeat("1", 40)
		one.Files = []jeantrail.PullFile{
			{Path: "/m/qwen3-8b.gguf", Bytes: 6, SHA256: strings.Repeat("0", 64)}, {Path: "/m/qwen3-8b.mmproj", Bytes: 4, SHA256: strings.Repeat("2", 64), Projector: true},
		}
	}
	return *one, nil
}

func (p *pulls) Watch(ctx context.Context, id string) (<-chan jeantrail.Pull, error) {
	now, err := p.Get(id)
	if err != nil {
		return nil, err
	}
	states := make(chan jeantrail.Pull)
	go func() {
		defer close(states)
		for {
			select {
			case states <- now:
			case <-ctx.Done():
				return
			}
			if now.Status.Terminal() {
				return
			}
			if now, err = p.end(id, jeantrail.PullDone); err != nil {
				return
			}
		}
	}()
	return states, nil
}

func (p *pulls) Cancel(id string) error {
	_, err := p.end(id, jeantrail.PullCancelled)
	return err
}

// A model is pulled, watched, joined and cancelled.
func TestPulls(t *testing.T) {
	h := open(t)
	first := h.want(t, 202, "POST", "/models/pull", `{"name":"qwen3-8b"}`)
	if again := h.want(t, 202, "POST", "/models/pull", `{"name":"qwen3-8b"}`); again["pull_id"] != first["pull_id"] {
		t.Errorf("%v is not joined by %v", first, again)
	}
	links := first["links"].(map[string]any)
	_, _, stream := h.call(t, "GET", links["events"].(string), "", "Accept", "text/event-stream")
	if !strings.Contains(stream, "event: downloading\n") || !strings.Contains(stream, "\n\nid: done\nevent: done\n") {
		t.Errorf("watched: %s", stream)
	}
	if m := h.want(t, 200, "GET", links["self"].(string), ""); m["status"] != "done" || m["model"] != "qwen3-8b" || m["path"] != "/m/qwen3-8b.gguf" || len(m["files"].([]any)) != 2 {
		t.Errorf("the pull is %v", m)
	}
	_, _, stream = h.call(t, "POST", "/models/pull", `{"name":"none","stream":true}`)
	if !strings.Contains(stream, "event: failed\n") || !strings.Contains(stream, `"code":"not_found"`) {
		t.Errorf("watched what fails: %s", stream)
	}
	other := h.want(t, 202, "POST", "/models/pull", `{"url":"https://models.example/x.gguf","as":"x","sha256":"`+strings.Repeat("0", 64)+`"}`)
	if m := h.want(t, 200, "DELETE", other["links"].(map[string]any)["cancel"].(string), ""); m["status"] != "cancelled" {
		t.Errorf("cancelled: %v", m)
	}
	if list := h.want(t, 200, "GET", "/models/pulls", "")["pulls"].([]any); len(list) != 3 || list[1].(map[string]any)["error"] == nil {
		t.Errorf("the pulls are %v", list)
	}
	if status, _, _ := h.call(t, "GET", links["events"].(string), "", "Last-Event-ID", "done"); status != 204 {
		t.Errorf("after the end: %d", status)
	}
	h.want(t, 404, "GET", "/models/pulls/none", "")
	h.want(t, 404, "DELETE", "/models/pulls/none", "")
	h.want(t, 404, "GET", "/models/pulls/none/events", "")
}

// The document refuses the pulls that the server refuses.
func TestDocumentOfPulls(t *testing.T) {
	h := open(t)
	for body, valid := range map[string]bool{
		`{"name":"qwen3-8b","as":"x","mmproj":"none"}`: true, `{"url":"HTTPS://models.example/x.gguf","stream":false}`: true, `{}`: false,
		`{"name":"a","url":"https://models.example/x.gguf"}`: false, `{"url":"hf:owner/repo"}`: false, `{"name":"a","sha256":"00"}`: false, `{"model":"a"}`: false, `{"name":"a","mmproj":1}`: false,
	} {
		r := httptest.NewRequest("POST", h.url+"/models/pull", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if ok, errs := h.document.ValidateHttpRequest(r); ok != valid {
			t.Errorf("the document says %v of %s: %v", ok, body, errs)
		}
		status := 400
		if valid {
			status = 202
		}
		h.want(t, status, "POST", "/models/pull", body)
	}
}
