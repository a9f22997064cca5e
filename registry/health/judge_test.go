package health

import (
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// TestStatusTable holds the rule of the package's comment, line by line.
func TestStatusTable(t *testing.T) {
	set, err := Settings{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	const (
		unknown, starting = jeantrail.WorkerUnknown, jeantrail.WorkerStarting
		ready, degraded   = jeantrail.WorkerReady, jeantrail.WorkerDegraded
		down              = jeantrail.WorkerDown
	)
	for _, c := range []struct {
		name   string
		sight  sight
		want   jeantrail.WorkerStatus
		words  string // that the problem contains
		counts bool
	}{
		{"the first answer", sight{was: unknown, answer: ready}, ready, "", true},
		{"refused at first", sight{was: unknown, answer: down, problem: "connection refused"}, starting, "connection refused", false},
		{"silent at first", sight{was: unknown, answer: down, silent: true}, starting, "in time", false},
		{"refused to the end of the grace", sight{was: starting, answer: down, starting: set.Grace}, down, "", true},
		{"refused after it was ready", sight{was: ready, ready: true, answer: down, problem: "connection refused"}, down, "connection refused", true},
		{"silent after it was ready", sight{was: ready, ready: true, answer: down, silent: true}, down, "in time", true},
		{"optional and not there", sight{was: unknown, optional: true, answer: down, problem: "connection refused"}, down, "connection refused", true},
		{"optional and loading", sight{was: down, optional: true, answer: starting}, starting, "loading", false},
		{"optional and there", sight{was: down, optional: true, answer: ready}, ready, "", true},
		{"loading", sight{was: unknown, answer: starting, problem: "Loading model"}, starting, "Loading model", false},
		{"loading again after it was ready", sight{was: ready, ready: true, answer: starting}, starting, "loading", false},
		{"loading for too long", sight{was: starting, answer: starting, problem: "Loading model", starting: set.Grace}, down, "2m0s: Loading model", true},
		{"silent while it works", sight{was: ready, ready: true, answer: down, silent: true, busy: true}, ready, "at work", false},
		{"silent while it works, and down before", sight{was: down, ready: true, answer: down, silent: true, busy: true}, down, "at work", false},
		{"refused while it should work", sight{was: ready, ready: true, answer: down, busy: true}, down, "", true},
		{"it says that it is degraded", sight{was: ready, ready: true, answer: degraded, problem: "no model"}, degraded, "no model", true},
		{"too slow", sight{was: ready, answer: ready, latency: set.Slow + 1}, degraded, "nothing else to do", true},
		{"as slow as it may be", sight{was: ready, answer: ready, latency: set.Slow}, ready, "", true},
		{"slow while it works", sight{was: ready, answer: ready, latency: set.Slow + 1, busy: true}, ready, "", true},
		{"too many errors", sight{was: ready, answer: ready, errorRate: 0.3, samples: minSamples}, degraded, "30 % of the last 4", true},
		{"errors, but few", sight{was: ready, answer: ready, errorRate: 1, samples: minSamples - 1}, ready, "", true},
		{"errors, but rare", sight{was: ready, answer: ready, errorRate: 0.29, samples: 100}, ready, "", true},
		{"a status that is none", sight{was: ready, ready: true, answer: "fine"}, down, "", true},
	} {
		v := judge(c.sight, set)
		if v.status != c.want || v.counts != c.counts || !strings.Contains(v.problem, c.words) {
			t.Errorf("%s: %+v, want %s, counts %v, %q", c.name, v, c.want, c.counts, c.words)
		}
		if silentlyBusy := c.sight.silent && c.sight.busy; (v.status == ready && !silentlyBusy) != (v.problem == "") {
			t.Errorf("%s: %s with the problem %q", c.name, v.status, v.problem)
		}
	}
}

func TestFault(t *testing.T) {
	was := time.Unix(1, 0)
	for _, c := range []struct {
		worker jeantrail.Worker
		want   bool
	}{
		{jeantrail.Worker{Status: jeantrail.WorkerReady}, false},
		{jeantrail.Worker{Status: jeantrail.WorkerUnknown}, false},
		{jeantrail.Worker{Status: jeantrail.WorkerStarting}, false},
		{jeantrail.Worker{Status: jeantrail.WorkerDegraded}, true},
		{jeantrail.Worker{Status: jeantrail.WorkerDown}, true},
		{jeantrail.Worker{Status: jeantrail.WorkerDown, Optional: true}, false},
		{jeantrail.Worker{Status: jeantrail.WorkerDown, Optional: true, ReadyAt: was}, true},
	} {
		if got := Fault(c.worker); got != c.want {
			t.Errorf("%+v: a fault: %v, want %v", c.worker, got, c.want)
		}
	}
}

func TestWindowForgets(t *testing.T) {
	var w window
	const span = 5 * time.Minute
	start := time.Unix(1_000_000, 0)
	for i := range 10 {
		w.add(start.Add(time.Duration(i)*time.Second), span, i < 5)
	}
	wantRate := func(after time.Duration, rate float64, of int) {
		t.Helper()
		if r, n := w.rate(start.Add(after), span); r != rate || n != of {
			t.Errorf("after %s: %v of %d, want %v of %d", after, r, n, rate, of)
		}
	}
	wantRate(9*time.Second, 0.5, 10)
	w.add(start.Add(time.Minute), span, true)
	wantRate(span-time.Second, 6./11, 11)
	wantRate(span, 1, 1) // the first ten seconds are too old
	wantRate(span+time.Minute, 0, 0)
	w.add(start.Add(24*time.Hour), span, true)
	wantRate(24*time.Hour, 1, 1)
}

func TestSettings(t *testing.T) {
	for _, bad := range []Settings{
		{Interval: -1}, {Timeout: -1}, {Grace: -1}, {Window: -1}, {Window: 1}, {Slow: -1}, {Open: -1},
		{ErrorRate: -0.1}, {ErrorRate: 1.1}, {Trip: -1},
	} {
		if _, err := bad.withDefaults(); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("%+v: %v, want invalid", bad, err)
		}
	}
	given := Settings{
		Interval: 1, Timeout: 2, Grace: 3, Window: time.Hour, Slow: 4, ErrorRate: 0.5, Trip: 5, Open: 6,
	}
	if got, err := given.withDefaults(); err != nil || got != given {
		t.Errorf("%+v became %+v, %v", given, got, err)
	}
}
