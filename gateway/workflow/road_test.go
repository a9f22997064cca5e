package workflow_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// played is what the job of an attempt does.
type played struct {
	refuse error             // instead of the job
	fail   *jeantrail.Error  // the job's own error
	result *jeantrail.Result // nil: a small one of its kind
	hang   bool              // until it is cancelled
	after  time.Duration
	state  jeantrail.State // instead of succeeded or failed
}

// fakeRoad plays the gateway.
type fakeRoad struct {
	t interface{ Errorf(string, ...any) }
	// play says what the n-th attempt of a stage does, from 0.
	play func(stage string, n int) played

	mu       sync.Mutex
	jobs     []*fakeJob
	attempts map[string]int
	most     int // jobs that ran at once
	running  int
	began    chan string // gets the name of each stage whose job began, if not nil
	prices   []jeantrail.PriceEntry
	asked    []jeantrail.Request // of Estimate
	refuse   func(req *jeantrail.Request) error
}

type fakeJob struct {
	jeantrail.Job
	done   chan struct{}
	cancel chan struct{}
	once   sync.Once
}

func newRoad(t interface{ Errorf(string, ...any) }, play func(stage string, n int) played) *fakeRoad {
	if play == nil {
		play = func(string, int) played { return played{} }
	}
	return &fakeRoad{t: t, play: play, attempts: make(map[string]int)}
}

const (
	costOfJob    = jeantrail.Money(1000)
	costOfFailed = jeantrail.Money(10)
)

