package jeantrail

import (
	"encoding/json"
	"math"
	"slices"
	"unicode/utf8"
)

// Kind is what a job produces; every kind travels the same road.
type Kind string

// The kinds of job.
const (
	KindText       Kind = "text"
	KindImage      Kind = "image"
	KindTranscribe Kind = "transcribe"
	KindSpeak      Kind = "speak"
	KindPipeline   Kind = "pipeline"
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{KindText, KindImage, KindTranscribe, KindSpeak, KindPipeline}
}

// Known reports whether the kind is one of Kinds.
func (k Kind) Known() bool { return slices.Contains(Kinds(), k) }

// Priority says who goes first when there is not room for all.
type Priority string

// The priorities, first served first. Waiting raises a job's standing, so that
// none starves.
const (
	PriorityInteractive Priority = "interactive"
	PriorityBatch       Priority = "batch"
	PriorityBackground  Priority = "background"
)

// Priorities lists every priority, highest first.
func Priorities() []Priority {
	return []Priority{PriorityInteractive, PriorityBatch, PriorityBackground}
}

// The limits of a text request. They bound what one request may make the
// process hold in memory, far above what any local model can use.
const (
	MaxPromptBytes = 8 << 20
	MaxMessages    = 4096
	MaxStops       = 16
	MaxStopBytes   = 256
	MaxUserIDBytes = 128
	MaxModelBytes  = 256
	MaxMetadata    = 64
	MaxNameBytes   = 128 // of a task type, template or workflow
)

// Request is what somebody asks for, before it is a job.
type Request struct {
	Kind     Kind
	UserID   string // who it is for; "" means the caller
	Model    string // as asked for; "" means the default
	Priority Priority
	// Async: the job lives on when its caller goes away.
	Async    bool
	TaskType string // what the answer is for, for optimisation rules; "" leaves it to them
	// Workflow, Parent and Stage say which stage of which pipeline's job this is,
	// and are empty for any other.
	Workflow string
	Parent   string // the id of the pipeline's job
	Stage    string
	Metadata map[string]string
	// Cache: whether a stored result may answer, and the result be stored. nil
	// means if the request is deterministic.
	Cache *bool
	// Template names a prompt template, which Variables fill; a text request
	// with one needs no prompt.
	Template  string
	Variables map[string]any // from JSON: string, json.Number or bool
	// One of these is set: that of Kind.
	Text       *TextRequest
	Image      *ImageRequest
	Transcribe *TranscribeRequest
	Speak      *SpeakRequest
	Pipeline   *PipelineRequest
}

// Files returns the files that the request brings along.
func (r *Request) Files() []File {
	switch {
	case r.Text != nil:
		return r.Text.Images
	case r.Transcribe != nil:
		return []File{r.Transcribe.Audio}
	case r.Pipeline != nil:
		var files []File
		for _, v := range r.Pipeline.Input {
			if f, ok := v.(File); ok {
				files = append(files, f)
			}
		}
		return files
	default:
		return nil
	}
}

// Message is one turn of a conversation.
type Message struct {
	Role       string // system, user, assistant or tool
	Content    string
	Reasoning  string // an assistant's earlier reasoning
	ToolCalls  []ToolCall
	ToolCallID string
}

// ToolCall is a function call that an assistant made.
type ToolCall struct {
	Name      string
	Arguments string // a JSON object
}

// TextRequest asks for text. Exactly one of Prompt and Messages is set. A nil
// pointer means the model's configured default.
type TextRequest struct {
	Prompt      string
	Messages    []Message
	Images      []File // for a model that sees; they stand before the prompt, or the last user's message
	System      string
	Tools       []string // JSON objects, as the chat template shows them to the model
	MaxTokens   *int
	Temperature *float64
	TopP        *float64
	TopK        *int
	MinP        *float64
	TypicalP    *float64
	Seed        *uint32
	Stop        []string

	RepeatPenalty    *float64
	FrequencyPenalty *float64
	PresencePenalty  *float64
	DryMultiplier    *float64
	LogitBias        map[int32]float64
	Grammar          string // GBNF
	JSONSchema       string // turned into a grammar

	Thinking  bool
	Raw       bool // the prompt goes to the model as it is, without the chat template
	IgnoreEOS bool // generate up to MaxTokens

	// NoWait: a model in process that is not loaded refuses the request with
	// model_loading, and is loaded for the next one.
	NoWait bool
}

