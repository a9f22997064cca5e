package testkit

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// Eleven seconds, in a file whose header is longer than 44 bytes and whose
// sizes say nothing.
var eleven = Tone{Length: 11 * time.Second, Rate: 8000, List: true, Placeholder: true}.Bytes()

func TestWhisperFormats(t *testing.T) {
	srv := Serve(t, Whisper{Script: Script{Text: "One two. Three."}})
	for _, test := range []struct{ format, contentType, body string }{
		{"json", "application/json", `{"text":" One two.\n Three.\n"}`},
		{"no such", "application/json", `{"text":" One two.\n Three.\n"}`},
		{"text", "text/html; charset=utf-8", " One two.\n Three.\n"},
		{"srt", "application/x-subrip", "1\n00:00:00,000 --> 00:00:06,285\nOne two.\n"},
		{"vtt", "text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:06.285\n"},
		{"verbose_json", "application/json", `"duration":11,`},
	} {
		r := sendFile(t, srv.URL+"/inference", "file", eleven, "response_format", test.format)
		check(t, test.format, r.contentType(), test.contentType)
		contains(t, r, test.body)
	}
}

func TestWhisperVerbose(t *testing.T) {
	srv := Serve(t, Whisper{Script: Script{Language: "de"}})
	ask := func(fields ...string) map[string]any {
		return sendFile(t, srv.URL+"/inference", "file", eleven, append(fields, "response_format", "verbose_json")...).object(t)
	}
	v := ask("language", "auto")
	check(t, "the language's name", v["language"], any("german"))
	segments := v["segments"].([]any)
	last := segments[len(segments)-1].(map[string]any)
	check(t, "end of the last segment", last["end"], any(11.0))
	check(t, "words in the segment", len(last["words"].([]any)), 5)
	check(t, "the server's language unless told", ask()["language"], any("english"))
	check(t, "detecting gives no text", ask("detect_language", "true")["text"], any(""))
	_, told := ask("no_language_probabilities", "1")["detected_language"]
	check(t, "-nlp tells less", told, false)
}

func TestWhisperTurnsErrorsInto404(t *testing.T) {
	srv := Serve(t, Whisper{})
	for _, test := range []struct {
		what   string
		got    reply
		status int
		body   string
	}{
		{"no multipart", form(t, srv.URL+"/inference", "file=x"), 400, "Invalid request"},
		{"no audio", sendFile(t, srv.URL+"/inference", "file", []byte("hello")), 400, "Invalid request"},
		{"no number", sendFile(t, srv.URL+"/inference", "file", eleven, "temperature", "warm"), 500, "500 Internal Server Error\nstof"},
		{"no path", get(t, srv.URL+"/v1/models"), 404, "File Not Found (/v1/models)"},
	} {
		check(t, test.what, test.got.status, test.status)
		check(t, test.what, test.got.contentType(), "text/plain")
		check(t, test.what, string(test.got.body), test.body)
	}
	converting := Serve(t, Whisper{Convert: true})
	r := sendFile(t, converting.URL+"/inference", "file", []byte("hello"))
	check(t, "ffmpeg's failure", told(r), `500 {"error":"FFmpeg conversion failed."}`)
}

func TestWhisperReload(t *testing.T) {
	gate := make(chan struct{})
	srv := Serve(t, Whisper{}, Gate(gate))
	contains(t, get(t, srv.URL+"/health"), `{"status":"ok"}`)
	done := make(chan reply, 1)
	go func() { done <- form(t, srv.URL+"/load", "model=other.bin") }()
	srv.await("a note", func() bool { return len(srv.Notes()) > 0 })
	var r reply
	srv.await("a reload", func() bool { r = get(t, srv.URL+"/health"); return r.status != http.StatusOK })
	check(t, "health meanwhile", told(r), "404 File Not Found (/health)")
	close(gate)
	check(t, "load", (<-done).status, http.StatusOK)
	srv.Fault("/health", WhisperReloading())
	check(t, "the same as a fault", string(get(t, srv.URL+"/health").body), string(r.body))
}

