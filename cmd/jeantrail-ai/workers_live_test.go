package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai/internal/testkit"
)

// workers are the doubles of the guide's three containers, and where an
// instance that is started next finds them.
type workers struct{ sdxl, whisper, coqui *testkit.Server }

func serveWorkers(t *testing.T, options ...testkit.Option) workers {
	t.Helper()
	w := workers{
		sdxl:    testkit.Serve(t, testkit.SDServer{}, options...),
		whisper: testkit.Serve(t, testkit.Whisper{Script: testkit.Script{Text: "A lighthouse stands at the sea."}}, options...),
		coqui:   testkit.Serve(t, testkit.Coqui{}, options...),
	}
	t.Setenv("SDXL_URL", w.sdxl.URL)
	t.Setenv("WHISPER_URL", w.whisper.URL)
	t.Setenv("COQUI_URL", w.coqui.URL)
	return w
}

// sighted adds a text worker that reads images, and returns its double.
func sighted(t *testing.T, home string) *testkit.Server {
	t.Helper()
	llama := testkit.Serve(t, testkit.Llama{Chat: testkit.Chat{Model: "eye", Reply: func(string, []testkit.Picture) string { return "A red lighthouse." }}})
	configure(t, home, fmt.Sprintf("workers:\n  - {name: eye, kind: text, url: %q, vision: true}\n", llama.URL))
	return llama
}

