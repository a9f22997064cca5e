package health

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/jeantrail/jeantrail-ai"
)

// breaker refuses requests to a worker that failed several in a row.
type breaker = gobreaker.TwoStepCircuitBreaker[struct{}]

func newBreaker(s Settings) *breaker {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      s.Open,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= s.Trip },
		IsExcluded:   func(err error) bool { return err != nil && !blames(err) },
		IsSuccessful: func(err error) bool { return err == nil },
	})
}

// blames reports whether an error is the worker's fault: it did not answer, or
// not in time. What the caller did (cancelled, sent something invalid, has no
// money) says nothing about the worker.
func blames(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	code := jeantrail.CodeOf(err)
	return code == jeantrail.CodeWorkerUnavailable || code == jeantrail.CodeDeadline ||
		code == jeantrail.CodeInternal && errors.Is(err, context.DeadlineExceeded)
}

// A Gate is where requests to one worker go through.
type Gate struct {
	monitor *Monitor
	name    string
}

// Gate returns the gate of a worker, which need not be watched yet. While no
// worker of that name is watched its gate is open and counts nothing, so that
// work which was begun before a worker was removed can end.
func (m *Monitor) Gate(name string) *Gate { return &Gate{monitor: m, name: name} }

// Enter asks to send a request. The error is worker_unavailable with the reason
// and a RetryAfter if the worker's breaker is open. Otherwise leave must be
// called when the request has ended, with its error; it may be called again.
func (g *Gate) Enter() (leave func(err error), err error) {
	m := g.monitor
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.find(g.name)
	if w == nil {
		return func(error) {}, nil
	}
	done, err := w.breaker.Allow()
	if err != nil {
		return nil, w.refusal()
	}
	w.inFlight++
	var once sync.Once
	return func(err error) { once.Do(func() { m.left(w, done, err) }) }, nil
}

// refusal says why a request is not sent. The caller holds the monitor's lock.
func (w *watched) refusal() error {
	reason := w.about.Problem
	if w.fault != "" {
		reason = w.fault
	}
	wait := max(time.Until(w.next), time.Second)
	e := jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker %s is left alone after %d failures in a row: %s",
		w.about.Name, w.settings.Trip, reason).
		WithHint("It is asked again as soon as it answers a probe. See what it says with: jeantrail-ai worker status").
		WithName("worker", w.about.Name)
	e.RetryAfter = wait.Truncate(time.Second)
	if e.RetryAfter < wait {
		e.RetryAfter += time.Second
	}
	return e
}

// left counts how a request ended.
func (m *Monitor) left(w *watched, done func(error), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.inFlight--
	done(err)
	now := time.Now()
	switch {
	case err == nil:
		w.count(now, false)
		if !answered(w.about.Status) { // it answers after all
			w.ask()
		}
	case blames(err):
		w.count(now, true)
		w.failedAt = now
		w.fault = jeantrail.AsError(err).Message
		if jeantrail.CodeOf(err) == jeantrail.CodeInternal { // a bare time limit
			w.fault = "it took too long"
		}
		w.ask()
	}
}

// close closes the breaker after a probe that succeeded, unless the probe began
// before a request failed: then it saw the worker as it was before.
func (w *watched) close(began time.Time) {
	if w.breaker.State() != gobreaker.StateClosed && !w.failedAt.After(began) {
		w.breaker = newBreaker(w.settings)
	}
}

// count adds an outcome of a probe or request.
func (w *watched) count(now time.Time, failed bool) {
	w.window.add(now, w.settings.Window, failed)
	if failed {
		w.about.ConsecutiveFailures++
	} else {
		w.about.ConsecutiveFailures = 0
	}
}

// ask has the worker probed at once. Several that ask before it happens get one
// probe.
func (w *watched) ask() {
	select {
	case w.asked <- struct{}{}:
	default:
	}
}
