-- Pictures, speech and pipelines: what their jobs are given and give, and how
-- the workers that do them have been.

-- +goose Up

-- Which pipeline's job a job is a stage of.
ALTER TABLE ai_reservations ADD COLUMN parent TEXT NOT NULL DEFAULT '';
ALTER TABLE ai_reservations ADD COLUMN stage TEXT NOT NULL DEFAULT '';
CREATE INDEX ai_reservations_by_parent ON ai_reservations (parent) WHERE parent <> '';

-- JSON, NULL for a job of another kind.
ALTER TABLE ai_results ADD COLUMN transcript TEXT CHECK (transcript IS NULL OR json_valid(transcript));
ALTER TABLE ai_results ADD COLUMN pipeline TEXT CHECK (pipeline IS NULL OR json_valid(pipeline));

-- What there is to say of an image or of audio.
ALTER TABLE ai_artifacts ADD COLUMN width INTEGER NOT NULL DEFAULT 0 CHECK (width >= 0);
ALTER TABLE ai_artifacts ADD COLUMN height INTEGER NOT NULL DEFAULT 0 CHECK (height >= 0);
ALTER TABLE ai_artifacts ADD COLUMN seed INTEGER; -- NULL: not known
ALTER TABLE ai_artifacts ADD COLUMN duration_ms INTEGER NOT NULL DEFAULT 0 CHECK (duration_ms >= 0);
CREATE INDEX ai_artifacts_by_content ON ai_artifacts (sha256);

-- The files that requests brought. They are kept while the job is open.
CREATE TABLE ai_inputs (
    job_id TEXT NOT NULL REFERENCES ai_jobs (id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
    PRIMARY KEY (job_id, sha256)
) STRICT, WITHOUT ROWID;

-- How a worker was when that changed, and now and then in between.
CREATE TABLE ai_worker_history (
    id         INTEGER PRIMARY KEY,
    worker     TEXT NOT NULL CHECK (worker <> ''),
    at         INTEGER NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('unknown', 'starting', 'ready', 'degraded', 'down')),
    latency_us INTEGER NOT NULL CHECK (latency_us >= 0),
    problem    TEXT NOT NULL DEFAULT '',
    model      TEXT NOT NULL DEFAULT '',
    version    TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX ai_worker_history_by_worker ON ai_worker_history (worker, at);
