package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// The page sizes of Jobs.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// The last five columns are what can be megabytes long.
const jobColumns = `SELECT j.id, j.kind, j.user_id, j.key_id, j.state, j.model, j.requested_model, j.priority, j.async,
	j.price_model, j.price_prompt_token_micros, j.price_cached_token_micros, j.price_completion_token_micros,
	j.price_image_micros, v.audio_in_second_micros, v.audio_out_second_micros, v.workflow, v.micros,
	j.created_at, j.started_at, j.finished_at, j.error_code, j.error,
	(SELECT coalesce(max(e.seq), 0) FROM ai_job_events AS e WHERE e.job_id = j.id),
	r.job_id IS NOT NULL, coalesce(r.model, ''), coalesce(r.finish_reason, ''), coalesce(r.truncated, 0),
	coalesce(r.prompt_tokens, 0), coalesce(r.cached_tokens, 0), coalesce(r.completion_tokens, 0), coalesce(r.reasoning_tokens, 0),
	coalesce(r.queue_us, 0), coalesce(r.prompt_us, 0), coalesce(r.first_token_us, 0), coalesce(r.total_us, 0),
	coalesce(r.cached_from, ''), coalesce(r.tokens_per_second, 0.0), coalesce(r.device, ''), coalesce(r.layers_offloaded, 0), coalesce(r.n_ctx, 0),
	coalesce(r.fallback_reason, ''), coalesce(r.cache, ''), coalesce(r.rules_applied, '[]'), coalesce(c.amount_micros, 0),
	coalesce(c.images, 0), coalesce(c.audio_in_ms, 0), coalesce(c.audio_out_ms, 0), coalesce(c.rules_skipped, '[]'),
	c.energy_mj, coalesce(c.energy_source, ''), coalesce(c.energy_micros, 0), v.parent, v.stage,
	(SELECT json_group_array(json(one)) FROM (SELECT json_object('index', idx, 'kind', kind, 'media_type', media_type,
		'bytes', bytes, 'sha256', sha256, 'width', width, 'height', height, 'seed', seed, 'duration_ms', duration_ms) AS one
		FROM ai_artifacts WHERE job_id = j.id ORDER BY idx))`

const jobTables = `
FROM ai_jobs AS j
JOIN ai_reservations AS v ON v.job_id = j.id
LEFT JOIN ai_results AS r ON r.job_id = j.id
LEFT JOIN ai_costs AS c ON c.job_id = j.id `

const (
	wholeJob = jobColumns + `, j.request, coalesce(r.text, ''), coalesce(r.reasoning, ''),
		coalesce(r.transcript, ''), coalesce(r.pipeline, '')` + jobTables
	listedJob = jobColumns + `, '', '', '', '', ''` + jobTables

	jobSQL        = wholeJob + `WHERE j.id = ?`
	unfinishedSQL = wholeJob + `WHERE j.finished_at IS NULL ORDER BY j.created_at, j.id`
)

// Job returns a job with its request and result, or not_found.
func (s *Store) Job(ctx context.Context, id string) (*jeantrail.Job, error) {
	job, err := scanJob(s.stmt.job.QueryRowContext(ctx, id))
	if err == sql.ErrNoRows {
		return nil, unknownJob(id)
	}
	if err != nil {
		return nil, failedIn(ctx, "read job", err)
	}
	return job, nil
}

// Unfinished returns every job that is queued or running, oldest first, with
// its request.
func (s *Store) Unfinished(ctx context.Context) ([]jeantrail.Job, error) {
	rows, err := s.stmt.unfinished.QueryContext(ctx)
	if err != nil {
		return nil, failedIn(ctx, "read unfinished jobs", err)
	}
	jobs, err := scanJobs(rows)
	return jobs, failedIn(ctx, "read unfinished jobs", err)
}

