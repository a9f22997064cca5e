package media

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/testkit"
	"github.com/jeantrail/jeantrail-ai/media/audio"
)

// What the doubles hear unless they are told otherwise.
const (
	firstSentence  = "The lighthouse stands at the end of the pier."
	secondSentence = "Its light turns all night."
)

// heardBy is a double of each dialect, with the path at which it transcribes.
var heardBy = map[string]struct {
	double  testkit.Double
	path    string
	dialect string
}{
	"whisper.cpp": {testkit.Whisper{}, "/inference", "whisper.cpp"},
	"speaches":    {testkit.Speaches{}, "/v1/audio/transcriptions", "openai"},
	"LocalAI":     {testkit.LocalAI{Models: []string{"whisper-1"}}, "/v1/audio/transcriptions", "openai"},
	"asr":         {testkit.ASR{}, "/asr", "asr"},
}

// hearer is a worker that transcribes, with its drawer of files.
func hearer(t *testing.T, o Options) (*Worker, drawer) {
	t.Helper()
	files := drawer{}
	o.Kind, o.Files = jeantrail.KindTranscribe, files
	return newWorker(t, o), files
}

// speechOf puts audio into the drawer and asks for its text.
func speechOf(t *testing.T, files drawer, content []byte, r jeantrail.TranscribeRequest) jeantrail.Request {
	t.Helper()
	var err error
	if r.Audio, err = files.Put(t.Context(), bytes.NewReader(content), 1<<30); err != nil {
		t.Fatal(err)
	}
	return jeantrail.Request{Kind: jeantrail.KindTranscribe, Transcribe: &r}
}

// clip lasts 3.2105 s, which is 3.211 s to whom it is charged.
var clip = testkit.Tone{Length: 3210500 * time.Microsecond, Rate: 16000, List: true}

func TestTranscriptsOfEveryDialect(t *testing.T) {
	for name, d := range heardBy {
		t.Run(name, func(t *testing.T) {
			srv := testkit.Serve(t, d.double)
			w, files := hearer(t, Options{URL: srv.URL})
			s := new(record)
			k := prepared(t, w, speechOf(t, files, clip.Bytes(), jeantrail.TranscribeRequest{Format: jeantrail.TranscriptVerbose}))
			if b := k.Bounds(); b != (jeantrail.Bounds{AudioIn: 3211 * time.Millisecond, Exact: true}) {
				t.Errorf("bounds are %+v, want 3.211s of audio", b)
			}
			res, err := k.Run(t.Context(), &jeantrail.Job{}, s)
			if err != nil {
				t.Fatal(err)
			}
			if w.Dialect() != d.dialect {
				t.Errorf("dialect is %q, want %q", w.Dialect(), d.dialect)
			}
			if text := strings.ReplaceAll(res.Text, "\n", " "); text != firstSentence+" "+secondSentence || s.text != res.Text || s.tokens != 0 {
				t.Errorf("text is %q, sent %q with %d tokens", res.Text, s.text, s.tokens)
			}
			if res.Usage != (jeantrail.Usage{AudioIn: 3211 * time.Millisecond}) || res.FinishReason != jeantrail.FinishStop || len(s.artifacts) != 0 {
				t.Errorf("usage is %+v, %s, %d artifacts", res.Usage, res.FinishReason, len(s.artifacts))
			}
			tr := res.Transcript
			if tr == nil || tr.Duration != 3211*time.Millisecond || tr.Language == "" || len(tr.Segments) != 2 {
				t.Fatalf("transcript is %+v", tr)
			}
			last := tr.Segments[1]
			if last.Text != secondSentence || last.Start != tr.Segments[0].End || (last.End-3210*time.Millisecond).Abs() > time.Millisecond {
				t.Errorf("second segment is %+v", last)
			}
			if words := last.Words; (name == "whisper.cpp" || name == "LocalAI") && (len(words) != 5 || words[0].Text != "Its" || words[0].Start != last.Start) {
				t.Errorf("words are %+v, want the 5 of the sentence", words)
			}
			up, err := srv.RequestsTo(d.path)[0].Uploads()
			if err != nil || len(up) != 1 || up[0].Name != "audio.wav" || up[0].Type != "audio/wav" || !bytes.Equal(up[0].Data, clip.Bytes()) {
				t.Errorf("the upload is %d files (%v), want the audio as audio.wav", len(up), err)
			}
			wantIdle(t, w)
		})
	}
}

