package jeantrail

import "time"

// Job is a request that was admitted.
type Job struct {
	ID             string // UUIDv7
	Kind           Kind
	UserID         string
	KeyID          string // the API key that asked, "" in keyless mode
	State          State
	Model          string // the model that runs it
	RequestedModel string // the model that was asked for, "" for the default
	Priority       Priority
	Async          bool
	Request        Request
	Price          Price // as it stood at admission
	Reserved       Money
	CreatedAt      time.Time
	StartedAt      time.Time // zero until running
	FinishedAt     time.Time // zero until terminal
	LastSeq        int64     // number of the newest stored event
	Result         *Result   // set when terminal
	Err            *Error    // set when failed or interrupted
}

// JobFilter selects jobs for a listing. Zero fields do not restrict.
type JobFilter struct {
	UserID   string
	State    State
	Kind     Kind
	Model    string
	Parent   string    // stages of this pipeline's job
	Workflow string    // stages of this workflow
	From     time.Time // created at or after
	To       time.Time // created before
	Limit    int       // the most jobs to return; 0 means 50
	Cursor   string    // from the previous page; "" for the first
}

// JobPage is one page of a listing, newest first.
type JobPage struct {
	Jobs []Job
	Next string // cursor of the next page, "" on the last
}

// Principal is who calls.
type Principal struct {
	UserID       string // whose money; "local" in keyless mode
	KeyID        string
	Role         Role
	ActForOthers bool // may send another user's user_id
}

// Role is what a principal may do.
type Role string

// The roles.
const (
	RoleAdmin  Role = "admin"
	RoleUser   Role = "user"
	RoleViewer Role = "viewer"
)
