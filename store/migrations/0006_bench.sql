-- Benchmarks, and what was measured in each. A run's report is all of it as
-- JSON; bench_results has the figures that are asked for, one row for each test.

-- +goose Up

CREATE TABLE bench_runs (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('raw', 'batched', 'engine', 'http')),
    created_at INTEGER NOT NULL, -- milliseconds since 1970
    report     TEXT NOT NULL CHECK (json_valid(report))
) STRICT, WITHOUT ROWID;

-- NULL: not measured, or not known. Times are in milliseconds; those without a
-- percentile in their name are medians.
CREATE TABLE bench_results (
    run_id                   TEXT NOT NULL REFERENCES bench_runs (id) ON DELETE CASCADE,
    position                 INTEGER NOT NULL, -- in the report, from 0
    created_at               INTEGER NOT NULL,
    kind                     TEXT NOT NULL,
    test                     TEXT NOT NULL,
    streams                  INTEGER NOT NULL CHECK (streams > 0),
    prompt_tokens            INTEGER NOT NULL,
    gen_tokens               INTEGER NOT NULL,
    shared_prefix            INTEGER NOT NULL CHECK (shared_prefix IN (0, 1)),
    requests                 INTEGER NOT NULL,
    failed                   INTEGER NOT NULL,
    tokens                   INTEGER NOT NULL,
    tokens_per_second        REAL, -- mean
    tokens_per_second_sd     REAL,
    stream_tokens_per_second REAL,
    ttft_ms                  REAL,
    ttft_p95_ms              REAL,
    ttft_p99_ms              REAL,
    gap_ms                   REAL,
    gap_p95_ms               REAL,
    gap_p99_ms               REAL,
    total_ms                 REAL,
    total_p95_ms             REAL,
    cancel_ms                REAL,
    cancel_p99_ms            REAL,
    cached_tokens            REAL,
    model                    TEXT NOT NULL,
    model_sha256             TEXT NOT NULL, -- empty: not known
    model_type               TEXT NOT NULL,
    quantization             TEXT NOT NULL,
    model_bytes              INTEGER NOT NULL,
    parameters               INTEGER NOT NULL,
    n_ctx                    INTEGER NOT NULL,
    backend                  TEXT NOT NULL,
    n_threads                INTEGER NOT NULL,
    n_gpu_layers             INTEGER NOT NULL,
    n_batch                  INTEGER NOT NULL,
    cpu                      TEXT NOT NULL,
    cpu_features             TEXT NOT NULL, -- with a space in between
    gpu                      TEXT NOT NULL,
    version                  TEXT NOT NULL,
    llama_cpp                TEXT NOT NULL,
    build_flags              TEXT NOT NULL,
    url                      TEXT NOT NULL,
    api                      TEXT NOT NULL,
    PRIMARY KEY (run_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX bench_results_by_model ON bench_results (model_sha256, kind, streams, created_at);
