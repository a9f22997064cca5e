package main

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/media"
	"github.com/jeantrail/jeantrail-ai/registry/health"
	"github.com/jeantrail/jeantrail-ai/store"
)

// probeWait is how long somebody who asks for a probe waits for it.
const probeWait = 5 * time.Second

// fleet is the workers of the configuration: their clients, and how they are.
type fleet struct {
	opt     AppOptions
	store   *store.Store
	files   gateway.Files
	room    *room
	monitor *health.Monitor

	mu       sync.Mutex
	stations []*station // in the order of the configuration
}

// station is one worker with what it was made from.
type station struct {
	config WorkerConfig
	remote bool
	worker *media.Worker
}

func (s *station) kind() jeantrail.Kind { return jeantrail.Kind(s.config.Kind) }

func newFleet(opt AppOptions, st *store.Store, files gateway.Files, room *room) *fleet {
	f := &fleet{opt: opt, store: st, files: files, room: room}
	f.monitor = health.New(health.Options{Recorder: st, OnChange: f.changed, Logger: opt.Logger})
	return f
}

// changed takes in that a worker's status is another one. That a worker which
// nobody asked for is not there is no news.
func (f *fleet) changed(w jeantrail.Worker) {
	f.mu.Lock()
	s := f.named(w.Name)
	f.mu.Unlock()
	if s != nil {
		f.room.present(w.Name, w.Status == jeantrail.WorkerReady || w.Status == jeantrail.WorkerDegraded, s.worker)
	}
	log := f.opt.Logger.Info
	switch {
	case w.Optional && w.ReadyAt.IsZero():
		log = f.opt.Logger.Debug
	case w.Status == jeantrail.WorkerDown || w.Status == jeantrail.WorkerDegraded:
		log = f.opt.Logger.Warn
	}
	log("worker "+string(w.Status), "worker", w.Name, "url", w.URL, "problem", w.Problem)
}

// apply makes the fleet that of a configuration. A worker whose block did not
// change goes on as it is; one that did gets a new client, while jobs that run
// keep the old one. It says what changed.
func (f *fleet) apply(ctx context.Context, config *LoadedConfig) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var next []*station
	var changes []string
	var errs []error
	for _, c := range config.workers() {
		old := f.named(c.Name)
		if old != nil && reflect.DeepEqual(old.config, c) && old.remote == config.AllowRemoteWorkers {
			next = append(next, old)
			continue
		}
		s, err := f.open(c, config.AllowRemoteWorkers)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next = append(next, s)
		verb := "added"
		if old != nil {
			verb = "changed"
			old.worker.Close()
		}
		changes = append(changes, "worker "+c.Name+" is "+verb)
		errs = append(errs, f.price(ctx, c))
	}
	for _, old := range f.stations {
		if !slices.ContainsFunc(next, func(s *station) bool { return s.config.Name == old.config.Name }) {
			f.monitor.Remove(old.config.Name)
			f.room.forget(old.config.Name)
			old.worker.Close()
			changes = append(changes, "worker "+old.config.Name+" is removed")
		}
	}
	f.stations = next
	return changes, errors.Join(errs...)
}

// named finds a worker by its own name. The caller holds mu.
func (f *fleet) named(name string) *station {
	for _, s := range f.stations {
		if s.config.Name == name {
			return s
		}
	}
	return nil
}

