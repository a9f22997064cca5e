package server

import (
	"fmt"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// MediaResult is what a result has of files, speech and stages. It is exported
// for the OpenAPI document alone, as RequestOptions is.
type MediaResult struct {
	Images          []wireArtifact `json:"images,omitempty" nullable:"false" doc:"Of an image job."`
	Audio           *wireArtifact  `json:"audio,omitempty" doc:"Of a speak job."`
	Artifacts       []wireArtifact `json:"artifacts,omitempty" nullable:"false" doc:"All files that the job made."`
	Language        string         `json:"language,omitempty" doc:"Of a transcription, as the worker names it."`
	DurationSeconds *float64       `json:"duration_seconds,omitempty" doc:"Of the sound that was transcribed."`
	Segments        *[]wireSegment `json:"segments,omitempty" doc:"Of a transcription with the format verbose_json."`
	Workflow        string         `json:"workflow,omitempty" doc:"Of a pipeline."`
	Stages          []wireStage    `json:"stages,omitempty" nullable:"false" doc:"Of a pipeline, in the order of the workflow."`
	Output          map[string]any `json:"output,omitempty" doc:"Of a pipeline: what the workflow names as its output. A file is {job_id, index, url}, or {input} if it came in."`
}

// wireArtifact is a file that a job made.
type wireArtifact struct {
	Index           int     `json:"index"`
	Kind            string  `json:"kind" enum:"image,audio,subtitles"`
	URL             string  `json:"url"`
	MediaType       string  `json:"media_type"`
	Bytes           int64   `json:"bytes"`
	SHA256          string  `json:"sha256"`
	Width           int     `json:"width,omitempty" doc:"Pixels, of an image."`
	Height          int     `json:"height,omitempty"`
	Seed            *int64  `json:"seed,omitempty" doc:"Of an image, if the worker told it."`
	DurationSeconds float64 `json:"duration_seconds,omitempty" doc:"Of audio."`
}

func artifactURL(jobID string, index int) string {
	return fmt.Sprintf("%s/artifact/%d", linksOf(jobID).Self, index)
}

func wireArtifactOf(jobID string, a *jeantrail.Artifact) wireArtifact {
	return wireArtifact{
		Index: a.Index, Kind: string(a.Kind), URL: artifactURL(jobID, a.Index), MediaType: a.MediaType, Bytes: a.Bytes,
		SHA256: a.SHA256, Width: a.Width, Height: a.Height, Seed: a.Seed, DurationSeconds: a.Duration.Seconds(),
	}
}

// wireSegment is a stretch of speech.
type wireSegment struct {
	Start float64    `json:"start" doc:"Seconds from the beginning."`
	End   float64    `json:"end"`
	Text  string     `json:"text"`
	Words []wireWord `json:"words,omitempty" nullable:"false" doc:"If the worker tells them."`
}

type wireWord struct {
	Start float64 `json:"start"`
	End   float64 `json:"end"`
	Word  string  `json:"word"`
}

func segmentsOf(t *jeantrail.Transcript) *[]wireSegment {
	out := make([]wireSegment, 0, len(t.Segments))
	for _, s := range t.Segments {
		segment := wireSegment{Start: s.Start.Seconds(), End: s.End.Seconds(), Text: s.Text}
		for _, w := range s.Words {
			segment.Words = append(segment.Words, wireWord{Start: w.Start.Seconds(), End: w.End.Seconds(), Word: w.Text})
		}
		out = append(out, segment)
	}
	return &out
}

// wireStage is a stage of a pipeline: a job of its own.
type wireStage struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	Model    string    `json:"model" doc:"That ran it; empty if none did."`
	JobID    string    `json:"job_id,omitempty" format:"uuid" doc:"Left out if it never became a job."`
	Status   string    `json:"status" enum:"running,succeeded,failed,skipped,cancelled"`
	Attempts int       `json:"attempts" doc:"How many jobs were tried; job_id is the last one."`
	Output   string    `json:"output" doc:"The text that it gave; files are with its job."`
	Usage    wireUsage `json:"usage"`
	Cost     wireCost  `json:"cost"`
	Reason   string    `json:"reason,omitempty" doc:"Why it was skipped or failed."`
	Fallback bool      `json:"fallback,omitempty" doc:"The result is of its fallback."`
}

func stageOf(s *jeantrail.Stage) wireStage {
	return wireStage{
		Name: s.Name, Kind: string(s.Kind), Model: s.Model, JobID: s.JobID, Status: string(s.Status), Attempts: s.Attempts,
		Output: s.Output, Usage: usageOf(s.Usage), Cost: costOf(s.Cost), Reason: s.Reason, Fallback: s.Fallback,
	}
}

