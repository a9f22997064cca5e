-- The ledger in full: audio by the second and direction, what statistics are
-- rebuilt from, spending by the day for budgets, alerts, and the result cache.

-- +goose Up

-- Audio is priced by the second, heard and made apart.
ALTER TABLE ai_prices ADD COLUMN audio_in_second_micros INTEGER NOT NULL DEFAULT 0 CHECK (audio_in_second_micros >= 0);
ALTER TABLE ai_prices ADD COLUMN audio_out_second_micros INTEGER NOT NULL DEFAULT 0 CHECK (audio_out_second_micros >= 0);
UPDATE ai_prices SET audio_in_second_micros = audio_ms_micros * 1000 WHERE kind = 'transcribe';
UPDATE ai_prices SET audio_out_second_micros = audio_ms_micros * 1000 WHERE kind = 'speak';
ALTER TABLE ai_prices DROP COLUMN audio_ms_micros;

-- What a job is held to beside its amount. Not columns of ai_jobs: they would
-- stand behind the request, in the overflow pages of a long prompt.
ALTER TABLE ai_reservations ADD COLUMN audio_in_second_micros INTEGER NOT NULL DEFAULT 0 CHECK (audio_in_second_micros >= 0);
ALTER TABLE ai_reservations ADD COLUMN audio_out_second_micros INTEGER NOT NULL DEFAULT 0 CHECK (audio_out_second_micros >= 0);
ALTER TABLE ai_reservations ADD COLUMN workflow TEXT NOT NULL DEFAULT '';
ALTER TABLE ai_jobs DROP COLUMN price_audio_ms_micros;
-- What is held is summed up at every admission: from the index alone.
DROP INDEX ai_reservations_open;
CREATE INDEX ai_reservations_open ON ai_reservations (user_id, micros, released_at) WHERE released_at IS NULL;

-- A cost carries all that the usage statistics are made of, so that these can
-- be made anew.
ALTER TABLE ai_costs DROP COLUMN audio_ms_micros;
ALTER TABLE ai_costs ADD COLUMN audio_in_second_micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ai_costs ADD COLUMN audio_out_second_micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ai_costs ADD COLUMN images INTEGER NOT NULL DEFAULT 0 CHECK (images >= 0);
ALTER TABLE ai_costs ADD COLUMN audio_in_ms INTEGER NOT NULL DEFAULT 0 CHECK (audio_in_ms >= 0);
ALTER TABLE ai_costs ADD COLUMN audio_out_ms INTEGER NOT NULL DEFAULT 0 CHECK (audio_out_ms >= 0);
ALTER TABLE ai_costs ADD COLUMN state TEXT NOT NULL DEFAULT 'succeeded' CHECK (state IN ('succeeded', 'failed', 'cancelled', 'interrupted'));
ALTER TABLE ai_costs ADD COLUMN cache_hit INTEGER NOT NULL DEFAULT 0 CHECK (cache_hit IN (0, 1));
ALTER TABLE ai_costs ADD COLUMN workflow TEXT NOT NULL DEFAULT '';
ALTER TABLE ai_costs ADD COLUMN latency_us INTEGER NOT NULL DEFAULT 0 CHECK (latency_us >= 0);
ALTER TABLE ai_costs ADD COLUMN queue_us INTEGER NOT NULL DEFAULT 0 CHECK (queue_us >= 0);
ALTER TABLE ai_costs ADD COLUMN rules_skipped TEXT NOT NULL DEFAULT '[]'; -- JSON array of strings
ALTER TABLE ai_costs ADD COLUMN energy_mj INTEGER; -- millijoules; NULL: not measured
ALTER TABLE ai_costs ADD COLUMN energy_source TEXT NOT NULL DEFAULT ''; -- what was read, or why nothing was
ALTER TABLE ai_costs ADD COLUMN energy_micros INTEGER NOT NULL DEFAULT 0 CHECK (energy_micros >= 0);
UPDATE ai_costs SET
    state = (SELECT j.state FROM ai_jobs AS j WHERE j.id = job_id),
    latency_us = (SELECT max(0, j.finished_at - j.created_at) * 1000 FROM ai_jobs AS j WHERE j.id = job_id),
    queue_us = coalesce((SELECT max(0, r.queue_us) FROM ai_results AS r WHERE r.job_id = ai_costs.job_id), 0);