func TestSpeaches(t *testing.T) {
	srv := Serve(t, Speaches{Usage: true, Script: Script{Text: "One two. Three."}})
	ask := func(file []byte, fields ...string) reply {
		return sendFile(t, srv.URL+"/v1/audio/transcriptions", "file", file, fields...)
	}
	for _, test := range []struct {
		fields      []string
		contentType string
		body        string
	}{
		{[]string{"model", "whisper-1"}, "application/json", `{"logprobs":null,"text":"One two. Three.","usage":{"seconds":11,"type":"duration"}}`},
		{[]string{"model", "whisper-1", "response_format", "text"}, "text/plain; charset=utf-8", "One two. Three."},
		{[]string{"model", "whisper-1", "response_format", "srt"}, "text/plain; charset=utf-8", "00:00:06,285"},
		{[]string{"model", "whisper-1", "response_format", "vtt"}, "text/vtt; charset=utf-8", "WEBVTT"},
		{[]string{"model", "whisper-1", "response_format", "verbose_json"}, "application/json", `"words":null`},
		{[]string{"model", "whisper-1", "response_format", "verbose_json", "timestamp_granularities[]", "word"}, "application/json", `"word":" Three."`},
		{[]string{"model", "whisper-1", "stream", "true"}, "text/event-stream; charset=utf-8", `data: {"text":"","type":"transcript.text.done"}`},
	} {
		r := ask(eleven, test.fields...)
		check(t, fmt.Sprint(test.fields), r.contentType(), test.contentType)
		contains(t, r, test.body)
	}
	for what, got := range map[string][2]int{
		"no model":       {ask(eleven).status, 422},
		"unknown format": {ask(eleven, "model", "whisper-1", "response_format", "xml").status, 422},
		"empty":          {ask(nil, "model", "whisper-1").status, 400},
		"no audio":       {ask([]byte("hello"), "model", "whisper-1").status, 415},
		"words of json":  {ask(eleven, "model", "whisper-1", "timestamp_granularities[]", "word").status, 500},
	} {
		check(t, what, got[0], got[1])
	}
	missing := ask(eleven, "model", "org/tiny")
	check(t, "model that is not installed", missing.status, http.StatusNotFound)
	contains(t, missing, "is not installed locally")
	check(t, "installing it", post(t, srv.URL+"/v1/models/org/tiny", "").status, http.StatusOK)
	check(t, "then", ask(eleven, "model", "org/tiny").status, http.StatusOK)
	check(t, "health", string(get(t, srv.URL+"/health").body), `{"message":"OK"}`)
	locked := Serve(t, Speaches{APIKey: "k"})
	check(t, "no key", get(t, locked.URL+"/v1/models").status, http.StatusForbidden)
}

func TestASR(t *testing.T) {
	srv := Serve(t, ASR{})
	ask := func(query string, file []byte) reply { return sendFile(t, srv.URL+"/asr?"+query, "audio_file", file) }
	r := ask("output=json&task=transcribe&encode=true", eleven)
	check(t, "JSON is called", r.contentType(), "text/plain; charset=utf-8")
	check(t, "name", r.header.Get("Content-Disposition"), `attachment; filename="upload.wav.json"`)
	v := r.object(t)
	if _, ok := v["duration"]; ok {
		t.Error("it tells a duration")
	}
	segments := v["segments"].([]any)
	check(t, "end of the last segment", segments[len(segments)-1].(map[string]any)["end"], any(11.0))
	check(t, "unknown output is text", string(ask("output=xml", eleven).body), string(ask("", eleven).body))
	contains(t, ask("output=tsv", eleven), "start\tend\ttext\n0\t")
	contains(t, ask("output=json&encode=false", make([]byte, 32000)), `"end":1,`)
	bad := ask("output=json", []byte("hello"))
	check(t, "no audio", told(bad), "500 Internal Server Error")
	check(t, "no file", sendFile(t, srv.URL+"/asr", "file", eleven).status, 422)
	check(t, "task", ask("task=sing", eleven).status, 422)
	contains(t, sendFile(t, srv.URL+"/detect-language", "audio_file", eleven), `"language_code":"en"`)
}

func TestASRAnswersNoProbeWhileItWorks(t *testing.T) {
	gate := make(chan struct{})
	srv := Serve(t, ASR{}, Gate(gate))
	work := make(chan reply, 1)
	go func() { work <- sendFile(t, srv.URL+"/asr", "audio_file", eleven) }()
	srv.AwaitWorking(1)
	srv.await("probe that is left hanging", func() bool {
		ctx, leave := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer leave()
		return send(t, ctx, http.MethodGet, srv.URL+"/docs", "", "").err != nil
	})
	close(gate)
	check(t, "work", (<-work).status, http.StatusOK)
	check(t, "probe afterwards", get(t, srv.URL+"/docs").status, http.StatusOK)
}

func TestLocalAITranscription(t *testing.T) {
	srv := Serve(t, LocalAI{})
	ask := func(fields ...string) reply {
		return sendFile(t, srv.URL+"/v1/audio/transcriptions", "file", eleven, append(fields, "model", "whisper-1")...)
	}
	contains(t, ask(), `"segments":[{`)
	short := ask("response_format", "json").object(t)
	check(t, "duration", short["duration"], any(11.0))
	if _, ok := short["segments"]; ok {
		t.Error("json has segments")
	}
	check(t, "OpenAI's text", ask("response_format", "text").status, http.StatusInternalServerError)
	contains(t, ask("response_format", "txt"), "Its light turns all night.\n")
	check(t, "too large", sendFile(t, srv.URL+"/v1/audio/transcriptions", "file", make([]byte, localAIUploads)).status, http.StatusRequestEntityTooLarge)
}

func TestOtherAudioIsMeasuredByTheTest(t *testing.T) {
	srv := Serve(t, Whisper{Script: Script{Measure: func(audio []byte) (time.Duration, error) {
		if len(audio)%384 != 0 {
			return 0, errNotAudio
		}
		return time.Duration(len(audio)/384) * 24 * time.Millisecond, nil
	}}})
	r := sendFile(t, srv.URL+"/inference", "file", MP3(3*time.Second), "response_format", "verbose_json")
	check(t, "duration", r.object(t)["duration"], any(3.0))
	check(t, "no audio", sendFile(t, srv.URL+"/inference", "file", []byte("hello")).status, http.StatusBadRequest)
}