// Jobs returns one page of the jobs that the filter selects, newest first. They
// come without the parts of the request, and without the text, reasoning,
// transcript and pipeline of the result, which may be megabytes each; Job has them. Request carries only what the job's own
// columns say. A page that follows a cursor neither repeats nor skips a job,
// also when new ones were admitted in between.
func (s *Store) Jobs(ctx context.Context, f jeantrail.JobFilter) (jeantrail.JobPage, error) {
	const op = "list jobs"
	limit := f.Limit
	if limit == 0 {
		limit = DefaultPage
	}
	if limit < 0 || limit > MaxPage {
		return jeantrail.JobPage{}, jeantrail.Errorf(jeantrail.CodeInvalid, "list jobs: limit is %d, it must be between 1 and %d", limit, MaxPage)
	}
	where, args, err := conditions(f)
	if err != nil {
		return jeantrail.JobPage{}, err
	}
	// One more than asked for tells whether there is a next page.
	query := listedJob + where + ` ORDER BY j.created_at DESC, j.id DESC LIMIT ` + strconv.Itoa(limit+1)
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return jeantrail.JobPage{}, failedIn(ctx, op, err)
	}
	jobs, err := scanJobs(rows)
	if err != nil {
		return jeantrail.JobPage{}, failedIn(ctx, op, err)
	}
	page := jeantrail.JobPage{Jobs: jobs}
	if len(jobs) > limit {
		page.Jobs = jobs[:limit]
		page.Next = cursorOf(&page.Jobs[limit-1])
	}
	return page, nil
}

// conditions spells out only what restricts, so that each shape of filter gets
// the index it needs.
func conditions(f jeantrail.JobFilter) (where string, args []any, err error) {
	var parts []string
	add := func(part string, values ...any) {
		parts, args = append(parts, part), append(args, values...)
	}
	if f.State != "" && !f.State.Valid() {
		return "", nil, jeantrail.Errorf(jeantrail.CodeInvalid, "list jobs: state %q is not known", f.State)
	}
	if f.Kind != "" && !f.Kind.Known() {
		return "", nil, jeantrail.Errorf(jeantrail.CodeInvalid, "list jobs: kind %q is not known", f.Kind)
	}
	if f.UserID != "" {
		add("j.user_id = ?", f.UserID)
	}
	if f.State != "" {
		add("j.state = ?", string(f.State))
	}
	if f.Kind != "" {
		add("j.kind = ?", string(f.Kind))
	}
	if f.Model != "" {
		add("j.model = ?", f.Model)
	}
	if f.Parent != "" {
		add("v.parent = ?", f.Parent)
	}
	if f.Workflow != "" {
		add("v.workflow = ?", f.Workflow)
	}
	if !f.From.IsZero() {
		add("j.created_at >= ?", millis(f.From))
	}
	if !f.To.IsZero() {
		add("j.created_at < ?", millis(f.To))
	}
	if f.Cursor != "" {
		at, id, err := parseCursor(f.Cursor)
		if err != nil {
			return "", nil, err
		}
		add("(j.created_at, j.id) < (?, ?)", at, id)
	}
	if len(parts) == 0 {
		return "", nil, nil
	}
	return "WHERE " + strings.Join(parts, " AND "), args, nil
}

// cursorOf names the place after a job in the order of the listing.
func cursorOf(job *jeantrail.Job) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(millis(job.CreatedAt), 10) + "/" + job.ID))
}

func parseCursor(cursor string) (at int64, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		var instant string
		instant, id, _ = strings.Cut(string(b), "/")
		at, err = strconv.ParseInt(instant, 10, 64)
	}
	if err != nil || id == "" {
		return 0, "", jeantrail.Errorf(jeantrail.CodeInvalid, "list jobs: the cursor is not one of a page").
			WithHint("Send the cursor of the previous page as it came, or none for the first page.")
	}
	return at, id, nil
}

func scanJobs(rows *sql.Rows) ([]jeantrail.Job, error) {
	defer rows.Close()
	var jobs []jeantrail.Job
	for rows.Next() {
		job, err := scanJob(rows)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, *job)
	}
	return jobs, rows.Err()
}

// row is a *sql.Row or *sql.Rows.
type row interface{ Scan(dst ...any) error }