-- Histograms: how many of an hour's jobs took at most 10 ms, 50 ms, 100 ms,
-- 500 ms, 1 s, 5 s, 10 s, 1 min, 5 min, and longer; each job counts in one.
DROP TABLE ai_usage_stats;
CREATE TABLE ai_usage_stats (
    hour              INTEGER NOT NULL CHECK (hour % 3600000 = 0), -- the instant the hour begins at
    user_id           TEXT NOT NULL,
    model             TEXT NOT NULL,
    kind              TEXT NOT NULL,
    requests          INTEGER NOT NULL,
    failures          INTEGER NOT NULL,
    cancellations     INTEGER NOT NULL,
    interruptions     INTEGER NOT NULL,
    cache_hits        INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    cached_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    images            INTEGER NOT NULL,
    audio_in_ms       INTEGER NOT NULL,
    audio_out_ms      INTEGER NOT NULL,
    cost_micros       INTEGER NOT NULL,
    latency_sum_us    INTEGER NOT NULL, -- from admission to the end
    latency_max_us    INTEGER NOT NULL,
    queue_sum_us      INTEGER NOT NULL, -- from admission to the start
    queue_max_us      INTEGER NOT NULL,
    latency_0 INTEGER NOT NULL, latency_1 INTEGER NOT NULL, latency_2 INTEGER NOT NULL, latency_3 INTEGER NOT NULL,
    latency_4 INTEGER NOT NULL, latency_5 INTEGER NOT NULL, latency_6 INTEGER NOT NULL, latency_7 INTEGER NOT NULL,
    latency_8 INTEGER NOT NULL, latency_9 INTEGER NOT NULL,
    queue_0 INTEGER NOT NULL, queue_1 INTEGER NOT NULL, queue_2 INTEGER NOT NULL, queue_3 INTEGER NOT NULL,
    queue_4 INTEGER NOT NULL, queue_5 INTEGER NOT NULL, queue_6 INTEGER NOT NULL, queue_7 INTEGER NOT NULL,
    queue_8 INTEGER NOT NULL, queue_9 INTEGER NOT NULL,
    PRIMARY KEY (hour, user_id, model, kind)
) STRICT, WITHOUT ROWID;

-- What each user, and '' for everybody together, spent on each day. Budgets'
-- windows begin and end at midnight UTC, so that their sums are a few rows.
CREATE TABLE ai_spending (
    user_id     TEXT NOT NULL,
    day         INTEGER NOT NULL CHECK (day % 86400000 = 0), -- the instant the day begins at
    cost_micros INTEGER NOT NULL CHECK (cost_micros >= 0),
    PRIMARY KEY (user_id, day)
) STRICT, WITHOUT ROWID;

-- One row for each budget, window and percentage that was reached in it.
CREATE TABLE ai_alerts (
    budget_id    TEXT NOT NULL,
    window_start INTEGER NOT NULL, -- 0: since ever
    percent      INTEGER NOT NULL CHECK (percent BETWEEN 1 AND 100),
    window_end   INTEGER, -- NULL: without end
    user_id      TEXT, -- as in the budget
    limit_micros INTEGER NOT NULL,
    spent_micros INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (budget_id, window_start, percent)
) STRICT, WITHOUT ROWID;

CREATE INDEX ai_alerts_by_time ON ai_alerts (created_at);

