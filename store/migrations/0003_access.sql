-- Who may call, and who did what.

-- +goose Up

-- Only the hash of a secret is kept; it is shown once, when it is made.
CREATE TABLE ai_api_keys (
    id             TEXT PRIMARY KEY NOT NULL CHECK (id <> ''),
    user_id        TEXT NOT NULL,
    name           TEXT NOT NULL DEFAULT '',
    role           TEXT NOT NULL CHECK (role IN ('admin', 'user', 'viewer')),
    secret_sha256  BLOB NOT NULL UNIQUE CHECK (length(secret_sha256) = 32),
    permissions    TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(permissions) AND json_type(permissions) = 'array'),
    rate_limit     INTEGER CHECK (rate_limit > 0), -- requests a minute; NULL: none
    act_for_others INTEGER NOT NULL DEFAULT 0 CHECK (act_for_others IN (0, 1)),
    created_at     INTEGER NOT NULL,
    last_used_at   INTEGER,
    revoked_at     INTEGER
) STRICT;

CREATE TABLE ai_audit_log (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    target  TEXT NOT NULL DEFAULT '',
    outcome TEXT NOT NULL DEFAULT '',
    details TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(details))
) STRICT;

CREATE INDEX ai_audit_log_by_time ON ai_audit_log (at);

-- The log only grows.
-- +goose StatementBegin
CREATE TRIGGER ai_audit_log_is_append_only BEFORE UPDATE ON ai_audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd
