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
	{"the usage statistics are the sums of the costs", `SELECT count(*) FROM
		(SELECT count(*) AS n, ` + sums("amount_micros") + ` FROM ai_costs) AS a,
		(SELECT coalesce(sum(requests), 0) AS n, ` + sums("cost_micros") + ` FROM ai_usage_stats) AS b
		WHERE (a.n, a.p, a.k, a.c, a.d, a.r) IS NOT (b.n, b.p, b.k, b.c, b.d, b.r)`},
}

// sums adds up tokens and money, the latter in dollars and rest as money reads
// them, so that it does not depend on how the rows are grouped.
func sums(amount string) string {
	return fmt.Sprintf(`coalesce(sum(prompt_tokens), 0) AS p, coalesce(sum(cached_tokens), 0) AS k, coalesce(sum(completion_tokens), 0) AS c,
		coalesce(sum(%[1]s / 1000000) + sum(%[1]s %% 1000000) / 1000000, 0) AS d, coalesce(sum(%[1]s %% 1000000) %% 1000000, 0) AS r`, amount)
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
