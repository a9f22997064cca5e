package store

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// The JSON shapes of the parts of a result that only some kinds have; see
// row.go. Times of a transcript are milliseconds.

type transcriptRow struct {
	Language   string       `json:"language,omitempty"`
	DurationMS int64        `json:"duration_ms"`
	Segments   []segmentRow `json:"segments,omitempty"`
}

type segmentRow struct {
	StartMS int64        `json:"start_ms"`
	EndMS   int64        `json:"end_ms"`
	Text    string       `json:"text"`
	Words   []segmentRow `json:"words,omitempty"`
}

func rowOfTranscript(t *jeantrail.Transcript) *transcriptRow {
	row := &transcriptRow{Language: t.Language, DurationMS: t.Duration.Milliseconds()}
	for i := range t.Segments {
		s := &t.Segments[i]
		segment := segmentRow{StartMS: s.Start.Milliseconds(), EndMS: s.End.Milliseconds(), Text: s.Text}
		for _, w := range s.Words {
			segment.Words = append(segment.Words, segmentRow{StartMS: w.Start.Milliseconds(), EndMS: w.End.Milliseconds(), Text: w.Text})
		}
		row.Segments = append(row.Segments, segment)
	}
	return row
}

func (r *transcriptRow) transcript() *jeantrail.Transcript {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	t := &jeantrail.Transcript{Language: r.Language, Duration: ms(r.DurationMS)}
	for i := range r.Segments {
		s := &r.Segments[i]
		segment := jeantrail.TranscriptSegment{Start: ms(s.StartMS), End: ms(s.EndMS), Text: s.Text}
		for _, w := range s.Words {
			segment.Words = append(segment.Words, jeantrail.TranscriptWord{Start: ms(w.StartMS), End: ms(w.EndMS), Text: w.Text})
		}
		t.Segments = append(t.Segments, segment)
	}
	return t
}

type usageRow struct {
	PromptTokens     int   `json:"prompt_tokens,omitempty"`
	CachedTokens     int   `json:"cached_tokens,omitempty"`
	CompletionTokens int   `json:"completion_tokens,omitempty"`
	ReasoningTokens  int   `json:"reasoning_tokens,omitempty"`
	Images           int   `json:"images,omitempty"`
	AudioInMS        int64 `json:"audio_in_ms,omitempty"`
	AudioOutMS       int64 `json:"audio_out_ms,omitempty"`
}

func rowOfUsage(u jeantrail.Usage) usageRow {
	return usageRow{
		PromptTokens: u.PromptTokens, CachedTokens: u.CachedTokens, CompletionTokens: u.CompletionTokens, ReasoningTokens: u.ReasoningTokens,
		Images: u.Images, AudioInMS: u.AudioIn.Milliseconds(), AudioOutMS: u.AudioOut.Milliseconds(),
	}
}

func (r usageRow) usage() jeantrail.Usage {
	return jeantrail.Usage{
		PromptTokens: r.PromptTokens, CachedTokens: r.CachedTokens, CompletionTokens: r.CompletionTokens, ReasoningTokens: r.ReasoningTokens,
		Images: r.Images, AudioIn: time.Duration(r.AudioInMS) * time.Millisecond, AudioOut: time.Duration(r.AudioOutMS) * time.Millisecond,
	}
}

type stageRow struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind,omitempty"`
	Model    string   `json:"model,omitempty"`
	JobID    string   `json:"job_id,omitempty"`
	Status   string   `json:"status"`
	Attempts int      `json:"attempts,omitempty"`
	Output   string   `json:"output,omitempty"`
	Usage    usageRow `json:"usage"`
	Amount   int64    `json:"amount_micros"`
	Reserved int64    `json:"reserved_micros"`
	Reason   string   `json:"reason,omitempty"`
	Fallback bool     `json:"fallback,omitempty"`
}

