package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/golden"
)

const aSHA256 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

const bSHA256 = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

// download is a pull in the middle of it, finish its end.
func download(now *jeantrail.Pull) {
	now.Status, now.File, now.Done, now.Total = jeantrail.PullDownloading, "qwen3-8b.gguf", 1<<30, 5<<30
	now.Speed, now.Left, now.Note = 100<<20, 40500*time.Millisecond, "The connection broke; it is tried again."
}

func finish(now *jeantrail.Pull) {
	now.Status, now.Model, now.File, now.Done, now.Total = jeantrail.PullDone, "qwen3-8b", "", 5<<30, 5<<30
	now.Files = []jeantrail.PullFile{
		{Path: "/models/qwen3-8b.gguf", Bytes: 4 << 30, SHA256: aSHA256}, {Path: "/models/qwen3-8b.mmproj", Bytes: 1 << 30, SHA256: bSHA256, Projector: true},
	}
	now.ModelSHA256, now.Fetched, now.Revision = aSHA256, 5<<30, "0123456789abcdef"
	now.Speed, now.Left, now.Note, now.EndedAt = 0, 0, "", epoch()
}

// startOne starts a pull and returns its id.
func startOne(t *testing.T, s *Server, body string) string {
	t.Helper()
	w := call(s, "POST", "/models/pull", body)
	if w.Code != http.StatusAccepted {
		t.Fatalf("start: %d %s", w.Code, w.Body)
	}
	return decoded(t, w)["pull_id"].(string)
}

func TestPull(t *testing.T) {
	pulls := newFakePulls()
	s := newTestServer(t, Options{Pulls: pulls})
	w := call(s, "POST", "/models/pull", `{"name":"qwen3-8b","as":"mine","sha256":"`+strings.ToUpper(aSHA256)+`","mmproj":"none"}`)
	id := decoded(t, w)["pull_id"].(string)
	self := "/models/pulls/" + id
	want := `{"pull_id":"` + id + `","source":"qwen3-8b","model":"","status":"resolving","done_bytes":0,"total_bytes":0,"started_at":"2026-01-02T03:04:05.006Z",` +
		`"links":{"self":"` + self + `","events":"` + self + `/events","cancel":"` + self + `"}}`
	if w.Code != http.StatusAccepted || w.Header().Get("Location") != self || w.Body.String() != want {
		t.Errorf("started: %d %v\n%s\nwant\n%s", w.Code, w.Header(), w.Body, want)
	}
	if got := pulls.asked[0]; got != "qwen3-8b as mine with "+aSHA256+" and none" {
		t.Errorf("asked for %s", got)
	}
	if again := startOne(t, s, `{"name":"qwen3-8b","as":"mine","sha256":"`+aSHA256+`","mmproj":"none"}`); again != id {
		t.Errorf("the same again is the pull %s, not %s", again, id)
	}
	other := startOne(t, s, `{"url":"https://models.example/x.gguf"}`)
	list := decoded(t, call(s, "GET", "/models/pulls", ""))["pulls"].([]any)
	if len(list) != 2 || list[0].(map[string]any)["pull_id"] != other || list[1].(map[string]any)["pull_id"] != id {
		t.Errorf("the pulls are %v", list)
	}
	if err := pulls.change(id, download); err != nil {
		t.Fatal(err)
	}
	m := decoded(t, call(s, "GET", self, ""))
	if m["status"] != "downloading" || m["bytes_per_second"] != 104857600.0 || m["seconds_left"] != 41.0 || m["file"] != "qwen3-8b.gguf" || m["path"] != nil || m["ended_at"] != nil {
		t.Errorf("on its way: %v", m)
	}
	if w := call(s, "DELETE", self, ""); w.Code != 200 || decoded(t, w)["status"] != "cancelled" {
		t.Errorf("cancel: %d %s", w.Code, w.Body)
	}
	if w := call(s, "DELETE", self, ""); w.Code != 200 {
		t.Errorf("cancel what is over: %d %s", w.Code, w.Body)
	}
	for _, rq := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"GET", "/events"}} {
		wantProblem(t, call(s, rq[0], "/models/pulls/none"+rq[1], ""), 404, jeantrail.CodeNotFound)
	}
	wantProblem(t, call(s, "GET", "/models/pulls?limit=1", ""), 400, jeantrail.CodeInvalid)
}

func TestPullsOfNone(t *testing.T) {
	if body := call(newTestServer(t, Options{}), "GET", "/models/pulls", "").Body.String(); body != `{"pulls":[]}` {
		t.Errorf("there are %s", body)
	}
}

