package engine_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink records what a job reports.
type sink struct {
	mu        sync.Mutex
	started   int
	prompt    int
	cached    int
	text      strings.Builder
	reasoning strings.Builder
	tokens    int
	thought   int
	progress  []jeantrail.Progress
	begun     chan struct{} // closed at Started, if set
	onToken   func(total int)
	allow     func(prompt, cached int) int
}

func (s *sink) Started(_ string, _ jeantrail.EngineInfo, prompt, cached int) {
	s.mu.Lock()
	s.started++
	s.prompt, s.cached = prompt, cached
	s.mu.Unlock()
	if s.begun != nil {
		close(s.begun)
	}
}

func (s *sink) Token(text string, reasoning bool, tokens int) {
	s.mu.Lock()
	s.tokens += tokens
	if reasoning {
		s.reasoning.WriteString(text)
		s.thought += tokens
	} else {
		s.text.WriteString(text)
	}
	total := s.tokens
	s.mu.Unlock()
	if s.onToken != nil {
		s.onToken(total)
	}
}

// Allowance leaves a job as many tokens as the test says; nil is no limit.
func (s *sink) Allowance(prompt, cached int) int {
	if s.allow == nil {
		return math.MaxInt
	}
	return s.allow(prompt, cached)
}

func (s *sink) Progress(p jeantrail.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = append(s.progress, p)
}

// rig is an engine on a fake decoder.
type rig struct {
	*engine.Engine
	fake *enginetest.Fake
}

// newRig starts an engine. When the test ends, everything must be back at zero.
func newRig(t testing.TB, cfg enginetest.Config, opts engine.Options) *rig {
	t.Helper()
	r := &rig{fake: enginetest.New(cfg)}
	var err error
	if r.Engine, err = engine.New(r.fake, opts); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		r.checkClean(t)
	})
	return r
}

func (r *rig) checkClean(t testing.TB) {
	t.Helper()
	s := r.Stats()
	if s.Running != 0 || s.Waiting != 0 || s.Paused != 0 || s.KVLive != 0 {
		t.Errorf("not back at zero: %+v", s)
	}
	if n := r.fake.Samplers(); n != 0 {
		t.Errorf("%d samplers were not freed", n)
	}
	if err := r.fake.Err(); err != nil {
		t.Error(err)
	}
	if r.Err() == nil && s.KVUsed != r.fake.Used() {
		t.Errorf("the engine counts %d cells in use, the cache has %d", s.KVUsed, r.fake.Used())
	}
}

// raw is a request for a prompt without a template. It has a seed, so that the
// fake always says the same.
func raw(prompt string, maxTokens int) *jeantrail.TextRequest { return seeded(prompt, maxTokens, 1) }

func seeded(prompt string, maxTokens int, seed uint32) *jeantrail.TextRequest {
	return &jeantrail.TextRequest{Prompt: prompt, Raw: true, MaxTokens: &maxTokens, Seed: &seed}
}

func job(t *jeantrail.TextRequest, p jeantrail.Priority) *jeantrail.Job {
	return &jeantrail.Job{Kind: jeantrail.KindText, Priority: p, Request: jeantrail.Request{Kind: jeantrail.KindText, Text: t}}
}

// outcome is how a run ended.
type outcome struct {
	res  *jeantrail.Result
	err  error
	sink *sink
}

func (r *rig) run(ctx context.Context, t *jeantrail.TextRequest) outcome {
	return r.runJob(ctx, job(t, jeantrail.PriorityInteractive), &sink{})
}

func (r *rig) runJob(ctx context.Context, j *jeantrail.Job, s *sink) outcome {
	work, err := r.Prepare(ctx, &j.Request)
	if err != nil {
		return outcome{&jeantrail.Result{FinishReason: jeantrail.FinishError}, err, s}
	}
	res, err := work.Run(ctx, j, s)
	return outcome{res, err, s}
}

// spawn runs a job beside the test.
func (r *rig) spawn(ctx context.Context, j *jeantrail.Job, s *sink) <-chan outcome {
	c := make(chan outcome, 1)
	go func() { c <- r.runJob(ctx, j, s) }()
	return c
}

// check holds an outcome to what is always true.
func (o outcome) check(t testing.TB) outcome {
	t.Helper()
	u := o.res.Usage
	if o.sink.tokens != u.CompletionTokens || o.sink.thought != u.ReasoningTokens {
		t.Errorf("the sink got %d tokens, %d of reasoning; usage says %+v", o.sink.tokens, o.sink.thought, u)
	}
	if o.sink.text.String() != o.res.Text || o.sink.reasoning.String() != o.res.Reasoning {
		t.Errorf("the sink got %q, the result is %q", o.sink.text.String(), o.res.Text)
	}
	if u.CachedTokens > u.PromptTokens {
		t.Errorf("more tokens were cached than there are: %+v", u)
	}
	if o.sink.started > 1 || u.CompletionTokens > 0 && o.sink.started != 1 {
		t.Errorf("Started was called %d times", o.sink.started)
	}
	return o
}

func (o outcome) ok(t testing.TB) outcome {
	t.Helper()
	if o.err != nil {
		t.Fatalf("run: %v", o.err)
	}
	return o.check(t)
}

// prompts are n texts without a common beginning.
func prompts(n, size int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = strings.Repeat(fmt.Sprintf("%d: the prompt number %d. ", i, i), size/20+1)[:size]
	}
	return texts
}
