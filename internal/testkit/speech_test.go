package testkit

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"testing"
	"time"
)

func length(t *testing.T, r reply) time.Duration {
	t.Helper()
	d, err := wavLength(r.body)
	if err != nil || r.err != nil {
		t.Fatalf("answer %d is no sound: %v, %v\n%.200s", r.status, err, r.err, r.body)
	}
	return d
}

func TestToneIsMeasured(t *testing.T) {
	for _, tone := range []Tone{
		{Length: time.Second},
		{Length: 1500 * time.Millisecond, Rate: 24000, Channels: 2, List: true},
		{Length: time.Second, Rate: 22050, List: true, Placeholder: true},
	} {
		file := tone.Bytes()
		check(t, "size", tone.Size(), int64(len(file)))
		got, err := wavLength(file)
		check(t, fmt.Sprintf("%+v %v", tone, err), got, tone.Length)
	}
	for _, bad := range [][]byte{nil, []byte("hello"), Tone{Length: time.Second}.Bytes()[:40], MP3(time.Second)} {
		if d, err := wavLength(bad); err == nil {
			t.Errorf("%.20q lasts %v", bad, d)
		}
	}
	check(t, "frames of mp3", len(MP3(time.Second)), 42*384)
}

func TestKokoroStreamsPlaceholders(t *testing.T) {
	srv := Serve(t, Kokoro{})
	speech := func(body string) reply { return post(t, srv.URL+"/v1/audio/speech", body) }
	for _, stream := range []string{"true", "false"} {
		r := speech(`{"model":"kokoro","input":"Hello there.","voice":"af_bella(2)+af_sky","response_format":"wav","stream":` + stream + `}`)
		check(t, "length", length(t, r), SpeechLength("Hello there."))
		check(t, "type", r.contentType(), "audio/wav")
		check(t, "RIFF size", binary.LittleEndian.Uint32(r.body[4:]), 0xffffffff)
		check(t, "chunk before the data", string(r.body[36:40]), "LIST")
		check(t, "data size", binary.LittleEndian.Uint32(r.body[bytes.Index(r.body, []byte("data"))+4:]), 0xffffffff)
	}
	check(t, "mp3 unless told", speech(`{"input":"a"}`).contentType(), "audio/mpeg")
	check(t, "twice as fast", length(t, speech(`{"input":"Hello there.","response_format":"wav","speed":2}`)), SpeechLength("Hello there.")/2)
	check(t, "pcm", len(speech(`{"input":"Hello there.","response_format":"pcm"}`).body), 48*720)

	silent := speech(`{"input":"…","response_format":"wav"}`)
	check(t, "what can not be said, streamed", fmt.Sprint(silent.status, len(silent.body)), "200 0")
	whole := speech(`{"input":"…","response_format":"wav","stream":false}`)
	check(t, "and whole", whole.status, 500)
	contains(t, whole, `"error":"processing_error"`)
}

func TestKokoroErrors(t *testing.T) {
	srv := Serve(t, Kokoro{})
	for _, test := range []struct {
		body   string
		status int
		want   string
	}{
		{`{}`, 422, `"loc":["body","input"]`},
		{`{`, 422, "json_invalid"},
		{`{"input":7}`, 422, `"loc":["body","input"]`},
		{`{"input":"a","speed":9}`, 422, `"loc":["body","speed"]`},
		{`{"input":"a","response_format":"ogg"}`, 422, `"loc":["body","response_format"]`},
		{`{"input":"a","model":"xtts"}`, 400, `{"detail":{"error":"invalid_model"`},
		{`{"input":"a","voice":"nobody"}`, 400, `"error":"validation_error"`},
	} {
		r := post(t, srv.URL+"/v1/audio/speech", test.body)
		check(t, test.body, r.status, test.status)
		contains(t, r, test.want)
	}
	contains(t, get(t, srv.URL+"/health"), `{"status":"healthy"}`)
	contains(t, get(t, srv.URL+"/v1/audio/voices"), `"af_heart"`)
	contains(t, get(t, srv.URL+"/v1/audio/speech"), `{"detail":"Method Not Allowed"}`)
}

