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
	// CacheKey, if set, files the result for later requests with the same key.
	CacheKey []byte
}

// Settled is what a settlement brought about beyond the job itself.
type Settled struct {
	// Alerts that the cost raised. Their events stand in the job's log before
	// the terminal one, in this order.
	Alerts []Alert
}
