package server

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/golden"
)

// aPipeline is what a workflow of three stages gave.
func aPipeline() *jeantrail.Pipeline {
	usage := jeantrail.Usage{PromptTokens: 10, CompletionTokens: 5}
	return &jeantrail.Pipeline{
		Workflow: "multimodal_analysis",
		Stages: []jeantrail.Stage{
			{Name: "look", Kind: jeantrail.KindText, Model: "sees", JobID: "01942000-0000-7000-8000-0000000000aa", Status: jeantrail.StageSucceeded,
				Attempts: 2, Output: "a cat", Usage: usage, Cost: jeantrail.Cost{Amount: 700, Reserved: 900}},
			{Name: "draw", Kind: jeantrail.KindImage, Model: "sdxl", JobID: "01942000-0000-7000-8000-0000000000bb", Status: jeantrail.StageSucceeded,
				Attempts: 1, Usage: jeantrail.Usage{Images: 1}, Cost: jeantrail.Cost{Amount: 50_000}, Fallback: true},
			{Name: "hear", Kind: jeantrail.KindTranscribe, Status: jeantrail.StageSkipped, Reason: "there is no audio"},
		},
		Output: map[string]any{
			"text": "a cat", "n": 2, "image": map[string]any{"job_id": "01942000-0000-7000-8000-0000000000bb", "index": 0.0},
			"all": []any{map[string]any{"job_id": "01942000-0000-7000-8000-0000000000bb", "index": 1}}, "given": map[string]any{"input": "image"},
		},
		Usage: jeantrail.Usage{PromptTokens: 10, CompletionTokens: 5, Images: 1}, Cost: jeantrail.Cost{Amount: 50_700, Reserved: 900},
	}
}

// pipelineScript runs such a pipeline.
func pipelineScript(j *fakeJob) {
	p := aPipeline()
	j.start()
	running := p.Stages[0]
	running.Status, running.Output, running.Usage, running.Cost, running.Attempts = jeantrail.StageRunning, "", jeantrail.Usage{}, jeantrail.Cost{}, 0
	j.emit(jeantrail.Event{Type: jeantrail.EventStage, Stage: &running})
	for i := range p.Stages {
		j.emit(jeantrail.Event{Type: jeantrail.EventStage, Stage: &p.Stages[i]})
	}
	j.end(jeantrail.StateSucceeded, &jeantrail.Result{Model: "multimodal_analysis", FinishReason: jeantrail.FinishStop, Pipeline: p}, nil)
}

// filesScript reports two files.
func filesScript(j *fakeJob) {
	seed := int64(7)
	j.start()
	j.emit(jeantrail.Event{Type: jeantrail.EventProgress, Progress: jeantrail.Progress{Stage: "sampling", Done: 3, Total: 20, Unit: "steps"}})
	made := []jeantrail.Artifact{
		{Kind: jeantrail.ArtifactImage, File: jeantrail.File{SHA256: strings.Repeat("ab", 32), Bytes: 12, MediaType: "image/png"}, Width: 64, Height: 128, Seed: &seed},
		{Index: 1, Kind: jeantrail.ArtifactAudio, File: jeantrail.File{SHA256: strings.Repeat("cd", 32), Bytes: 34, MediaType: "audio/wav"}, Duration: 1500 * time.Millisecond},
	}
	for i := range made {
		j.emit(jeantrail.Event{Type: jeantrail.EventArtifact, Artifact: &made[i]})
	}
	j.end(jeantrail.StateSucceeded, &jeantrail.Result{Model: "sdxl", FinishReason: jeantrail.FinishStop, Artifacts: made}, nil)
}

// What is on the wire is written down, so that a change of it is seen.
func TestMediaStreams(t *testing.T) {
	s := newTestServer(t, Options{Road: newFakeRoad(pipelineScript)})
	golden.Check(t, "pipeline.golden", call(s, "POST", "/pipeline/process", `{"workflow":"text_to_image","input_data":{"prompt":"x"},"stream":true}`).Body.Bytes())
	s = newTestServer(t, Options{Road: newFakeRoad(filesScript)})
	golden.Check(t, "artifacts.golden", call(s, "POST", "/generate-image", `{"prompt":"x","stream":true}`).Body.Bytes())
}

