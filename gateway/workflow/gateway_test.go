package workflow_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/gateway/workflow"
	"github.com/jeantrail/jeantrail-ai/store"
)

// words is a backend that answers with the prompt in capitals, a token for each
// word. A prompt with a "!" in it makes it hang while gate is closed.
type words struct {
	gate  chan struct{}
	hangs chan struct{} // told when a job hangs
}

func (w words) Prepare(_ context.Context, req *jeantrail.Request) (gateway.Work, error) {
	return &wordsWork{words: w, prompt: req.Text.Prompt, most: *req.Text.MaxTokens}, nil
}

type wordsWork struct {
	words
	prompt string
	most   int
}

func (w *wordsWork) Bounds() jeantrail.Bounds {
	return jeantrail.Bounds{PromptTokens: len(strings.Fields(w.prompt)), CompletionTokens: w.most, Exact: true}
}

func (w *wordsWork) Fingerprint() ([]byte, bool) { return nil, false }

func (w *wordsWork) Run(ctx context.Context, _ *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	fields := strings.Fields(strings.ToUpper(w.prompt))
	sink.Started("words", jeantrail.EngineInfo{}, len(fields), 0)
	r := &jeantrail.Result{FinishReason: jeantrail.FinishStop, Usage: jeantrail.Usage{PromptTokens: len(fields)}}
	for _, word := range fields[:min(len(fields), w.most)] {
		sink.Token(word+" ", false, 1)
		r.Text += word + " "
		r.Usage.CompletionTokens++
	}
	if !strings.Contains(w.prompt, "!") {
		return r, nil
	}
	select {
	case <-w.gate:
		return r, nil
	default:
	}
	w.hangs <- struct{}{}
	select {
	case <-w.gate:
		return r, nil
	case <-ctx.Done():
		r.FinishReason = jeantrail.FinishCancelled
		return r, context.Cause(ctx)
	}
}

// joined is both kinds of backend, as the program joins them.
type joined struct {
	words     words
	workflows *workflow.Library
}

func (j joined) Resolve(kind jeantrail.Kind, name string) (string, gateway.Backend, error) {
	if kind == jeantrail.KindPipeline {
		return j.workflows.Resolve(name)
	}
	return "words", j.words, nil
}

func (joined) List(context.Context) []jeantrail.Model { return nil }

const relay = `name: relay
description: d
inputs: {text: {type: string, required: true, description: d}}
stages:
  - {name: one, kind: text, prompt: "{{ inputs.text }}", max_tokens: 10}
  - {name: two, kind: text, prompt: "{{ stages.one.text }}!", max_tokens: 10}
  - {name: three, kind: text, prompt: "so {{ stages.two.truncated ? '?' : 'it' }} ends", max_tokens: 10}
output: {text: "{{ stages.two.text }}|{{ stages.three.text }}"}
`

var ann = jeantrail.Principal{UserID: "ann", Role: jeantrail.RoleUser}

// live is a real gateway over a real store.
func live(t *testing.T, s *store.Store, w words) *gateway.Gateway {
	t.Helper()
	l := library(t, map[string]string{"relay.yaml": relay})
	g, err := gateway.New(gateway.Options{Store: s, Models: joined{w, l}})
	if err != nil {
		t.Fatal(err)
	}
	l.Attach(g)
	if _, err := g.Recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := g.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return g
}

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), filepath.Join(t.TempDir(), "test.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if wrong, err := s.Verify(context.Background()); err != nil || len(wrong) > 0 {
			t.Errorf("the database is not sound: %v, %v", wrong, err)
		}
		s.Close()
	})
	return s
}

func shut(t *testing.T, g *gateway.Gateway) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func ask() jeantrail.Request {
	return jeantrail.Request{
		Kind: jeantrail.KindPipeline, Async: true,
		Pipeline: &jeantrail.PipelineRequest{Workflow: "relay", Input: map[string]any{"text": "a b"}},
	}
}

// sums holds a pipeline against the jobs that the store has of it.
func sums(t *testing.T, g *gateway.Gateway, job *jeantrail.Job) {
	t.Helper()
	page, err := g.Jobs(context.Background(), ann, jeantrail.JobFilter{Parent: job.ID})
	if err != nil {
		t.Fatal(err)
	}
	var cost jeantrail.Money
	for i := range page.Jobs {
		cost += page.Jobs[i].Result.Cost.Amount
	}
	if job.Result.Pipeline == nil || job.Result.Pipeline.Cost.Amount != cost || cost == 0 || job.Result.Cost.Amount != 0 {
		t.Errorf("the stages cost %s, the pipeline says %+v", cost, job.Result.Pipeline)
	}
}

// The road that the program has carries a pipeline: estimated, admitted, run,
// cancelled, and taken up by the next process.
func TestOnTheRealRoad(t *testing.T) {
	gate := make(chan struct{})
	close(gate)
	s := open(t)
	g := live(t, s, words{gate: gate})
	defer shut(t, g)
	e, err := g.Estimate(context.Background(), ann, ask())
	if err != nil || len(e.Stages) != 3 || e.Amount <= 0 {
		t.Fatalf("estimate: %+v, %v", e, err)
	}
	job, err := g.Submit(context.Background(), ann, ask())
	if err != nil {
		t.Fatal(err)
	}
	done, err := g.Wait(context.Background(), job.ID)
	if err != nil || done.State != jeantrail.StateSucceeded {
		t.Fatalf("%+v, %v", done, err)
	}
	if got := done.Result.Pipeline.Output["text"]; got != "A B ! |SO IT ENDS " {
		t.Errorf("output %q", got)
	}
	if amount := done.Result.Pipeline.Cost.Amount; amount > e.Amount {
		t.Errorf("it cost %s, the most was to be %s", amount, e.Amount)
	}
	sums(t, g, done)
}

func TestCancelOnTheRealRoad(t *testing.T) {
	w := words{gate: make(chan struct{}), hangs: make(chan struct{}, 1)}
	g := live(t, open(t), w)
	defer shut(t, g)
	job, err := g.Submit(context.Background(), ann, ask())
	if err != nil {
		t.Fatal(err)
	}
	<-w.hangs
	if err := g.Cancel(context.Background(), ann, job.ID); err != nil {
		t.Fatal(err)
	}
	done, err := g.Wait(context.Background(), job.ID)
	if err != nil || done.State != jeantrail.StateCancelled || statuses(done.Result) != "one:succeeded two:cancelled" {
		t.Fatalf("%+v, %v", done, err)
	}
	sums(t, g, done)
}

func TestNextProcessGoesOn(t *testing.T) {
	w := words{gate: make(chan struct{}), hangs: make(chan struct{}, 1)}
	s := open(t)
	g := live(t, s, w)
	job, err := g.Submit(context.Background(), ann, ask())
	if err != nil {
		t.Fatal(err)
	}
	<-w.hangs
	shut(t, g)
	close(w.gate)
	g = live(t, s, w)
	defer shut(t, g)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done, err := g.Wait(ctx, job.ID)
	if err != nil || done.State != jeantrail.StateSucceeded || statuses(done.Result) != "one:succeeded two:succeeded three:succeeded" {
		t.Fatalf("%+v, %v", done, err)
	}
	if one, two := stageOf(t, done.Result, "one"), stageOf(t, done.Result, "two"); one.Attempts != 1 || two.Attempts != 2 || two.Usage.CompletionTokens != 6 {
		t.Errorf("stages %+v, %+v", one, two)
	}
	sums(t, g, done)
}
