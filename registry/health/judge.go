package health

import (
	"fmt"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// A sight is what one probe showed, and what else is needed to judge by it.
type sight struct {
	was      jeantrail.WorkerStatus
	optional bool
	ready    bool          // it was found ready before
	starting time.Duration // how long it has been starting: since it was added, or says that it is loading

	answer  jeantrail.WorkerStatus // as the prober has it
	problem string                 // as the prober has it
	latency time.Duration
	silent  bool // there was no answer within the probe's timeout
	busy    bool // a request was in flight, when the probe began or when it ended

	errorRate float64 // with this probe
	samples   int
}

// A verdict is what becomes of a worker by a probe.
type verdict struct {
	status  jeantrail.WorkerStatus
	problem string
	counts  bool // as a success or a failure; what is only starting, or busy, is neither
}

// answered reports whether a prober's status means that the worker can be used.
func answered(s jeantrail.WorkerStatus) bool {
	return s == jeantrail.WorkerReady || s == jeantrail.WorkerDegraded
}

// judge applies the rule of the package's comment.
func judge(s sight, set Settings) verdict {
	switch {
	case answered(s.answer):
		status, problem := s.quality(set)
		return verdict{status, problem, true}
	case s.silent && s.busy:
		return verdict{s.was, "it is at work and did not answer the last probe", false}
	case s.answer == jeantrail.WorkerStarting && s.starting < set.Grace:
		return verdict{jeantrail.WorkerStarting, s.words("it is loading"), false}
	case s.answer == jeantrail.WorkerStarting:
		return verdict{jeantrail.WorkerDown, fmt.Sprintf("it has not become ready within %s: %s", set.Grace, s.words("it is loading")), true}
	case !s.ready && !s.optional && s.starting < set.Grace:
		return verdict{jeantrail.WorkerStarting, s.words("it does not answer yet"), false}
	default:
		return verdict{jeantrail.WorkerDown, s.words("it does not answer"), true}
	}
}

// quality tells a ready worker from a degraded one.
func (s sight) quality(set Settings) (jeantrail.WorkerStatus, string) {
	switch {
	case s.answer == jeantrail.WorkerDegraded:
		return jeantrail.WorkerDegraded, s.words("it says that it is not well")
	case s.samples >= minSamples && s.errorRate >= set.ErrorRate:
		return jeantrail.WorkerDegraded, fmt.Sprintf("%.0f %% of the last %d requests and probes failed", s.errorRate*100, s.samples)
	case s.latency > set.Slow && !s.busy:
		return jeantrail.WorkerDegraded, fmt.Sprintf("it took %s to answer a probe, with nothing else to do", s.latency.Round(time.Millisecond))
	default:
		return jeantrail.WorkerReady, ""
	}
}

// words are the prober's own, if it has some.
func (s sight) words(otherwise string) string {
	switch {
	case s.problem != "":
		return s.problem
	case s.silent:
		return "it did not answer the probe in time"
	default:
		return otherwise
	}
}

// Fault reports whether a worker's status is something to be told about: one
// that nobody asked for and that was never there is no fault.
func Fault(w jeantrail.Worker) bool {
	switch w.Status {
	case jeantrail.WorkerDegraded:
		return true
	case jeantrail.WorkerDown:
		return !w.Optional || !w.ReadyAt.IsZero()
	default:
		return false
	}
}
