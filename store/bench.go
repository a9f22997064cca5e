package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// maxBenches is the most benchmarks that one call lists.
const maxBenches = 1000

// leastSumDigits is how much of a checksum a filter must have, so that no name of
// a model is taken for one.
const leastSumDigits = 8

// benchColumns are the columns of bench_results, in the order of the table.
func benchColumns() []string {
	return strings.Fields(`run_id position created_at kind test streams prompt_tokens gen_tokens shared_prefix requests failed tokens
		tokens_per_second tokens_per_second_sd stream_tokens_per_second ttft_ms ttft_p95_ms ttft_p99_ms gap_ms gap_p95_ms gap_p99_ms
		total_ms total_p95_ms cancel_ms cancel_p99_ms cached_tokens
		model model_sha256 model_type quantization model_bytes parameters n_ctx backend n_threads n_gpu_layers n_batch
		cpu cpu_features gpu version llama_cpp build_flags url api`)
}

const insertBenchSQL = `INSERT INTO bench_runs (id, kind, created_at, report) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

func insertBenchResultSQL() string {
	columns := benchColumns()
	return "INSERT INTO bench_results (" + strings.Join(columns, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(columns)-1) + ")"
}

// decodeSQL is how fast a row says that one stream is generated, NULL if it does
// not. Of raw and batched tests it is the speed of those that only decode; others
// measure it from the first token of an answer on.
const decodeSQL = `CASE WHEN b.streams <> 1 OR b.gen_tokens = 0 THEN NULL
	WHEN b.kind IN ('raw', 'batched') THEN b.tokens_per_second ELSE b.stream_tokens_per_second END`

// benchesSQL shows of each run the facts that all its rows have, and the figures
// of the test that generates most: the shorter the test, the more of it is noise.
const benchesSQL = `SELECT r.id, r.kind, r.created_at, (SELECT count(*) FROM bench_results b WHERE b.run_id = r.id),
	f.model, f.model_sha256, f.quantization, f.backend, f.n_threads, f.n_gpu_layers, f.cpu, f.gpu, f.version, f.url,
	coalesce((SELECT ` + decodeSQL + ` AS speed FROM bench_results b WHERE b.run_id = r.id AND speed > 0
		ORDER BY b.gen_tokens DESC, b.position DESC LIMIT 1), 0),
	coalesce((SELECT b.ttft_ms FROM bench_results b WHERE b.run_id = r.id AND b.streams = 1 AND b.test IN ('load', 'cold') AND b.ttft_ms > 0
		ORDER BY b.gen_tokens DESC, b.position DESC LIMIT 1), 0)
FROM bench_runs r JOIN bench_results f ON f.run_id = r.id AND f.position = 0
WHERE (?1 = '' OR r.kind = ?1) AND (?2 = '' OR f.model = ?2 OR length(?2) >= ?3 AND substr(f.model_sha256, 1, length(?2)) = lower(?2))
ORDER BY r.created_at DESC, r.id DESC LIMIT ?4`

// benchSQL finds a run by how its id begins; two are enough to know that there is
// more than one.
const benchSQL = `SELECT id, kind, created_at, report FROM bench_runs WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id = ?1 DESC, created_at DESC, id LIMIT 6`

const newestBenchesSQL = `SELECT id FROM bench_runs ORDER BY created_at DESC, id DESC LIMIT 5`

// speedsSQL takes of each model the last measurement on each processor with the
// same threads and layers on a GPU. A server's figures are left out: which model
// it runs on which machine is what it says itself.
const speedsSQL = `SELECT run_id, kind, created_at, model, model_sha256, model_bytes, parameters, cpu, backend, n_threads, n_gpu_layers, speed
FROM (SELECT b.*, ` + decodeSQL + ` AS speed, row_number() OVER (
		PARTITION BY b.model_sha256, b.cpu, b.n_threads, b.n_gpu_layers ORDER BY b.created_at DESC, b.run_id DESC,
		b.gen_tokens DESC, b.position DESC) AS nth
	FROM bench_results b WHERE b.kind <> 'http' AND b.model_sha256 <> '' AND ` + decodeSQL + ` > 0)
