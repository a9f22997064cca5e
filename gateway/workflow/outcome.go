package workflow

import (
	"github.com/expr-lang/expr/types"

	"github.com/jeantrail/jeantrail-ai"
)

// outcome is what a stage gave, as later stages see it.
type outcome struct {
	status    jeantrail.StageStatus
	reason    string
	text      string
	truncated bool
	artifacts []*attachment
	segments  []segment
	language  string
	seconds   float64
}

// segment is a stretch of speech; times are seconds.
type segment struct {
	Start float64 `expr:"start" json:"start"`
	End   float64 `expr:"end" json:"end"`
	Text  string  `expr:"text" json:"text"`
}

// stageType is what expressions see of a stage of the kind.
func stageType(kind jeantrail.Kind) types.Map {
	t := types.Map{"status": types.String, "reason": types.String}
	if kind == jeantrail.KindText || kind == jeantrail.KindTranscribe {
		t["text"] = types.String
	}
	if kind == jeantrail.KindText {
		t["truncated"] = types.Bool
		return t
	}
	t["artifacts"] = types.TypeOf([]*attachment(nil))
	if kind == jeantrail.KindTranscribe {
		t["segments"], t["language"], t["duration"] = types.TypeOf([]segment(nil)), types.String, types.Float64
	}
	return t
}

// seen is the value of stageType for what a stage gave.
func (o *outcome) seen() map[string]any {
	return map[string]any{
		"status": string(o.status), "reason": o.reason, "text": o.text, "truncated": o.truncated,
		"artifacts": o.artifacts, "segments": o.segments, "language": o.language, "duration": o.seconds,
	}
}

// outcomeOf is what a job that succeeded gave.
func outcomeOf(job *jeantrail.Job) *outcome {
	r := job.Result
	o := &outcome{status: jeantrail.StageSucceeded}
	if r == nil {
		return o
	}
	o.text, o.truncated = r.Text, r.Truncated
	for i := range r.Artifacts {
		a := &r.Artifacts[i]
		f := attach(a.File, "")
		f.Width, f.Height, f.Seconds, f.jobID, f.index = a.Width, a.Height, a.Duration.Seconds(), job.ID, a.Index
		o.artifacts = append(o.artifacts, f)
	}
	if t := r.Transcript; t != nil {
		o.language, o.seconds = t.Language, t.Duration.Seconds()
		for _, s := range t.Segments {
			o.segments = append(o.segments, segment{Start: s.Start.Seconds(), End: s.End.Seconds(), Text: s.Text})
		}
	}
	return o
}
