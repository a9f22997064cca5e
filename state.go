package jeantrail

import "slices"

// State is where a job stands. The same closed list is a CHECK constraint in
// the database; a test in store compares the two.
type State string

const (
	// StateQueued is set by the gateway in the admitting transaction, together
	// with the reservation.
	StateQueued State = "queued"
	// StateRunning is set by the gateway when a backend has begun the work.
	StateRunning State = "running"
	// StateSucceeded is set by the gateway in the settling transaction of a job
	// that ended by itself.
	StateSucceeded State = "succeeded"
	// StateFailed is set by the gateway in the settling transaction of a job
	// whose backend returned an error.
	StateFailed State = "failed"
	// StateCancelled is set by the gateway in the settling transaction of a job
	// that its owner stopped, or whose owner went away.
	StateCancelled State = "cancelled"
	// StateInterrupted is set at start-up for every job that an earlier process
	// left unfinished, and at shutdown for those that could not be drained.
	StateInterrupted State = "interrupted"
)

// States lists every state, in the order a job may pass through them.
func States() []State {
	return []State{StateQueued, StateRunning, StateSucceeded, StateFailed, StateCancelled, StateInterrupted}
}

// Terminal reports whether a job in this state will never change again.
func (s State) Terminal() bool {
	return s == StateSucceeded || s == StateFailed || s == StateCancelled || s == StateInterrupted
}

// Valid reports whether s is one of States.
func (s State) Valid() bool { return slices.Contains(States(), s) }

// CanMoveTo reports whether a job may go from s to next.
func (s State) CanMoveTo(next State) bool {
	switch s {
	case StateQueued:
		return next == StateRunning || next.Terminal() && next != StateSucceeded
	case StateRunning:
		return next.Terminal()
	default:
		return false
	}
}
