package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// MaxEndedPulls is how many pulls that have ended are kept; the ones that ended
// first are forgotten first. Open ones always stay.
const MaxEndedPulls = 100

const selectPulls = `SELECT id, source, name, wanted_sha256, wanted_mmproj, status, model, done_bytes, total_bytes, note,
	files, sha256, revision, fetched_bytes, starts, started_at, ended_at, error
FROM model_pulls `

const (
	pullsSQL     = selectPulls + `ORDER BY started_at DESC, id DESC LIMIT ?`
	pullSQL      = selectPulls + `WHERE id = ?`
	openPullsSQL = selectPulls + `WHERE ended_at IS NULL ORDER BY started_at, id`
)

const insertPullSQL = `INSERT INTO model_pulls (id, source, name, wanted_sha256, wanted_mmproj, status, note, starts, started_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

// The one transition: what has ended does not change.
const savePullSQL = `UPDATE model_pulls SET source = ?, wanted_mmproj = ?, status = ?, model = ?, done_bytes = ?, total_bytes = ?, note = ?,
	files = ?, sha256 = ?, revision = ?, fetched_bytes = ?, starts = ?, ended_at = ?, error = ?
WHERE id = ? AND ended_at IS NULL`

const forgetPullsSQL = `DELETE FROM model_pulls WHERE id IN (
	SELECT id FROM model_pulls WHERE ended_at IS NOT NULL ORDER BY ended_at DESC, id DESC LIMIT -1 OFFSET ?)`

// AddPull inserts a pull that begins: its id, what is asked for, its status, note,
// starts and StartedAt. The request is kept whole, with a signature that may be in
// an address: it is needed to go on after a restart. An id that is in use is a
// conflict.
func (s *Store) AddPull(ctx context.Context, p jeantrail.Pull) error {
	switch {
	case p.ID == "" || p.Source == "":
		return misuse("add pull: it has no id or no source")
	case p.Status.Terminal():
		return misuse("add pull %s: it is %s already", p.ID, p.Status)
	}
	return s.write(ctx, "add pull", func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, insertPullSQL, p.ID, p.Source, p.Name, p.SHA256, p.MMProj, string(p.Status), p.Note,
			p.Starts, millis(p.StartedAt))
		return one(res, err, jeantrail.Errorf(jeantrail.CodeConflict, "add pull: the id %s is in use", p.ID))
	})
}

// SavePull writes how a pull stands now: everything but its age, and what is not
// known after a restart (the file at work, speed and time left). With a terminal
// status it ends the pull for good; of its addresses only what holds no secret is
// kept from then on, and the oldest ended pulls beyond MaxEndedPulls are forgotten.
// A pull that has ended before is a conflict, and an unknown id not_found.
func (s *Store) SavePull(ctx context.Context, p jeantrail.Pull) error {
	ends := p.Status.Terminal()
	if ends == p.EndedAt.IsZero() {
		return misuse("save pull %s: it is %s, and ended at %v", p.ID, p.Status, p.EndedAt)
	}
	files, failure, err := pullTexts(&p)
	if err != nil {
		return failed("save pull", err)
	}
	request := p.PullRequest
	ended := sql.Null[int64]{V: millis(p.EndedAt), Valid: ends}
	if ends {
		request = request.WithoutSecrets()
	}
	return s.write(ctx, "save pull", func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, savePullSQL, request.Source, request.MMProj, string(p.Status), p.Model, p.Done, p.Total, p.Note,
			files, p.ModelSHA256, p.Revision, p.Fetched, p.Starts, ended, failure, p.ID)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		switch {
		case err != nil:
			return err
		case n == 0:
			return unchangeable(ctx, tx, p.ID)
		case !ends:
			return nil
		}
		_, err = tx.ExecContext(ctx, forgetPullsSQL, MaxEndedPulls)
		return err
	})
}

// unchangeable says why no row of that id could be changed.
func unchangeable(ctx context.Context, tx *sql.Tx, id string) error {
	var status string
	err := tx.QueryRowContext(ctx, "SELECT status FROM model_pulls WHERE id = ?", id).Scan(&status)
	switch err {
	case nil:
		return jeantrail.Errorf(jeantrail.CodeConflict, "the pull %s is %s already", id, status)
	case sql.ErrNoRows:
		return unknownPull(id)
	}
	return err
}

func unknownPull(id string) error {
	return jeantrail.Errorf(jeantrail.CodeNotFound, "pull %.80q is not known", id).
		WithHint("List the pulls: jeantrail-ai model pulls, or GET /models/pulls. Of those that ended, the newest %d are kept.", MaxEndedPulls)
}

// Pulls returns the newest pulls first, at most limit.
func (s *Store) Pulls(ctx context.Context, limit int) ([]jeantrail.Pull, error) {
	return s.readPulls(ctx, pullsSQL, limit)
}

// OpenPulls returns the pulls that have not ended, the oldest first.
func (s *Store) OpenPulls(ctx context.Context) ([]jeantrail.Pull, error) {
	return s.readPulls(ctx, openPullsSQL)
}

func (s *Store) readPulls(ctx context.Context, query string, args ...any) ([]jeantrail.Pull, error) {
	const op = "read pulls"
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, failedIn(ctx, op, err)
	}
	defer rows.Close()
	var found []jeantrail.Pull
	for rows.Next() {
		p, err := scanPull(rows)
		if err != nil {
			return nil, failedIn(ctx, op, err)
		}
		found = append(found, *p)
	}
	return found, failedIn(ctx, op, rows.Err())
}

// Pull returns a pull, or not_found.
func (s *Store) Pull(ctx context.Context, id string) (*jeantrail.Pull, error) {
	p, err := scanPull(s.readers.QueryRowContext(ctx, pullSQL, id))
	if err == sql.ErrNoRows {
		return nil, unknownPull(id)
	}
	if err != nil {
		return nil, failedIn(ctx, "read pull", err)
	}
	return p, nil
}

// pullFileRow is a file of a pull that is done.
type pullFileRow struct {
	Path      string `json:"path"`
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256"`
	Projector bool   `json:"projector,omitempty"`
}

