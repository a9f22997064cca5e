package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func TestOutcome(t *testing.T) {
	own := errors.New("own")
	full := jeantrail.Errorf(jeantrail.CodeStorageFull, "full")
	tests := []struct {
		name   string
		cause  error // with which the job's context was cancelled
		finish jeantrail.FinishReason
		err    error
		state  jeantrail.State
		code   jeantrail.Code
	}{
		{"done", nil, jeantrail.FinishStop, nil, jeantrail.StateSucceeded, ""},
		{"done before it heard", ErrCancelled, jeantrail.FinishStop, nil, jeantrail.StateSucceeded, ""},
		{"returns the cause", ErrCancelled, jeantrail.FinishCancelled, ErrCancelled, jeantrail.StateCancelled, ""},
		{"wraps the cause", ErrClientGone, "", fmt.Errorf("stop: %w", ErrClientGone), jeantrail.StateCancelled, ""},
		{"returns ctx.Err", ErrClientGone, "", context.Canceled, jeantrail.StateCancelled, ""},
		{"says it with the reason", ErrCancelled, jeantrail.FinishCancelled, nil, jeantrail.StateCancelled, ""},
		{"says it with the code", ErrCancelled, "", jeantrail.Errorf(jeantrail.CodeCancelled, "stopped"), jeantrail.StateCancelled, ""},
		{"by itself", nil, "", jeantrail.Errorf(jeantrail.CodeCancelled, "stopped"), jeantrail.StateCancelled, ""},
		{"shutdown", ErrShutdown, jeantrail.FinishCancelled, ErrShutdown, jeantrail.StateInterrupted, jeantrail.CodeShuttingDown},
		{"the engine stopped first", nil, "", jeantrail.Errorf(jeantrail.CodeShuttingDown, "stopping"), jeantrail.StateInterrupted, jeantrail.CodeShuttingDown},
		{"own error", nil, jeantrail.FinishError, own, jeantrail.StateFailed, jeantrail.CodeInternal},
		{"own error while cancelled", ErrCancelled, jeantrail.FinishError, own, jeantrail.StateFailed, jeantrail.CodeInternal},
		{"store failed", full, jeantrail.FinishCancelled, full, jeantrail.StateFailed, jeantrail.CodeStorageFull},
		{"store failed, ctx.Err", full, "", context.Canceled, jeantrail.StateFailed, jeantrail.CodeStorageFull},
		{"slow reader", nil, "", jeantrail.Errorf(jeantrail.CodeSlowReader, "slow"), jeantrail.StateFailed, jeantrail.CodeSlowReader},
	}
	for _, tt := range tests {
		ctx, cancel := context.WithCancelCause(context.Background())
		if tt.cause != nil {
			cancel(tt.cause)
		}
		state, failure := outcome(ctx, tt.finish, tt.err)
		var code jeantrail.Code
		if failure != nil {
			code = failure.Code
		}
		if state != tt.state || code != tt.code {
			t.Errorf("%s: %s %q, want %s %q", tt.name, state, code, tt.state, tt.code)
		}
		cancel(nil)
	}
}
