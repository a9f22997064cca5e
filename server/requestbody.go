package server

import (
	"maps"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/jeantrail/jeantrail-ai"
)

// wireFile is a file that a request brought, as a job shows it. What it was called
// is not kept.
type wireFile struct {
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"media_type,omitempty" doc:"As it was found to be; left out if that is not known."`
}

func fileOf(f jeantrail.File) wireFile {
	return wireFile{SHA256: f.SHA256, Bytes: f.Bytes, MediaType: f.MediaType}
}

// shownRequest is a job's request: the body that asked for it, with what became of
// the files in the place of the files.
type shownRequest struct{ body any }

type shownGenerate struct {
	generateRequest
	Images []wireFile `json:"images,omitempty"`
}

type shownTranscribe struct {
	transcribeRequest
	Audio wireFile `json:"audio"`
}

type shownPipeline struct {
	pipelineRequest
	InputData map[string]any `json:"input_data,omitempty"`
}

// requestBody returns what to show of a job's request, nil if there is nothing.
func requestBody(req *jeantrail.Request) *shownRequest {
	switch {
	case req.Text != nil:
		shown := shownGenerate{generateRequest: *generateBody(req)}
		for _, f := range req.Text.Images {
			shown.Images = append(shown.Images, fileOf(f))
		}
		return &shownRequest{&shown}
	case req.Image != nil:
		return &shownRequest{imageBody(req)}
	case req.Transcribe != nil:
		t := req.Transcribe
		return &shownRequest{&shownTranscribe{
			transcribeRequest: transcribeRequest{
				Language: t.Language, Translate: t.Translate, Prompt: t.Prompt, Format: string(t.Format), Temperature: t.Temperature,
				RequestOptions: optionsOf(req),
			},
			Audio: fileOf(t.Audio),
		}}
	case req.Speak != nil:
		p := req.Speak
		return &shownRequest{&speakRequest{
			Text: p.Text, Voice: p.Voice, Language: p.Language, Speed: p.Speed, Format: p.Format,
			Template: req.Template, Variables: req.Variables, RequestOptions: optionsOf(req),
		}}
	case req.Pipeline != nil:
		return &shownRequest{pipelineBody(req)}
	default:
		return nil
	}
}

func imageBody(req *jeantrail.Request) *imageRequest {
	i := req.Image
	number := func(n int) *int {
		if n == 0 {
			return nil
		}
		return &n
	}
	return &imageRequest{
		Prompt: i.Prompt, NegativePrompt: i.NegativePrompt, Width: number(i.Width), Height: number(i.Height),
		Steps: number(i.Steps), CFGScale: i.CFGScale, Seed: i.Seed, N: number(i.N),
		Template: req.Template, Variables: req.Variables, RequestOptions: optionsOf(req),
	}
}

func pipelineBody(req *jeantrail.Request) *shownPipeline {
	shown := &shownPipeline{
		pipelineRequest: pipelineRequest{
			Workflow: req.Pipeline.Workflow, UserID: req.UserID, Async: req.Async, Priority: string(req.Priority), Metadata: req.Metadata,
		},
		InputData: make(map[string]any, len(req.Pipeline.Input)),
	}
	for name, value := range req.Pipeline.Input {
		if f, ok := value.(jeantrail.File); ok {
			value = fileOf(f)
		}
		shown.InputData[name] = value
	}
	return shown
}

// MarshalJSON writes the body.
func (r *shownRequest) MarshalJSON() ([]byte, error) { return encodeJSON(r.body) }

// Schema implements huma.SchemaProvider: one of the bodies, with files as they are
// shown.
func (shownRequest) Schema(r huma.Registry) *huma.Schema {
	file := r.Schema(reflect.TypeFor[wireFile](), true, "")
	shown := func(body reflect.Type, leftOut []string, more map[string]*huma.Schema) *huma.Schema {
		s := huma.SchemaFromType(r, body)
		s.Properties = maps.Clone(s.Properties)
		for _, name := range leftOut {
			delete(s.Properties, name)
		}
		maps.Copy(s.Properties, more)
		return s
	}
	inputs := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeString}, {Type: huma.TypeNumber}, {Type: huma.TypeBoolean}, file,
	}}}
	return &huma.Schema{
		Description: "The body that asked for the job. A file is shown by its checksum.",
		AnyOf: []*huma.Schema{
			shown(reflect.TypeFor[generateRequest](), nil, map[string]*huma.Schema{"images": {Type: huma.TypeArray, Items: file}}),
			r.Schema(reflect.TypeFor[imageRequest](), true, ""),
			shown(reflect.TypeFor[transcribeRequest](), []string{"audio_base64", "file"}, map[string]*huma.Schema{"audio": file}),
			r.Schema(reflect.TypeFor[speakRequest](), true, ""),
			shown(reflect.TypeFor[pipelineRequest](), nil, map[string]*huma.Schema{"input_data": inputs}),
		},
	}
}