// pullErrorRow is why a pull failed.
type pullErrorRow struct {
	Code string `json:"code"`
	errorRow
}

// pullTexts makes the JSON of a pull's columns; NULL is none.
func pullTexts(p *jeantrail.Pull) (files, failure sql.Null[string], err error) {
	if p.Status == jeantrail.PullDone {
		rows := make([]pullFileRow, 0, len(p.Files))
		for _, f := range p.Files {
			rows = append(rows, pullFileRow(f))
		}
		files.Valid = true
		if files.V, err = encode(rows); err != nil {
			return files, failure, err
		}
	}
	if p.Err != nil {
		failure.Valid = true
		failure.V, err = encode(pullErrorRow{string(p.Err.Code), rowOfError(p.Err)})
	}
	return files, failure, err
}

func scanPull(from row) (*jeantrail.Pull, error) {
	var p jeantrail.Pull
	var files, failure sql.Null[string]
	var started int64
	var ended sql.Null[int64]
	err := from.Scan(&p.ID, &p.Source, &p.Name, &p.SHA256, &p.MMProj, &p.Status, &p.Model, &p.Done, &p.Total, &p.Note,
		&files, &p.ModelSHA256, &p.Revision, &p.Fetched, &p.Starts, &started, &ended, &failure)
	if err != nil {
		return nil, err
	}
	p.StartedAt, p.EndedAt = time.UnixMilli(started).UTC(), instant(ended)
	if files.Valid {
		var rows []pullFileRow
		if err := json.Unmarshal([]byte(files.V), &rows); err != nil {
			return nil, err
		}
		for _, f := range rows {
			p.Files = append(p.Files, jeantrail.PullFile(f))
		}
	}
	if failure.Valid {
		var body pullErrorRow
		if err := json.Unmarshal([]byte(failure.V), &body); err != nil {
			return nil, err
		}
		p.Err = body.error(body.Code)
	}
	return &p, nil
}
