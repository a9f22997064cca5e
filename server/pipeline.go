package server

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/jeantrail/jeantrail-ai"
)

// base64Suffix marks a key of input_data whose value is a file.
const base64Suffix = "_base64"

// wireInputs are what a workflow is told, as a caller sends it. Numbers keep their
// digits.
type wireInputs map[string]any // string, json.Number, bool or *fileInput

// UnmarshalJSON reads an object of strings, numbers, true and false, and files
// that jobs made. A name that comes twice is refused.
func (in *wireInputs) UnmarshalJSON(data []byte) (err error) {
	*in, err = namedValues(data, "input_data", "input", inputValue)
	return err
}

func inputValue(name string, raw json.RawMessage) (any, error) {
	if raw[0] == '{' {
		file := new(fileInput)
		return file, json.Unmarshal(raw, file)
	}
	value, plain, err := plainValue(raw)
	if err != nil || plain {
		return value, err
	}
	return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the input %q is neither a string nor a number, true, false or a file", name).
		WithHint("Leave it out to have its default.")
}

// Schema implements huma.SchemaProvider.
func (wireInputs) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject,
		Description: "A value for each input of the workflow. A file is base64 or a data: URL, under the input's name with or without _base64 at its end, " +
			"or a file that a job made.",
		AdditionalProperties: &huma.Schema{OneOf: []*huma.Schema{
			{Type: huma.TypeString}, {Type: huma.TypeNumber}, {Type: huma.TypeBoolean}, artifactSchema(),
		}},
	}
}

// pipelineRequest is the body of POST /pipeline/process and /pipeline/estimate. As
// a form it is the part request, and every other part is a file.
type pipelineRequest struct {
	Workflow  string            `json:"workflow" minLength:"1" maxLength:"128" doc:"The name of a workflow; GET /workflows lists them."`
	InputData wireInputs        `json:"input_data,omitempty"`
	UserID    string            `json:"user_id,omitempty" maxLength:"128" doc:"Who it is for, if not the caller."`
	Stream    *bool             `json:"stream,omitempty" doc:"Answer with Server-Sent Events."`
	Async     bool              `json:"async,omitempty" doc:"Answer 202 at once; the job lives on without its caller."`
	Priority  string            `json:"priority,omitempty" enum:"interactive,batch,background"`
	Metadata  map[string]string `json:"metadata,omitempty" doc:"Stored with the job."`

	files map[string]jeantrail.File // that a form brought, by input
}

func (p *pipelineRequest) wishes() (stream *bool, async bool) { return p.Stream, p.Async }

// carried counts every text: which of them are files only the workflow tells.
func (p *pipelineRequest) carried() int64 {
	n := int64(0)
	for _, value := range p.InputData {
		if text, ok := value.(string); ok {
			n += int64(len(text))
		}
	}
	return n
}

// request turns the wire form into the project's words.
func (p *pipelineRequest) request(u *upload) (jeantrail.Request, error) {
	pipeline := &jeantrail.PipelineRequest{Workflow: p.Workflow}
	req := jeantrail.Request{
		Kind: jeantrail.KindPipeline, UserID: p.UserID, Priority: jeantrail.Priority(p.Priority), Async: p.Async,
		Metadata: p.Metadata, Pipeline: pipeline,
	}
	if err := req.Validate(); err != nil {
		return req, err
	}
	workflow, err := u.server.opt.Workflows.Get(p.Workflow)
	if err != nil {
		return req, err
	}
	pipeline.Input, err = p.input(u, workflow)
	return req, err
}

// input turns every value that is a file into one. Which are, the workflow says:
// by an input's type, or by not having an input whose name ends in _base64.
func (p *pipelineRequest) input(u *upload, workflow *jeantrail.Workflow) (map[string]any, error) {
	types := make(map[string]string, len(workflow.Inputs))
	for _, in := range workflow.Inputs {
		types[in.Name] = in.Type
	}
	input := make(map[string]any, len(p.InputData)+len(p.files))
	for _, key := range slices.Sorted(maps.Keys(p.InputData)) {
		name := key
		if bare, marked := strings.CutSuffix(key, base64Suffix); marked && types[key] == "" {
			name = bare
		}
		if _, twice := input[name]; twice {
			return nil, inputTwice(name)
		}
		var err error
		if input[name], err = inputOf(u, p.InputData[key], name, mediaOfInput(types[name]), name != key); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		if _, twice := input[name]; twice {
			return nil, inputTwice(name)
		}
		file := p.files[name]
		if err := checkMedia(name, file.MediaType, mediaOfInput(types[name])); err != nil {
			return nil, err
		}
		input[name] = file
	}
	return input, nil
}

