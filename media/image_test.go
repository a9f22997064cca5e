package media

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/testkit"
)

func imageWorker(t *testing.T, srv *testkit.Server, dialect string) *Worker {
	t.Helper()
	return newWorker(t, Options{Kind: jeantrail.KindImage, URL: srv.URL, Dialect: dialect})
}

func TestPicturesOfSDServer(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{})
	w := imageWorker(t, srv, "auto")
	seed, cfg := int64(1234), 5.5
	s := new(record)
	res, err := run(t, w, imageOf(jeantrail.ImageRequest{NegativePrompt: "blurry", Width: 100, Height: 130, Steps: 7, CFGScale: &cfg, Seed: &seed, N: 2}), s)
	if err != nil {
		t.Fatal(err)
	}
	if s.started != 1 || res.FinishReason != jeantrail.FinishStop || res.Truncated || res.Usage.Images != 2 || len(res.Artifacts) != 2 {
		t.Errorf("result is %+v after %d starts, want two pictures", res, s.started)
	}
	for i, a := range s.artifacts {
		if a.Width != 128 || a.Height != 192 || a.MediaType != "image/png" || a.Seed == nil || *a.Seed != seed+int64(i) {
			t.Errorf("picture %d is %+v, want 128x192 and seed %d", i, a, seed+int64(i))
		}
		if p, err := png.Decode(bytes.NewReader(s.contents[i])); err != nil || p.Bounds().Dx() != 128 {
			t.Errorf("picture %d cannot be decoded: %v", i, err)
		}
	}
	var asked map[string]any
	if err := srv.RequestsTo("/sdapi/v1/txt2img")[0].Decode(&asked); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"width": 100.0, "height": 130.0, "steps": 7.0, "cfg_scale": 5.5, "batch_size": 2.0, "negative_prompt": "blurry"} {
		if asked[key] != want {
			t.Errorf("%s was %v, want %v", key, asked[key], want)
		}
	}
	if w.Dialect() != "sdapi" || w.CanUnload() {
		t.Errorf("dialect is %q, can unload %v", w.Dialect(), w.CanUnload())
	}
	wantIdle(t, w)
}

func TestRandomSeedIsAlwaysSent(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{})
	w := imageWorker(t, srv, "sdapi")
	s := new(record)
	for range 2 {
		if _, err := run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64}), s); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := s.artifacts[0], s.artifacts[1]; *a.Seed < 0 || *a.Seed == *b.Seed || a.SHA256 == b.SHA256 {
		t.Errorf("seeds are %d and %d, want two different ones", *a.Seed, *b.Seed)
	}
}

func TestFewerPicturesThanAskedFor(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{Lose: 1})
	w := imageWorker(t, srv, "sdapi")
	s := new(record)
	res, err := run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64, N: 3}), s)
	if err != nil {
		t.Fatal(err)
	}
	if res.Usage.Images != 2 || res.FinishReason != jeantrail.FinishLength || !res.Truncated {
		t.Errorf("%d pictures, %s, truncated %v; want 2, length, true", res.Usage.Images, res.FinishReason, res.Truncated)
	}
	for _, a := range s.artifacts {
		if a.Seed != nil {
			t.Errorf("a picture has the seed %d, though nobody knows which one is missing", *a.Seed)
		}
	}
	_, err = run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64, N: 1}), new(record))
	wantCode(t, err, jeantrail.CodeWorkerUnavailable)
}

