package contract

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

// What the worker makes. The tests look at bytes only.
const (
	picture = "\x89PNG\r\n\x1a\npixels"
	sound   = "RIFF\x24\x00\x00\x00WAVEfmt sound"
	srt     = "1\n00:00:00,000 --> 00:00:01,500\nHello there.\n"
)

// worker is a backend of every kind but text.
type worker struct{}

func (worker) Prepare(_ context.Context, req *jeantrail.Request) (gateway.Work, error) {
	return workerWork{req}, nil
}

type workerWork struct{ request *jeantrail.Request }

func (w workerWork) Bounds() jeantrail.Bounds {
	b := jeantrail.Bounds{Exact: true}
	switch {
	case w.request.Image != nil:
		b.Images = max(1, w.request.Image.N)
	case w.request.Transcribe != nil:
		b.AudioIn = 1500 * time.Millisecond
	default:
		b.AudioOut = time.Minute
	}
	return b
}

func (workerWork) Fingerprint() ([]byte, bool) { return nil, false }

func (w workerWork) Run(_ context.Context, job *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	sink.Started(job.Model, jeantrail.EngineInfo{Device: job.Model}, 0, 0)
	result := &jeantrail.Result{Model: job.Model, FinishReason: jeantrail.FinishStop, Cache: jeantrail.CacheOff}
	keep := func(a jeantrail.Artifact, mediaType, content string) error {
		a.MediaType = mediaType
		kept, err := sink.Artifact(a, strings.NewReader(content))
		result.Artifacts = append(result.Artifacts, kept)
		return err
	}
	switch r := job.Request; {
	case r.Image != nil:
		for i := range max(1, r.Image.N) {
			seed := int64(40 + i)
			if err := keep(jeantrail.Artifact{Kind: jeantrail.ArtifactImage, Width: 64, Height: 128, Seed: &seed}, "image/png", picture); err != nil {
				return result, err
			}
			result.Usage.Images++
		}
		return result, nil
	case r.Transcribe != nil:
		result.Text, result.Usage.AudioIn = "Hello there.", 1500*time.Millisecond
		result.Transcript = &jeantrail.Transcript{Language: "en", Duration: 1500 * time.Millisecond, Segments: []jeantrail.TranscriptSegment{
			{End: 1500 * time.Millisecond, Text: "Hello there.", Words: []jeantrail.TranscriptWord{{End: time.Second, Text: "Hello"}}},
		}}
		if r.Transcribe.Format == jeantrail.TranscriptSRT {
			return result, keep(jeantrail.Artifact{Kind: jeantrail.ArtifactSubtitles}, "application/x-subrip", srt)
		}
		return result, nil
	default:
		result.Usage.AudioOut = 2500 * time.Millisecond
		return result, keep(jeantrail.Artifact{Kind: jeantrail.ArtifactAudio, Duration: 2500 * time.Millisecond}, "audio/wav", sound)
	}
}

// storage keeps the files of workflows.
type storage string

func (s storage) Write(name string, data []byte) error {
	return os.WriteFile(filepath.Join(string(s), filepath.Base(name)), data, 0o600)
}

func (s storage) Remove(name string) error {
	return os.Remove(filepath.Join(string(s), filepath.Base(name)))
}

// fleet is one worker that is well.
type fleet struct{}

func (fleet) Workers() []jeantrail.Worker {
	return []jeantrail.Worker{{
		Name: "worker-image", Kind: jeantrail.KindImage, URL: "http://127.0.0.1:8002", Dialect: "auto", Status: jeantrail.WorkerReady,
		CheckedAt: time.Now(), Breaker: "closed", Concurrency: 1,
	}}
}

func (fleet) History(context.Context, string, int) ([]jeantrail.Probe, error) {
	return []jeantrail.Probe{{At: time.Now(), Status: jeantrail.WorkerReady}}, nil
}