func (r *fakeRoad) Submit(_ context.Context, p jeantrail.Principal, req jeantrail.Request) (*jeantrail.Job, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	if req.UserID != p.UserID || req.Async || req.Parent == "" || req.Workflow == "" || p.Role != jeantrail.RoleUser {
		r.t.Errorf("a stage was sent as %+v by %+v", req, p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.attempts[req.Stage]
	r.attempts[req.Stage]++
	do := r.play(req.Stage, n)
	if do.refuse != nil {
		return nil, do.refuse
	}
	j := &fakeJob{done: make(chan struct{}), cancel: make(chan struct{})}
	model := req.Model
	if model == "" {
		model = "default-" + string(req.Kind)
	}
	j.Job = jeantrail.Job{
		ID: fmt.Sprintf("job-%d", len(r.jobs)), Kind: req.Kind, UserID: req.UserID, KeyID: p.KeyID, Model: model,
		Request: req, State: jeantrail.StateRunning, Priority: req.Priority,
	}
	r.jobs = append(r.jobs, j)
	r.running++
	r.most = max(r.most, r.running)
	job := j.Job
	go r.run(j, do)
	if r.began != nil {
		r.began <- req.Stage
	}
	return &job, nil
}

func (r *fakeRoad) run(j *fakeJob, do played) {
	state, result, failure := jeantrail.StateSucceeded, do.result, do.fail
	if result == nil {
		result = smallResult(&j.Job)
	}
	var timer <-chan time.Time
	if do.after > 0 {
		timer = time.After(do.after)
	}
	switch {
	case do.hang:
		<-j.cancel
		state = jeantrail.StateCancelled
	case timer != nil:
		select {
		case <-timer:
		case <-j.cancel:
			state = jeantrail.StateCancelled
		}
	}
	if state == jeantrail.StateSucceeded && failure != nil {
		state = jeantrail.StateFailed
	}
	if do.state != "" {
		state = do.state
	}
	if state != jeantrail.StateSucceeded {
		result = &jeantrail.Result{Usage: jeantrail.Usage{PromptTokens: 1}, Cost: jeantrail.Cost{Amount: costOfFailed, Reserved: costOfJob}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	j.State, j.Result = state, result
	if state == jeantrail.StateFailed || state == jeantrail.StateInterrupted {
		j.Err = failure
	}
	close(j.done)
}

// smallResult is what a stage gives that the test says nothing about.
func smallResult(job *jeantrail.Job) *jeantrail.Result {
	r := &jeantrail.Result{
		Model: job.Model, FinishReason: jeantrail.FinishStop,
		Usage: jeantrail.Usage{PromptTokens: 7, CompletionTokens: 3}, Cost: jeantrail.Cost{Amount: costOfJob, Reserved: 2 * costOfJob},
	}
	switch job.Kind {
	case jeantrail.KindText:
		r.Text = " text of " + job.Request.Stage + " "
	case jeantrail.KindImage:
		for i := range max(1, job.Request.Image.N) {
			r.Artifacts = append(r.Artifacts, jeantrail.Artifact{
				Index: i, Kind: jeantrail.ArtifactImage, Width: 64, Height: 32,
				File: jeantrail.File{SHA256: strings.Repeat("a", 64), MediaType: "image/png", Bytes: 10},
			})
		}
		r.Usage.Images = len(r.Artifacts)
	case jeantrail.KindTranscribe:
		r.Text = "words of " + job.Request.Stage
		r.Transcript = &jeantrail.Transcript{Language: "en", Duration: 1500 * time.Millisecond, Segments: []jeantrail.TranscriptSegment{
			{Start: 0, End: time.Second, Text: "words"}, {Start: time.Second, End: 1500 * time.Millisecond, Text: "of"},
		}}
		r.Usage.AudioIn = 1500 * time.Millisecond
	case jeantrail.KindSpeak:
		r.Artifacts = []jeantrail.Artifact{{
			Kind: jeantrail.ArtifactAudio, Duration: 2 * time.Second,
			File: jeantrail.File{SHA256: strings.Repeat("b", 64), MediaType: "audio/wav", Bytes: 44},
		}}
		r.Usage.AudioOut = 2 * time.Second
	}
	return r
}

func (r *fakeRoad) find(id string) (*fakeJob, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.jobs, func(j *fakeJob) bool { return j.ID == id })
	if i < 0 {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no job %q", id)
	}
	return r.jobs[i], nil
}

func (r *fakeRoad) Wait(ctx context.Context, id string) (*jeantrail.Job, error) {
	j, err := r.find(id)
	if err != nil {
		return nil, err
	}
	select {
	case <-j.done:
		return r.Job(ctx, jeantrail.Principal{}, id)
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for job: %w", context.Cause(ctx))
	}
}

func (r *fakeRoad) Cancel(_ context.Context, _ jeantrail.Principal, id string) error {
	j, err := r.find(id)
	if err == nil {
		j.once.Do(func() { close(j.cancel) })
	}
	return err
}

func (r *fakeRoad) Job(_ context.Context, _ jeantrail.Principal, id string) (*jeantrail.Job, error) {
	j, err := r.find(id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	job := j.Job
	return &job, nil
}

// Jobs pages by two, so that paging is tested.
func (r *fakeRoad) Jobs(_ context.Context, _ jeantrail.Principal, f jeantrail.JobFilter) (jeantrail.JobPage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var page jeantrail.JobPage
	skip := 0
	if f.Cursor != "" {
		fmt.Sscan(f.Cursor, &skip)
	}
	for _, j := range slices.Backward(r.jobs) {
		switch {
		case j.Request.Parent != f.Parent:
		case skip > 0:
			skip--
		case len(page.Jobs) == 2:
			before := 0
			if f.Cursor != "" {
				fmt.Sscan(f.Cursor, &before)
			}
			page.Next = fmt.Sprint(before + 2)
			return page, nil
		default: // as the store lists them: without the parts of the request
			job := j.Job
			job.Request = jeantrail.Request{Stage: job.Request.Stage, Parent: job.Request.Parent}
			job.Result = nil
			page.Jobs = append(page.Jobs, job)
		}
	}
	return page, nil
}

// Estimate counts a word of a prompt as a token, at one micro-dollar each.
func (r *fakeRoad) Estimate(_ context.Context, _ jeantrail.Principal, req jeantrail.Request) (*jeantrail.Estimate, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	if r.refuse != nil {
		if err := r.refuse(&req); err != nil {
			return nil, err
		}
	}
	r.asked = append(r.asked, req)
	e := &jeantrail.Estimate{Kind: req.Kind, Model: "own-" + string(req.Kind), Exact: true}
	switch req.Kind {
	case jeantrail.KindText:
		e.Bounds.PromptTokens = len(strings.Fields(req.Text.Prompt+" "+req.Text.System)) + 1000*len(req.Text.Images)
		e.Bounds.CompletionTokens = 100
		if req.Text.MaxTokens != nil {
			e.Bounds.CompletionTokens = *req.Text.MaxTokens
		}
		e.Amount = jeantrail.Money(e.Bounds.PromptTokens + e.Bounds.CompletionTokens)
	case jeantrail.KindImage:
		e.Bounds.Images = max(1, req.Image.N)
		e.Amount = jeantrail.Money(5000 * e.Bounds.Images)
	case jeantrail.KindTranscribe:
		e.Bounds.AudioIn = 10 * time.Second
		e.Amount = 300
	case jeantrail.KindSpeak:
		e.Bounds.AudioOut = time.Duration(len(req.Speak.Text)) * 100 * time.Millisecond
		e.Amount = jeantrail.Money(len(req.Speak.Text))
	}
	e.Least = e.Amount / 2
	return e, nil
}

func (r *fakeRoad) Prices(context.Context, jeantrail.Principal) ([]jeantrail.PriceEntry, error) {
	return r.prices, nil
}