func TestTranscriptionAsksForWhatIsWanted(t *testing.T) {
	warm := 0.25
	for name, tt := range map[string]struct {
		request jeantrail.TranscribeRequest
		server  string
		want    map[string]string // "-" is a field that must not be there
	}{
		"whisper.cpp as it is": {jeantrail.TranscribeRequest{}, "whisper.cpp",
			map[string]string{"response_format": "verbose_json", "language": "auto", "translate": "-", "prompt": "-", "temperature": "-"}},
		"whisper.cpp with all": {jeantrail.TranscribeRequest{Language: "de", Translate: true, Prompt: "Kai, Möwe", Temperature: &warm, Format: jeantrail.TranscriptSRT}, "whisper.cpp",
			map[string]string{"response_format": "verbose_json", "language": "de", "translate": "true", "prompt": "Kai, Möwe", "temperature": "0.25"}},
		"speaches as it is": {jeantrail.TranscribeRequest{}, "speaches",
			map[string]string{"response_format": "verbose_json", "model": "Systran/faster-whisper-large-v3", "language": "-", "stream": "-", "prompt": "-"}},
		"speaches with all": {jeantrail.TranscribeRequest{Language: "de", Prompt: "Kai", Temperature: &warm, Format: jeantrail.TranscriptText}, "speaches",
			map[string]string{"response_format": "verbose_json", "language": "de", "prompt": "Kai", "temperature": "0.25"}},
		"asr as it is": {jeantrail.TranscribeRequest{}, "asr",
			map[string]string{"output": "json", "task": "transcribe", "encode": "true", "language": "-", "initial_prompt": "-"}},
		"asr with all": {jeantrail.TranscribeRequest{Language: "de", Translate: true, Prompt: "Kai & Möwe"}, "asr",
			map[string]string{"output": "json", "task": "translate", "language": "de", "initial_prompt": "Kai & Möwe"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := heardBy[tt.server]
			srv := testkit.Serve(t, d.double)
			w, files := hearer(t, Options{URL: srv.URL})
			if _, err := run(t, w, speechOf(t, files, clip.Bytes(), tt.request), new(record)); err != nil {
				t.Fatal(err)
			}
			asked := srv.RequestsTo(d.path)[0]
			fields, err := asked.Form()
			if err != nil {
				t.Fatal(err)
			}
			if tt.server == "asr" {
				fields = asked.Query
			}
			for key, want := range tt.want {
				if got := fields[key]; want == "-" && len(got) > 0 || want != "-" && (len(got) != 1 || got[0] != want) {
					t.Errorf("%s was %q, want %q", key, got, want)
				}
			}
			if asked.Header.Get("Content-Length") == "" && len(asked.Body) == 0 {
				t.Error("the body had no length")
			}
		})
	}
}

func TestTranscriptionOfEveryFormat(t *testing.T) {
	measure := func(b []byte) (time.Duration, error) {
		info, err := audio.Identify(bytes.NewReader(b))
		return info.Duration, err
	}
	srv := testkit.Serve(t, testkit.Whisper{Convert: true, Script: testkit.Script{Measure: measure}})
	w, files := hearer(t, Options{URL: srv.URL, Dialect: "whisper.cpp"})
	for i, tt := range []struct {
		file, name, kind string
		want             time.Duration
	}{
		{"streamed.flac", "audio.flac", "audio/flac", 900 * time.Millisecond},
		{"xing.mp3", "audio.mp3", "audio/mpeg", 1500 * time.Millisecond},
		{"tone.ogg", "audio.ogg", "audio/ogg", 1350 * time.Millisecond},
		{"tone.opus", "audio.ogg", "audio/ogg", 1300 * time.Millisecond},
		{"tone.m4a", "audio.m4a", "audio/mp4", 1400 * time.Millisecond},
		{"piped.wav", "audio.wav", "audio/wav", 700 * time.Millisecond},
	} {
		content, err := os.ReadFile(filepath.Join("audio", "testdata", tt.file))
		if err != nil {
			t.Fatal(err)
		}
		res, err := run(t, w, speechOf(t, files, content, jeantrail.TranscribeRequest{}), new(record))
		if err != nil {
			t.Fatalf("%s: %v", tt.file, err)
		}
		if res.Usage.AudioIn != tt.want {
			t.Errorf("%s counts as %v, want %v", tt.file, res.Usage.AudioIn, tt.want)
		}
		up, err := srv.RequestsTo("/inference")[i].Uploads()
		if err != nil || up[0].Name != tt.name || up[0].Type != tt.kind || len(up[0].Data) != len(content) {
			t.Errorf("%s was sent as %q of type %q (%v)", tt.file, up[0].Name, up[0].Type, err)
		}
	}
}

func TestSubtitlesAreTheSameWhoeverHeard(t *testing.T) {
	wants := map[jeantrail.TranscriptFormat][2]string{
		jeantrail.TranscriptSRT: {"application/x-subrip", "1\n00:00:00,000 --> 00:00:02,035\n" + firstSentence + "\n\n2\n00:00:02,035 --> 00:00:03,211\n" + secondSentence + "\n\n"},
		jeantrail.TranscriptVTT: {"text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:02.035\n" + firstSentence + "\n\n00:00:02.035 --> 00:00:03.211\n" + secondSentence + "\n"},
	}
	for name, d := range heardBy {
		srv := testkit.Serve(t, d.double)
		w, files := hearer(t, Options{URL: srv.URL})
		for format, want := range wants {
			s := new(record)
			res, err := run(t, w, speechOf(t, files, clip.Bytes(), jeantrail.TranscribeRequest{Format: format}), s)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(s.artifacts) != 1 || s.artifacts[0].Kind != jeantrail.ArtifactSubtitles || s.artifacts[0].MediaType != want[0] || len(res.Artifacts) != 1 {
				t.Fatalf("%s made %+v, want one %s", name, s.artifacts, want[0])
			}
			if got := string(s.contents[0]); got != want[1] {
				t.Errorf("%s made\n%s\nwant\n%s", name, got, want[1])
			}
			if res.Usage != (jeantrail.Usage{AudioIn: 3211 * time.Millisecond}) {
				t.Errorf("%s used %+v", name, res.Usage)
			}
		}
	}
}

func TestTranscriptionRefusesBeforeAnybodyHears(t *testing.T) {
	srv := testkit.Serve(t, testkit.Whisper{})
	half := 0.5
	for name, tt := range map[string]struct {
		dialect string
		content string
		request jeantrail.TranscribeRequest
		code    jeantrail.Code
	}{
		"text":                       {"", "these are words, not sounds of them", jeantrail.TranscribeRequest{}, jeantrail.CodeUnsupportedMedia},
		"a page":                     {"", "<!doctype html><title>hello</title>", jeantrail.TranscribeRequest{}, jeantrail.CodeUnsupportedMedia},
		"WebM":                       {"", "\x1a\x45\xdf\xa3 and so on and on", jeantrail.TranscribeRequest{}, jeantrail.CodeUnsupportedMedia},
		"silence of no length":       {"", string(testkit.Tone{}.Bytes()), jeantrail.TranscribeRequest{}, jeantrail.CodeUnsupportedMedia},
		"temperature for asr":        {"asr", string(clip.Bytes()), jeantrail.TranscribeRequest{Temperature: &half}, jeantrail.CodeUnsupported},
		"long prompt for asr":        {"asr", string(clip.Bytes()), jeantrail.TranscribeRequest{Prompt: strings.Repeat("name ", 1000)}, jeantrail.CodeTooLarge},
		"translation with languages": {"openai", string(clip.Bytes()), jeantrail.TranscribeRequest{Translate: true, Language: "de"}, jeantrail.CodeUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			w, files := hearer(t, Options{URL: srv.URL, Dialect: tt.dialect})
			req := speechOf(t, files, []byte(tt.content), tt.request)
			_, err := w.Prepare(t.Context(), &req)
			if e := wantCode(t, err, tt.code); e.Hint == "" {
				t.Error("no hint says what to do")
			}
		})
	}
	w, _ := hearer(t, Options{URL: srv.URL})
	_, err := w.Prepare(t.Context(), &jeantrail.Request{Kind: jeantrail.KindTranscribe, Transcribe: &jeantrail.TranscribeRequest{Audio: jeantrail.File{SHA256: "gone"}}})
	wantCode(t, err, jeantrail.CodeNotFound)
	if asked := srv.Requests(); len(asked) != 0 {
		t.Errorf("%d requests reached the worker, want none", len(asked))
	}
}

