package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Examination is what a look at a database file showed.
type Examination struct {
	There  bool // the file is
	Bytes  int64
	WAL    int64 // bytes of the write-ahead log beside it
	Schema int64 // the newest migration that it has seen, 0 none
	Newest int64 // the newest that this program knows
	// Entry is when the newest job was admitted or cost was charged; zero if there
	// is none.
	Entry time.Time
	// Refused is the source of the last pull that a hub refused for want of a
	// token, of those that failed; "" if there is none.
	Refused string
	// Complaints are the first of what a check of all pages found; Checked says
	// that it came to its end.
	Complaints []string
	Checked    bool
}

// Examine looks at the database at path without opening it for writing, whether
// or not somebody has it open, and checks all its pages. It makes no file and takes
// nothing that another process would wait for. A file that Open would refuse is
// refused here with the same error; what was seen until then is returned too.
//
// The check of the pages ends with ctx, which is no error.
func Examine(ctx context.Context, path string) (Examination, error) {
	return look(ctx, path, true)
}

// Peek is Examine without the check of the pages.
func Peek(ctx context.Context, path string) (Examination, error) {
	return look(ctx, path, false)
}

func look(ctx context.Context, path string, pages bool) (Examination, error) {
	var e Examination
	known, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return e, failed("examine database", err)
	}
	e.Newest = int64(len(known))
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, fileError(path, err)
	}
	e.There, e.Bytes = true, info.Size()
	if log, err := os.Stat(path + "-wal"); err == nil {
		e.WAL = log.Size()
	}
	if e.Bytes == 0 {
		e.Checked = true
		return e, nil // made, and nothing written yet
	}
	still := !logged(path)
	err = e.examine(ctx, path, still, pages)
	if still && (err != nil || len(e.Complaints) > 0) && logged(path) {
		// Somebody began to write while we read a file that was to stand still.
		e.Complaints = nil
		err = e.examine(ctx, path, false, pages)
	}
	return e, err
}

// logged reports whether there is a write-ahead log beside the file.
func logged(path string) bool {
	_, err := os.Stat(path + "-wal")
	return !errors.Is(err, fs.ErrNotExist)
}

// examine reads the file, as one that nobody changes if still: a reader would
// otherwise make the files of the log.
func (e *Examination) examine(ctx context.Context, path string, still, pages bool) error {
	params := readerPragmas(Options{BusyTimeout: time.Second})
	if still {
		params.Set("immutable", "1")
	}
	db, err := connect(path, params, 1)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := examineHead(ctx, db, path, e.Newest); err != nil {
		return err
	}
	if err := e.read(ctx, db); err != nil {
		return failedIn(ctx, "examine database "+path, err)
	}
	if !pages {
		return nil
	}
	return e.check(ctx, db)
}

// read fills in what the tables say. A table that this schema does not have yet
// says nothing.
func (e *Examination) read(ctx context.Context, db *sql.DB) error {
	var versions int64
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", versionTable).Scan(&versions)
	if err != nil || versions == 0 {
		return err
	}
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable).Scan(&e.Schema); err != nil {
		return err
	}
	if e.Schema >= 2 { // costs came with the second migration
		var at sql.Null[int64]
		err := db.QueryRowContext(ctx, `SELECT max(at) FROM
			(SELECT max(created_at) AS at FROM ai_jobs UNION ALL SELECT max(created_at) FROM ai_costs)`).Scan(&at)
		if err != nil {
			return err
		}
		e.Entry = instant(at)
	}
	if e.Schema >= 7 { // pulls came with the seventh
		err := db.QueryRowContext(ctx, `SELECT source FROM model_pulls
			WHERE status = 'failed' AND error ->> '$.code' IN (?, ?) ORDER BY started_at DESC LIMIT 1`,
			jeantrail.CodeUnauthorized, jeantrail.CodeForbidden).Scan(&e.Refused)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return nil
}

// check looks at all pages until ctx ends, or the third complaint.
func (e *Examination) check(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "PRAGMA quick_check(3)")
	if err != nil {
		return unlessOver(ctx, "check database", err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return unlessOver(ctx, "check database", err)
		}
		if text != "ok" {
			e.Complaints = append(e.Complaints, text)
		}
	}
	if err := rows.Err(); err != nil {
		return unlessOver(ctx, "check database", err)
	}
	e.Checked = true
	return nil
}

// unlessOver is failed for what may be cut off without harm.
func unlessOver(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return failed(op, err)
}
