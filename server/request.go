package server

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/jeantrail/jeantrail-ai"
)

// generateRequest is the body of POST /generate, and the request of a
// WebSocket's generate message.
type generateRequest struct {
	Prompt   string        `json:"prompt,omitempty" doc:"What to answer. Exactly one of prompt and messages is needed, unless a template makes the prompt."`
	Messages []wireMessage `json:"messages,omitempty" nullable:"false" doc:"A conversation so far."`
	Model    string        `json:"model,omitempty" maxLength:"256" doc:"Name or alias of a model; the configured default if left out."`
	UserID   string        `json:"user_id,omitempty" maxLength:"128" doc:"Who it is for, if not the caller."`
	System   string        `json:"system,omitempty" doc:"The system prompt."`
	Images   []fileInput   `json:"images,omitempty" nullable:"false" maxItems:"16" doc:"For a model that sees. They stand before the prompt, or the last user's message."`

	Stream *bool `json:"stream,omitempty" doc:"Answer with Server-Sent Events. On a WebSocket false leaves out the token events."`
	Async  bool  `json:"async,omitempty" doc:"Answer 202 at once; the job lives on without its caller."`

	MaxTokens        *int               `json:"max_tokens,omitempty" minimum:"1"`
	Temperature      *float64           `json:"temperature,omitempty" minimum:"0" maximum:"10"`
	TopP             *float64           `json:"top_p,omitempty" minimum:"0" maximum:"1"`
	TopK             *int               `json:"top_k,omitempty" minimum:"0" doc:"0 is off."`
	MinP             *float64           `json:"min_p,omitempty" minimum:"0" maximum:"1"`
	TypicalP         *float64           `json:"typical_p,omitempty" minimum:"0" maximum:"1"`
	Seed             *uint32            `json:"seed,omitempty"`
	Stop             []string           `json:"stop,omitempty" nullable:"false" maxItems:"16" doc:"Strings that end the answer; they are not part of it."`
	RepeatPenalty    *float64           `json:"repeat_penalty,omitempty" minimum:"0" maximum:"10"`
	FrequencyPenalty *float64           `json:"frequency_penalty,omitempty" minimum:"-10" maximum:"10"`
	PresencePenalty  *float64           `json:"presence_penalty,omitempty" minimum:"-10" maximum:"10"`
	DryMultiplier    *float64           `json:"dry_multiplier,omitempty" minimum:"0" maximum:"100"`
	LogitBias        map[string]float64 `json:"logit_bias,omitempty" doc:"Token id to bias, -1000 to 1000."`
	Grammar          string             `json:"grammar,omitempty" doc:"A GBNF grammar that the answer follows."`
	JSONSchema       json.RawMessage    `json:"json_schema,omitempty" doc:"A JSON schema that the answer follows."`
	Tools            []json.RawMessage  `json:"tools,omitempty" nullable:"false" doc:"Tool descriptions, as the model's chat template shows them."`
	Thinking         bool               `json:"thinking,omitempty" doc:"Let the model reason before it answers."`
	Raw              bool               `json:"raw,omitempty" doc:"Send the prompt to the model as it is, without the chat template."`
	IgnoreEOS        bool               `json:"ignore_eos,omitempty" doc:"Generate up to max_tokens."`
	WaitForModel     *bool              `json:"wait_for_model,omitempty" doc:"false: a model that is not loaded refuses the request with model_loading, and is loaded for the next one. If left out the job waits."`

	TaskType string            `json:"task_type,omitempty" maxLength:"128" doc:"What the answer is for; optimisation rules may ask for it. Classified if left out."`
	Priority string            `json:"priority,omitempty" enum:"interactive,batch,background"`
	Metadata map[string]string `json:"metadata,omitempty" doc:"Stored with the job."`

	Cache     *bool         `json:"cache,omitempty" doc:"Whether a stored answer to the same request may be given, and this one be stored. If left out: only if the request is deterministic."`
	Template  string        `json:"template,omitempty" maxLength:"128" doc:"Name of a prompt template; variables fill it, and prompt its main variable."`
	Variables wireVariables `json:"variables,omitempty" doc:"What the template has to be told."`
}

type wireMessage struct {
	Role       string         `json:"role" enum:"system,user,assistant,tool"`
	Content    string         `json:"content,omitempty"`
	Reasoning  string         `json:"reasoning,omitempty" doc:"An assistant's earlier reasoning."`
	ToolCalls  []wireToolCall `json:"tool_calls,omitempty" nullable:"false"`
	ToolCallID string         `json:"tool_call_id,omitempty"`
}

type wireToolCall struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments,omitempty" doc:"An object."`
}

func (g *generateRequest) wishes() (stream *bool, async bool) { return g.Stream, g.Async }

// request turns the wire form into the project's words.
func (g *generateRequest) request(u *upload) (jeantrail.Request, error) {
	req, err := g.words()
	if err != nil {
		return req, err
	}
	if n := len(g.Images); n > jeantrail.MaxFilesPerText {
		return req, jeantrail.Errorf(jeantrail.CodeTooLarge, "the request has %d images, the most is %d", n, jeantrail.MaxFilesPerText)
	}
	for i := range g.Images {
		file, err := u.input(&g.Images[i], fmt.Sprintf("images[%d]", i), "image/")
		if err != nil {
			return req, err
		}
		req.Text.Images = append(req.Text.Images, file)
	}
	return req, req.Validate()
}

