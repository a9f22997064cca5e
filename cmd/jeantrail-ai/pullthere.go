package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"github.com/tmaxmax/go-sse"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub"
)

// wirePull is a pull as /models/pulls shows it and its events carry it.
type wirePull struct {
	ID             string `json:"pull_id"`
	Source         string `json:"source"`
	Model          string `json:"model"`
	Status         string `json:"status"`
	File           string `json:"file"`
	Done           int64  `json:"done_bytes"`
	Total          int64  `json:"total_bytes"`
	BytesPerSecond int64  `json:"bytes_per_second"`
	SecondsLeft    int64  `json:"seconds_left"`
	Note           string `json:"note"`
	SHA256         string `json:"sha256"`
	Files          []struct {
		Path      string `json:"path"`
		Bytes     int64  `json:"bytes"`
		SHA256    string `json:"sha256"`
		Projector bool   `json:"projector"`
	} `json:"files"`
	Fetched   int64    `json:"fetched_bytes"`
	Revision  string   `json:"revision"`
	StartedAt string   `json:"started_at"`
	EndedAt   string   `json:"ended_at"`
	Error     *problem `json:"error"`
}

func (p *wirePull) terminal() bool { return jeantrail.PullStatus(p.Status).Terminal() }

// event says it in the words of the hub's client. A note is told once.
func (p *wirePull) event(told string) hub.Event {
	e := hub.Event{
		Phase: hub.Phase(p.Status), File: p.File, Done: p.Done, Total: p.Total,
		BytesPerSecond: p.BytesPerSecond, Left: time.Duration(p.SecondsLeft) * time.Second,
	}
	if p.Note != told {
		e.Note = p.Note
	}
	return e
}

// result is what a pull that is done brought.
func (p *wirePull) result() hub.Result {
	r := hub.Result{Name: p.Model, Source: p.Source, SHA256: p.SHA256, Commit: p.Revision, Fetched: p.Fetched}
	for _, f := range p.Files {
		file := hub.File{Path: f.Path, Bytes: f.Bytes, SHA256: f.SHA256}
		if f.Projector {
			r.Projector = &file
		} else {
			r.Files = append(r.Files, file)
		}
	}
	return r
}

// pullThere has an instance pull, and watches. The pull goes on when the watching
// ends, by Ctrl-C or with the instance.
func pullThere(ctx context.Context, c *Client, wanted jeantrail.PullRequest, show *pullProgress) (hub.Result, error) {
	body := map[string]any{"name": wanted.Source}
	if scheme, _, _ := strings.Cut(wanted.Source, "://"); strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https") {
		body = map[string]any{"url": wanted.Source}
	}
	for field, value := range map[string]string{"as": wanted.Name, "sha256": wanted.SHA256, "mmproj": wanted.MMProj} {
		if value != "" {
			body[field] = value
		}
	}
	last, err := c.watchPull(ctx, http.MethodPost, "/models/pull", body, show)
	show.end()
	switch {
	case ctx.Err() != nil && last.ID != "":
		return hub.Result{}, fmt.Errorf("%w\nthe instance goes on with the pull; see how far it is: jeantrail-ai model pulls; stop it: jeantrail-ai model pull --cancel %s",
			context.Cause(ctx), last.ID)
	case err != nil:
		return hub.Result{}, err
	}
	switch jeantrail.PullStatus(last.Status) {
	case jeantrail.PullDone:
		return last.result(), nil
	case jeantrail.PullFailed:
		return hub.Result{}, cmp.Or(last.Error, &problem{Code: string(jeantrail.CodeInternal), Title: "the pull failed"}).err()
	}
	return hub.Result{}, jeantrail.Errorf(jeantrail.CodeCancelled, "the pull %s was cancelled", last.ID).
		WithHint("What came is kept: the same pull goes on from there.")
}

// watchPull sends a request that is answered with the events of a pull, shows
// them, and returns the last state that came.
func (c *Client) watchPull(ctx context.Context, method, path string, body any, show *pullProgress) (last wirePull, err error) {
	resp, err := c.do(ctx, method, path, body, "text/event-stream")
	if err != nil {
		return last, err
	}
	defer resp.Body.Close()
	for ev, err := range sse.Read(resp.Body, &sse.ReadConfig{MaxEventSize: 1 << 20}) {
		if ctx.Err() != nil {
			return last, context.Cause(ctx)
		}
		if err != nil {
			return last, left(last.ID, err)
		}
		told := last.Note
		last = wirePull{}
		if err := json.Unmarshal([]byte(ev.Data), &last); err != nil {
			return last, fmt.Errorf("read event: %w", err)
		}
		show.state(&last, told)
		if last.terminal() {
			return last, nil
		}
	}
	return last, left(last.ID, io.ErrUnexpectedEOF)
}

// left is the error of an instance that ended before the pull.
func left(id string, err error) error {
	return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the instance ended before the pull %s did: %w", id, err).
		WithHint("The pull goes on at the instance's next start; see how far it is: jeantrail-ai model pulls")
}

// cancelPull stops a pull for good, and waits until it has stopped.
func cancelPull(cmd *cobra.Command, o *options, id string) error {
	return withRecords(cmd.Context(), o, func(s *Session) error {
		path := "/models/pulls/" + url.PathEscape(id)
		var p wirePull
		err := s.get(cmd.Context(), http.MethodDelete, path, &p)
		if err == nil && !p.terminal() {
			p, err = s.watchPull(cmd.Context(), http.MethodGet, path+"/events", nil, nil)
		}
		if err != nil {
			return err
		}
		if o.json {
			return printJSON(cmd.OutOrStdout(), map[string]any{"pull_id": p.ID, "status": p.Status})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", p.ID, p.Status)
		return err
	})
}

func newModelPullsCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "pulls", Short: "List the downloads of models that an instance does or did, newest first", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, o, "/models/pulls", "pulls", printPulls)
		},
	})
}

func printPulls(w io.Writer, list []wirePull) {
	t := newTable(w, "PULL", "STATUS", "SOURCE", "MODEL", "BYTES", "STARTED", "NOTE")
	for i := range list {
		p := &list[i]
		bytes, note := humanBytes(p.Done), p.Note
		if p.Total > p.Done {
			bytes = fmt.Sprintf("%s of %s", humanBytes(p.Done), humanBytes(p.Total))
		}
		if p.Error != nil {
			note = p.Error.err().Error()
		}
		t.AppendRow(table.Row{p.ID, p.Status, printable(p.Source), orDash(&p.Model), bytes, p.StartedAt, printable(note)})
	}
	t.Render()
}
