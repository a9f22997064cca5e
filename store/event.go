package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const insertEventSQL = `INSERT INTO ai_job_events (job_id, seq, type, at, reasoning, tokens, text, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)`

// The newest number is looked up in the log's own key, so that there is no
// second copy of it to disagree.
const logHeadSQL = `SELECT state, (SELECT coalesce(max(seq), 0) FROM ai_job_events WHERE job_id = j.id)
FROM ai_jobs AS j WHERE id = ?`

const eventsSQL = `SELECT seq, type, at, reasoning, tokens, text, payload
FROM ai_job_events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?`

// Append adds events of any number of jobs in one transaction. The events of a
// job must go on where its log ends, in order; a gap, a repetition, or a job
// that is finished is a conflict, and then none of the events is stored. An
// unknown job is not_found. Partial and terminal events do not belong here.
func (s *Store) Append(ctx context.Context, events []jeantrail.Event) error {
	if len(events) == 0 {
		return nil
	}
	for i := range events {
		if events[i].Type.Terminal() {
			return misuse("append events: %q of job %s ends its log, which is for Settle", events[i].Type, events[i].JobID)
		}
	}
	return s.write(ctx, "append events", func(ctx context.Context, tx *sql.Tx) error {
		return s.appendTx(ctx, tx, events)
	})
}

// appendTx adds events to the logs of unfinished jobs.
func (s *Store) appendTx(ctx context.Context, tx *sql.Tx, events []jeantrail.Event) error {
	heads := make(map[string]int64)
	for i := range events {
		id := events[i].JobID
		head, seen := heads[id]
		if !seen {
			var err error
			if head, err = s.openLogTx(ctx, tx, id); err != nil {
				return err
			}
		}
		if events[i].Seq != head+1 {
			return gap(&events[i], head)
		}
		if err := s.insertEventTx(ctx, tx, &events[i]); err != nil {
			return err
		}
		heads[id] = head + 1
	}
	return nil
}

func gap(ev *jeantrail.Event, head int64) error {
	return jeantrail.Errorf(jeantrail.CodeConflict, "append events: event %d of job %s does not follow %d", ev.Seq, ev.JobID, head)
}

// openLogTx returns the number of the newest event of an unfinished job.
func (s *Store) openLogTx(ctx context.Context, tx *sql.Tx, id string) (int64, error) {
	var state jeantrail.State
	var head int64
	err := on(ctx, tx, s.stmt.logHead).QueryRowContext(ctx, id).Scan(&state, &head)
	switch {
	case err == sql.ErrNoRows:
		return 0, unknownJob(id)
	case err != nil:
		return 0, err
	case state.Terminal():
		return 0, jeantrail.Errorf(jeantrail.CodeConflict, "append events: job %s is already %s", id, state)
	}
	return head, nil
}

func (s *Store) insertEventTx(ctx context.Context, tx *sql.Tx, e *jeantrail.Event) error {
	if e.Partial {
		return misuse("append events: a partial event of job %s is not for the log", e.JobID)
	}
	var body any
	if !e.Type.Terminal() {
		var err error
		if body, err = payload(e); err != nil {
			return err
		}
	}
	_, err := on(ctx, tx, s.stmt.insertEvent).ExecContext(ctx,
		e.JobID, e.Seq, string(e.Type), millis(e.At), e.Reasoning, e.Tokens, e.Text, body)
	if err != nil || e.Type != jeantrail.EventArtifact {
		return err
	}
	return s.insertArtifactTx(ctx, tx, e)
}

// Events returns up to limit stored events after seq, oldest first. A terminal
// event comes with the job's result and error. A job that does not exist is
// not_found.
func (s *Store) Events(ctx context.Context, id string, after int64, limit int) ([]jeantrail.Event, error) {
	const op = "read events"
	if limit < 1 {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "read events: limit is %d, the least is 1", limit)
	}
	rows, err := s.stmt.events.QueryContext(ctx, id, after, limit)
	if err != nil {
		return nil, failedIn(ctx, op, err)
	}
	defer rows.Close()
	var events []jeantrail.Event
	for rows.Next() {
		e := jeantrail.Event{JobID: id}
		if err := scanEvent(rows, &e); err != nil {
			return nil, failedIn(ctx, op, err)
		}
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, failedIn(ctx, op, err)
	}
	// The connection goes back before another one is asked for: with all of them
	// waiting for a second one, none would ever come free.
	if err := rows.Close(); err != nil {
		return nil, failedIn(ctx, op, err)
	}
	return events, s.completeEvents(ctx, id, events)
}

// completeEvents gives a terminal event what its settlement stored elsewhere. A
// finished job does not change, so the second query cannot disagree with the
// first.
func (s *Store) completeEvents(ctx context.Context, id string, events []jeantrail.Event) error {
	if len(events) > 0 && !events[len(events)-1].Type.Terminal() {
		return nil
	}
	job, err := s.Job(ctx, id)
	if err != nil || len(events) == 0 {
		return err
	}
	last := &events[len(events)-1]
	if last.Type != jeantrail.EventFailed {
		last.Result = job.Result
	}
	last.Err = job.Err
	return nil
}

func scanEvent(rows *sql.Rows, e *jeantrail.Event) error {
	var at int64
	var body sql.Null[string]
	if err := rows.Scan(&e.Seq, &e.Type, &at, &e.Reasoning, &e.Tokens, &e.Text, &body); err != nil {
		return err
	}
	e.At = time.UnixMilli(at).UTC()
	if !body.Valid {
		return nil
	}
	var row eventRow
	if err := json.Unmarshal([]byte(body.V), &row); err != nil {
		return err
	}
	row.fill(e)
	return nil
}
