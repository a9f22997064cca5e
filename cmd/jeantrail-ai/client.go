package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tmaxmax/go-sse"

	"github.com/jeantrail/jeantrail-ai"
)

// Client speaks the HTTP interface of an instance, the same one that any app
// uses, so that what works from the command line works from an app.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// newClient returns a client without an overall timeout: a generation takes as
// long as it takes, and the context ends it.
func newClient(base, token string) *Client {
	return &Client{base: strings.TrimSuffix(base, "/"), token: token, http: &http.Client{}}
}

// problem is application/problem+json.
type problem struct {
	Title  string `json:"title"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Hint   string `json:"hint"`
	JobID  string `json:"job_id"`
}

func (p problem) err() error {
	message := p.Detail
	if message == "" {
		message = p.Title
	}
	return &jeantrail.Error{Code: jeantrail.Code(p.Code), Message: message, Hint: p.Hint}
}

// wireEvent is an event as it comes over SSE and in /job/{id}/events.
type wireEvent struct {
	Seq       int64           `json:"seq"`
	Type      string          `json:"type"`
	JobID     string          `json:"job_id"`
	Partial   bool            `json:"partial"`
	Text      string          `json:"text"`
	Reasoning bool            `json:"reasoning"`
	Tokens    int             `json:"tokens"`
	Result    *wireAnswer     `json:"result"`
	Error     *problem        `json:"error"`
	Done      int64           `json:"done"` // progress
	Total     int64           `json:"total"`
	Percent   int             `json:"percent"` // alert
	BudgetID  string          `json:"budget_id"`
	Spent     jeantrail.Money `json:"spent_micros"`
	Limit     jeantrail.Money `json:"limit_micros"`
	Raw       json.RawMessage `json:"-"`
}

func (e wireEvent) terminal() bool { return jeantrail.EventType(e.Type).Terminal() }

// stage is the stage of a pipeline that the event is about.
func (e wireEvent) stage() (s wireStage, ok bool) {
	if jeantrail.EventType(e.Type) != jeantrail.EventStage {
		return s, false
	}
	var own struct {
		JobID string `json:"stage_job_id"`
	}
	err := errors.Join(json.Unmarshal(e.Raw, &s), json.Unmarshal(e.Raw, &own))
	s.JobID = own.JobID // the event's job is the pipeline's
	return s, err == nil && s.Name != ""
}

// artifact is the file that the event is about.
func (e wireEvent) artifact() (a wireArtifact, ok bool) {
	if jeantrail.EventType(e.Type) != jeantrail.EventArtifact {
		return a, false
	}
	err := json.Unmarshal(e.Raw, &a)
	return a, err == nil
}

// alert says which budget has come how far.
func (e wireEvent) alert() string {
	return fmt.Sprintf("%d %% of the budget %s is spent: %s of %s.", e.Percent, e.BudgetID, amount(e.Spent), amount(e.Limit))
}

// wireAnswer is what /generate answers and a terminal event carries as its result.
type wireAnswer struct {
	JobID        string `json:"job_id"`
	Status       string `json:"status"`
	Model        string `json:"model"`
	Requested    string `json:"requested_model"`
	Text         string `json:"text"`
	FinishReason string `json:"finish_reason"`
	Truncated    bool   `json:"truncated"`
	Usage        struct {
		Prompt     int `json:"prompt_tokens"`
		Cached     int `json:"cached_tokens"`
		Completion int `json:"completion_tokens"`
	} `json:"usage"`
	Cost struct {
		Micros int64  `json:"amount_micros"`
		USD    string `json:"usd"`
	} `json:"cost"`
	Timings struct {
		FirstTokenMS    float64 `json:"first_token_ms"`
		TotalMS         float64 `json:"total_ms"`
		TokensPerSecond float64 `json:"tokens_per_second"`
	} `json:"timings"`
	Cache        string         `json:"cache"`
	RulesApplied []string       `json:"rules_applied"`
	RulesSkipped []string       `json:"rules_skipped"`
	Artifacts    []wireArtifact `json:"artifacts"`
	Stages       []wireStage    `json:"stages"` // of a pipeline
	Output       map[string]any `json:"output"` // of a pipeline
}

// do sends a request and returns the answer, or the problem it was answered with.
func (c *Client) do(ctx context.Context, method, path string, body any, accept string) (*http.Response, error) {
	if body == nil {
		return c.exchange(ctx, method, path, "", nil, accept)
	}
	var data bytes.Buffer
	e := json.NewEncoder(&data)
	e.SetEscapeHTML(false) // a rule's "<100" is kept as it is sent
	if err := e.Encode(body); err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return c.exchange(ctx, method, path, "application/json", &data, accept)
}

// exchange is do for a body that is sent as it is.
func (c *Client) exchange(ctx context.Context, method, path, contentType string, body io.Reader, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	for name, value := range map[string]string{"Content-Type": contentType, "Accept": accept} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "reach the instance at %s: %w", c.base, err)
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	var p problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p); err != nil || p.Code == "" {
		return nil, jeantrail.Errorf(jeantrail.CodeInternal, "the instance at %s answered %s", c.base, resp.Status)
	}
	return nil, p.err()
}

// get sends a request without a body and decodes a JSON answer.
func (c *Client) get(ctx context.Context, method, path string, into any) error {
	return c.send(ctx, method, path, nil, into)
}

// send sends a JSON body and decodes a JSON answer; nil is none.
func (c *Client) send(ctx context.Context, method, path string, body, into any) error {
	resp, err := c.do(ctx, method, path, body, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("read the answer to %s: %w", path, err)
	}
	return nil
}

// stream sends a request and follows the job that it makes to its end.
func (c *Client) stream(ctx context.Context, method, path string, body any, on func(wireEvent) error) error {
	resp, err := c.do(ctx, method, path, body, "text/event-stream")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return readEvents(ctx, resp.Body, on)
}

// readEvents reads server-sent events until the terminal one.
func readEvents(ctx context.Context, body io.Reader, on func(wireEvent) error) error {
	for ev, err := range sse.Read(body, &sse.ReadConfig{MaxEventSize: 64 << 20}) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "read events: %w", err)
		}
		var e wireEvent
		if err := json.Unmarshal([]byte(ev.Data), &e); err != nil {
			return fmt.Errorf("read event: %w", err)
		}
		e.Raw = json.RawMessage(ev.Data)
		if err := on(e); err != nil {
			return err
		}
		if e.terminal() {
			return nil
		}
	}
	return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the stream ended before the job did").
		WithHint("See what became of it: jeantrail-ai job list")
}

// Generate streams an answer.
func (c *Client) Generate(ctx context.Context, body map[string]any, on func(wireEvent) error) error {
	body["stream"] = true
	return c.stream(ctx, http.MethodPost, "/generate", body, on)
}

// Watch follows a job from its beginning.
func (c *Client) Watch(ctx context.Context, id string, on func(wireEvent) error) error {
	return c.stream(ctx, http.MethodGet, "/job/"+url.PathEscape(id)+"/events", nil, on)
}

// WaitReady waits until the default model is loaded, telling on how far it is.
func (c *Client) WaitReady(ctx context.Context, on func(name string, progress float64)) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		var list struct {
			Models []struct {
				Name     string  `json:"name"`
				Default  bool    `json:"default"`
				Status   string  `json:"status"`
				Progress float64 `json:"progress"`
				Problem  string  `json:"problem"`
			} `json:"models"`
		}
		if err := c.get(ctx, http.MethodGet, "/models", &list); err != nil {
			return err
		}
		for _, m := range list.Models {
			if !m.Default {
				continue
			}
			switch jeantrail.ModelStatus(m.Status) {
			case jeantrail.ModelReady:
				return nil
			case jeantrail.ModelFailed, jeantrail.ModelMissing:
				return jeantrail.Errorf(jeantrail.CodeUnsupported, "the model %s cannot be used: %s", m.Name, m.Problem).
					WithHint("See: jeantrail-ai model show %s", m.Name)
			}
			on(m.Name, m.Progress)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
