package main

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"

	"golang.org/x/term"

	"github.com/jeantrail/jeantrail-ai"
)

// Reload reads the configuration again and takes up what can be taken up while
// jobs run: models and workers. It says what changed, and which other settings
// differ but wait for a restart. If something in it is wrong, nothing changes.
func (a *App) Reload(ctx context.Context) ([]string, error) {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if a.opt.ReadConfig == nil {
		return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "this instance was not started from a configuration file")
	}
	config, err := a.opt.ReadConfig()
	if err != nil {
		return nil, err
	}
	entries, err := registryEntries(config)
	if err != nil {
		return nil, err
	}
	models, err := a.backends.reload(config, entries)
	if err != nil {
		return nil, err
	}
	workers, err := a.fleet.apply(ctx, config)
	changes := slices.Concat(models, workers, needRestart(a.config, config))
	if config.DefaultModel != a.config.DefaultModel {
		changes = append(changes, "the default model is "+config.DefaultModel)
	}
	a.config = config
	for _, change := range changes {
		a.opt.Logger.Info("configuration", "change", change)
	}
	return changes, errors.Join(err, a.backends.Start())
}

// needRestart names the settings that differ and are read at the start only.
func needRestart(old, next *LoadedConfig) []string {
	var changes []string
	was, is := reflect.ValueOf(old.Config), reflect.ValueOf(next.Config)
	for i := range was.NumField() {
		key := was.Type().Field(i).Tag.Get("koanf")
		if slices.Contains([]string{"models", "workers", "default_model", "allow_remote_workers"}, key) ||
			reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			continue
		}
		changes = append(changes, key+" has changed and is taken up at the next start")
	}
	return changes
}

// reloadOnHangup takes up the configuration again at each SIGHUP until ctx ends.
// At a terminal the signal means that this was closed, and the command stops.
func (a *App) reloadOnHangup(ctx context.Context, signals *interrupts) {
	if term.IsTerminal(int(os.Stdin.Fd())) {
		return
	}
	asked := make(chan struct{}, 1)
	signals.onHangup(func() {
		select {
		case asked <- struct{}{}:
		default: // one is on its way and will see the same file
		}
	})
	defer signals.onHangup(nil)
	for {
		select {
		case <-asked:
		case <-ctx.Done():
			return
		}
		changes, err := a.Reload(ctx)
		switch {
		case err != nil:
			e := jeantrail.AsError(err)
			a.opt.Logger.Error("the configuration was not taken up", "error", e, "hint", e.Hint)
		case len(changes) == 0:
			a.opt.Logger.Info("the configuration has not changed")
		}
	}
}
