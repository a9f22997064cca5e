package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// probeTimeout is how long somebody who asks for a probe waits for it.
const probeTimeout = 5 * time.Second

// wireWorker is a server of its own that does one kind of work, and how it is.
type wireWorker struct {
	Name                string   `json:"name"`
	Aliases             []string `json:"aliases" nullable:"false"`
	Kind                string   `json:"kind" enum:"text,image,transcribe,speak"`
	URL                 string   `json:"url,omitempty" doc:"Only administrators see it."`
	Dialect             string   `json:"dialect" doc:"As configured; auto lets a probe find out."`
	Speaks              string   `json:"speaks,omitempty" doc:"The dialect that a probe found."`
	Vision              bool     `json:"vision,omitempty" doc:"It reads images."`
	Model               string   `json:"model,omitempty" doc:"That it says it runs."`
	Version             string   `json:"version,omitempty" doc:"That it says it is."`
	Default             bool     `json:"default" doc:"Of its kind."`
	Remote              bool     `json:"remote" doc:"It may be outside this machine and its private networks."`
	Optional            bool     `json:"optional" doc:"Nobody asked for it, so that its absence is no fault."`
	Status              string   `json:"status" enum:"unknown,starting,ready,degraded,down"`
	Problem             string   `json:"problem,omitempty" doc:"Why it is not ready."`
	LatencyMS           float64  `json:"latency_ms" doc:"Of the last probe."`
	CheckedAt           string   `json:"checked_at,omitempty" format:"date-time" doc:"Left out if it was not probed yet."`
	ReadyAt             string   `json:"ready_at,omitempty" format:"date-time" doc:"When it was last found ready."`
	Since               string   `json:"since,omitempty" format:"date-time" doc:"When it came into this status."`
	ErrorRate           float64  `json:"error_rate" doc:"Of its latest probes and requests, 0 to 1."`
	ConsecutiveFailures int      `json:"consecutive_failures"`
	Breaker             string   `json:"breaker" enum:"closed,open,half-open" doc:"open: requests are refused at once until a probe succeeds."`
	Concurrency         int      `json:"concurrency" doc:"Requests at once."`
	Running             int      `json:"running"`
	Queued              int      `json:"queued"`
	MemoryBytes         int64    `json:"memory_bytes,omitempty" doc:"Left out if nobody says."`
	MemoryFrom          string   `json:"memory_from,omitempty" enum:"config,worker" doc:"Who says so."`
}

func workerOf(w *jeantrail.Worker, p jeantrail.Principal) *wireWorker {
	out := &wireWorker{
		Name: w.Name, Aliases: w.Aliases, Kind: string(w.Kind), Dialect: w.Dialect, Speaks: w.Speaks, Vision: w.Vision,
		Model: w.Model, Version: w.Version, Default: w.Default, Remote: w.Remote, Optional: w.Optional,
		Status: string(w.Status), Problem: w.Problem, LatencyMS: millis(w.Latency), CheckedAt: wireTime(w.CheckedAt),
		ReadyAt: wireTime(w.ReadyAt), Since: wireTime(w.Since), ErrorRate: w.ErrorRate, ConsecutiveFailures: w.ConsecutiveFailures,
		Breaker: breakerOf(w), Concurrency: w.Concurrency, Running: w.Running, Queued: w.Queued,
		MemoryBytes: w.MemoryBytes, MemoryFrom: w.MemoryFrom,
	}
	if out.Aliases == nil {
		out.Aliases = []string{}
	}
	if p.Role == jeantrail.RoleAdmin {
		out.URL = w.URL
	}
	return out
}

// breakerOf is closed for a worker about which nothing is known yet.
func breakerOf(w *jeantrail.Worker) string {
	if w.Breaker == "" {
		return "closed"
	}
	return w.Breaker
}

