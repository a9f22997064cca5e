package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/energy"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/gateway/prompt"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/server"
	"github.com/jeantrail/jeantrail-ai/store"
	"github.com/jeantrail/jeantrail-ai/store/artifact"
)

// closeGrace is the part of stop_timeout that is kept for settling jobs and
// freeing everything; running jobs may use the rest to finish.
const closeGrace = 2 * time.Second

// AppOptions say how to open an App.
type AppOptions struct {
	Config    *LoadedConfig
	Listen    string // host:port; port 0 takes a free one
	Token     string // "" is the keyless mode
	Logger    *slog.Logger
	Handshake *Handshake // nil: nobody reads one
	// Brief says that the instance lives for one command: it does not begin what
	// it may not end.
	Brief bool
	// Need is what the instance is for.
	Need Need
	// ReadConfig reads the configuration again; nil if that makes no sense.
	ReadConfig func() (*LoadedConfig, error)
	// AnnounceToken puts the token into the handshake, for a caller that did
	// not choose it.
	AnnounceToken bool
}

// Need is what an instance has to have ready from the start.
type Need int

// The needs. A job for a model that is not loaded loads it.
const (
	NeedAll     Need = iota
	NeedWorkers      // the workers are watched; the default model is not loaded
	NeedRecords      // only what is on record is read or written
)

// App is the whole program on one home. Open reads as what it is made of; Close
// undoes it backwards.
type App struct {
	opt       AppOptions
	home      *Ownership
	store     *store.Store
	files     *artifact.Folder
	registry  *registry.Registry
	room      *room
	models    *models
	templates *prompt.Library
	fleet     *fleet
	backends  *backends
	pulls     *pulls
	benches   *benches
	metrics   *server.Metrics
	gateway   *gateway.Gateway
	server    *server.Server
	listener  net.Listener
	instance  Instance

	meter      *energy.Meter
	storeCheck storeCheck

	reloading sync.Mutex
	config    *LoadedConfig // as it is in force

	background    sync.WaitGroup
	backgroundCtx context.Context
	endBackground context.CancelFunc

	serving   chan error // what Serve returned
	closeOnce sync.Once
	closeErr  error
}

// OpenApp opens a home and serves it. The listener answers when it returns; the
// default model may still be loading, and jobs wait for it.
func OpenApp(ctx context.Context, opt AppOptions) (app *App, err error) {
	a := &App{opt: opt, config: opt.Config, serving: make(chan error, 1)}
	defer func() {
		if err != nil {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
			defer cancel()
			err = errors.Join(err, a.Close(stop))
		}
	}()
	if a.home, err = ownHome(opt.Config.Home); err != nil {
		return nil, err
	}
	if err = a.openNative(); err != nil {
		return nil, err
	}
	path, err := opt.Config.databasePath()
	if err != nil {
		return nil, err
	}
	if a.store, err = store.Open(ctx, path, store.Options{}); err != nil {
		return nil, err
	}
	if a.registry, err = newRegistry(opt.Config); err != nil {
		return nil, err
	}
	if err = a.openBackends(ctx); err != nil {
		return nil, err
	}
	if err = a.openRoad(ctx); err != nil {
		return nil, err
	}
	if err = a.openFront(); err != nil {
		return nil, err
	}
	if opt.Need != NeedRecords {
		a.fleet.monitor.Start()
	}
	if !opt.Brief {
		a.pulls.GoOn()
	}
	if opt.Need == NeedAll {
		err = a.backends.Start()
	}
	return a, err
}

