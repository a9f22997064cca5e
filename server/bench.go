package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/jeantrail/jeantrail-ai"
)

// benchReport is all that a benchmark measured: what jeantrail-ai bench … -o json
// prints.
type benchReport json.RawMessage

// MarshalJSON writes the report as it is.
func (b benchReport) MarshalJSON() ([]byte, error) { return json.RawMessage(b).MarshalJSON() }

// Schema implements huma.SchemaProvider. It says what every report has; figures
// are many, and those that a test does not take are left out.
func (benchReport) Schema(huma.Registry) *huma.Schema {
	kinds := []any{}
	for _, k := range jeantrail.BenchKinds() {
		kinds = append(kinds, string(k))
	}
	one, most := 1, 1000
	return &huma.Schema{
		Type: huma.TypeObject, Description: "What jeantrail-ai bench … -o json prints.", AdditionalProperties: true,
		Required: []string{"format", "id", "kind", "created_at", "rows"},
		Properties: map[string]*huma.Schema{
			"format":     {Type: huma.TypeInteger, Description: "Of the report itself: 1."},
			"id":         {Type: huma.TypeString, Format: "uuid", Pattern: `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`},
			"kind":       {Type: huma.TypeString, Enum: kinds},
			"created_at": {Type: huma.TypeString, Format: "date-time"},
			"rows": {Type: huma.TypeArray, MinItems: &one, MaxItems: &most, Description: "One for each test.",
				Items: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}},
		},
	}
}

// wireBench is a benchmark in a list.
type wireBench struct {
	ID           string   `json:"id" format:"uuid"`
	Kind         string   `json:"kind" enum:"raw,batched,engine,http"`
	CreatedAt    string   `json:"created_at" format:"date-time"`
	Tests        int      `json:"tests" doc:"How many rows the report has."`
	Model        string   `json:"model"`
	SHA256       string   `json:"sha256,omitempty" doc:"Of the model's file."`
	Quantization string   `json:"quantization,omitempty"`
	Backend      string   `json:"backend,omitempty"`
	Threads      int      `json:"threads,omitempty"`
	GPULayers    int      `json:"gpu_layers"`
	CPU          string   `json:"cpu,omitempty"`
	GPU          string   `json:"gpu,omitempty"`
	Version      string   `json:"version,omitempty" doc:"Of what was measured."`
	URL          string   `json:"url,omitempty" doc:"Of the server that was measured; only administrators see it."`
	Decode       *float64 `json:"tokens_per_second,omitempty" doc:"Of one stream; left out if that was not measured."`
	FirstTokenMS *float64 `json:"first_token_ms,omitempty" doc:"Of one stream, the median; left out as above."`
}

type wireBenches struct {
	Benches []*wireBench `json:"benches" nullable:"false"`
}

// wireBenchRun is a benchmark with all that it measured.
type wireBenchRun struct {
	ID        string      `json:"id" format:"uuid"`
	Kind      string      `json:"kind" enum:"raw,batched,engine,http"`
	CreatedAt string      `json:"created_at" format:"date-time"`
	Report    benchReport `json:"report"`
}

// wireSpeed is how fast a model was last measured to generate one stream.
type wireSpeed struct {
	BenchID         string  `json:"bench_id" format:"uuid" doc:"The benchmark that measured it."`
	Kind            string  `json:"kind" enum:"raw,batched,engine"`
	MeasuredAt      string  `json:"measured_at" format:"date-time"`
	Model           string  `json:"model"`
	SHA256          string  `json:"sha256"`
	Bytes           int64   `json:"bytes" doc:"Of the model's weights."`
	Parameters      int64   `json:"parameters"`
	CPU             string  `json:"cpu"`
	Backend         string  `json:"backend"`
	Threads         int     `json:"threads"`
	GPULayers       int     `json:"gpu_layers"`
	TokensPerSecond float64 `json:"tokens_per_second"`
}

type wireSpeeds struct {
	Speeds []*wireSpeed `json:"speeds" nullable:"false"`
}

