package store

import (
	"encoding/json"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// The JSON shapes of what does not have columns of its own. They belong to the
// file, not to the wire: a field may be added, never renamed or given another
// meaning.

type requestRow struct {
	Kind     string            `json:"kind"`
	UserID   string            `json:"user_id,omitempty"`
	Model    string            `json:"model,omitempty"`
	Priority string            `json:"priority,omitempty"`
	Async    bool              `json:"async,omitempty"`
	TaskType string            `json:"task_type,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Cache    *bool             `json:"cache,omitempty"`
	Template string            `json:"template,omitempty"`
	// Variables is a JSON object whose numbers are kept in the caller's digits.
	Variables json.RawMessage `json:"variables,omitempty"`
	Text      *textRow        `json:"text,omitempty"`

	Image      *imageRow      `json:"image,omitempty"`
	Transcribe *transcribeRow `json:"transcribe,omitempty"`
	Speak      *speakRow      `json:"speak,omitempty"`
	Pipeline   *pipelineRow   `json:"pipeline,omitempty"`
}

type textRow struct {
	Prompt           string            `json:"prompt,omitempty"`
	Messages         []messageRow      `json:"messages,omitempty"`
	Images           []fileRow         `json:"images,omitempty"`
	System           string            `json:"system,omitempty"`
	Tools            []string          `json:"tools,omitempty"`
	MaxTokens        *int              `json:"max_tokens,omitempty"`
	Temperature      *float64          `json:"temperature,omitempty"`
	TopP             *float64          `json:"top_p,omitempty"`
	TopK             *int              `json:"top_k,omitempty"`
	MinP             *float64          `json:"min_p,omitempty"`
	TypicalP         *float64          `json:"typical_p,omitempty"`
	Seed             *uint32           `json:"seed,omitempty"`
	Stop             []string          `json:"stop,omitempty"`
	RepeatPenalty    *float64          `json:"repeat_penalty,omitempty"`
	FrequencyPenalty *float64          `json:"frequency_penalty,omitempty"`
	PresencePenalty  *float64          `json:"presence_penalty,omitempty"`
	DryMultiplier    *float64          `json:"dry_multiplier,omitempty"`
	LogitBias        map[int32]float64 `json:"logit_bias,omitempty"`
	Grammar          string            `json:"grammar,omitempty"`
	JSONSchema       string            `json:"json_schema,omitempty"`
	Thinking         bool              `json:"thinking,omitempty"`
	Raw              bool              `json:"raw,omitempty"`
	IgnoreEOS        bool              `json:"ignore_eos,omitempty"`
	NoWait           bool              `json:"no_wait,omitempty"`
}

type messageRow struct {
	Role       string        `json:"role"`
	Content    string        `json:"content,omitempty"`
	Reasoning  string        `json:"reasoning,omitempty"`
	ToolCalls  []toolCallRow `json:"tool_calls,omitempty"`
	ToolCallID string        `json:"tool_call_id,omitempty"`
}

type toolCallRow struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

func rowOfRequest(r *jeantrail.Request) (requestRow, error) {
	row := requestRow{
		Kind: string(r.Kind), UserID: r.UserID, Model: r.Model, Priority: string(r.Priority),
		Async: r.Async, TaskType: r.TaskType, Metadata: r.Metadata, Cache: r.Cache, Template: r.Template, Text: rowOfText(r.Text),
	}
	if err := row.setMedia(r); err != nil {
		return row, err
	}
	if len(r.Variables) > 0 {
		var err error
		if row.Variables, err = json.Marshal(r.Variables); err != nil {
			return row, jeantrail.Errorf(jeantrail.CodeInvalid, "the variables of the template cannot be kept: %w", err)
		}
	}
	return row, nil
}

func (r *requestRow) request() (jeantrail.Request, error) {
	req := jeantrail.Request{
		Kind: jeantrail.Kind(r.Kind), UserID: r.UserID, Model: r.Model, Priority: jeantrail.Priority(r.Priority),
		Async: r.Async, TaskType: r.TaskType, Metadata: r.Metadata, Cache: r.Cache, Template: r.Template, Text: r.Text.text(),
	}
	if err := r.media(&req); err != nil {
		return req, err
	}
	if len(r.Variables) == 0 {
		return req, nil
	}
	v, err := decodeNumbers(r.Variables)
	req.Variables, _ = v.(map[string]any)
	return req, err
}

func rowOfText(t *jeantrail.TextRequest) *textRow {
	if t == nil {
		return nil
	}
	row := &textRow{
		Prompt: t.Prompt, System: t.System, Tools: t.Tools, MaxTokens: t.MaxTokens,
		Temperature: t.Temperature, TopP: t.TopP, TopK: t.TopK, MinP: t.MinP, TypicalP: t.TypicalP, Seed: t.Seed, Stop: t.Stop,
		RepeatPenalty: t.RepeatPenalty, FrequencyPenalty: t.FrequencyPenalty, PresencePenalty: t.PresencePenalty,
		DryMultiplier: t.DryMultiplier, LogitBias: t.LogitBias, Grammar: t.Grammar, JSONSchema: t.JSONSchema,
		Thinking: t.Thinking, Raw: t.Raw, IgnoreEOS: t.IgnoreEOS, NoWait: t.NoWait,
	}
	for _, f := range t.Images {
		row.Images = append(row.Images, fileRow(f))
	}
	for _, m := range t.Messages {
		message := messageRow{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning, ToolCallID: m.ToolCallID}
		for _, c := range m.ToolCalls {
			message.ToolCalls = append(message.ToolCalls, toolCallRow(c))
		}
		row.Messages = append(row.Messages, message)
	}
	return row
}

func (r *textRow) text() *jeantrail.TextRequest {
	if r == nil {
		return nil
	}
	t := &jeantrail.TextRequest{
		Prompt: r.Prompt, System: r.System, Tools: r.Tools, MaxTokens: r.MaxTokens,
		Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK, MinP: r.MinP, TypicalP: r.TypicalP, Seed: r.Seed, Stop: r.Stop,
		RepeatPenalty: r.RepeatPenalty, FrequencyPenalty: r.FrequencyPenalty, PresencePenalty: r.PresencePenalty,
		DryMultiplier: r.DryMultiplier, LogitBias: r.LogitBias, Grammar: r.Grammar, JSONSchema: r.JSONSchema,
		Thinking: r.Thinking, Raw: r.Raw, IgnoreEOS: r.IgnoreEOS, NoWait: r.NoWait,
	}
	for _, f := range r.Images {
		t.Images = append(t.Images, jeantrail.File(f))
	}
	for _, m := range r.Messages {
		message := jeantrail.Message{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning, ToolCallID: m.ToolCallID}
		for _, c := range m.ToolCalls {
			message.ToolCalls = append(message.ToolCalls, jeantrail.ToolCall(c))
		}
		t.Messages = append(t.Messages, message)
	}
	return t
}

// errorRow leaves out the code, which is a column, and the cause, which is for
// the log of the moment.
type errorRow struct {
	Message      string            `json:"message"`
	Hint         string            `json:"hint,omitempty"`
	Numbers      map[string]int64  `json:"numbers,omitempty"`
	Names        map[string]string `json:"names,omitempty"`
	RetryAfterMS int64             `json:"retry_after_ms,omitempty"`
}

func rowOfError(e *jeantrail.Error) errorRow {
	return errorRow{Message: e.Message, Hint: e.Hint, Numbers: e.Numbers, Names: e.Names, RetryAfterMS: e.RetryAfter.Milliseconds()}
}

func (r *errorRow) error(code string) *jeantrail.Error {
	return &jeantrail.Error{
		Code: jeantrail.Code(code), Message: r.Message, Hint: r.Hint, Numbers: r.Numbers, Names: r.Names,
		RetryAfter: time.Duration(r.RetryAfterMS) * time.Millisecond,
	}
}

// eventRow is the payload of the events that are not all text.
type eventRow struct {
	Position int          `json:"position,omitempty"`
	Model    string       `json:"model,omitempty"`
	Engine   *engineRow   `json:"engine,omitempty"`
	Prompt   int          `json:"prompt_tokens,omitempty"`
	Cached   int          `json:"cached_tokens,omitempty"`
	Progress *progressRow `json:"progress,omitempty"`
	Alert    *alertRow    `json:"alert,omitempty"`
	Stage    *stageRow    `json:"stage,omitempty"`
	Artifact *artifactRow `json:"artifact,omitempty"`
}

// alertRow has instants in milliseconds; 0 is none.
type alertRow struct {
	BudgetID    string `json:"budget_id"`
	UserID      string `json:"user_id,omitempty"`
	Percent     int    `json:"percent"`
	WindowStart int64  `json:"window_start,omitempty"`
	WindowEnd   int64  `json:"window_end,omitempty"`
	Limit       int64  `json:"limit_micros"`
	Spent       int64  `json:"spent_micros"`
}

func rowOfAlert(a *jeantrail.Alert) *alertRow {
	return &alertRow{
		BudgetID: a.BudgetID, UserID: a.UserID, Percent: a.Percent, Limit: int64(a.Limit), Spent: int64(a.Spent),
		WindowStart: optionalMillis(a.Window.Start), WindowEnd: optionalMillis(a.Window.End),
	}
}

func (r *alertRow) alert(at time.Time) *jeantrail.Alert {
	return &jeantrail.Alert{
		BudgetID: r.BudgetID, UserID: r.UserID, Percent: r.Percent, Limit: jeantrail.Money(r.Limit), Spent: jeantrail.Money(r.Spent),
		Window: jeantrail.Window{Start: optionalInstant(r.WindowStart), End: optionalInstant(r.WindowEnd)}, At: at,
	}
}

// optionalMillis is millis with 0 for the zero time.
func optionalMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return millis(t)
}

func optionalInstant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

type engineRow struct {
	Device          string `json:"device,omitempty"`
	LayersOffloaded int    `json:"layers_offloaded"`
	NCtx            int    `json:"n_ctx"`
	FallbackReason  string `json:"fallback_reason,omitempty"`
}

type progressRow struct {
	Stage string `json:"stage,omitempty"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Unit  string `json:"unit,omitempty"`
}

// payload returns the JSON of what an event carries beside its columns, and nil
// if that is nothing, as it is for text and for the terminal events.
func payload(e *jeantrail.Event) (any, error) {
	row := eventRow{Position: e.Position, Model: e.Model, Prompt: e.Prompt, Cached: e.Cached}
	if e.Engine != (jeantrail.EngineInfo{}) {
		engine := engineRow(e.Engine)
		row.Engine = &engine
	}
	if e.Progress != (jeantrail.Progress{}) {
		progress := progressRow(e.Progress)
		row.Progress = &progress
	}
	if e.Alert != nil {
		row.Alert = rowOfAlert(e.Alert)
	}
	if e.Stage != nil {
		row.Stage = rowOfStage(e.Stage)
	}
	if e.Artifact != nil {
		row.Artifact = rowOfArtifact(e.Artifact)
	}
	if row == (eventRow{}) {
		return nil, nil
	}
	return encode(row)
}

func (r *eventRow) fill(e *jeantrail.Event) {
	e.Position, e.Model, e.Prompt, e.Cached = r.Position, r.Model, r.Prompt, r.Cached
	if r.Engine != nil {
		e.Engine = jeantrail.EngineInfo(*r.Engine)
	}
	if r.Alert != nil {
		e.Alert = r.Alert.alert(e.At)
	}
	if r.Stage != nil {
		stage := r.Stage.stage()
		e.Stage = &stage
	}
	if r.Artifact != nil {
		artifact := r.Artifact.artifact()
		e.Artifact = &artifact
	}
	if r.Progress != nil {
		e.Progress = jeantrail.Progress(*r.Progress)
	}
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
