package server

import (
	"context"
	"math"
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
	LoadedBytes  int64       `json:"loaded_bytes,omitempty" doc:"That it is counted with in the memory budget; left out if it is not loaded."`
	Pinned       bool        `json:"pinned" doc:"It stays in memory when others need room."`
	Fit          *wireFit    `json:"fit,omitempty" doc:"How it fits this machine; left out if its file is not sound."`
	Engine       *wireEngine `json:"engine,omitempty" doc:"Where it runs; only when it is ready."`
	CheckedAt    string      `json:"checked_at,omitempty" format:"date-time"`
}

// wireFit is what a model takes with its settings, and whether there is that much.
type wireFit struct {
	Fits            bool    `json:"fits" doc:"It can be loaded now, if what is idle makes room."`
	Reason          string  `json:"reason,omitempty" doc:"Why it does not fit."`
	Hint            string  `json:"hint,omitempty" doc:"What would fit."`
	Note            string  `json:"note,omitempty" doc:"Why it may be slow although it fits: other programs hold the memory."`
	WeightsBytes    int64   `json:"weights_bytes"`
	ProjectorBytes  int64   `json:"projector_bytes" doc:"Weights of what reads images."`
	KVBytes         int64   `json:"kv_bytes"`
	ComputeBytes    int64   `json:"compute_bytes" doc:"Buffers, logits and vocabulary."`
	TotalBytes      int64   `json:"total_bytes"`
	RAMBytes        int64   `json:"ram_bytes" doc:"Of the machine's memory."`
	VRAMBytes       int64   `json:"vram_bytes" doc:"Of the memory of GPUs."`
	UsableRAMBytes  int64   `json:"usable_ram_bytes" doc:"That it was held against: what nobody holds who stays."`
	UsableVRAMBytes int64   `json:"usable_vram_bytes"`
	NCtx            int     `json:"n_ctx" doc:"Tokens of the longest conversation."`
	Slots           int     `json:"slots" doc:"Conversations at once."`
	KVCells         int     `json:"kv_cells" doc:"Tokens of all conversations together."`
	LargestNCtx     int     `json:"largest_n_ctx" doc:"Tokens of the longest conversation that would fit; 0 if none does."`
	GPULayers       int     `json:"gpu_layers" doc:"Of layers."`
	Layers          int     `json:"layers" doc:"The output counts as one."`
	TokensPerSecond float64 `json:"tokens_per_second,omitempty" doc:"Estimated, for one conversation; left out if it is not known. GET /models/{name} finds out."`
	SpeedIsBound    bool    `json:"speed_is_bound,omitempty" doc:"It can only be less: how fast a GPU is nobody knows."`
}

func fitOf(f *jeantrail.ModelFit) *wireFit {
	if f == nil {
		return nil
	}
	return &wireFit{
		Fits: f.Fits, Reason: f.Reason, Hint: f.Hint, Note: f.Note, WeightsBytes: f.Weights, ProjectorBytes: f.Projector, KVBytes: f.KV,
		ComputeBytes: f.Compute, TotalBytes: f.Total, RAMBytes: f.RAM, VRAMBytes: f.VRAM, UsableRAMBytes: f.UsableRAM, UsableVRAMBytes: f.UsableVRAM,
		NCtx: f.NCtx, Slots: f.Slots, KVCells: f.KVCells, LargestNCtx: f.LargestNCtx, GPULayers: f.GPULayers, Layers: f.Layers,
		TokensPerSecond: math.Round(f.TokensPerSecond*10) / 10, SpeedIsBound: f.SpeedIsBound,
	}
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
		LoadedBytes: m.LoadedBytes, Pinned: m.Pinned, Fit: fitOf(m.Fit),
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
	models := s.opt.Models.Survey(r.Context())
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
	m, err := s.opt.Models.Show(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, modelOf(m, caller(r)))
}

// wireModelState is the data of a model's event.
type wireModelState struct {
	Name     string  `json:"name"`
	Status   string  `json:"status" enum:"available,loading,ready,failed,missing"`
	Progress float64 `json:"progress" doc:"Of loading, 0 to 1."`
	Problem  string  `json:"problem,omitempty" doc:"Why it is failed or missing."`
}

// modelEvents serves GET /models/events: how every model is, at once and whenever
// that changes, until the client leaves or the server stops. The events have no
// id: there is nothing to resume, since each says all about its model.
func (s *Server) modelEvents(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r); err != nil {
		return err
	}
	watch := func(ctx context.Context) (<-chan jeantrail.ModelState, error) { return s.opt.Models.Watch(ctx), nil }
	return streamStates(s, w, r, watch, func(out *sseWriter, m jeantrail.ModelState) (over bool, err error) {
		state := wireModelState{Name: m.Name, Status: string(m.Status), Progress: m.Progress, Problem: m.Problem}
		return false, out.frame("", "model", &state)
	})
}