func (g *generateRequest) carried() int64 {
	n := int64(0)
	for i := range g.Images {
		n += int64(len(g.Images[i].data))
	}
	return n
}

// words is request without files, and without a look at what goes together.
func (g *generateRequest) words() (jeantrail.Request, error) {
	bias, err := tokenBias(g.LogitBias)
	if err != nil {
		return jeantrail.Request{}, err
	}
	text := &jeantrail.TextRequest{
		Prompt: g.Prompt, System: g.System, MaxTokens: g.MaxTokens,
		Temperature: g.Temperature, TopP: g.TopP, TopK: g.TopK, MinP: g.MinP, TypicalP: g.TypicalP,
		Seed: g.Seed, Stop: g.Stop, RepeatPenalty: g.RepeatPenalty, FrequencyPenalty: g.FrequencyPenalty,
		PresencePenalty: g.PresencePenalty, DryMultiplier: g.DryMultiplier, LogitBias: bias,
		Grammar: g.Grammar, JSONSchema: rawText(g.JSONSchema),
		Thinking: g.Thinking, Raw: g.Raw, IgnoreEOS: g.IgnoreEOS,
		NoWait: g.WaitForModel != nil && !*g.WaitForModel,
	}
	for _, m := range g.Messages {
		text.Messages = append(text.Messages, m.message())
	}
	for _, tool := range g.Tools {
		text.Tools = append(text.Tools, string(tool))
	}
	if err := checkObjects(g); err != nil {
		return jeantrail.Request{}, err
	}
	return jeantrail.Request{
		Kind: jeantrail.KindText, UserID: g.UserID, Model: g.Model, Priority: jeantrail.Priority(g.Priority),
		Async: g.Async, TaskType: g.TaskType, Metadata: g.Metadata, Cache: g.Cache,
		Template: g.Template, Variables: g.Variables, Text: text,
	}, nil
}

// checkObjects refuses values that are kept as JSON text but must be objects.
func checkObjects(g *generateRequest) error {
	object := func(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }
	for _, tool := range g.Tools {
		if !object(tool) {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "a tool must be an object")
		}
	}
	for _, m := range g.Messages {
		for _, call := range m.ToolCalls {
			if rawText(call.Arguments) != "" && !object(call.Arguments) {
				return jeantrail.Errorf(jeantrail.CodeInvalid, "the arguments of a tool call must be an object")
			}
		}
	}
	if rawText(g.JSONSchema) != "" && !object(g.JSONSchema) {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "json_schema must be an object")
	}
	return nil
}

// rawText returns a JSON value as text, "" if it is missing or null.
func rawText(raw json.RawMessage) string {
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}

func tokenBias(wire map[string]float64) (map[int32]float64, error) {
	if len(wire) == 0 {
		return nil, nil
	}
	bias := make(map[int32]float64, len(wire))
	for key, value := range wire {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || key != strconv.FormatInt(id, 10) {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "logit_bias has the key %q, which is not a token id", key)
		}
		bias[int32(id)] = value
	}
	return bias, nil
}

func (m *wireMessage) message() jeantrail.Message {
	out := jeantrail.Message{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning, ToolCallID: m.ToolCallID}
	for _, call := range m.ToolCalls {
		out.ToolCalls = append(out.ToolCalls, jeantrail.ToolCall{Name: call.Name, Arguments: rawText(call.Arguments)})
	}
	return out
}

// generateBody is the inverse of request, but for the files: the body that asks
// for the same again.
func generateBody(req *jeantrail.Request) *generateRequest {
	t := req.Text
	g := &generateRequest{
		Prompt: t.Prompt, Model: req.Model, UserID: req.UserID, System: t.System, Async: req.Async,
		MaxTokens: t.MaxTokens, Temperature: t.Temperature, TopP: t.TopP, TopK: t.TopK, MinP: t.MinP, TypicalP: t.TypicalP,
		Seed: t.Seed, Stop: t.Stop, RepeatPenalty: t.RepeatPenalty, FrequencyPenalty: t.FrequencyPenalty,
		PresencePenalty: t.PresencePenalty, DryMultiplier: t.DryMultiplier,
		Grammar: t.Grammar, JSONSchema: json.RawMessage(t.JSONSchema),
		Thinking: t.Thinking, Raw: t.Raw, IgnoreEOS: t.IgnoreEOS,
		TaskType: req.TaskType, Priority: string(req.Priority), Metadata: req.Metadata,
		Cache: req.Cache, Template: req.Template, Variables: req.Variables,
	}
	if t.NoWait {
		g.WaitForModel = new(bool)
	}
	for id, value := range t.LogitBias {
		if g.LogitBias == nil {
			g.LogitBias = make(map[string]float64, len(t.LogitBias))
		}
		g.LogitBias[strconv.Itoa(int(id))] = value
	}
	for _, m := range t.Messages {
		g.Messages = append(g.Messages, messageBody(m))
	}
	for _, tool := range t.Tools {
		g.Tools = append(g.Tools, json.RawMessage(tool))
	}
	return g
}

func messageBody(m jeantrail.Message) wireMessage {
	out := wireMessage{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning, ToolCallID: m.ToolCallID}
	for _, call := range m.ToolCalls {
		out.ToolCalls = append(out.ToolCalls, wireToolCall{Name: call.Name, Arguments: json.RawMessage(call.Arguments)})
	}
	return out
}
