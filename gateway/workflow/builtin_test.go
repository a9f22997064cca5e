package workflow_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

var (
	recording = jeantrail.File{SHA256: strings.Repeat("1", 64), MediaType: "audio/wav", Bytes: 100}
	picture   = jeantrail.File{SHA256: strings.Repeat("2", 64), MediaType: "image/jpeg", Bytes: 200}
)

func TestBuiltinWorkflows(t *testing.T) {
	file := func(job string) map[string]any { return map[string]any{"job_id": job, "index": 0} }
	for _, c := range []struct {
		name, workflow string
		input          map[string]any
		statuses       string
		output         map[string]any
		sent           func(t *testing.T, jobs []*fakeJob)
	}{
		{
			name: "the request of the guide", workflow: "text_to_image",
			input:    map[string]any{"prompt": "Create a futuristic AI image"},
			statuses: "enhance:succeeded image:succeeded",
			output:   map[string]any{"image": file("job-1"), "images": []any{file("job-1")}, "prompt": "text of enhance"},
			sent: func(t *testing.T, jobs []*fakeJob) {
				if p := jobs[0].Request.Text.Prompt; !strings.Contains(p, "Create a futuristic AI image") {
					t.Errorf("enhance was asked %q", p)
				}
				want := jeantrail.ImageRequest{Prompt: "text of enhance"}
				if got := *jobs[1].Request.Image; got != want {
					t.Errorf("image was asked %+v", got)
				}
			},
		},
		{
			name: "with settings", workflow: "text_to_image",
			input:    map[string]any{"prompt": "a boat", "width": num("512"), "n": num("2"), "seed": num("5"), "style": "ink", "image_model": "sdxl"},
			statuses: "enhance:succeeded image:succeeded",
			output: map[string]any{
				"image": file("job-1"), "images": []any{file("job-1"), map[string]any{"job_id": "job-1", "index": 1}}, "prompt": "text of enhance",
			},
			sent: func(t *testing.T, jobs []*fakeJob) {
				got := jobs[1].Request
				if got.Model != "sdxl" || got.Image.Width != 512 || got.Image.Height != 0 || got.Image.N != 2 || *got.Image.Seed != 5 {
					t.Errorf("image was asked %+v of %s", got.Image, got.Model)
				}
				if p := jobs[0].Request.Text.Prompt; !strings.Contains(p, "Style: ink") {
					t.Errorf("enhance was asked %q", p)
				}
			},
		},
		{
			name: "speech", workflow: "speech_to_text_to_analysis", input: map[string]any{"audio": recording, "language": "en"},
			statuses: "transcribe:succeeded analyse:succeeded",
			output: map[string]any{
				"transcript": "words of transcribe", "analysis": "text of analyse", "language": "en", "duration_seconds": 1.5,
			},
			sent: func(t *testing.T, jobs []*fakeJob) {
				if got := jobs[0].Request.Transcribe; got.Audio != recording || got.Language != "en" {
					t.Errorf("transcribe was asked %+v", got)
				}
			},
		},
		{
			name: "speak a prompt", workflow: "text_to_speech", input: map[string]any{"prompt": "Hello", "speed": num("1.25")},
			statuses: "optimise:succeeded speak:succeeded",
			output:   map[string]any{"audio": file("job-1"), "text": "text of optimise", "duration_seconds": 2.0},
			sent: func(t *testing.T, jobs []*fakeJob) {
				if got := jobs[1].Request.Speak; got.Text != "text of optimise" || *got.Speed != 1.25 || got.Voice != "" {
					t.Errorf("speak was asked %+v", got)
				}
				if got := *jobs[0].Request.Text.MaxTokens; got != 69 {
					t.Errorf("optimise may make %d tokens", got)
				}
			},
		},
		{
			name: "all kinds of material", workflow: "multimodal_analysis",
			input:    map[string]any{"text": "A letter.", "audio": recording, "image": picture, "prompt": "Who wrote it?"},
			statuses: "transcribe:succeeded describe:succeeded analyse:succeeded respond:succeeded",
			output: map[string]any{
				"response": "text of respond", "analysis": "text of analyse", "transcript": "words of transcribe", "image_description": "text of describe",
			},
			sent: func(t *testing.T, jobs []*fakeJob) {
				p := jobs[2].Request.Text.Prompt
				for _, part := range []string{"A letter.", "words of transcribe", "text of describe"} {
					if !strings.Contains(p, part) {
						t.Errorf("analyse was asked %q, without %q", p, part)
					}
				}
				if p := jobs[3].Request.Text.Prompt; !strings.Contains(p, "Who wrote it?") {
					t.Errorf("respond was asked %q", p)
				}
			},
		},
		{
			name: "text alone", workflow: "multimodal_analysis", input: map[string]any{"text": "A letter."},
			statuses: "transcribe:skipped describe:skipped analyse:succeeded respond:succeeded",
			output:   map[string]any{"response": "text of respond", "analysis": "text of analyse", "transcript": "", "image_description": ""},
		},
		{
			name: "an image", workflow: "image_description", input: map[string]any{"image": picture},
			statuses: "describe:succeeded enhance:succeeded",
			output:   map[string]any{"description": "text of enhance", "raw_description": "text of describe"},
			sent: func(t *testing.T, jobs []*fakeJob) {
				if got := jobs[0].Request.Text.Images; !reflect.DeepEqual(got, []jeantrail.File{picture}) {
					t.Errorf("describe was shown %+v", got)
				}
				if p := jobs[1].Request.Text.Prompt; !strings.Contains(p, "Language: English") {
					t.Errorf("enhance was asked %q", p)
				}
			},
		},
	} {
		t.Run(c.workflow+"/"+c.name, func(t *testing.T) {
			road := newRoad(t, nil)
			result, _, err := process(t, context.Background(), library(t, nil), road, c.workflow, c.input)
			if err != nil || result.FinishReason != jeantrail.FinishStop {
				t.Fatalf("it ended with %v (%s)", err, result.FinishReason)
			}
			if got := statuses(result); got != c.statuses {
				t.Errorf("stages %s, want %s", got, c.statuses)
			}
			if got := result.Pipeline.Output; !reflect.DeepEqual(got, c.output) {
				t.Errorf("output %#v, want %#v", got, c.output)
			}
			for _, j := range road.jobs {
				if j.Request.Priority != jeantrail.PriorityBatch || j.Request.Metadata["project"] != "x" || j.KeyID != "key" || j.Request.Workflow != c.workflow {
					t.Errorf("the job of %s is not that of its pipeline: %+v", j.Request.Stage, j.Request)
				}
			}
			if c.sent != nil {
				c.sent(t, sorted(road.jobs))
			}
		})
	}
}