func mediaResultOf(of about, r *jeantrail.Result) MediaResult {
	var out MediaResult
	for i := range r.Artifacts {
		a := wireArtifactOf(of.jobID, &r.Artifacts[i])
		out.Artifacts = append(out.Artifacts, a)
		switch r.Artifacts[i].Kind {
		case jeantrail.ArtifactImage:
			out.Images = append(out.Images, a)
		case jeantrail.ArtifactAudio:
			if out.Audio == nil {
				out.Audio = &a
			}
		}
	}
	if t := r.Transcript; t != nil {
		seconds := t.Duration.Seconds()
		out.Language, out.DurationSeconds = t.Language, &seconds
		if of.segments {
			out.Segments = segmentsOf(t)
		}
	}
	if p := r.Pipeline; p != nil {
		out.Workflow, out.Stages = p.Workflow, make([]wireStage, 0, len(p.Stages))
		for i := range p.Stages {
			out.Stages = append(out.Stages, stageOf(&p.Stages[i]))
		}
		out.Output, _ = withURLs(p.Output).(map[string]any)
	}
	return out
}

// withURLs copies a pipeline's output and tells of each file in it where it is.
func withURLs(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v)+1)
		for name, value := range v {
			out[name] = withURLs(value)
		}
		id, isJob := v["job_id"].(string)
		if index := v["index"]; isJob && index != nil && len(v) == 2 {
			out["url"] = linksOf(id).Self + fmt.Sprintf("/artifact/%v", index)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = withURLs(value)
		}
		return out
	default:
		return v
	}
}

// MediaEvent is what an event has about a stage or a file. It is exported for the
// OpenAPI document alone, as RequestOptions is.
type MediaEvent struct {
	Name       string     `json:"name,omitempty" doc:"stage"`
	Kind       string     `json:"kind,omitempty" doc:"stage: of the job; artifact: image, audio or subtitles"`
	Status     string     `json:"status,omitempty" enum:"running,succeeded,failed,skipped,cancelled" doc:"stage"`
	StageJobID string     `json:"stage_job_id,omitempty" format:"uuid" doc:"stage: its own job, whose events tell more"`
	Attempts   int        `json:"attempts,omitempty" doc:"stage"`
	Reason     string     `json:"reason,omitempty" doc:"stage: why it was skipped or failed"`
	Fallback   bool       `json:"fallback,omitempty" doc:"stage: the result is of its fallback"`
	Output     string     `json:"output,omitempty" doc:"stage: the text that it gave"`
	Usage      *wireUsage `json:"usage,omitempty" doc:"stage, when it has ended"`
	Cost       *wireCost  `json:"cost,omitempty" doc:"stage, when it has ended"`

	Index           *int    `json:"index,omitempty" doc:"artifact"`
	MediaType       string  `json:"media_type,omitempty" doc:"artifact"`
	Bytes           *int64  `json:"bytes,omitempty" doc:"artifact"`
	URL             string  `json:"url,omitempty" doc:"artifact"`
	Width           int     `json:"width,omitempty" doc:"artifact: pixels, of an image"`
	Height          int     `json:"height,omitempty" doc:"artifact"`
	Seed            *int64  `json:"seed,omitempty" doc:"artifact: of an image, if the worker told it"`
	DurationMS      int64   `json:"duration_ms,omitempty" doc:"artifact: of audio"`
	DurationSeconds float64 `json:"duration_seconds,omitempty" doc:"artifact: of audio"`
}

func stageEvent(s *jeantrail.Stage) MediaEvent {
	out := MediaEvent{
		Name: s.Name, Kind: string(s.Kind), Status: string(s.Status), StageJobID: s.JobID, Attempts: s.Attempts,
		Reason: s.Reason, Fallback: s.Fallback, Output: s.Output,
	}
	if s.Status != jeantrail.StageRunning {
		usage, cost := usageOf(s.Usage), costOf(s.Cost)
		out.Usage, out.Cost = &usage, &cost
	}
	return out
}

func artifactEvent(jobID string, a *jeantrail.Artifact) MediaEvent {
	return MediaEvent{
		Index: &a.Index, Kind: string(a.Kind), MediaType: a.MediaType, Bytes: &a.Bytes, URL: artifactURL(jobID, a.Index),
		Width: a.Width, Height: a.Height, Seed: a.Seed,
		DurationMS: a.Duration.Round(time.Millisecond).Milliseconds(), DurationSeconds: a.Duration.Seconds(),
	}
}
