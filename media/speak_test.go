package media

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/testkit"
	"github.com/jeantrail/jeantrail-ai/media/audio"
)

func speaker(t *testing.T, srv *testkit.Server, dialect string) *Worker {
	t.Helper()
	return newWorker(t, Options{Kind: jeantrail.KindSpeak, URL: srv.URL, Dialect: dialect})
}

const saying = "The light of the lighthouse turns all night."

func spoken(s jeantrail.SpeakRequest) jeantrail.Request {
	if s.Text == "" {
		s.Text = saying
	}
	return jeantrail.Request{Kind: jeantrail.KindSpeak, Speak: &s}
}

// wantSpeech checks that a job made one WAV file that lasts as long as is said
// and charged, and returns how long that is.
func wantSpeech(t *testing.T, res *jeantrail.Result, s *record) time.Duration {
	t.Helper()
	if len(s.artifacts) != 1 || len(res.Artifacts) != 1 {
		t.Fatalf("%d artifacts were made, want one", len(s.artifacts))
	}
	a, file := s.artifacts[0], s.contents[0]
	info, err := audio.Identify(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("the artifact cannot be read: %v", err)
	}
	if a.Kind != jeantrail.ArtifactAudio || a.MediaType != "audio/wav" || a.Duration != info.Duration.Round(time.Millisecond) {
		t.Errorf("artifact is %+v, the file lasts %v", a, info.Duration)
	}
	if res.Usage != (jeantrail.Usage{AudioOut: a.Duration}) || res.FinishReason != jeantrail.FinishStop {
		t.Errorf("usage is %+v, %s; want %v of audio", res.Usage, res.FinishReason, a.Duration)
	}
	// A second pass changes only what was not right.
	var again bytes.Buffer
	again.Write(file)
	if rewritten := rewrite(t, &again); !bytes.Equal(rewritten, file) {
		t.Error("the sizes in the file are not right")
	}
	return a.Duration
}

func rewrite(t *testing.T, src *bytes.Buffer) []byte {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "speech-*.wav")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := audio.Rewrite(f, src); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSpeechOfKokoro(t *testing.T) {
	srv := testkit.Serve(t, testkit.Kokoro{})
	w := speaker(t, srv, "auto")
	s, fast := new(record), 1.5
	res, err := run(t, w, spoken(jeantrail.SpeakRequest{Text: " " + saying + "\n", Voice: "af_bella(2)+af_sky", Speed: &fast, Language: "en-GB"}), s)
	if err != nil {
		t.Fatal(err)
	}
	want := time.Duration(float64(testkit.SpeechLength(saying)) / fast)
	if got := wantSpeech(t, res, s); (got - want).Abs() > time.Millisecond {
		t.Errorf("speech lasts %v, want %v", got, want)
	}
	var asked map[string]any
	if err := srv.RequestsTo("/v1/audio/speech")[0].Decode(&asked); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"input": saying, "voice": "af_bella(2)+af_sky", "speed": 1.5, "response_format": "wav", "stream": false, "lang_code": "b", "model": "tts-1"} {
		if asked[key] != want {
			t.Errorf("%s was %v, want %v", key, asked[key], want)
		}
	}
	if len(asked) != 7 || w.Dialect() != "openai" || s.started != 1 {
		t.Errorf("%d fields were sent in the dialect %q after %d starts", len(asked), w.Dialect(), s.started)
	}
	wantIdle(t, w)
}