// sorted puts the jobs of a parallel group into the order of the workflow.
func sorted(jobs []*fakeJob) []*fakeJob {
	if len(jobs) > 1 && jobs[0].Request.Stage == "describe" && jobs[1].Request.Stage == "transcribe" {
		jobs[0], jobs[1] = jobs[1], jobs[0]
	}
	return jobs
}

// A model that is not there must not keep a picture from being made, or a text
// from being spoken; and a text that was cut off must not be spoken.
func TestBuiltinWorkflowsGoOnWithoutTheTextModel(t *testing.T) {
	missing := jeantrail.Errorf(jeantrail.CodeNotFound, "no text model")
	broken := func(stage string, _ int) played {
		if stage == "enhance" || stage == "optimise" {
			return played{refuse: missing}
		}
		return played{}
	}
	road := newRoad(t, broken)
	result, _, err := process(t, context.Background(), library(t, nil), road, "text_to_image", map[string]any{"prompt": "a boat", "style": "ink"})
	if err != nil || road.jobs[0].Request.Image.Prompt != "a boat, ink" {
		t.Errorf("image was asked %+v, %v", road.jobs[0].Request.Image, err)
	}
	if s := stageOf(t, result, "enhance"); !s.Fallback || s.Reason != "no text model" || s.Status != jeantrail.StageSucceeded || s.JobID != "" || s.Attempts != 1 {
		t.Errorf("enhance: %+v", s)
	}
	road = newRoad(t, broken)
	if _, _, err = process(t, context.Background(), library(t, nil), road, "text_to_speech", map[string]any{"text": "Hello"}); err != nil || road.jobs[0].Request.Speak.Text != "Hello" {
		t.Errorf("speak was asked %+v, %v", road.jobs[0].Request.Speak, err)
	}
	road = newRoad(t, func(string, int) played { return played{} })
	road.play = func(stage string, _ int) played {
		if stage == "optimise" {
			return played{result: &jeantrail.Result{Text: "Hel", Truncated: true}}
		}
		return played{}
	}
	if _, _, err = process(t, context.Background(), library(t, nil), road, "text_to_speech", map[string]any{"text": "Hello"}); err != nil || road.jobs[1].Request.Speak.Text != "Hello" {
		t.Errorf("speak was asked %+v, %v", road.jobs[1].Request.Speak, err)
	}
}
