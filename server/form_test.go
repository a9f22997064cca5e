package server

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

// A part is a name, a file's name that must not survive, and content.
type formPart struct{ name, file, content string }

func formOfParts(t *testing.T, parts ...formPart) (body, contentType string) {
	t.Helper()
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for _, p := range parts {
		var part io.Writer
		var err error
		if p.file == "" {
			part, err = w.CreateFormField(p.name)
		} else {
			part, err = w.CreateFormFile(p.name, p.file)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(part, p.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), w.FormDataContentType()
}

// The sound may come before or after the fields, and what it was called is not
// kept anywhere.
func TestTranscribeForm(t *testing.T) {
	sound := formPart{"file", "../../$(secret name).wav", string(aWAV())}
	fields := []formPart{
		{"language", "", "en"}, {"translate", "", "true"}, {"temperature", "", "0.5"}, {"format", "", "verbose_json"}, {"prompt", "", "Jean\nTrail"},
		{"model", "", "whisper"}, {"user_id", "", "user123"}, {"metadata", "", `{"a":"b"}`}, {"priority", "", "batch"},
	}
	temperature := 0.5
	for name, parts := range map[string][]formPart{"file first": append([]formPart{sound}, fields...), "file last": append(fields[:len(fields):len(fields)], sound)} {
		road := newFakeRoad(func(j *fakeJob) { makes(newFakeFiles(), spoken(), "", "")(j) })
		s := newTestServer(t, Options{Road: road})
		body, contentType := formOfParts(t, parts...)
		w := call(s, "POST", "/transcribe", body, "Content-Type", contentType)
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", name, w.Code, w.Body)
		}
		job := (<-road.submitted).snapshot()
		audio := job.Request.Transcribe.Audio
		want := jeantrail.Request{
			Kind: jeantrail.KindTranscribe, Model: "whisper", UserID: "user123", Priority: jeantrail.PriorityBatch, Metadata: map[string]string{"a": "b"},
			Transcribe: &jeantrail.TranscribeRequest{
				Audio: audio, Language: "en", Translate: true, Temperature: &temperature, Prompt: "Jean\nTrail", Format: jeantrail.TranscriptVerbose,
			},
		}
		if !reflect.DeepEqual(job.Request, want) || audio.Bytes != int64(len(aWAV())) || audio.MediaType != "audio/wav" {
			t.Errorf("%s: the request became %+v %+v", name, job.Request, job.Request.Transcribe)
		}
		shown := call(s, "GET", "/job/"+job.ID, "").Body.String()
		if kept := fmt.Sprintf("%+v %+v %s %s", job.Request, job.Request.Transcribe, shown, w.Body); strings.Contains(kept, "secret") {
			t.Errorf("%s: the file's name is kept: %s", name, kept)
		}
	}
}

func TestFormsThatAreRefused(t *testing.T) {
	sound := formPart{"file", "a.wav", string(aWAV())}
	many := []formPart{sound}
	for i := range maxParts {
		many = append(many, formPart{fmt.Sprint("f", i), "", "x"})
	}
	tests := []struct {
		name  string
		parts []formPart
		code  jeantrail.Code
		want  string
	}{
		{"no file", []formPart{{"language", "", "en"}}, "invalid", "no part file"},
		{"empty file", []formPart{{"file", "a.wav", ""}}, "invalid", "empty"},
		{"two files", []formPart{sound, sound}, "invalid", "twice"},
		{"a field twice", []formPart{{"language", "", "en"}, {"language", "", "de"}, sound}, "invalid", "twice"},
		{"unknown field", []formPart{sound, {"langauge", "", "en"}}, "invalid", `Did you mean \"language\"`},
		{"another file", []formPart{sound, {"mask", "x.png", "x"}}, "invalid", "mask"},
		{"bad number", []formPart{sound, {"temperature", "", "hot"}}, "invalid", "temperature must be a number"},
		{"bad bool", []formPart{sound, {"translate", "", "yes"}}, "invalid", "translate must be true or false"},
		{"bad format", []formPart{sound, {"format", "", "docx"}}, "invalid", "docx"},
		{"no UTF-8", []formPart{sound, {"prompt", "", "\xff"}}, "invalid", "UTF-8"},
		{"a picture", []formPart{{"file", "a.wav", string(aPNG())}}, "unsupported_media", "image/png"},
		{"audio twice over", []formPart{sound, {"audio_base64", "", "UklG"}}, "invalid", "audio_base64"},
		{"too many parts", many, "too_large", "64 parts"},
		{"too large", []formPart{{"file", "a.wav", string(aWAV()) + strings.Repeat("x", 17<<10)}}, "too_large", `"limit":16384`},
		{"fields too large", []formPart{sound, {"prompt", "", strings.Repeat("x", 2000)}}, "too_large", `"limit":1000`},
		{"request twice", nil, "invalid", "form cannot be read"},
	}
	for _, tt := range tests {
		files := newFakeFiles()
		s := newTestServer(t, Options{Files: files, MaxUpload: 16 << 10, MaxBody: 1000})
		body, contentType := formOfParts(t, tt.parts...)
		if tt.parts == nil {
			contentType = "multipart/form-data"
		}
		w := call(s, "POST", "/transcribe", body, "Content-Type", contentType)
		if wantProblem(t, w, codeTable()[tt.code].status, tt.code); !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, w.Body, tt.want)
		}
	}
	// A form that breaks off keeps nothing that was not whole.
	body, contentType := formOfParts(t, sound)
	files := newFakeFiles()
	s := newTestServer(t, Options{Files: files})
	wantProblem(t, call(s, "POST", "/transcribe", body[:len(body)-80], "Content-Type", contentType), 400, jeantrail.CodeInvalid)
	if files.count() != 0 {
		t.Error("half a file was kept")
	}
	// Any page can make a browser send a form.
	for header, status := range map[string]int{"Sec-Fetch-Site": 415, "Origin": 200} {
		value := map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "tauri://localhost"}[header]
		if w := call(s, "POST", "/transcribe", body, "Content-Type", contentType, header, value); w.Code != status {
			t.Errorf("with %s: %d %s", header, w.Code, w.Body)
		}
	}
}

// countingBody tells how much of it was read.
type countingBody struct{ read int64 }

func (c *countingBody) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	c.read += int64(len(p))
	return len(p), nil
}

// What says that it is too large is not read at all, and what does not say so is
// read no further than the limit.
func TestHugeUploadIsNotRead(t *testing.T) {
	const limit = 1 << 20
	for name, length := range map[string]int64{"it says so": 1 << 40, "it does not": -1} {
		s := newTestServer(t, Options{MaxUpload: limit, MaxBody: 1 << 10})
		body := &countingBody{}
		head := "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n"
		r := httptest.NewRequest("POST", "http://127.0.0.1:3001/transcribe", io.MultiReader(strings.NewReader(head), body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		r.ContentLength = length
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if m := wantProblem(t, w, 413, jeantrail.CodeTooLarge); m["limit"] != float64(limit) {
			t.Errorf("%s: the limit is %v", name, m["limit"])
		}
		if most := int64(limit + 64<<10); length > 0 && body.read > 0 || body.read > most {
			t.Errorf("%s: %d bytes were read", name, body.read)
		}
	}
}
