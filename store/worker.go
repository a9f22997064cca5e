package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// HistoryAge is how long the history of workers is kept.
const HistoryAge = 30 * 24 * time.Hour

// maxHistory is the most of it that one call returns.
const maxHistory = 1000

const insertProbeSQL = `INSERT INTO ai_worker_history (worker, at, status, latency_us, problem, model, version)
VALUES (?, ?, ?, ?, ?, ?, ?)`

const trimProbesSQL = `DELETE FROM ai_worker_history WHERE worker = ? AND at < ?`

const probesSQL = `SELECT at, status, latency_us, problem, model, version FROM ai_worker_history
WHERE worker = ? ORDER BY at DESC, id DESC LIMIT ?`

// RecordProbe keeps how a worker was, and forgets what is older than HistoryAge.
func (s *Store) RecordProbe(ctx context.Context, p jeantrail.Probe) error {
	return s.write(ctx, "record probe", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, insertProbeSQL, p.Worker, millis(p.At), string(p.Status), p.Latency.Microseconds(),
			p.Problem, p.Model, p.Version)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, trimProbesSQL, p.Worker, millis(p.At.Add(-HistoryAge)))
		return err
	})
}

// Probes returns how a worker was, newest first, at most 1000 entries.
func (s *Store) Probes(ctx context.Context, worker string, limit int) ([]jeantrail.Probe, error) {
	if limit < 1 || limit > maxHistory {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "limit is %d, it must be between 1 and %d", limit, maxHistory)
	}
	rows, err := s.readers.QueryContext(ctx, probesSQL, worker, limit)
	if err != nil {
		return nil, failedIn(ctx, "read history", err)
	}
	defer rows.Close()
	var probes []jeantrail.Probe
	for rows.Next() {
		p := jeantrail.Probe{Worker: worker}
		var at, latency int64
		if err := rows.Scan(&at, &p.Status, &latency, &p.Problem, &p.Model, &p.Version); err != nil {
			return nil, failedIn(ctx, "read history", err)
		}
		p.At, p.Latency = time.UnixMilli(at).UTC(), micros(latency)
		probes = append(probes, p)
	}
	return probes, failedIn(ctx, "read history", rows.Err())
}
