package server

import (
	"context"
	"net/http"
	"slices"

	"github.com/jeantrail/jeantrail-ai"
)

// wireModel is a text model that the configuration names.
type wireModel struct {
	Name         string      `json:"name"`
	Aliases      []string    `json:"aliases" nullable:"false"`
	Default      bool        `json:"default"`
	BuiltIn      bool        `json:"built_in"`
	Status       string      `json:"status" enum:"available,loading,ready,failed,missing"`
	Progress     float64     `json:"progress" doc:"Of loading, 0 to 1."`
	Problem      string      `json:"problem,omitempty" doc:"Why it is failed or missing."`
	Path         string      `json:"path,omitempty" doc:"Its file; only administrators see it."`
	Bytes        int64       `json:"bytes"`
	SHA256       string      `json:"sha256,omitempty"`
	Architecture string      `json:"architecture"`
	Quantization string      `json:"quantization"`
	Parameters   int64       `json:"parameters"`
	Layers       int         `json:"layers"`
	NCtxTrain    int         `json:"n_ctx_train"`
	NCtx         int         `json:"n_ctx"`
	MemoryBytes  int64       `json:"memory_bytes" doc:"Weights, KV cache and compute buffers at n_ctx."`
	Engine       *wireEngine `json:"engine,omitempty" doc:"Where it runs; only when it is ready."`
	CheckedAt    string      `json:"checked_at,omitempty" format:"date-time"`
}

type wireModels struct {
	Models []*wireModel `json:"models" nullable:"false"`
}

func modelOf(m *jeantrail.Model, p jeantrail.Principal) *wireModel {
	out := &wireModel{
		Name: m.Name, Aliases: m.Aliases, Default: m.Default, BuiltIn: m.BuiltIn,
		Status: string(m.Status), Progress: m.Progress, Problem: m.Problem, Bytes: m.Bytes, SHA256: m.SHA256,
		Architecture: m.Architecture, Quantization: m.Quantization, Parameters: m.Parameters, Layers: m.Layers,
		NCtxTrain: m.NCtxTrain, NCtx: m.NCtx, MemoryBytes: m.MemoryBytes, CheckedAt: wireTime(m.CheckedAt),
	}
	if out.Aliases == nil {
		out.Aliases = []string{}
	}
	if p.Role == jeantrail.RoleAdmin {
		out.Path = m.Path
	}
	if m.Status == jeantrail.ModelReady {
		engine := engineOf(m.Engine)
		out.Engine = &engine
	}
	return out
}

// listModels serves GET /models.
func (s *Server) listModels(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r); err != nil {
		return err
	}
	models := s.opt.Models.List(r.Context())
	out := wireModels{Models: make([]*wireModel, 0, len(models))}
	for i := range models {
		out.Models = append(out.Models, modelOf(&models[i], caller(r)))
	}
	return writeJSON(w, http.StatusOK, &out)
}

// model finds a model by name or alias.
func (s *Server) model(ctx context.Context, name string) (*jeantrail.Model, error) {
	for _, m := range s.opt.Models.List(ctx) {
		if m.Name == name || slices.Contains(m.Aliases, name) {
			return &m, nil
		}
	}
	return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no model %q", name).WithHint("GET /models lists those that there are.")
}

// getModel serves GET /models/{name}, by name or alias.
func (s *Server) getModel(w http.ResponseWriter, r *http.Request) error {
	m, err := s.model(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, modelOf(m, caller(r)))
}
