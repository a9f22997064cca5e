-- Costs, usage, prices, budgets and optimisation rules.

-- +goose Up

-- One row for every finished job, also when it cost nothing. Rows keep the unit
-- prices they were made with, and hold their job: it cannot be deleted from
-- under its cost.
CREATE TABLE ai_costs (
    job_id                  TEXT PRIMARY KEY NOT NULL REFERENCES ai_jobs (id),
    user_id                 TEXT NOT NULL,
    model                   TEXT NOT NULL,
    kind                    TEXT NOT NULL,
    prompt_tokens           INTEGER NOT NULL CHECK (prompt_tokens >= 0),
    cached_tokens           INTEGER NOT NULL CHECK (cached_tokens BETWEEN 0 AND prompt_tokens),
    completion_tokens       INTEGER NOT NULL CHECK (completion_tokens >= 0),
    prompt_token_micros     INTEGER NOT NULL,
    cached_token_micros     INTEGER NOT NULL,
    completion_token_micros INTEGER NOT NULL,
    image_micros            INTEGER NOT NULL,
    audio_ms_micros         INTEGER NOT NULL,
    reserved_micros         INTEGER NOT NULL CHECK (reserved_micros >= 0),
    amount_micros           INTEGER NOT NULL CHECK (amount_micros >= 0),
    created_at              INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX ai_costs_by_user ON ai_costs (user_id, created_at, amount_micros);
CREATE INDEX ai_costs_by_time ON ai_costs (created_at, amount_micros);

-- Sums by hour, kept up to date by every settlement. hour is the instant the
-- hour begins at.
CREATE TABLE ai_usage_stats (
    hour              INTEGER NOT NULL CHECK (hour % 3600000 = 0),
    user_id           TEXT NOT NULL,
    model             TEXT NOT NULL,
    kind              TEXT NOT NULL,
    requests          INTEGER NOT NULL,
    failures          INTEGER NOT NULL,
    cancellations     INTEGER NOT NULL,
    interruptions     INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    cached_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost_micros       INTEGER NOT NULL,
    latency_sum_us    INTEGER NOT NULL, -- from admission to the end
    latency_max_us    INTEGER NOT NULL,
    queue_sum_us      INTEGER NOT NULL,
    queue_max_us      INTEGER NOT NULL,
    PRIMARY KEY (hour, user_id, model, kind)
) STRICT, WITHOUT ROWID;

-- A model of its own row, or '*' for every other model of the kind. The row
-- with the latest valid_from that is not in the future counts.
CREATE TABLE ai_prices (
    kind                    TEXT NOT NULL CHECK (kind IN ('text', 'image', 'transcribe', 'speak', 'pipeline')),
    model                   TEXT NOT NULL CHECK (model <> ''),
    valid_from              INTEGER NOT NULL,
    prompt_token_micros     INTEGER NOT NULL DEFAULT 0 CHECK (prompt_token_micros >= 0),
    cached_token_micros     INTEGER NOT NULL DEFAULT 0 CHECK (cached_token_micros >= 0),
    completion_token_micros INTEGER NOT NULL DEFAULT 0 CHECK (completion_token_micros >= 0),
    image_micros            INTEGER NOT NULL DEFAULT 0 CHECK (image_micros >= 0),
    audio_ms_micros         INTEGER NOT NULL DEFAULT 0 CHECK (audio_ms_micros >= 0),
    PRIMARY KEY (kind, model, valid_from)
) STRICT, WITHOUT ROWID;

-- $0.001 a token, $0.05 an image, $0.01 a second heard, $0.005 a second spoken.
-- A pipeline costs what its stages cost.
INSERT INTO ai_prices (kind, model, valid_from, prompt_token_micros, completion_token_micros, image_micros, audio_ms_micros)
VALUES ('text', '*', 0, 1000, 1000, 0, 0),
       ('image', '*', 0, 0, 0, 50000, 0),
       ('transcribe', '*', 0, 0, 0, 0, 10),
       ('speak', '*', 0, 0, 0, 0, 5),
       ('pipeline', '*', 0, 0, 0, 0, 0);

-- period_start and period_end are calendar days (UTC, YYYY-MM-DD), as
-- CURRENT_DATE and date('now', '+1 day') give them; the end is not included.
CREATE TABLE ai_budgets (
    id                         TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
        substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1), substr(hex(randomblob(2)), 2),
        hex(randomblob(6))))), -- a UUIDv7
    user_id                    TEXT, -- NULL: everybody together
    budget_type                TEXT NOT NULL CHECK (budget_type IN ('daily', 'weekly', 'monthly', 'total', 'period')),
    amount_cents               INTEGER NOT NULL CHECK (amount_cents >= 0),
    period_start               TEXT CHECK (period_start IS NULL OR period_start IS date(period_start)),
    period_end                 TEXT CHECK (period_end IS NULL OR period_end IS date(period_end)),
    alert_threshold_percentage INTEGER NOT NULL DEFAULT 80 CHECK (alert_threshold_percentage BETWEEN 1 AND 100),
    created_at                 INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    CHECK (period_start IS NULL OR period_end IS NULL OR period_start < period_end)
) STRICT;

CREATE INDEX ai_budgets_by_user ON ai_budgets (user_id);

CREATE TABLE ai_cost_optimization_rules (
    id                         TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
        substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1), substr(hex(randomblob(2)), 2),
        hex(randomblob(6))))), -- a UUIDv7
    user_id    TEXT, -- NULL: everybody
    rule_name  TEXT NOT NULL CHECK (rule_name <> ''),
    rule_type  TEXT NOT NULL CHECK (rule_type <> ''),
    conditions TEXT NOT NULL CHECK (json_valid(conditions) AND json_type(conditions) = 'object'),
    actions    TEXT NOT NULL CHECK (json_valid(actions) AND json_type(actions) = 'object'),
    enabled    INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    position   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT;

CREATE INDEX ai_cost_optimization_rules_in_order ON ai_cost_optimization_rules (position, created_at);
