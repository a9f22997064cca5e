package jeantrail

import "time"

// Settlement closes a job: the final state, the result and everything that goes
// with it, written together or not at all.
type Settlement struct {
	JobID    string
	From     State // the state it must still be in
	To       State
	At       time.Time
	Result   *Result
	Err      *Error
	Events   []Event // what was not stored yet, the terminal event last
	QueueFor time.Duration
}
