-- Downloads of models. What was begun and has not ended goes on at the next start.

-- +goose Up

CREATE TABLE model_pulls (
    id            TEXT PRIMARY KEY, -- UUIDv7
    source        TEXT NOT NULL CHECK (source <> ''), -- as it was asked for
    name          TEXT NOT NULL, -- to call it here; empty: chosen from the source
    wanted_sha256 TEXT NOT NULL, -- empty: what the source says
    status        TEXT NOT NULL CHECK (status IN ('resolving', 'downloading', 'verifying', 'validating', 'done', 'failed', 'cancelled')),
    model         TEXT NOT NULL DEFAULT '', -- the name that it has here, once it is known
    done_bytes    INTEGER NOT NULL DEFAULT 0 CHECK (done_bytes >= 0),
    total_bytes   INTEGER NOT NULL DEFAULT 0 CHECK (total_bytes >= 0), -- 0: not known
    note          TEXT NOT NULL DEFAULT '',
    path          TEXT NOT NULL DEFAULT '', -- of the model's file, when it is done
    mmproj_path   TEXT NOT NULL DEFAULT '',
    sha256        TEXT NOT NULL DEFAULT '',
    starts        INTEGER NOT NULL DEFAULT 1 CHECK (starts > 0), -- processes that took it up
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER, -- NULL until then
    error         TEXT CHECK (error IS NULL OR json_valid(error)), -- why it failed
    CHECK ((ended_at IS NULL) = (status NOT IN ('done', 'failed', 'cancelled'))),
    CHECK ((error IS NOT NULL) = (status = 'failed'))
) STRICT, WITHOUT ROWID;

CREATE INDEX model_pulls_open ON model_pulls (started_at) WHERE ended_at IS NULL;