func TestPipelineAnswer(t *testing.T) {
	s := newTestServer(t, Options{Road: newFakeRoad(pipelineScript)})
	w := call(s, "POST", "/pipeline/process", `{"workflow":"text_to_image","input_data":{"prompt":"x"}}`)
	m := decoded(t, w)
	stages := m["stages"].([]any)
	first, last := stages[0].(map[string]any), stages[2].(map[string]any)
	if len(stages) != 3 || first["name"] != "look" || first["kind"] != "text" || first["model"] != "sees" || first["output"] != "a cat" || first["attempts"] != 2.0 ||
		first["job_id"] != "01942000-0000-7000-8000-0000000000aa" || first["status"] != "succeeded" || first["cost"].(map[string]any)["amount_micros"] != 700.0 ||
		last["status"] != "skipped" || last["reason"] != "there is no audio" || last["job_id"] != nil {
		t.Errorf("the stages are %v", stages)
	}
	if m["cost"].(map[string]any)["amount_micros"] != 50_700.0 || m["usage"].(map[string]any)["images"] != 1.0 {
		t.Errorf("the totals are %v %v", m["cost"], m["usage"])
	}
	const url = "/job/01942000-0000-7000-8000-0000000000bb/artifact/"
	output := m["output"].(map[string]any)
	if output["text"] != "a cat" || output["image"].(map[string]any)["url"] != url+"0" || output["all"].([]any)[0].(map[string]any)["url"] != url+"1" ||
		!reflect.DeepEqual(output["given"], map[string]any{"input": "image"}) {
		t.Errorf("the output is %v", output)
	}
	job := decoded(t, call(s, "GET", "/job/"+m["job_id"].(string), ""))
	if job["kind"] != "pipeline" || job["workflow"] != "text_to_image" || job["cost"].(map[string]any)["amount_micros"] != 0.0 ||
		job["result"].(map[string]any)["cost"].(map[string]any)["amount_micros"] != 50_700.0 {
		t.Errorf("the job is %v", job)
	}
}

// A file comes in base64 or as a URL with the data in it, under the input's name
// with or without a mark, from a job, or as a part of a form in any order.
func TestPipelineInputs(t *testing.T) {
	road, files := newFakeRoad(nil), newFakeFiles()
	road.onSubmit = makes(files, jeantrail.Result{}, jeantrail.ArtifactImage, "image/png", string(aPNG()))
	s := newTestServer(t, Options{Road: road, Files: files})
	made := decoded(t, call(s, "POST", "/generate-image", `{"prompt":"x"}`))["job_id"].(string)
	<-road.submitted
	wav, png := files.keep(aWAV()), files.keep(aPNG())
	wav.MediaType, png.MediaType = "audio/wav", "image/png"
	wav64, png64 := inBase64Text(aWAV()), inBase64Text(aPNG())
	const request = `{"workflow":"multimodal_analysis","input_data":{"text":"t","n":1.50}}`
	numbers := json.Number("1.50")
	whole := map[string]any{"text": "t", "n": numbers, "audio": wav, "image": png}
	inJSON := func(data string) (string, string) {
		return `{"workflow":"multimodal_analysis","input_data":` + data + `}`, "application/json"
	}
	type body struct {
		body, contentType string
		want              map[string]any
	}
	bodies := map[string]body{}
	for name, c := range map[string]struct {
		data string
		want map[string]any
	}{
		"marked":     {`{"text":"t","n":1.50,"audio_base64":"` + wav64 + `","image_base64":"data:image/png;base64,` + png64 + `"}`, whole},
		"bare":       {`{"text":"t","n":1.50,"audio":"` + wav64 + `","image":"` + png64 + `"}`, whole},
		"from a job": {`{"text":"t","n":1.50,"audio":"` + wav64 + `","image":{"job_id":"` + made + `","index":0}}`, whole},
		"a text that is called so": {`{"key_base64":"` + png64 + `","text":"http://example.com","flag":true}`,
			map[string]any{"key_base64": png64, "text": "http://example.com", "flag": true}},
		"a mark of its own": {`{"paper_base64":"` + png64 + `"}`, map[string]any{"paper": png}},
	} {
		b, contentType := inJSON(c.data)
		bodies[name] = body{b, contentType, c.want}
	}
	form := []formPart{{"audio", "secret.wav", string(aWAV())}, {"request", "", request}, {"image", "secret.png", string(aPNG())}}
	for name, order := range map[string][]int{"files first": {0, 2, 1}, "files last": {1, 0, 2}} {
		b, contentType := formOfParts(t, form[order[0]], form[order[1]], form[order[2]])
		bodies["a form, "+name] = body{b, contentType, whole}
	}
	road.onSubmit = pipelineScript
	for name, b := range bodies {
		w := call(s, "POST", "/pipeline/process", b.body, "Content-Type", b.contentType)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
			continue
		}
		if got := (<-road.submitted).snapshot().Request.Pipeline; got.Workflow != "multimodal_analysis" || !reflect.DeepEqual(got.Input, b.want) {
			t.Errorf("%s: the input is %v\nwant %v", name, got.Input, b.want)
		}
	}
}

