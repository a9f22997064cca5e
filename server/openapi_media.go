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

func pullParam() []param { return []param{{"id", "path", "The pull's id.", ""}} }

func pullStream() answer {
	return answer{http.StatusOK, "The pull at once and whenever it changed, until it is over: event is the status, data the pull. The last one has the status as its id.", "text/event-stream", wirePull{}}
}

func docStartPull() operation {
	op := written("startPull", "models", "Download a model",
		"For administrators. Joins a pull of the same that is under way, and goes on from what an earlier one left. It goes on without its caller, and after a restart under the same id. "+
			"Answers with events for stream or Accept: text/event-stream.",
		nil, pullRequest{}, answer{http.StatusAccepted, "The pull goes on; links tell where to find it." + location, "", wirePull{}},
		jeantrail.CodeNotFound, jeantrail.CodeConflict, jeantrail.CodeUnsupported, jeantrail.CodeWorkerUnavailable)
	op.answers = append(op.answers, pullStream())
	return op
}

func docListPulls() operation {
	return listed("listPulls", "models", "List the downloads of models, the newest first", nil, wirePulls{})
}

func docGetPull() operation {
	return shownOne("getPull", "models", "Show the download of a model", pullParam(), wirePull{})
}

func docCancelPull() operation {
	return operation{
		id: "cancelPull", tag: "models", summary: "Cancel the download of a model", params: pullParam(),
		detail: "For administrators. It ends for good. What came is kept, and pulling the same again goes on from there. To cancel a pull that is over changes nothing.",
		answers: []answer{
			{http.StatusOK, "The pull is over.", "", wirePull{}},
			{http.StatusAccepted, "The pull was asked to stop.", "", wirePull{}},
		},
		errors: []jeantrail.Code{jeantrail.CodeNotFound, jeantrail.CodeForbidden},
	}
}

func docPullEvents() operation {
	return operation{
		id: "pullEvents", tag: "models", summary: "Watch the download of a model", detail: "Always as Server-Sent Events.",
		params: append(pullParam(), param{"Last-Event-ID", "header", "The id of the last event that the caller has.", ""}),
		answers: []answer{
			pullStream(), {http.StatusNoContent, "The pull is over and the caller has its last event.", "", nil},
		},
		errors: []jeantrail.Code{jeantrail.CodeInvalid, jeantrail.CodeNotFound},
	}
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