func (f fleet) ProbeNow(context.Context, string) (jeantrail.Worker, error) {
	return f.Workers()[0], nil
}
func (fleet) Reload(context.Context) ([]string, error) { return []string{"worker x is added"}, nil }
func (fleet) Load(context.Context, string) error       { return nil }
func (fleet) Unload(context.Context, string) error     { return nil }

func (fleet) Memory() jeantrail.MemoryUse {
	return jeantrail.MemoryUse{Limit: 1 << 30, Holders: []jeantrail.MemoryHolder{{Name: "builtin", Bytes: 1 << 20, Source: "model"}},
		Recent: []jeantrail.MemoryDecision{{At: time.Now(), For: "worker-image", Did: "waited"}}}
}

func inBase64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// Images are counted, charged, kept by their content and had whole and in parts.
func TestImages(t *testing.T) {
	h := open(t)
	h.want(t, 200, "PUT", "/prices/worker-image", `{"kind":"image","image_micros":50000}`)
	m := h.want(t, 200, "POST", "/generate-image", `{"prompt":"a cat","n":2,"user_id":"ann","width":64,"height":128}`)
	images := m["images"].([]any)
	if len(images) != 2 || m["cost"].(map[string]any)["amount_micros"] != 100_000.0 || m["usage"].(map[string]any)["images"] != 2.0 {
		t.Fatalf("the answer is %v", m)
	}
	image := images[1].(map[string]any)
	sum := sha256.Sum256([]byte(picture))
	if image["seed"] != 41.0 || image["width"] != 64.0 || image["sha256"] != hex.EncodeToString(sum[:]) {
		t.Errorf("the second image is %v", image)
	}
	url := image["url"].(string)
	if status, _, body := h.call(t, "GET", url, ""); status != 200 || body != picture {
		t.Errorf("the file: %d %q", status, body)
	}
	if status, _, body := h.call(t, "GET", url, "", "Range", "bytes=1-3"); status != 206 || body != "PNG" {
		t.Errorf("a part: %d %q", status, body)
	}
	if status, _, body := h.call(t, "GET", url, "", "Range", "bytes=99-"); status != 416 {
		t.Errorf("a part that is not there: %d %q", status, body)
	}
	if status, _, _ := h.call(t, "GET", url, "", "If-None-Match", fmt.Sprintf("%q", hex.EncodeToString(sum[:]))); status != 304 {
		t.Errorf("a file that is known: %d", status)
	}
	h.want(t, 404, "GET", strings.TrimSuffix(url, "1")+"2", "")
	job := h.want(t, 200, "GET", "/job/"+m["job_id"].(string), "")
	if job["request"].(map[string]any)["n"] != 2.0 || len(job["result"].(map[string]any)["images"].([]any)) != 2 {
		t.Errorf("the job is %v", job)
	}
	described := h.want(t, 200, "POST", "/generate", `{"prompt":"What is it?","images":["`+inBase64(picture)+`",{"job_id":"`+m["job_id"].(string)+`","index":0}]}`)
	shown := h.want(t, 200, "GET", "/job/"+described["job_id"].(string), "")["request"].(map[string]any)["images"].([]any)
	if len(shown) != 2 || shown[0].(map[string]any)["sha256"] != image["sha256"] || shown[1].(map[string]any)["sha256"] != image["sha256"] {
		t.Errorf("the text job shows %v", shown)
	}
}