func TestPipelineRefuses(t *testing.T) {
	s := newTestServer(t, Options{})
	png64 := inBase64Text(aPNG())
	for data, want := range map[string]struct {
		code jeantrail.Code
		text string
	}{
		`{"image":"https://example.com/x.png"}`:                    {"invalid", "not fetched"},
		`{"audio_base64":7}`:                                       {"invalid", "must be a string"},
		`{"audio_base64":{"job_id":"x","index":0}}`:                {"invalid", "must be a string"},
		`{"image":"` + png64 + `","image_base64":"` + png64 + `"}`: {"invalid", "twice"},
		`{"text":"a","text":"b"}`:                                  {"invalid", "twice"},
		`{"audio":"` + png64 + `"}`:                                {"unsupported_media", "not sound"},
		`{"image":"aGVsbG8="}`:                                     {"unsupported_media", "image"},
		`{"text":null}`:                                            {"invalid", "neither"},
		`{"text":["a"]}`:                                           {"invalid", "neither"},
		`{"image":{"job_id":"none","index":0,"x":1}}`:              {"invalid", "job_id and index"},
		`{"image":{"job_id":"none","index":0}}`:                    {"not_found", "none"},
		`["a"]`:                                                    {"invalid", "object"},
	} {
		w := call(s, "POST", "/pipeline/process", `{"workflow":"multimodal_analysis","input_data":`+data+`}`)
		if wantProblem(t, w, codeTable()[want.code].status, want.code); !strings.Contains(w.Body.String(), want.text) {
			t.Errorf("%.80s: %s, want %s", data, w.Body, want.text)
		}
	}
	wantProblem(t, call(s, "POST", "/pipeline/process", `{"workflow":"none"}`), 404, jeantrail.CodeNotFound)
	wantProblem(t, call(s, "POST", "/pipeline/process", `{}`), 400, jeantrail.CodeInvalid)
	for _, parts := range [][]formPart{
		{{"image", "x", string(aPNG())}},
		{{"request", "", `{"workflow":"multimodal_analysis"`}},
		{{"request", "", `{"workflow":"text_to_image"}`}, {"request", "", `{"workflow":"text_to_image"}`}},
		{{"request", "", `{"workflow":"multimodal_analysis"}`}, {"image", "", string(aPNG())}, {"image", "", string(aPNG())}},
		{{"request", "", `{"workflow":"multimodal_analysis","input_data":{"image":"` + png64 + `"}}`}, {"image", "", string(aPNG())}},
	} {
		body, contentType := formOfParts(t, parts...)
		wantProblem(t, call(s, "POST", "/pipeline/process", body, "Content-Type", contentType), 400, jeantrail.CodeInvalid)
	}
}

func TestPipelineEstimate(t *testing.T) {
	road := newFakeRoad(nil)
	road.estimate = jeantrail.Estimate{
		Kind: jeantrail.KindPipeline, Model: "multimodal_analysis", Amount: 51_000, Least: 50_500,
		Stages: []jeantrail.Estimate{
			{Name: "look", Kind: jeantrail.KindText, Model: "sees", Amount: 1000, Least: 500, Exact: true, Bounds: jeantrail.Bounds{PromptTokens: 12, CompletionTokens: 100}},
			{Name: "draw", Kind: jeantrail.KindImage, Model: "sdxl", Amount: 50_000, Least: 50_000, Conditional: true, Bounds: jeantrail.Bounds{Images: 1}},
		},
	}
	s := newTestServer(t, Options{Road: road})
	w := call(s, "POST", "/pipeline/estimate", `{"workflow":"multimodal_analysis","user_id":"user123","input_data":{"text":"t","image_base64":"`+inBase64Text(aPNG())+`"}}`)
	golden.Check(t, "estimate.golden", w.Body.Bytes())
	if got := road.estimated; got.UserID != "user123" || got.Kind != jeantrail.KindPipeline || len(got.Files()) != 1 || len(road.submitted) != 0 {
		t.Errorf("it was asked for %+v", got)
	}
	road.submitErr = jeantrail.Errorf(jeantrail.CodeUnsupported, "no worker")
	wantProblem(t, call(s, "POST", "/pipeline/estimate", `{"workflow":"text_to_image"}`), 422, jeantrail.CodeUnsupported)
}