// openBackends gathers who does the work: models in this process, workers, and
// workflows that send jobs to both.
func (a *App) openBackends(ctx context.Context) (err error) {
	if a.files, err = artifact.Open(filepath.Join(a.opt.Config.Home, "artifacts")); err != nil {
		return err
	}
	look := lookAtMachine(filepath.Join(a.opt.Config.Home, "models"), a.opt.Logger)
	if a.room, err = newRoom(a.opt.Config, look(ctx)); err != nil {
		return err
	}
	a.models = newModels(a.registry, a.opt, newCapacity(a.room, look), a.files)
	if a.models.prefixes, err = newPrefixes(a.opt.Config, a.opt.Logger, a.room.Budget); err != nil {
		return err
	}
	a.fleet = newFleet(a.opt, a.store, a.files, a.room)
	if _, err = a.fleet.apply(ctx, a.opt.Config); err != nil {
		return err
	}
	if a.templates, err = loadTemplates(filepath.Join(a.opt.Config.Home, "templates")); err != nil {
		return err
	}
	workflows, err := loadWorkflows(filepath.Join(a.opt.Config.Home, "workflows"), a.templates)
	if err != nil {
		return err
	}
	if a.pulls, err = newPulls(ctx, filepath.Join(a.opt.Config.Home, "models"), a.store, a.opt.Logger); err != nil {
		return err
	}
	a.pulls.installed = a.models.renew
	a.backends = &backends{models: a.models, fleet: a.fleet, workflows: workflows}
	return nil
}

// sweepEvery is how often files that nobody needs any more are removed, and how
// old they must be: a request may be on its way with one that was just sent.
const sweepEvery = time.Hour

// sweep removes files that no job needs.
func (a *App) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		n, bytes, err := a.files.Sweep(sweepEvery, func() (map[string]bool, error) { return a.store.FilesInUse(ctx) })
		switch {
		case err != nil && ctx.Err() == nil:
			a.opt.Logger.Warn("removing files that are not needed failed", "error", err)
		case n > 0:
			a.opt.Logger.Info("removed files that are not needed", "files", n, "bytes", bytes)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// openNative makes sure that the archives are those this program was written
// for, gives a crash in them a place to say why, and passes on what they log.
func (a *App) openNative() error {
	if err := native.SelfTest(); err != nil {
		return err
	}
	if err := native.SetCrashFile(filepath.Join(a.opt.Config.Home, "crash.log")); err != nil {
		return err
	}
	a.goBackground(func(ctx context.Context) { native.ForwardLog(ctx, a.opt.Logger) })
	return nil
}

// goBackground runs something that Close ends last.
func (a *App) goBackground(run func(context.Context)) {
	if a.endBackground == nil {
		a.backgroundCtx, a.endBackground = context.WithCancel(context.Background())
	}
	a.background.Go(func() { run(a.backgroundCtx) })
}

// openMeter prepares to measure what jobs draw; nil if that is turned off.
func (a *App) openMeter() (func() func() jeantrail.Energy, error) {
	if !a.opt.Config.Energy.Enabled {
		return nil, nil
	}
	price, err := a.opt.Config.energyPrice()
	if err != nil {
		return nil, err
	}
	a.meter = energy.Open(energy.Options{PerKWh: price})
	return func() func() jeantrail.Energy { return a.meter.Begin().End }, nil
}

// openRoad starts the gateway and closes what an earlier process left open.
func (a *App) openRoad(ctx context.Context) (err error) {
	a.metrics = server.NewMetrics(engineCollector{a.models})
	meter, err := a.openMeter()
	if err != nil {
		return err
	}
	webhook := newWebhook(a.opt.Config.Alerts.Webhook, a.opt.Logger)
	if a.benches, err = newBenches(ctx, a.store); err != nil {
		return err
	}
	cache := a.opt.Config.Cache
	a.gateway, err = gateway.New(gateway.Options{
		Store: a.store, Models: a.backends, Files: a.files, Logger: a.opt.Logger, Observer: a.metrics,
		MaxQueued: a.opt.Config.Engine.Queue + a.opt.Config.Engine.Slots,
		Templates: a.templates, Meter: meter, Speed: a.benches.Speed, Notify: webhook.Tell,
		LeaveQueued: a.opt.Brief, CacheOff: !cache.Enabled, CacheBytes: cache.MaxBytes, CacheAge: cache.MaxAge,
	})
	if err != nil {
		return err
	}
	a.backends.workflows.Attach(a.gateway)
	a.goBackground(webhook.Run)
	a.goBackground(func(ctx context.Context) { a.storeCheck.run(ctx, a.store) })
	if !a.opt.Brief {
		a.goBackground(a.sweep)
	}
	recovered, err := a.gateway.Recover(ctx)
	if err != nil {
		return err
	}
	if recovered > 0 {
		a.opt.Logger.Warn("closed jobs that an earlier process left unfinished", "jobs", recovered)
	}
	return a.gateway.Start(ctx)
}

// openFront listens, serves and tells how to get here.
func (a *App) openFront() (err error) {
	if a.listener, err = server.Listen(a.opt.Listen, a.opt.Token); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an instance id: %w", err)
	}
	upload, err := parseBytes(a.opt.Config.MaxUpload)
	if err != nil {
		return err
	}
	a.server, err = server.New(server.Options{
		Road: road{a.gateway}, Money: a.gateway, Models: a.models, Files: a.files, Workflows: a.backends.workflows, Fleet: yard{a}, Pulls: a.pulls, Benches: a.benches,
		MaxUpload: upload, RemoteWorkersAllowed: a.opt.Config.AllowRemoteWorkers, Metrics: a.metrics, Vitals: a.vitals, Token: a.opt.Token,
		AllowedHosts: a.opt.Config.AllowedHosts, AllowedOrigins: a.opt.Config.AllowedOrigins,
		Version: version, InstanceID: id.String(), Logger: a.opt.Logger, ResumeWindow: a.opt.Config.ResumeWindow,
	})
	if err != nil {
		return err
	}
	a.background.Go(func() { a.serving <- a.server.Serve(a.listener) })

	addr := a.listener.Addr().String()
	a.instance = Instance{
		PID: os.Getpid(), BaseURL: "http://" + addr, InstanceID: id.String(), Version: version,
		Token: a.opt.Token, StartedAt: time.Now().UTC(), Hub: hubEnvironment(),
	}
	if err := a.home.Announce(a.instance); err != nil {
		return err
	}
	ready := readyLine{
		PID: a.instance.PID, Port: a.listener.Addr().(*net.TCPAddr).Port, BaseURL: a.instance.BaseURL,
		WSURL: "ws://" + addr + "/ws", InstanceID: id.String(), Version: version,
	}
	if a.opt.AnnounceToken {
		ready.Token = a.opt.Token
	}
	a.opt.Handshake.Ready(ready)
	a.opt.Logger.Info("listening", "url", a.instance.BaseURL, "home", a.opt.Config.Home, "instance", id.String())
	return nil
}

