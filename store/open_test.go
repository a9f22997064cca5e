package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

func TestOpenAgain(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "new folder", "a b?c#d%41&mode=memory.db")
	var id string
	for i := range 3 {
		s, err := store.Open(ctx, path, store.Options{Readers: 1})
		must(t, err)
		must(t, s.Health(ctx))
		if i == 0 {
			id = admit(t, s, newJob(epoch)).ID
		}
		if _, err := s.Job(ctx, id); err != nil {
			t.Errorf("opened %d times: %v", i+1, err)
		}
		must(t, s.Close())
		must(t, s.Close())
		err = s.Health(ctx)
		wantCode(t, err, jeantrail.CodeInternal)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestFilesAreTheirOwnersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	path := filepath.Join(t.TempDir(), "home", "jeantrail.db")
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, nil, 0o644))
	s := reopen(t, path, store.Options{})
	admit(t, s, newJob(epoch))
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(name), info.Mode())
		}
	}
}

func TestEveryConnectionIsDressed(t *testing.T) {
	ctx, s := context.Background(), open(t)
	for name, c := range map[string]struct {
		db   *sql.DB
		want map[string]string
	}{
		"writer": {s.Writer(), map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "query_only": "0"}},
		"reader": {s.Readers(), map[string]string{"journal_mode": "wal", "foreign_keys": "1", "busy_timeout": "5000", "query_only": "1"}},
	} {
		var held []*sql.Conn
		for range c.db.Stats().MaxOpenConnections {
			conn, err := c.db.Conn(ctx)
			must(t, err)
			held = append(held, conn)
			for pragma, want := range c.want {
				var got string
				must(t, conn.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&got))
				if got != want {
					t.Errorf("%s %d: %s is %s, want %s", name, len(held), pragma, got, want)
				}
			}
		}
		for _, conn := range held {
			must(t, conn.Close())
		}
	}
	if _, err := s.Readers().Exec("DELETE FROM ai_prices"); err == nil {
		t.Error("a reader wrote")
	}
}

// raw opens a file past the store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func TestOpenRefuses(t *testing.T) {
	ours := func(t *testing.T, path string) {
		s, err := store.Open(context.Background(), path, store.Options{})
		must(t, err)
		must(t, s.Close())
	}
	exec := func(t *testing.T, path, query string) {
		db := raw(t, path)
		_, err := db.Exec(query)
		must(t, err)
		must(t, db.Close())
	}
	for name, c := range map[string]struct {
		make func(t *testing.T, path string)
		code jeantrail.Code
		says string
	}{
		"newer version": {func(t *testing.T, path string) {
			ours(t, path)
			exec(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		}, jeantrail.CodeUnsupported, "newer version"},
		"another program's": {func(t *testing.T, path string) {
			exec(t, path, "CREATE TABLE songs (title TEXT)")
		}, jeantrail.CodeInvalid, "another program"},
		"another application id": {func(t *testing.T, path string) {
			exec(t, path, "PRAGMA application_id = 252006673; PRAGMA user_version = 7")
		}, jeantrail.CodeInvalid, "another program"},
		"no database": {func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte(strings.Repeat("<html>", 500)), 0o600))
		}, jeantrail.CodeInternal, "not a SQLite database"},
		"damaged": {func(t *testing.T, path string) {
			ours(t, path)
			b, err := os.ReadFile(path)
			must(t, err)
			for i := 100; i < len(b); i++ {
				b[i] = 0xA5
			}
			must(t, os.WriteFile(path, b, 0o600))
		}, jeantrail.CodeInternal, "damaged"},
		"folder": {func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) }, jeantrail.CodeInternal, "open database"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			c.make(t, path)
			before, _ := os.ReadFile(path)
			s, err := store.Open(context.Background(), path, store.Options{})
			if err == nil {
				s.Close()
			}
			wantCode(t, err, c.code)
			var e *jeantrail.Error
			if !errors.As(err, &e) || !strings.Contains(e.Message, c.says) || !strings.Contains(e.Message, path) || e.Hint == "" {
				t.Errorf("message %q, hint %q; want %q, the path and a hint", e.Message, e.Hint, c.says)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestOpenGoesOnAfterAnEarlyCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := raw(t, path)
	_, err := db.Exec("PRAGMA application_id = 0x4A544149")
	must(t, err)
	must(t, db.Close())
	admit(t, reopen(t, path, store.Options{}), newJob(epoch))
}

func TestFullDisk(t *testing.T) {
	ctx, s := context.Background(), open(t)
	id := running(t, s).ID
	var pages int
	must(t, s.Writer().QueryRow("PRAGMA page_count").Scan(&pages))
	setLimit := func(n int) {
		var got int
		must(t, s.Writer().QueryRow("PRAGMA max_page_count = "+strconv.Itoa(n)).Scan(&got))
	}
	setLimit(pages + 8)
	var err error
	seq := int64(2)
	for err == nil && seq < 100 {
		if err = s.Append(ctx, []jeantrail.Event{token(id, seq+1, strings.Repeat("x", 4096), 1)}); err == nil {
			seq++
		}
	}
	wantCode(t, err, jeantrail.CodeStorageFull)
	if job, err := s.Job(ctx, id); err != nil || job.LastSeq != seq || seq < 4 {
		t.Errorf("after the disk was full: job %+v, error %v, want event %d", job, err, seq)
	}
	mustBeSound(t, s)
	setLimit(1 << 20) // somebody made room
	must(t, s.Append(ctx, []jeantrail.Event{token(id, seq+1, "x", 1)}))
}