func TestSpeechOfCoqui(t *testing.T) {
	for name, d := range map[string]testkit.Coqui{"maintained": {}, "original": {Original: true}} {
		t.Run(name, func(t *testing.T) {
			srv := testkit.Serve(t, d)
			w := speaker(t, srv, "auto")
			s := new(record)
			res, err := run(t, w, spoken(jeantrail.SpeakRequest{Voice: "p376", Language: "en"}), s)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := wantSpeech(t, res, s), testkit.SpeechLength(saying); (got - want).Abs() > time.Millisecond {
				t.Errorf("speech lasts %v, want %v", got, want)
			}
			asked := srv.RequestsTo("/api/tts")
			form, err := asked[0].Form()
			if err != nil || len(asked) != 1 || asked[0].Method != "POST" || len(asked[0].Query) != 0 {
				t.Fatalf("%d requests, the first with %v (%v)", len(asked), asked[0].Query, err)
			}
			if form.Encode() != "language_id=en&speaker_id=p376&text="+strings.ReplaceAll(saying, " ", "+") {
				t.Errorf("the form was %s", form.Encode())
			}
			if notes := srv.Notes(); len(notes) != 0 || w.Dialect() != "coqui" {
				t.Errorf("dialect %q, notes %q", w.Dialect(), notes)
			}
		})
	}
}

func TestFirstCoquiServersAreAskedWithGET(t *testing.T) {
	srv := testkit.Serve(t, testkit.Coqui{Original: true})
	srv.Fault("/api/tts", testkit.Answer(405, "text/html", "<!doctype html><title>405 Method Not Allowed</title>").Times(1))
	w := speaker(t, srv, "coqui")
	s := new(record)
	res, err := run(t, w, spoken(jeantrail.SpeakRequest{Voice: "p225"}), s)
	if err != nil {
		t.Fatal(err)
	}
	wantSpeech(t, res, s)
	asked := srv.RequestsTo("/api/tts")
	if len(asked) != 2 || asked[1].Method != "GET" || asked[1].Query.Get("text") != saying || asked[1].Query.Get("speaker_id") != "p225" {
		t.Errorf("%d requests, the last %s with %v", len(asked), asked[len(asked)-1].Method, asked[len(asked)-1].Query)
	}
}

func TestRealSpeech(t *testing.T) {
	srv := testkit.Serve(t, testkit.Espeak(t))
	for _, dialect := range []string{"coqui", "openai"} {
		w := speaker(t, srv, dialect)
		var lengths []time.Duration
		for _, text := range []string{"Yes.", saying, "Call 0800 1234567 at 12:45 and pay 99.95 €, or 100 % of it: 3 + 4 = 7."} {
			s := new(record)
			res, err := run(t, w, spoken(jeantrail.SpeakRequest{Text: text, Voice: "en"}), s)
			if err != nil {
				t.Fatal(err)
			}
			lengths = append(lengths, wantSpeech(t, res, s))
			if loud := s.contents[0][44:]; len(bytes.Trim(loud, "\x00")) < len(loud)/2 {
				t.Errorf("%q is silence", text)
			}
		}
		if lengths[0] <= 0 || lengths[1] < 2*lengths[0] {
			t.Errorf("the texts last %v, want more for more words", lengths)
		}
	}
}

func TestSpeechRefusesBeforeAnybodySpeaks(t *testing.T) {
	srv := testkit.Serve(t, testkit.Kokoro{})
	double := 2.0
	for name, tt := range map[string]struct {
		dialect string
		request jeantrail.SpeakRequest
		code    jeantrail.Code
	}{
		"spaces":          {"", jeantrail.SpeakRequest{Text: " \n\t "}, jeantrail.CodeInvalid},
		"dots":            {"", jeantrail.SpeakRequest{Text: " … !? -- \u200b"}, jeantrail.CodeInvalid},
		"speed for coqui": {"coqui", jeantrail.SpeakRequest{Speed: &double}, jeantrail.CodeUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			req := spoken(tt.request)
			_, err := speaker(t, srv, tt.dialect).Prepare(t.Context(), &req)
			if e := wantCode(t, err, tt.code); e.Hint == "" {
				t.Error("no hint says what to do")
			}
		})
	}
	if asked := srv.Requests(); len(asked) != 0 {
		t.Errorf("%d requests reached the worker, want none", len(asked))
	}
}