func TestTranscriptionWithoutTimes(t *testing.T) {
	const path = "/v1/audio/transcriptions"
	srv := testkit.Serve(t, testkit.Speaches{Usage: true})
	w, files := hearer(t, Options{URL: srv.URL, Dialect: "openai"})
	for _, refusal := range []testkit.Fault{
		testkit.Answer(400, "application/json", `{"error":{"message":"Currently do not support verbose_json.","type":"BadRequestError","code":400}}`),
		testkit.Answer(500, "application/json", `{"error":{"code":500,"message":"invalid response_format"}}`),
	} {
		srv.Fault(path, refusal.Times(1))
		s := new(record)
		res, err := run(t, w, speechOf(t, files, clip.Bytes(), jeantrail.TranscribeRequest{}), s)
		if err != nil {
			t.Fatal(err)
		}
		if res.Text != firstSentence+" "+secondSentence || len(res.Transcript.Segments) != 0 || res.Usage.AudioIn != 3211*time.Millisecond {
			t.Errorf("result is %+v", res)
		}
		srv.Fault(path, refusal.Times(1))
		res, err = run(t, w, speechOf(t, files, clip.Bytes(), jeantrail.TranscribeRequest{Format: jeantrail.TranscriptVTT}), s)
		wantCode(t, err, jeantrail.CodeUnsupported)
		if res.Usage != (jeantrail.Usage{}) || len(res.Artifacts) != 0 {
			t.Errorf("subtitles without times used %+v", res.Usage)
		}
	}
	srv.Fault(path, testkit.Answer(400, "application/json", `{"error":"Unsupported audio format"}`))
	before := len(srv.RequestsTo(path))
	_, err := run(t, w, speechOf(t, files, clip.Bytes(), jeantrail.TranscribeRequest{}), new(record))
	wantCode(t, err, jeantrail.CodeInvalid)
	if n := len(srv.RequestsTo(path)) - before; n != 1 {
		t.Errorf("audio that is refused was sent %d times, want once", n)
	}
}

