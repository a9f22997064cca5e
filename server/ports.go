package server

import (
	"context"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Road carries jobs. Methods that take a principal answer not_found for a job
// that the principal may not see.
type Road interface {
	// Submit admits a request and returns the job as it stands then. The context
	// governs the admission, not the job: a job that is not asynchronous lives
	// until the last lease on it is released.
	Submit(ctx context.Context, p jeantrail.Principal, req jeantrail.Request) (*jeantrail.Job, error)
	// Lease keeps a job that is not asynchronous alive until release is called.
	// If that was the last lease and none is taken within grace, the job is
	// cancelled; zero grace cancels at once. For a job that is asynchronous,
	// terminal or unknown it means nothing, and so does a second release.
	Lease(id string) (release func(grace time.Duration))
	// Wait returns the job when it is terminal, or the context's error.
	Wait(ctx context.Context, id string) (*jeantrail.Job, error)
	// Follow reads the job's events from the one after seq on.
	Follow(ctx context.Context, p jeantrail.Principal, id string, after int64) (EventReader, error)
	// Cancel asks the job to stop and does not wait for it. To cancel a terminal
	// job changes nothing and is no error.
	Cancel(ctx context.Context, p jeantrail.Principal, id string) error
	Job(ctx context.Context, p jeantrail.Principal, id string) (*jeantrail.Job, error)
	Jobs(ctx context.Context, p jeantrail.Principal, f jeantrail.JobFilter) (jeantrail.JobPage, error)
}

// EventReader is a cursor over the events of one job. A reader that is slow
// holds nobody up, and a Next that ends by its context has consumed nothing.
type EventReader interface {
	// Next returns the next event, io.EOF after the terminal one.
	Next(ctx context.Context) (jeantrail.Event, error)
}

// Models lists what there is to run.
type Models interface {
	List(ctx context.Context) []jeantrail.Model
}

// Vitals is how the parts behind the server are. cmd gathers it.
type Vitals struct {
	StoreErr error // why the store does not work, nil if it does
	Queued   int   // jobs that wait
	Running  int   // jobs at work
	Reserved jeantrail.Money
	Stopping bool
}
