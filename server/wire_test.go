package server

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

// The document has an operation for each route and a schema for each message.
func TestOpenAPICoversTheRoutes(t *testing.T) {
	s := newTestServer(t, Options{Version: "1.2.3"})
	var doc struct {
		OpenAPI string
		Info    struct{ Version string }
		Paths   map[string]map[string]struct {
			OperationID string
			Responses   map[string]any
		}
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(call(s, "GET", "/openapi.json", "").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Info.Version != "1.2.3" {
		t.Errorf("openapi %s, version %s", doc.OpenAPI, doc.Info.Version)
	}
	ids := map[string]bool{}
	for _, rt := range s.routes() {
		op, ok := doc.Paths[rt.path][strings.ToLower(rt.method)]
		if !ok || op.OperationID == "" || ids[op.OperationID] || len(op.Responses) == 0 {
			t.Errorf("%s %s is documented as %+v", rt.method, rt.path, op)
		}
		ids[op.OperationID] = true
	}
	for _, name := range []string{"GenerateRequest", "Result", "Event", "Problem", "Job", "SocketRequest", "SocketReply", "ImageRequest", "TranscribeRequest", "SpeakRequest", "PipelineRequest", "Worker", "Stage", "Artifact", "Estimate", "PullRequest", "Pull", "Pulls"} {
		if doc.Components.Schemas[name] == nil {
			t.Errorf("there is no schema %s", name)
		}
	}
}

// Every field of the project's request can be asked for over the wire: a field
// that is added there and forgotten here fails.
func TestWireRequestIsComplete(t *testing.T) {
	number, count, seed, cache := 0.5, 1, uint32(1), true
	text := &jeantrail.TextRequest{
		Prompt: "p", System: "s", Messages: []jeantrail.Message{{Role: "assistant", Content: "c", Reasoning: "r", ToolCallID: "t",
			ToolCalls: []jeantrail.ToolCall{{Name: "f", Arguments: `{"a":1}`}}}},
		Tools: []string{`{"a":1}`}, MaxTokens: &count, Temperature: &number, TopP: &number, TopK: &count, MinP: &number, TypicalP: &number,
		Seed: &seed, Stop: []string{"x"}, RepeatPenalty: &number, FrequencyPenalty: &number, PresencePenalty: &number, DryMultiplier: &number,
		LogitBias: map[int32]float64{1: 2}, Grammar: "root ::= \"a\"", JSONSchema: `{"type":"object"}`, Thinking: true, Raw: true, IgnoreEOS: true, NoWait: true,
	}
	req := jeantrail.Request{
		Kind: jeantrail.KindText, UserID: "u", Model: "m", Priority: jeantrail.PriorityBatch, Async: true, TaskType: "t",
		Metadata: map[string]string{"a": "b"}, Cache: &cache, Template: "t", Text: text,
		Variables: map[string]any{"a": "b", "c": json.Number("1.50"), "d": true},
		// A pipeline sets these for its stages; nobody asks for them.
		Workflow: "w", Parent: "j", Stage: "s",
	}
	// The other kinds, and files, have tests of their own.
	elsewhere := []string{"Image", "Transcribe", "Speak", "Pipeline", "Images"}
	for _, v := range []reflect.Value{reflect.ValueOf(req), reflect.ValueOf(*text), reflect.ValueOf(text.Messages[0])} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() && !slices.Contains(elsewhere, v.Type().Field(i).Name) {
				t.Errorf("the test leaves out %s.%s", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
	data, err := json.Marshal(requestBody(&req))
	if err != nil {
		t.Fatal(err)
	}
	var body generateRequest
	if err := decodeStrict(data, &body); err != nil {
		t.Fatal(err)
	}
	// Together these exclude each other; that is Validate's business, not ours.
	got, err := body.words()
	if err != nil {
		t.Fatal(err)
	}
	req.Workflow, req.Parent, req.Stage = "", "", ""
	if !reflect.DeepEqual(got, req) {
		t.Errorf("%s\nbecame %+v\nwant   %+v", data, got.Text, req.Text)
	}
}

// Whatever is accepted becomes a request that can be put on the wire again and
// read back as the same; whatever is refused is refused with a code.
func FuzzDecodeGenerate(f *testing.F) {
	for _, seed := range []string{
		`{"prompt":"x"}`, `{"messages":[{"role":"user","content":"x"}],"tools":[{}],"stop":["a"]}`,
		`{"prompt":"\ud800","logit_bias":{"1":2},"seed":4294967295}`, `{"prompt":1}`, `{"prompt":"x","variables":null,"stream":null}`,
		`{"messages":[{"role":"assistant","tool_calls":[{"name":"f","arguments":{"a":[1]}}]}]}`, `{"":0}`, `[`, `{"template":"t","variables":{"a":1e2,"b":"c","d":false},"cache":false}`,
		`{"template":"t","variables":{}}`, "{\"prompt\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var body generateRequest
		err := decodeStrict(data, &body)
		s := newTestServer(t, Options{})
		if err == nil {
			_, err = body.request(s.uploadFor(t.Context(), jeantrail.Principal{}))
		}
		if err != nil {
			if code := jeantrail.CodeOf(err); code == jeantrail.CodeInternal {
				t.Fatalf("refused as internal: %v", err)
			}
			return
		}
		req, _ := body.words()
		again, err := json.Marshal(requestBody(&req))
		if err != nil {
			t.Fatal(err)
		}
		var second generateRequest
		if err := decodeStrict(again, &second); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		req2, err := second.words()
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		once, _ := json.Marshal(req)
		twice, _ := json.Marshal(req2)
		if string(once) != string(twice) {
			t.Errorf("%s became %s", once, twice)
		}
	})
}
