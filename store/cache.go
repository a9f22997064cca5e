package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const cachedSQL = wholeJob + `WHERE j.id = (SELECT job_id FROM ai_result_cache WHERE user_id = ? AND key = ? AND created_at >= ?)`

const fileSQL = `INSERT INTO ai_result_cache (user_id, key, job_id, bytes, created_at, used_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET job_id = excluded.job_id, bytes = excluded.bytes, created_at = excluded.created_at, used_at = excluded.used_at`

const overflowsSQL = `SELECT coalesce(sum(bytes), 0) > ? OR coalesce(min(created_at), ?2) < ?2 FROM ai_result_cache`

// What is kept is the most recently used, as far as the bytes reach.
const evictSQL = `DELETE FROM ai_result_cache WHERE (user_id, key) IN (
	SELECT user_id, key FROM (
		SELECT user_id, key, sum(bytes) OVER (ORDER BY used_at DESC, user_id, key ROWS UNBOUNDED PRECEDING) AS up_to_here
		FROM ai_result_cache)
	WHERE up_to_here > ?)`

// cacheUses remembers when results were last used, until TrimCache, which alone
// wants to know, writes it down. So that an answer from the cache does not wait
// for the disk on its account. The zero value is usable.
type cacheUses struct {
	mu   sync.Mutex
	now  int64 // of the newest use, in Unix milliseconds
	last map[cacheEntry]int64
}

// cacheEntry is the primary key of ai_result_cache.
type cacheEntry struct{ user, key string }

// tick returns the instant of a use. Later uses have later instants, whatever
// the clock does.
func (u *cacheUses) tick(at time.Time) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.now = max(millis(at), u.now+1)
	return u.now
}

// note is tick for a use that is not written down yet.
func (u *cacheUses) note(e cacheEntry, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = make(map[cacheEntry]int64)
	}
	u.now = max(millis(at), u.now+1)
	u.last[e] = u.now
}

// take returns what was noted since the last call.
func (u *cacheUses) take() map[cacheEntry]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.last
	u.last = nil
	return last
}

// Cached returns the job, with its result, that is filed under the key for the
// user, if it was filed at notBefore or later; nil if there is none. It counts
// as a use.
func (s *Store) Cached(ctx context.Context, user string, key []byte, notBefore time.Time) (*jeantrail.Job, error) {
	job, err := scanJob(s.stmt.money.cached.QueryRowContext(ctx, user, key, millis(notBefore)))
	if err == sql.ErrNoRows {
		return nil, nil
	}
	if err != nil {
		return nil, failedIn(ctx, "read cached result", err)
	}
	s.uses.note(cacheEntry{user, string(key)}, time.Now())
	return job, nil
}

// fileTx files the result of a job of the user under a key, in place of what
// was there.
func (s *Store) fileTx(ctx context.Context, tx *sql.Tx, user string, key []byte, jobID string, bytes int64, at time.Time) error {
	if len(key) != sha256.Size {
		return misuse("file the result of job %s: its key has %d bytes, not %d", jobID, len(key), sha256.Size)
	}
	_, err := on(ctx, tx, s.stmt.money.file).ExecContext(ctx, user, key, jobID, bytes, millis(at), s.uses.tick(at))
	return err
}

// TrimCache forgets the results that were filed before notBefore, and of the
// others the least recently used, until they have maxBytes at most. The jobs
// themselves keep their results. Nothing is written if there is nothing to
// forget.
func (s *Store) TrimCache(ctx context.Context, maxBytes int64, notBefore time.Time) error {
	const op = "trim result cache"
	if maxBytes < 0 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "trim result cache: its size is %d bytes, the least is 0", maxBytes)
	}
	var overflows bool
	err := s.readers.QueryRowContext(ctx, overflowsSQL, maxBytes, millis(notBefore)).Scan(&overflows)
	if err != nil || !overflows {
		return failedIn(ctx, op, err)
	}
	uses := s.uses.take()
	return s.write(ctx, op, func(ctx context.Context, tx *sql.Tx) error {
		if err := useTx(ctx, tx, uses); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM ai_result_cache WHERE created_at < ?", millis(notBefore)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, evictSQL, maxBytes)
		return err
	})
}

// useTx writes down when results were last used.
func useTx(ctx context.Context, tx *sql.Tx, uses map[cacheEntry]int64) error {
	stmt, err := tx.PrepareContext(ctx, "UPDATE ai_result_cache SET used_at = max(used_at, ?) WHERE user_id = ? AND key = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for e, at := range uses {
		if _, err := stmt.ExecContext(ctx, at, e.user, []byte(e.key)); err != nil {
			return err
		}
	}
	return nil
}
