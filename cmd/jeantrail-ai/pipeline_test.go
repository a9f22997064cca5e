package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
)

func TestWorkflowInputs(t *testing.T) {
	dir := t.TempDir()
	picture := filepath.Join(dir, "picture=1.png")
	if err := os.WriteFile(picture, []byte("pixels"), 0o600); err != nil {
		t.Fatal(err)
	}
	var request struct {
		Workflow string         `json:"workflow"`
		User     string         `json:"user_id"`
		Input    map[string]any `json:"input_data"`
	}
	parts := map[string]string{}
	s := &Session{Client: instanceDouble(t, func(w http.ResponseWriter, r *http.Request) {
		form, err := r.MultipartReader()
		if err != nil {
			t.Error(err)
			return
		}
		for {
			part, err := form.NextPart()
			if err != nil {
				break
			}
			data, err := io.ReadAll(part)
			if err != nil || strings.Contains(part.FileName(), "picture") {
				t.Errorf("part %s is called %q, %v", part.FormName(), part.FileName(), err)
			}
			parts[part.FormName()] = string(data)
		}
		_, _ = io.WriteString(w, `{"amount_micros":1}`)
	})}
	in := &running{inputs: inputs{
		values: []string{"prompt=a = b", "n=2", "ratio=1.50", "fast=true", `code="42"`, "empty="},
		files:  []string{"image=" + picture, "audio=-"},
	}}
	in.user = "u"
	cmd := (&ran{}).parsed(t, func(*cobra.Command) {})
	cmd.SetIn(strings.NewReader("sound"))
	if raw, err := in.ask(cmd, s, "/pipeline/estimate", "mine"); err != nil || string(raw) != `{"amount_micros":1}` {
		t.Fatalf("answered %s, %v", raw, err)
	}
	d := json.NewDecoder(strings.NewReader(parts["request"]))
	d.UseNumber()
	if err := d.Decode(&request); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"prompt": "a = b", "n": json.Number("2"), "ratio": json.Number("1.50"), "fast": true, "code": "42", "empty": ""}
	if request.Workflow != "mine" || request.User != "u" || !reflect.DeepEqual(request.Input, want) {
		t.Errorf("sent %+v", request)
	}
	if parts["image"] != "pixels" || parts["audio"] != "sound" || len(parts) != 3 {
		t.Errorf("sent the files %v", parts)
	}
}

func TestWorkflowInputsAreChecked(t *testing.T) {
	picture := filepath.Join(t.TempDir(), "picture.png")
	if err := os.WriteFile(picture, []byte("pixels"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []inputs{
		{values: []string{"prompt"}}, {values: []string{"=x"}}, {values: []string{"a=1", "a=2"}}, {values: []string{`a="open`}},
		{files: []string{"image"}}, {files: []string{"image=" + picture, "image=" + picture}}, {files: []string{"image=" + picture + "x"}},
	} {
		_, err := bad.data()
		if err == nil {
			var close func()
			_, close, err = bad.open(nil)
			close()
		}
		if exitCode(err) != exitUsage && exitCode(err) != exitNotFound {
			t.Errorf("%+v is accepted: %v", bad, err)
		}
	}
}

func TestWorkflowNames(t *testing.T) {
	for _, c := range []struct{ path, source, want string }{
		{"dir/mine.yaml", "name: poem\nstages: []\n", "poem"},
		{"dir/mine.yaml", "stages: []\n", "mine"},
		{"dir/mine.yml", "name: [1]\n", "mine"}, // the instance says what is wrong, with the line
		{"-", "name: poem\n", "poem"},
	} {
		if got, err := workflowName(c.path, []byte(c.source)); err != nil || got != c.want {
			t.Errorf("%s with %q is called %q, %v; want %q", c.path, c.source, got, err, c.want)
		}
	}
	if _, err := workflowName("-", []byte("stages: []\n")); exitCode(err) != exitUsage {
		t.Errorf("without any name: %v", err)
	}
}

func TestStagesAreShown(t *testing.T) {
	for raw, want := range map[string]string{
		`{"type":"stage","name":"enhance","kind":"text","status":"running"}`:                                                         "running    enhance  (text)",
		`{"type":"stage","name":"image","kind":"image","status":"succeeded","model":"sdxl","cost":{"usd":"0.050000"}}`:               "succeeded  image  (image)  sdxl  $0.050000",
		`{"type":"stage","name":"image","kind":"image","status":"failed","attempts":3,"reason":"the worker is\ndown"}`:               `failed     image  (image)  "3 attempts, the worker is\ndown"`,
		`{"type":"stage","name":"enhance","kind":"text","status":"succeeded","fallback":true,"cost":{"usd":"0.000000"},"model":"b"}`: "succeeded  enhance  (text)  b  $0.000000  by its fallback",
	} {
		var e wireEvent
		if err := json.Unmarshal([]byte(raw), &e); err != nil {
			t.Fatal(err)
		}
		e.Raw = json.RawMessage(raw)
		stage, ok := e.stage()
		if !ok || stage.line() != want {
			t.Errorf("%s\nis shown as %q, want %q", raw, stage.line(), want)
		}
	}
	own := wireEvent{Type: "stage", JobID: "pipeline", Raw: json.RawMessage(`{"name":"x","job_id":"pipeline","stage_job_id":"own"}`)}
	if stage, ok := own.stage(); !ok || stage.JobID != "own" {
		t.Errorf("the stage's job is taken to be %q", stage.JobID)
	}
	other := wireEvent{Type: string(jeantrail.EventProgress), Raw: json.RawMessage(`{"name":"x"}`)}
	if _, ok := other.stage(); ok {
		t.Error("progress is taken for a stage")
	}
}

func TestOutputIsPrinted(t *testing.T) {
	for raw, want := range map[string]string{
		`{"description":"A cat.\n","raw":""}`:                            "A cat.\n",
		`{"analysis":"one\ntwo","language":"en","duration_seconds":2}`:   "analysis:\none\ntwo\nduration_seconds: 2\nlanguage: en\n",
		`{"image":{"job_id":"J","index":0},"prompt":"p"}`:                "image: jeantrail-ai job artifact J 0 -o FILE\nprompt: p\n",
		`{"images":[{"job_id":"J","index":0},{"job_id":"J","index":1}]}`: "jeantrail-ai job artifact J 0 -o FILE\njeantrail-ai job artifact J 1 -o FILE\n",
		`{"nothing":null,"some":{"a":1}}`:                                "{\"a\":1}\n",
	} {
		var output map[string]any
		if err := json.Unmarshal([]byte(raw), &output); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if printOutput(&out, output); out.String() != want {
			t.Errorf("%s\nis printed as %q, want %q", raw, out.String(), want)
		}
	}
}
