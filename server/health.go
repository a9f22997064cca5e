package server

import (
	"context"
	"net/http"
	"slices"

	"github.com/jeantrail/jeantrail-ai"
)

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
	Workers       map[string]string      `json:"workers,omitzero" doc:"The status of each worker; /registry tells more."`
	// A pointer, because without a token nothing is told, not even false.
	RemoteWorkersAllowed *bool `json:"remote_workers_allowed,omitempty" doc:"Workers may be outside this machine and its private networks."`

	Store *storeHealth `json:"store,omitempty"`
	Queue *queueHealth `json:"queue,omitempty"`
}

type modelHealth struct {
	Status   string  `json:"status" enum:"available,loading,ready,failed,missing"`
	Default  bool    `json:"default"`
	Progress float64 `json:"progress"`
	Problem  string  `json:"problem,omitempty"`
	Pinned   bool    `json:"pinned"`
}

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
	return writeJSON(w, http.StatusOK, s.healthFor(r.Context(), true))
}

// ready serves GET /ready: 200 if a request for the default model can be taken
// up now, whatever the workers and the other models do.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) error {
	h := s.healthFor(r.Context(), false)
	if h.Status == statusOK && !s.stopping.Load() {
		return writeJSON(w, http.StatusOK, h)
	}
	w.Header().Set("Retry-After", "1")
	return writeJSON(w, http.StatusServiceUnavailable, h)
}

// healthFor is how the process is; with all, the workers and the pinned models
// count.
func (s *Server) healthFor(ctx context.Context, all bool) *wireHealth {
	vitals, models := s.opt.Vitals(ctx), s.opt.Models.List(ctx)
	h := &wireHealth{Status: overall(vitals, models, s.stopping.Load())}
	var workers []jeantrail.Worker
	if all {
		workers = s.opt.Fleet.Workers()
	}
	if h.Status == statusOK && all && (slices.ContainsFunc(workers, missed) || slices.ContainsFunc(models, missing)) {
		h.Status = statusDegraded
	}
	if _, known := principalOf(ctx); !known {
		return h
	}
	uptime := int64(s.opt.Clock().Sub(s.started).Seconds())
	h.Version, h.InstanceID, h.UptimeSeconds = s.opt.Version, s.opt.InstanceID, &uptime
	h.RemoteWorkersAllowed = &s.opt.RemoteWorkersAllowed
	h.Models, h.Workers = make(map[string]modelHealth, len(models)), make(map[string]string, len(workers))
	for i := range workers {
		h.Workers[workers[i].Name] = string(workers[i].Status)
	}
	for _, m := range models {
		h.Models[m.Name] = modelHealth{Status: string(m.Status), Default: m.Default, Progress: m.Progress, Problem: m.Problem, Pinned: m.Pinned}
	}
	h.Store = &storeHealth{Status: statusOK}
	if vitals.StoreErr != nil {
		h.Store = &storeHealth{Status: "failed", Problem: shown(jeantrail.AsError(vitals.StoreErr))}
	}
	h.Queue = &queueHealth{Queued: vitals.Queued, Running: vitals.Running, ReservedMicros: int64(vitals.Reserved)}
	return h
}

// missed reports whether somebody asked for the worker and it does not work.
func missed(w jeantrail.Worker) bool {
	return !w.Optional && (w.Status == jeantrail.WorkerDown || w.Status == jeantrail.WorkerDegraded)
}

// missing reports whether a model is to be in memory always and cannot be.
func missing(m jeantrail.Model) bool {
	return m.Pinned && (m.Status == jeantrail.ModelFailed || m.Status == jeantrail.ModelMissing)
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
