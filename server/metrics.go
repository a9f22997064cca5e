package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/jeantrail/jeantrail-ai"
)

// Metrics counts what the process does, in a registry of its own. Besides
// requests it counts jobs: it is an observer of the gateway, so that jobs count
// whichever way they came in.
type Metrics struct {
	registry *prometheus.Registry

	requests    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	streams     *prometheus.GaugeVec
	admitted    *prometheus.CounterVec
	jobs        *prometheus.CounterVec
	tokens      *prometheus.CounterVec
	cost        *prometheus.CounterVec
	queueWait   *prometheus.HistogramVec
	jobDuration *prometheus.HistogramVec
	firstToken  *prometheus.HistogramVec
	money       moneyMetrics
}

// jobBuckets span a cached one-token answer to an hour of background work.
func jobBuckets() []float64 {
	return []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
}

// NewMetrics makes a registry with the process's own figures, ours, and those
// of further collectors, for example the engine's.
func NewMetrics(more ...prometheus.Collector) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "jeantrail", Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "jeantrail", Name: name, Help: help, Buckets: jobBuckets()}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: counter("http_requests_total", "HTTP requests by method, route and status code.", "method", "route", "code"),
		duration: histogram("http_request_duration_seconds", "Time from the first byte of a request to the last of its answer.", "method", "route"),
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "jeantrail", Name: "open_streams",
			Help: "Open event streams by transport."}, []string{"transport"}),
		admitted:    counter("jobs_admitted_total", "Jobs admitted by kind and model.", "kind", "model"),
		jobs:        counter("jobs_total", "Jobs that ended by kind, model and final state.", "kind", "model", "state"),
		tokens:      counter("tokens_total", "Tokens of ended jobs. The cached ones are among the prompt's, the reasoning ones among the completion's.", "model", "type"),
		cost:        counter("cost_microdollars_total", "What ended jobs were charged, in millionths of a US dollar.", "kind", "model"),
		queueWait:   histogram("queue_wait_seconds", "Time from a job's admission to its start.", "kind"),
		jobDuration: histogram("job_duration_seconds", "Time from a job's admission to its end.", "kind", "state"),
		firstToken:  histogram("first_token_seconds", "Time from a text job's admission to its first token.", "model"),
		money:       newMoneyMetrics(),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, m.duration, m.streams, m.admitted, m.jobs, m.tokens, m.cost, m.queueWait, m.jobDuration, m.firstToken,
	)
	m.registry.MustRegister(m.money.collectors()...)
	m.registry.MustRegister(more...)
	return m
}

// Registry is where further collectors may be registered.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// JobAdmitted counts a job that was admitted.
func (m *Metrics) JobAdmitted(j *jeantrail.Job) {
	m.admitted.WithLabelValues(string(j.Kind), j.Model).Inc()
}

// JobStarted counts how long a job has waited.
func (m *Metrics) JobStarted(j *jeantrail.Job) {
	if !j.StartedAt.IsZero() {
		m.queueWait.WithLabelValues(string(j.Kind)).Observe(j.StartedAt.Sub(j.CreatedAt).Seconds())
	}
}

// JobFinished counts a job that ended, with its tokens and its cost.
func (m *Metrics) JobFinished(j *jeantrail.Job) {
	kind, state := string(j.Kind), string(j.State)
	m.jobs.WithLabelValues(kind, j.Model, state).Inc()
	if !j.FinishedAt.IsZero() {
		m.jobDuration.WithLabelValues(kind, state).Observe(j.FinishedAt.Sub(j.CreatedAt).Seconds())
	}
	if j.Result == nil {
		return
	}
	usage := j.Result.Usage
	for _, count := range []struct {
		kind string
		n    int
	}{
		{"prompt", usage.PromptTokens}, {"cached", usage.CachedTokens},
		{"completion", usage.CompletionTokens}, {"reasoning", usage.ReasoningTokens},
	} {
		m.tokens.WithLabelValues(j.Model, count.kind).Add(float64(count.n))
	}
	m.cost.WithLabelValues(kind, j.Model).Add(float64(j.Result.Cost.Amount))
	m.money.finished(j)
	if first := j.Result.Timings.FirstToken; first > 0 {
		m.firstToken.WithLabelValues(j.Model).Observe(first.Seconds())
	}
}

func (m *Metrics) request(method, route string, code int, took time.Duration) {
	m.requests.WithLabelValues(knownMethod(method), route, strconv.Itoa(code)).Inc()
	m.duration.WithLabelValues(knownMethod(method), route).Observe(took.Seconds())
}

// knownMethod keeps a caller from making a label value of anything.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}

func (m *Metrics) streamOpened(transport string) { m.streams.WithLabelValues(transport).Inc() }
func (m *Metrics) streamClosed(transport string) { m.streams.WithLabelValues(transport).Dec() }

// watch registers what is read at the moment of a scrape; of two servers that
// share the metrics the later one is watched.
func (m *Metrics) watch(s *snapshot) {
	m.registry.Unregister(&snapshot{})
	m.registry.MustRegister(s)
}

// snapshot collects what is a state and not a count.
type snapshot struct {
	models  Models
	money   Money
	fleet   Fleet
	vitals  func(context.Context) Vitals
	clock   func() time.Time
	version string
}

// scrapeTimeout bounds how long a scrape may look at models and store.
const scrapeTimeout = 5 * time.Second

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("jeantrail_"+name, help, labels, nil)
}

func descBuild() *prometheus.Desc {
	return desc("build_info", "Always 1; the label tells the version.", "version")
}

func descQueue() *prometheus.Desc {
	return desc("unfinished_jobs", "Jobs that have not ended, by state.", "state")
}

func descReserved() *prometheus.Desc {
	return desc("reserved_microdollars", "What unfinished jobs hold, in millionths of a US dollar.")
}

func descStore() *prometheus.Desc { return desc("store_up", "1 if the database works.") }

func descModel() *prometheus.Desc {
	return desc("model_status", "1 for the status that the model has.", "model", "status")
}

// Describe implements prometheus.Collector.
func (s *snapshot) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descBuild(), descQueue(), descReserved(), descStore(), descModel(), descHolds(), descBudget()} {
		ch <- d
	}
	for _, d := range workerDescs() {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *snapshot) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	v := s.vitals(ctx)
	gauge(descBuild(), 1, s.version)
	gauge(descQueue(), float64(v.Queued), "queued")
	gauge(descQueue(), float64(v.Running), "running")
	gauge(descReserved(), float64(v.Reserved))
	gauge(descHolds(), float64(v.Holds))
	s.budgetRatios(ctx, gauge)
	s.workers(gauge)
	gauge(descStore(), oneIf(v.StoreErr == nil))
	statuses := []jeantrail.ModelStatus{
		jeantrail.ModelAvailable, jeantrail.ModelLoading, jeantrail.ModelReady, jeantrail.ModelFailed, jeantrail.ModelMissing,
	}
	for _, m := range s.models.List(ctx) {
		for _, status := range statuses {
			gauge(descModel(), oneIf(m.Status == status), m.Name, string(status))
		}
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// serveMetrics serves GET /metrics.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{Registry: s.metrics.registry}).ServeHTTP(w, r)
	return nil
}