// A model may have the name of a path beside it, and can still be loaded.
func TestModelsCalledAsPaths(t *testing.T) {
	fleet := &fakeFleet{}
	s := newTestServer(t, Options{Fleet: fleet, Models: fakeModels{{Name: "pulls"}, {Name: "pull"}}})
	for _, path := range []string{"/models/pulls/load", "/models/pull/unload"} {
		if w := call(s, "POST", path, ""); w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if got := strings.Join(fleet.asked, ", "); got != "load pulls, unload pull" {
		t.Errorf("the fleet was asked to %s", got)
	}
}

func TestPullRefuses(t *testing.T) {
	pulls := newFakePulls()
	s := newTestServer(t, Options{Pulls: pulls})
	for _, body := range []string{
		`{}`, `{"name":"","url":""}`, `{"name":"a","url":"https://models.example/x.gguf"}`, `{"name":"https://models.example/x.gguf"}`,
		`{"url":"hf:owner/repo"}`, `{"url":"file:///etc/passwd"}`, `{"url":"models.example/x.gguf"}`, `{"name":"a","sha256":"00"}`,
		`{"name":"a","sha256":"` + strings.Repeat("x", 64) + `"}`, `{"name":"a","quant":"Q4_K_M"}`, `{"name":1}`, ``,
		`{"name":"` + strings.Repeat("a", 513) + `"}`, `{"name":"a","as":"` + strings.Repeat("a", jeantrail.MaxModelBytes+1) + `"}`,
		`{"url":"https://models.example/` + strings.Repeat("a", maxAddress) + `"}`, `{"name":"a","mmproj":"` + strings.Repeat("a", maxAddress+1) + `"}`,
	} {
		wantProblem(t, call(s, "POST", "/models/pull", body), 400, jeantrail.CodeInvalid)
	}
	if len(pulls.asked) > 0 {
		t.Errorf("what is refused was asked for: %v", pulls.asked)
	}
	if hint := wantProblem(t, call(s, "POST", "/models/pull", `{}`), 400, jeantrail.CodeInvalid)["hint"]; !strings.Contains(hint.(string), "hf:") {
		t.Errorf("the hint is %v", hint)
	}
	pulls.err = jeantrail.Errorf(jeantrail.CodeNotFound, "there is no such model")
	for _, body := range []string{`{"name":"a"}`, `{"name":"a","stream":true}`} {
		if w := call(s, "POST", "/models/pull", body); wantProblem(t, w, 404, jeantrail.CodeNotFound) != nil && w.Header().Get("Location") != "" {
			t.Errorf("a refusal is at %s", w.Header().Get("Location"))
		}
	}
	s.StopAccepting()
	wantProblem(t, call(s, "POST", "/models/pull", `{"name":"a"}`), 503, jeantrail.CodeShuttingDown)
}

// Everybody may look, only administrators may start and cancel, and only they see
// where a file is and what an address may carry.
func TestRolesOfPulls(t *testing.T) {
	pulls := newFakePulls()
	s := newTestServer(t, Options{Pulls: pulls})
	id := startOne(t, s, `{"url":"https://me:secret@models.example/x.gguf?signature=secret"}`)
	for _, role := range []jeantrail.Role{jeantrail.RoleUser, jeantrail.RoleViewer} {
		for name, serve := range map[string]handlerFunc{"start": s.startPull, "cancel": s.cancelPull} {
			if err := as(s, role, serve, "POST", "/", "id", id); jeantrail.CodeOf(err) != jeantrail.CodeForbidden {
				t.Errorf("%s as %s: %v", name, role, err)
			}
		}
		for name, serve := range map[string]handlerFunc{"list": s.listPulls, "show": s.getPull} {
			if err := as(s, role, serve, "GET", "/", "id", id); err != nil {
				t.Errorf("%s as %s: %v", name, role, err)
			}
		}
	}
	now, err := pulls.Get(id)
	if err != nil || now.Status != jeantrail.PullResolving {
		t.Errorf("the pull is %v, %v", now, err)
	}
	finish(&now)
	admin, viewer := pullOf(&now, jeantrail.Principal{Role: jeantrail.RoleAdmin}), pullOf(&now, jeantrail.Principal{Role: jeantrail.RoleViewer})
	if admin.Path != now.Files[0].Path || admin.MMProjPath != now.Files[1].Path || admin.Source != now.Source || admin.Files[0].Path != admin.Path {
		t.Errorf("an administrator sees %+v", admin)
	}
	if viewer.Path != "" || viewer.MMProjPath != "" || viewer.Source != "https://models.example/x.gguf" || viewer.SHA256 != aSHA256 ||
		viewer.Files[0].Path != "" || viewer.Files[1].Path != "" || viewer.Files[1].SHA256 != bSHA256 {
		t.Errorf("a viewer sees %+v", viewer)
	}
}

// A pull is watched to its end over Server-Sent Events, with pings while nothing
// happens.
func TestPullStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pulls := newFakePulls()
		s := newTestServer(t, Options{Pulls: pulls})
		_, client, stop := serve(t, s)
		defer stop()
		resp, err := client.Post("http://127.0.0.1:3001/models/pull", "application/json", strings.NewReader(`{"name":"qwen3-8b","stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("status %d, header %v", resp.StatusCode, resp.Header)
		}
		lines, seen := bufio.NewReader(resp.Body), ""
		next := func(want string) {
			t.Helper()
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatalf("waiting for %q: %v", want, err)
				}
				if seen += line; strings.HasPrefix(line, want) {
					return
				}
			}
		}
		next("event: resolving")
		began := time.Now()
		next(": ping")
		if took := time.Since(began); took != ssePing {
			t.Errorf("the ping came after %v", took)
		}
		id := pulls.List()[0].ID
		for _, step := range []func(*jeantrail.Pull){download, finish} {
			if err := pulls.change(id, step); err != nil {
				t.Fatal(err)
			}
			next("event: " + string(pulls.List()[0].Status))
		}
		rest, err := io.ReadAll(lines)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "pull.golden", []byte(seen+string(rest)))
	})
}

// A client that leaves ends its watch and not the pull.
func TestPullOutlivesItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pulls := newFakePulls()
		s := newTestServer(t, Options{Pulls: pulls})
		_, client, stop := serve(t, s)
		defer stop()
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "POST", "http://127.0.0.1:3001/models/pull", strings.NewReader(`{"name":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/event-stream")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		leave()
		id := <-pulls.unwatch
		if now, err := pulls.Get(id); err != nil || now.Status != jeantrail.PullResolving {
			t.Errorf("the pull is %v, %v", now, err)
		}
	})
}

// A stop of the server, or a watch that ends too soon, does not look like an end.
func TestPullStreamIsCut(t *testing.T) {
	for name, broken := range map[string]bool{"stop": false, "broken": true} {
		synctest.Test(t, func(t *testing.T) {
			pulls := newFakePulls()
			pulls.broken = broken
			s := newTestServer(t, Options{Pulls: pulls})
			_, client, stop := serve(t, s)
			resp, err := client.Post("http://127.0.0.1:3001/models/pull", "application/json", strings.NewReader(`{"name":"a","stream":true}`))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			rest := make(chan error, 1)
			go func() {
				_, err := io.ReadAll(resp.Body)
				rest <- err
			}()
			synctest.Wait()
			stop()
			if err := <-rest; !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: read to %v", name, err)
			}
			<-pulls.unwatch
		})
	}
}

