package store

import (
	"context"
	"database/sql"
	"errors"
	"syscall"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/jeantrail/jeantrail-ai"
)

// retryBusy is what RetryAfter suggests when another process held the file for
// longer than the busy timeout.
const retryBusy = time.Second

// failedIn is failed for a step that the caller's context could stop: when it
// is over, that is the reason, whatever the driver made of it.
func failedIn(ctx context.Context, op string, err error) error {
	var known *jeantrail.Error
	if err == nil || errors.As(err, &known) || ctx.Err() == nil {
		return failed(op, err)
	}
	return failed(op, context.Cause(ctx))
}

// failed turns an error of the driver into one of ours, by SQLite's code and
// never by its text, which stays in Err for the log. nil and errors that are
// ours already pass.
func failed(op string, err error) error {
	var known *jeantrail.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &jeantrail.Error{Code: jeantrail.CodeInternal, Message: op + " failed", Err: err}
	var driver sqlite3.Error
	switch {
	case errors.As(err, &driver):
		describe(e, op, driver)
	case errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Message = jeantrail.CodeDeadline, op+" took longer than its time limit"
	case errors.Is(err, context.Canceled):
		e.Code, e.Message = jeantrail.CodeCancelled, op+" was cancelled"
	case errors.Is(err, sql.ErrConnDone), errors.Is(err, sql.ErrTxDone):
		e.Message = op + " failed: the database is closed"
	}
	return e
}

// describe fills in what the codes on https://www.sqlite.org/rescode.html mean
// for somebody who runs this program.
func describe(e *jeantrail.Error, op string, driver sqlite3.Error) {
	if errors.Is(driver.SystemErrno, syscall.ENOSPC) {
		driver.Code = sqlite3.ErrFull
	}
	switch driver.Code {
	case sqlite3.ErrFull:
		e.Code, e.Message = jeantrail.CodeStorageFull, op+" failed: there is no room left for the database"
		e.Hint = "Free some disk space; nothing that was stored before is lost."
	case sqlite3.ErrConstraint:
		e.Code, e.Message = jeantrail.CodeConflict, op+" failed: it contradicts what is stored"
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		e.Message = op + " failed: another process is writing to the database"
		e.Hint = "Close other programs that have the database open."
		e.RetryAfter = retryBusy
	case sqlite3.ErrNotADB:
		e.Message = op + " failed: the file is not a SQLite database"
		e.Hint = "Move the file away, with the -wal and -shm files beside it; the next start makes a new one."
	case sqlite3.ErrCorrupt:
		e.Message = op + " failed: the database is damaged"
		e.Hint = "Restore a copy, or move the file away, with the -wal and -shm files beside it; the next start makes a new one."
	case sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrAuth, sqlite3.ErrCantOpen:
		e.Message = op + " failed: the database cannot be opened for writing"
		e.Hint = "Check the permissions of the file and of its folder."
	case sqlite3.ErrIoErr:
		e.Message = op + " failed: the disk reported an error"
		e.Hint = "Check the disk."
	case sqlite3.ErrInterrupt:
		e.Code, e.Message = jeantrail.CodeCancelled, op+" was cancelled"
	}
}