func TestServerThatGivesOnePictureAtATime(t *testing.T) {
	var calls int
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			_, _ = io.WriteString(w, `{"data":[{"id":"one"}]}`)
			return
		}
		if calls++; calls == 3 {
			http.Error(w, "out of memory", http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, `{"data":[{"b64_json":"%s"}]}`, base64.StdEncoding.EncodeToString(testkit.PNG(64, 64, int64(calls))))
	}))
	defer srv.Close()
	w := newWorker(t, Options{Kind: jeantrail.KindImage, URL: srv.URL, Dialect: "openai"})
	res, err := run(t, w, imageOf(jeantrail.ImageRequest{N: 2}), new(record))
	if err != nil || res.Usage.Images != 2 || res.Truncated {
		t.Errorf("result is %+v, %v, want two pictures of two calls", res, err)
	}
	calls = 1
	res, err = run(t, w, imageOf(jeantrail.ImageRequest{N: 2}), new(record))
	if err != nil || res.Usage.Images != 1 || !res.Truncated {
		t.Errorf("result is %+v, %v, want the one that came before the failure", res, err)
	}
	calls = 2
	_, err = run(t, w, imageOf(jeantrail.ImageRequest{N: 2}), new(record))
	wantCode(t, err, jeantrail.CodeWorkerUnavailable)
}

func TestForgeIgnoresWhatWasNotAskedFor(t *testing.T) {
	srv := testkit.Serve(t, testkit.Forge{Extras: 2})
	w := imageWorker(t, srv, "auto")
	s := new(record)
	res, err := run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64, Steps: 2, N: 2}), s)
	if err != nil {
		t.Fatal(err)
	}
	if res.Usage.Images != 2 || *s.artifacts[1].Seed != *s.artifacts[0].Seed+1 {
		t.Errorf("%d pictures %+v, want 2 with seeds in a row", res.Usage.Images, s.artifacts)
	}
}

func TestForgeTellsProgressAndIsInterrupted(t *testing.T) {
	steps := make(chan struct{})
	srv := testkit.Serve(t, testkit.Forge{}, testkit.Gate(steps))
	w := imageWorker(t, srv, "sdapi")
	w.pace = time.Millisecond
	s := new(record)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := jeantrail.Errorf(jeantrail.CodeCancelled, "the owner stopped it")
	k := prepared(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64, Steps: 10, N: 2}))
	done := make(chan error)
	var res *jeantrail.Result
	go func() {
		var err error
		res, err = k.Run(ctx, &jeantrail.Job{}, s)
		done <- err
	}()
	for range 3 {
		steps <- struct{}{}
	}
	for {
		if p, ok := s.lastProgress("image"); ok && p.Done >= 2 {
			if p.Total != 20 || p.Unit != "steps" {
				t.Errorf("progress is %+v, want of 20 steps", p)
			}
			break
		}
		srv.AwaitRequests("/sdapi/v1/progress", len(srv.RequestsTo("/sdapi/v1/progress"))+1)
	}
	cancel(why)
	if err := <-done; !errors.Is(err, why) || res.FinishReason != jeantrail.FinishCancelled || res.Usage.Images != 0 {
		t.Errorf("the end was %v, %+v, want cancelled by the owner", err, res)
	}
	notes := strings.Join(srv.Notes(), "\n")
	if !strings.Contains(notes, "/sdapi/v1/interrupt task(jeantrail-") {
		t.Errorf("the server noted %q, want that our task was interrupted", notes)
	}
	wantIdle(t, w)
	close(steps)
}

func TestSomebodyElsesPictureIsNotInterrupted(t *testing.T) {
	steps := make(chan struct{})
	srv := testkit.Serve(t, testkit.Forge{}, testkit.Gate(steps))
	other, ours := imageWorker(t, srv, "sdapi"), imageWorker(t, srv, "sdapi")
	done := make(chan error, 2)
	go func() {
		_, err := run(t, other, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64, Steps: 2}), new(record))
		done <- err
	}()
	steps <- struct{}{} // the other's is under way
	ctx, cancel := context.WithCancel(t.Context())
	k := prepared(t, ours, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64, Steps: 2}))
	ended := make(chan error)
	go func() {
		_, err := k.Run(ctx, &jeantrail.Job{}, new(record))
		ended <- err
	}()
	srv.AwaitWorking(2)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want cancelled", err)
	}
	close(steps)
	if err := <-done; err != nil {
		t.Errorf("the other's picture: %v", err)
	}
	if notes := srv.Notes(); len(notes) != 0 {
		t.Errorf("the server noted %v, want nothing", notes)
	}
}

