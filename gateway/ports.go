package gateway

import (
	"context"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Backend does the work of one model. engine and media provide them; cmd joins.
type Backend interface {
	// Measure bounds what the request can use, before anything is reserved, and
	// refuses what can never run (context_length_exceeded with the numbers).
	Measure(ctx context.Context, req *jeantrail.Request) (jeantrail.Bounds, error)

	// Run does the work and returns when nothing of it runs any more. It
	// reports to sink from one goroutine at a time. The result is never nil and
	// its usage is exact also when err is not nil. When ctx is cancelled it
	// returns soon, with FinishReason cancelled and the context's cause.
	Run(ctx context.Context, job *jeantrail.Job, sink Sink) (*jeantrail.Result, error)
}

// Sink takes what a backend reports. Its methods do not block for readers.
type Sink interface {
	// Started is called once, when the job has left the backend's queue.
	Started(model string, engine jeantrail.EngineInfo, promptTokens, cachedTokens int)
	// Token passes on text that tokens sampled tokens account for; the text may
	// be empty (a token that is held back, or ends the turn, still counts).
	Token(text string, reasoning bool, tokens int)
	Progress(jeantrail.Progress)
}

// Models finds the backend for a model's name.
type Models interface {
	// Resolve returns the model's own name, which differs from the one asked for
	// when that was "", an alias or a name of the integration guide, and its
	// backend. An unknown name is not_found and lists what there is.
	Resolve(name string) (model string, backend Backend, err error)
	List(ctx context.Context) []jeantrail.Model
}

// Store keeps jobs, events and costs. Every method is atomic; an event's Seq
// is given by the gateway and a gap or repetition is a conflict.
type Store interface {
	// Admit inserts the job as queued with its reservation and first event in
	// one immediate transaction.
	Admit(ctx context.Context, job *jeantrail.Job, queued jeantrail.Event) error
	// Start moves a queued job to running and appends the event. A job in any
	// other state is a conflict.
	Start(ctx context.Context, id string, at time.Time, started jeantrail.Event) error
	// Append adds events of any number of jobs in one transaction.
	Append(ctx context.Context, events []jeantrail.Event) error
	// Settle writes final state, result, cost row, usage statistics and the last
	// events, and releases the reservation, in one transaction. A job that is
	// already terminal is a conflict and nothing changes.
	Settle(ctx context.Context, s jeantrail.Settlement) error
	// Job returns a job with its result, or not_found.
	Job(ctx context.Context, id string) (*jeantrail.Job, error)
	Jobs(ctx context.Context, f jeantrail.JobFilter) (jeantrail.JobPage, error)
	// Events returns up to limit stored events after seq, oldest first.
	Events(ctx context.Context, id string, after int64, limit int) ([]jeantrail.Event, error)
	// Unfinished returns every job that is queued or running.
	Unfinished(ctx context.Context) ([]jeantrail.Job, error)
	// Price returns what a model's units cost at a time.
	Price(ctx context.Context, model string, kind jeantrail.Kind, at time.Time) (jeantrail.Price, error)
}

// Observer is told of every job, for metrics. Its methods are called from the
// job's own goroutine and must neither block nor keep the job.
type Observer interface {
	// JobAdmitted is called when the job is stored as queued.
	JobAdmitted(job *jeantrail.Job)
	// JobStarted is called when a backend has begun the work.
	JobStarted(job *jeantrail.Job)
	// JobFinished is called when the job is settled.
	JobFinished(job *jeantrail.Job)
}