func scanJob(from row) (*jeantrail.Job, error) {
	var (
		job                              jeantrail.Job
		r                                jeantrail.Result
		created                          int64
		started, finished                sql.Null[int64]
		code, rules, skipped, request    string
		workflow, parent, stage          string
		artifacts, transcript, pipeline  string
		audioIn, audioOut                int64
		energy                           sql.Null[int64]
		errorBody                        sql.Null[string]
		hasResult                        bool
		queue, prompt, firstToken, total int64
		p, u, e                          = &job.Price, &r.Usage, &r.Engine
	)
	err := from.Scan(&job.ID, &job.Kind, &job.UserID, &job.KeyID, &job.State, &job.Model, &job.RequestedModel, &job.Priority, &job.Async,
		&p.Model, &p.PromptToken, &p.CachedToken, &p.CompletionToken, &p.Image,
		&p.AudioInSecond, &p.AudioOutSecond, &workflow, &job.Reserved,
		&created, &started, &finished, &code, &errorBody, &job.LastSeq,
		&hasResult, &r.Model, &r.FinishReason, &r.Truncated,
		&u.PromptTokens, &u.CachedTokens, &u.CompletionTokens, &u.ReasoningTokens,
		&queue, &prompt, &firstToken, &total,
		&r.Timings.CachedFrom, &r.Timings.TokensPerSecond, &e.Device, &e.LayersOffloaded, &e.NCtx,
		&e.FallbackReason, &r.Cache, &rules, &r.Cost.Amount,
		&u.Images, &audioIn, &audioOut, &skipped, &energy, &r.Energy.Source, &r.Energy.Price, &parent, &stage, &artifacts,
		&request, &r.Text, &r.Reasoning, &transcript, &pipeline)
	if err != nil {
		return nil, err
	}
	job.CreatedAt = time.UnixMilli(created).UTC()
	job.StartedAt, job.FinishedAt = instant(started), instant(finished)
	if job.Request, err = requestOf(&job, request); err != nil {
		return nil, err
	}
	job.Request.Workflow, job.Request.Parent, job.Request.Stage = workflow, parent, stage
	if errorBody.Valid {
		var body errorRow
		if err := json.Unmarshal([]byte(errorBody.V), &body); err != nil {
			return nil, err
		}
		job.Err = body.error(code)
	}
	if !hasResult {
		return &job, nil
	}
	if r.RulesApplied, err = decodeNames(rules); err != nil {
		return nil, err
	}
	if r.RulesSkipped, err = decodeNames(skipped); err != nil {
		return nil, err
	}
	if err := fillParts(&r, transcript, pipeline, artifacts); err != nil {
		return nil, err
	}
	u.AudioIn, u.AudioOut = time.Duration(audioIn)*time.Millisecond, time.Duration(audioOut)*time.Millisecond
	r.Energy = energyOf(r.Energy, energy)
	r.Timings.Queue, r.Timings.Prompt = micros(queue), micros(prompt)
	r.Timings.FirstToken, r.Timings.Total = micros(firstToken), micros(total)
	r.Cost.Reserved = job.Reserved
	job.Result = &r
	return &job, nil
}

// decodeNames reads a JSON array of strings; an empty one is nil.
func decodeNames(stored string) ([]string, error) {
	if stored == "[]" {
		return nil, nil
	}
	var names []string
	err := json.Unmarshal([]byte(stored), &names)
	return names, err
}

// energyOf reads what was measured; without a figure the stored source is why
// there is none.
func energyOf(e jeantrail.Energy, millijoule sql.Null[int64]) jeantrail.Energy {
	if !millijoule.Valid {
		return jeantrail.Energy{Reason: e.Source}
	}
	e.Measured, e.Millijoule = true, millijoule.V
	return e
}

// requestOf reads the stored request, or makes the short one of a listing.
func requestOf(job *jeantrail.Job, stored string) (jeantrail.Request, error) {
	if stored == "" {
		return jeantrail.Request{Kind: job.Kind, UserID: job.UserID, Model: job.RequestedModel, Priority: job.Priority, Async: job.Async}, nil
	}
	var body requestRow
	if err := json.Unmarshal([]byte(stored), &body); err != nil {
		return jeantrail.Request{}, err
	}
	return body.request()
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
