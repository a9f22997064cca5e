package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/ledger"
)

// run is the goroutine of a task.
func (g *Gateway) run(t *task) {
	defer g.jobs.Done()
	s := &sink{gateway: g, task: t, started: t.began}
	result, err := s.work()
	if result == nil {
		result = new(jeantrail.Result)
	}
	g.settle(s, result, err)
}

// sink takes what a backend reports about one job, from one goroutine at a
// time. When the backend has returned, its fields are the job's record.
type sink struct {
	gateway *Gateway
	task    *task

	started jeantrail.Event         // zero if the backend never began
	first   time.Time               // when the first token came
	tokens  int                     // sampled tokens that the log accounts for
	made    []jeantrail.Artifact    // in the order of the log
	measure func() jeantrail.Energy // ends the measurement; nil if none began
}

func (s *sink) work() (*jeantrail.Result, error) {
	t := s.task
	if t.ctx.Err() != nil {
		return nil, context.Cause(t.ctx)
	}
	job := t.job
	if t.log != nil {
		return t.work.(Resumer).Resume(t.ctx, &job, t.log, s)
	}
	return t.work.Run(t.ctx, &job, s)
}

// Started implements Sink. It is the one report that is stored before it
// returns, because the job's state changes with it.
func (s *sink) Started(model string, engine jeantrail.EngineInfo, promptTokens, cachedTokens int) {
	g, t := s.gateway, s.task
	if !s.started.At.IsZero() {
		g.opts.Logger.Error("backend reported the start of a job twice", slog.String("job", t.job.ID))
		return
	}
	s.started = jeantrail.Event{
		Type: jeantrail.EventStarted, At: g.now(), Model: model, Engine: engine,
		Prompt: promptTokens, Cached: cachedTokens,
	}
	if err := g.storeStart(t, s.started); err != nil {
		t.cancel(err)
		return
	}
	t.setStarted(s.started.At)
	g.begun()
	if g.opts.Meter != nil && t.cacheUse != jeantrail.CacheHit {
		s.measure = g.opts.Meter()
	}
	job := t.job
	job.State, job.StartedAt = jeantrail.StateRunning, s.started.At
	g.opts.Observer.JobStarted(&job)
}

// Allowance implements Sink.
func (s *sink) Allowance(promptTokens, cachedTokens int) int {
	job := &s.task.job
	return ledger.Allowance(job.Price, job.Reserved, promptTokens, cachedTokens)
}

// storeStart moves the job to running in the store, after what was reported
// while it was queued.
func (g *Gateway) storeStart(t *task, started jeantrail.Event) error {
	// The work has begun, also if somebody cancels it now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), g.opts.StoreTimeout)
	defer cancel()
	pending := t.feed.claim()
	defer func() {
		if t.feed.release() {
			g.commit.mark(t)
		}
	}()
	if len(pending) > 0 {
		if err := g.opts.Store.Append(ctx, pending); err != nil {
			return fmt.Errorf("store events: %w", err)
		}
		t.feed.stored(pending[len(pending)-1].Seq)
	}
	ev := t.feed.next(started)
	if err := g.opts.Store.Start(ctx, t.job.ID, ev.At, ev); err != nil {
		return fmt.Errorf("store start: %w", err)
	}
	t.feed.add(started)
	t.feed.stored(ev.Seq)
	return nil
}

// Token implements Sink.
func (s *sink) Token(text string, reasoning bool, tokens int) {
	at := s.gateway.now()
	if s.first.IsZero() && tokens > 0 {
		s.first = at
	}
	s.tokens += tokens
	tell, hurry := s.task.feed.token(at, text, reasoning, tokens)
	if tell {
		s.gateway.commit.mark(s.task)
	}
	if hurry {
		s.gateway.commit.hurry()
	}
}

// Artifact implements Sink. The file is on the disk before its event is.
func (s *sink) Artifact(a jeantrail.Artifact, content io.Reader) (jeantrail.Artifact, error) {
	g, t := s.gateway, s.task
	if g.opts.Files == nil {
		return a, errors.New("the gateway has no place for files")
	}
	file, err := g.opts.Files.Put(t.ctx, content, MaxArtifact)
	if err != nil {
		return a, fmt.Errorf("keep artifact: %w", err)
	}
	file.MediaType = a.MediaType
	a.File, a.Index, a.Duration = file, len(s.made), a.Duration.Truncate(time.Millisecond)
	s.made = append(s.made, a)
	if t.feed.report(jeantrail.Event{Type: jeantrail.EventArtifact, At: g.now(), Artifact: &a}) {
		g.commit.mark(t)
	}
	return a, nil
}

// Stage implements Sink.
func (s *sink) Stage(stage jeantrail.Stage) {
	if s.task.feed.report(jeantrail.Event{Type: jeantrail.EventStage, At: s.gateway.now(), Stage: &stage}) {
		s.gateway.commit.mark(s.task)
	}
}

// Progress implements Sink.
func (s *sink) Progress(p jeantrail.Progress) {
	if s.task.feed.progress(s.gateway.now(), p) {
		s.gateway.commit.mark(s.task)
	}
}
