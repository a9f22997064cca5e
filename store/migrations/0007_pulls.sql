-- Downloads of models. What was begun and has not ended goes on at the next start.

-- +goose Up

CREATE TABLE model_pulls (
    id            TEXT PRIMARY KEY, -- UUIDv7
    source        TEXT NOT NULL CHECK (source <> ''), -- as it was asked for; without secrets once it has ended
    name          TEXT NOT NULL, -- to call it here; empty: chosen from the source
    wanted_sha256 TEXT NOT NULL, -- empty: what the source says
    wanted_mmproj TEXT NOT NULL, -- empty: the one that the repository has; none: none
    status        TEXT NOT NULL CHECK (status IN ('resolving', 'downloading', 'verifying', 'validating', 'done', 'failed', 'cancelled')),
    model         TEXT NOT NULL DEFAULT '', -- the name that it has here, once it is known
    done_bytes    INTEGER NOT NULL DEFAULT 0 CHECK (done_bytes >= 0),
    total_bytes   INTEGER NOT NULL DEFAULT 0 CHECK (total_bytes >= 0), -- 0: not known
    note          TEXT NOT NULL DEFAULT '',
    files         TEXT CHECK (files IS NULL OR json_valid(files)), -- of the model, when it is done
    sha256        TEXT NOT NULL DEFAULT '', -- of the model, when it is done
    revision      TEXT NOT NULL DEFAULT '', -- of the repository, when it is done
    fetched_bytes INTEGER NOT NULL DEFAULT 0 CHECK (fetched_bytes >= 0), -- by the process that ended it
    starts        INTEGER NOT NULL CHECK (starts >= 0), -- processes in a row that took it up, and brought neither a byte nor an orderly stop
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER, -- NULL until then
    error         TEXT CHECK (error IS NULL OR json_valid(error)), -- why it failed
    CHECK ((ended_at IS NULL) = (status NOT IN ('done', 'failed', 'cancelled'))),
    CHECK ((error IS NOT NULL) = (status = 'failed')),
    CHECK ((files IS NOT NULL) = (status = 'done'))
) STRICT, WITHOUT ROWID;

CREATE INDEX model_pulls_open ON model_pulls (started_at) WHERE ended_at IS NULL;
