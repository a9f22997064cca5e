package server

import (
	"bytes"
	"encoding/json"
	"math"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// encodeJSON writes v without escaping <, > and &, which only makes text
// longer where no HTML is near, and without a final newline.
func encodeJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil
}

// wireTime writes a time as RFC 3339 in UTC with milliseconds, "" for none.
func wireTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// wireDay writes a day as YYYY-MM-DD, "" for none.
func wireDay(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// orNull turns "" into null.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// millis writes a duration in milliseconds with three decimals.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

type wireUsage struct {
	PromptTokens       int     `json:"prompt_tokens"`
	CachedTokens       int     `json:"cached_tokens"`
	CompletionTokens   int     `json:"completion_tokens"`
	ReasoningTokens    int     `json:"reasoning_tokens"`
	Images             int     `json:"images,omitempty"`
	AudioInputSeconds  float64 `json:"audio_input_seconds,omitempty" doc:"Of the audio that was heard."`
	AudioOutputSeconds float64 `json:"audio_output_seconds,omitempty" doc:"Of the audio that was made."`
}

func usageOf(u jeantrail.Usage) wireUsage {
	return wireUsage{
		PromptTokens: u.PromptTokens, CachedTokens: u.CachedTokens, CompletionTokens: u.CompletionTokens,
		ReasoningTokens: u.ReasoningTokens, Images: u.Images,
		AudioInputSeconds: u.AudioIn.Seconds(), AudioOutputSeconds: u.AudioOut.Seconds(),
	}
}

// wireEnergy is told beside the price and no part of it.
type wireEnergy struct {
	Measured   bool     `json:"measured"`
	Source     string   `json:"source,omitempty" doc:"What was read, for example rapl."`
	Reason     string   `json:"reason,omitempty" doc:"Why nothing was measured."`
	Joules     *float64 `json:"joules,omitempty" doc:"Only if measured."`
	CostMicros *int64   `json:"cost_micros,omitempty" doc:"At the configured price of a kilowatt-hour, in micro-dollars; only if measured."`
}

// energyOf returns nil for a job about whose energy there is nothing to say.
func energyOf(e jeantrail.Energy) *wireEnergy {
	if e.Source == "" && e.Reason == "" {
		return nil
	}
	out := &wireEnergy{Measured: e.Measured, Source: e.Source, Reason: e.Reason}
	if e.Measured {
		joules, cost := float64(e.Millijoule)/1e3, int64(e.Price)
		out.Joules, out.CostMicros = &joules, &cost
	}
	return out
}

type wireCost struct {
	AmountMicros   int64  `json:"amount_micros" doc:"Micro-dollars: 1000000 is one US dollar."`
	USD            string `json:"usd" doc:"The same amount in dollars, with six decimals."`
	ReservedMicros int64  `json:"reserved_micros" doc:"What was held for the job while it ran."`
}

func costOf(c jeantrail.Cost) wireCost {
	return wireCost{AmountMicros: int64(c.Amount), USD: c.Amount.USD(), ReservedMicros: int64(c.Reserved)}
}

type wireTimings struct {
	QueueMS         float64 `json:"queue_ms"`
	PromptMS        float64 `json:"prompt_ms"`
	FirstTokenMS    float64 `json:"first_token_ms"`
	TotalMS         float64 `json:"total_ms"`
	CachedFrom      string  `json:"cached_from,omitempty" enum:"kv,ram,disk" doc:"Where the cached tokens of the prompt came from: the KV cache, or what was kept of it in memory or on the disk; left out if there were none."`
	TokensPerSecond float64 `json:"tokens_per_second"`
}

type wireEngine struct {
	Device          string `json:"device"`
	LayersOffloaded int    `json:"layers_offloaded"`
	NCtx            int    `json:"n_ctx"`
	FallbackReason  string `json:"fallback_reason,omitempty"`
}

func engineOf(e jeantrail.EngineInfo) wireEngine {
	return wireEngine{Device: e.Device, LayersOffloaded: e.LayersOffloaded, NCtx: e.NCtx, FallbackReason: e.FallbackReason}
}

// wireResult is what a job gave: the answer to POST /generate, and the result
// in a terminal event and in a job.
type wireResult struct {
	JobID          string      `json:"job_id" format:"uuid"`
	Status         string      `json:"status"`
	Model          string      `json:"model" doc:"The model that answered."`
	RequestedModel string      `json:"requested_model" doc:"The model that was asked for; empty if none was."`
	Text           string      `json:"text"`
	Reasoning      string      `json:"reasoning,omitempty"`
	FinishReason   string      `json:"finish_reason" enum:"stop,length,cancelled,budget,error"`
	Truncated      bool        `json:"truncated" doc:"The text ended because a limit was reached."`
	Usage          wireUsage   `json:"usage"`
	Cost           wireCost    `json:"cost"`
	Timings        wireTimings `json:"timings"`
	Engine         wireEngine  `json:"engine"`
	Cache          string      `json:"cache" enum:"hit,miss,off"`
	RulesApplied   []string    `json:"rules_applied" nullable:"false"`
	RulesSkipped   []string    `json:"rules_skipped,omitempty" nullable:"false" doc:"Rules that held but could not be applied, each with the reason."`
	Energy         *wireEnergy `json:"energy,omitempty"`
	MediaResult
}

// about is what only a job knows of its result.
type about struct {
	jobID    string
	model    string // that was asked for
	segments bool   // a transcription is shown with its times
}

func aboutOf(job *jeantrail.Job) about {
	t := job.Request.Transcribe
	return about{
		jobID: job.ID, model: job.RequestedModel,
		segments: t != nil && t.Format == jeantrail.TranscriptVerbose,
	}
}

// resultOf joins a result with what only its job knows.
func resultOf(of about, state jeantrail.State, r *jeantrail.Result) *wireResult {
	out := &wireResult{
		JobID: of.jobID, Status: string(state), Model: r.Model, RequestedModel: of.model,
		Text: r.Text, Reasoning: r.Reasoning, FinishReason: string(r.FinishReason), Truncated: r.Truncated,
		Usage: usageOf(r.Usage), Cost: costOf(r.Cost), Engine: engineOf(r.Engine), Energy: energyOf(r.Energy),
		Cache: string(r.Cache), RulesApplied: r.RulesApplied, RulesSkipped: r.RulesSkipped,
		Timings: wireTimings{
			QueueMS: millis(r.Timings.Queue), PromptMS: millis(r.Timings.Prompt),
			FirstTokenMS: millis(r.Timings.FirstToken), TotalMS: millis(r.Timings.Total),
			CachedFrom:      r.Timings.CachedFrom,
			TokensPerSecond: math.Round(r.Timings.TokensPerSecond*100) / 100,
		},
	}
	if out.Cache == "" {
		out.Cache = string(jeantrail.CacheOff)
	}
	if out.RulesApplied == nil {
		out.RulesApplied = []string{}
	}
	out.MediaResult = mediaResultOf(of, r)
	if p := r.Pipeline; p != nil {
		// What the job itself used is nothing; what its stages did is of interest.
		out.Usage, out.Cost = usageOf(p.Usage), costOf(p.Cost)
	}
	return out
}

// wireEvent is one entry of a job's log. Which fields are there depends on type.
type wireEvent struct {
	Seq     int64  `json:"seq" doc:"Number of the stored event, from 1."`
	Type    string `json:"type" enum:"queued,started,progress,token,stage,artifact,alert,done,failed,cancelled,interrupted"`
	JobID   string `json:"job_id" format:"uuid"`
	At      string `json:"at" format:"date-time"`
	Partial bool   `json:"partial,omitempty" doc:"A live piece of the token event that seq will number; the stored event follows with only the text that no piece carried."`

	Position     *int        `json:"position,omitempty" doc:"queued: jobs ahead"`
	Model        string      `json:"model,omitempty" doc:"started; stage: that runs it"`
	Engine       *wireEngine `json:"engine,omitempty" doc:"started"`
	PromptTokens *int        `json:"prompt_tokens,omitempty" doc:"started"`
	CachedTokens *int        `json:"cached_tokens,omitempty" doc:"started"`
	Text         *string     `json:"text,omitempty" doc:"token"`
	Reasoning    bool        `json:"reasoning,omitempty" doc:"token: the text is reasoning"`
	Tokens       *int        `json:"tokens,omitempty" doc:"token: sampled tokens that the event accounts for"`
	Stage        string      `json:"stage,omitempty" doc:"progress: what it is of"`
	Done         *int64      `json:"done,omitempty" doc:"progress"`
	Total        *int64      `json:"total,omitempty" doc:"progress"`
	Unit         string      `json:"unit,omitempty" doc:"progress"`
	BudgetID     string      `json:"budget_id,omitempty" doc:"alert"`
	UserID       string      `json:"user_id,omitempty" doc:"alert: whose budget it is; left out if everybody's"`
	Percent      *int        `json:"percent,omitempty" doc:"alert: the share of the budget that is spent"`
	LimitMicros  *int64      `json:"limit_micros,omitempty" doc:"alert"`
	SpentMicros  *int64      `json:"spent_micros,omitempty" doc:"alert"`
	WindowStart  string      `json:"window_start,omitempty" format:"date-time" doc:"alert: left out if the budget counts since ever"`
	Result       *wireResult `json:"result,omitempty" doc:"done, cancelled, interrupted"`
	Error        *problem    `json:"error,omitempty" doc:"failed, interrupted"`
	MediaEvent
}

// eventOf puts an event of a job on the wire.
func eventOf(e *jeantrail.Event, of about) *wireEvent {
	out := &wireEvent{Seq: e.Seq, Type: string(e.Type), JobID: e.JobID, At: wireTime(e.At), Partial: e.Partial}
	switch e.Type {
	case jeantrail.EventQueued:
		out.Position = &e.Position
	case jeantrail.EventStarted:
		engine := engineOf(e.Engine)
		out.Model, out.Engine, out.PromptTokens, out.CachedTokens = e.Model, &engine, &e.Prompt, &e.Cached
	case jeantrail.EventToken:
		out.Text, out.Reasoning, out.Tokens = &e.Text, e.Reasoning, &e.Tokens
	case jeantrail.EventProgress:
		out.Stage, out.Unit = e.Progress.Stage, e.Progress.Unit
		out.Done, out.Total = &e.Progress.Done, &e.Progress.Total
	case jeantrail.EventAlert:
		if a := e.Alert; a != nil {
			limit, spent := int64(a.Limit), int64(a.Spent)
			out.BudgetID, out.UserID, out.Percent = a.BudgetID, a.UserID, &a.Percent
			out.LimitMicros, out.SpentMicros, out.WindowStart = &limit, &spent, wireTime(a.Window.Start)
		}
	case jeantrail.EventStage:
		if e.Stage != nil {
			out.Model, out.MediaEvent = e.Stage.Model, stageEvent(e.Stage)
		}
	case jeantrail.EventArtifact:
		if e.Artifact != nil {
			out.MediaEvent = artifactEvent(e.JobID, e.Artifact)
		}
	}
	if e.Result != nil {
		out.Result = resultOf(of, stateOf(e.Type), e.Result)
	}
	if e.Err != nil {
		out.Error = newProblem(e.Err, e.JobID)
	}
	return out
}

// stateOf is the inverse of jeantrail.EventOf for terminal events.
func stateOf(t jeantrail.EventType) jeantrail.State {
	for _, s := range jeantrail.States() {
		if s.Terminal() && jeantrail.EventOf(s) == t {
			return s
		}
	}
	return jeantrail.StateRunning
}
