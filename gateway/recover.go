package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// recoverPage is how many stored events Recover reads at once.
const recoverPage = 1024

// Recover takes up what an earlier process left unfinished. Async jobs that had
// not begun run in this process, from Start on, or stay for a later one
// (Options.LeaveQueued); async pipelines go on after their last finished stage. The others become interrupted,
// keep what their event logs hold, and are charged for exactly that; a job that
// never started costs nothing. It returns how many jobs it closed. Jobs of this
// process are left alone, so that it may be called at any time; an error about
// some jobs does not keep it from the others.
func (g *Gateway) Recover(ctx context.Context) (int, error) {
	jobs, err := g.opts.Store.Unfinished(ctx)
	if err != nil {
		return 0, fmt.Errorf("recover jobs: %w", err)
	}
	closed := 0
	var failures []error
	var pipelines []*jeantrail.Job
	settle := func(job *jeantrail.Job) {
		done, err := g.closeJob(ctx, job)
		if done {
			closed++
		}
		if err != nil {
			failures = append(failures, err)
		}
	}
	for i := range jobs {
		job := &jobs[i]
		switch {
		case g.task(job.ID) != nil:
		case revivable(job) && (g.opts.LeaveQueued || g.takeUp(ctx, job, g.revive)):
		case resumable(job):
			pipelines = append(pipelines, job)
		default:
			settle(job)
		}
	}
	// After the jobs that were their stages, whose end they will ask for.
	for _, job := range pipelines {
		if !g.opts.LeaveQueued && !g.takeUp(ctx, job, g.resume) {
			settle(job)
		}
	}
	return closed, errors.Join(failures...)
}

// closeJob settles a job of an earlier process and reports whether it had to be.
func (g *Gateway) closeJob(ctx context.Context, job *jeantrail.Job) (bool, error) {
	switch err := g.recoverJob(ctx, job); {
	case err == nil:
		return true, nil
	case jeantrail.CodeOf(err) == jeantrail.CodeConflict:
		return false, nil // it was a job of this process that ended since the list was read
	default:
		return false, fmt.Errorf("recover job %s: %w", job.ID, err)
	}
}

// takeUp lets a job run in this process if that is possible.
func (g *Gateway) takeUp(ctx context.Context, job *jeantrail.Job, how func(context.Context, *jeantrail.Job) (*task, error)) bool {
	t, err := how(ctx, job)
	if err != nil {
		g.opts.Logger.Warn("a job of an earlier process cannot be run", slog.String("job", job.ID), slog.Any("error", err))
		return false
	}
	g.opts.Logger.Info("a job of an earlier process is run", slog.String("job", job.ID))
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase == phaseRunning {
		go g.run(t)
	} else {
		g.revived = append(g.revived, t)
	}
	return true
}

func (g *Gateway) recoverJob(ctx context.Context, job *jeantrail.Job) error {
	var log replay
	if err := eachEvent(ctx, g.opts.Store, job.ID, log.add); err != nil {
		return err
	}
	now := g.now()
	result := log.result(job)
	g.charge(job, result)
	failure := interrupted("the program ended before the job was done", nil)
	terminal := terminalEvent(jeantrail.StateInterrupted, now, result, failure)
	terminal.JobID, terminal.Seq = job.ID, log.seq+1
	ctx, cancel := context.WithTimeout(ctx, g.opts.SettleTimeout)
	defer cancel()
	settled, err := g.storeSettlement(ctx, jeantrail.Settlement{
		JobID:    job.ID,
		From:     job.State,
		To:       jeantrail.StateInterrupted,
		At:       now,
		Result:   result,
		Err:      failure,
		Events:   []jeantrail.Event{terminal},
		QueueFor: result.Timings.Queue,
	})
	g.raised(settled.Alerts)
	return err
}

// replay sums up a job's event log.
type replay struct {
	seq       int64
	started   jeantrail.Event // zero if there is none
	first     time.Time       // of the first token event
	last      time.Time       // of the newest event
	text      strings.Builder
	reasoning strings.Builder
	usage     jeantrail.Usage
	made      []jeantrail.Artifact
	stages    []jeantrail.Stage
}

// eachEvent goes through a job's stored log, a page at a time.
func eachEvent(ctx context.Context, store Store, id string, do func(*jeantrail.Event)) error {
	for seq := int64(0); ; {
		events, err := store.Events(ctx, id, seq, recoverPage)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		for i := range events {
			do(&events[i])
			seq = events[i].Seq
		}
		if len(events) < recoverPage {
			return nil
		}
	}
}

func (p *replay) add(ev *jeantrail.Event) {
	p.seq, p.last = ev.Seq, ev.At
	switch ev.Type {
	case jeantrail.EventStarted:
		p.started = *ev
		p.usage.PromptTokens, p.usage.CachedTokens = ev.Prompt, ev.Cached
	case jeantrail.EventArtifact:
		p.made = append(p.made, *ev.Artifact)
		p.usage.Images, p.usage.AudioOut = madeOf(p.made)
	case jeantrail.EventStage:
		p.stage(ev.Stage)
	case jeantrail.EventToken:
		if p.first.IsZero() {
			p.first = ev.At
		}
		p.usage.CompletionTokens += ev.Tokens
		if ev.Reasoning {
			p.usage.ReasoningTokens += ev.Tokens
			p.reasoning.WriteString(ev.Text)
			return
		}
		p.text.WriteString(ev.Text)
	}
}

// stage keeps the newest report of each stage.
func (p *replay) stage(s *jeantrail.Stage) {
	i := slices.IndexFunc(p.stages, func(known jeantrail.Stage) bool { return known.Name == s.Name })
	if i < 0 {
		p.stages = append(p.stages, *s)
		return
	}
	p.stages[i] = *s
}

// pipeline is what the log shows of a pipeline, nil for any other job.
func (p *replay) pipeline(job *jeantrail.Job) *jeantrail.Pipeline {
	if job.Kind != jeantrail.KindPipeline {
		return nil
	}
	out := &jeantrail.Pipeline{Workflow: job.Model, Stages: p.stages}
	for i := range p.stages {
		out.Usage = out.Usage.Add(p.stages[i].Usage)
		out.Cost.Amount = out.Cost.Amount.Add(p.stages[i].Cost.Amount)
		out.Cost.Reserved = out.Cost.Reserved.Add(p.stages[i].Cost.Reserved)
	}
	return out
}

// result is what the log shows of the work. The times end with the newest
// event, because nobody knows when the process died.
func (p *replay) result(job *jeantrail.Job) *jeantrail.Result {
	r := &jeantrail.Result{
		Model:        job.Model,
		Text:         p.text.String(),
		Reasoning:    p.reasoning.String(),
		FinishReason: finishOf(jeantrail.StateInterrupted),
		Usage:        p.usage,
		Engine:       p.started.Engine,
		Cache:        jeantrail.CacheOff,
		Artifacts:    p.made,
		Pipeline:     p.pipeline(job),
	}
	if p.started.Model != "" {
		r.Model = p.started.Model
	}
	setTimings(&r.Timings, job.CreatedAt, p.started.At, p.first, maxTime(p.last, job.CreatedAt))
	return r
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