// Validate reports the first thing wrong with the request, and what to do
// about it. It does not know the model, so that context limits are not its
// business.
func (r *Request) Validate() error {
	switch {
	case !slices.Contains(Kinds(), r.Kind):
		return Errorf(CodeInvalid, "kind %q is not known", r.Kind)
	case len(r.UserID) > MaxUserIDBytes || !utf8.ValidString(r.UserID):
		return Errorf(CodeInvalid, "user_id must be UTF-8 of at most %d bytes", MaxUserIDBytes)
	case len(r.Model) > MaxModelBytes || !utf8.ValidString(r.Model):
		return Errorf(CodeInvalid, "model must be UTF-8 of at most %d bytes", MaxModelBytes)
	case r.Priority != "" && !slices.Contains(Priorities(), r.Priority):
		return Errorf(CodeInvalid, "priority %q is not known", r.Priority).
			WithHint("Use interactive, batch or background.")
	case len(r.Metadata) > MaxMetadata:
		return Errorf(CodeInvalid, "metadata has %d entries, the most is %d", len(r.Metadata), MaxMetadata)
	}
	if err := r.validateTemplate(); err != nil {
		return err
	}
	return r.validateKind()
}

// validateKind looks at what only requests of its kind have.
func (r *Request) validateKind() error {
	templated := r.Template != ""
	set := 0
	for _, there := range []bool{r.Text != nil, r.Image != nil, r.Transcribe != nil, r.Speak != nil, r.Pipeline != nil} {
		if there {
			set++
		}
	}
	switch {
	case set > 1:
		return Errorf(CodeInvalid, "the request is of more than one kind")
	case r.Kind == KindText && r.Text != nil:
		return r.Text.validate(templated)
	case r.Kind == KindImage && r.Image != nil:
		return r.Image.validate(templated)
	case r.Kind == KindTranscribe && r.Transcribe != nil:
		return r.Transcribe.validate()
	case r.Kind == KindSpeak && r.Speak != nil:
		return r.Speak.validate(templated)
	case r.Kind == KindPipeline && r.Pipeline != nil:
		return r.Pipeline.validate()
	case r.Kind == KindText:
		return Errorf(CodeInvalid, "a text request needs a prompt or messages")
	}
	return Errorf(CodeInvalid, "the request of kind %s has nothing that says what to do", r.Kind)
}

// validateTemplate looks at what every kind of request may have.
func (r *Request) validateTemplate() error {
	switch {
	case len(r.TaskType) > MaxNameBytes || len(r.Template) > MaxNameBytes || len(r.Workflow) > MaxNameBytes:
		return Errorf(CodeInvalid, "task_type, template and workflow must be at most %d bytes long", MaxNameBytes)
	case r.Template == "" && len(r.Variables) > 0:
		return Errorf(CodeInvalid, "variables need a template").WithHint("Name one in template; GET /templates lists them.")
	case r.Template != "" && r.Text != nil && (r.Text.Raw || len(r.Text.Messages) > 0):
		return Errorf(CodeInvalid, "a template excludes raw and messages").
			WithHint("Send variables, and prompt for the template's main variable.")
	}
	return nil
}

// validate takes a prompt for granted if a template will make it.
func (t *TextRequest) validate(templated bool) error {
	if err := t.validateInput(templated); err != nil {
		return err
	}
	if err := t.validateNumbers(); err != nil {
		return err
	}
	if t.Grammar != "" && t.JSONSchema != "" {
		return Errorf(CodeInvalid, "grammar and json_schema exclude each other").WithHint("Send one of them.")
	}
	if t.JSONSchema != "" && !json.Valid([]byte(t.JSONSchema)) {
		return Errorf(CodeInvalid, "json_schema is not valid JSON")
	}
	if len(t.Stop) > MaxStops {
		return Errorf(CodeInvalid, "stop has %d strings, the most is %d", len(t.Stop), MaxStops)
	}
	for _, s := range t.Stop {
		if s == "" || len(s) > MaxStopBytes || !utf8.ValidString(s) {
			return Errorf(CodeInvalid, "a stop string must be UTF-8 of 1 to %d bytes", MaxStopBytes)
		}
	}
	return nil
}

