package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/policy"
)

// Lease is one client's interest in a job that is not async.
type Lease struct {
	task *task // nil if the job needs no holder
	once sync.Once
}

// Lease keeps a job alive that is not async, until it is released. For an async
// or finished job a lease means nothing. It is not_found for a job that the
// principal may not see.
func (g *Gateway) Lease(ctx context.Context, p jeantrail.Principal, id string) (*Lease, error) {
	t := g.task(id)
	if t == nil {
		if _, err := g.Job(ctx, p, id); err != nil {
			return nil, err
		}
		return &Lease{}, nil
	}
	if !policy.CanSee(p, &t.job) {
		return nil, notFound(id)
	}
	if t.job.Async {
		return &Lease{}, nil
	}
	t.hold()
	return &Lease{task: t}, nil
}

// Release gives the lease back; calling it again changes nothing. If it was the
// last lease of the job and none is taken within the grace, the job is
// cancelled: give 0 for a client that cannot come back, the resume window for
// one that can.
func (l *Lease) Release(grace time.Duration) {
	if l.task != nil {
		l.once.Do(func() { l.task.release(grace) })
	}
}
