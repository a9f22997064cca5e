package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/jeantrail/jeantrail-ai"
)

// operation documents a route. Request and answers are values of wire types,
// from which the schemas are made.
type operation struct {
	id, summary, detail, tag string
	params                   []param
	request                  any
	bodies                   []bodyForm // other forms that the request may have
	answers                  []answer
	errors                   []jeantrail.Code
}

// bodyForm is a body that is not JSON.
type bodyForm struct {
	mediaType string
	schema    func(huma.Registry) *huma.Schema
}

type param struct {
	name, in, detail string
	example          any // its type is the parameter's
}

type answer struct {
	status    int
	detail    string
	mediaType string // "" is application/json
	body      any    // nil has no schema
}

// What several operations share.
func idParam() param { return param{"id", "path", "The job's id.", ""} }

func afterParams() []param {
	return []param{
		idParam(),
		{"after", "query", "Only events with a greater seq.", int64(0)},
		{"Last-Event-ID", "header", "As after, and before it.", ""},
	}
}

func events() answer {
	return answer{http.StatusOK, "The job's events until the terminal one. id is seq and only there on stored events; event is the type; data is an Event.", "text/event-stream", wireEvent{}}
}

func docGenerate() operation {
	return ordered("generate", "text", "Generate text", "", generateRequest{})
}

// answerForms is how every path that asks for a job may be answered.
const answerForms = "Answers when the work is done; at once with 202 for async; with events for stream or Accept: text/event-stream. " +
	"A caller that leaves cancels its job, unless it is async. Prefer: respond-async and Prefer: wait=N are honoured."

// ordered is an operation that has a job done.
func ordered(id, tag, summary, detail string, request any, more ...answer) operation {
	return operation{
		id: id, tag: tag, summary: summary, detail: strings.TrimSpace(answerForms + " " + detail), request: request,
		params: []param{{"Prefer", "header", "respond-async, or wait=N to get a 202 if the answer takes longer than N seconds.", ""}},
		answers: append([]answer{
			{http.StatusOK, "The answer.", "", wireResult{}}, events(),
			{http.StatusAccepted, "The job goes on; links tell where to find it.", "", wireAccepted{}},
		}, more...),
		errors: []jeantrail.Code{
			jeantrail.CodeInvalid, jeantrail.CodeBudgetExceeded, jeantrail.CodeNotFound, jeantrail.CodeTooLarge,
			jeantrail.CodeUnsupportedMedia, jeantrail.CodeUnsupported, jeantrail.CodeRateLimited, jeantrail.CodeQueueFull,
			jeantrail.CodeDeadline, jeantrail.CodeStorageFull, jeantrail.CodeConflict, jeantrail.CodeWorkerUnavailable,
			jeantrail.CodeModelLoading,
		},
	}
}

func docListJobs() operation {
	return operation{
		id: "listJobs", tag: "jobs", summary: "List jobs, newest first",
		params: []param{
			{"user_id", "query", "", ""}, {"status", "query", "", ""}, {"kind", "query", "", ""}, {"model", "query", "", ""},
			{"workflow", "query", "Stages of this workflow.", ""}, {"parent", "query", "Stages of this pipeline's job.", ""},
			{"from", "query", "Created at or after: RFC 3339, or a day.", ""}, {"to", "query", "Created before.", ""},
			{"limit", "query", fmt.Sprintf("1 to %d; %d if left out.", maxPage, defaultPage), 0}, {"cursor", "query", "next of the page before.", ""},
		},
		answers: []answer{{http.StatusOK, "A page.", "", wireJobs{}}},
		errors:  []jeantrail.Code{jeantrail.CodeInvalid, jeantrail.CodeForbidden},
	}
}

func docGetJob() operation {
	return operation{
		id: "getJob", tag: "jobs", summary: "Show a job", params: []param{idParam()},
		answers: []answer{{http.StatusOK, "The job.", "", wireJob{}}}, errors: []jeantrail.Code{jeantrail.CodeNotFound},
	}
}

func docCancelJob() operation {
	return operation{
		id: "cancelJob", tag: "jobs", summary: "Cancel a job", detail: "To cancel a job that is over changes nothing.", params: []param{idParam()},
		answers: []answer{
			{http.StatusOK, "The job is over.", "", wireJob{}},
			{http.StatusAccepted, "The job was asked to stop.", "", wireJob{}},
		},
		errors: []jeantrail.Code{jeantrail.CodeNotFound, jeantrail.CodeForbidden},
	}
}

func docJobEvents() operation {
	return operation{
		id: "jobEvents", tag: "jobs", summary: "Read a job's events",
		detail: "As Server-Sent Events if Accept names them, from after on and live; else what is stored.",
		params: afterParams(),
		answers: []answer{
			{http.StatusOK, "The stored events after a point.", "", wireEvents{}}, events(),
			{http.StatusNoContent, "The job is over and after is its last event (event stream only).", "", nil},
		},
		errors: []jeantrail.Code{jeantrail.CodeInvalid, jeantrail.CodeNotFound},
	}
}

func docWebSocket() operation {
	return operation{
		id: "webSocket", tag: "jobs", summary: "Open a WebSocket",
		detail: "Messages to the server: generate, generate_image, transcribe, speak, pipeline, subscribe, unsubscribe, cancel, ping (schema SocketRequest). Messages from it: accepted, rejected, pong (schema SocketReply), events (schema Event), and the alerts of the caller's budgets as they are raised (schema Alert). " +
			"A browser shows its token as the subprotocols " + subprotocol + ", " + bearerProtocol + "<token>.",
		answers: []answer{{http.StatusSwitchingProtocols, "The socket is open.", "", nil}},
		errors:  []jeantrail.Code{jeantrail.CodeInvalid},
	}
}