-- Which finished job's result answers a request like it again. The key is a
-- SHA-256 of everything that can change the answer.
CREATE TABLE ai_result_cache (
    user_id    TEXT NOT NULL,
    key        BLOB NOT NULL CHECK (length(key) = 32),
    job_id     TEXT NOT NULL REFERENCES ai_results (job_id) ON DELETE CASCADE,
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    created_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX ai_result_cache_by_use ON ai_result_cache (used_at, bytes);
CREATE INDEX ai_result_cache_by_job ON ai_result_cache (job_id);

-- What both tables say of the costs that are there already. Dollars and the
-- rest are summed apart: sum() fails past the largest integer, where the
-- additions of a settlement stop.
INSERT INTO ai_usage_stats (
    hour, user_id, model, kind, requests, failures, cancellations, interruptions, cache_hits,
    prompt_tokens, cached_tokens, completion_tokens, images, audio_in_ms, audio_out_ms, cost_micros,
    latency_sum_us, latency_max_us, queue_sum_us, queue_max_us,
    latency_0, latency_1, latency_2, latency_3, latency_4, latency_5, latency_6, latency_7, latency_8, latency_9,
    queue_0, queue_1, queue_2, queue_3, queue_4, queue_5, queue_6, queue_7, queue_8, queue_9)
SELECT hour, user_id, model, kind, requests, failures, cancellations, interruptions, cache_hits,
    prompt_tokens, cached_tokens, completion_tokens, images, audio_in_ms, audio_out_ms,
    CASE WHEN (dollars + rest / 1000000, rest % 1000000) > (9223372036854, 775807)
        THEN 9223372036854775807 ELSE (dollars + rest / 1000000) * 1000000 + rest % 1000000 END,
    latency_sum_us, latency_max_us, queue_sum_us, queue_max_us,
    latency_0, latency_1, latency_2, latency_3, latency_4, latency_5, latency_6, latency_7, latency_8, latency_9,
    queue_0, queue_1, queue_2, queue_3, queue_4, queue_5, queue_6, queue_7, queue_8, queue_9
FROM (
    SELECT created_at - created_at % 3600000 AS hour, user_id, model, kind,
        count(*) AS requests, sum(state = 'failed') AS failures, sum(state = 'cancelled') AS cancellations,
        sum(state = 'interrupted') AS interruptions, sum(cache_hit) AS cache_hits,
        sum(prompt_tokens) AS prompt_tokens, sum(cached_tokens) AS cached_tokens, sum(completion_tokens) AS completion_tokens,
        sum(images) AS images, sum(audio_in_ms) AS audio_in_ms, sum(audio_out_ms) AS audio_out_ms,
        sum(amount_micros / 1000000) AS dollars, sum(amount_micros % 1000000) AS rest,
        sum(latency_us) AS latency_sum_us, max(latency_us) AS latency_max_us,
        sum(queue_us) AS queue_sum_us, max(queue_us) AS queue_max_us,
        sum(latency_us <= 10000) AS latency_0,
        sum(latency_us > 10000 AND latency_us <= 50000) AS latency_1,
        sum(latency_us > 50000 AND latency_us <= 100000) AS latency_2,
        sum(latency_us > 100000 AND latency_us <= 500000) AS latency_3,
        sum(latency_us > 500000 AND latency_us <= 1000000) AS latency_4,
        sum(latency_us > 1000000 AND latency_us <= 5000000) AS latency_5,
        sum(latency_us > 5000000 AND latency_us <= 10000000) AS latency_6,
        sum(latency_us > 10000000 AND latency_us <= 60000000) AS latency_7,
        sum(latency_us > 60000000 AND latency_us <= 300000000) AS latency_8,
        sum(latency_us > 300000000) AS latency_9,
        sum(queue_us <= 10000) AS queue_0,
        sum(queue_us > 10000 AND queue_us <= 50000) AS queue_1,
        sum(queue_us > 50000 AND queue_us <= 100000) AS queue_2,
        sum(queue_us > 100000 AND queue_us <= 500000) AS queue_3,
        sum(queue_us > 500000 AND queue_us <= 1000000) AS queue_4,
        sum(queue_us > 1000000 AND queue_us <= 5000000) AS queue_5,
        sum(queue_us > 5000000 AND queue_us <= 10000000) AS queue_6,
        sum(queue_us > 10000000 AND queue_us <= 60000000) AS queue_7,
        sum(queue_us > 60000000 AND queue_us <= 300000000) AS queue_8,
        sum(queue_us > 300000000) AS queue_9
    FROM ai_costs GROUP BY 1, 2, 3, 4);

INSERT INTO ai_spending (user_id, day, cost_micros)
SELECT user_id, day, CASE WHEN (dollars + rest / 1000000, rest % 1000000) > (9223372036854, 775807)
        THEN 9223372036854775807 ELSE (dollars + rest / 1000000) * 1000000 + rest % 1000000 END
FROM (
    SELECT user_id, created_at - created_at % 86400000 AS day, sum(amount_micros / 1000000) AS dollars, sum(amount_micros % 1000000) AS rest
    FROM ai_costs WHERE amount_micros > 0 GROUP BY 1, 2
    UNION ALL
    SELECT '', created_at - created_at % 86400000 AS day, sum(amount_micros / 1000000) AS dollars, sum(amount_micros % 1000000) AS rest
    FROM ai_costs WHERE amount_micros > 0 GROUP BY 2);
