package server

import (
	"context"
	"io"
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
	// Estimate returns the most that a request can cost. Nothing is held and
	// nothing runs.
	Estimate(ctx context.Context, p jeantrail.Principal, req jeantrail.Request) (*jeantrail.Estimate, error)
}

// Files keeps the files that requests bring and jobs make, by their content.
type Files interface {
	// Put keeps what r gives, without its media type. More than limit bytes are
	// too_large, and nothing is kept; a full disk is storage_full.
	Put(ctx context.Context, r io.Reader, limit int64) (jeantrail.File, error)
	// Open returns a file's content, or not_found.
	Open(f jeantrail.File) (io.ReadSeekCloser, error)
}

// Workflows are the pipelines that can be asked for.
type Workflows interface {
	// List returns every workflow, by name.
	List() []jeantrail.Workflow
	// Get returns a workflow, or not_found with the names there are.
	Get(name string) (*jeantrail.Workflow, error)
	// Put keeps a workflow of somebody's own. What is wrong in its YAML is
	// invalid, each problem with its line.
	Put(name string, source []byte) (*jeantrail.Workflow, error)
	// Delete removes one; a built-in one is a conflict.
	Delete(name string) error
}

// Fleet is the workers, and the models in this process as far as they can be
// loaded and unloaded. What it tells comes from memory; no call waits for a
// probe but ProbeNow.
type Fleet interface {
	Workers() []jeantrail.Worker
	// History returns how a worker was, newest first, at most limit entries.
	History(ctx context.Context, name string, limit int) ([]jeantrail.Probe, error)
	// ProbeNow has a worker probed and returns how it is; if the probe takes
	// longer than a few seconds, how it was.
	ProbeNow(ctx context.Context, name string) (jeantrail.Worker, error)
	Memory() jeantrail.MemoryUse
	// Reload reads the configuration again, takes up what can be taken up while
	// jobs run, and says what changed. If something is wrong in it, nothing does.
	Reload(ctx context.Context) (changes []string, err error)
	// Load begins to load a model and does not wait for it. One that would not fit
	// is unsupported, with the numbers and what would fit.
	Load(ctx context.Context, name string) error
	// Unload frees a model that no job uses; one that is in use is a conflict.
	Unload(ctx context.Context, name string) error
}

// Pulls are the downloads of models. A pull goes on without who asked for it; it
// outlives the process, and goes on at the next start under the same id.
type Pulls interface {
	// Start begins to download a model, or joins a pull of the same that is under
	// way, and does not wait for it. A source, or a name, that is not well formed is
	// invalid.
	Start(ctx context.Context, request jeantrail.PullRequest) (jeantrail.Pull, error)
	// List returns the pulls, newest first: those of earlier processes too, and of
	// those that have ended the last ones.
	List() []jeantrail.Pull
	// Get returns a pull, or not_found.
	Get(id string) (jeantrail.Pull, error)
	// Watch returns the pull as it stands, at once and whenever that changes, until
	// it is terminal or ctx ends; then the channel is closed. The newest state is
	// never missed, steps in between may be.
	Watch(ctx context.Context, id string) (<-chan jeantrail.Pull, error)
	// Cancel asks a pull to stop for good and does not wait for it; what came is kept
	// for another pull of the same. To cancel a terminal pull changes nothing and is no error.
	Cancel(id string) error
}

// Benches are the benchmarks that are kept. An id may be given by a beginning that
// no other has; one that several have is invalid.
type Benches interface {
	// Add keeps a report, as jeantrail-ai bench prints it as JSON. One that is not
	// well formed, or has no results, is invalid; one that is kept already is a
	// conflict.
	Add(ctx context.Context, report []byte) (*jeantrail.BenchRun, error)
	// List returns benchmarks, newest first, at most limit.
	List(ctx context.Context, f jeantrail.BenchFilter, limit int) ([]jeantrail.BenchSummary, error)
	// Speeds returns how fast models were last measured to generate one stream.
	Speeds(ctx context.Context) ([]jeantrail.MeasuredSpeed, error)
	// Get returns a benchmark, or not_found.
	Get(ctx context.Context, id string) (*jeantrail.BenchRun, error)
	// Delete deletes a benchmark, or answers not_found.
	Delete(ctx context.Context, id string) error
}

