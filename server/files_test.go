package server

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func TestGenerateWithImages(t *testing.T) {
	road := newFakeRoad(answerScript)
	files := newFakeFiles()
	s := newTestServer(t, Options{Road: road, Files: files})
	maker := makes(files, jeantrail.Result{}, jeantrail.ArtifactImage, "image/jpeg", "\xff\xd8\xffpixels")
	road.onSubmit = maker
	made := decoded(t, call(s, "POST", "/generate-image", `{"prompt":"x"}`))["job_id"].(string)
	<-road.submitted
	road.onSubmit = answerScript
	unpadded := strings.TrimRight(inBase64Text(append(aPNG(), "more"...)), "=")
	w := call(s, "POST", "/generate", `{"prompt":"What is this?","images":["`+inBase64Text(aPNG())+`","data:image/png;base64,`+unpadded+`",{"job_id":"`+made+`","index":0}]}`)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	job := (<-road.submitted).snapshot()
	images := job.Request.Text.Images
	if len(images) != 3 || images[0].Bytes != 14 || images[1].Bytes != 18 || images[0].MediaType != "image/png" || images[2].MediaType != "image/jpeg" {
		t.Fatalf("the images are %+v", images)
	}
	shown := decoded(t, call(s, "GET", "/job/"+job.ID, ""))["request"].(map[string]any)
	first := shown["images"].([]any)[0].(map[string]any)
	if first["sha256"] != images[0].SHA256 || first["bytes"] != 14.0 || first["media_type"] != "image/png" || shown["prompt"] != "What is this?" {
		t.Errorf("the job shows %v", shown)
	}
	png := inBase64Text(aPNG())
	for images, want := range map[string]struct {
		code jeantrail.Code
		text string
	}{
		`["http://example.com/cat.png"]`:                 {"invalid", "not fetched"},
		`["https://example.com/cat.png"]`:                {"invalid", "not fetched"},
		`["file:///etc/passwd"]`:                         {"invalid", "not fetched"},
		`["data:image/png,abc"]`:                         {"invalid", "without base64"},
		`["` + png[:5] + `"]`:                            {"invalid", "not valid base64"},
		`[""]`:                                           {"invalid", "empty"},
		`["aGVsbG8gdGhlcmUsIHRoaXMgaXMgYSB0ZXh0"]`:       {"unsupported_media", "images[0]"},
		`["` + inBase64Text(aWAV()) + `"]`:               {"unsupported_media", "images[0]"},
		`[{"job_id":"` + made + `"}]`:                    {"invalid", "job_id and index"},
		`[{"job_id":"` + made + `","index":-1}]`:         {"invalid", "job_id and index"},
		`[{"job_id":"` + made + `","index":1}]`:          {"not_found", "no file 1"},
		`[{"job_id":"none","index":0}]`:                  {"not_found", "none"},
		`[{"url":"http://example.com"}]`:                 {"invalid", "url"},
		`[{"sha256":"` + strings.Repeat("a", 64) + `"}]`: {"invalid", "sha256"},
		`[null]`: {"invalid", "must be a string or an object"},
		`["` + strings.Repeat(png+`","`, 16) + png + `"]`: {"too_large", "17 images"},
	} {
		w := call(s, "POST", "/generate", `{"prompt":"x","images":`+images+`}`)
		if wantProblem(t, w, codeTable()[want.code].status, want.code); !strings.Contains(w.Body.String(), want.text) {
			t.Errorf("%.80s: %s, want %s", images, w.Body, want.text)
		}
	}
}

func TestInlineLimits(t *testing.T) {
	s := newTestServer(t, Options{MaxUpload: 100, MaxBody: 1000})
	two := inBase64Text(append(aPNG(), bytes.Repeat([]byte{'x'}, 60)...))
	m := wantProblem(t, call(s, "POST", "/generate", `{"prompt":"x","images":["`+two+`","`+two+`"]}`), 413, jeantrail.CodeTooLarge)
	if m["limit"] != 100.0 {
		t.Errorf("limit %v", m)
	}
	if w := call(s, "POST", "/generate", `{"prompt":"x","images":["`+two+`"]}`); w.Code != 200 {
		t.Errorf("one fits: %d %s", w.Code, w.Body)
	}
}

func TestMediaTypes(t *testing.T) {
	for head, want := range map[string]string{
		"\x89PNG\r\n\x1a\n": "image/png", "\xff\xd8\xff\xe0": "image/jpeg", "GIF89a": "image/gif", "RIFF....WEBPVP8 ": "image/webp",
		"RIFF....WAVEfmt ": "audio/wav", "RF64....WAVEds64": "audio/wav", "fLaC": "audio/flac", "OggS": "audio/ogg", "ID3\x04": "audio/mpeg",
		"\xff\xfb\x90\x64........": "audio/mpeg", "\xff\xf1\x50\x80........": "audio/aac", "....ftypM4A ": "audio/mp4", "....ftypavif": "image/avif",
		"BM\x10\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00": "image/bmp", "BMI is a number for weight": "", "FORM....AIFFCOMM": "audio/aiff",
		"hello, this is a text": "", "": "", "<svg xmlns='http://www.w3.org/2000/svg'>": "", "RIFF....AVI LIST": "", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff": "",
	} {
		if got := mediaTypeOf([]byte(head)); got != want {
			t.Errorf("%q is %q, want %q", head, got, want)
		}
	}
}