func TestCoqui(t *testing.T) {
	srv := Serve(t, Coqui{})
	r := form(t, srv.URL+"/api/tts", "text=Hello+there.&speaker_id=p376")
	check(t, "length", length(t, r), SpeechLength("Hello there."))
	check(t, "true size", binary.LittleEndian.Uint32(r.body[40:]), uint32(len(r.body)-44))
	check(t, "query", string(get(t, srv.URL+"/api/tts?text=Hello+there.").body), string(r.body))
	contains(t, get(t, srv.URL+"/voices"), "vits en u\n")

	for what, test := range map[string]struct {
		got         reply
		status      int
		contentType string
		want        string
	}{
		"JSON is not read":   {post(t, srv.URL+"/api/tts", `{"text":"a"}`), 400, "application/json", `{"error":"Text parameter is required"}`},
		"unknown speaker":    {form(t, srv.URL+"/api/tts", "text=a&speaker_id=x"), 500, "application/json", "TTS synthesis failed: 'x'"},
		"unknown path":       {get(t, srv.URL+"/health"), 404, "text/html; charset=utf-8", "<h1>Not Found</h1>"},
		"unknown voice":      {post(t, srv.URL+"/v1/audio/speech", `{"input":"a","voice":"x"}`), 500, "text/html; charset=utf-8", "<!doctype html>"},
		"empty input":        {post(t, srv.URL+"/v1/audio/speech", `{"input":""}`), 500, "text/html; charset=utf-8", "<!doctype html>"},
		"no JSON":            {post(t, srv.URL+"/v1/audio/speech", `{`), 400, "text/html; charset=utf-8", "<!doctype html>"},
		"unsupported format": {post(t, srv.URL+"/v1/audio/speech", `{"input":"a","response_format":"ogg"}`), 400, "text/html; charset=utf-8", "Unsupported format"},
	} {
		check(t, what, test.got.status, test.status)
		check(t, what, test.got.contentType(), test.contentType)
		contains(t, test.got, test.want)
	}
	check(t, "OpenAI's dialect", length(t, post(t, srv.URL+"/v1/audio/speech", `{"input":"Hello there.","response_format":"wav"}`)), SpeechLength("Hello there."))

	form(t, srv.URL+"/api/tts", "text=a&speaker_wav=/etc/passwd")
	check(t, "notes", fmt.Sprint(srv.Notes()), "[opened the file /etc/passwd]")
	old := Serve(t, Coqui{Original: true})
	check(t, "original error", form(t, old.URL+"/api/tts", "text=").contentType(), "text/html; charset=utf-8")
	check(t, "original has no OpenAI dialect", post(t, old.URL+"/v1/audio/speech", `{"input":"a"}`).status, http.StatusNotFound)
}

func TestEspeakSpeaks(t *testing.T) {
	srv := Serve(t, Espeak(t))
	say := func(text, speaker string) reply {
		return form(t, srv.URL+"/api/tts", url.Values{"text": {text}, "speaker_id": {speaker}}.Encode())
	}
	short, long := say("Hello.", ""), say("Hello. The lighthouse stands at the end of the pier, and its light turns all night.", "en-gb")
	if a, b := length(t, short), length(t, long); a < 200*time.Millisecond || b < 2*a {
		t.Errorf("the short text takes %v, the long one %v", a, b)
	}
	check(t, "true size", binary.LittleEndian.Uint32(long.body[40:]), uint32(len(long.body)-44))
	var loud int16
	for i := 44; i+1 < len(long.body); i += 2 {
		loud = max(loud, int16(binary.LittleEndian.Uint16(long.body[i:])))
	}
	if loud < 1000 {
		t.Errorf("the loudest sample is %d", loud)
	}
	check(t, "another language sounds otherwise", bytes.Equal(say("Hello.", "de").body, short.body), false)
	check(t, "unknown speaker", say("Hello.", "../en").status, http.StatusInternalServerError)
	// A text is a text, whatever it looks like.
	for _, text := range []string{"--version", "-f /etc/passwd", "$(id)", "`id`; id"} {
		if length(t, say(text, "")) == 0 {
			t.Errorf("%q is silent", text)
		}
	}
}

func TestEspeakFailsAsCoquiDoes(t *testing.T) {
	program, err := exec.LookPath("false")
	if err != nil {
		t.Skip("there is no program that fails")
	}
	d := Espeak(t)
	d.voice = func(ctx context.Context, text, speaker string, speed float64) ([]byte, error) {
		return espeak(ctx, program, text, speaker, speed)
	}
	srv := Serve(t, d)
	r := form(t, srv.URL+"/api/tts", "text=Hello.")
	check(t, "status", r.status, http.StatusInternalServerError)
	contains(t, r, "TTS synthesis failed: espeak-ng: exit status 1")
}