func TestUnloadAndMemory(t *testing.T) {
	srv := testkit.Serve(t, testkit.Forge{})
	w := imageWorker(t, srv, "auto")
	if n, err := w.MemoryBytes(t.Context()); n != 0 || err != nil {
		t.Errorf("memory before any probe is %d, %v, want not known", n, err)
	}
	if p := w.Probe(t.Context()); p.Status != jeantrail.WorkerReady {
		t.Fatalf("probe is %+v", p)
	}
	before, err := w.MemoryBytes(t.Context())
	if err != nil || before != 7<<30 {
		t.Errorf("memory is %d, %v, want 7 GiB", before, err)
	}
	if err := w.Unload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err := w.MemoryBytes(t.Context()); err != nil || after != 0 {
		t.Errorf("memory after unloading is %d, %v, want 0", after, err)
	}
	w.lane.running = 1
	wantCode(t, w.Unload(t.Context()), jeantrail.CodeConflict)
	w.lane.running = 0
}

func TestPicturesInTheOpenAIDialect(t *testing.T) {
	srv := testkit.Serve(t, testkit.LocalAI{})
	w := imageWorker(t, srv, "auto")
	s := new(record)
	res, err := run(t, w, imageOf(jeantrail.ImageRequest{NegativePrompt: "blurry", Width: 96, Height: 64, N: 2, Steps: 4}), s)
	if err != nil {
		t.Fatal(err)
	}
	if res.Usage.Images != 2 || s.artifacts[0].Width != 96 || s.artifacts[0].Seed != nil {
		t.Errorf("result is %+v, want two pictures of 96x64", s.artifacts)
	}
	var asked map[string]any
	if err := srv.RequestsTo("/v1/images/generations")[0].Decode(&asked); err != nil {
		t.Fatal(err)
	}
	if asked["model"] != "sdxl" || asked["response_format"] != "b64_json" || asked["size"] != "96x64" || asked["step"] != 4.0 ||
		asked["prompt"] != "a red lighthouse at dusk|blurry" {
		t.Errorf("asked for %v", asked)
	}
	if w.Dialect() != "openai" {
		t.Errorf("dialect is %q", w.Dialect())
	}
	seed := int64(1)
	_, err = w.Prepare(t.Context(), &jeantrail.Request{Kind: jeantrail.KindImage, Image: &jeantrail.ImageRequest{Prompt: "x", Seed: &seed}})
	wantCode(t, err, jeantrail.CodeUnsupported)
	_, err = w.Prepare(t.Context(), &jeantrail.Request{Kind: jeantrail.KindImage, Image: &jeantrail.ImageRequest{Prompt: "x | y"}})
	wantCode(t, err, jeantrail.CodeInvalid)
}

func TestOpenAIDialectOfSDServer(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{})
	w := imageWorker(t, srv, "openai")
	res, err := run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64}), new(record))
	if err != nil || res.Usage.Images != 1 {
		t.Fatalf("result is %+v, %v", res, err)
	}
	// A worker that does not know its server yet finds out when it runs.
	fresh := imageWorker(t, srv, "openai")
	_, err = run(t, fresh, imageOf(jeantrail.ImageRequest{NegativePrompt: "no"}), new(record))
	wantCode(t, err, jeantrail.CodeUnsupported)
}