// A pull that failed says why, to who asks and to who watches; a client that has
// the end is told to stay away.
func TestFailedPull(t *testing.T) {
	pulls := newFakePulls()
	s := newTestServer(t, Options{Pulls: pulls})
	id := startOne(t, s, `{"name":"hf:owner/repo"}`)
	failure := jeantrail.Errorf(jeantrail.CodeStorageFull, "there is no room for the model").WithHint("Free 3 GB.").WithNumber("need_bytes", 3_000_000_000)
	err := pulls.change(id, func(now *jeantrail.Pull) {
		now.Status, now.Err, now.EndedAt = jeantrail.PullFailed, failure, epoch()
	})
	if err != nil {
		t.Fatal(err)
	}
	self := "/models/pulls/" + id
	m := decoded(t, call(s, "GET", self, ""))
	p, _ := m["error"].(map[string]any)
	if m["status"] != "failed" || p["code"] != "storage_full" || p["status"] != 507.0 || p["hint"] != "Free 3 GB." || p["need_bytes"] != 3e9 || m["ended_at"] == nil {
		t.Errorf("the pull is %v", m)
	}
	w := call(s, "GET", self+"/events", "")
	if body := w.Body.String(); w.Code != 200 || !strings.HasPrefix(body, "retry: 1000\n\nid: failed\nevent: failed\ndata: {") || !strings.Contains(body, `"code":"storage_full"`) {
		t.Errorf("watched: %d %s", w.Code, body)
	}
	if w := call(s, "GET", self+"/events", "", "Last-Event-ID", "failed"); w.Code != http.StatusNoContent {
		t.Errorf("after the end: %d %s", w.Code, w.Body)
	}
	wantProblem(t, call(s, "GET", self+"/events?after=1", ""), 400, jeantrail.CodeInvalid)
}
