package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
)

const testJob = "019ac000-0000-7000-8000-0000deadbeef"

// scripted answers a request for a job with events, and its files.
func scripted(t *testing.T, path string, body *map[string]any, events ...string) *Session {
	t.Helper()
	return &Session{Client: instanceDouble(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.URL.Path == path:
			if err := json.NewDecoder(r.Body).Decode(body); err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "text/event-stream")
			for i, e := range events {
				fmt.Fprintf(w, "id: %d\ndata: %s\n\n", i+1, e)
			}
		case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/job/"+testJob+"/artifact/"):
			fmt.Fprintf(w, "content of %s", r.URL.Path[len(r.URL.Path)-1:])
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"code":"not_found","detail":"there is nothing at `+r.URL.Path+`"}`)
		}
	})}
}

// ran is a command line that was parsed, and what running it printed.
type ran struct{ out, err bytes.Buffer }

// parsed makes a command of the flags, as cobra gives it to its RunE.
func (r *ran) parsed(t *testing.T, flags func(*cobra.Command), args ...string) *cobra.Command {
	t.Helper()
	cmd := &cobra.Command{Use: "x"}
	flags(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	cmd.SetContext(context.Background())
	cmd.SetOut(&r.out)
	cmd.SetErr(&r.err)
	return cmd
}

const twoImages = `{"type":"done","job_id":"` + testJob + `","result":{"job_id":"` + testJob + `","status":"succeeded","model":"sdxl",` +
	`"cost":{"amount_micros":100000,"usd":"0.100000"},"artifacts":[` +
	`{"index":0,"kind":"image","media_type":"image/png","bytes":12,"width":64,"height":128,"seed":7,"url":"/job/x/artifact/0"},` +
	`{"index":1,"kind":"image","media_type":"image/png","bytes":12,"width":64,"height":128,"seed":8,"url":"/job/x/artifact/1"}]}}`

func TestImagesAreWritten(t *testing.T) {
	dir, body := t.TempDir(), map[string]any{}
	s := scripted(t, "/generate-image", &body, `{"type":"progress","job_id":"x","done":1,"total":2,"unit":"steps"}`, twoImages)
	p, r := &picture{}, &ran{}
	cmd := r.parsed(t, p.flags, "-n", "2", "--negative", "blur", "--width", "64", "--user", "u", "-m", "sdxl", "-o", dir)
	request, err := p.request(cmd, []string{"a", "cat"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.run(cmd, &options{}, s, request); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"prompt": "a cat", "negative_prompt": "blur", "width": 64.0, "n": 2.0, "user_id": "u", "model": "sdxl", "height": nil, "seed": nil}
	for name, value := range want {
		if body[name] != value {
			t.Errorf("%s was sent as %v, want %v", name, body[name], value)
		}
	}
	for i := range 2 {
		path := filepath.Join(dir, fmt.Sprintf("image-deadbeef-%d.png", i))
		if data, err := os.ReadFile(path); err != nil || string(data) != fmt.Sprintf("content of %d", i) {
			t.Errorf("%s holds %q, %v", path, data, err)
		}
		if line := fmt.Sprintf("%s  64x128, seed %d\n", path, 7+i); !strings.Contains(r.out.String(), line) {
			t.Errorf("printed %q without %q", r.out.String(), line)
		}
	}
	if got := r.err.String(); !strings.Contains(got, "sdxl · 2 of 2 images · $0.100000") {
		t.Errorf("the summary is %q", got)
	}
}

// What was paid for can still be had when it cannot be written.
func TestAnImageThatCannotBeWritten(t *testing.T) {
	dir, body := t.TempDir(), map[string]any{}
	s := scripted(t, "/generate-image", &body, twoImages)
	p, r := &picture{}, &ran{}
	cmd := r.parsed(t, p.flags, "-n", "2", "-o", dir)
	in := filepath.Join(dir, "image-deadbeef-1.png")
	if err := os.WriteFile(in, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := p.run(cmd, &options{}, s, map[string]any{})
	if jeantrail.CodeOf(err) != jeantrail.CodeConflict || !strings.Contains(jeantrail.AsError(err).Hint, "job artifact "+testJob+" 1") {
		t.Errorf("ended with %v, hint %q", err, jeantrail.AsError(err).Hint)
	}
	if data, err := os.ReadFile(in); err != nil || string(data) != "mine" {
		t.Errorf("the file holds %q, %v", data, err)
	}
}

func TestImagesAsJSON(t *testing.T) {
	dir, body := t.TempDir(), map[string]any{}
	s := scripted(t, "/generate-image", &body, twoImages)
	p, r := &picture{}, &ran{}
	if err := p.run(r.parsed(t, p.flags, "-o", dir+"/"), &options{json: true}, s, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		JobID string   `json:"job_id"`
		Files []string `json:"files"`
	}
	if err := json.Unmarshal(r.out.Bytes(), &got); err != nil || got.JobID != testJob || len(got.Files) != 2 {
		t.Errorf("printed %s, %v", r.out.String(), err)
	}
}

func TestAJobThatFails(t *testing.T) {
	body := map[string]any{}
	for event, want := range map[string]jeantrail.Code{
		`{"type":"failed","job_id":"x","error":{"code":"worker_unavailable","detail":"the worker sdxl is down","hint":"start it"}}`: jeantrail.CodeWorkerUnavailable,
		`{"type":"cancelled","job_id":"x","result":{"job_id":"x"}}`:                                                                 jeantrail.CodeCancelled,
		`{"type":"done","job_id":"x"}`: jeantrail.CodeInternal,
	} {
		s := scripted(t, "/generate-image", &body, event)
		p, r := &picture{}, &ran{}
		if err := p.run(r.parsed(t, p.flags), &options{}, s, map[string]any{}); jeantrail.CodeOf(err) != want {
			t.Errorf("%s ended with %v, want %s", event, err, want)
		}
		if r.out.Len() > 0 {
			t.Errorf("it printed %q", r.out.String())
		}
	}
}

const oneSound = `{"type":"done","job_id":"` + testJob + `","result":{"job_id":"` + testJob + `","status":"succeeded","model":"coqui",` +
	`"cost":{"usd":"0.007500"},"artifacts":[{"index":0,"kind":"audio","media_type":"audio/wav","bytes":12,"duration_seconds":1.5}]}}`

func TestSpeechIsWritten(t *testing.T) {
	dir, body := t.TempDir(), map[string]any{}
	s := scripted(t, "/speak", &body, oneSound)
	p, r := &speech{}, &ran{}
	path := filepath.Join(dir, "hello.wav")
	cmd := r.parsed(t, p.flags, "--voice", "p376", "--speed", "1.5", "-o", path)
	request, err := p.request(cmd, []string{"Hello."})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.run(cmd, &options{}, s, request); err != nil {
		t.Fatal(err)
	}
	if body["text"] != "Hello." || body["voice"] != "p376" || body["speed"] != 1.5 || body["language"] != nil {
		t.Errorf("sent %v", body)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "content of 0" || r.out.String() != path+"  1.5 s\n" {
		t.Errorf("%q, %v, printed %q", data, err, r.out.String())
	}
}

func TestSpeechGoesDownAPipe(t *testing.T) {
	body := map[string]any{}
	s := scripted(t, "/speak", &body, oneSound)
	p, r := &speech{}, &ran{}
	cmd := r.parsed(t, p.flags, "-o", "-")
	if err := p.check(&options{}, &r.out); err != nil {
		t.Fatal(err)
	}
	if err := p.run(cmd, &options{}, s, map[string]any{}); err != nil || r.out.String() != "content of 0" {
		t.Errorf("%q, %v", r.out.String(), err)
	}
	if err := p.check(&options{json: true}, &r.out); exitCode(err) != exitUsage {
		t.Errorf("JSON and sound on one pipe: %v", err)
	}
}

func TestTranscriptions(t *testing.T) {
	for format, want := range map[string]struct{ asked, printed string }{
		"text": {"json", "Hello there.\n"}, "srt": {"srt", "1\n00:00\n"}, "verbose_json": {"verbose_json", "\"language\": \"en\""},
	} {
		s := &Session{Client: instanceDouble(t, func(w http.ResponseWriter, r *http.Request) {
			if got := r.FormValue("format"); got != want.asked || r.FormValue("translate") != "true" {
				t.Errorf("%s: asked for %q with %v", format, got, r.Form)
			}
			if want.asked == "srt" {
				w.Header().Set("Content-Type", "application/x-subrip")
				_, _ = io.WriteString(w, "1\n00:00\n")
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"job_id":"x","model":"whisper","text":" Hello there.\n","language":"en","duration_seconds":2.5,"cost":{"usd":"0.025000"}}`)
		})}
		h, r, o := &hearing{}, &ran{}, &options{}
		cmd := r.parsed(t, h.flags, "--format", format, "--translate")
		if err := h.check(cmd, o); err != nil {
			t.Fatal(err)
		}
		if err := h.run(cmd, s, strings.NewReader("sound"), 5); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(r.out.String(), want.printed) {
			t.Errorf("%s: printed %q, want %q", format, r.out.String(), want.printed)
		}
		if summary := "whisper · 2.5 s · en · $0.025000"; want.asked != "srt" && !strings.Contains(r.err.String(), summary) {
			t.Errorf("%s: the summary is %q", format, r.err.String())
		}
	}
}

func TestTranscribeRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"--format", "docx"}, {"-o", dir}, {"--json", "--format", "srt"}} {
		h, r, o := &hearing{}, &ran{}, &options{}
		cmd := r.parsed(t, func(c *cobra.Command) { h.flags(c); o.jsonFlag(c) }, args...)
		if err := h.check(cmd, o); exitCode(err) != exitUsage {
			t.Errorf("%v is accepted: %v", args, err)
		}
	}
}