func TestPicturesOfAnotherHostAreNotFetched(t *testing.T) {
	other := testkit.Serve(t, testkit.LocalAI{})
	srv := testkit.Serve(t, testkit.LocalAI{})
	srv.Fault("/v1/images/generations", testkit.Answer(200, "application/json", `{"data":[{"url":"`+other.URL+`/generated-images/x.png"}]}`))
	w := imageWorker(t, srv, "openai")
	_, err := run(t, w, imageOf(jeantrail.ImageRequest{}), new(record))
	wantCode(t, err, jeantrail.CodeWorkerUnavailable)
	if n := len(other.Requests()); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

func TestPictureAtTheWorkersOwnAddress(t *testing.T) {
	srv := testkit.Serve(t, testkit.LocalAI{})
	srv.Fault("/v1/images/generations", testkit.Answer(200, "application/json", `{"data":[{"b64_json":null,"url":"`+srv.URL+`/generated-images/x.png"}]}`))
	srv.Fault("/generated-images/x.png", testkit.Answer(200, "image/png", string(testkit.JPEG(80, 60, 1))))
	w := imageWorker(t, srv, "openai")
	s := new(record)
	res, err := run(t, w, imageOf(jeantrail.ImageRequest{}), s)
	if err != nil || res.Usage.Images != 1 || s.artifacts[0].MediaType != "image/jpeg" || s.artifacts[0].Width != 80 {
		t.Fatalf("result is %+v %+v, %v, want a JPEG", res, s.artifacts, err)
	}
}

func TestCommandsInPromptsAreRefused(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{})
	w := imageWorker(t, srv, "sdapi")
	for _, i := range []jeantrail.ImageRequest{
		{Prompt: `a cat <sd_cpp_extra_args>{"steps":100}</sd_cpp_extra_args>`},
		{Prompt: `a cat <SD_CPP_Extra_Args>{"steps":100}`},
		{Prompt: "a cat", NegativePrompt: `</sd_cpp_extra_args>`},
		{Prompt: " \n"},
	} {
		_, err := w.Prepare(t.Context(), &jeantrail.Request{Kind: jeantrail.KindImage, Image: &i})
		wantCode(t, err, jeantrail.CodeInvalid)
	}
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestPictureThatCannotBeKept(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{})
	g := new(gate)
	w := newWorker(t, Options{Kind: jeantrail.KindImage, URL: srv.URL, Gate: g})
	s := &record{full: jeantrail.Errorf(jeantrail.CodeStorageFull, "no room")}
	res, err := run(t, w, imageOf(jeantrail.ImageRequest{Width: 64, Height: 64}), s)
	wantCode(t, err, jeantrail.CodeStorageFull)
	if res.Usage.Images != 0 || len(g.left) != 1 {
		t.Errorf("%d images were counted, the gate was left %d times", res.Usage.Images, len(g.left))
	}
}

func TestRoomAndGateComeBeforeTheWork(t *testing.T) {
	srv := testkit.Serve(t, testkit.SDServer{})
	refusal := jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the breaker is open")
	g := &gate{refuse: refusal}
	var asked, released int
	noRoom := error(jeantrail.Errorf(jeantrail.CodeQueueFull, "no room in memory"))
	w := newWorker(t, Options{Kind: jeantrail.KindImage, URL: srv.URL, Gate: g, Room: func(context.Context) (func(), error) {
		asked++
		return func() { released++ }, noRoom
	}})
	s := new(record)
	req := imageOf(jeantrail.ImageRequest{Width: 64, Height: 64})
	if _, err := run(t, w, req, s); !errors.Is(err, refusal) || len(srv.Requests()) != 0 || asked != 0 {
		t.Errorf("error is %v after %d requests, want the gate's at once", err, len(srv.Requests()))
	}
	g.refuse = nil
	if _, err := run(t, w, req, s); !errors.Is(err, noRoom) || s.started != 0 {
		t.Errorf("error is %v, %d starts, want no room", err, s.started)
	}
	noRoom = nil
	if _, err := run(t, w, req, s); err != nil || released != 1 || s.started != 1 {
		t.Errorf("error is %v, %d releases, %d starts", err, released, s.started)
	}
	if len(g.left) != 2 || g.left[1] != nil {
		t.Errorf("the gate was left with %v", g.left)
	}
	wantIdle(t, w)
}
