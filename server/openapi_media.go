package server

import (
	"maps"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/jeantrail/jeantrail-ai"
)

// fileBody stands for an answer that is a file's bytes.
type fileBody struct{}

func binarySchema(detail string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "binary", Description: detail}
}

func docGenerateImage() operation {
	return ordered("generateImage", "media", "Make images", "", imageRequest{})
}

func docTranscribe() operation {
	op := ordered("transcribe", "media", "Write down speech",
		"A form (multipart/form-data) is streamed, with the part file before or after the fields; JSON carries the sound in base64. "+
			"The formats text, srt and vtt are answered as such, with the job's id in X-Job-Id, to a caller that waits.",
		transcribeRequest{},
		answer{http.StatusOK, "", "text/plain", ""}, answer{http.StatusOK, "", "application/x-subrip", fileBody{}},
		answer{http.StatusOK, "", "text/vtt", fileBody{}})
	op.bodies = []bodyForm{{"multipart/form-data", transcribeForm}}
	return op
}

// transcribeForm has the fields of the JSON, and the sound as a file.
func transcribeForm(r huma.Registry) *huma.Schema {
	s := huma.SchemaFromType(r, reflect.TypeFor[transcribeRequest]())
	s.Properties = maps.Clone(s.Properties)
	delete(s.Properties, "audio_base64")
	s.Properties["file"] = binarySchema("WAV, FLAC, MP3, OGG or M4A. What it is called is not looked at.")
	s.Required = []string{"file"}
	return s
}

func docSpeak() operation {
	return ordered("speak", "media", "Speak a text", "With Accept: audio/* the sound itself is the answer, with the job's id in X-Job-Id.",
		speakRequest{}, answer{http.StatusOK, "", "audio/wav", fileBody{}})
}

// pipelineForm has the JSON as one part, and files as the others.
func pipelineForm(r huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"request"}, AdditionalProperties: binarySchema("A file for the input of that name."),
		Properties: map[string]*huma.Schema{"request": r.Schema(reflect.TypeFor[pipelineRequest](), true, "")},
	}
}

func docProcessPipeline() operation {
	op := ordered("processPipeline", "pipelines", "Run a workflow", "Each stage is a job of its own. A form has the JSON as its part request.", pipelineRequest{})
	op.bodies = []bodyForm{{"multipart/form-data", pipelineForm}}
	return op
}

func docEstimatePipeline() operation {
	op := written("estimatePipeline", "pipelines", "Say what a workflow can cost at most, stage by stage",
		"Nothing is run or held. stream and async make no difference.", nil, pipelineRequest{},
		answer{http.StatusOK, "The most that it can cost.", "", wireEstimate{}},
		jeantrail.CodeNotFound, jeantrail.CodeUnsupported, jeantrail.CodeWorkerUnavailable, jeantrail.CodeConflict)
	op.bodies = []bodyForm{{"multipart/form-data", pipelineForm}}
	return op
}

func workflowParam() []param { return []param{{"name", "path", "The workflow's name.", ""}} }

func docListWorkflows() operation {
	return listed("listWorkflows", "pipelines", "List workflows", nil, wireWorkflows{})
}

func docGetWorkflow() operation {
	return shownOne("getWorkflow", "pipelines", "Show a workflow with its source", workflowParam(), wireWorkflow{})
}

func docPutWorkflow() operation {
	op := written("putWorkflow", "pipelines", "Add or replace a workflow of one's own", "For administrators. What is wrong in the YAML is told with its line.",
		workflowParam(), workflowRequest{}, answer{http.StatusOK, "The workflow as it is now.", "", wireWorkflow{}}, jeantrail.CodeUnsupported)
	op.answers = append(op.answers, answer{http.StatusCreated, "The workflow is new." + location, "", wireWorkflow{}})
	for _, mediaType := range yamlTypes() {
		op.bodies = append(op.bodies, bodyForm{mediaType, func(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeString} }})
	}
	return op
}

func docDeleteWorkflow() operation {
	op := deleted("deleteWorkflow", "pipelines", "Delete a workflow of one's own", "For administrators. A built-in one that it had replaced is there again.", workflowParam())
	op.errors = append(op.errors, jeantrail.CodeConflict, jeantrail.CodeUnsupported, jeantrail.CodeInvalid)
	return op
}

func docGetArtifact() operation {
	return operation{
		id: "getArtifact", tag: "jobs", summary: "Get a file that a job made",
		detail: "Also while the job goes on, as soon as its artifact event was seen. ETag is the file's SHA-256.",
		params: []param{
			idParam(), {"n", "path", "The file's index.", 0},
			{"Range", "header", "Bytes, for a part.", ""}, {"If-None-Match", "header", "An ETag.", ""},
		},
		answers: []answer{
			{http.StatusOK, "The file.", "*/*", fileBody{}}, {http.StatusPartialContent, "The part.", "*/*", fileBody{}},
			{http.StatusNotModified, "The file is the one that the caller has.", "", nil},
			{http.StatusRequestedRangeNotSatisfiable, "The file is shorter.", "application/problem+json", problem{}},
		},
		errors: []jeantrail.Code{jeantrail.CodeInvalid, jeantrail.CodeNotFound},
	}
}

func modelParam() []param { return []param{{"name", "path", "Name or alias.", ""}} }

// told is an operation without a body that changes something.
func told(id, tag, summary, detail string, params []param, answers ...answer) operation {
	return operation{
		id: id, tag: tag, summary: summary, detail: detail, params: params, answers: answers,
		errors: []jeantrail.Code{jeantrail.CodeInvalid, jeantrail.CodeForbidden, jeantrail.CodeNotFound, jeantrail.CodeConflict, jeantrail.CodeUnsupported, jeantrail.CodeTooLarge},
	}
}

func docLoadModel() operation {
	return told("loadModel", "models", "Load a model", "For administrators.", modelParam(),
		answer{http.StatusOK, "The model is ready, or says why it is not.", "", wireModel{}},
		answer{http.StatusAccepted, "The model is being loaded.", "", wireModel{}})
}

func docUnloadModel() operation {
	return told("unloadModel", "models", "Free an idle model", "For administrators.", modelParam(),
		answer{http.StatusOK, "The model.", "", wireModel{}}, answer{http.StatusAccepted, "The model is being loaded again.", "", wireModel{}})
}

func workerParam() param { return param{"name", "path", "Name or alias of a worker.", ""} }

func docGetRegistry() operation {
	return listed("getRegistry", "models", "Show every model and worker, and the memory that they hold", nil, wireRegistry{})
}

func docWorkerHistory() operation {
	op := listed("workerHistory", "models", "Show how a worker was", []param{workerParam(), {"limit", "query", "1 to 500; 50 if left out.", 0}}, wireHistory{})
	op.errors = append(op.errors, jeantrail.CodeNotFound)
	return op
}

func docProbeWorker() operation {
	return told("probeWorker", "models", "Look at a worker now", "Waits for at most 5 seconds.", []param{workerParam()},
		answer{http.StatusOK, "How it is.", "", wireWorker{}})
}

func docReloadConfig() operation {
	return told("reloadConfig", "system", "Read the configuration again", "For administrators. Jobs go on. If something in it is wrong, nothing changes.", nil,
		answer{http.StatusOK, "What changed.", "", wireChanges{}})
}
