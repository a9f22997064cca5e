package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// form is how the caller wants to be answered.
type form struct {
	stream bool
	// detached: the job lives on without its caller, who may get a 202.
	detached bool
	// wait is how long a detached caller waits for the result before the 202.
	wait time.Duration
	// applied are the preferences (RFC 7240) that were honoured.
	applied []string
}

// formOf reads the answer's form from body and headers. What the body asks for
// must be done or refused; Prefer is a wish that a stream overrides.
func formOf(r *http.Request, wanted *bool, async bool) (form, error) {
	stream := wanted != nil && *wanted || acceptsEvents(r)
	if stream && async {
		return form{}, jeantrail.Errorf(jeantrail.CodeInvalid, "a request is either streamed or async").
			WithHint("Send async alone, and read the events at links.events of the answer.")
	}
	if stream {
		return form{stream: true}, nil
	}
	f := form{detached: async}
	for _, line := range r.Header.Values("Prefer") {
		for preference := range strings.SplitSeq(line, ",") {
			f.prefer(strings.TrimSpace(preference))
		}
	}
	return f, nil
}

// maxWait keeps wait=N within a time.Duration; nobody waits a day.
const maxWait = 24 * time.Hour

// prefer honours one preference if it knows it and it is well formed.
func (f *form) prefer(preference string) {
	name, value, _ := strings.Cut(preference, "=")
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "respond-async":
		f.detached = true
		f.applied = append(f.applied, "respond-async")
	case "wait":
		n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 32)
		if err != nil {
			return
		}
		f.detached, f.wait = true, min(time.Duration(n)*time.Second, maxWait)
		f.applied = append(f.applied, "wait="+strconv.FormatUint(n, 10))
	}
}

// acceptsEvents reports whether the Accept header names Server-Sent Events.
func acceptsEvents(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept") {
		for accepted := range strings.SplitSeq(line, ",") {
			mediaType, _, _ := strings.Cut(accepted, ";")
			if strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream") {
				return true
			}
		}
	}
	return false
}

// order is a body that asks for a job.
type order interface {
	// wishes are how the body asks to be answered.
	wishes() (stream *bool, async bool)
	// request turns the body into the project's words. Files that it has are kept.
	request(u *upload) (jeantrail.Request, error)
}

// answerer answers for a job that has ended.
type answerer func(w http.ResponseWriter, r *http.Request, job *jeantrail.Job) error

// generate serves POST /generate in all its forms.
func (s *Server) generate(w http.ResponseWriter, r *http.Request) error {
	var body generateRequest
	if err := s.readJSONWithFiles(w, r, &body); err != nil {
		return err
	}
	return s.answer(w, r, &body, answerResult)
}

// answer has a job done and answers in the form that was asked for; done is how a
// caller is answered who waits for it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, body order, done answerer) error {
	stream, async := body.wishes()
	f, err := formOf(r, stream, async)
	if err != nil {
		return err
	}
	req, err := body.request(s.uploadFor(r.Context(), caller(r)))
	if err != nil {
		return err
	}
	req.Async = f.detached
	if len(f.applied) > 0 {
		w.Header().Set("Preference-Applied", strings.Join(f.applied, ", "))
	}
	job, err := s.submit(r.Context(), caller(r), req)
	if err != nil {
		return err
	}
	switch {
	case f.stream:
		return s.answerStream(w, r, job)
	case f.detached:
		return s.answerDetached(w, r, job, f.wait, async, done)
	default:
		return s.answerWhenDone(w, r, job, done)
	}
}

// submit hands a request to the road, unless the process is stopping.
func (s *Server) submit(ctx context.Context, p jeantrail.Principal, req jeantrail.Request) (*jeantrail.Job, error) {
	if s.stopping.Load() {
		return nil, jeantrail.Errorf(jeantrail.CodeShuttingDown, "the server is shutting down")
	}
	return s.opt.Road.Submit(ctx, p, req)
}

// answerWhenDone waits with the client, and lets the job go when it leaves.
func (s *Server) answerWhenDone(w http.ResponseWriter, r *http.Request, job *jeantrail.Job, answer answerer) error {
	defer s.opt.Road.Lease(job.ID)(0)
	done, err := s.opt.Road.Wait(r.Context(), job.ID)
	if err != nil {
		return &jobError{jobID: job.ID, err: err}
	}
	return answer(w, r, done)
}

// answerDetached waits up to wait for the result and else says where it will
// be. A caller that leaves before it could hear the job's id, without having
// asked for a job that outlives it, ends the job.
func (s *Server) answerDetached(w http.ResponseWriter, r *http.Request, job *jeantrail.Job, wait time.Duration, explicit bool, answer answerer) error {
	if wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		done, err := s.opt.Road.Wait(ctx, job.ID)
		switch {
		case err == nil:
			return answer(w, r, done)
		case r.Context().Err() != nil && !explicit:
			cancelErr := s.opt.Road.Cancel(context.WithoutCancel(r.Context()), caller(r), job.ID)
			return &jobError{jobID: job.ID, err: errors.Join(err, cancelErr)}
		case ctx.Err() == nil:
			return &jobError{jobID: job.ID, err: err}
		}
	}
	w.Header().Set("Location", linksOf(job.ID).Self)
	return writeJSON(w, http.StatusAccepted, &wireAccepted{JobID: job.ID, Status: string(job.State), Links: linksOf(job.ID)})
}

// answerResult answers a terminal job. A cancelled one is an answer too: what
// was produced until then, and what it cost.
func answerResult(w http.ResponseWriter, _ *http.Request, job *jeantrail.Job) error {
	switch {
	case (job.State == jeantrail.StateSucceeded || job.State == jeantrail.StateCancelled) && job.Result != nil:
		return writeJSON(w, http.StatusOK, resultOf(aboutOf(job), job.State, job.Result))
	case job.Err != nil:
		return &jobError{jobID: job.ID, err: job.Err}
	case job.State == jeantrail.StateCancelled:
		return &jobError{jobID: job.ID, err: jeantrail.Errorf(jeantrail.CodeCancelled, "the job was cancelled")}
	case job.State == jeantrail.StateInterrupted:
		return &jobError{jobID: job.ID, err: jeantrail.Errorf(jeantrail.CodeShuttingDown, "the job was interrupted by a stop of the server")}
	default:
		return &jobError{jobID: job.ID, err: errors.New("job ended as " + string(job.State) + " without a result or an error")}
	}
}

// answerStream sends the job's events from the first, and lets the job go when
// the client leaves.
func (s *Server) answerStream(w http.ResponseWriter, r *http.Request, job *jeantrail.Job) error {
	defer s.opt.Road.Lease(job.ID)(0)
	if err := s.streamEvents(w, r, job, 0); err != nil {
		return &jobError{jobID: job.ID, err: err}
	}
	return nil
}