func (t *TextRequest) validateInput(templated bool) error {
	switch {
	case t.Prompt == "" && len(t.Messages) == 0 && !templated:
		return Errorf(CodeInvalid, "the request has neither prompt nor messages").
			WithHint(`Send {"prompt": "…"} or {"messages": [{"role": "user", "content": "…"}]}.`)
	case t.Prompt != "" && len(t.Messages) > 0:
		return Errorf(CodeInvalid, "prompt and messages exclude each other").WithHint("Send one of them.")
	case t.Raw && (len(t.Messages) > 0 || t.System != "" || len(t.Tools) > 0):
		return Errorf(CodeInvalid, "raw sends the prompt as it is; it excludes messages, system and tools")
	case t.Raw && len(t.Images) > 0:
		return Errorf(CodeInvalid, "raw sends the prompt as it is; it excludes images")
	case len(t.Images) > MaxFilesPerText:
		return Errorf(CodeTooLarge, "the request has %d images, the most is %d", len(t.Images), MaxFilesPerText)
	case len(t.Messages) > MaxMessages:
		return Errorf(CodeTooLarge, "the request has %d messages, the most is %d", len(t.Messages), MaxMessages)
	}
	size := len(t.Prompt) + len(t.System)
	valid := utf8.ValidString(t.Prompt) && utf8.ValidString(t.System)
	for _, m := range t.Messages {
		if !slices.Contains([]string{"system", "user", "assistant", "tool"}, m.Role) {
			return Errorf(CodeInvalid, "role %q is not known", m.Role).WithHint("Use system, user, assistant or tool.")
		}
		size += len(m.Content) + len(m.Reasoning)
		valid = valid && utf8.ValidString(m.Content) && utf8.ValidString(m.Reasoning)
	}
	for _, tool := range t.Tools {
		size += len(tool)
		if !json.Valid([]byte(tool)) {
			return Errorf(CodeInvalid, "a tool is not valid JSON")
		}
	}
	if size > MaxPromptBytes {
		return Errorf(CodeTooLarge, "the prompt has %d bytes, the most is %d", size, MaxPromptBytes)
	}
	if !valid {
		return Errorf(CodeInvalid, "the prompt is not valid UTF-8")
	}
	return nil
}

func (t *TextRequest) validateNumbers() error {
	if t.MaxTokens != nil && *t.MaxTokens < 1 {
		return Errorf(CodeInvalid, "max_tokens is %d, the least is 1", *t.MaxTokens)
	}
	if t.TopK != nil && *t.TopK < 0 {
		return Errorf(CodeInvalid, "top_k is %d, the least is 0 (off)", *t.TopK)
	}
	ranges := []struct {
		name   string
		value  *float64
		lo, hi float64
	}{
		{"temperature", t.Temperature, 0, 10},
		{"top_p", t.TopP, 0, 1},
		{"min_p", t.MinP, 0, 1},
		{"typical_p", t.TypicalP, 0, 1},
		{"repeat_penalty", t.RepeatPenalty, 0, 10},
		{"frequency_penalty", t.FrequencyPenalty, -10, 10},
		{"presence_penalty", t.PresencePenalty, -10, 10},
		{"dry_multiplier", t.DryMultiplier, 0, 100},
	}
	for _, r := range ranges {
		if r.value != nil && (math.IsNaN(*r.value) || *r.value < r.lo || *r.value > r.hi) {
			return Errorf(CodeInvalid, "%s is %v, it must be between %v and %v", r.name, *r.value, r.lo, r.hi)
		}
	}
	for token, bias := range t.LogitBias {
		if token < 0 || math.IsNaN(bias) || bias < -1000 || bias > 1000 {
			return Errorf(CodeInvalid, "logit_bias of token %d is %v, it must be between -1000 and 1000", token, bias)
		}
	}
	return nil
}
