package health

import (
	"math/rand/v2"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// jitter is how far a pause between probes may be from the interval, to either
// side: probes of many workers do not stay in step.
const jitter = 0.2

// minSamples is how many probes and requests there must be before their error
// rate says anything.
const minSamples = 4

// Settings say how one worker is watched. What is zero has the default.
type Settings struct {
	Interval  time.Duration // between probes, give or take a fifth; 10 s
	Timeout   time.Duration // of a probe; 5 s
	Grace     time.Duration // that it may take to start; 120 s
	Window    time.Duration // that the error rate looks back; 5 min
	Slow      time.Duration // a probe of an idle worker that takes longer makes it degraded; 2 s
	ErrorRate float64       // from which on it is degraded, above 0 up to 1; 0.3
	Trip      int           // failed requests in a row that open the breaker; 3
	Open      time.Duration // that the breaker stays open before it lets one through; 30 s
}

// withDefaults fills in what is zero; what can never work is invalid.
func (s Settings) withDefaults() (Settings, error) {
	for _, d := range []struct {
		name    string
		value   *time.Duration
		usually time.Duration
	}{
		{"interval", &s.Interval, 10 * time.Second},
		{"timeout", &s.Timeout, 5 * time.Second},
		{"grace", &s.Grace, 120 * time.Second},
		{"window", &s.Window, 5 * time.Minute},
		{"slow", &s.Slow, 2 * time.Second},
		{"open", &s.Open, 30 * time.Second},
	} {
		if *d.value < 0 {
			return s, jeantrail.Errorf(jeantrail.CodeInvalid, "the health setting %s is %s, it must not be negative", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.usually
		}
	}
	if s.Window < buckets {
		return s, jeantrail.Errorf(jeantrail.CodeInvalid, "the health setting window is %s, which is too short", s.Window)
	}
	if !(s.ErrorRate >= 0 && s.ErrorRate <= 1) {
		return s, jeantrail.Errorf(jeantrail.CodeInvalid, "the health setting error_rate is %v, it must be between 0 and 1", s.ErrorRate)
	}
	if s.ErrorRate == 0 {
		s.ErrorRate = 0.3
	}
	if s.Trip < 0 {
		return s, jeantrail.Errorf(jeantrail.CodeInvalid, "the health setting trip is %d, it must not be negative", s.Trip)
	}
	if s.Trip == 0 {
		s.Trip = 3
	}
	return s, nil
}

// pause returns how long to wait until the next probe.
func (s Settings) pause() time.Duration {
	return time.Duration(float64(s.Interval) * (1 - jitter + 2*jitter*rand.Float64()))
}
