package store

import (
	"context"
	"database/sql"

	"github.com/jeantrail/jeantrail-ai"
)

const insertArtifactSQL = `INSERT INTO ai_artifacts (job_id, idx, kind, media_type, bytes, sha256, path, created_at,
	width, height, seed, duration_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

const insertInputSQL = `INSERT INTO ai_inputs (job_id, sha256) VALUES (?, ?) ON CONFLICT DO NOTHING`

const filesInUseSQL = `SELECT sha256 FROM ai_artifacts
UNION SELECT i.sha256 FROM ai_inputs AS i JOIN ai_jobs AS j ON j.id = i.job_id WHERE j.finished_at IS NULL`

// insertArtifactTx gives the file that an event speaks of a row of its own. The
// path is what the artifacts folder calls the content.
func (s *Store) insertArtifactTx(ctx context.Context, tx *sql.Tx, e *jeantrail.Event) error {
	a := e.Artifact
	if a == nil || len(a.SHA256) != 64 {
		return misuse("append events: an artifact event of job %s has no artifact", e.JobID)
	}
	_, err := on(ctx, tx, s.stmt.insertArtifact).ExecContext(ctx, e.JobID, a.Index, string(a.Kind), a.MediaType, a.Bytes, a.SHA256,
		a.SHA256[:2]+"/"+a.SHA256, millis(e.At), a.Width, a.Height, a.Seed, a.Duration.Milliseconds())
	return err
}

func (s *Store) insertInputsTx(ctx context.Context, tx *sql.Tx, job *jeantrail.Job) error {
	for _, f := range job.Request.Files() {
		if _, err := on(ctx, tx, s.stmt.insertInput).ExecContext(ctx, job.ID, f.SHA256); err != nil {
			return err
		}
	}
	return nil
}

// FilesInUse returns the checksums of all files that a job made, or that an open
// one was given. Others are not needed any more.
func (s *Store) FilesInUse(ctx context.Context) (map[string]bool, error) {
	rows, err := s.readers.QueryContext(ctx, filesInUseSQL)
	if err != nil {
		return nil, failedIn(ctx, "list files", err)
	}
	defer rows.Close()
	used := make(map[string]bool)
	for rows.Next() {
		var sum string
		if err := rows.Scan(&sum); err != nil {
			return nil, failedIn(ctx, "list files", err)
		}
		used[sum] = true
	}
	return used, failedIn(ctx, "list files", rows.Err())
}