func TestSpeechLanguageThatCannotBeTold(t *testing.T) {
	for name, tt := range map[string]struct {
		double   testkit.Double
		language string
	}{
		"no field for it":        {testkit.Coqui{}, "en"},
		"none of Kokoro's codes": {testkit.Kokoro{}, "tlh"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := testkit.Serve(t, tt.double)
			w := speaker(t, srv, "openai")
			res, err := run(t, w, spoken(jeantrail.SpeakRequest{Language: tt.language}), new(record))
			wantCode(t, err, jeantrail.CodeUnsupported)
			if n := len(srv.RequestsTo("/v1/audio/speech")); n != 0 || res.Usage != (jeantrail.Usage{}) {
				t.Errorf("%d requests, usage %+v; want none", n, res.Usage)
			}
		})
	}
}

func TestLongestSpeech(t *testing.T) {
	half, four := 0.5, 4.0
	for _, tt := range []struct {
		text  string
		speed *float64
		want  time.Duration
	}{
		{"hello", nil, 6250 * time.Millisecond},
		{"hello", &half, 7500 * time.Millisecond},
		{"hello", &four, 5313 * time.Millisecond},
		{"a 1 €", nil, 7050 * time.Millisecond},
		{"灯台", nil, 6200 * time.Millisecond},
		{"e\u0301", nil, 5250 * time.Millisecond},
	} {
		if got := longestSpeech(&jeantrail.SpeakRequest{Text: tt.text, Speed: tt.speed}); got != tt.want {
			t.Errorf("%q takes %v at most, want %v", tt.text, got, tt.want)
		}
	}
}

func TestFaultsOfASpeakingWorker(t *testing.T) {
	other := testkit.Serve(t, testkit.Coqui{})
	long := testkit.Tone{Length: time.Minute, Rate: 8000}
	for name, tt := range map[string]struct {
		fault testkit.Fault
		code  jeantrail.Code // "": the job succeeds all the same
		words string
	}{
		"starting":           {testkit.Starting(1), jeantrail.CodeModelLoading, "Loading model"},
		"500 with HTML":      {testkit.HTML500(), jeantrail.CodeWorkerUnavailable, "500 Internal Server Error"},
		"its own words":      {testkit.Answer(400, "application/json", `{"error":"Text parameter is required"}`), jeantrail.CodeInvalid, "Text parameter is required"},
		"wrong content type": {testkit.WrongContentType("application/octet-stream"), "", ""},
		"a page":             {testkit.Answer(200, "text/html", "<!doctype html><title>Oops</title><p>no voice"), jeantrail.CodeWorkerUnavailable, "Oops no voice"},
		"JSON":               {testkit.Answer(200, "application/json", `{"error":"out of memory"}`), jeantrail.CodeWorkerUnavailable, "out of memory"},
		"MP3":                {testkit.Answer(200, "audio/mpeg", string(testkit.MP3(time.Second))), jeantrail.CodeWorkerUnavailable, "audio/mpeg instead of WAV"},
		"two bytes":          {testkit.Cut(2), jeantrail.CodeWorkerUnavailable, "RI"},
		"empty":              {testkit.EmptyOK(), jeantrail.CodeWorkerUnavailable, "nothing instead of speech"},
		"a head":             {testkit.Cut(44), jeantrail.CodeWorkerUnavailable, "no sound"},
		"half a head":        {testkit.Cut(20), jeantrail.CodeWorkerUnavailable, "before its first sample"},
		"truncated":          {testkit.Truncated(5000), jeantrail.CodeWorkerUnavailable, "broke the connection"},
		"cut":                {testkit.Cut(5000), jeantrail.CodeWorkerUnavailable, "ended after 4956 of its"},
		"error after headers": {testkit.ErrorAfterHeaders(), jeantrail.CodeWorkerUnavailable,
			"broke the connection"},
		"reset":               {testkit.Reset(), jeantrail.CodeWorkerUnavailable, "broke the connection"},
		"reset after headers": {testkit.ResetAfterHeaders(), jeantrail.CodeWorkerUnavailable, "broke the connection"},
		"gzip bomb":           {testkit.GzipBomb(1 << 30), jeantrail.CodeWorkerUnavailable, "gzip"},
		"redirect":            {testkit.RedirectTo(other.URL + "/api/tts"), jeantrail.CodeWorkerUnavailable, "elsewhere"},
		"more than it says":   {testkit.Huge(64 << 20), jeantrail.CodeWorkerUnavailable, ""},
		"speech without end":  {testkit.Answer(200, "audio/wav", string(long.Bytes())), jeantrail.CodeWorkerUnavailable, "longer than such a text takes"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := testkit.Serve(t, testkit.Coqui{})
			srv.Fault("/api/tts", tt.fault)
			w := speaker(t, srv, "coqui")
			s := new(record)
			res, err := run(t, w, spoken(jeantrail.SpeakRequest{}), s)
			if tt.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				wantSpeech(t, res, s)
			} else {
				if e := wantCode(t, err, tt.code); !strings.Contains(e.Message, tt.words) || len(e.Message) > 700 {
					t.Errorf("message is %q, want one with %q", e.Message, tt.words)
				}
				if res.FinishReason != jeantrail.FinishError || res.Usage != (jeantrail.Usage{}) || len(s.artifacts) != 0 {
					t.Errorf("result is %+v, want an error and nothing made", res)
				}
			}
			wantIdle(t, w)
			wantEmpty(t, w)
		})
	}
}