func (f *fleet) open(c WorkerConfig, remote bool) (*station, error) {
	memory, err := c.memoryBytes()
	if err != nil {
		return nil, err
	}
	s := &station{config: c, remote: remote}
	s.worker, err = media.New(media.Options{
		Name: c.Name, Kind: jeantrail.Kind(c.Kind), URL: c.URL, Dialect: c.Dialect, Model: c.Model, Vision: c.Vision,
		APIKey: c.APIKey, Concurrency: c.Concurrency, Timeout: c.Timeout, AllowRemote: remote, Files: f.files,
		Spool: filepath.Join(f.opt.Config.Home, "artifacts", "incoming"), // on the disk that they end on
		Gate:  f.monitor.Gate(c.Name), Room: func(ctx context.Context) (func(), error) { return f.room.work(ctx, c.Name) },
		Width: c.Width, Height: c.Height, Steps: c.Steps, MaxTokens: c.MaxTokens, NCtx: c.NCtx, Logger: f.opt.Logger,
	})
	if err != nil {
		return nil, err
	}
	about := jeantrail.Worker{
		Name: c.Name, Aliases: c.Aliases, Kind: jeantrail.Kind(c.Kind), URL: c.URL, Dialect: cmp.Or(c.Dialect, media.AutoDialect), Vision: c.Vision,
		Default: c.Default, Remote: remote, Optional: c.Optional, Concurrency: max(1, c.Concurrency), MemoryBytes: memory,
	}
	if memory > 0 {
		about.MemoryFrom = "config"
	}
	f.room.expect(c.Name, memory, s.worker)
	if err := f.monitor.Replace(about, s.worker, health.Settings{}); err != nil {
		return nil, err
	}
	return s, nil
}

// price puts a configured price into the price table, if it is not the one in
// force.
func (f *fleet) price(ctx context.Context, c WorkerConfig) error {
	now := time.Now().UTC()
	was, err := f.store.Price(ctx, c.Name, jeantrail.Kind(c.Kind), now)
	if err != nil {
		return err
	}
	want, err := c.Price.over(was)
	if err != nil || want == was {
		return err
	}
	want.Model = c.Name
	return f.store.SetPrice(ctx, jeantrail.PriceEntry{Kind: jeantrail.Kind(c.Kind), ValidFrom: now.Truncate(time.Millisecond), Price: want})
}

// find returns the worker of a kind for a name or alias, "" for the default one;
// nil if there is none.
func (f *fleet) find(kind jeantrail.Kind, name string) *station {
	f.mu.Lock()
	defer f.mu.Unlock()
	var first *station
	for _, s := range f.stations {
		switch {
		case s.kind() != kind:
		case name == "" && s.config.Default:
			return s
		case name == "" && first == nil && kind != jeantrail.KindText: // text is for the models in process, unless somebody says otherwise
			first = s
		case name != "" && (s.config.Name == name || slices.Contains(s.config.Aliases, name)):
			return s
		}
	}
	return first
}

// sees returns the first text worker that reads images, nil if none does.
func (f *fleet) sees() *station {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.stations, func(s *station) bool { return s.config.Vision && s.kind() == jeantrail.KindText })
	if i < 0 {
		return nil
	}
	return f.stations[i]
}

// names lists the workers of a kind.
func (f *fleet) names(kind jeantrail.Kind) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, s := range f.stations {
		if s.kind() == kind {
			names = append(names, s.config.Name)
		}
	}
	return strings.Join(names, ", ")
}

// Workers describes every worker, from memory.
func (f *fleet) Workers() []jeantrail.Worker { return f.monitor.Snapshot(context.Background()) }

// probeNow has a worker probed and waits for that, but not for long.
func (f *fleet) probeNow(ctx context.Context, name string) (jeantrail.Worker, error) {
	before, err := f.monitor.Worker(name)
	if err != nil {
		return before, err
	}
	f.monitor.Check(name)
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := f.monitor.Worker(name)
		if err != nil || now.CheckedAt.After(before.CheckedAt) {
			return now, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return now, nil // what is known
		}
	}
}

// Close ends the probing and lets go of the connections. The gateway must have
// stopped.
func (f *fleet) Close() {
	f.monitor.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.stations {
		s.worker.Close()
	}
}

// workerBackend makes a worker's client the gateway's backend: the two declare
// the same work, each for itself.
type workerBackend struct{ *media.Worker }

// Prepare implements gateway.Backend.
func (b workerBackend) Prepare(ctx context.Context, req *jeantrail.Request) (gateway.Work, error) {
	w, err := b.Worker.Prepare(ctx, req)
	if err != nil {
		return nil, err
	}
	return workerWork{w}, nil
}

type workerWork struct{ *media.Work }

// Run implements gateway.Work.
func (w workerWork) Run(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	return w.Work.Run(ctx, job, sink)
}
