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
