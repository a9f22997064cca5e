package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/jeantrail/jeantrail-ai"
)

// wireArtifact is a file that a job made, as a result and an event show it.
type wireArtifact struct {
	Index     int     `json:"index"`
	Kind      string  `json:"kind"`
	MediaType string  `json:"media_type"`
	Bytes     int64   `json:"bytes"`
	URL       string  `json:"url"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	Seed      *int64  `json:"seed"`
	Seconds   float64 `json:"duration_seconds"`
}

// about says in a few words what the file holds.
func (a *wireArtifact) about() string {
	var parts []string
	if a.Width > 0 {
		parts = append(parts, fmt.Sprintf("%dx%d", a.Width, a.Height))
	}
	if a.Seconds > 0 {
		parts = append(parts, fmt.Sprintf("%.1f s", a.Seconds))
	}
	if a.Seed != nil {
		parts = append(parts, fmt.Sprintf("seed %d", *a.Seed))
	}
	return strings.Join(parts, ", ")
}

func artifactPath(job string, index int) string {
	return fmt.Sprintf("/job/%s/artifact/%d", url.PathEscape(job), index)
}

// asking are the flags of every command that asks for a job with files.
type asking struct {
	model  string
	user   string
	async  bool
	output output
}

func (q *asking) flags(cmd *cobra.Command, model string) {
	f := cmd.Flags()
	if model != "" {
		f.StringVarP(&q.model, "model", "m", "", model)
	}
	f.StringVar(&q.user, "user", "", "whose request it is (default: the caller's)")
}

func (q *asking) outputFlags(cmd *cobra.Command, stem, usage string) {
	q.output.stem = stem
	cmd.Flags().StringVarP(&q.output.path, "output", "o", "", usage)
	cmd.Flags().BoolVar(&q.output.force, "force", false, "write over a file that is there")
}

func (q *asking) asyncFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&q.async, "async", false, "print the job's id and leave it to the running instance")
}

// into puts the flags that were given into a request.
func (q *asking) into(body map[string]any) {
	if q.model != "" {
		body["model"] = q.model
	}
	if q.user != "" {
		body["user_id"] = q.user
	}
}

// submit asks for a job that goes on without this command, and prints its id.
func (q *asking) submit(cmd *cobra.Command, o *options, s *Session, ask func() (json.RawMessage, error)) error {
	if s.own != nil {
		return errNoInstance()
	}
	raw, err := ask()
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(cmd.OutOrStdout(), raw)
	}
	var accepted struct {
		JobID string `json:"job_id"`
	}
	if err := json.Unmarshal(raw, &accepted); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), accepted.JobID)
	return err
}

// posting is what submit asks with for a body of JSON.
func posting(cmd *cobra.Command, s *Session, path string, body map[string]any) func() (json.RawMessage, error) {
	return func() (raw json.RawMessage, err error) {
		body["async"] = true
		err = s.send(cmd.Context(), http.MethodPost, path, body, &raw)
		return raw, err
	}
}

func errNoInstance() error {
	return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "--async needs an instance that lasts longer than this command").
		WithHint("Start one with: jeantrail-ai serve. Or leave --async out.")
}

// follower shows on a terminal how a job goes, and keeps what it gave.
type follower struct {
	err    io.Writer
	bar    *Progress
	answer wireAnswer
	raw    json.RawMessage // the result as it came
	notes  []string
}

func newFollower(cmd *cobra.Command, label string) *follower {
	return &follower{err: cmd.ErrOrStderr(), bar: newProgress(label, false)}
}

func (f *follower) event(e wireEvent) error {
	switch jeantrail.EventType(e.Type) {
	case jeantrail.EventProgress:
		f.bar.Set(e.Done, e.Total)
	case jeantrail.EventAlert:
		f.notes = append(f.notes, e.alert())
	}
	if !e.terminal() {
		return nil
	}
	f.bar.Done()
	return f.finish(e)
}

// finish keeps the result; a job that did not succeed is an error.
func (f *follower) finish(e wireEvent) error {
	if e.Error != nil {
		return e.Error.err()
	}
	if e.Result == nil {
		return jeantrail.Errorf(jeantrail.CodeInternal, "the job %s ended without a result", e.JobID)
	}
	f.answer = *e.Result
	var event struct {
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(e.Raw, &event); err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	f.raw = event.Result
	switch jeantrail.EventType(e.Type) {
	case jeantrail.EventCancelled:
		return jeantrail.Errorf(jeantrail.CodeCancelled, "the job %s was cancelled", e.JobID)
	case jeantrail.EventInterrupted:
		return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the job %s was interrupted", e.JobID)
	}
	return nil
}

// summary says, if somebody is looking, what the job took.
func (f *follower) summary(what ...string) {
	for _, note := range f.notes {
		fmt.Fprintln(f.err, "note:", note)
	}
	for _, rule := range f.answer.RulesSkipped {
		fmt.Fprintln(f.err, "note: a rule was not applied:", rule)
	}
	parts := []string{f.answer.Model}
	for _, w := range what {
		if w != "" {
			parts = append(parts, w)
		}
	}
	fmt.Fprintf(f.err, "[%s · $%s%s]\n", strings.Join(parts, " · "), f.answer.Cost.USD, f.answer.thanks())
}

// withFiles is the result as it came, and the files that were written.
func (f *follower) withFiles(paths []string) (map[string]any, error) {
	whole := make(map[string]any)
	d := json.NewDecoder(strings.NewReader(string(f.raw)))
	d.UseNumber()
	if err := d.Decode(&whole); err != nil {
		return nil, fmt.Errorf("read the result: %w", err)
	}
	whole["files"] = paths
	return whole, nil
}

// fetch writes an artifact of a job to a file.
func (s *Session) fetch(ctx context.Context, job string, index int, path string, force bool) (bytes int64, err error) {
	resp, err := s.do(ctx, http.MethodGet, artifactPath(job, index), nil, "*/*")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return keep(path, force, resp.Body)
}

// fetchAll writes every artifact of a job to its place and returns where that is.
func (q *asking) fetchAll(ctx context.Context, s *Session, a *wireAnswer) (paths []string, err error) {
	for i := range a.Artifacts {
		artifact := &a.Artifacts[i]
		path := q.output.name(a.JobID, artifact.Index, len(a.Artifacts), artifact.MediaType)
		if _, err := s.fetch(ctx, a.JobID, artifact.Index, path, q.output.force); err != nil {
			return paths, stillThere(err, a.JobID, artifact.Index)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// deliver writes every artifact of a job that ended, and says what there is.
func (q *asking) deliver(cmd *cobra.Command, o *options, s *Session, f *follower, what string) error {
	paths, err := q.fetchAll(cmd.Context(), s, &f.answer)
	if err != nil {
		return err
	}
	if o.json {
		whole, err := f.withFiles(paths)
		if err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), whole)
	}
	for i, path := range paths {
		fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", path, f.answer.Artifacts[i].about())
	}
	f.summary(what)
	return nil
}

// stillThere adds to an error that what was paid for is not lost.
func stillThere(err error, job string, index int) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, errInterrupted) {
		return err
	}
	hint := fmt.Sprintf("The file is kept: jeantrail-ai job artifact %s %d -o FILE", job, index)
	if e := (*jeantrail.Error)(nil); errors.As(err, &e) {
		if e.Hint != "" {
			hint = e.Hint + "\n" + hint
		}
		return e.WithHint("%s", hint)
	}
	return (&jeantrail.Error{Code: jeantrail.CodeInternal, Message: err.Error(), Err: err}).WithHint("%s", hint)
}

// isTerminal reports whether what is written there is seen by a person.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