// wireMemory is how the one memory budget stands.
type wireMemory struct {
	LimitBytes int64                `json:"limit_bytes" doc:"0: no limit is known."`
	UsedBytes  int64                `json:"used_bytes"`
	Holders    []wireHolder         `json:"holders" nullable:"false"`
	Recent     []wireMemoryDecision `json:"recent" nullable:"false" doc:"Newest first."`
}

type wireHolder struct {
	Name      string `json:"name"`
	Bytes     int64  `json:"bytes"`
	Source    string `json:"source" doc:"Where the figure is from: model, config, worker, or prefixes for the kept beginnings of conversations."`
	Busy      bool   `json:"busy" doc:"Somebody is using it."`
	Pinned    bool   `json:"pinned" doc:"It is never asked to let go."`
	CanUnload bool   `json:"can_unload"`
	UsedAt    string `json:"used_at,omitempty" format:"date-time"`
}

type wireMemoryDecision struct {
	At        string `json:"at" format:"date-time"`
	For       string `json:"for" doc:"Who needed room."`
	NeedBytes int64  `json:"need_bytes"`
	Did       string `json:"did"`
	Reason    string `json:"reason,omitempty"`
}

func memoryOf(m *jeantrail.MemoryUse) wireMemory {
	out := wireMemory{
		LimitBytes: m.Limit, UsedBytes: m.Used, Holders: make([]wireHolder, 0, len(m.Holders)),
		Recent: make([]wireMemoryDecision, 0, len(m.Recent)),
	}
	for _, h := range m.Holders {
		out.Holders = append(out.Holders, wireHolder{
			Name: h.Name, Bytes: h.Bytes, Source: h.Source, Busy: h.Busy, Pinned: h.Pinned, CanUnload: h.CanUnload, UsedAt: wireTime(h.UsedAt),
		})
	}
	for _, d := range m.Recent {
		out.Recent = append(out.Recent, wireMemoryDecision{At: wireTime(d.At), For: d.For, NeedBytes: d.Need, Did: d.Did, Reason: d.Reason})
	}
	return out
}

// wireRegistry is everything that does work here.
type wireRegistry struct {
	Models               []*wireModel  `json:"models" nullable:"false"`
	Workers              []*wireWorker `json:"workers" nullable:"false"`
	Memory               wireMemory    `json:"memory"`
	RemoteWorkersAllowed bool          `json:"remote_workers_allowed"`
}

// getRegistry serves GET /registry.
func (s *Server) getRegistry(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r); err != nil {
		return err
	}
	models, workers, memory := s.opt.Models.Survey(r.Context()), s.opt.Fleet.Workers(), s.opt.Fleet.Memory()
	out := wireRegistry{
		Models: make([]*wireModel, 0, len(models)), Workers: make([]*wireWorker, 0, len(workers)),
		Memory: memoryOf(&memory), RemoteWorkersAllowed: s.opt.RemoteWorkersAllowed,
	}
	for i := range models {
		out.Models = append(out.Models, modelOf(&models[i], caller(r)))
	}
	for i := range workers {
		out.Workers = append(out.Workers, workerOf(&workers[i], caller(r)))
	}
	return writeJSON(w, http.StatusOK, &out)
}

// worker finds a worker by name or alias.
func (s *Server) worker(name string) (*jeantrail.Worker, error) {
	workers := s.opt.Fleet.Workers()
	names := make([]string, 0, len(workers))
	for i := range workers {
		if workers[i].Name == name || slices.Contains(workers[i].Aliases, name) {
			return &workers[i], nil
		}
		names = append(names, workers[i].Name)
	}
	return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no worker %.80q", name).WithHint("There are: %s.", strings.Join(names, ", "))
}

// wireProbe is what one look at a worker showed.
type wireProbe struct {
	At        string  `json:"at" format:"date-time"`
	Status    string  `json:"status" enum:"unknown,starting,ready,degraded,down"`
	LatencyMS float64 `json:"latency_ms"`
	Problem   string  `json:"problem,omitempty"`
	Model     string  `json:"model,omitempty"`
	Version   string  `json:"version,omitempty"`
}

