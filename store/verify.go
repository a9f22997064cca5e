package store

import (
	"context"
	"database/sql"
	"fmt"
)

// Violation is a rule of the data that does not hold.
type Violation struct {
	Rule string
	Rows int64 // how many rows break it
}

// soundFile is the rule that goes before all others.
const soundFile = "the file is sound"

// rules are queries that count what must not exist. The schema makes most of it
// impossible for a single row; these compare tables with each other.
var rules = [...]struct{ name, query string }{
	{"a reference points at a row", `SELECT count(*) FROM pragma_foreign_key_check`},
	{"money is held exactly while a job is open", `SELECT count(*) FROM ai_jobs AS j
		LEFT JOIN ai_reservations AS r ON r.job_id = j.id
		WHERE r.job_id IS NULL OR (r.released_at IS NULL) <> (j.finished_at IS NULL)`},
	{"a job has a cost exactly when it is finished", `SELECT count(*) FROM ai_jobs AS j
		LEFT JOIN ai_costs AS c ON c.job_id = j.id WHERE (c.job_id IS NULL) <> (j.finished_at IS NULL)`},
	{"a job that succeeded has a result", `SELECT count(*) FROM ai_jobs AS j
		LEFT JOIN ai_results AS r ON r.job_id = j.id WHERE j.state = 'succeeded' AND r.job_id IS NULL`},
	{"an event log counts from 1 without gaps", `SELECT count(*) FROM
		(SELECT 1 FROM ai_job_events GROUP BY job_id HAVING min(seq) <> 1 OR max(seq) <> count(*))`},
	{"an event log ends as its job did", `SELECT count(*) FROM ai_jobs AS j
		LEFT JOIN ai_job_events AS e ON e.job_id = j.id AND e.type IN ('done', 'failed', 'cancelled', 'interrupted')
		WHERE coalesce(e.type, '') <> CASE j.state WHEN 'succeeded' THEN 'done' WHEN 'queued' THEN '' WHEN 'running' THEN '' ELSE j.state END
		OR e.seq <> (SELECT max(seq) FROM ai_job_events WHERE job_id = j.id)`},
	{"a cost has the tokens of its event log", `SELECT count(*) FROM ai_costs AS c
		WHERE c.completion_tokens <> (SELECT coalesce(sum(tokens), 0) FROM ai_job_events WHERE job_id = c.job_id)`},
	{"a cost has the tokens of its result", `SELECT count(*) FROM ai_costs AS c JOIN ai_results AS r ON r.job_id = c.job_id
		WHERE (c.prompt_tokens, c.cached_tokens, c.completion_tokens) IS NOT (r.prompt_tokens, r.cached_tokens, r.completion_tokens)`},
	{"a cost is at most what was held for it", `SELECT count(*) FROM ai_costs AS c JOIN ai_reservations AS r ON r.job_id = c.job_id
		WHERE c.amount_micros > r.micros OR c.reserved_micros <> r.micros`},
	{"the usage statistics are the sums of the costs",
		differ("hour, user_id, model, kind", "SELECT "+usageColumns+" FROM ai_usage_stats", usageOfCosts)},
	{"the spending is the sums of the costs",
		differ("user_id, day", "SELECT user_id, day, cost_micros FROM ai_spending", spendingOfCosts)},
	{"a cost has the images of its event log", `SELECT count(*) FROM ai_costs AS c
		WHERE c.images <> (SELECT count(*) FROM ai_artifacts WHERE job_id = c.job_id AND kind = 'image')`},
	{"a cost has the audio of its event log", `SELECT count(*) FROM ai_costs AS c
		WHERE c.audio_out_ms <> (SELECT coalesce(sum(duration_ms), 0) FROM ai_artifacts WHERE job_id = c.job_id AND kind = 'audio')`},
	{"an artifact stands in its job's event log", `SELECT count(*) FROM ai_artifacts AS a
		WHERE NOT EXISTS (SELECT 1 FROM ai_job_events WHERE job_id = a.job_id AND type = 'artifact'
			AND payload ->> '$.artifact.index' = a.idx AND payload ->> '$.artifact.sha256' = a.sha256)`},
	{"a cached result is its user's own", `SELECT count(*) FROM ai_result_cache AS c JOIN ai_jobs AS j ON j.id = c.job_id
		WHERE j.user_id <> c.user_id`},
}

// differ counts the keys that have a row in one of two results which the other
// does not have just so.
func differ(key, a, b string) string {
	return fmt.Sprintf(`WITH a AS (%[2]s), b AS (%[3]s)
		SELECT count(*) FROM (SELECT %[1]s FROM (SELECT * FROM a EXCEPT SELECT * FROM b)
			UNION SELECT %[1]s FROM (SELECT * FROM b EXCEPT SELECT * FROM a))`, key, a, b)
}

// Verify reads the whole database and returns the rules that do not hold, as of
// one commit; none is the answer of a sound one.
func (s *Store) Verify(ctx context.Context) ([]Violation, error) {
	var found []Violation
	err := s.read(ctx, "verify database", func(tx *sql.Tx) error {
		var verdict string
		if err := tx.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
			return err
		}
		if verdict != "ok" {
			// What a damaged file says of the other rules means nothing.
			found = []Violation{{Rule: soundFile, Rows: 1}}
			return nil
		}
		for _, rule := range rules {
			v := Violation{Rule: rule.name}
			if err := tx.QueryRowContext(ctx, rule.query).Scan(&v.Rows); err != nil {
				return err
			}
			if v.Rows > 0 {
				found = append(found, v)
			}
		}
		return nil
	})
	return found, err
}