func docHealth() operation {
	return operation{id: "health", tag: "system", summary: "How the process is", detail: "Without a token only status is told.",
		answers: []answer{{http.StatusOK, "It answers; status tells how it is.", "", wireHealth{}}}}
}

func docReady() operation {
	return operation{id: "ready", tag: "system", summary: "Whether the default model can answer", detail: "Without a token only status is told.",
		answers: []answer{
			{http.StatusOK, "Ready.", "", wireHealth{}},
			{http.StatusServiceUnavailable, "Not ready.", "", wireHealth{}},
		}}
}

func docMetrics() operation {
	return operation{id: "metrics", tag: "system", summary: "Figures for Prometheus",
		answers: []answer{{http.StatusOK, "Text exposition format.", "text/plain", ""}}}
}

func docOpenAPI() operation {
	return operation{id: "openapi", tag: "system", summary: "This document", answers: []answer{{http.StatusOK, "OpenAPI 3.1.", "", map[string]any{}}}}
}

// buildOpenAPI makes the document from the routes and the wire types.
func buildOpenAPI(routes []route, version string) ([]byte, error) {
	if version == "" {
		version = "dev"
	}
	reg := huma.NewMapRegistry("#/components/schemas/", schemaName)
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "jeantrail-ai", Version: version, License: &huma.License{Name: "MIT", Identifier: "MIT"},
			Description: "The local road to every model on this machine. Amounts are micro-dollars, times are UTC.",
		},
		Components: &huma.Components{
			Schemas:         reg,
			SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "Not needed on a loopback address without a configured token."}},
		},
		Paths: map[string]*huma.PathItem{},
	}
	for _, rt := range routes {
		doc.AddOperation(operationOf(reg, rt))
	}
	for _, message := range []any{socketRequest{}, socketReply{}, wireAlert{}, wireEvent{}, wireStage{}} {
		reg.Schema(reflect.TypeOf(message), true, "")
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("build openapi document: %w", err)
	}
	return data, nil
}

// schemaName is a wire type's name without what marks it as one.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := strings.TrimPrefix(t.Name(), "wire")
	if name == "" {
		return hint
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func operationOf(reg huma.Registry, rt route) *huma.Operation {
	op := &huma.Operation{
		Method: rt.method, Path: rt.path, OperationID: rt.doc.id, Summary: rt.doc.summary, Description: rt.doc.detail,
		Tags: []string{rt.doc.tag}, Responses: map[string]*huma.Response{},
		Security: []map[string][]string{{}, {"token": {}}},
	}
	for _, p := range rt.doc.params {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: p.name, In: p.in, Description: p.detail, Required: p.in == "path", Schema: reg.Schema(reflect.TypeOf(p.example), true, p.name),
		})
	}
	if rt.doc.request != nil {
		schema := reg.Schema(reflect.TypeOf(rt.doc.request), true, "")
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
		for _, b := range rt.doc.bodies {
			op.RequestBody.Content[b.mediaType] = &huma.MediaType{Schema: b.schema(reg)}
		}
	}
	for _, a := range rt.doc.answers {
		addAnswer(reg, op, a)
	}
	addErrors(reg, op, rt)
	return op
}

func addAnswer(reg huma.Registry, op *huma.Operation, a answer) {
	key := strconv.Itoa(a.status)
	response := op.Responses[key]
	if response == nil {
		response = &huma.Response{Content: map[string]*huma.MediaType{}}
		op.Responses[key] = response
	}
	response.Description = strings.TrimSpace(response.Description + " " + a.detail)
	if a.body == nil {
		return
	}
	if _, isFile := a.body.(fileBody); isFile {
		response.Content[a.mediaType] = &huma.MediaType{Schema: binarySchema("")}
		return
	}
	mediaType := a.mediaType
	if mediaType == "" {
		mediaType = "application/json"
	}
	media := &huma.MediaType{Schema: reg.Schema(reflect.TypeOf(a.body), true, op.OperationID)}
	if mediaType == "text/event-stream" {
		// The schema is that of a frame's data, which OpenAPI 3.1 cannot say.
		media = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Description: "Frames whose data has the schema " + media.Schema.Ref + "."}}
	}
	response.Content[mediaType] = media
}

// addErrors documents the errors that the route names and those that any route
// may answer with.
func addErrors(reg huma.Registry, op *huma.Operation, rt route) {
	codes := append([]jeantrail.Code{jeantrail.CodeOriginDenied, jeantrail.CodeInternal, jeantrail.CodeShuttingDown}, rt.doc.errors...)
	if !rt.open {
		codes = append(codes, jeantrail.CodeUnauthorized)
	}
	byStatus := map[int][]string{}
	for _, code := range codes {
		status := rowOf(code).status
		byStatus[status] = append(byStatus[status], string(code))
	}
	schema := reg.Schema(reflect.TypeFor[problem](), true, "")
	for status, names := range byStatus {
		slices.Sort(names)
		key := strconv.Itoa(status)
		if op.Responses[key] == nil {
			op.Responses[key] = &huma.Response{Content: map[string]*huma.MediaType{}}
		}
		response := op.Responses[key]
		response.Description = strings.TrimSpace(response.Description + " Codes: " + strings.Join(names, ", ") + ".")
		response.Content["application/problem+json"] = &huma.MediaType{Schema: schema}
	}
}

// serveOpenAPI serves GET /openapi.json.
func (s *Server) serveOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(s.openapi)
	return err
}
