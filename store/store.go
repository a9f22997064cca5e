package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// The defaults of Options.
const (
	DefaultReaders     = 4
	DefaultBusyTimeout = 5 * time.Second
)

// Options of a Store. The zero value is usable.
type Options struct {
	// Readers is the most read-only connections; 0 means DefaultReaders.
	Readers int
	// BusyTimeout is how long a connection waits for another process that
	// writes to the same file; 0 means DefaultBusyTimeout.
	BusyTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.Readers <= 0 {
		o.Readers = DefaultReaders
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = DefaultBusyTimeout
	}
	return o
}

// Store is an open database. Its methods may be called from any goroutine.
//
// Errors are *jeantrail.Error: not_found, conflict, storage_full, cancelled or
// deadline of the caller's context, and internal for the rest. One that may
// succeed when it is tried again (another process held the file) has RetryAfter
// set. An error always means that nothing was written.
type Store struct {
	path    string
	writer  *sql.DB
	readers *sql.DB
	stmt    statements
	group   group
	commits atomic.Int64
	uses    cacheUses

	closeOnce sync.Once
	closeErr  error
}

// Path returns the file of the database.
func (s *Store) Path() string { return s.path }

// Close waits for running transactions, folds the write-ahead log into the
// file and closes it. Every call after the first returns the first one's error.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		// The writer goes last: a read-only connection cannot fold the log.
		err := errors.Join(s.readers.Close(), s.writer.Close())
		s.closeErr = failed("close database", err)
	})
	return s.closeErr
}

// Health reports whether the database answers.
func (s *Store) Health(ctx context.Context) error {
	var version int64
	err := s.readers.QueryRowContext(ctx, "SELECT max(version_id) FROM "+versionTable).Scan(&version)
	return failedIn(ctx, "check database", err)
}

// read runs fn in one read transaction, in which every query sees the same
// commit.
func (s *Store) read(ctx context.Context, op string, fn func(tx *sql.Tx) error) error {
	tx, err := s.readers.BeginTx(ctx, nil)
	if err != nil {
		return failedIn(ctx, op, err)
	}
	defer tx.Rollback() // nothing was written
	return failedIn(ctx, op, fn(tx))
}

// millis is how an instant is stored.
func millis(t time.Time) int64 { return t.UnixMilli() }

// instant reads what millis wrote; no value is the zero time.
func instant(ms sql.Null[int64]) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.V).UTC()
}

// misuse is the error of a caller that broke a method's contract, which is a
// defect and no one's bad input.
func misuse(format string, args ...any) error {
	return jeantrail.Errorf(jeantrail.CodeInternal, format, args...)
}
