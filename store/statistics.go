package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// costKeys are what costs are grouped by, in terms of ai_costs.
var costKeys = map[jeantrail.CostGroup]string{
	jeantrail.GroupDay:      "strftime('%Y-%m-%d', created_at / 1000, 'unixepoch')",
	jeantrail.GroupModel:    "model",
	jeantrail.GroupUser:     "user_id",
	jeantrail.GroupKind:     "kind",
	jeantrail.GroupWorkflow: "workflow",
}

// counted are the columns of the usage statistics that a Tally has, money apart,
// as sums over costs, in the order of the table.
const counted = `count(*) AS requests, sum(state = 'failed') AS failures, sum(state = 'cancelled') AS cancellations,
	sum(state = 'interrupted') AS interruptions, sum(cache_hit) AS cache_hits,
	sum(prompt_tokens) AS prompt_tokens, sum(cached_tokens) AS cached_tokens, sum(completion_tokens) AS completion_tokens,
	sum(images) AS images, sum(audio_in_ms) AS audio_in_ms, sum(audio_out_ms) AS audio_out_ms`

// dollarsAndRest is a sum of money, as the function money reads it.
const dollarsAndRest = `sum(amount_micros / 1000000) AS dollars, sum(amount_micros % 1000000) AS rest`

// saturated is a sum of money that stops at the largest integer, as every
// settlement's additions do.
const saturated = `CASE WHEN (dollars + rest / 1000000, rest % 1000000) > (9223372036854, 775807)
	THEN 9223372036854775807 ELSE (dollars + rest / 1000000) * 1000000 + rest % 1000000 END`

// usageColumns are all columns of ai_usage_stats.
var usageColumns = `hour, user_id, model, kind, requests, failures, cancellations, interruptions, cache_hits,
	prompt_tokens, cached_tokens, completion_tokens, images, audio_in_ms, audio_out_ms, cost_micros,
	latency_sum_us, latency_max_us, queue_sum_us, queue_max_us, ` + bucketNames("latency") + ", " + bucketNames("queue")

// usageOfCosts is what ai_usage_stats must hold.
var usageOfCosts = `SELECT hour, user_id, model, kind, requests, failures, cancellations, interruptions, cache_hits,
	prompt_tokens, cached_tokens, completion_tokens, images, audio_in_ms, audio_out_ms, ` + saturated + ` AS cost_micros,
	latency_sum_us, latency_max_us, queue_sum_us, queue_max_us, ` + bucketNames("latency") + ", " + bucketNames("queue") + `
FROM (SELECT created_at - created_at % 3600000 AS hour, user_id, model, kind, ` + counted + `, ` + dollarsAndRest + `,
		sum(latency_us) AS latency_sum_us, max(latency_us) AS latency_max_us,
		sum(queue_us) AS queue_sum_us, max(queue_us) AS queue_max_us,
		` + bucketSums("latency") + `,
		` + bucketSums("queue") + `
	FROM ai_costs GROUP BY 1, 2, 3, 4)`

// spendingOfCosts is what ai_spending must hold. A job that cost nothing spends
// nothing, also on a day without others.
const spendingOfCosts = `SELECT user_id, day, ` + saturated + ` AS cost_micros
FROM (SELECT user_id, created_at - created_at % 86400000 AS day, ` + dollarsAndRest + `
		FROM ai_costs WHERE amount_micros > 0 GROUP BY 1, 2
	UNION ALL SELECT '', created_at - created_at % 86400000 AS day, ` + dollarsAndRest + `
		FROM ai_costs WHERE amount_micros > 0 GROUP BY 2)`

// bucketNames lists the columns of a histogram.
func bucketNames(of string) string {
	names := make([]string, jeantrail.HistogramBuckets)
	for i := range names {
		names[i] = fmt.Sprintf("%s_%d", of, i)
	}
	return strings.Join(names, ", ")
}

// bucketSums counts the costs whose duration lies in each bucket.
func bucketSums(of string) string {
	bounds := jeantrail.HistogramBounds()
	sums := make([]string, jeantrail.HistogramBuckets)
	for i := range sums {
		var within []string
		if i > 0 {
			within = append(within, fmt.Sprintf("%s_us > %d", of, bounds[i-1].Microseconds()))
		}
		if i < len(bounds) {
			within = append(within, fmt.Sprintf("%s_us <= %d", of, bounds[i].Microseconds()))
		}
		sums[i] = fmt.Sprintf("sum(%s) AS %s_%d", strings.Join(within, " AND "), of, i)
	}
	return strings.Join(sums, ", ")
}

// Costs sums the finished jobs that the filter selects up by a group, in the
// order of the key. A group or kind that is not known is invalid.
func (s *Store) Costs(ctx context.Context, by jeantrail.CostGroup, f jeantrail.StatisticsFilter) ([]jeantrail.CostRow, error) {
	const op = "sum up costs"
	key, known := costKeys[by]
	if !known {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "sum up costs: group %q is not known", by).
			WithHint("Use day, model, user, kind or workflow.")
	}
	where, args, err := selected(op, "created_at", f)
	if err != nil {
		return nil, err
	}
	rows, err := s.readers.QueryContext(ctx, "SELECT "+key+", "+counted+", "+dollarsAndRest+
		" FROM ai_costs"+where+" GROUP BY 1 ORDER BY 1", args...)
	if err != nil {
		return nil, failedIn(ctx, op, err)
	}
	defer rows.Close()
	var found []jeantrail.CostRow
	for rows.Next() {
		var row jeantrail.CostRow
		var dollars, rest int64
		if err := scanTally(rows, &row.Tally, []any{&row.Key}, &dollars, &rest); err != nil {
			return nil, failedIn(ctx, op, err)
		}
		row.Cost = money(dollars, rest)
		found = append(found, row)
	}
	return found, failedIn(ctx, op, rows.Err())
}

