package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/jeantrail/jeantrail-ai"
)

func descWorkerUp() *prometheus.Desc {
	return desc("worker_up", "1 if the worker takes requests: it is ready or degraded.", "worker", "kind")
}

func descWorkerLatency() *prometheus.Desc {
	return desc("worker_latency_seconds", "How long the last probe of the worker took.", "worker", "kind")
}

func descWorkerQueue() *prometheus.Desc {
	return desc("worker_queue", "Requests that wait for the worker.", "worker", "kind")
}

func descWorkerRunning() *prometheus.Desc {
	return desc("worker_running", "Requests that the worker has.", "worker", "kind")
}

func descWorkerBreaker() *prometheus.Desc {
	return desc("worker_breaker_state", "1 for the state that the worker's circuit breaker is in.", "worker", "kind", "state")
}

func descWorkerErrors() *prometheus.Desc {
	return desc("worker_error_ratio", "Share of the worker's latest probes and requests that failed.", "worker", "kind")
}

func workerDescs() []*prometheus.Desc {
	return []*prometheus.Desc{
		descWorkerUp(), descWorkerLatency(), descWorkerQueue(), descWorkerRunning(), descWorkerBreaker(), descWorkerErrors(),
	}
}

// workers are how the workers of the configuration are.
func (s *snapshot) workers(gauge func(*prometheus.Desc, float64, ...string)) {
	all := s.fleet.Workers()
	for i := range all {
		w := &all[i]
		kind := string(w.Kind)
		gauge(descWorkerUp(), oneIf(w.Status == jeantrail.WorkerReady || w.Status == jeantrail.WorkerDegraded), w.Name, kind)
		gauge(descWorkerLatency(), w.Latency.Seconds(), w.Name, kind)
		gauge(descWorkerQueue(), float64(w.Queued), w.Name, kind)
		gauge(descWorkerRunning(), float64(w.Running), w.Name, kind)
		gauge(descWorkerErrors(), w.ErrorRate, w.Name, kind)
		for _, state := range []string{"closed", "half-open", "open"} {
			gauge(descWorkerBreaker(), oneIf(breakerOf(w) == state), w.Name, kind, state)
		}
	}
}
