package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// The JSON shapes of requests and results that are not about text; see row.go.

type fileRow struct {
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"media_type,omitempty"`
}

type imageRow struct {
	Prompt         string   `json:"prompt,omitempty"`
	NegativePrompt string   `json:"negative_prompt,omitempty"`
	Width          int      `json:"width,omitempty"`
	Height         int      `json:"height,omitempty"`
	Steps          int      `json:"steps,omitempty"`
	CFGScale       *float64 `json:"cfg_scale,omitempty"`
	Seed           *int64   `json:"seed,omitempty"`
	N              int      `json:"n,omitempty"`
}

type transcribeRow struct {
	Audio       fileRow  `json:"audio"`
	Language    string   `json:"language,omitempty"`
	Translate   bool     `json:"translate,omitempty"`
	Prompt      string   `json:"prompt,omitempty"`
	Format      string   `json:"format,omitempty"`
	Temperature *float64 `json:"temperature,omitempty"`
}

type speakRow struct {
	Text     string   `json:"text,omitempty"`
	Voice    string   `json:"voice,omitempty"`
	Language string   `json:"language,omitempty"`
	Speed    *float64 `json:"speed,omitempty"`
	Format   string   `json:"format,omitempty"`
}

// pipelineRow keeps input values in the caller's digits, and files apart from
// them: no value from outside can be taken for one.
type pipelineRow struct {
	Workflow string                     `json:"workflow"`
	Values   map[string]json.RawMessage `json:"values,omitempty"`
	Files    map[string]fileRow         `json:"files,omitempty"`
}

func rowOfPipeline(p *jeantrail.PipelineRequest) (*pipelineRow, error) {
	if p == nil {
		return nil, nil
	}
	row := &pipelineRow{Workflow: p.Workflow}
	for name, v := range p.Input {
		if f, ok := v.(jeantrail.File); ok {
			if row.Files == nil {
				row.Files = make(map[string]fileRow)
			}
			row.Files[name] = fileRow(f)
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the input %q of the workflow cannot be kept: %w", name, err)
		}
		if row.Values == nil {
			row.Values = make(map[string]json.RawMessage)
		}
		row.Values[name] = raw
	}
	return row, nil
}

func (r *pipelineRow) pipeline() (*jeantrail.PipelineRequest, error) {
	if r == nil {
		return nil, nil
	}
	p := &jeantrail.PipelineRequest{Workflow: r.Workflow, Input: make(map[string]any, len(r.Values)+len(r.Files))}
	for name, raw := range r.Values {
		v, err := decodeNumbers(raw)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", name, err)
		}
		p.Input[name] = v
	}
	for name, f := range r.Files {
		p.Input[name] = jeantrail.File(f)
	}
	return p, nil
}

func (r *requestRow) setMedia(req *jeantrail.Request) (err error) {
	if i := req.Image; i != nil {
		row := imageRow(*i)
		r.Image = &row
	}
	if t := req.Transcribe; t != nil {
		r.Transcribe = &transcribeRow{
			Audio: fileRow(t.Audio), Language: t.Language, Translate: t.Translate, Prompt: t.Prompt,
			Format: string(t.Format), Temperature: t.Temperature,
		}
	}
	if s := req.Speak; s != nil {
		row := speakRow(*s)
		r.Speak = &row
	}
	r.Pipeline, err = rowOfPipeline(req.Pipeline)
	return err
}

func (r *requestRow) media(req *jeantrail.Request) (err error) {
	if r.Image != nil {
		image := jeantrail.ImageRequest(*r.Image)
		req.Image = &image
	}
	if t := r.Transcribe; t != nil {
		req.Transcribe = &jeantrail.TranscribeRequest{
			Audio: jeantrail.File(t.Audio), Language: t.Language, Translate: t.Translate, Prompt: t.Prompt,
			Format: jeantrail.TranscriptFormat(t.Format), Temperature: t.Temperature,
		}
	}
	if r.Speak != nil {
		speak := jeantrail.SpeakRequest(*r.Speak)
		req.Speak = &speak
	}
	req.Pipeline, err = r.Pipeline.pipeline()
	return err
}

type artifactRow struct {
	Index      int    `json:"index"`
	Kind       string `json:"kind"`
	MediaType  string `json:"media_type"`
	Bytes      int64  `json:"bytes"`
	SHA256     string `json:"sha256"`
	Width      int    `json:"width,omitempty"`
	Height     int    `json:"height,omitempty"`
	Seed       *int64 `json:"seed,omitempty"`
	DurationMS int64  `json:"duration_ms,omitempty"`
}

func rowOfArtifact(a *jeantrail.Artifact) *artifactRow {
	return &artifactRow{
		Index: a.Index, Kind: string(a.Kind), MediaType: a.MediaType, Bytes: a.Bytes, SHA256: a.SHA256,
		Width: a.Width, Height: a.Height, Seed: a.Seed, DurationMS: a.Duration.Milliseconds(),
	}
}

func (r *artifactRow) artifact() jeantrail.Artifact {
	return jeantrail.Artifact{
		Index: r.Index, Kind: jeantrail.ArtifactKind(r.Kind), File: jeantrail.File{SHA256: r.SHA256, Bytes: r.Bytes, MediaType: r.MediaType},
		Width: r.Width, Height: r.Height, Seed: r.Seed, Duration: time.Duration(r.DurationMS) * time.Millisecond,
	}
}

func decodeArtifacts(stored string) ([]jeantrail.Artifact, error) {
	if stored == "[]" {
		return nil, nil
	}
	var rows []artifactRow
	if err := json.Unmarshal([]byte(stored), &rows); err != nil {
		return nil, err
	}
	artifacts := make([]jeantrail.Artifact, len(rows))
	for i := range rows {
		artifacts[i] = rows[i].artifact()
	}
	return artifacts, nil
}
