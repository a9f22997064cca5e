package health

import (
	"context"
	"errors"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// keepEvery is the longest that the history says nothing about a worker.
const keepEvery = 5 * time.Minute

// watched is a worker with what is known about it. The monitor's lock guards it.
type watched struct {
	about    jeantrail.Worker
	prober   Prober
	settings Settings

	added   time.Time
	loading time.Time // since when it says that it is loading, zero if it does not
	next    time.Time // when the next probe is due
	kept    time.Time // when the history last heard of it

	window   window
	breaker  *breaker
	inFlight int       // requests that went through the gate
	failedAt time.Time // when a request last failed by its fault
	fault    string    // what that request failed with

	asked chan struct{} // has room for one
	end   func()        // ends the loop
}

func newWatched(about jeantrail.Worker, p Prober, s Settings) *watched {
	now := time.Now().UTC()
	w := &watched{
		added:   now,
		kept:    now,
		next:    now,
		breaker: newBreaker(s),
		asked:   make(chan struct{}, 1),
		end:     func() {},
	}
	w.about.Status, w.about.Since = jeantrail.WorkerUnknown, now
	w.describe(about, p, s)
	return w
}

// describe puts another description in the place of the one it has, and leaves
// what was found out.
func (w *watched) describe(about jeantrail.Worker, p Prober, s Settings) {
	is := w.about
	about.Status, about.Problem, about.Since = is.Status, is.Problem, is.Since
	about.Latency, about.CheckedAt, about.ReadyAt = is.Latency, is.CheckedAt, is.ReadyAt
	about.ErrorRate, about.ConsecutiveFailures, about.Breaker = 0, is.ConsecutiveFailures, ""
	about.Running, about.Queued = 0, 0
	if is.Model != "" {
		about.Model = is.Model
	}
	about.Version = is.Version
	if s.Trip != w.settings.Trip || s.Open != w.settings.Open {
		w.breaker = newBreaker(s)
	}
	if s.Window != w.settings.Window {
		w.window = window{} // its buckets have another width now
	}
	w.about, w.prober, w.settings = about, p, s
}

// seen is a worker's description and whom to ask for the rest, without the lock.
type seen struct {
	about  jeantrail.Worker
	prober Prober
}

// see returns what is known. The caller holds the lock.
func (w *watched) see() seen {
	about := w.about
	about.ErrorRate, _ = w.window.rate(time.Now(), w.settings.Window)
	about.Breaker = w.breaker.State().String()
	about.Running = w.inFlight
	return seen{about, w.prober}
}

func (s seen) complete() jeantrail.Worker {
	if o, ok := s.prober.(Occupied); ok {
		running, queued := o.Occupancy()
		s.about.Running, s.about.Queued = max(running, s.about.Running), queued
	}
	if sp, ok := s.prober.(Speaker); ok {
		s.about.Speaks = sp.Speaks()
	}
	return s.about
}

// watch probes a worker until ctx ends.
func (m *Monitor) watch(ctx context.Context, w *watched) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.asked:
		}
		m.look(ctx, w)
		m.mu.Lock()
		pause := w.settings.pause()
		w.next = time.Now().Add(pause)
		m.mu.Unlock()
		timer.Reset(pause)
	}
}

// look probes a worker once and acts on what it sees.
func (m *Monitor) look(ctx context.Context, w *watched) {
	m.mu.Lock()
	prober, set := w.prober, w.settings
	busy := w.inFlight > 0
	m.mu.Unlock()
	busy = busy || occupied(prober)

	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, set.Timeout)
	p := prober.Probe(limited)
	silent := errors.Is(limited.Err(), context.DeadlineExceeded)
	cancel()
	if ctx.Err() != nil {
		return // removed or stopped: it was not the worker that ended the probe
	}
	busy = busy || occupied(prober)

	m.mu.Lock()
	changed := w.learn(p, began, silent, busy || w.inFlight > 0)
	record, keep := w.record(changed)
	s := w.see()
	m.mu.Unlock()
	if keep && m.history != nil {
		m.history.add(record)
	}
	if changed && m.onChange != nil {
		m.onChange(s.complete())
	}
}

func occupied(p Prober) bool {
	o, ok := p.(Occupied)
	if !ok {
		return false
	}
	running, _ := o.Occupancy()
	return running > 0
}

// learn takes in a probe and reports whether the status changed. The caller
// holds the monitor's lock.
func (w *watched) learn(p jeantrail.Probe, began time.Time, silent, busy bool) (changed bool) {
	now := time.Now().UTC()
	if p.Latency <= 0 {
		p.Latency = now.Sub(began)
	}
	ok, was := answered(p.Status), w.about.Status
	if ok && !answered(was) {
		w.window = window{} // what failed while it was away says nothing about how it is now
	}
	s := sight{
		was: was, optional: w.about.Optional, ready: !w.about.ReadyAt.IsZero(), starting: w.startingFor(p.Status, now),
		answer: p.Status, problem: p.Problem, latency: p.Latency, silent: silent && !ok, busy: busy,
	}
	if ok {
		w.count(now, false)
		s.errorRate, s.samples = w.window.rate(now, w.settings.Window)
	}
	v := judge(s, w.settings)
	if !ok && v.counts {
		w.count(now, true)
	}
	if ok {
		w.about.Latency, w.about.ReadyAt = p.Latency, now
		w.close(began)
	}
	if p.Model != "" {
		w.about.Model = p.Model
	}
	if p.Version != "" {
		w.about.Version = p.Version
	}
	w.about.CheckedAt, w.about.Problem = now, v.problem
	if v.status == was {
		return false
	}
	w.about.Status, w.about.Since = v.status, now
	return true
}

// startingFor returns how long a worker has been starting: since it was added,
// but if it says that it is loading, since it first said so.
func (w *watched) startingFor(answer jeantrail.WorkerStatus, now time.Time) time.Duration {
	if answer != jeantrail.WorkerStarting {
		w.loading = time.Time{}
		return now.Sub(w.added)
	}
	if w.loading.IsZero() {
		w.loading = now
	}
	return now.Sub(w.loading)
}

// record returns what the history is to be told, if it is.
func (w *watched) record(changed bool) (p jeantrail.Probe, keep bool) {
	late := time.Duration(float64(w.settings.Interval)*(1+jitter)) + w.settings.Timeout
	now := w.about.CheckedAt
	if !changed && now.Sub(w.kept)+late <= keepEvery {
		return p, false // the next probe is early enough
	}
	w.kept = now
	p = jeantrail.Probe{
		At: now, Worker: w.about.Name, Status: w.about.Status,
		Problem: w.about.Problem, Model: w.about.Model, Version: w.about.Version,
	}
	if answered(p.Status) {
		p.Latency = w.about.Latency
	}
	return p, true
}