// Usage returns the statistics that the filter selects, oldest hour first, then
// in the order of user, model and kind. An hour that the filter's bounds cut
// counts whole. A kind that is not known is invalid.
func (s *Store) Usage(ctx context.Context, f jeantrail.StatisticsFilter) ([]jeantrail.UsageRow, error) {
	const op = "read usage statistics"
	if !f.From.IsZero() {
		f.From = f.From.UTC().Truncate(time.Hour)
	}
	where, args, err := selected(op, "hour", f)
	if err != nil {
		return nil, err
	}
	rows, err := s.readers.QueryContext(ctx, "SELECT "+usageColumns+" FROM ai_usage_stats"+where+
		" ORDER BY hour, user_id, model, kind", args...)
	if err != nil {
		return nil, failedIn(ctx, op, err)
	}
	defer rows.Close()
	var found []jeantrail.UsageRow
	for rows.Next() {
		row, err := scanUsage(rows)
		if err != nil {
			return nil, failedIn(ctx, op, err)
		}
		found = append(found, row)
	}
	return found, failedIn(ctx, op, rows.Err())
}

// selected spells out what the filter restricts; column is the one that says
// when a job ended.
func selected(op, column string, f jeantrail.StatisticsFilter) (where string, args []any, err error) {
	if f.Kind != "" && !f.Kind.Known() {
		return "", nil, jeantrail.Errorf(jeantrail.CodeInvalid, "%s: kind %q is not known", op, f.Kind).
			WithHint("Use text, image, transcribe, speak or pipeline.")
	}
	var parts []string
	add := func(part string, value any) {
		parts, args = append(parts, part), append(args, value)
	}
	if f.UserID != "" {
		add("user_id = ?", f.UserID)
	}
	if f.Model != "" {
		add("model = ?", f.Model)
	}
	if f.Kind != "" {
		add("kind = ?", string(f.Kind))
	}
	if !f.From.IsZero() {
		add(column+" >= ?", millis(f.From))
	}
	if !f.To.IsZero() {
		add(column+" < ?", millis(f.To))
	}
	if len(parts) == 0 {
		return "", nil, nil
	}
	return " WHERE " + strings.Join(parts, " AND "), args, nil
}

// scanTally reads the counted columns; others stand before and after them.
func scanTally(from row, t *jeantrail.Tally, before []any, after ...any) error {
	var audioIn, audioOut int64
	dst := append(before, &t.Requests, &t.Failures, &t.Cancellations, &t.Interruptions, &t.CacheHits,
		&t.PromptTokens, &t.CachedTokens, &t.CompletionTokens, &t.Images, &audioIn, &audioOut)
	err := from.Scan(append(dst, after...)...)
	t.AudioIn, t.AudioOut = time.Duration(audioIn)*time.Millisecond, time.Duration(audioOut)*time.Millisecond
	return err
}

func scanUsage(from row) (jeantrail.UsageRow, error) {
	var u jeantrail.UsageRow
	var hour, latencySum, latencyMax, queueSum, queueMax int64
	after := []any{&u.Cost, &latencySum, &latencyMax, &queueSum, &queueMax}
	for _, h := range []*jeantrail.Histogram{&u.Latency, &u.Queue} {
		for i := range h.Buckets {
			after = append(after, &h.Buckets[i])
		}
	}
	err := scanTally(from, &u.Tally, []any{&hour, &u.UserID, &u.Model, &u.Kind}, after...)
	u.Hour = time.UnixMilli(hour).UTC()
	u.Latency.Sum, u.Latency.Max = micros(latencySum), micros(latencyMax)
	u.Queue.Sum, u.Queue.Max = micros(queueSum), micros(queueMax)
	return u, err
}

// RebuildStatistics makes the usage statistics and the spending anew from the
// costs, in one transaction, and returns how many rows of usage statistics
// there are then. Other writes wait for it.
func (s *Store) RebuildStatistics(ctx context.Context) (rows int64, err error) {
	err = s.write(ctx, "rebuild statistics", func(ctx context.Context, tx *sql.Tx) error {
		for _, query := range []string{
			"DELETE FROM ai_spending",
			"INSERT INTO ai_spending (user_id, day, cost_micros) " + spendingOfCosts,
			"DELETE FROM ai_usage_stats",
		} {
			if _, err := tx.ExecContext(ctx, query); err != nil {
				return err
			}
		}
		res, err := tx.ExecContext(ctx, "INSERT INTO ai_usage_stats ("+usageColumns+") "+usageOfCosts)
		if err != nil {
			return err
		}
		rows, err = res.RowsAffected()
		return err
	})
	return rows, err
}
