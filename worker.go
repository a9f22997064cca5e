package jeantrail

import "time"

// WorkerStatus is where a worker stands: a server of its own, in a container or
// not, that does one kind of work.
type WorkerStatus string

// The statuses.
const (
	WorkerUnknown  WorkerStatus = "unknown"  // not probed yet
	WorkerStarting WorkerStatus = "starting" // it was never ready, and its time to start is not over
	WorkerReady    WorkerStatus = "ready"
	WorkerDegraded WorkerStatus = "degraded" // it answers, but not as it should: errors or slowness
	WorkerDown     WorkerStatus = "down"
)

// Worker describes a worker and how it is.
type Worker struct {
	Name     string
	Aliases  []string
	Kind     Kind
	URL      string
	Dialect  string // as configured; "auto" lets a probe find out
	Speaks   string // the dialect that a probe found, "" if none did yet
	Vision   bool   // a text worker that reads images
	Model    string // that the worker says it runs
	Version  string // that the worker says it is
	Default  bool   // of its kind
	Remote   bool   // allowed outside this machine and its private networks
	Optional bool   // from the defaults: nobody asked for it, so that its absence is no fault

	Status              WorkerStatus
	Problem             string // why it is not ready
	Latency             time.Duration
	CheckedAt           time.Time // last probe
	ReadyAt             time.Time // when it was last found ready
	Since               time.Time // when it came into this status
	ErrorRate           float64   // of probes and requests in the window, 0 to 1
	ConsecutiveFailures int
	Breaker             string // closed, open or half-open

	Concurrency int // requests at once
	Running     int
	Queued      int
	MemoryBytes int64  // that it is said to hold, 0 if nobody says
	MemoryFrom  string // config, worker or ""
}

// Probe is what one look at a worker showed.
type Probe struct {
	At      time.Time
	Worker  string
	Status  WorkerStatus
	Latency time.Duration
	Problem string
	Model   string
	Version string
}

// MemoryUse is how the one memory budget stands.
type MemoryUse struct {
	Limit   int64 // bytes; 0: no limit is known
	Used    int64
	Holders []MemoryHolder
	Recent  []MemoryDecision // newest first
}

// MemoryHolder is a model or worker that holds memory.
type MemoryHolder struct {
	Name      string
	Bytes     int64
	Source    string // where the figure is from: model, config, worker or prefixes (kept beginnings of conversations)
	Busy      bool   // somebody is using it
	Pinned    bool   // never asked to let go
	CanUnload bool
	UsedAt    time.Time
}

// MemoryDecision is something that was done about memory.
type MemoryDecision struct {
	At     time.Time
	For    string // who needed room
	Need   int64
	Did    string // for example "unloaded qwen3-8b"
	Reason string
}