// vitals is what /health says of the parts behind the server.
func (a *App) vitals(context.Context) server.Vitals {
	s := a.gateway.Stats()
	return server.Vitals{
		StoreErr: a.storeCheck.last(), Queued: s.Queued, Running: s.Running, Reserved: s.Reserved, Holds: s.Queued + s.Running,
	}
}

// BaseURL is where the instance answers.
func (a *App) BaseURL() string { return a.instance.BaseURL }

// DefaultModel is the name of the model that answers unless another is asked for.
func (a *App) DefaultModel() string { return a.registry.Default() }

// Failed waits until the instance can no longer serve, or ctx ends.
func (a *App) Failed(ctx context.Context) error {
	select {
	case err := <-a.serving:
		return err
	case <-ctx.Done():
		return nil
	}
}

// Close stops accepting, lets jobs finish for the configured time, cancels and
// settles the rest, and frees everything. It is idempotent.
func (a *App) Close(ctx context.Context) error {
	a.closeOnce.Do(func() { a.closeErr = a.close(ctx) })
	return a.closeErr
}

func (a *App) close(ctx context.Context) error {
	var errs []error
	if a.server != nil {
		a.server.StopAccepting()
	}
	if a.gateway != nil {
		drain, cancel := context.WithTimeout(ctx, a.opt.Config.StopTimeout-closeGrace)
		errs = append(errs, a.gateway.Stop(drain))
		cancel()
	}
	if a.server != nil {
		errs = append(errs, a.server.Shutdown(ctx))
	} else if a.listener != nil {
		errs = append(errs, a.listener.Close())
	}
	if a.pulls != nil {
		a.pulls.Close()
	}
	if a.fleet != nil {
		a.fleet.Close()
	}
	if a.models != nil {
		errs = append(errs, a.models.Close(ctx))
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	if a.meter != nil {
		a.meter.Close()
	}
	if a.endBackground != nil {
		a.endBackground()
	}
	a.background.Wait()
	if a.home != nil {
		errs = append(errs, a.home.Release())
	}
	return errors.Join(errs...)
}
