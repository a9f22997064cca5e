package jeantrail

// StageStatus is where a stage of a pipeline stands.
type StageStatus string

// The statuses. A stage that is skipped did not run: its condition did not hold,
// or it failed and the workflow says to go on without it.
const (
	StageRunning   StageStatus = "running"
	StageSucceeded StageStatus = "succeeded"
	StageFailed    StageStatus = "failed"
	StageSkipped   StageStatus = "skipped"
	StageCancelled StageStatus = "cancelled"
)

// Stage is one stage of a pipeline: a job of its own.
type Stage struct {
	Name   string
	Kind   Kind
	Model  string // that ran it; "" if none did
	JobID  string // "" if it never became a job
	Status StageStatus
	// Attempts is how many jobs were tried; JobID is the last one.
	Attempts int
	Output   string // the text that it gave; artifacts are with its job
	Usage    Usage  // of all attempts
	Cost     Cost   // of all attempts
	Reason   string // why it was skipped or failed
	// Fallback says that the result is of the fallback.
	Fallback bool
}

// Pipeline is what a workflow gave.
type Pipeline struct {
	Workflow string
	Stages   []Stage // in the order of the workflow
	// Output is what the workflow names as its output: strings, numbers, or
	// artifacts as {"job_id", "index"}.
	Output map[string]any
	Usage  Usage // of all stages
	Cost   Cost  // of all stages; the pipeline itself costs nothing
}

// Estimate is the most that a request can cost.
type Estimate struct {
	Name   string // of the stage, "" for the whole request
	Kind   Kind
	Model  string
	Bounds Bounds
	Amount Money
	// Least is what the budgets must have room for, for the request to be
	// admitted: less than Amount if the length of an answer was left open.
	Least Money
	// Exact is false if it depends on what an earlier stage will give: then it is
	// for the longest that this may be.
	Exact bool
	// Conditional says that the stage may not run at all.
	Conditional bool
	Stages      []Estimate // of a pipeline
}

// Workflow describes a pipeline that can be asked for.
type Workflow struct {
	Name        string
	Description string
	BuiltIn     bool
	Inputs      []WorkflowInput
	Stages      []WorkflowStage
	Source      string // the YAML it is written in
}

// WorkflowInput is what a workflow has to be told.
type WorkflowInput struct {
	Name        string
	Type        string // string, integer, number, boolean, audio or image
	Required    bool
	Default     any // nil if there is none
	Description string
}

// WorkflowStage is a stage as a listing shows it.
type WorkflowStage struct {
	Name     string
	Kind     Kind
	Model    string // "" for the default of its kind
	Parallel int    // number of the group of stages that run at once; 0: runs alone
	OnError  string // fail, skip or fallback
}
