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
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/server"
	"github.com/jeantrail/jeantrail-ai/store"
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
	// RecordsOnly leaves the model unloaded, for a command that only reads or
	// writes what is on record.
	RecordsOnly bool
	// AnnounceToken puts the token into the handshake, for a caller that did
	// not choose it.
	AnnounceToken bool
}

// App is the whole program on one home. Open reads as what it is made of; Close
// undoes it backwards.
type App struct {
	opt      AppOptions
	home     *Ownership
	store    *store.Store
	registry *registry.Registry
	models   *models
	metrics  *server.Metrics
	gateway  *gateway.Gateway
	server   *server.Server
	listener net.Listener
	instance Instance

	meter *energy.Meter

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
	a := &App{opt: opt, serving: make(chan error, 1)}
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
	if a.models, err = newModels(a.registry, opt); err != nil {
		return nil, err
	}
	if err = a.openRoad(ctx); err != nil {
		return nil, err
	}
	if err = a.openFront(); err != nil {
		return nil, err
	}
	if !opt.RecordsOnly {
		a.models.Load()
	}
	return a, nil
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
	templates, err := loadTemplates(filepath.Join(a.opt.Config.Home, "templates"))
	if err != nil {
		return err
	}
	meter, err := a.openMeter()
	if err != nil {
		return err
	}
	webhook := newWebhook(a.opt.Config.Alerts.Webhook, a.opt.Logger)
	cache := a.opt.Config.Cache
	a.gateway, err = gateway.New(gateway.Options{
		Store: a.store, Models: a.models, Logger: a.opt.Logger, Observer: a.metrics,
		MaxQueued: a.opt.Config.Engine.Queue + a.opt.Config.Engine.Slots,
		Templates: templates, Meter: meter, Notify: webhook.Tell,
		LeaveQueued: a.opt.Brief, CacheOff: !cache.Enabled, CacheBytes: cache.MaxBytes, CacheAge: cache.MaxAge,
	})
	if err != nil {
		return err
	}
	a.goBackground(webhook.Run)
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
	a.server, err = server.New(server.Options{
		Road: road{a.gateway}, Money: a.gateway, Models: a.models, Metrics: a.metrics, Vitals: a.vitals, Token: a.opt.Token,
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
		Token: a.opt.Token, StartedAt: time.Now().UTC(),
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
func (a *App) vitals(ctx context.Context) server.Vitals {
	s := a.gateway.Stats()
	return server.Vitals{
		StoreErr: a.store.Health(ctx), Queued: s.Queued, Running: s.Running, Reserved: s.Reserved, Holds: s.Queued + s.Running,
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

// newRegistry makes the registry of a home: the built-in model and what the
// configuration names.
func newRegistry(config *LoadedConfig) (*registry.Registry, error) {
	folder := filepath.Join(config.Home, "models")
	entries := make([]registry.Entry, 0, len(config.Models)+1)
	named := map[string]bool{}
	for _, m := range config.Models {
		entries = append(entries, registry.Entry{Name: m.Name, Aliases: m.Aliases, Path: m.ModelPath, NCtx: m.NCtx})
		named[m.Name] = true
	}
	if named[builtInName] {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the name %q belongs to the model inside this program", builtInName).
			WithHint("Give the model in config.yaml another name.")
	}
	builtIn, err := placeBuiltIn(folder)
	if err != nil {
		return nil, err
	}
	return registry.New(folder, config.DefaultModel, append(entries, builtIn))
}
