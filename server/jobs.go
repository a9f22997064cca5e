package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// The sizes of pages.
const (
	defaultPage = 50
	maxPage     = 500
	eventsPage  = 1000
)

// getJob serves GET /job/{id}.
func (s *Server) getJob(w http.ResponseWriter, r *http.Request) error {
	job, err := s.opt.Road.Job(r.Context(), caller(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, jobDetail(job))
}

// cancelJob serves DELETE /job/{id}: 200 with the job if it is over, 202 if it
// was asked to stop and has not yet.
func (s *Server) cancelJob(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := s.opt.Road.Cancel(r.Context(), caller(r), id); err != nil {
		return err
	}
	job, err := s.opt.Road.Job(r.Context(), caller(r), id)
	if err != nil {
		return err
	}
	status := http.StatusAccepted
	if job.State.Terminal() {
		status = http.StatusOK
	}
	return writeJSON(w, status, jobDetail(job))
}

// wireJobs is a page of a listing.
type wireJobs struct {
	Jobs []*wireJob `json:"jobs" nullable:"false"`
	Next string     `json:"next" doc:"The cursor of the next page; empty on the last."`
}

// listJobs serves GET /jobs, newest first.
func (s *Server) listJobs(w http.ResponseWriter, r *http.Request) error {
	query, err := readQuery(r, "user_id", "status", "kind", "model", "workflow", "parent", "from", "to", "limit", "cursor")
	if err != nil {
		return err
	}
	filter, err := jobFilter(query)
	if err != nil {
		return err
	}
	page, err := s.opt.Road.Jobs(r.Context(), caller(r), filter)
	if err != nil {
		return err
	}
	out := wireJobs{Jobs: make([]*wireJob, 0, len(page.Jobs)), Next: page.Next}
	for i := range page.Jobs {
		out.Jobs = append(out.Jobs, jobSummary(&page.Jobs[i]))
	}
	return writeJSON(w, http.StatusOK, &out)
}

func jobFilter(query url.Values) (jeantrail.JobFilter, error) {
	f := jeantrail.JobFilter{
		UserID: query.Get("user_id"), Model: query.Get("model"), Cursor: query.Get("cursor"),
		State: jeantrail.State(query.Get("status")), Workflow: query.Get("workflow"), Parent: query.Get("parent"),
	}
	if f.State != "" && !f.State.Valid() {
		return f, jeantrail.Errorf(jeantrail.CodeInvalid, "status %q is not known", f.State).
			WithHint("Use queued, running, succeeded, failed, cancelled or interrupted.")
	}
	var err error
	if f.Kind, err = queryKind(query); err != nil {
		return f, err
	}
	if f.Limit, err = queryLimit(query); err != nil {
		return f, err
	}
	if f.From, err = queryTime(query, "from"); err != nil {
		return f, err
	}
	f.To, err = queryTime(query, "to")
	return f, err
}

func queryKind(query url.Values) (jeantrail.Kind, error) {
	k := jeantrail.Kind(query.Get("kind"))
	if k != "" && !k.Known() {
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "kind %q is not known", k).
			WithHint("Use text, image, transcribe, speak or pipeline.")
	}
	return k, nil
}

func queryLimit(query url.Values) (int, error) {
	limit := query.Get("limit")
	if limit == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(limit)
	if err != nil || n < 1 || n > maxPage {
		return 0, jeantrail.Errorf(jeantrail.CodeInvalid, "limit is %q, it must be a number from 1 to %d", limit, maxPage)
	}
	return n, nil
}

// queryTime reads a time or a day, which begins at midnight UTC.
func queryTime(query url.Values, name string) (time.Time, error) {
	value := query.Get(name)
	if value == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, value); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, jeantrail.Errorf(jeantrail.CodeInvalid, "%s is %q, which is not a time", name, value).
		WithHint("Use RFC 3339, for example 2006-01-02T15:04:05Z, or a day, 2006-01-02.")
}

// wireEvents is a page of a job's log.
type wireEvents struct {
	Events []*wireEvent `json:"events" nullable:"false"`
	Next   int64        `json:"next" doc:"What to send as after for the events that follow."`
}

// jobEvents serves GET /job/{id}/events, as a stream or as what is stored.
func (s *Server) jobEvents(w http.ResponseWriter, r *http.Request) error {
	after, err := resumePoint(r)
	if err != nil {
		return err
	}
	job, err := s.opt.Road.Job(r.Context(), caller(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	if !acceptsEvents(r) {
		return s.answerEvents(w, r, job, after)
	}
	if job.State.Terminal() && after >= job.LastSeq {
		// There is nothing to come; 204 is what stops an EventSource from
		// connecting again for ever.
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	// Who watches a job wants it: a reader that comes back to one that was
	// started on a socket keeps it alive.
	defer s.opt.Road.Lease(job.ID)(s.opt.ResumeWindow)
	return s.streamEvents(w, r, job, after)
}

// resumePoint returns the number of the last event that the client has. The
// header wins: a browser that reconnects sends it with the first URL.
func resumePoint(r *http.Request) (int64, error) {
	query, err := readQuery(r, "after")
	if err != nil {
		return 0, err
	}
	name, value := "Last-Event-ID", r.Header.Get("Last-Event-ID")
	if value == "" {
		name, value = "after", query.Get("after")
	}
	if value == "" {
		return 0, nil
	}
	after, err := strconv.ParseInt(value, 10, 64)
	if err != nil || after < 0 {
		return 0, jeantrail.Errorf(jeantrail.CodeInvalid, "%s is %q, it must be the seq of an event, or 0", name, value)
	}
	return after, nil
}

// answerEvents sends the stored events after a point, at most a page of them,
// and waits for none.
func (s *Server) answerEvents(w http.ResponseWriter, r *http.Request, job *jeantrail.Job, after int64) error {
	out := wireEvents{Events: []*wireEvent{}, Next: after}
	if after < job.LastSeq {
		if err := s.collectEvents(r.Context(), caller(r), job, &out); err != nil {
			return err
		}
	}
	return writeJSON(w, http.StatusOK, &out)
}

func (s *Server) collectEvents(ctx context.Context, p jeantrail.Principal, job *jeantrail.Job, out *wireEvents) error {
	reader, err := s.opt.Road.Follow(ctx, p, job.ID, out.Next)
	if err != nil {
		return err
	}
	for out.Next < job.LastSeq && len(out.Events) < eventsPage {
		event, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if event.Partial {
			continue // all that is asked for is stored
		}
		out.Events = append(out.Events, eventOf(&event, aboutOf(job)))
		out.Next = event.Seq
	}
	return nil
}