WHERE nth = 1 ORDER BY created_at DESC, run_id, model_sha256`

// AddBench keeps a benchmark and its figures. One without rows is invalid, an id
// that is in use is a conflict.
func (s *Store) AddBench(ctx context.Context, run jeantrail.BenchRun) error {
	switch {
	case run.ID == "" || !slices.Contains(jeantrail.BenchKinds(), run.Kind) || !json.Valid(run.Report):
		return misuse("add benchmark: its id is %q, its kind %q, and its report of %d bytes is JSON or not", run.ID, run.Kind, len(run.Report))
	case !slices.Equal(run.Columns, benchColumns()):
		return misuse("add benchmark: the columns are %v, the table has %v", run.Columns, benchColumns())
	case len(run.Rows) == 0:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the report has no results").WithHint("Measure something first: jeantrail-ai bench raw")
	}
	return s.write(ctx, "add benchmark", func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, insertBenchSQL, run.ID, string(run.Kind), millis(run.CreatedAt), string(run.Report))
		taken := jeantrail.Errorf(jeantrail.CodeConflict, "the benchmark %s is kept already", run.ID)
		if err := one(res, err, taken); err != nil {
			return err
		}
		insert := insertBenchResultSQL()
		for _, row := range run.Rows {
			if len(row) != len(run.Columns) {
				return misuse("add benchmark: a row has %d values for %d columns", len(row), len(run.Columns))
			}
			if _, err := tx.ExecContext(ctx, insert, row...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Benches lists benchmarks, newest first, at most 1000.
func (s *Store) Benches(ctx context.Context, f jeantrail.BenchFilter, limit int) ([]jeantrail.BenchSummary, error) {
	const op = "list benchmarks"
	if limit < 1 || limit > maxBenches {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "limit is %d, it must be between 1 and %d", limit, maxBenches)
	}
	if f.Kind != "" && !slices.Contains(jeantrail.BenchKinds(), f.Kind) {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "there is no benchmark of kind %.80q", f.Kind).WithHint("Use raw, batched, engine or http.")
	}
	rows, err := s.readers.QueryContext(ctx, benchesSQL, string(f.Kind), f.Model, leastSumDigits, limit)
	if err != nil {
		return nil, failedIn(ctx, op, err)
	}
	defer rows.Close()
	var found []jeantrail.BenchSummary
	for rows.Next() {
		var b jeantrail.BenchSummary
		var created int64
		var first float64
		err := rows.Scan(&b.ID, &b.Kind, &created, &b.Tests, &b.Model, &b.SHA256, &b.Quantization, &b.Backend, &b.Threads, &b.GPULayers,
			&b.CPU, &b.GPU, &b.Version, &b.URL, &b.Decode, &first)
		if err != nil {
			return nil, failedIn(ctx, op, err)
		}
		b.CreatedAt, b.FirstToken = time.UnixMilli(created).UTC(), time.Duration(first*float64(time.Millisecond))
		found = append(found, b)
	}
	return found, failedIn(ctx, op, rows.Err())
}

// Bench returns a benchmark by its id, or by a beginning that no other id has.
// One that several have is invalid, and names some; an unknown one is not_found,
// and names the newest that there are.
func (s *Store) Bench(ctx context.Context, id string) (*jeantrail.BenchRun, error) {
	var run *jeantrail.BenchRun
	err := s.read(ctx, "read benchmark", func(tx *sql.Tx) (err error) {
		run, err = findBench(ctx, tx, id)
		return err
	})
	return run, err
}

func findBench(ctx context.Context, tx *sql.Tx, id string) (*jeantrail.BenchRun, error) {
	if id == "" {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "a benchmark is named by its id, or by how that begins")
	}
	rows, err := tx.QueryContext(ctx, benchSQL, strings.ToLower(id))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []jeantrail.BenchRun
	var ids []string
	for rows.Next() {
		var run jeantrail.BenchRun
		var created int64
		if err := rows.Scan(&run.ID, &run.Kind, &created, &run.Report); err != nil {
			return nil, err
		}
		run.CreatedAt = time.UnixMilli(created).UTC()
		found, ids = append(found, run), append(ids, run.ID)
	}
	switch err := rows.Err(); {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, unknownBench(ctx, tx, id)
	case len(found) > 1 && found[0].ID != strings.ToLower(id):
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "%.80q is how the ids of several benchmarks begin", id).
			WithHint("Give more of it: %s.", strings.Join(ids, ", "))
	}
	return &found[0], nil
}

// unknownBench says that there is no such benchmark, and which there are.
func unknownBench(ctx context.Context, tx *sql.Tx, id string) error {
	unknown := jeantrail.Errorf(jeantrail.CodeNotFound, "there is no benchmark %.80q", id)
	rows, err := tx.QueryContext(ctx, newestBenchesSQL)
	if err != nil {
		return err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(ids) == 0 {
		return unknown.WithHint("None is kept yet. Measure one: jeantrail-ai bench raw")
	}
	return unknown.WithHint("The newest are %s. List them: jeantrail-ai bench list, or GET /bench.", strings.Join(ids, ", "))
}

// DeleteBench deletes a benchmark with its figures. The id is as for Bench.
func (s *Store) DeleteBench(ctx context.Context, id string) error {
	return s.write(ctx, "delete benchmark", func(ctx context.Context, tx *sql.Tx) error {
		run, err := findBench(ctx, tx, id)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM bench_runs WHERE id = ?", run.ID)
		return err
	})
}

// MeasuredSpeeds returns how fast models were last measured to generate one
// stream: for each file of a model the last measurement on each processor with the
// same threads and layers on a GPU, the newest first. Of one benchmark the test
// that generates most counts.
func (s *Store) MeasuredSpeeds(ctx context.Context) ([]jeantrail.MeasuredSpeed, error) {
	const op = "read measured speeds"
	rows, err := s.readers.QueryContext(ctx, speedsSQL)
	if err != nil {
		return nil, failedIn(ctx, op, err)
	}
	defer rows.Close()
	var speeds []jeantrail.MeasuredSpeed
	for rows.Next() {
		var m jeantrail.MeasuredSpeed
		var at int64
		err := rows.Scan(&m.RunID, &m.Kind, &at, &m.Model, &m.SHA256, &m.Bytes, &m.Parameters, &m.CPU, &m.Backend, &m.Threads, &m.GPULayers,
			&m.TokensPerSecond)
		if err != nil {
			return nil, failedIn(ctx, op, err)
		}
		m.MeasuredAt = time.UnixMilli(at).UTC()
		speeds = append(speeds, m)
	}
	return speeds, failedIn(ctx, op, rows.Err())
}
