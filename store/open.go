package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/jeantrail/jeantrail-ai"
)

// applicationID marks our files in SQLite's header: "JTAI".
const applicationID = 0x4A544149

// versionTable is where goose notes which migrations a file has seen.
const versionTable = "goose_db_version"

//go:embed migrations/*.sql
var migrations embed.FS

// Open opens the database at path, makes it if there is none, and brings its
// schema up to date. The file and the folder, if it makes them, are its owner's
// alone.
//
// A file that another program wrote, that a newer version of this one wrote, or
// that is no database, is refused before anything in it is changed.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	o = o.withDefaults()
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, failed("open database", err)
	}
	fresh, err := prepareFile(path)
	if err != nil {
		return nil, err
	}
	known, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, failed("open database", err)
	}
	if !fresh {
		if err := inspect(ctx, path, o, int64(len(known))); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fileError(path, err)
	}
	s := &Store{path: path}
	if s.writer, err = connect(path, writerPragmas(o), 1); err != nil {
		return nil, err
	}
	if s.readers, err = connect(path, readerPragmas(o), o.Readers); err != nil {
		return nil, errors.Join(err, s.writer.Close())
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.stmt.prepare(ctx, s.writer, s.readers); err != nil {
		return nil, errors.Join(failedIn(ctx, "open database", err), s.Close())
	}
	return s, nil
}

// prepareFile makes the file, so that its mode is ours from the first byte on
// (the files that SQLite puts beside it take the same), and reports whether it
// is empty.
func prepareFile(path string) (fresh bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, fileError(path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, fileError(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, fileError(path, err)
	}
	if !info.Mode().IsRegular() {
		return false, jeantrail.Errorf(jeantrail.CodeInvalid, "open database: %s is not a regular file", path)
	}
	return info.Size() == 0, nil
}

func fileError(path string, err error) error {
	e := &jeantrail.Error{Code: jeantrail.CodeInternal, Message: "open database " + path + " failed", Err: err}
	return e.WithHint("Check that the folder exists, is writable and has room.")
}

// inspect looks at an existing file through a connection that cannot write,
// because dressing a connection for writing already changes the file.
func inspect(ctx context.Context, path string, o Options, newest int64) error {
	db, err := connect(path, readerPragmas(o), 1)
	if err != nil {
		return err
	}
	defer db.Close()
	return examineHead(ctx, db, path, newest)
}

// examineHead refuses a file that is not ours, or not any more.
func examineHead(ctx context.Context, db *sql.DB, path string, newest int64) error {
	op := "open database " + path
	var id, tables, version int64
	err := db.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		count(*), coalesce(sum(name = ?), 0) FROM sqlite_schema WHERE type = 'table'`, versionTable).Scan(&id, &tables, &version)
	if err != nil {
		return failedIn(ctx, op, err)
	}
	if id != applicationID && (id != 0 || tables > 0) {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "open database: %s belongs to another program (application id %#08x)", path, id).
			WithHint("Choose another file.")
	}
	if version == 0 {
		return nil // made, but stopped before the first migration
	}
	err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable).Scan(&version)
	if err != nil {
		return failedIn(ctx, op, err)
	}
	if version > newest {
		return jeantrail.Errorf(jeantrail.CodeUnsupported,
			"open database: %s was written by a newer version of this program (schema %d, this one knows %d)", path, version, newest).
			WithHint("Start the newer version, or choose another file.").
			WithNumber("schema", version).WithNumber("newest_known", newest)
	}
	return nil
}

// migrate marks an empty file as ours, then applies the migrations that it has
// not seen, each in a transaction with its record. The mark comes first: a crash
// in between leaves a file that the next start recognises.
func (s *Store) migrate(ctx context.Context) error {
	const op = "migrate database"
	if _, err := s.writer.ExecContext(ctx, "PRAGMA application_id = "+strconv.Itoa(applicationID)); err != nil {
		return failedIn(ctx, op, err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return failed(op, err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.writer, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return failed(op, err)
	}
	// Not p.Close: it would close the writer.
	_, err = p.Up(ctx)
	return failedIn(ctx, op, err)
}

// The pragmas are the driver's DSN parameters, which it applies to every
// connection it opens, busy_timeout before all others (the switch to WAL can
// itself find the file busy). synchronous=FULL: a commit is on the disk when it
// returns, because a reader may have been told of it.
func writerPragmas(o Options) url.Values {
	return url.Values{
		"_busy_timeout": {strconv.FormatInt(o.BusyTimeout.Milliseconds(), 10)},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_foreign_keys": {"on"},
		"_txlock":       {"immediate"},
	}
}

func readerPragmas(o Options) url.Values {
	return url.Values{
		"mode":          {"ro"},
		"_busy_timeout": {strconv.FormatInt(o.BusyTimeout.Milliseconds(), 10)},
		"_query_only":   {"on"},
		"_foreign_keys": {"on"},
	}
}

func connect(path string, params url.Values, conns int) (*sql.DB, error) {
	file := filepath.ToSlash(path)
	if !strings.HasPrefix(file, "/") {
		file = "/" + file // a drive letter, as SQLite's URI syntax wants it
	}
	dsn := url.URL{Scheme: "file", Path: file, RawQuery: params.Encode(), OmitHost: true}
	db, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		return nil, failed("open database", err)
	}
	// Idle connections stay, with their prepared statements and page caches.
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}
