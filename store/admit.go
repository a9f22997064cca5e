package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const insertJobSQL = `INSERT INTO ai_jobs (id, kind, user_id, key_id, state, model, requested_model, priority, async,
	price_model, price_prompt_token_micros, price_cached_token_micros, price_completion_token_micros,
	price_image_micros, created_at, request)
VALUES (?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

const insertReservationSQL = `INSERT INTO ai_reservations (job_id, user_id, micros, created_at,
	audio_in_second_micros, audio_out_second_micros, workflow, parent, stage) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

const startJobSQL = `UPDATE ai_jobs SET state = 'running', started_at = ? WHERE id = ? AND state = 'queued'`

// Admit inserts the job as queued, its reservation and its first event, which
// has number 1. An id that is in use is a conflict.
//
// decide is given the budgets that apply to the job's user at job.CreatedAt, as
// they stand in this very transaction, and returns what to hold; that becomes
// job.Reserved. An error of decide is returned, and nothing is written.
func (s *Store) Admit(ctx context.Context, job *jeantrail.Job, queued jeantrail.Event,
	decide func([]jeantrail.BudgetStanding) (jeantrail.Money, error)) error {
	switch {
	case job.State != jeantrail.StateQueued || queued.Type != jeantrail.EventQueued:
		return misuse("admit job %s: it is %s with event %q, not queued", job.ID, job.State, queued.Type)
	case queued.JobID != job.ID || job.ID == "":
		return misuse("admit job %q: its event is of job %q", job.ID, queued.JobID)
	case queued.Seq != 1:
		return gap(&queued, 0)
	case job.UserID == "":
		return misuse("admit job %s: it is nobody's", job.ID)
	case !job.Kind.Known():
		return misuse("admit job %s: kind %q is not known", job.ID, job.Kind)
	case !slices.Contains(jeantrail.Priorities(), job.Priority):
		return misuse("admit job %s: priority %q is not known", job.ID, job.Priority)
	}
	row, err := rowOfRequest(&job.Request)
	if err != nil {
		return err
	}
	request, err := encode(row)
	if err != nil {
		return failed("admit job", err)
	}
	return s.write(ctx, "admit job", func(ctx context.Context, tx *sql.Tx) error {
		standings, err := s.standingsTx(ctx, tx, job.UserID, job.CreatedAt)
		if err != nil {
			return err
		}
		if job.Reserved, err = decide(standings); err != nil {
			return err
		}
		if job.Reserved < 0 {
			return misuse("admit job %s: the reservation is %s", job.ID, job.Reserved)
		}
		return s.admitTx(ctx, tx, job, request, queued)
	})
}

func (s *Store) admitTx(ctx context.Context, tx *sql.Tx, job *jeantrail.Job, request string, queued jeantrail.Event) error {
	p := job.Price
	_, err := on(ctx, tx, s.stmt.insertJob).ExecContext(ctx,
		job.ID, string(job.Kind), job.UserID, job.KeyID, job.Model, job.RequestedModel, string(job.Priority), job.Async,
		p.Model, int64(p.PromptToken), int64(p.CachedToken), int64(p.CompletionToken), int64(p.Image),
		millis(job.CreatedAt), request)
	if err != nil {
		return err
	}
	_, err = on(ctx, tx, s.stmt.insertReservation).ExecContext(ctx, job.ID, job.UserID, int64(job.Reserved), millis(job.CreatedAt),
		int64(p.AudioInSecond), int64(p.AudioOutSecond), job.Request.Workflow, job.Request.Parent, job.Request.Stage)
	if err != nil {
		return err
	}
	if err := s.insertInputsTx(ctx, tx, job); err != nil {
		return err
	}
	return s.insertEventTx(ctx, tx, &queued)
}

// Start moves a queued job to running and appends the event. A job in any other
// state is a conflict, an unknown one not_found.
func (s *Store) Start(ctx context.Context, id string, at time.Time, started jeantrail.Event) error {
	if started.Type != jeantrail.EventStarted || started.JobID != id {
		return misuse("start job %s: its event is %q of job %q", id, started.Type, started.JobID)
	}
	return s.write(ctx, "start job", func(ctx context.Context, tx *sql.Tx) error {
		return s.startTx(ctx, tx, id, at, started)
	})
}

func (s *Store) startTx(ctx context.Context, tx *sql.Tx, id string, at time.Time, started jeantrail.Event) error {
	res, err := on(ctx, tx, s.stmt.startJob).ExecContext(ctx, millis(at), id)
	if err != nil {
		return err
	}
	moved, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if moved == 0 {
		return s.refusedTx(ctx, tx, "start job", id, jeantrail.StateQueued)
	}
	return s.appendTx(ctx, tx, []jeantrail.Event{started})
}

// refusedTx says why a transition found no row.
func (s *Store) refusedTx(ctx context.Context, tx *sql.Tx, op, id string, want jeantrail.State) error {
	var state jeantrail.State
	var head int64
	err := on(ctx, tx, s.stmt.logHead).QueryRowContext(ctx, id).Scan(&state, &head)
	switch {
	case err == sql.ErrNoRows:
		return unknownJob(id)
	case err != nil:
		return err
	}
	return jeantrail.Errorf(jeantrail.CodeConflict, "%s: job %s is %s, not %s", op, id, state, want)
}

func unknownJob(id string) error {
	return jeantrail.Errorf(jeantrail.CodeNotFound, "job %q is not known", id)
}
