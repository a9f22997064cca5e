package main

import (
	"context"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/server"
)

// road makes the gateway the server's Road: the two declare the same reader and
// lease, each for itself.
type road struct{ *gateway.Gateway }

// Lease takes the lease as an administrator: the server has just been given the
// job by Submit, or has followed it, so the caller may see it. A job that is
// gone needs no lease.
func (r road) Lease(id string) func(grace time.Duration) {
	lease, err := r.Gateway.Lease(context.Background(), jeantrail.Principal{Role: jeantrail.RoleAdmin}, id)
	if err != nil {
		return func(time.Duration) {}
	}
	return lease.Release
}

func (r road) Follow(ctx context.Context, p jeantrail.Principal, id string, after int64) (server.EventReader, error) {
	return r.Gateway.Follow(ctx, p, id, after)
}

// yard is the server's Fleet: workers, the memory that they share with the models
// in process, and the configuration that both come from.
type yard struct{ app *App }

// Workers implements server.Fleet.
func (y yard) Workers() []jeantrail.Worker { return y.app.fleet.Workers() }

// History implements server.Fleet. Of a worker that is not configured any more
// there may still be one.
func (y yard) History(ctx context.Context, name string, limit int) ([]jeantrail.Probe, error) {
	probes, err := y.app.store.Probes(ctx, name, limit)
	if err != nil || len(probes) > 0 {
		return probes, err
	}
	_, err = y.app.fleet.monitor.Worker(name)
	return nil, err
}

// ProbeNow implements server.Fleet.
func (y yard) ProbeNow(ctx context.Context, name string) (jeantrail.Worker, error) {
	return y.app.fleet.probeNow(ctx, name)
}

// Memory implements server.Fleet.
func (y yard) Memory() jeantrail.MemoryUse { return y.app.room.Use() }

// Reload implements server.Fleet.
func (y yard) Reload(ctx context.Context) ([]string, error) { return y.app.Reload(ctx) }

// Load implements server.Fleet.
func (y yard) Load(ctx context.Context, name string) error { return y.app.backends.Load(ctx, name) }

// Unload implements server.Fleet.
func (y yard) Unload(ctx context.Context, name string) error { return y.app.backends.Unload(ctx, name) }
