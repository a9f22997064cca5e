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

// getModel serves GET /models/{name}, by name or alias.
func (s *Server) getModel(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	for _, m := range s.opt.Models.List(r.Context()) {
		if m.Name == name || slices.Contains(m.Aliases, name) {
			return writeJSON(w, http.StatusOK, modelOf(&m, caller(r)))
		}
	}
	return jeantrail.Errorf(jeantrail.CodeNotFound, "there is no model %q", name).WithHint("GET /models lists those that there are.")
}

// The overall status.
const (
	statusOK       = "ok"
	statusDegraded = "degraded"
	statusLoading  = "loading"
)

// wireHealth answers /health and /ready. Without a token only status is there.
type wireHealth struct {
	Status        string                 `json:"status" enum:"ok,degraded,loading"`
	Version       string                 `json:"version,omitempty"`
	UptimeSeconds *int64                 `json:"uptime_seconds,omitempty"`
	InstanceID    string                 `json:"instance_id,omitempty"`
	Models        map[string]modelHealth `json:"models,omitempty"`
	Workers       *workerHealth          `json:"workers,omitempty" doc:"Local containers; none in this version."`
	Store         *storeHealth           `json:"store,omitempty"`
	Queue         *queueHealth           `json:"queue,omitempty"`
}

type modelHealth struct {
	Status   string  `json:"status" enum:"available,loading,ready,failed,missing"`
	Default  bool    `json:"default"`
	Progress float64 `json:"progress"`
	Problem  string  `json:"problem,omitempty"`
}

type workerHealth struct{}

type storeHealth struct {
	Status  string `json:"status" enum:"ok,failed"`
	Problem string `json:"problem,omitempty"`
}

type queueHealth struct {
	Queued         int   `json:"queued"`
	Running        int   `json:"running"`
	ReservedMicros int64 `json:"reserved_micros"`
}

// health serves GET /health: always 200, because it is the process that answers.
func (s *Server) health(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, s.healthFor(r.Context()))
}

// ready serves GET /ready: 200 if a request for the default model can be taken
// up now.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) error {
	h := s.healthFor(r.Context())
	if h.Status == statusOK && !s.stopping.Load() {
		return writeJSON(w, http.StatusOK, h)
	}
	w.Header().Set("Retry-After", "1")
	return writeJSON(w, http.StatusServiceUnavailable, h)
}

func (s *Server) healthFor(ctx context.Context) *wireHealth {
	vitals, models := s.opt.Vitals(ctx), s.opt.Models.List(ctx)
	h := &wireHealth{Status: overall(vitals, models, s.stopping.Load())}
	if _, known := principalOf(ctx); !known {
		return h
	}
	uptime := int64(s.opt.Clock().Sub(s.started).Seconds())
	h.Version, h.InstanceID, h.UptimeSeconds = s.opt.Version, s.opt.InstanceID, &uptime
	h.Models, h.Workers = make(map[string]modelHealth, len(models)), &workerHealth{}
	for _, m := range models {
		h.Models[m.Name] = modelHealth{Status: string(m.Status), Default: m.Default, Progress: m.Progress, Problem: m.Problem}
	}
	h.Store = &storeHealth{Status: statusOK}
	if vitals.StoreErr != nil {
		h.Store = &storeHealth{Status: "failed", Problem: shown(jeantrail.AsError(vitals.StoreErr))}
	}
	h.Queue = &queueHealth{Queued: vitals.Queued, Running: vitals.Running, ReservedMicros: int64(vitals.Reserved)}
	return h
}

// overall is ok if the default model can answer and the store can write.
func overall(v Vitals, models []jeantrail.Model, stopping bool) string {
	if v.StoreErr != nil || v.Stopping || stopping {
		return statusDegraded
	}
	for _, m := range models {
		if !m.Default {
			continue
		}
		switch m.Status {
		case jeantrail.ModelReady, jeantrail.ModelAvailable:
			return statusOK
		case jeantrail.ModelLoading:
			return statusLoading
		}
	}
	return statusDegraded
}

func (s *Server) serveOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(s.openapi)
	return err
}