// Speech goes out of one job and into another.
func TestSpeech(t *testing.T) {
	h := open(t)
	spoken := h.want(t, 200, "POST", "/speak", `{"text":"Hello there."}`)
	if audio := spoken["audio"].(map[string]any); audio["duration_seconds"] != 2.5 || spoken["usage"].(map[string]any)["audio_output_seconds"] != 2.5 {
		t.Errorf("spoken: %v", spoken)
	}
	if status, _, body := h.call(t, "POST", "/speak", `{"text":"Hello"}`, "Accept", "audio/*"); status != 200 || body != sound {
		t.Errorf("the sound itself: %d %q", status, body)
	}
	heard := h.want(t, 200, "POST", "/transcribe", `{"file":{"job_id":"`+spoken["job_id"].(string)+`","index":0},"format":"verbose_json"}`)
	if segments := heard["segments"].([]any); heard["text"] != "Hello there." || heard["duration_seconds"] != 1.5 || len(segments) != 1 {
		t.Errorf("heard: %v", heard)
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "a name that is not kept")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write([]byte(sound)); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteField("format", "srt"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if status, _, body := h.call(t, "POST", "/transcribe", form.String(), "Content-Type", w.FormDataContentType()); status != 200 || body != srt {
		t.Errorf("subtitles: %d %q", status, body)
	}
	if status, _, body := h.call(t, "POST", "/transcribe", `{"audio_base64":"`+inBase64(sound)+`","format":"text"}`); status != 200 || body != "Hello there." {
		t.Errorf("text: %d %q", status, body)
	}
	jobs := h.want(t, 200, "GET", "/jobs?kind=transcribe", "")["jobs"].([]any)
	for _, job := range jobs {
		if all := fmt.Sprint(h.want(t, 200, "GET", "/job/"+job.(map[string]any)["job_id"].(string), "")); strings.Contains(all, "not kept") {
			t.Errorf("a client's file name: %s", all)
		}
	}
	_, _, metrics := h.call(t, "GET", "/metrics", "")
	if !strings.Contains(metrics, `jeantrail_audio_seconds_total{direction="in",kind="transcribe",model="worker-transcribe"} 4.5`) {
		t.Error("the seconds that were heard are not counted")
	}
}

// A pipeline is a job, its stages are jobs, and what they cost adds up.
func TestPipelines(t *testing.T) {
	h := open(t)
	h.want(t, 200, "PUT", "/prices/worker-image", `{"kind":"image","image_micros":50000}`)
	const body = `{"input_data":{"prompt":"Create a futuristic AI image"},"user_id":"user123","workflow":"text_to_image"}`
	estimate := h.want(t, 200, "POST", "/pipeline/estimate", body)
	m := h.want(t, 200, "POST", "/pipeline/process", body)
	stages := m["stages"].([]any)
	total := 0.0
	for _, s := range stages {
		stage := s.(map[string]any)
		cost := stage["cost"].(map[string]any)["amount_micros"].(float64)
		job := h.want(t, 200, "GET", "/job/"+stage["job_id"].(string), "")
		if job["parent_id"] != m["job_id"] || job["workflow"] != "text_to_image" || job["stage"] != stage["name"] ||
			job["cost"].(map[string]any)["amount_micros"] != cost || job["user_id"] != "user123" {
			t.Errorf("the stage %v is the job %v", stage, job)
		}
		total += cost
	}
	if m["cost"].(map[string]any)["amount_micros"] != total || total < 50_000 || estimate["amount_micros"].(float64) < total || len(estimate["stages"].([]any)) != len(stages) {
		t.Errorf("the pipeline cost %v, its stages %v, at most %v", m["cost"], total, estimate)
	}
	if of := h.want(t, 200, "GET", "/jobs?parent="+m["job_id"].(string), "")["jobs"].([]any); len(of) != len(stages) {
		t.Errorf("the pipeline has the jobs %v", of)
	}
	if of := h.want(t, 200, "GET", "/jobs?workflow=none", "")["jobs"].([]any); len(of) != 0 {
		t.Errorf("no workflow has the jobs %v", of)
	}
	_, _, stream := h.call(t, "POST", "/pipeline/process", strings.Replace(body, `{"input`, `{"stream":true,"input`, 1), "Accept", "text/event-stream")
	if n := strings.Count(stream, "event: stage\n"); n < len(stages) || !strings.Contains(stream, `"stage_job_id"`) {
		t.Errorf("%d stages in the stream %s", n, stream)
	}
	seen := h.want(t, 200, "POST", "/pipeline/process", `{"workflow":"image_description","input_data":{"image_base64":"`+inBase64(picture)+`"}}`)
	shown := h.want(t, 200, "GET", "/job/"+seen["job_id"].(string), "")["request"].(map[string]any)["input_data"].(map[string]any)
	if image := shown["image"].(map[string]any); image["media_type"] != "image/png" {
		t.Errorf("the pipeline shows %v", shown)
	}
	h.want(t, 404, "POST", "/pipeline/process", `{"workflow":"none"}`)
	h.want(t, 400, "POST", "/pipeline/process", `{"workflow":"text_to_image","input_data":{"promt":"x"}}`)
}

// A workflow is put, shown, run and deleted, and what is wrong with one is told
// with its line.
func TestOwnWorkflows(t *testing.T) {
	h := open(t)
	const source = "name: shout\ninputs:\n  text: {type: string, required: true}\nstages:\n  - name: say\n    kind: text\n    prompt: \"{{ inputs.text }}\"\noutput:\n  said: \"{{ stages.say.text }}\"\n"
	if status, m, body := h.call(t, "PUT", "/workflows/shout", source, "Content-Type", "text/yaml"); status != 201 || m["source"] != source {
		t.Fatalf("put: %d %s", status, body)
	}
	if m := h.want(t, 200, "POST", "/pipeline/process", `{"workflow":"shout","input_data":{"text":"hey"}}`); m["output"].(map[string]any)["said"] != "one two three" {
		t.Errorf("ran: %v", m)
	}
	if all := h.want(t, 200, "GET", "/workflows", "")["workflows"].([]any); len(all) < 6 {
		t.Errorf("there are %v", all)
	}
	wrong := strings.Replace(source, "kind: text", "kind: dance", 1)
	if status, m, body := h.call(t, "PUT", "/workflows/shout", wrong, "Content-Type", "application/yaml"); status != 400 || !strings.Contains(m["detail"].(string), "6") {
		t.Errorf("what is wrong in line 6: %d %s", status, body)
	}
	h.want(t, 204, "DELETE", "/workflows/shout", "")
	h.want(t, 404, "GET", "/workflows/shout", "")
	h.want(t, 409, "DELETE", "/workflows/text_to_image", "")
}

func TestFleet(t *testing.T) {
	h := open(t)
	h.want(t, 200, "GET", "/registry", "")
	h.want(t, 200, "GET", "/registry/worker-image/history?limit=3", "")
	h.want(t, 404, "GET", "/registry/none/history", "")
	h.want(t, 200, "POST", "/registry/worker-image/probe", "")
	h.want(t, 404, "POST", "/registry/none/probe", "")
	h.want(t, 200, "POST", "/models/builtin/load", "")
	h.want(t, 200, "POST", "/models/builtin/unload", "{}")
	h.want(t, 200, "POST", "/config/reload", "")
	if m := h.want(t, 200, "GET", "/health", ""); m["workers"].(map[string]any)["worker-image"] != "ready" {
		t.Errorf("/health %v", m)
	}
}

// The same jobs over a socket.
func TestMediaOnASocket(t *testing.T) {
	h := open(t)
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for kind, request := range map[string]string{
		"generate_image": `{"prompt":"x"}`, "speak": `{"text":"x"}`, "transcribe": `{"audio_base64":"` + inBase64(sound) + `"}`,
		"pipeline": `{"workflow":"text_to_image","input_data":{"prompt":"x"}}`,
	} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"`+kind+`","id":"1","request":`+request+`}`)); err != nil {
			t.Fatal(err)
		}
		for {
			var m map[string]any
			if err := conn.ReadJSON(&m); err != nil {
				t.Fatal(err)
			}
			if m["type"] == "rejected" || m["type"] == "failed" {
				t.Fatalf("%s: %v", kind, m)
			}
			if m["type"] == "done" {
				break
			}
		}
	}
}
