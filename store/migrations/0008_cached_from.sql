-- Where the cached tokens of a prompt came from.

-- +goose Up

ALTER TABLE ai_results ADD COLUMN cached_from TEXT NOT NULL DEFAULT '' CHECK (cached_from IN ('', 'kv', 'ram', 'disk'));