func configure(t *testing.T, home, config string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(home, "config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fetch returns the bytes and the header of what a path answers.
func (in *instance) fetch(path string) ([]byte, http.Header) {
	in.t.Helper()
	req, err := http.NewRequest(http.MethodGet, in.url(path), nil)
	if err != nil {
		in.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+in.token())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		in.t.Fatalf("GET %s: %d %v", path, resp.StatusCode, err)
	}
	return data, resp.Header
}

// first is the first element of a list of objects in an answer.
func first(t *testing.T, answer map[string]any, key string) map[string]any {
	t.Helper()
	list, _ := answer[key].([]any)
	if len(list) == 0 {
		t.Fatalf("no %s in %v", key, answer)
	}
	return list[0].(map[string]any)
}

func decodeBody(t *testing.T, resp *http.Response) map[string]any {
	t.Helper()
	answer := make(map[string]any)
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestGuidesPictures sends the guide's requests for a picture and for the
// multimodal workflow, letter by letter.
func TestGuidesPictures(t *testing.T) {
	serveWorkers(t)
	in := startOpen(t)
	resp := post(t, in.url("/generate-image"), "application/json", "", `{
    "prompt": "A futuristic AI assistant",
    "user_id": "user123",
    "width": 1024,
    "height": 1024
  }`)
	answer := decodeBody(t, resp)
	if resp.StatusCode != http.StatusOK || answer["model"] != "sdxl" {
		t.Fatalf("%d %v", resp.StatusCode, answer)
	}
	image := first(t, answer, "images")
	data, header := in.fetch(image["url"].(string))
	picture, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil || picture.Width != 1024 || picture.Height != 1024 || image["width"] != 1024.0 || header.Get("Content-Type") != "image/png" || header.Get("ETag") == "" {
		t.Errorf("%v %+v %v, answered %v", err, picture, header, image)
	}
	if cost := answer["cost"].(map[string]any); cost["amount_micros"] != 50_000.0 {
		t.Errorf("cost %v", cost)
	}

	resp = post(t, in.url("/pipeline/process"), "application/json", "", `{
    "input_data": {"prompt": "Create a futuristic AI image"},
    "user_id": "user123",
    "workflow": "text_to_image"
  }`)
	answer = decodeBody(t, resp)
	stages, _ := answer["stages"].([]any)
	if resp.StatusCode != http.StatusOK || len(stages) != 2 {
		t.Fatalf("%d %v", resp.StatusCode, answer)
	}
	sum := 0.0
	for _, s := range stages {
		stage := s.(map[string]any)
		_, job := in.call(http.MethodGet, "/job/"+stage["job_id"].(string), nil)
		cost := stage["cost"].(map[string]any)["amount_micros"].(float64)
		if stage["status"] != "succeeded" || job["workflow"] != "text_to_image" || job["parent_id"] != answer["job_id"] ||
			job["cost"].(map[string]any)["amount_micros"] != cost {
			t.Errorf("stage %v is of job %v", stage, job)
		}
		sum += cost
	}
	if total := answer["cost"].(map[string]any)["amount_micros"]; total != sum {
		t.Errorf("the pipeline cost %v, its stages %v", total, sum)
	}
	_, costs := in.call(http.MethodGet, "/costs?group_by=workflow&user_id=user123", nil)
	if !strings.Contains(fmt.Sprint(costs), "text_to_image") {
		t.Errorf("costs by workflow: %v", costs)
	}
	for _, prompt := range []string{`{"prompt": "test image", "user_id": "test"}`} { // as curl sends it without a type
		if resp := post(t, in.url("/generate-image"), "application/x-www-form-urlencoded", "", prompt); resp.StatusCode != http.StatusOK {
			t.Errorf("without a content type: %d", resp.StatusCode)
		}
	}
}

// multipartOf is a multipart body.
func multipartOf(t *testing.T, fields map[string]string, files map[string][]byte) (contentType string, body []byte) {
	t.Helper()
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for name, content := range files {
		part, err := w.CreateFormFile(name, "../../etc/passwd; rm -rf.wav")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), out.Bytes()
}

// TestAllWorkflows runs the five, one from a file, and one that the API was given.
func TestAllWorkflows(t *testing.T) {
	serveWorkers(t)
	home := t.TempDir()
	eye := sighted(t, home)
	if err := os.Mkdir(filepath.Join(home, "workflows"), 0o700); err != nil {
		t.Fatal(err)
	}
	own := "name: shout\ninputs: {text: {type: string, required: true}}\nstages:\n" +
		"  - {name: say, kind: speak, text: \"{{ upper(inputs.text) }}\"}\noutput: {audio: \"{{ first(stages.say.artifacts) }}\"}\n"
	if err := os.WriteFile(filepath.Join(home, "workflows", "shout.yaml"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	in := startSidecar(t, home)
	in.modelReady()
	addWorkflow(in, "one", oneStage)
	sound := testkit.Tone{Length: 1500 * time.Millisecond}.Bytes()
	picture := testkit.PNG(64, 64, 1)
	for name, c := range map[string]struct {
		input  map[string]any
		files  map[string][]byte
		stages int
		output []string
	}{
		"text_to_image":              {map[string]any{"prompt": "a lighthouse"}, nil, 2, []string{"image"}},
		"speech_to_text_to_analysis": {map[string]any{}, map[string][]byte{"audio": sound}, 2, []string{"analysis", "transcript"}},
		"text_to_speech":             {map[string]any{"text": "Hello there."}, nil, 2, []string{"audio"}},
		"multimodal_analysis":        {map[string]any{"text": "What is it?"}, map[string][]byte{"audio": sound, "image": picture}, 4, []string{"response"}},
		"image_description":          {map[string]any{}, map[string][]byte{"image": picture}, 2, []string{"description"}},
		"shout":                      {map[string]any{"text": "hello"}, nil, 1, []string{"audio"}},
		"one":                        {map[string]any{"prompt": "job 0001"}, nil, 1, []string{"text"}},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := json.Marshal(map[string]any{"workflow": name, "input_data": c.input})
			if err != nil {
				t.Fatal(err)
			}
			contentType, body := multipartOf(t, map[string]string{"request": string(request)}, c.files)
			req, err := http.NewRequest(http.MethodPost, in.url("/pipeline/process"), bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", contentType)
			req.Header.Set("Authorization", "Bearer "+in.token())
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer := decodeBody(t, resp)
			stages, _ := answer["stages"].([]any)
			if resp.StatusCode != http.StatusOK || len(stages) != c.stages {
				t.Fatalf("%d with %d stages: %v", resp.StatusCode, len(stages), answer)
			}
			output, _ := answer["output"].(map[string]any)
			for _, key := range c.output {
				if output[key] == nil || output[key] == "" {
					t.Errorf("no %s in the output %v", key, output)
				}
			}
			if _, estimate := in.call(http.MethodPost, "/pipeline/estimate", map[string]any{"workflow": name, "input_data": c.input}); len(c.files) == 0 {
				most, ok := estimate["amount_micros"].(float64)
				cost := answer["cost"].(map[string]any)["amount_micros"].(float64)
				if !ok || cost > most {
					t.Errorf("cost %v, estimated %v", cost, estimate)
				}
			}
		})
	}
	if notes := eye.Notes(); len(notes) > 0 {
		t.Errorf("the vision worker notes %v", notes)
	}
}

// Without anything that sees, the answer says what is missing.
func TestImageDescriptionWithoutEyes(t *testing.T) {
	in := startSidecar(t, t.TempDir())
	in.modelReady()
	status, answer := in.call(http.MethodPost, "/generate", map[string]any{"prompt": "What is it?", "images": []any{testkit.PNG(64, 64, 1)}})
	if status != http.StatusUnprocessableEntity || !strings.Contains(fmt.Sprint(answer["hint"]), "mmproj") {
		t.Errorf("%d %v", status, answer)
	}
}

// settled waits until nothing runs and checks that nothing is left behind.
func (in *instance) settled() {
	in.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		_, health := in.call(http.MethodGet, "/health", nil)
		queue, _ := health["queue"].(map[string]any)
		if queue["queued"] == 0.0 && queue["running"] == 0.0 {
			break
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("jobs are left: %v", health)
		}
	}
	status, answer := in.call(http.MethodPost, "/costs/verify", map[string]any{})
	if found, _ := answer["differences"].([]any); status != http.StatusOK || len(found) > 0 {
		in.t.Errorf("the books: %d %v", status, answer)
	}
}

// Every fault of a worker ends as a clear error, with the slot free for the next
// job and nothing held or charged.
func TestFaultsOfWorkers(t *testing.T) {
	w := serveWorkers(t)
	away := testkit.Serve(t, testkit.SDServer{})
	home := t.TempDir()
	configure(t, home, fmt.Sprintf("workers:\n  - {name: sdxl, kind: image, url: %q, dialect: sdapi, timeout: 2s}\n", w.sdxl.URL))
	in := startSidecar(t, home)
	in.modelReady()
	body := map[string]any{"prompt": "a lighthouse", "width": 64, "height": 64}
	for name, c := range map[string]struct {
		fault testkit.Fault
		codes []string
	}{
		"hanging":             {testkit.Hang(), []string{"deadline"}},
		"slow drip":           {testkit.SlowDrip(500 * time.Millisecond), []string{"deadline"}},
		"wrong content type":  {testkit.WrongContentType("text/html"), nil}, // what came is looked at, not what it is called
		"truncated":           {testkit.Truncated(100), []string{"worker_unavailable"}},
		"huge":                {testkit.Huge(4 << 30), []string{"worker_unavailable", "too_large", "deadline"}},
		"html 500":            {testkit.HTML500(), []string{"worker_unavailable"}},
		"reset after headers": {testkit.ResetAfterHeaders(), []string{"worker_unavailable"}},
		"redirect elsewhere":  {testkit.RedirectTo(away.URL), []string{"worker_unavailable"}},
		"gzip bomb":           {testkit.GzipBomb(1 << 30), []string{"worker_unavailable"}},
		"empty":               {testkit.EmptyOK(), []string{"worker_unavailable"}},
		"starting":            {testkit.Starting(1), []string{"worker_unavailable", "model_loading"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.sdxl.Fault("/sdapi/v1/txt2img", c.fault)
			status, answer := in.call(http.MethodPost, "/generate-image", body)
			w.sdxl.Heal("/sdapi/v1/txt2img")
			code, _ := answer["code"].(string)
			if (status >= 400) != (c.codes != nil) || code != "" && !slices.Contains(c.codes, code) {
				t.Errorf("%d %v, want %v", status, answer, c.codes)
			}
			in.settled()
			in.recovered("sdxl")
			if status, answer := in.call(http.MethodPost, "/generate-image", body); status != http.StatusOK {
				t.Errorf("the next job: %d %v", status, answer)
			}
		})
	}
	if got := away.Requests(); len(got) > 0 {
		t.Errorf("a redirect was followed to another host: %v", got)
	}
	w.sdxl.Down()
	status, answer := in.call(http.MethodPost, "/generate-image", body)
	if status != http.StatusServiceUnavailable || answer["code"] != "worker_unavailable" {
		t.Errorf("down: %d %v", status, answer)
	}
	w.sdxl.Up()
	in.recovered("sdxl")
	if status, answer := in.call(http.MethodPost, "/generate-image", body); status != http.StatusOK {
		t.Errorf("after it came back: %d %v", status, answer)
	}
	in.settled()
	if notes := w.sdxl.Notes(); len(notes) > 0 {
		t.Errorf("the worker notes %v", notes)
	}
}

// recovered has a worker probed until it is ready.
func (in *instance) recovered(worker string) {
	in.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		status, answer := in.call(http.MethodPost, "/registry/"+worker+"/probe", nil)
		if answer["status"] == "ready" && answer["breaker"] == "closed" || answer["status"] == "degraded" && answer["breaker"] == "closed" {
			return
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("the worker does not come back: %d %v", status, answer)
		}
	}
}

// 200 jobs of all kinds at once: every worker sees its limit at most, all of
// them end, and /health answers all the while.
func TestMixedJobsAtOnce(t *testing.T) {
	const jobs = 200
	w := serveWorkers(t)
	in := startSidecar(t, t.TempDir())
	in.modelReady()
	sound := testkit.Tone{Length: time.Second}.Bytes()
	ask := []func(n int) (int, map[string]any, error){
		func(n int) (int, map[string]any, error) {
			return in.tryCall(t.Context(), http.MethodPost, "/generate", map[string]any{"prompt": fmt.Sprintf("job %d", n), "max_tokens": 16})
		},
		func(n int) (int, map[string]any, error) {
			return in.tryCall(t.Context(), http.MethodPost, "/generate-image", map[string]any{"prompt": fmt.Sprintf("job %d", n), "width": 64, "height": 64})
		},
		func(int) (int, map[string]any, error) {
			return in.tryCall(t.Context(), http.MethodPost, "/transcribe", map[string]any{"audio_base64": sound})
		},
		func(n int) (int, map[string]any, error) {
			return in.tryCall(t.Context(), http.MethodPost, "/speak", map[string]any{"text": fmt.Sprintf("job %d", n)})
		},
	}
	ctx, over := context.WithCancel(t.Context())
	var group, watch sync.WaitGroup
	var took []time.Duration
	watch.Go(func() {
		for ctx.Err() == nil {
			begin := time.Now()
			status, health, err := in.tryCall(ctx, http.MethodGet, "/health", nil)
			if ctx.Err() == nil && (err != nil || status != http.StatusOK) {
				t.Errorf("health: %d %v %v", status, health, err)
				return
			}
			took = append(took, time.Since(begin))
		}
	})
	for n := range jobs {
		group.Go(func() {
			if status, answer, err := ask[n%len(ask)](n); err != nil || status != http.StatusOK {
				t.Errorf("job %d: %d %v %v", n, status, answer, err)
			}
		})
	}
	group.Wait()
	over()
	watch.Wait()
	for name, server := range map[string]*testkit.Server{"sdxl": w.sdxl, "whisper": w.whisper, "coqui": w.coqui} {
		if most := server.MaxConcurrent(); most != 1 {
			t.Errorf("%s saw %d requests at once", name, most)
		}
		if notes := server.Notes(); len(notes) > 0 {
			t.Errorf("%s notes %v", name, notes)
		}
	}
	if len(took) < 10 {
		t.Errorf("health answered %d times", len(took))
	}
	slices.Sort(took)
	t.Logf("health answered %d times, in %s at the median, %s for 99 of 100, %s at most", len(took),
		took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	in.settled()
}

// Real speech: text_to_speech ends in a file whose seconds are those that were
// charged.
func TestRealSpeech(t *testing.T) {
	server := testkit.Serve(t, testkit.Espeak(t))
	t.Setenv("COQUI_URL", server.URL)
	in := startSidecar(t, t.TempDir())
	in.modelReady()
	status, answer := in.call(http.MethodPost, "/pipeline/process", map[string]any{
		"workflow": "text_to_speech", "input_data": map[string]any{"text": "The lighthouse keeper counts the ships at night."},
	})
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	audio := answer["output"].(map[string]any)["audio"].(map[string]any)
	data, header := in.fetch(fmt.Sprintf("/job/%s/artifact/%v", audio["job_id"], audio["index"]))
	_, job := in.call(http.MethodGet, "/job/"+audio["job_id"].(string), nil)
	seconds := wavSeconds(t, data)
	if header.Get("Content-Type") != "audio/wav" || seconds < 1 || seconds > 20 {
		t.Errorf("%v, %v s", header, seconds)
	}
	// $0.005 a second, of whole milliseconds.
	if cost := job["cost"].(map[string]any)["amount_micros"].(float64); math.Abs(cost-seconds*5000) > 5 {
		t.Errorf("%v s cost %v", seconds, cost)
	}
	in.settled()
}

// QWEN_URL puts another server in the place of the model in process; that one can
// still be asked for by its name.
func TestQwenURL(t *testing.T) {
	llama := testkit.Serve(t, testkit.Llama{Chat: testkit.Chat{Reply: func(string, []testkit.Picture) string { return "Hello from afar." }}})
	t.Setenv("QWEN_URL", llama.URL)
	in := startSidecar(t, t.TempDir())
	in.recovered("qwen")
	for asked, want := range map[string]string{"": "qwen", "qwen-3-72b": "qwen", "qwen": "qwen", "builtin": "builtin"} {
		status, answer := in.call(http.MethodPost, "/generate", map[string]any{"prompt": "Hello!", "model": asked, "max_tokens": 40})
		if status != http.StatusOK || answer["model"] != want || (answer["text"] == "Hello from afar.") != (want == "qwen") {
			t.Errorf("asked for %q: %d %v", asked, status, answer)
		}
	}
	in.settled()
}

// A changed configuration is taken up while the program runs.
func TestReload(t *testing.T) {
	serveWorkers(t)
	home := t.TempDir()
	in := startSidecar(t, home)
	in.modelReady()
	other := testkit.Serve(t, testkit.Forge{})
	configure(t, home, fmt.Sprintf("workers:\n  - {name: forge, kind: image, url: %q, aliases: [painter]}\n", other.URL))
	status, answer := in.call(http.MethodPost, "/config/reload", nil)
	if status != http.StatusOK || !strings.Contains(fmt.Sprint(answer), "forge") {
		t.Fatalf("%d %v", status, answer)
	}
	in.recovered("forge")
	status, answer = in.call(http.MethodPost, "/generate-image", map[string]any{"prompt": "a lighthouse", "model": "painter", "width": 64, "height": 64})
	if status != http.StatusOK || answer["model"] != "forge" {
		t.Errorf("%d %v", status, answer)
	}
	configure(t, home, "workers:\n  - {name: forge, kind: picture}\n")
	if status, answer = in.call(http.MethodPost, "/config/reload", nil); status != http.StatusBadRequest {
		t.Errorf("a bad file: %d %v", status, answer)
	}
	if status, answer = in.call(http.MethodPost, "/generate-image", map[string]any{"prompt": "still", "model": "forge", "width": 64, "height": 64}); status != http.StatusOK {
		t.Errorf("after a bad file: %d %v", status, answer)
	}
	// And by a signal.
	configure(t, home, fmt.Sprintf("workers:\n  - {name: brush, kind: image, url: %q}\n", other.URL))
	if err := in.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(limit)
	for status = 0; status != http.StatusOK; {
		if status, answer = in.call(http.MethodPost, "/registry/brush/probe", nil); time.Now().After(deadline) {
			t.Fatalf("a signal is not heard: %d %v", status, answer)
		}
	}
	in.settled()
}

// An async pipeline goes on after a crash from its last finished stage.
func TestPipelineGoesOnAfterACrash(t *testing.T) {
	gate := make(chan struct{})
	w := workers{coqui: testkit.Serve(t, testkit.Coqui{}, testkit.Gate(gate))}
	t.Setenv("COQUI_URL", w.coqui.URL)
	home := t.TempDir()
	in := startSidecar(t, home)
	in.modelReady()
	status, answer := in.call(http.MethodPost, "/pipeline/process", map[string]any{
		"workflow": "text_to_speech", "input_data": map[string]any{"text": "Hello there."}, "async": true,
	})
	if status != http.StatusAccepted {
		t.Fatalf("%d %v", status, answer)
	}
	id := answer["job_id"].(string)
	w.coqui.AwaitWorking(1)
	in.kill()
	in = startSidecar(t, home)
	close(gate)
	deadline := time.Now().Add(limit)
	var job map[string]any
	for job["status"] != "succeeded" {
		if time.Now().After(deadline) {
			t.Fatalf("the pipeline does not end: %v", job)
		}
		_, job = in.call(http.MethodGet, "/job/"+id, nil)
	}
	_, children := in.call(http.MethodGet, "/jobs?parent="+id, nil)
	kinds := map[string]int{}
	for _, j := range children["jobs"].([]any) {
		child := j.(map[string]any)
		kinds[fmt.Sprint(child["kind"], " ", child["status"])]++
	}
	if kinds["text succeeded"] != 1 || kinds["speak interrupted"] != 1 || kinds["speak succeeded"] != 1 {
		t.Errorf("the stages' jobs are %v", kinds)
	}
	in.settled()
}

// wavSeconds reads how long a WAV file with sound sizes plays.
func wavSeconds(t *testing.T, data []byte) float64 {
	t.Helper()
	if len(data) < 12 || string(data[:4]) != "RIFF" || string(data[8:12]) != "WAVE" || int(binary.LittleEndian.Uint32(data[4:]))+8 != len(data) {
		t.Fatalf("not a WAV file with a sound size: % x", data[:min(12, len(data))])
	}
	rate := uint32(0)
	for chunk := data[12:]; len(chunk) >= 8; {
		size := binary.LittleEndian.Uint32(chunk[4:])
		switch string(chunk[:4]) {
		case "fmt ":
			rate = binary.LittleEndian.Uint32(chunk[16:]) // bytes a second
		case "data":
			return float64(size) / float64(rate)
		}
		chunk = chunk[8+size+size%2:]
	}
	t.Fatal("no data in the WAV file")
	return 0
}
