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
VALUES ('0195d7a2-0000-7000-8000-000000000002', 'http', 1772366400000, '{"format":1,"id":"0195d7a2-0000-7000-8000-000000000002","kind":"http","created_at":"2026-03-01T12:00:00Z","machine":{"cpu":"AMD EPYC 7B13","features":["AVX2","FMA"],"cores":8,"memory_bytes":34359738368,"os":"linux","arch":"amd64"},"build":{"version":"1.2.0","llama_cpp":"fd570ef (b7000)","flags":"-O3 -march=native"},"model":{"name":"it''s \"q\" | \u003cb\u003e\u001b[2J","type":"qwen3 0.6B Q4_K - Medium","sha256":"abababababababababababababababababababababababababababababababab","quantization":"Q4_K_M","bytes":396705472,"parameters":596049920,"context":40960},"settings":{"url":"http://127.0.0.1:8080","api":"llama-server","seed":"7"},"rows":[{"test":"load","streams":1,"prompt_tokens":128,"gen_tokens":64,"requests":5,"tokens":320,"prompt_tokens_counted":131,"cached_tokens":3,"tokens_per_second":{"n":5,"mean":68.22722090973262,"sd":0.5340705969818307,"min":67.55501511543463,"p50":68.22387665123101,"p95":68.90611541774332,"p99":68.90611541774332,"max":68.90611541774332,"each":[68.90611541774332,68.5632989231277,68.22387665123101,67.88779844112644,67.55501511543463]},"stream_tokens_per_second":{"n":5,"mean":78.5831383692456,"sd":0.6151348840237097,"min":77.8089013383131,"p50":78.57928650007858,"p95":79.36507936507935,"p99":79.36507936507935,"max":79.36507936507935,"each":[79.36507936507935,78.97022822395958,78.57928650007858,78.19219641879741,77.8089013383131]},"first_token_ms":{"n":10,"mean":149.985,"sd":14.415460450502438,"min":135,"p50":137.7,"p95":165.23999999999998,"p99":165.23999999999998,"max":165.23999999999998,"each":[148.5,149.24249999999998,149.985,150.72749999999996,151.46999999999997]},"gap_ms":{"n":15,"mean":16.968,"sd":6.211021655090248,"min":12.600000000000001,"p50":12.789,"p95":25.704,"p99":25.704,"max":25.704,"each":[12.600000000000001,12.662999999999998,12.726,12.789,12.852]},"total_ms":{"n":5,"mean":938.088,"sd":7.342808726910968,"min":928.8000000000001,"p50":938.0880000000001,"p95":947.376,"p99":947.376,"max":947.376,"each":[928.8000000000001,933.4439999999998,938.0880000000001,942.732,947.376]},"gap_histogram":[{"up_to":1,"count":0},{"up_to":2,"count":0},{"up_to":5,"count":0},{"up_to":10,"count":0},{"up_to":20,"count":10},{"up_to":50,"count":5},{"up_to":100,"count":0},{"up_to":200,"count":0},{"up_to":500,"count":0},{"up_to":1000,"count":0},{"up_to":2000,"count":0},{"up_to":5000,"count":0},{"up_to":null,"count":0}]},{"test":"load","streams":4,"prompt_tokens":128,"gen_tokens":64,"requests":20,"tokens":1280,"prompt_tokens_counted":131,"cached_tokens":3,"tokens_per_second":{"n":5,"mean":215.32260543989008,"sd":1.685507205153665,"min":213.20114862118822,"p50":215.31205108278408,"p95":217.46517159361198,"p99":217.46517159361198,"max":217.46517159361198,"each":[217.46517159361198,216.38325531702688,215.31205108278408,214.2514005848394,213.20114862118822]},"stream_tokens_per_second":{"n":5,"mean":68.76024607308992,"sd":0.5382430235207503,"min":68.08278867102398,"p50":68.75687568756875,"p95":69.44444444444446,"p99":69.44444444444446,"max":69.44444444444446,"each":[69.44444444444446,69.09894969596463,68.75687568756875,68.41817186644774,68.08278867102398]},"first_token_ms":{"n":10,"mean":299.97,"sd":28.830920901004877,"min":270,"p50":275.4,"p95":330.47999999999996,"p99":330.47999999999996,"max":330.47999999999996,"each":[297,298.48499999999996,299.97,301.4549999999999,302.93999999999994]},"gap_ms":{"n":15,"mean":19.391999999999992,"sd":7.098310462960282,"min":14.399999999999999,"p50":14.616,"p95":29.375999999999998,"p99":29.375999999999998,"max":29.375999999999998,"each":[14.399999999999999,14.471999999999998,14.544,14.616,14.687999999999999]},"total_ms":{"n":5,"mean":1188.972,"sd":9.306583153875597,"min":1177.1999999999998,"p50":1188.9720000000002,"p95":1200.744,"p99":1200.744,"max":1200.744,"each":[1177.1999999999998,1183.0859999999998,1188.9720000000002,1194.858,1200.744]},"gap_histogram":[{"up_to":1,"count":0},{"up_to":2,"count":0},{"up_to":5,"count":0},{"up_to":10,"count":0},{"up_to":20,"count":10},{"up_to":50,"count":5},{"up_to":100,"count":0},{"up_to":200,"count":0},{"up_to":500,"count":0},{"up_to":1000,"count":0},{"up_to":2000,"count":0},{"up_to":5000,"count":0},{"up_to":null,"count":0}]},{"test":"load","streams":8,"prompt_tokens":128,"gen_tokens":64,"requests":40,"tokens":2560,"prompt_tokens_counted":131,"cached_tokens":3,"tokens_per_second":{"n":5,"mean":336.08826720211965,"sd":2.6308394085214823,"min":332.7769718335491,"p50":336.0717933368516,"p95":339.4325112702201,"p99":339.4325112702201,"max":339.4325112702201,"each":[339.4325112702201,337.74379230867675,336.0717933368516,334.41626726130056,332.7769718335491]},"stream_tokens_per_second":{"n":5,"mean":58.93735377693421,"sd":0.46135116301778745,"min":58.35667600373483,"p50":58.934464875058936,"p95":59.52380952380953,"p99":59.52380952380953,"max":59.52380952380953,"each":[59.52380952380953,59.22767116796969,58.934464875058936,58.644147314098056,58.35667600373483]},"first_token_ms":{"n":10,"mean":499.95,"sd":48.05153483500813,"min":450,"p50":459,"p95":550.8,"p99":550.8,"max":550.8,"each":[495,497.4749999999999,499.95,502.425,504.9]},"gap_ms":{"n":15,"mean":22.624,"sd":8.281362206786996,"min":16.799999999999997,"p50":17.052,"p95":34.272,"p99":34.272,"max":34.272,"each":[16.799999999999997,16.883999999999997,16.968,17.052,17.136]},"total_ms":{"n":5,"mean":1523.484,"sd":11.924949056495041,"min":1508.3999999999999,"p50":1523.484,"p95":1538.568,"p99":1538.568,"max":1538.568,"each":[1508.3999999999999,1515.9419999999998,1523.484,1531.026,1538.568]},"gap_histogram":[{"up_to":1,"count":0},{"up_to":2,"count":0},{"up_to":5,"count":0},{"up_to":10,"count":0},{"up_to":20,"count":10},{"up_to":50,"count":5},{"up_to":100,"count":0},{"up_to":200,"count":0},{"up_to":500,"count":0},{"up_to":1000,"count":0},{"up_to":2000,"count":0},{"up_to":5000,"count":0},{"up_to":null,"count":0}]},{"test":"load","streams":16,"prompt_tokens":128,"gen_tokens":64,"requests":80,"failures":[{"kind":"http 503","count":2,"example":"the server answered 503: no slot"}],"tokens":5120,"prompt_tokens_counted":131,"cached_tokens":3,"tokens_per_second":{"n":5,"mean":467.06794015816956,"sd":3.6561250818258455,"min":462.46617312854755,"p50":467.0450461298202,"p95":471.71549659111844,"p99":471.71549659111844,"max":471.71549659111844,"each":[471.71549659111844,469.3686533244961,467.0450461298202,464.7443316168655,462.46617312854755]},"stream_tokens_per_second":{"n":5,"mean":45.840164048726606,"sd":0.35882868234716464,"min":45.38852578068264,"p50":45.837917125045834,"p95":46.29629629629629,"p99":46.29629629629629,"max":46.29629629629629,"each":[46.29629629629629,46.065966463976416,45.837917125045834,45.61211457763182,45.38852578068264]},"first_token_ms":{"n":10,"mean":899.9100000000001,"sd":86.49276270301462,"min":810,"p50":826.1999999999999,"p95":991.4399999999998,"p99":991.4399999999998,"max":991.4399999999998,"each":[891,895.4549999999999,899.9100000000001,904.365,908.8199999999999]},"gap_ms":{"n":15,"mean":29.088000000000005,"sd":10.647465694440426,"min":21.6,"p50":21.924,"p95":44.064,"p99":44.064,"max":44.064,"each":[21.6,21.708,21.816000000000003,21.924,22.032]},"total_ms":{"n":5,"mean":2192.5080000000003,"sd":17.16168086173379,"min":2170.8,"p50":2192.5080000000003,"p95":2214.216,"p99":2214.216,"max":2214.216,"each":[2170.8,2181.6539999999995,2192.5080000000003,2203.362,2214.216]},"gap_histogram":[{"up_to":1,"count":0},{"up_to":2,"count":0},{"up_to":5,"count":0},{"up_to":10,"count":0},{"up_to":20,"count":0},{"up_to":50,"count":15},{"up_to":100,"count":0},{"up_to":200,"count":0},{"up_to":500,"count":0},{"up_to":1000,"count":0},{"up_to":2000,"count":0},{"up_to":5000,"count":0},{"up_to":null,"count":0}]}],"notes":["load, 16 streams: 2 of 80 requests failed (http 503): the server answered 503: no slot"]}');
INSERT INTO bench_results (run_id, position, created_at, kind, test, streams, prompt_tokens, gen_tokens, shared_prefix, requests, failed, tokens, tokens_per_second, tokens_per_second_sd, stream_tokens_per_second, ttft_ms, ttft_p95_ms, ttft_p99_ms, gap_ms, gap_p95_ms, gap_p99_ms, total_ms, total_p95_ms, cancel_ms, cancel_p99_ms, cached_tokens, model, model_sha256, model_type, quantization, model_bytes, parameters, n_ctx, backend, n_threads, n_gpu_layers, n_batch, cpu, cpu_features, gpu, version, llama_cpp, build_flags, url, api)
VALUES ('0195d7a2-0000-7000-8000-000000000002', 0, 1772366400000, 'http', 'load', 1, 128, 64, 0, 5, 0, 320, 68.227, 0.534, 78.579, 137.7, 165.24, 165.24, 12.789, 25.704, 25.704, 938.088, 947.376, NULL, NULL, 3, 'it''s "q" | <b>[2J', 'abababababababababababababababababababababababababababababababab', 'qwen3 0.6B Q4_K - Medium', 'Q4_K_M', 396705472, 596049920, 40960, '', 0, 0, 0, 'AMD EPYC 7B13', 'AVX2 FMA', '', '1.2.0', 'fd570ef (b7000)', '-O3 -march=native', 'http://127.0.0.1:8080', 'llama-server');
INSERT INTO bench_results (run_id, position, created_at, kind, test, streams, prompt_tokens, gen_tokens, shared_prefix, requests, failed, tokens, tokens_per_second, tokens_per_second_sd, stream_tokens_per_second, ttft_ms, ttft_p95_ms, ttft_p99_ms, gap_ms, gap_p95_ms, gap_p99_ms, total_ms, total_p95_ms, cancel_ms, cancel_p99_ms, cached_tokens, model, model_sha256, model_type, quantization, model_bytes, parameters, n_ctx, backend, n_threads, n_gpu_layers, n_batch, cpu, cpu_features, gpu, version, llama_cpp, build_flags, url, api)
VALUES ('0195d7a2-0000-7000-8000-000000000002', 1, 1772366400000, 'http', 'load', 4, 128, 64, 0, 20, 0, 1280, 215.323, 1.686, 68.757, 275.4, 330.48, 330.48, 14.616, 29.376, 29.376, 1188.972, 1200.744, NULL, NULL, 3, 'it''s "q" | <b>[2J', 'abababababababababababababababababababababababababababababababab', 'qwen3 0.6B Q4_K - Medium', 'Q4_K_M', 396705472, 596049920, 40960, '', 0, 0, 0, 'AMD EPYC 7B13', 'AVX2 FMA', '', '1.2.0', 'fd570ef (b7000)', '-O3 -march=native', 'http://127.0.0.1:8080', 'llama-server');
INSERT INTO bench_results (run_id, position, created_at, kind, test, streams, prompt_tokens, gen_tokens, shared_prefix, requests, failed, tokens, tokens_per_second, tokens_per_second_sd, stream_tokens_per_second, ttft_ms, ttft_p95_ms, ttft_p99_ms, gap_ms, gap_p95_ms, gap_p99_ms, total_ms, total_p95_ms, cancel_ms, cancel_p99_ms, cached_tokens, model, model_sha256, model_type, quantization, model_bytes, parameters, n_ctx, backend, n_threads, n_gpu_layers, n_batch, cpu, cpu_features, gpu, version, llama_cpp, build_flags, url, api)
VALUES ('0195d7a2-0000-7000-8000-000000000002', 2, 1772366400000, 'http', 'load', 8, 128, 64, 0, 40, 0, 2560, 336.088, 2.631, 58.934, 459, 550.8, 550.8, 17.052, 34.272, 34.272, 1523.484, 1538.568, NULL, NULL, 3, 'it''s "q" | <b>[2J', 'abababababababababababababababababababababababababababababababab', 'qwen3 0.6B Q4_K - Medium', 'Q4_K_M', 396705472, 596049920, 40960, '', 0, 0, 0, 'AMD EPYC 7B13', 'AVX2 FMA', '', '1.2.0', 'fd570ef (b7000)', '-O3 -march=native', 'http://127.0.0.1:8080', 'llama-server');
INSERT INTO bench_results (run_id, position, created_at, kind, test, streams, prompt_tokens, gen_tokens, shared_prefix, requests, failed, tokens, tokens_per_second, tokens_per_second_sd, stream_tokens_per_second, ttft_ms, ttft_p95_ms, ttft_p99_ms, gap_ms, gap_p95_ms, gap_p99_ms, total_ms, total_p95_ms, cancel_ms, cancel_p99_ms, cached_tokens, model, model_sha256, model_type, quantization, model_bytes, parameters, n_ctx, backend, n_threads, n_gpu_layers, n_batch, cpu, cpu_features, gpu, version, llama_cpp, build_flags, url, api)
VALUES ('0195d7a2-0000-7000-8000-000000000002', 3, 1772366400000, 'http', 'load', 16, 128, 64, 0, 80, 2, 5120, 467.068, 3.656, 45.838, 826.2, 991.44, 991.44, 21.924, 44.064, 44.064, 2192.508, 2214.216, NULL, NULL, 3, 'it''s "q" | <b>[2J', 'abababababababababababababababababababababababababababababababab', 'qwen3 0.6B Q4_K - Medium', 'Q4_K_M', 396705472, 596049920, 40960, '', 0, 0, 0, 'AMD EPYC 7B13', 'AVX2 FMA', '', '1.2.0', 'fd570ef (b7000)', '-O3 -march=native', 'http://127.0.0.1:8080', 'llama-server');
COMMIT;
