-- Benchmarks, and what was measured in each. A run's report is all of it as
-- JSON; bench_results has the figures that are asked for, one row for each test.

CREATE TABLE IF NOT EXISTS bench_runs (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('raw', 'batched', 'engine', 'http')),
    created_at INTEGER NOT NULL, -- milliseconds since 1970
    report     TEXT NOT NULL CHECK (json_valid(report))
) STRICT, WITHOUT ROWID;

-- NULL: not measured, or not known. Times are in milliseconds; those without a
-- percentile in their name are medians.
CREATE TABLE IF NOT EXISTS bench_results (
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

CREATE INDEX IF NOT EXISTS bench_results_by_model ON bench_results (model_sha256, kind, streams, created_at);

BEGIN;
INSERT INTO bench_runs (id, kind, created_at, report)
VALUES ('0195d7a2-0000-7000-8000-000000000001', 'raw', 1772366400000, '{"format":1,"id":"0195d7a2-0000-7000-8000-000000000001","kind":"raw","created_at":"2026-03-01T12:00:00Z","machine":{"cpu":"AMD EPYC 7B13","features":["AVX2","FMA"],"cores":8,"memory_bytes":34359738368,"os":"linux","arch":"amd64"},"build":{"version":"1.2.0","llama_cpp":"fd570ef (b7000)","flags":"-O3 -march=native"},"model":{"name":"qwen3-0.6b","type":"qwen3 0.6B Q4_K - Medium","sha256":"abababababababababababababababababababababababababababababababab","quantization":"Q4_K_M","bytes":396705472,"parameters":596049920,"context":40960},"settings":{"backend":"CPU","threads":4,"batch":2048},"rows":[{"test":"pp512","streams":1,"prompt_tokens":512,"gen_tokens":0,"tokens":2560,"tokens_per_second":{"n":5,"mean":202.7,"sd":1.0517841983981315,"min":201.5,"p50":202.75,"p95":204.25,"p99":204.25,"max":204.25,"each":[201.5,203,202,204.25,202.75]}},{"test":"tg128","streams":1,"prompt_tokens":0,"gen_tokens":128,"tokens":640,"tokens_per_second":{"n":5,"mean":41.4,"sd":0.2850438562747845,"min":41,"p50":41.5,"p95":41.75,"p99":41.75,"max":41.75,"each":[41.25,41.5,41,41.75,41.5]}}]}');
INSERT INTO bench_results (run_id, position, created_at, kind, test, streams, prompt_tokens, gen_tokens, shared_prefix, requests, failed, tokens, tokens_per_second, tokens_per_second_sd, stream_tokens_per_second, ttft_ms, ttft_p95_ms, ttft_p99_ms, gap_ms, gap_p95_ms, gap_p99_ms, total_ms, total_p95_ms, cancel_ms, cancel_p99_ms, cached_tokens, model, model_sha256, model_type, quantization, model_bytes, parameters, n_ctx, backend, n_threads, n_gpu_layers, n_batch, cpu, cpu_features, gpu, version, llama_cpp, build_flags, url, api)
VALUES ('0195d7a2-0000-7000-8000-000000000001', 0, 1772366400000, 'raw', 'pp512', 1, 512, 0, 0, 0, 0, 2560, 202.7, 1.052, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'qwen3-0.6b', 'abababababababababababababababababababababababababababababababab', 'qwen3 0.6B Q4_K - Medium', 'Q4_K_M', 396705472, 596049920, 40960, 'CPU', 4, 0, 2048, 'AMD EPYC 7B13', 'AVX2 FMA', '', '1.2.0', 'fd570ef (b7000)', '-O3 -march=native', '', '');
INSERT INTO bench_results (run_id, position, created_at, kind, test, streams, prompt_tokens, gen_tokens, shared_prefix, requests, failed, tokens, tokens_per_second, tokens_per_second_sd, stream_tokens_per_second, ttft_ms, ttft_p95_ms, ttft_p99_ms, gap_ms, gap_p95_ms, gap_p99_ms, total_ms, total_p95_ms, cancel_ms, cancel_p99_ms, cached_tokens, model, model_sha256, model_type, quantization, model_bytes, parameters, n_ctx, backend, n_threads, n_gpu_layers, n_batch, cpu, cpu_features, gpu, version, llama_cpp, build_flags, url, api)
VALUES ('0195d7a2-0000-7000-8000-000000000001', 1, 1772366400000, 'raw', 'tg128', 1, 0, 128, 0, 0, 0, 640, 41.4, 0.285, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'qwen3-0.6b', 'abababababababababababababababababababababababababababababababab', 'qwen3 0.6B Q4_K - Medium', 'Q4_K_M', 396705472, 596049920, 40960, 'CPU', 4, 0, 2048, 'AMD EPYC 7B13', 'AVX2 FMA', '', '1.2.0', 'fd570ef (b7000)', '-O3 -march=native', '', '');
COMMIT;
