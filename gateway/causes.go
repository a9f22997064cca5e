package gateway

import (
	"context"
	"errors"

	"github.com/jeantrail/jeantrail-ai"
)

// The causes with which the gateway cancels a job's context. A backend sees
// them through context.Cause; the job's final state is taken from them.
var (
	ErrCancelled  = errors.New("the job was cancelled")
	ErrClientGone = errors.New("the client of the job went away")
	ErrShutdown   = errors.New("the program is stopping")
)

// outcome says how a job ended: from what the backend returned, and from why
// it was told to stop, if it was. The error is nil for succeeded and cancelled.
func outcome(ctx context.Context, finish jeantrail.FinishReason, err error) (jeantrail.State, *jeantrail.Error) {
	cancelled := finish == jeantrail.FinishCancelled || errors.Is(err, context.Canceled) ||
		jeantrail.CodeOf(err) == jeantrail.CodeCancelled
	if err == nil && !cancelled {
		return jeantrail.StateSucceeded, nil
	}
	// A backend that stopped because it was told to may say so in its own
	// words; why it was told is what counts. An error of its own stays.
	if cause := context.Cause(ctx); cause != nil && (cancelled || errors.Is(err, cause)) {
		err = cause
		cancelled = errors.Is(cause, ErrCancelled) || errors.Is(cause, ErrClientGone)
	}
	switch {
	case errors.Is(err, ErrShutdown), jeantrail.CodeOf(err) == jeantrail.CodeShuttingDown:
		return jeantrail.StateInterrupted, interrupted("the program was stopped before the job was done", err)
	case cancelled:
		return jeantrail.StateCancelled, nil
	default:
		return jeantrail.StateFailed, jeantrail.AsError(err)
	}
}

func interrupted(message string, cause error) *jeantrail.Error {
	return &jeantrail.Error{
		Code:    jeantrail.CodeShuttingDown,
		Message: message,
		Hint:    "What was produced is kept with the job. Send the request again for a whole answer.",
		Err:     cause,
	}
}

// unsettled says that a job has ended but still stands as unfinished in the
// store.
func unsettled(id string, cause error) *jeantrail.Error {
	e := &jeantrail.Error{
		Code:    jeantrail.CodeInternal,
		Message: "the end of job " + id + " is not stored",
		Hint:    "Start the program again: it then closes the job with what was produced.",
		Err:     cause,
	}
	if jeantrail.CodeOf(cause) == jeantrail.CodeStorageFull {
		e.Code = jeantrail.CodeStorageFull
		e.Hint = "Free some disk space and start the program again: it then closes the job with what was produced."
	}
	return e
}

func notFound(id string) *jeantrail.Error {
	return jeantrail.Errorf(jeantrail.CodeNotFound, "there is no job %q", id).
		WithHint("GET /jobs lists the jobs you may see.")
}