// Money is what the road lets people see and set about money. Every method
// answers forbidden to a principal that may not, and shows a principal that is
// not an administrator only its own.
type Money interface {
	// Budgets lists budgets with how they stand: those of a user and of
	// everybody, or all if user is "".
	Budgets(ctx context.Context, p jeantrail.Principal, user string) ([]jeantrail.BudgetStanding, error)
	Budget(ctx context.Context, p jeantrail.Principal, id string) (*jeantrail.BudgetStanding, error)
	// AddBudget gives the budget an id and returns how it stands.
	AddBudget(ctx context.Context, p jeantrail.Principal, b jeantrail.Budget) (*jeantrail.BudgetStanding, error)
	ChangeBudget(ctx context.Context, p jeantrail.Principal, id string, change func(*jeantrail.Budget) error) (*jeantrail.BudgetStanding, error)
	DeleteBudget(ctx context.Context, p jeantrail.Principal, id string) error
	// Alerts lists the newest alerts first.
	Alerts(ctx context.Context, p jeantrail.Principal, user string, limit int) ([]jeantrail.Alert, error)
	// WatchAlerts returns a channel of the alerts of the principal's user, and of
	// everybody, as they are raised, until stop is called. A reader that does not
	// keep up misses some; Alerts has all.
	WatchAlerts(p jeantrail.Principal) (alerts <-chan jeantrail.Alert, stop func())

	Rules(ctx context.Context, p jeantrail.Principal, user string) ([]jeantrail.Rule, error)
	Rule(ctx context.Context, p jeantrail.Principal, id string) (*jeantrail.Rule, error)
	AddRule(ctx context.Context, p jeantrail.Principal, r jeantrail.Rule) (*jeantrail.Rule, error)
	ChangeRule(ctx context.Context, p jeantrail.Principal, id string, change func(*jeantrail.Rule) error) (*jeantrail.Rule, error)
	DeleteRule(ctx context.Context, p jeantrail.Principal, id string) error
	// TestRules explains what the rules make of a request, and of a candidate
	// that is not kept yet as the first of them, if there is one.
	TestRules(ctx context.Context, p jeantrail.Principal, req jeantrail.Request, candidate *jeantrail.Rule) (*jeantrail.RuleReport, error)

	Prices(ctx context.Context, p jeantrail.Principal) ([]jeantrail.PriceEntry, error)
	// SetPrice sets what a model's units cost from e.ValidFrom on; zero is now.
	SetPrice(ctx context.Context, p jeantrail.Principal, e jeantrail.PriceEntry) (*jeantrail.PriceEntry, error)

	Costs(ctx context.Context, p jeantrail.Principal, by jeantrail.CostGroup, f jeantrail.StatisticsFilter) ([]jeantrail.CostRow, error)
	// VerifyCosts holds the statistics, and all else that is said twice about
	// money, against each other, and returns a sentence for each difference that
	// it finds; none is the answer of sound books. With rebuild it then makes the
	// statistics anew from the costs. It is for administrators.
	VerifyCosts(ctx context.Context, p jeantrail.Principal, rebuild bool) ([]string, error)
	Usage(ctx context.Context, p jeantrail.Principal, f jeantrail.StatisticsFilter) ([]jeantrail.UsageRow, error)

	Templates() []jeantrail.Template
	Template(name string) (*jeantrail.Template, error)
	RenderTemplate(name string, variables map[string]any) (*jeantrail.RenderedTemplate, error)
}

// EventReader is a cursor over the events of one job. A reader that is slow
// holds nobody up, and a Next that ends by its context has consumed nothing.
type EventReader interface {
	// Next returns the next event, io.EOF after the terminal one.
	Next(ctx context.Context) (jeantrail.Event, error)
}

// Models are the text models that the configuration names or that lie in the
// models folder.
type Models interface {
	// List describes every model, without how it fits. It waits for nothing.
	List(ctx context.Context) []jeantrail.Model
	// Survey is List with how each model fits. A file that was not looked at yet is
	// read for that.
	Survey(ctx context.Context) []jeantrail.Model
	// Show returns a model, by name or alias, with how it fits and how fast it would
	// be, or not_found. The first call measures the machine's memory for that, which
	// takes up to half a second.
	Show(ctx context.Context, name string) (*jeantrail.Model, error)
	// Watch returns the state of each model, at once and whenever it changes, until
	// ctx ends; then the channel is closed. The newest state is never missed, steps
	// in between may be.
	Watch(ctx context.Context) <-chan jeantrail.ModelState
}

// Vitals is how the parts behind the server are. cmd gathers it.
type Vitals struct {
	StoreErr error // why the store does not work, nil if it does
	Queued   int   // jobs that wait
	Running  int   // jobs at work
	Holds    int   // reservations that are open
	Reserved jeantrail.Money
	Stopping bool
}
