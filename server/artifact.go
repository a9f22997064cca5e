package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// artifact finds a file that a job made, in its result, or in its log while it
// has none.
func (s *Server) artifact(ctx context.Context, p jeantrail.Principal, jobID string, index int) (*jeantrail.Artifact, error) {
	job, err := s.opt.Road.Job(ctx, p, jobID)
	if err != nil {
		return nil, err
	}
	if job.Result != nil {
		for i := range job.Result.Artifacts {
			if job.Result.Artifacts[i].Index == index {
				return &job.Result.Artifacts[i], nil
			}
		}
	}
	if job.Kind != jeantrail.KindText { // whose log is long and has none
		a, err := s.loggedArtifact(ctx, p, job, index)
		if a != nil || err != nil {
			return a, err
		}
	}
	return nil, &jobError{jobID: jobID, err: jeantrail.Errorf(jeantrail.CodeNotFound, "the job has no file %d", index).
		WithHint("GET /job/%s lists the files that it made.", jobID)}
}

// loggedArtifact looks through what is stored of a job's log.
func (s *Server) loggedArtifact(ctx context.Context, p jeantrail.Principal, job *jeantrail.Job, index int) (*jeantrail.Artifact, error) {
	reader, err := s.opt.Road.Follow(ctx, p, job.ID, 0)
	if err != nil {
		return nil, err
	}
	for {
		event, err := reader.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil:
			return nil, err
		case event.Artifact != nil && event.Artifact.Index == index:
			return event.Artifact, nil
		case event.Seq >= job.LastSeq:
			return nil, nil // what comes now would have to be waited for
		}
	}
}

// getArtifact serves GET /job/{id}/artifact/{n}: the file's bytes, or a part.
func (s *Server) getArtifact(w http.ResponseWriter, r *http.Request) error {
	id, n := r.PathValue("id"), r.PathValue("n")
	index, err := strconv.ParseUint(n, 10, 31)
	if err != nil || n != strconv.FormatUint(index, 10) {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "%q is not the number of a file", n).WithHint("They count from 0.")
	}
	a, err := s.artifact(r.Context(), caller(r), id, int(index))
	if err != nil {
		return err
	}
	return s.serveFile(w, r, id, a)
}

// serveFile streams a file of a job, with conditions and ranges.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request, jobID string, a *jeantrail.Artifact) error {
	content, err := s.opt.Files.Open(a.File)
	if err != nil {
		return &jobError{jobID: jobID, err: err}
	}
	defer content.Close()
	mediaType, _, _ := strings.Cut(a.MediaType, ";")
	ending, inline := fileEnding(mediaType)
	switch {
	case ending == "bin":
		mediaType = "application/octet-stream" // a page of somebody else's must not run here
	case strings.HasPrefix(mediaType, "text/"):
		mediaType += "; charset=utf-8"
	}
	disposition := "attachment"
	if inline {
		disposition = "inline"
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("ETag", `"`+a.SHA256+`"`)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Content-Disposition", fmt.Sprintf(`%s; filename="%s-%s-%d.%s"`, disposition, a.Kind, shortID(jobID), a.Index, ending))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	setJobHeaders(h, jobID)
	if r.Method == http.MethodPost {
		r = unconditional(r)
	}
	http.ServeContent(&fileWriter{ResponseWriter: w, rc: http.NewResponseController(w)}, r, "", time.Time{}, content)
	return nil
}

// unconditional is a request without what only a GET may ask for.
func unconditional(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		r.Header.Del(name)
	}
	return r
}

// setJobHeaders tells which job an answer is of that has no body for it.
func setJobHeaders(h http.Header, jobID string) {
	h.Set("X-Job-Id", jobID)
	h.Set("Link", "<"+linksOf(jobID).Self+`>; rel="describedby"`)
}

// shortID is the end of a job's id, the random part of it, as far as it can be
// part of a file's name.
func shortID(id string) string {
	safe := strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' {
			return c
		}
		return -1
	}, id)
	return safe[max(0, len(safe)-8):]
}

// fileWriter gives each piece of a file the time of one event: a client that does
// not read is not waited for. A range that the file does not have is answered as
// a problem, as everything else is.
type fileWriter struct {
	http.ResponseWriter
	rc      *http.ResponseController
	refused bool
}

func (f *fileWriter) WriteHeader(status int) {
	if status != http.StatusRequestedRangeNotSatisfiable {
		f.ResponseWriter.WriteHeader(status)
		return
	}
	f.refused = true
	h := f.Header()
	for _, name := range []string{"ETag", "Content-Disposition", "Content-Security-Policy"} {
		h.Del(name)
	}
	writeProblem(f.ResponseWriter, jeantrail.Errorf(jeantrail.CodeInvalid, "the file does not have the range that was asked for").
		WithHint("Content-Range tells how long it is."), status)
}

func (f *fileWriter) Write(p []byte) (int, error) {
	if f.refused {
		return len(p), nil // the words of net/http
	}
	_ = f.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	return f.ResponseWriter.Write(p)
}
