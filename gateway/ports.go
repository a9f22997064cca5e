package gateway

import (
	"context"
	"io"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Backend prepares the work of one model. engine and media provide them; cmd
// joins.
type Backend interface {
	// Prepare reads the request once: it bounds what the work can use, before
	// anything is reserved, and refuses what can never run
	// (context_length_exceeded with the numbers). The work that it returns is
	// run at most once.
	Prepare(ctx context.Context, req *jeantrail.Request) (Work, error)
}

// Work is a request that a backend has prepared.
type Work interface {
	// Bounds are the most that Run can use.
	Bounds() jeantrail.Bounds

	// Fingerprint is a SHA-256 of everything that can change the result: the
	// model's file, the prompt as the model gets it, all parameters, and what
	// computes it. deterministic says whether running it again gives the same.
	// nil means that it is not known, and the result is not to be reused.
	Fingerprint() (sum []byte, deterministic bool)

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
	// Allowance returns how many tokens may be sampled after such a prompt
	// before the job's reservation is used up. A backend that samples tokens
	// asks before the first one and ends there, with FinishBudget. It only
	// calculates: any goroutine, no waiting.
	Allowance(promptTokens, cachedTokens int) int
	// Token passes on text that tokens sampled tokens account for; the text may
	// be empty (a token that is held back, or ends the turn, still counts).
	Token(text string, reasoning bool, tokens int)
	Progress(jeantrail.Progress)
	// Artifact keeps a file that the job made and puts it into the job's log. It
	// fills in index, checksum and size. It is the one report that waits: for the
	// disk. An image, and a second of audio, is charged if it was reported here.
	Artifact(a jeantrail.Artifact, content io.Reader) (jeantrail.Artifact, error)
	// Stage reports a stage of a pipeline that began or ended.
	Stage(jeantrail.Stage)
}

// Resumer is work that can go on where an earlier process left it, such as a
// pipeline whose finished stages are jobs of their own.
type Resumer interface {
	// Resume is Run for a job that has started already, with its log so far.
	Resume(ctx context.Context, job *jeantrail.Job, log []jeantrail.Event, sink Sink) (*jeantrail.Result, error)
}

// Estimator is work that costs what other jobs cost, as a pipeline does.
type Estimator interface {
	// Estimate returns the most that those jobs can cost for the principal.
	Estimate(ctx context.Context, p jeantrail.Principal) (*jeantrail.Estimate, error)
}

// Files keeps the files that requests bring and jobs make, by their content.
type Files interface {
	// Put keeps what r gives. More than limit bytes are too_large, and nothing is
	// kept; a full disk is storage_full.
	Put(ctx context.Context, r io.Reader, limit int64) (jeantrail.File, error)
	// Open returns a file's content, or not_found.
	Open(f jeantrail.File) (io.ReadSeekCloser, error)
}

// VisionModel is the name by which Models is asked for any model that reads
// images: that of a text request which brings some and names no model.
const VisionModel = "vision"

// Models finds the backend for a model's name.
type Models interface {
	// Resolve returns the own name of the model, worker or workflow that does work
	// of this kind, and its backend. The name differs from the one asked for when
	// that was "", an alias or a name of the integration guide. An unknown name is
	// not_found and lists what there is.
	Resolve(kind jeantrail.Kind, name string) (model string, backend Backend, err error)
	List(ctx context.Context) []jeantrail.Model
}

// Store keeps jobs, events and costs. Every method is atomic; an event's Seq
// is given by the gateway and a gap or repetition is a conflict.
type Store interface {
	// Admit inserts the job as queued with its reservation and first event in
	// one immediate transaction. In it, and before, decide is given how the
	// budgets of the job's user and of everybody stand at job.CreatedAt; it
	// returns what to hold, which becomes job.Reserved, or the error that Admit
	// then returns, with nothing written. decide may be called again if the
	// transaction is tried again.
	Admit(ctx context.Context, job *jeantrail.Job, queued jeantrail.Event, decide func([]jeantrail.BudgetStanding) (jeantrail.Money, error)) error
	// Start moves a queued job to running and appends the event. A job in any
	// other state is a conflict.
	Start(ctx context.Context, id string, at time.Time, started jeantrail.Event) error
	// Append adds events of any number of jobs in one transaction.
	Append(ctx context.Context, events []jeantrail.Event) error
	// Settle writes final state, result, cost row, usage statistics, spending
	// and the last events, and releases the reservation, in one transaction. A
	// job that is already terminal is a conflict and nothing changes. If the job
	// cost something, due is given how the budgets stand with it; of the alerts
	// it returns those that are new are kept, each with an event before the
	// terminal one, whose number grows by as many.
	Settle(ctx context.Context, s jeantrail.Settlement, due func([]jeantrail.BudgetStanding) []jeantrail.Alert) (jeantrail.Settled, error)
	// Job returns a job with its result, or not_found.
	Job(ctx context.Context, id string) (*jeantrail.Job, error)
	Jobs(ctx context.Context, f jeantrail.JobFilter) (jeantrail.JobPage, error)
	// Events returns up to limit stored events after seq, oldest first.
	Events(ctx context.Context, id string, after int64, limit int) ([]jeantrail.Event, error)
	// Unfinished returns every job that is queued or running.
	Unfinished(ctx context.Context) ([]jeantrail.Job, error)

	MoneyStore
}

// MoneyStore keeps what decides about money and what is told about it.
type MoneyStore interface {
	// Price returns what a model's units cost at a time.
	Price(ctx context.Context, model string, kind jeantrail.Kind, at time.Time) (jeantrail.Price, error)
	// Prices returns the rows in force at a time.
	Prices(ctx context.Context, at time.Time) ([]jeantrail.PriceEntry, error)
	// SetPrice adds a row, or replaces that of the same kind, model and instant.
	SetPrice(ctx context.Context, e jeantrail.PriceEntry) error

	// Standings returns how budgets stand at a time: those of a user and of
	// everybody, or all if user is nil. Budgets that do not apply then have a
	// zero Window and are left out unless all is set.
	Standings(ctx context.Context, user *string, at time.Time, all bool) ([]jeantrail.BudgetStanding, error)
	// Budget returns a budget's standing, or not_found.
	Budget(ctx context.Context, id string, at time.Time) (*jeantrail.BudgetStanding, error)
	AddBudget(ctx context.Context, b jeantrail.Budget) error
	// ChangeBudget reads, changes and writes a budget in one transaction. If its
	// amount, threshold or windows change, its alerts are armed anew.
	ChangeBudget(ctx context.Context, id string, change func(*jeantrail.Budget) error) error
	DeleteBudget(ctx context.Context, id string) error
	// Raise keeps an alert and reports whether it is new.
	Raise(ctx context.Context, a jeantrail.Alert) (fresh bool, err error)
	// Alerts returns the newest alerts first: those of a user and of everybody,
	// or all if user is nil.
	Alerts(ctx context.Context, user *string, limit int) ([]jeantrail.Alert, error)

	// Rules returns rules in order: those of a user and of everybody, or all if
	// user is nil.
	Rules(ctx context.Context, user *string) ([]jeantrail.Rule, error)
	Rule(ctx context.Context, id string) (*jeantrail.Rule, error)
	AddRule(ctx context.Context, r jeantrail.Rule) error
	ChangeRule(ctx context.Context, id string, change func(*jeantrail.Rule) error) error
	DeleteRule(ctx context.Context, id string) error

	// Costs sums finished jobs up by a group, in the order of the key.
	Costs(ctx context.Context, by jeantrail.CostGroup, f jeantrail.StatisticsFilter) ([]jeantrail.CostRow, error)
	// Usage returns the statistics by hour, oldest first.
	Usage(ctx context.Context, f jeantrail.StatisticsFilter) ([]jeantrail.UsageRow, error)

	// Audit returns a sentence for each rule of the data that does not hold.
	Audit(ctx context.Context) ([]string, error)
	// RebuildStatistics makes the usage statistics and the spending anew from
	// the costs, and returns how many rows of statistics there are then.
	RebuildStatistics(ctx context.Context) (rows int64, err error)

	// Cached returns the job whose result is filed under the key for the user,
	// if it was filed after notBefore; nil if there is none. It counts as a use.
	Cached(ctx context.Context, user string, key []byte, notBefore time.Time) (*jeantrail.Job, error)
	// TrimCache forgets what was filed before notBefore, and the least recently
	// used beyond maxBytes.
	TrimCache(ctx context.Context, maxBytes int64, notBefore time.Time) error
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
	// AlertRaised is called once for each alert.
	AlertRaised(a jeantrail.Alert)
}