func TestAnotherProcessWrites(t *testing.T) {
	ctx := context.Background()
	s := reopen(t, filepath.Join(t.TempDir(), "x.db"), store.Options{BusyTimeout: 20 * time.Millisecond})
	job := running(t, s)
	db := raw(t, s.Path())
	conn, err := db.Conn(ctx)
	must(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	must(t, err)
	err = s.Append(ctx, []jeantrail.Event{token(job.ID, 3, "x", 1)})
	wantCode(t, err, jeantrail.CodeInternal)
	if e := jeantrail.AsError(err); e.RetryAfter <= 0 || e.Hint == "" || strings.Contains(e.Message, "locked") {
		t.Errorf("busy: %+v", e)
	}
	if _, err := s.Job(ctx, job.ID); err != nil {
		t.Errorf("a reader waits for a writer: %v", err)
	}
	_, err = conn.ExecContext(ctx, "ROLLBACK")
	must(t, err)
	must(t, s.Append(ctx, []jeantrail.Event{token(job.ID, 3, "x", 1)}))
}

func TestReadersDoNotHoldUpTheWriter(t *testing.T) {
	ctx, s := context.Background(), open(t)
	job := running(t, s)
	rows, err := s.Readers().QueryContext(ctx, "SELECT seq FROM ai_job_events")
	must(t, err)
	defer rows.Close()
	if !rows.Next() {
		t.Fatal("no row")
	}
	// With the read transaction open, on a connection that waits for nobody.
	for seq := int64(3); seq < 50; seq++ {
		must(t, s.Append(ctx, []jeantrail.Event{token(job.ID, seq, strings.Repeat("x", 4096), 1)}))
	}
	n := 1
	for rows.Next() {
		n++
	}
	if n != 2 || rows.Err() != nil {
		t.Errorf("the reader saw %d events of its snapshot, error %v", n, rows.Err())
	}
}

func TestContextIsOver(t *testing.T) {
	s := open(t)
	job := newJob(epoch)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	wantCode(t, tryAdmit(over, s, job, event(job.ID, 1, jeantrail.EventQueued)), jeantrail.CodeCancelled)
	_, err := s.Jobs(over, jeantrail.JobFilter{})
	wantCode(t, err, jeantrail.CodeCancelled)
	// The writer is taken: the wait for it ends with the context.
	conn, err := s.Writer().Conn(context.Background())
	must(t, err)
	late, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	wantCode(t, tryAdmit(late, s, job, event(job.ID, 1, jeantrail.EventQueued)), jeantrail.CodeDeadline)
	must(t, conn.Close())
	admit(t, s, job)
}

func TestErrorsKeepTheDriversWordsToThemselves(t *testing.T) {
	s := open(t)
	job := admit(t, s, newJob(epoch))
	err := tryAdmit(context.Background(), s, job, event(job.ID, 1, jeantrail.EventQueued))
	e := jeantrail.AsError(err)
	for _, word := range []string{"UNIQUE", "ai_jobs", "constraint"} {
		if strings.Contains(e.Message+e.Hint, word) {
			t.Errorf("the message is %q, %q", e.Message, e.Hint)
		}
	}
	if e.Err == nil {
		t.Error("the cause is not there for the log")
	}
}

func TestDriverErrorsBecomeOurs(t *testing.T) {
	for name, c := range map[string]struct {
		err  sqlite3.Error
		code jeantrail.Code
		says string
	}{
		"full":           {sqlite3.Error{Code: sqlite3.ErrFull}, jeantrail.CodeStorageFull, "no room"},
		"full, by errno": {sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.ENOSPC}, jeantrail.CodeStorageFull, "no room"},
		"constraint":     {sqlite3.Error{Code: sqlite3.ErrConstraint}, jeantrail.CodeConflict, "contradicts"},
		"busy":           {sqlite3.Error{Code: sqlite3.ErrBusy}, jeantrail.CodeInternal, "another process"},
		"corrupt":        {sqlite3.Error{Code: sqlite3.ErrCorrupt}, jeantrail.CodeInternal, "damaged"},
		"read-only":      {sqlite3.Error{Code: sqlite3.ErrReadonly}, jeantrail.CodeInternal, "cannot be opened for writing"},
		"disk":           {sqlite3.Error{Code: sqlite3.ErrIoErr}, jeantrail.CodeInternal, "disk reported an error"},
		"interrupt":      {sqlite3.Error{Code: sqlite3.ErrInterrupt}, jeantrail.CodeCancelled, "cancelled"},
		"anything else":  {sqlite3.Error{Code: sqlite3.ErrMisuse}, jeantrail.CodeInternal, "do it failed"},
	} {
		err := store.Failed("do it", fmt.Errorf("wrapped: %w", c.err))
		e := jeantrail.AsError(err)
		if e.Code != c.code || !strings.HasPrefix(e.Message, "do it") || !strings.Contains(e.Message, c.says) || !errors.Is(err, c.err) {
			t.Errorf("%s became %q: %q", name, e.Code, e.Message)
		}
	}
	ours := jeantrail.Errorf(jeantrail.CodeNotFound, "no job")
	if err := store.Failed("do it", ours); err != ours {
		t.Errorf("our own error became %v", err)
	}
	if err := store.Failed("do it", nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}