type wireHistory struct {
	Worker  string      `json:"worker"`
	History []wireProbe `json:"history" nullable:"false" doc:"Newest first: when the status changed, and now and then in between."`
}

// workerHistory serves GET /registry/{name}/history.
func (s *Server) workerHistory(w http.ResponseWriter, r *http.Request) error {
	query, err := readQuery(r, "limit")
	if err != nil {
		return err
	}
	limit, err := queryLimit(query)
	if err != nil {
		return err
	}
	worker, err := s.worker(r.PathValue("name"))
	if err != nil {
		return err
	}
	probes, err := s.opt.Fleet.History(r.Context(), worker.Name, limit)
	if err != nil {
		return err
	}
	out := wireHistory{Worker: worker.Name, History: make([]wireProbe, 0, len(probes))}
	for _, p := range probes {
		out.History = append(out.History, wireProbe{
			At: wireTime(p.At), Status: string(p.Status), LatencyMS: millis(p.Latency), Problem: p.Problem, Model: p.Model, Version: p.Version,
		})
	}
	return writeJSON(w, http.StatusOK, &out)
}

// probeWorker serves POST /registry/{name}/probe.
func (s *Server) probeWorker(w http.ResponseWriter, r *http.Request) error {
	if err := readNothing(w, r); err != nil {
		return err
	}
	if caller(r).Role == jeantrail.RoleViewer {
		return jeantrail.Errorf(jeantrail.CodeForbidden, "the role %q may not probe workers", caller(r).Role)
	}
	worker, err := s.worker(r.PathValue("name"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	now, err := s.opt.Fleet.ProbeNow(ctx, worker.Name)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, workerOf(&now, caller(r)))
}

// readNothing refuses a body where there is nothing to say.
func readNothing(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	data, err := readBody(w, r, maxEpilogue)
	if err != nil {
		return err
	}
	if text := strings.Join(strings.Fields(string(data)), ""); text != "" && text != "{}" {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "this path takes no body").WithHint("Send none, or {}.")
	}
	return nil
}

type wireChanges struct {
	Changes []string `json:"changes" nullable:"false" doc:"What changed, or would at the next start; none if the configuration is as it was."`
}

// reloadConfig serves POST /config/reload.
func (s *Server) reloadConfig(w http.ResponseWriter, r *http.Request) error {
	if err := needAdmin(r, "reload the configuration"); err != nil {
		return err
	}
	if err := readNothing(w, r); err != nil {
		return err
	}
	changes, err := s.opt.Fleet.Reload(r.Context())
	if err != nil {
		return err
	}
	if changes == nil {
		changes = []string{}
	}
	return writeJSON(w, http.StatusOK, &wireChanges{Changes: changes})
}

// loadModel serves POST /models/{name}/load: 200 with the model if it is ready,
// 202 if it is on its way.
func (s *Server) loadModel(w http.ResponseWriter, r *http.Request) error {
	return s.changeModel(w, r, "load models", s.opt.Fleet.Load)
}

// unloadModel serves POST /models/{name}/unload.
func (s *Server) unloadModel(w http.ResponseWriter, r *http.Request) error {
	return s.changeModel(w, r, "unload models", s.opt.Fleet.Unload)
}

func (s *Server) changeModel(w http.ResponseWriter, r *http.Request, what string, change func(context.Context, string) error) error {
	if err := needAdmin(r, what); err != nil {
		return err
	}
	if err := readNothing(w, r); err != nil {
		return err
	}
	m, err := s.model(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	if err := change(r.Context(), m.Name); err != nil {
		return err
	}
	if m, err = s.model(r.Context(), m.Name); err != nil {
		return err
	}
	status := http.StatusOK
	if m.Status == jeantrail.ModelLoading {
		status = http.StatusAccepted
	}
	return writeJSON(w, status, modelOf(m, caller(r)))
}