func TestWorkflows(t *testing.T) {
	workflows := newFakeWorkflows()
	s := newTestServer(t, Options{Workflows: workflows})
	w := call(s, "GET", "/workflows", "")
	golden.Check(t, "workflows.golden", w.Body.Bytes())
	if m := decoded(t, call(s, "GET", "/workflows/multimodal_analysis", "")); m["source"] != "name: multimodal_analysis\n" {
		t.Errorf("the workflow is %v", m)
	}
	wantProblem(t, call(s, "GET", "/workflows/none", ""), 404, jeantrail.CodeNotFound)
	const source = "name: mine\nstages: []\n"
	for i, put := range []struct{ body, contentType string }{
		{source, "text/yaml"}, {source, "application/yaml; charset=utf-8"}, {`{"source":"name: mine\nstages: []\n"}`, "application/json"}, {`{"source":"name: mine\nstages: []\n"}`, ""},
	} {
		w := call(s, "PUT", "/workflows/mine", put.body, "Content-Type", put.contentType)
		if want := map[bool]int{true: 201, false: 200}[i == 0]; w.Code != want || decoded(t, w)["source"] != source {
			t.Errorf("as %s: %d %s", put.contentType, w.Code, w.Body)
		}
		if i == 0 && w.Header().Get("Location") != "/workflows/mine" {
			t.Errorf("it is at %q", w.Header().Get("Location"))
		}
	}
	for _, name := range []string{"..%2f..%2fetc%2fpasswd", "..", "%2e%2e", ".hidden", "a%5cb", "a%00b", strings.Repeat("x", 129)} {
		for _, method := range []string{"PUT", "DELETE"} {
			if w := call(s, method, "/workflows/"+name, source, "Content-Type", "text/yaml"); w.Code != 400 && w.Code != 404 && w.Code != 307 && w.Code != 301 {
				t.Errorf("%s %s: %d %s", method, name, w.Code, w.Body)
			}
		}
	}
	if len(workflows.list) != 3 {
		t.Errorf("there are %v", workflows.list)
	}
	for body, contentType := range map[string]string{"": "text/yaml", `{}`: "application/json", `{"source":""}`: "application/json", `{"sauce":"x"}`: "application/json"} {
		wantProblem(t, call(s, "PUT", "/workflows/mine", body, "Content-Type", contentType), 400, jeantrail.CodeInvalid)
	}
	wantProblem(t, call(s, "PUT", "/workflows/mine", source, "Content-Type", "text/html"), 415, jeantrail.CodeUnsupportedMedia)
	wantProblem(t, call(s, "PUT", "/workflows/mine", strings.Repeat("#", maxSource+1), "Content-Type", "text/yaml"), 413, jeantrail.CodeTooLarge)
	if w := call(s, "DELETE", "/workflows/mine", ""); w.Code != 204 {
		t.Errorf("deleted: %d %s", w.Code, w.Body)
	}
	wantProblem(t, call(s, "DELETE", "/workflows/mine", ""), 404, jeantrail.CodeNotFound)
	wantProblem(t, call(s, "DELETE", "/workflows/text_to_image", ""), 409, jeantrail.CodeConflict)
	workflows.err = jeantrail.Errorf(jeantrail.CodeInvalid, "mine.yaml:2: stages is empty")
	w = call(s, "PUT", "/workflows/new", source, "Content-Type", "text/yaml")
	if m := wantProblem(t, w, 400, jeantrail.CodeInvalid); m["detail"] != "mine.yaml:2: stages is empty" || w.Header().Get("Location") != "" {
		t.Errorf("what is wrong: %v", m)
	}
}
