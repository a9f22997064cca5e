-- Jobs, what happened to them, and what they gave.
--
-- Instants are Unix milliseconds, UTC. Durations end in _us and are
-- microseconds. Money ends in _micros and is micro-dollars.

-- +goose Up

-- The request stands last: a row whose prompt is megabytes long keeps it in
-- overflow pages, which the queries that do not ask for it never read.
CREATE TABLE ai_jobs (
    id                            TEXT PRIMARY KEY NOT NULL CHECK (id <> ''),
    kind                          TEXT NOT NULL CHECK (kind IN ('text', 'image', 'transcribe', 'speak', 'pipeline')),
    user_id                       TEXT NOT NULL,
    key_id                        TEXT NOT NULL DEFAULT '',
    state                         TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'interrupted')),
    model                         TEXT NOT NULL,
    requested_model               TEXT NOT NULL DEFAULT '',
    priority                      TEXT NOT NULL CHECK (priority IN ('interactive', 'batch', 'background')),
    async                         INTEGER NOT NULL CHECK (async IN (0, 1)),
    -- The price as it stood at admission; a later change does not touch it.
    price_model                   TEXT NOT NULL,
    price_prompt_token_micros     INTEGER NOT NULL CHECK (price_prompt_token_micros >= 0),
    price_cached_token_micros     INTEGER NOT NULL CHECK (price_cached_token_micros >= 0),
    price_completion_token_micros INTEGER NOT NULL CHECK (price_completion_token_micros >= 0),
    price_image_micros            INTEGER NOT NULL CHECK (price_image_micros >= 0),
    price_audio_ms_micros         INTEGER NOT NULL CHECK (price_audio_ms_micros >= 0),
    created_at                    INTEGER NOT NULL,
    started_at                    INTEGER,
    finished_at                   INTEGER,
    error_code                    TEXT NOT NULL DEFAULT '',
    error                         TEXT, -- JSON: message, hint, numbers, retry_after_ms
    request                       TEXT NOT NULL, -- JSON

    CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled', 'interrupted'))),
    CHECK (state <> 'queued' OR started_at IS NULL),
    CHECK (state NOT IN ('running', 'succeeded') OR started_at IS NOT NULL),
    CHECK (state NOT IN ('queued', 'running', 'succeeded') OR error_code = ''),
    CHECK ((error_code = '') = (error IS NULL))
) STRICT;

CREATE INDEX ai_jobs_by_time ON ai_jobs (created_at, id);
CREATE INDEX ai_jobs_by_user ON ai_jobs (user_id, created_at, id);
CREATE INDEX ai_jobs_by_state ON ai_jobs (state, created_at, id);
CREATE INDEX ai_jobs_unfinished ON ai_jobs (created_at, id) WHERE finished_at IS NULL;

-- A finished job is history. The store never asks for this; the database
-- refuses it to everybody else who opens the file.
-- +goose StatementBegin
CREATE TRIGGER ai_jobs_finished_is_final BEFORE UPDATE OF state, finished_at ON ai_jobs
WHEN OLD.finished_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a finished job does not change');
END;
-- +goose StatementEnd

-- Money held for a job while it is open. A table of its own, so that "held
-- exactly as long as the job is open, and given back once" is one join.
CREATE TABLE ai_reservations (
    job_id      TEXT PRIMARY KEY NOT NULL REFERENCES ai_jobs (id),
    user_id     TEXT NOT NULL,
    micros      INTEGER NOT NULL CHECK (micros >= 0),
    created_at  INTEGER NOT NULL,
    released_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX ai_reservations_open ON ai_reservations (user_id, micros) WHERE released_at IS NULL;

-- +goose StatementBegin
CREATE TRIGGER ai_reservations_released_once BEFORE UPDATE ON ai_reservations
WHEN OLD.released_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a reservation is released once');
END;
-- +goose StatementEnd

-- A terminal event carries no payload: its result stands in ai_results and its
-- error in ai_jobs, written in the same transaction.
CREATE TABLE ai_job_events (
    job_id    TEXT NOT NULL REFERENCES ai_jobs (id) ON DELETE CASCADE,
    seq       INTEGER NOT NULL CHECK (seq >= 1),
    type      TEXT NOT NULL CHECK (type IN ('queued', 'started', 'progress', 'token', 'stage', 'artifact', 'alert',
                                            'done', 'failed', 'cancelled', 'interrupted')),
    at        INTEGER NOT NULL,
    reasoning INTEGER NOT NULL DEFAULT 0 CHECK (reasoning IN (0, 1)),
    tokens    INTEGER NOT NULL DEFAULT 0 CHECK (tokens >= 0),
    text      TEXT NOT NULL DEFAULT '',
    payload   TEXT, -- JSON; the shape depends on the type
    PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX ai_job_events_one_end ON ai_job_events (job_id)
    WHERE type IN ('done', 'failed', 'cancelled', 'interrupted');

CREATE TABLE ai_results (
    job_id            TEXT PRIMARY KEY NOT NULL REFERENCES ai_jobs (id) ON DELETE CASCADE,
    model             TEXT NOT NULL,
    finish_reason     TEXT NOT NULL,
    truncated         INTEGER NOT NULL CHECK (truncated IN (0, 1)),
    prompt_tokens     INTEGER NOT NULL CHECK (prompt_tokens >= 0),
    cached_tokens     INTEGER NOT NULL CHECK (cached_tokens BETWEEN 0 AND prompt_tokens),
    completion_tokens INTEGER NOT NULL CHECK (completion_tokens >= 0),
    reasoning_tokens  INTEGER NOT NULL CHECK (reasoning_tokens BETWEEN 0 AND completion_tokens),
    queue_us          INTEGER NOT NULL,
    prompt_us         INTEGER NOT NULL,
    first_token_us    INTEGER NOT NULL,
    total_us          INTEGER NOT NULL,
    tokens_per_second REAL NOT NULL,
    device            TEXT NOT NULL,
    layers_offloaded  INTEGER NOT NULL,
    n_ctx             INTEGER NOT NULL,
    fallback_reason   TEXT NOT NULL,
    cache             TEXT NOT NULL,
    rules_applied     TEXT NOT NULL DEFAULT '[]', -- JSON array of strings
    created_at        INTEGER NOT NULL,
    text              TEXT NOT NULL,
    reasoning         TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ai_artifacts (
    job_id     TEXT NOT NULL REFERENCES ai_jobs (id) ON DELETE CASCADE,
    idx        INTEGER NOT NULL CHECK (idx >= 0),
    kind       TEXT NOT NULL,
    media_type TEXT NOT NULL,
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    sha256     TEXT NOT NULL CHECK (length(sha256) = 64),
    path       TEXT NOT NULL, -- relative to the artifacts folder
    created_at INTEGER NOT NULL,
    PRIMARY KEY (job_id, idx)
) STRICT, WITHOUT ROWID;