// wantEmpty checks that nothing is left of what was received.
func wantEmpty(t *testing.T, w *Worker) {
	t.Helper()
	left, err := os.ReadDir(w.opts.Spool)
	if err != nil || len(left) != 0 {
		t.Errorf("%d files are left (%v), want none", len(left), err)
	}
}

func TestKokorosEmptyAndEndlessSpeech(t *testing.T) {
	srv := testkit.Serve(t, testkit.Kokoro{})
	w := speaker(t, srv, "openai")
	// Only a symbol: this server has nothing to say to it.
	_, err := run(t, w, spoken(jeantrail.SpeakRequest{Text: "€"}), new(record))
	if e := wantCode(t, err, jeantrail.CodeWorkerUnavailable); !strings.Contains(e.Message, "No audio generated") {
		t.Errorf("message is %q, want the worker's words", e.Message)
	}
	// Its sizes are placeholders, so that only the limit ends it.
	srv.Fault("/v1/audio/speech", testkit.Huge(1<<30))
	s := new(record)
	res, err := run(t, w, spoken(jeantrail.SpeakRequest{Text: "hello"}), s)
	if e := wantCode(t, err, jeantrail.CodeWorkerUnavailable); e.Numbers["limit"] == 0 || len(s.artifacts) != 0 || res.Usage != (jeantrail.Usage{}) {
		t.Errorf("error is %v with %v, usage %+v", e, e.Numbers, res.Usage)
	}
	wantEmpty(t, w)
}

func TestSpeechThatCannotBeKept(t *testing.T) {
	srv := testkit.Serve(t, testkit.Coqui{})
	w := speaker(t, srv, "coqui")
	full := jeantrail.Errorf(jeantrail.CodeStorageFull, "no room")
	res, err := run(t, w, spoken(jeantrail.SpeakRequest{}), &record{full: full})
	if !errors.Is(err, full) || res.Usage != (jeantrail.Usage{}) {
		t.Errorf("error is %v, usage %+v; want the disk's error and nothing charged", err, res.Usage)
	}
}

func TestCancelledSpeechFreesThePlace(t *testing.T) {
	srv := testkit.Serve(t, testkit.Coqui{})
	srv.Fault("/api/tts", testkit.Hang().Times(1))
	w := speaker(t, srv, "coqui")
	k := prepared(t, w, spoken(jeantrail.SpeakRequest{}))
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
	if err := <-done; err != why || res.FinishReason != jeantrail.FinishCancelled || res.Usage != (jeantrail.Usage{}) {
		t.Errorf("error is %v, result %+v", err, res)
	}
	srv.AwaitCancelled(1)
	s := new(record)
	res, err := run(t, w, spoken(jeantrail.SpeakRequest{}), s)
	if err != nil {
		t.Fatal(err)
	}
	wantSpeech(t, res, s)
	wantIdle(t, w)
}
