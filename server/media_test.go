package server

import (
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// aPNG and aWAV begin as such files do.
func aPNG() []byte { return append([]byte("\x89PNG\r\n\x1a\n"), "pixels"...) }
func aWAV() []byte { return []byte("RIFF\x24\x00\x00\x00WAVEfmt sound") }

func inBase64Text(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// makes is the script of a job that makes files and ends.
func makes(files *fakeFiles, result jeantrail.Result, kind jeantrail.ArtifactKind, mediaType string, contents ...string) func(*fakeJob) {
	return func(j *fakeJob) {
		j.start()
		r := result
		r.Model, r.FinishReason = "worker", jeantrail.FinishStop
		for i, content := range contents {
			a := jeantrail.Artifact{Index: i, Kind: kind, File: files.keep([]byte(content))}
			a.MediaType = mediaType
			switch kind {
			case jeantrail.ArtifactImage:
				seed := int64(41 + i)
				a.Width, a.Height, a.Seed = 64, 128, &seed
			case jeantrail.ArtifactAudio:
				a.Duration = 1500 * time.Millisecond
			}
			r.Artifacts = append(r.Artifacts, a)
			j.emit(jeantrail.Event{Type: jeantrail.EventArtifact, Artifact: &a})
		}
		j.end(jeantrail.StateSucceeded, &r, nil)
	}
}

func TestGenerateImage(t *testing.T) {
	files := newFakeFiles()
	road := newFakeRoad(makes(files, jeantrail.Result{Usage: jeantrail.Usage{Images: 2}}, jeantrail.ArtifactImage, "image/png", "one", "two"))
	s := newTestServer(t, Options{Road: road, Files: files})
	w := call(s, "POST", "/generate-image", `{"prompt":"A futuristic AI assistant","user_id":"user123","width":1024,"height":512,"n":2,"seed":0,"cfg_scale":7}`)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	req := (<-road.submitted).snapshot().Request
	seed, scale := int64(0), 7.0
	want := jeantrail.Request{Kind: jeantrail.KindImage, UserID: "user123", Image: &jeantrail.ImageRequest{
		Prompt: "A futuristic AI assistant", Width: 1024, Height: 512, N: 2, Seed: &seed, CFGScale: &scale,
	}}
	if !reflect.DeepEqual(req, want) {
		t.Errorf("the request became %+v", req.Image)
	}
	m := decoded(t, w)
	second := m["images"].([]any)[1].(map[string]any)
	if second["index"] != 1.0 || second["url"] != "/job/"+m["job_id"].(string)+"/artifact/1" || second["width"] != 64.0 || second["height"] != 128.0 ||
		second["seed"] != 42.0 || second["media_type"] != "image/png" || second["bytes"] != 3.0 {
		t.Errorf("the second image is %v", second)
	}
	if m["audio"] != nil || m["segments"] != nil || m["stages"] != nil || m["usage"].(map[string]any)["images"] != 2.0 {
		t.Errorf("the answer is %v", m)
	}
	got := call(s, "GET", second["url"].(string), "")
	if got.Body.String() != "two" || got.Header().Get("Content-Type") != "image/png" {
		t.Errorf("the url gives %s %q", got.Header(), got.Body)
	}
}

// The forms of /generate are those of every path that asks for a job.
func TestMediaForms(t *testing.T) {
	for path, body := range map[string]string{
		"/generate-image": `{"prompt":"x"`, "/speak": `{"text":"x"`, "/transcribe": `{"audio_base64":"` + inBase64Text(aWAV()) + `"`,
		"/pipeline/process": `{"workflow":"text_to_image","input_data":{"prompt":"x"}`,
	} {
		t.Run(path, func(t *testing.T) {
			road := newFakeRoad(func(j *fakeJob) { j.succeed("done") })
			s := newTestServer(t, Options{Road: road})
			if w := call(s, "POST", path, body+`}`); w.Code != 200 || decoded(t, w)["status"] != "succeeded" {
				t.Errorf("sync: %d %s", w.Code, w.Body)
			}
			w := call(s, "POST", path, body+`,"async":true}`)
			if m := decoded(t, w); w.Code != 202 || m["links"].(map[string]any)["self"] != w.Header().Get("Location") {
				t.Errorf("async: %d %s", w.Code, w.Body)
			}
			if w := call(s, "POST", path, body+`}`, "Prefer", "respond-async, wait=5"); w.Code != 200 || w.Header().Get("Preference-Applied") == "" {
				t.Errorf("waiting: %d %v", w.Code, w.Header())
			}
			for _, streamed := range []*httptest.ResponseRecorder{
				call(s, "POST", path, body+`,"stream":true}`), call(s, "POST", path, body+`}`, "Accept", "text/event-stream"),
			} {
				if !strings.Contains(streamed.Body.String(), "event: done\ndata: {") || streamed.Header().Get("Content-Type") != "text/event-stream" {
					t.Errorf("streamed: %s", streamed.Body)
				}
			}
			wantProblem(t, call(s, "POST", path, body+`,"stream":true,"async":true}`), 400, jeantrail.CodeInvalid)
			wantProblem(t, call(s, "POST", path, body+`,"n_images":1}`), 400, jeantrail.CodeInvalid)
			for range 5 {
				<-road.submitted
			}
		})
	}
}

func TestImageRequestRefuses(t *testing.T) {
	s := newTestServer(t, Options{})
	for _, body := range []string{
		`{}`, `{"prompt":"x","width":0}`, `{"prompt":"x","height":63}`, `{"prompt":"x","width":4097}`, `{"prompt":"x","n":0}`, `{"prompt":"x","n":9}`,
		`{"prompt":"x","steps":0}`, `{"prompt":"x","steps":101}`, `{"prompt":"x","seed":-1}`, `{"prompt":"x","cfg_scale":-1}`, `{"prompt":"x","width":"1024"}`,
	} {
		wantProblem(t, call(s, "POST", "/generate-image", body), 400, jeantrail.CodeInvalid)
	}
	wantProblem(t, call(s, "POST", "/speak", `{"text":"x","format":"mp3"}`), 422, jeantrail.CodeUnsupported)
	wantProblem(t, call(s, "POST", "/speak", `{"text":"x","voice":"../../etc/passwd"}`), 400, jeantrail.CodeInvalid)
}

func TestSpeak(t *testing.T) {
	files := newFakeFiles()
	road := newFakeRoad(makes(files, jeantrail.Result{Usage: jeantrail.Usage{AudioOut: 1500 * time.Millisecond}}, jeantrail.ArtifactAudio, "audio/wav", "waves"))
	s := newTestServer(t, Options{Road: road, Files: files})
	m := decoded(t, call(s, "POST", "/speak", `{"text":"Hello","voice":"p376","language":"en","speed":1.5,"format":"wav"}`))
	speed := 1.5
	want := &jeantrail.SpeakRequest{Text: "Hello", Voice: "p376", Language: "en", Speed: &speed, Format: "wav"}
	if job := (<-road.submitted).snapshot(); !reflect.DeepEqual(job.Request.Speak, want) {
		t.Errorf("the request became %+v", job.Request.Speak)
	}
	audio := m["audio"].(map[string]any)
	if audio["duration_seconds"] != 1.5 || audio["bytes"] != 5.0 || audio["media_type"] != "audio/wav" || audio["index"] != 0.0 {
		t.Errorf("the audio is %v", audio)
	}
	w := call(s, "POST", "/speak", `{"text":"Hello"}`, "Accept", "audio/wav, audio/*;q=0.5", "Range", "bytes=1-2")
	if w.Code != 200 || w.Body.String() != "waves" || w.Header().Get("Content-Type") != "audio/wav" || w.Header().Get("X-Job-Id") == "" ||
		w.Header().Get("Link") != "</job/"+w.Header().Get("X-Job-Id")+`>; rel="describedby"` {
		t.Errorf("the sound itself: %d %v %q", w.Code, w.Header(), w.Body)
	}
	for _, accept := range []string{"*/*", "audio/*, application/json"} {
		if w := call(s, "POST", "/speak", `{"text":"Hello"}`, "Accept", accept); w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("Accept %s: %v", accept, w.Header())
		}
	}
}

func spoken() jeantrail.Result {
	return jeantrail.Result{
		Text: "Hello there.", Usage: jeantrail.Usage{AudioIn: 2500 * time.Millisecond},
		Transcript: &jeantrail.Transcript{Language: "en", Duration: 2500 * time.Millisecond, Segments: []jeantrail.TranscriptSegment{
			{End: time.Second, Text: "Hello", Words: []jeantrail.TranscriptWord{{End: time.Second, Text: "Hello"}}},
			{Start: time.Second, End: 2500 * time.Millisecond, Text: "there."},
		}},
	}
}

func TestTranscribeFormats(t *testing.T) {
	const srt = "1\n00:00:00,000 --> 00:00:01,000\nHello\n"
	body := `{"audio_base64":"` + inBase64Text(aWAV()) + `","format":"`
	for format, want := range map[string]struct{ mediaType, body string }{
		"text": {"text/plain; charset=utf-8", "Hello there."},
		"srt":  {"application/x-subrip", srt}, "vtt": {"text/vtt; charset=utf-8", srt},
		"json": {"application/json", `"language":"en","duration_seconds":2.5}`},
		"verbose_json": {"application/json", `"segments":[{"start":0,"end":1,"text":"Hello","words":[{"start":0,"end":1,"word":"Hello"}]},` +
			`{"start":1,"end":2.5,"text":"there."}]}`},
	} {
		files := newFakeFiles()
		road := newFakeRoad(func(j *fakeJob) {
			switch format {
			case "srt":
				makes(files, spoken(), jeantrail.ArtifactSubtitles, "application/x-subrip", srt)(j)
			case "vtt":
				makes(files, spoken(), jeantrail.ArtifactSubtitles, "text/vtt", srt)(j)
			default:
				makes(files, spoken(), "", "")(j)
			}
		})
		s := newTestServer(t, Options{Road: road, Files: files})
		w := call(s, "POST", "/transcribe", body+format+`"}`)
		if w.Code != 200 || w.Header().Get("Content-Type") != want.mediaType || !strings.HasSuffix(w.Body.String(), want.body) {
			t.Errorf("%s: %d %s %s", format, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		job := (<-road.submitted).snapshot()
		if own := want.mediaType != "application/json"; own && w.Header().Get("X-Job-Id") != job.ID {
			t.Errorf("%s: the job is %q", format, w.Header().Get("X-Job-Id"))
		}
		if format == "json" && strings.Contains(w.Body.String(), "segments") {
			t.Errorf("json has segments: %s", w.Body)
		}
		if a := job.Request.Transcribe.Audio; a.MediaType != "audio/wav" || a.Bytes != int64(len(aWAV())) {
			t.Errorf("%s: the audio is %+v", format, a)
		}
		if streamed := call(s, "POST", "/transcribe", body+format+`","stream":true}`).Body.String(); !strings.Contains(streamed, `"text":"Hello there."`) {
			t.Errorf("%s streamed: %s", format, streamed)
		}
	}
}

// A transcription that ended otherwise is not taken for a text.
func TestTranscribeCancelled(t *testing.T) {
	road := newFakeRoad(func(j *fakeJob) {
		j.end(jeantrail.StateCancelled, &jeantrail.Result{Text: "half", FinishReason: jeantrail.FinishCancelled}, nil)
	})
	s := newTestServer(t, Options{Road: road})
	w := call(s, "POST", "/transcribe", `{"audio_base64":"`+inBase64Text(aWAV())+`","format":"text"}`)
	if decoded(t, w)["status"] != "cancelled" {
		t.Errorf("answered %s", w.Body)
	}
}

// A request of each kind is shown as the body that asks for it.
func TestJobShowsItsRequest(t *testing.T) {
	road := newFakeRoad(func(*fakeJob) {})
	s := newTestServer(t, Options{Road: road})
	wav := inBase64Text(aWAV())
	for path, c := range map[string]struct{ body, want string }{
		"/generate-image": {
			`{"prompt":"x","width":64,"seed":7,"model":"sdxl","async":true,"template":"t","variables":{"a":1}}`,
			`{"prompt":"x","width":64,"seed":7,"template":"t","variables":{"a":1},"model":"sdxl","async":true}`,
		},
		"/speak": {`{"text":"x","voice":"v","async":true}`, `{"text":"x","voice":"v","async":true}`},
		"/transcribe": {
			`{"audio_base64":"` + wav + `","format":"srt","async":true}`,
			`{"format":"srt","async":true,"audio":{"sha256":"` + newFakeFiles().keep(aWAV()).SHA256 + `","bytes":21,"media_type":"audio/wav"}}`,
		},
		"/pipeline/process": {
			`{"workflow":"multimodal_analysis","input_data":{"text":"t","n":1.50,"audio_base64":"` + wav + `"},"async":true,"user_id":"u"}`,
			`{"workflow":"multimodal_analysis","user_id":"u","async":true,"input_data":{"audio":{"sha256":"` + newFakeFiles().keep(aWAV()).SHA256 +
				`","bytes":21,"media_type":"audio/wav"},"n":1.50,"text":"t"}}`,
		},
	} {
		w := call(s, "POST", path, c.body)
		if w.Code != 202 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		job := (<-road.submitted).snapshot()
		var shown struct {
			Request json.RawMessage `json:"request"`
		}
		if err := json.Unmarshal(call(s, "GET", "/job/"+job.ID, "").Body.Bytes(), &shown); err != nil {
			t.Fatal(err)
		}
		got := string(shown.Request)
		if path == "/pipeline/process" {
			job.UserID = "u" // asked for, so that it is shown
		} else {
			got = strings.Replace(got, `"user_id":"local",`, "", 1)
		}
		if got != c.want {
			t.Errorf("%s shows %s\nwant %s", path, got, c.want)
		}
	}
}

func TestStageJob(t *testing.T) {
	road := newFakeRoad(func(j *fakeJob) {
		j.job.Request.Workflow, j.job.Request.Parent, j.job.Request.Stage = "w", "p", "look"
	})
	s := newTestServer(t, Options{Road: road})
	call(s, "POST", "/generate", `{"prompt":"x","async":true}`)
	m := decoded(t, call(s, "GET", "/job/"+(<-road.submitted).snapshot().ID, ""))
	if m["workflow"] != "w" || m["parent_id"] != "p" || m["stage"] != "look" {
		t.Errorf("the job is %v", m)
	}
}

// Every field of the other kinds' requests can be asked for over the wire: one
// that is added in the words and forgotten here fails.
func TestWireMediaIsComplete(t *testing.T) {
	number, seed, yes := 0.5, int64(7), true
	sound := jeantrail.File{SHA256: "x", Bytes: 1, MediaType: "audio/wav"}
	common := jeantrail.Request{
		UserID: "u", Model: "m", Priority: jeantrail.PriorityBatch, Async: true, TaskType: "t", Metadata: map[string]string{"a": "b"}, Cache: &yes,
	}
	image, speak, transcribe := common, common, common
	image.Kind, speak.Kind, transcribe.Kind = jeantrail.KindImage, jeantrail.KindSpeak, jeantrail.KindTranscribe
	image.Template, image.Variables = "t", map[string]any{"c": json.Number("1.50")}
	speak.Template, speak.Variables = "t", map[string]any{"c": true}
	image.Image = &jeantrail.ImageRequest{
		Prompt: "p", NegativePrompt: "n", Width: 64, Height: 128, Steps: 3, CFGScale: &number, Seed: &seed, N: 2,
	}
	speak.Speak = &jeantrail.SpeakRequest{Text: "t", Voice: "v", Language: "en", Speed: &number, Format: "wav"}
	transcribe.Transcribe = &jeantrail.TranscribeRequest{
		Audio: sound, Language: "en", Translate: true, Prompt: "p", Format: jeantrail.TranscriptVTT, Temperature: &number,
	}
	for _, v := range []any{*image.Image, *speak.Speak, *transcribe.Transcribe} {
		for i := range reflect.TypeOf(v).NumField() {
			if reflect.ValueOf(v).Field(i).IsZero() {
				t.Errorf("the test leaves out %T.%s", v, reflect.TypeOf(v).Field(i).Name)
			}
		}
	}
	for _, c := range []struct {
		want jeantrail.Request
		body order
	}{{image, &imageRequest{}}, {speak, &speakRequest{}}, {transcribe, &transcribeRequest{sound: &sound}}} {
		data, err := json.Marshal(requestBody(&c.want))
		if err != nil {
			t.Fatal(err)
		}
		shown, found := strings.CutSuffix(string(data), `,"audio":{"sha256":"x","bytes":1,"media_type":"audio/wav"}}`)
		if found {
			data = []byte(shown + "}")
		}
		if err := decodeStrict(data, c.body); err != nil {
			t.Fatal(err)
		}
		if got, err := c.body.request(nil); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s\nbecame %+v, %v\nwant   %+v", data, got, err, c.want)
		}
	}
}