func TestTranscriptionIsChargedAsMeasured(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		warned bool
	}{
		"far more":        {`{"text":"hello","duration":3600.5}`, true},
		"far less":        {`{"text":"hello","duration":"1.5","segments":[]}`, true},
		"whole seconds":   {`{"text":"hello","usage":{"type":"duration","seconds":4}}`, false},
		"nothing":         {`{"text":"hello","duration":null}`, false},
		"no number":       {`{"text":"hello","duration":"NaN"}`, false},
		"negative":        {`{"text":"hello","duration":-5,"segments":[{"text":"hello","start":-3,"end":1e300}]}`, false},
		"segments only":   {`{"segments":[{"text":" hello\r\n","start":0,"end":1}],"text":null}`, false},
		"spaces and ends": {`{"text":" \r\n hello \r\n"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			srv := testkit.Serve(t, testkit.Whisper{})
			srv.Fault("/inference", testkit.Answer(200, "application/json", tt.answer))
			var log bytes.Buffer
			w, files := hearer(t, Options{URL: srv.URL, Dialect: "whisper.cpp", Logger: slog.New(slog.NewTextHandler(&log, nil))})
			res, err := run(t, w, speechOf(t, files, clip.Bytes(), jeantrail.TranscribeRequest{}), new(record))
			if err != nil {
				t.Fatal(err)
			}
			if res.Usage.AudioIn != 3211*time.Millisecond || res.Transcript.Duration != res.Usage.AudioIn || res.Text != "hello" {
				t.Errorf("%q counts as %v", res.Text, res.Usage.AudioIn)
			}
			if warned := strings.Contains(log.String(), "counts other seconds"); warned != tt.warned {
				t.Errorf("the log says %q, want a warning: %v", log.String(), tt.warned)
			}
			for _, seg := range res.Transcript.Segments {
				if seg.Start < 0 || seg.End > audio.MaxDuration {
					t.Errorf("segment is %+v", seg)
				}
			}
		})
	}
}

func TestFaultsOfATranscribingWorker(t *testing.T) {
	other := testkit.Serve(t, testkit.Whisper{})
	for name, tt := range map[string]struct {
		fault testkit.Fault
		code  jeantrail.Code // "": the job succeeds all the same
		words string
	}{
		"starting":           {testkit.Starting(1), jeantrail.CodeModelLoading, "Loading model"},
		"500 with HTML":      {testkit.HTML500(), jeantrail.CodeWorkerUnavailable, "500 Internal Server Error"},
		"wrong content type": {testkit.WrongContentType("text/plain"), "", ""},
		"a page":             {testkit.Answer(200, "text/html", "<!doctype html><p>hello"), jeantrail.CodeWorkerUnavailable, "text/html"},
		"an error that is a 200": {testkit.Answer(200, "application/json", `{"error":"failed to read audio data"}`), jeantrail.CodeWorkerUnavailable,
			"failed to read audio data"},
		"other JSON":            {testkit.Answer(200, "application/json", `{"ok":true}`), jeantrail.CodeWorkerUnavailable, "dialect"},
		"empty":                 {testkit.EmptyOK(), jeantrail.CodeWorkerUnavailable, "broke off"},
		"truncated":             {testkit.Truncated(200), jeantrail.CodeWorkerUnavailable, "broke the connection"},
		"cut":                   {testkit.Cut(200), jeantrail.CodeWorkerUnavailable, "broke off"},
		"error after headers":   {testkit.ErrorAfterHeaders(), jeantrail.CodeWorkerUnavailable, "broke the connection"},
		"reset":                 {testkit.Reset(), jeantrail.CodeWorkerUnavailable, "broke the connection"},
		"reset after headers":   {testkit.ResetAfterHeaders(), jeantrail.CodeWorkerUnavailable, "broke the connection"},
		"gzip bomb":             {testkit.GzipBomb(1 << 30), jeantrail.CodeWorkerUnavailable, "gzip"},
		"huge text":             {testkit.Huge(1 << 30), jeantrail.CodeWorkerUnavailable, ""},
		"redirect":              {testkit.RedirectTo(other.URL + "/inference"), jeantrail.CodeWorkerUnavailable, "elsewhere"},
		"404 of whisper.cpp":    {testkit.WhisperReloading(), jeantrail.CodeUnsupported, "File Not Found"},
		"cannot be decoded":     {testkit.Answer(400, "text/plain", "Invalid request"), jeantrail.CodeUnsupportedMedia, "Invalid request"},
		"slow drip of the text": {testkit.SlowDrip(time.Microsecond), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := testkit.Serve(t, testkit.Whisper{})
			srv.Fault("/inference", tt.fault)
			w, files := hearer(t, Options{URL: srv.URL, Dialect: "whisper.cpp"})
			s := new(record)
			res, err := run(t, w, speechOf(t, files, clip.Bytes(), jeantrail.TranscribeRequest{Format: jeantrail.TranscriptSRT}), s)
			if tt.code == "" {
				if err != nil || res.Usage.AudioIn == 0 || len(s.artifacts) != 1 {
					t.Errorf("result is %+v, %v", res, err)
				}
			} else {
				if e := wantCode(t, err, tt.code); !strings.Contains(e.Message, tt.words) || len(e.Message) > 700 {
					t.Errorf("message is %q, want one with %q", e.Message, tt.words)
				}
				if res.FinishReason != jeantrail.FinishError || res.Usage != (jeantrail.Usage{}) || len(s.artifacts) != 0 || s.text != "" {
					t.Errorf("result is %+v, want an error and nothing counted", res)
				}
			}
			wantIdle(t, w)
		})
	}
}

func TestCancelledTranscriptionLeavesTheWorker(t *testing.T) {
	srv := testkit.Serve(t, testkit.Whisper{}, testkit.Gate(make(chan struct{})))
	w, files := hearer(t, Options{URL: srv.URL, Dialect: "whisper.cpp"})
	k := prepared(t, w, speechOf(t, files, clip.Bytes(), jeantrail.TranscribeRequest{}))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := jeantrail.Errorf(jeantrail.CodeCancelled, "the owner stopped it")
	done := make(chan error)
	var res *jeantrail.Result
	go func() {
		var err error
		res, err = k.Run(ctx, &jeantrail.Job{}, new(record))
		done <- err
	}()
	srv.AwaitWorking(1)
	cancel(why)
	if err := <-done; err != why {
		t.Errorf("error is %v, want the cause", err)
	}
	if res.FinishReason != jeantrail.FinishCancelled || res.Usage != (jeantrail.Usage{}) {
		t.Errorf("result is %+v", res)
	}
	srv.AwaitCancelled(1)
	wantIdle(t, w)
}