// inputOf returns the value of one input, as a file if it is one: because it says
// so, is marked as one, or is a text where the workflow wants a file.
func inputOf(u *upload, value any, name, want string, marked bool) (any, error) {
	file, isFile := value.(*fileInput)
	text, isText := value.(string)
	switch {
	case isFile && !marked:
		return u.input(file, name, want)
	case isText && (marked || want != ""):
		return u.text(text, name, want)
	case marked:
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the input %s%s must be a string", name, base64Suffix).WithHint("Send the file in base64.")
	default:
		return value, nil
	}
}

func inputTwice(name string) error {
	return jeantrail.Errorf(jeantrail.CodeInvalid, "the input %s is given twice", name).WithHint("Send it once.")
}

// mediaOfInput returns what a file for an input of a type must be, "" if the
// input takes no files.
func mediaOfInput(inputType string) string {
	switch inputType {
	case "audio", "image":
		return inputType + "/"
	default:
		return ""
	}
}

// readPipeline reads the body as JSON or as a form.
func (s *Server) readPipeline(w http.ResponseWriter, r *http.Request, body *pipelineRequest) error {
	if !isForm(r) {
		return s.readJSONWithFiles(w, r, body)
	}
	form, err := s.openForm(w, r)
	if err != nil {
		return err
	}
	body.files = map[string]jeantrail.File{}
	request := ""
	for {
		part, name, err := form.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if _, twice := body.files[name]; twice || name == "request" && request != "" {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "the part %s is given twice", name).WithHint("Send it once.")
		}
		if name == "request" {
			request, err = form.text(part, name)
		} else {
			body.files[name], err = form.file(part, name, "")
		}
		if err != nil {
			return err
		}
	}
	if request == "" {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the form has no part request").
			WithHint(`With curl: -F 'request={"workflow": "image_description"}' -F image=@cat.png`)
	}
	return decodeStrict([]byte(request), body)
}

// processPipeline serves POST /pipeline/process.
func (s *Server) processPipeline(w http.ResponseWriter, r *http.Request) error {
	var body pipelineRequest
	if err := s.readPipeline(w, r, &body); err != nil {
		return err
	}
	return s.answer(w, r, &body, answerResult)
}

// wireEstimate is the most that a request can cost, or a stage of it.
type wireEstimate struct {
	Workflow     string         `json:"workflow,omitempty"`
	Name         string         `json:"name,omitempty" doc:"Of the stage."`
	Kind         string         `json:"kind"`
	Model        string         `json:"model"`
	AmountMicros int64          `json:"amount_micros" doc:"The most that it can cost, in micro-dollars."`
	USD          string         `json:"usd" doc:"The same amount in dollars, with six decimals."`
	LeastMicros  int64          `json:"least_micros" doc:"What the budgets must have room for: less if the length of an answer was left open."`
	Exact        bool           `json:"exact" doc:"false: it depends on what an earlier stage will give, and is for the longest that this may be."`
	Conditional  bool           `json:"conditional,omitempty" doc:"The stage may not run at all."`
	Bounds       wireBounds     `json:"bounds"`
	Stages       []wireEstimate `json:"stages,omitempty" nullable:"false" doc:"Of a pipeline."`
}

// wireBounds are the most that a request can use.
type wireBounds struct {
	PromptTokens       int     `json:"prompt_tokens"`
	CompletionTokens   int     `json:"completion_tokens"`
	Images             int     `json:"images,omitempty"`
	AudioInputSeconds  float64 `json:"audio_input_seconds,omitempty"`
	AudioOutputSeconds float64 `json:"audio_output_seconds,omitempty"`
}

func estimateOf(e *jeantrail.Estimate) wireEstimate {
	out := wireEstimate{
		Name: e.Name, Kind: string(e.Kind), Model: e.Model, AmountMicros: int64(e.Amount), USD: e.Amount.USD(),
		LeastMicros: int64(e.Least), Exact: e.Exact, Conditional: e.Conditional,
		Bounds: wireBounds{
			PromptTokens: e.Bounds.PromptTokens, CompletionTokens: e.Bounds.CompletionTokens, Images: e.Bounds.Images,
			AudioInputSeconds: e.Bounds.AudioIn.Seconds(), AudioOutputSeconds: e.Bounds.AudioOut.Seconds(),
		},
	}
	for i := range e.Stages {
		out.Stages = append(out.Stages, estimateOf(&e.Stages[i]))
	}
	return out
}

// estimatePipeline serves POST /pipeline/estimate.
func (s *Server) estimatePipeline(w http.ResponseWriter, r *http.Request) error {
	var body pipelineRequest
	if err := s.readPipeline(w, r, &body); err != nil {
		return err
	}
	req, err := body.request(s.uploadFor(r.Context(), caller(r)))
	if err != nil {
		return err
	}
	e, err := s.opt.Road.Estimate(r.Context(), caller(r), req)
	if err != nil {
		return err
	}
	out := estimateOf(e)
	out.Workflow = body.Workflow
	return writeJSON(w, http.StatusOK, &out)
}
