package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func TestEveryCodeHasAnExitCode(t *testing.T) {
	want := map[jeantrail.Code]int{
		jeantrail.CodeInvalid: exitUsage, jeantrail.CodeAlreadyRunning: exitRunning, jeantrail.CodeNotFound: exitNotFound,
		jeantrail.CodeBudgetExceeded: exitRefused, jeantrail.CodeForbidden: exitRefused, jeantrail.CodeUnauthorized: exitRefused,
		jeantrail.CodeQueueFull: exitUnavailable, jeantrail.CodeModelLoading: exitUnavailable, jeantrail.CodeWorkerUnavailable: exitUnavailable,
		jeantrail.CodeCancelled: exitInterrupted, jeantrail.CodeInternal: exitFailed, jeantrail.CodeStorageFull: exitFailed,
	}
	for _, code := range jeantrail.Codes() {
		got := exitCode(fmt.Errorf("outer: %w", jeantrail.Errorf(code, "x")))
		if got == exitOK {
			t.Errorf("%s counts as success", code)
		}
		if w, listed := want[code]; listed && got != w {
			t.Errorf("%s: exit code %d, want %d", code, got, w)
		}
	}
	for err, w := range map[error]int{
		nil: exitOK, errors.New("plain"): exitFailed, errInterrupted: exitInterrupted, context.Canceled: exitInterrupted,
		errUsage{errors.New("flag")}: exitUsage,
	} {
		if got := exitCode(err); got != w {
			t.Errorf("%v: exit code %d, want %d", err, got, w)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	var out bytes.Buffer
	printError(&out, jeantrail.Errorf(jeantrail.CodeInvalid, "no").WithHint("do this"))
	if out.String() != "error: no\nhint: do this\n" {
		t.Errorf("printed %q", out.String())
	}
}
