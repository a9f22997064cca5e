package jeantrail

import "time"

// EventType names what happened to a job.
type EventType string

// The types. The last four end a job's log.
const (
	EventQueued      EventType = "queued"
	EventStarted     EventType = "started"
	EventProgress    EventType = "progress"
	EventToken       EventType = "token"
	EventStage       EventType = "stage"
	EventArtifact    EventType = "artifact"
	EventAlert       EventType = "alert"
	EventDone        EventType = "done"
	EventFailed      EventType = "failed"
	EventCancelled   EventType = "cancelled"
	EventInterrupted EventType = "interrupted"
)

// Terminal reports whether the event is the last of its job.
func (t EventType) Terminal() bool {
	return t == EventDone || t == EventFailed || t == EventCancelled || t == EventInterrupted
}

// EventOf returns the terminal event type of a terminal state.
func EventOf(s State) EventType {
	switch s {
	case StateSucceeded:
		return EventDone
	case StateFailed:
		return EventFailed
	case StateCancelled:
		return EventCancelled
	default:
		return EventInterrupted
	}
}

// Event is one entry of a job's log. Seq counts the stored events of a job
// from 1 without gaps; a reader that has seen N asks for what comes after N
// and gets each later event once.
//
// Text reaches live readers sooner than the log: a token event with Partial
// set carries a piece of the stored event that Seq will number. When that event
// is committed, the live reader gets the same Seq with Partial unset and only
// the text that no partial piece carried. A reader that was cut off drops the
// pieces whose Seq it never saw committed, and resumes after the last Seq that
// it did.
type Event struct {
	Seq     int64
	Type    EventType
	JobID   string
	At      time.Time
	Partial bool

	Position  int        // queued: how many jobs are ahead
	Model     string     // started
	Engine    EngineInfo // started
	Prompt    int        // started: tokens of the prompt
	Cached    int        // started: of those, taken from the KV cache
	Text      string     // token
	Reasoning bool       // token: the text is reasoning
	Tokens    int        // token: how many sampled tokens the event accounts for
	Progress  Progress   // progress
	Alert     *Alert     // alert
	Stage     *Stage     // stage
	Artifact  *Artifact  // artifact
	Result    *Result    // done, cancelled, interrupted
	Err       *Error     // failed, interrupted
}

// Progress of a stage that takes long.
type Progress struct {
	Stage string
	Done  int64
	Total int64
	Unit  string
}
