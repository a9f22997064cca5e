package server

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// codeRow is what a code is in HTTP.
type codeRow struct {
	status int
	title  string
	retry  time.Duration // the default of Retry-After; zero sends none
}

// statusClientClosed is what proxies log for a caller that went away; it is
// sent for a job that was cancelled, which is nobody's fault.
const statusClientClosed = 499

// codeTable is the only place where a code becomes a status.
func codeTable() map[jeantrail.Code]codeRow {
	return map[jeantrail.Code]codeRow{
		jeantrail.CodeInvalid:           {http.StatusBadRequest, "The request is not valid", 0},
		jeantrail.CodeContextLength:     {http.StatusBadRequest, "The request does not fit the model's context", 0},
		jeantrail.CodeUnauthorized:      {http.StatusUnauthorized, "A token is needed", 0},
		jeantrail.CodeBudgetExceeded:    {http.StatusPaymentRequired, "A budget has no room for this", 0},
		jeantrail.CodeForbidden:         {http.StatusForbidden, "Not allowed", 0},
		jeantrail.CodeOriginDenied:      {http.StatusForbidden, "The caller's host or origin is not allowed", 0},
		jeantrail.CodeNotFound:          {http.StatusNotFound, "Not found", 0},
		jeantrail.CodeConflict:          {http.StatusConflict, "Not possible in the present state", 0},
		jeantrail.CodeTooLarge:          {http.StatusRequestEntityTooLarge, "The request is too large", 0},
		jeantrail.CodeUnsupportedMedia:  {http.StatusUnsupportedMediaType, "The content type is not supported", 0},
		jeantrail.CodeUnsupported:       {http.StatusUnprocessableEntity, "Not supported", 0},
		jeantrail.CodeRateLimited:       {http.StatusTooManyRequests, "Too many requests", time.Second},
		jeantrail.CodeCancelled:         {statusClientClosed, "Cancelled", 0},
		jeantrail.CodeQueueFull:         {http.StatusServiceUnavailable, "The queue is full", time.Second},
		jeantrail.CodeModelLoading:      {http.StatusServiceUnavailable, "The model is loading", 2 * time.Second},
		jeantrail.CodeWorkerUnavailable: {http.StatusServiceUnavailable, "The worker does not answer", 5 * time.Second},
		jeantrail.CodeSlowReader:        {statusClientClosed, "The stream was not read fast enough", 0},
		jeantrail.CodeShuttingDown:      {http.StatusServiceUnavailable, "Shutting down", 5 * time.Second},
		jeantrail.CodeAlreadyRunning:    {http.StatusConflict, "Already running", 0},
		jeantrail.CodeDeadline:          {http.StatusGatewayTimeout, "A time limit passed", 0},
		jeantrail.CodeStorageFull:       {http.StatusInsufficientStorage, "No room left on the disk", 0},
		jeantrail.CodeInternal:          {http.StatusInternalServerError, "Internal error", 0},
	}
}

// rowOf returns a code's row; a code without one is a defect and shows as such.
func rowOf(code jeantrail.Code) codeRow {
	table := codeTable()
	if row, ok := table[code]; ok {
		return row
	}
	return table[jeantrail.CodeInternal]
}

// problem is an error on the wire: RFC 9457, with the code, the hint, the job,
// the figures and the names as extension members. WebSocket messages and events carry the
// same object.
type problem struct {
	Type       string `json:"type" doc:"URN of the kind of problem"`
	Title      string `json:"title" doc:"The kind of problem, for a person"`
	Status     int    `json:"status" doc:"HTTP status"`
	Code       string `json:"code" doc:"The kind of problem, for a program"`
	Detail     string `json:"detail" doc:"What happened"`
	Hint       string `json:"hint,omitempty" doc:"What to do about it"`
	JobID      string `json:"job_id,omitempty" format:"uuid"`
	RetryAfter int64  `json:"retry_after_seconds,omitempty" doc:"When to try again"`

	numbers map[string]int64
	names   map[string]string
	_       struct{} `additionalProperties:"true"`
}

// newProblem turns any error into what may be shown of it.
func newProblem(err error, jobID string) *problem {
	e := jeantrail.AsError(err)
	row := rowOf(e.Code)
	p := &problem{
		Type: "urn:jeantrail:problem:" + string(e.Code), Title: row.title, Status: row.status,
		Code: string(e.Code), Detail: shown(e), Hint: e.Hint, JobID: jobID, numbers: e.Numbers, names: e.Names,
	}
	retry := e.RetryAfter
	if retry <= 0 {
		retry = row.retry
	}
	p.RetryAfter = int64(math.Ceil(retry.Seconds()))
	return p
}

// shown returns an error's message; that of an internal one stays in the log.
func shown(e *jeantrail.Error) string {
	if e.Code == jeantrail.CodeInternal {
		return "internal error"
	}
	return e.Message
}

// MarshalJSON flattens the figures and names into the object, as RFC 9457 has
// extension members; a member of the standard is never replaced.
func (p *problem) MarshalJSON() ([]byte, error) {
	type plain problem
	base, err := json.Marshal((*plain)(p))
	if err != nil || len(p.numbers)+len(p.names) == 0 {
		return base, err
	}
	var taken map[string]json.RawMessage
	if err := json.Unmarshal(base, &taken); err != nil {
		return nil, err
	}
	extra := make(map[string]any, len(p.numbers)+len(p.names))
	for name, value := range p.numbers {
		extra[name] = value
	}
	for name, value := range p.names {
		extra[name] = value
	}
	maps.DeleteFunc(extra, func(name string, _ any) bool { return taken[name] != nil })
	if len(extra) == 0 {
		return base, nil
	}
	more, err := json.Marshal(extra)
	if err != nil {
		return nil, err
	}
	return append(append(base[:len(base)-1], ','), more[1:]...), nil
}

// jobError carries the job that an error is about.
type jobError struct {
	jobID string
	err   error
}

func (e *jobError) Error() string { return e.err.Error() }
func (e *jobError) Unwrap() error { return e.err }

func jobIDOf(err error) string {
	var je *jobError
	if errors.As(err, &je) {
		return je.jobID
	}
	return ""
}

// writeProblem is the only writer of errors. status overrides the table where
// HTTP has a status of its own for the case (405); zero does not.
func writeProblem(w http.ResponseWriter, err error, status int) {
	p := newProblem(err, jobIDOf(err))
	if status != 0 {
		p.Status, p.Title = status, http.StatusText(status)
	}
	h := w.Header()
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(p.RetryAfter, 10))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="jeantrail-ai"`)
	}
	writeBody(w, p.Status, "application/problem+json", p)
}

// writeJSON answers with a JSON object.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	writeBody(w, status, "application/json", v)
	return nil
}

// writeBody encodes before it writes the status, so that a value that cannot be
// encoded is an error and not half an answer. Failing to write means that the
// client has gone, which its context tells the handler.
func writeBody(w http.ResponseWriter, status int, mediaType string, v any) {
	body, err := encodeJSON(v)
	if err != nil {
		status, mediaType = http.StatusInternalServerError, "application/problem+json"
		body, _ = encodeJSON(newProblem(err, ""))
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout(len(body))))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// answerTimeout gives a whole answer the time of one event, and more for a long
// one: at least 64 KiB/s.
func answerTimeout(n int) time.Duration {
	return writeTimeout + time.Duration(n/(64<<10))*time.Second
}

// writeText answers with a text as it is.
func writeText(w http.ResponseWriter, mediaType, text string) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Cache-Control", "no-store")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout(len(text))))
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, text)
}