func benchOf(b *jeantrail.BenchSummary, p jeantrail.Principal) *wireBench {
	out := &wireBench{
		ID: b.ID, Kind: string(b.Kind), CreatedAt: wireTime(b.CreatedAt), Tests: b.Tests, Model: b.Model, SHA256: b.SHA256,
		Quantization: b.Quantization, Backend: b.Backend, Threads: b.Threads, GPULayers: b.GPULayers, CPU: b.CPU, GPU: b.GPU, Version: b.Version,
	}
	if p.Role == jeantrail.RoleAdmin {
		out.URL = b.URL
	}
	if b.Decode > 0 {
		out.Decode = &b.Decode
	}
	if b.FirstToken > 0 {
		first := float64(b.FirstToken) / float64(time.Millisecond)
		out.FirstTokenMS = &first
	}
	return out
}

func benchRunOf(run *jeantrail.BenchRun) *wireBenchRun {
	return &wireBenchRun{ID: run.ID, Kind: string(run.Kind), CreatedAt: wireTime(run.CreatedAt), Report: benchReport(bytes.TrimSpace(run.Report))}
}

// addBench serves POST /bench, whose body is a report.
func (s *Server) addBench(w http.ResponseWriter, r *http.Request) error {
	if err := needAdmin(r, "keep benchmarks"); err != nil {
		return err
	}
	report, err := s.readBytes(w, r, s.opt.MaxBody)
	if err != nil {
		return err
	}
	run, err := s.opt.Benches.Add(r.Context(), report)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/bench/"+run.ID)
	return writeJSON(w, http.StatusCreated, benchRunOf(run))
}

// listBenches serves GET /bench, newest first.
func (s *Server) listBenches(w http.ResponseWriter, r *http.Request) error {
	query, err := readQuery(r, "kind", "model", "limit")
	if err != nil {
		return err
	}
	limit, err := queryLimit(query)
	if err != nil {
		return err
	}
	filter := jeantrail.BenchFilter{Kind: jeantrail.BenchKind(query.Get("kind")), Model: query.Get("model")}
	list, err := s.opt.Benches.List(r.Context(), filter, limit)
	if err != nil {
		return err
	}
	out := wireBenches{Benches: make([]*wireBench, 0, len(list))}
	for i := range list {
		out.Benches = append(out.Benches, benchOf(&list[i], caller(r)))
	}
	return writeJSON(w, http.StatusOK, &out)
}

// benchSpeeds serves GET /bench/speeds.
func (s *Server) benchSpeeds(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r); err != nil {
		return err
	}
	list, err := s.opt.Benches.Speeds(r.Context())
	if err != nil {
		return err
	}
	out := wireSpeeds{Speeds: make([]*wireSpeed, 0, len(list))}
	for i := range list {
		m := &list[i]
		out.Speeds = append(out.Speeds, &wireSpeed{
			BenchID: m.RunID, Kind: string(m.Kind), MeasuredAt: wireTime(m.MeasuredAt), Model: m.Model, SHA256: m.SHA256, Bytes: m.Bytes,
			Parameters: m.Parameters, CPU: m.CPU, Backend: m.Backend, Threads: m.Threads, GPULayers: m.GPULayers, TokensPerSecond: m.TokensPerSecond,
		})
	}
	return writeJSON(w, http.StatusOK, &out)
}

// getBench serves GET /bench/{id}. A report names servers that were measured, so
// that it is for administrators.
func (s *Server) getBench(w http.ResponseWriter, r *http.Request) error {
	if err := needAdmin(r, "read whole benchmarks"); err != nil {
		return err
	}
	run, err := s.opt.Benches.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, benchRunOf(run))
}

// deleteBench serves DELETE /bench/{id}.
func (s *Server) deleteBench(w http.ResponseWriter, r *http.Request) error {
	if err := needAdmin(r, "delete benchmarks"); err != nil {
		return err
	}
	if err := s.opt.Benches.Delete(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