func rowOfStage(s *jeantrail.Stage) *stageRow {
	return &stageRow{
		Name: s.Name, Kind: string(s.Kind), Model: s.Model, JobID: s.JobID, Status: string(s.Status), Attempts: s.Attempts,
		Output: s.Output, Usage: rowOfUsage(s.Usage), Amount: int64(s.Cost.Amount), Reserved: int64(s.Cost.Reserved),
		Reason: s.Reason, Fallback: s.Fallback,
	}
}

func (r *stageRow) stage() jeantrail.Stage {
	return jeantrail.Stage{
		Name: r.Name, Kind: jeantrail.Kind(r.Kind), Model: r.Model, JobID: r.JobID, Status: jeantrail.StageStatus(r.Status),
		Attempts: r.Attempts, Output: r.Output, Usage: r.Usage.usage(),
		Cost:   jeantrail.Cost{Amount: jeantrail.Money(r.Amount), Reserved: jeantrail.Money(r.Reserved)},
		Reason: r.Reason, Fallback: r.Fallback,
	}
}

// resultPipelineRow is what a pipeline gave.
type resultPipelineRow struct {
	Workflow string          `json:"workflow"`
	Stages   []*stageRow     `json:"stages"`
	Output   json.RawMessage `json:"output,omitempty"` // an object
	Usage    usageRow        `json:"usage"`
	Amount   int64           `json:"amount_micros"`
	Reserved int64           `json:"reserved_micros"`
}

func rowOfResultPipeline(p *jeantrail.Pipeline) (*resultPipelineRow, error) {
	row := &resultPipelineRow{
		Workflow: p.Workflow, Usage: rowOfUsage(p.Usage), Amount: int64(p.Cost.Amount), Reserved: int64(p.Cost.Reserved),
		Stages: make([]*stageRow, 0, len(p.Stages)),
	}
	for i := range p.Stages {
		row.Stages = append(row.Stages, rowOfStage(&p.Stages[i]))
	}
	if p.Output == nil {
		return row, nil
	}
	var err error
	row.Output, err = json.Marshal(p.Output)
	return row, err
}

func (r *resultPipelineRow) pipeline() (*jeantrail.Pipeline, error) {
	p := &jeantrail.Pipeline{
		Workflow: r.Workflow, Usage: r.Usage.usage(), Cost: jeantrail.Cost{Amount: jeantrail.Money(r.Amount), Reserved: jeantrail.Money(r.Reserved)},
	}
	for _, s := range r.Stages {
		p.Stages = append(p.Stages, s.stage())
	}
	if len(r.Output) == 0 {
		return p, nil
	}
	v, err := decodeNumbers(r.Output)
	p.Output, _ = v.(map[string]any)
	return p, err
}

// resultParts returns the JSON of what only some kinds have, nil for the others.
func resultParts(r *jeantrail.Result) (transcript, pipeline any, err error) {
	if r.Transcript != nil {
		if transcript, err = encode(rowOfTranscript(r.Transcript)); err != nil {
			return nil, nil, err
		}
	}
	if r.Pipeline != nil {
		row, err := rowOfResultPipeline(r.Pipeline)
		if err != nil {
			return nil, nil, err
		}
		if pipeline, err = encode(row); err != nil {
			return nil, nil, err
		}
	}
	return transcript, pipeline, nil
}

func fillParts(r *jeantrail.Result, transcript, pipeline, artifacts string) (err error) {
	if r.Artifacts, err = decodeArtifacts(artifacts); err != nil {
		return err
	}
	if transcript != "" {
		var row transcriptRow
		if err := json.Unmarshal([]byte(transcript), &row); err != nil {
			return err
		}
		r.Transcript = row.transcript()
	}
	if pipeline != "" {
		var row resultPipelineRow
		if err := json.Unmarshal([]byte(pipeline), &row); err != nil {
			return err
		}
		r.Pipeline, err = row.pipeline()
	}
	return err
}

// decodeNumbers reads JSON and keeps numbers in their digits.
func decodeNumbers(raw json.RawMessage) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	err = dec.Decode(&v)
	return v, err
}
