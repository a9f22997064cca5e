package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jeantrail/jeantrail-ai"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRunning     = 3
	exitNotFound    = 4
	exitRefused     = 5
	exitUnavailable = 6
	exitInterrupted = 130
)

// errUsage marks a wrong command line.
type errUsage struct{ error }

func (e errUsage) Unwrap() error { return e.error }

// exitCode is the one table from errors to exit codes.
func exitCode(err error) int {
	var usage errUsage
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, context.Canceled), errors.Is(err, errInterrupted):
		return exitInterrupted
	}
	switch jeantrail.CodeOf(err) {
	case jeantrail.CodeInvalid, jeantrail.CodeContextLength, jeantrail.CodeTooLarge, jeantrail.CodeUnsupported, jeantrail.CodeUnsupportedMedia:
		return exitUsage
	case jeantrail.CodeAlreadyRunning:
		return exitRunning
	case jeantrail.CodeNotFound:
		return exitNotFound
	case jeantrail.CodeUnauthorized, jeantrail.CodeForbidden, jeantrail.CodeOriginDenied, jeantrail.CodeBudgetExceeded:
		return exitRefused
	case jeantrail.CodeQueueFull, jeantrail.CodeModelLoading, jeantrail.CodeWorkerUnavailable, jeantrail.CodeShuttingDown, jeantrail.CodeRateLimited, jeantrail.CodeDeadline:
		return exitUnavailable
	case jeantrail.CodeCancelled:
		return exitInterrupted
	default:
		return exitFailed
	}
}

// printError tells a person what went wrong and what to do about it. Here the
// cause of an internal error is shown too: the person at this terminal owns the
// process.
func printError(w io.Writer, err error) {
	var e *jeantrail.Error
	if !errors.As(err, &e) {
		fmt.Fprintf(w, "error: %v\n", err)
		return
	}
	fmt.Fprintf(w, "error: %v\n", err)
	if e.Hint != "" {
		fmt.Fprintf(w, "hint: %s\n", e.Hint)
	}
}
