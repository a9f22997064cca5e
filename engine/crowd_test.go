package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/enginetest"
)

// layouts are the two kinds of KV cache.
var layouts = map[string]bool{"unified": false, "separate": true}

// gate stops a decoder before each step.
type gate struct {
	steps chan struct{}
	spans [][]engine.Span // of each step, copied
	ops   [][]engine.MemOp
}

func newGate() *gate { return &gate{steps: make(chan struct{})} }

func (g *gate) onStep(ops []engine.MemOp, spans []engine.Span) (engine.Outcome, error) {
	g.spans = append(g.spans, append([]engine.Span(nil), spans...))
	g.ops = append(g.ops, append([]engine.MemOp(nil), ops...))
	<-g.steps
	return engine.OutcomeOK, nil
}

// let runs n steps and waits until nothing moves.
func (g *gate) let(n int) {
	for range n {
		g.steps <- struct{}{}
		synctest.Wait()
	}
}

func (g *gate) open() { close(g.steps) }

// alone is what a prompt gives when nothing else runs.
func alone(t *testing.T, cfg enginetest.Config, reqs []*jeantrail.TextRequest) []string {
	t.Helper()
	cfg.OnStep = nil
	r := newRig(t, cfg, engine.Options{})
	texts := make([]string, len(reqs))
	for i, req := range reqs {
		texts[i] = r.run(t.Context(), req).ok(t).res.Text
	}
	return texts
}

func TestCrowdSaysWhatEachSaysAlone(t *testing.T) {
	for name, separate := range layouts {
		t.Run(name, func(t *testing.T) {
			cfg := enginetest.Config{NCtx: 4096, NSeqMax: 8, NBatch: 96, NUBatch: 32, Separate: separate}
			var reqs []*jeantrail.TextRequest
			for i, p := range prompts(24, 90) {
				if i%3 == 0 {
					p = strings.Repeat("a shared system prompt. ", 4) + p
				}
				reqs = append(reqs, seeded(p, 60, uint32(i)))
			}
			want := alone(t, cfg, reqs)
			r := newRig(t, cfg, engine.Options{})
			var runs []<-chan outcome
			for _, req := range reqs {
				runs = append(runs, r.spawn(t.Context(), job(req, ""), &sink{}))
			}
			for i, c := range runs {
				if o := (<-c).ok(t); o.res.Text != want[i] {
					t.Errorf("job %d said %q, alone %q", i, o.res.Text, want[i])
				}
			}
		})
	}
}

// While somebody decodes, each step has its row, and a long prompt goes in
// chunks beside it.
func TestLongPromptDoesNotStallStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		cfg := enginetest.Config{NBatch: 512, NUBatch: 128, OnStep: g.onStep, Next: func([]engine.Token, uint32) engine.Token { return 'a' }}
		// The fake's steps take 1 ms and 10 us a row: 2 ms leave 100 rows.
		r := newRig(t, cfg, engine.Options{TargetStep: 2 * time.Millisecond})
		first := r.spawn(t.Context(), job(raw("x", 50), ""), &sink{})
		synctest.Wait()
		g.let(3)
		second := r.spawn(t.Context(), job(raw(strings.Repeat("y", 1000), 1), ""), &sink{})
		synctest.Wait()
		g.let(2)
		begin := len(g.spans) - 1
		for i := range 6 {
			spans := g.spans[begin+i]
			if len(spans) != 2 || len(spans[0].Tokens) != 1 || !spans[0].Sample {
				t.Fatalf("step %d has no row for the stream: %+v", i, spans)
			}
			if n := len(spans[1].Tokens); n < 64 || n > 120 {
				t.Errorf("step %d has a chunk of %d tokens", i, n)
			}
			g.let(1)
		}
		g.open()
		(<-first).ok(t)
		if o := (<-second).ok(t); len(o.sink.progress) == 0 || o.sink.progress[0].Total != 1000 {
			t.Errorf("progress of the long prompt: %+v", o.sink.progress)
		}
	})
}

func TestCancelInPrefillEndsTheStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part := make(chan struct{})
		cfg := enginetest.Config{NBatch: 512, NUBatch: 64, OnUBatch: func(int) { <-part }}
		r := newRig(t, cfg, engine.Options{})
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("the client went away")
		prompt := strings.Repeat("p", 500)
		done := r.spawn(ctx, job(raw(prompt, 5), ""), &sink{})
		for range 3 {
			synctest.Wait()
			part <- struct{}{}
		}
		synctest.Wait()
		cancel(gone)
		synctest.Wait()
		part <- struct{}{}
		o := <-done
		o.check(t)
		if !errors.Is(o.err, gone) || o.res.FinishReason != jeantrail.FinishCancelled {
			t.Errorf("got %v, %s", o.err, o.res.FinishReason)
		}
		if u := o.res.Usage; u.PromptTokens != 3*64 || u.CompletionTokens != 0 {
			t.Errorf("got %+v, want the 192 tokens that were evaluated", u)
		}
		close(part)
		// What was evaluated is of use to the next.
		if o := r.run(t.Context(), raw(prompt, 5)).ok(t); o.res.Usage.CachedTokens != 3*64 {
			t.Errorf("%d tokens were cached", o.res.Usage.CachedTokens)
		}
		if s := r.Stats(); s.Aborts != 1 {
			t.Errorf("%d steps were aborted", s.Aborts)
		}
	})
}

// meddler cancels a request after the plan is made and before the step begins.
type meddler struct {
	*enginetest.Fake
	cancel context.CancelFunc
}

func (m *meddler) SeedSampler(engine.SamplerID, []engine.Token) error {
	m.cancel()
	synctest.Wait() // until the engine knows
	return nil
}

func TestCancelJustBeforeTheStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := &meddler{enginetest.New(enginetest.Config{}), cancel}
		r := &rig{fake: m.Fake}
		var err error
		if r.Engine, err = engine.New(m, engine.Options{}); err != nil {
			t.Fatal(err)
		}
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		req := raw(strings.Repeat("p", 300), 5)
		penalty := 1.1
		req.RepeatPenalty = &penalty
		o := r.run(ctx, req)
		o.check(t)
		if !errors.Is(o.err, context.Canceled) || m.Rows() != 0 || r.Stats().Aborts != 1 {
			t.Errorf("got %v after %d rows and %d aborts", o.err, m.Rows(), r.Stats().Aborts)
		}
		if err := r.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		r.checkClean(t)
	})
}

// A cancel while others decode does not cost them their step.
func TestCancelWhileDecoding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		cfg := enginetest.Config{OnStep: g.onStep, Next: func([]engine.Token, uint32) engine.Token { return 'a' }}
		r := newRig(t, cfg, engine.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		one := r.spawn(ctx, job(raw("one", 100), ""), &sink{})
		two := r.spawn(t.Context(), job(raw("two", 10), ""), &sink{})
		synctest.Wait()
		g.let(5)
		cancel()
		synctest.Wait()
		g.let(1)
		o := <-one
		o.check(t)
		if !errors.Is(o.err, context.Canceled) {
			t.Errorf("got %v", o.err)
		}
		if got := o.res.Usage.CompletionTokens; got < 4 || got > 6 || o.res.Text != strings.Repeat("a", got) {
			t.Errorf("cancelled with %d tokens and %q", got, o.res.Text)
		}
		g.open()
		(<-two).ok(t)
		if s := r.Stats(); s.Aborts != 0 {
			t.Errorf("%d steps were aborted", s.Aborts)
		}
	})
}

func TestCancelInQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, enginetest.Config{NSeqMax: 1, OnStep: g.onStep}, engine.Options{})
		first := r.spawn(t.Context(), job(raw("x", 3), ""), &sink{})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		second := r.spawn(ctx, job(raw("y", 3), ""), &sink{})
		synctest.Wait()
		cancel()
		synctest.Wait()
		g.let(1)
		o := <-second
		o.check(t)
		if !errors.Is(o.err, context.Canceled) || o.sink.started != 0 || o.res.Usage != (jeantrail.Usage{}) {
			t.Errorf("got %v, started %d, %+v", o.err, o.sink.started, o.res.Usage)
		}
		g.open()
		(<-first).ok(t)
	})
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, enginetest.Config{NSeqMax: 1, OnStep: g.onStep}, engine.Options{MaxQueue: 2})
		var runs []<-chan outcome
		for range 3 {
			runs = append(runs, r.spawn(t.Context(), job(raw("x", 1), ""), &sink{}))
			synctest.Wait()
		}
		e := jeantrail.AsError(r.run(t.Context(), raw("x", 1)).err)
		if e.Code != jeantrail.CodeQueueFull || e.RetryAfter < time.Second || e.Numbers["max_queue"] != 2 {
			t.Errorf("got %v, retry after %v, %v", e, e.RetryAfter, e.Numbers)
		}
		if s := r.Stats(); s.Waiting != 2 {
			t.Errorf("%d wait", s.Waiting)
		}
		g.open()
		for _, c := range runs {
			(<-c).ok(t)
		}
		r.run(t.Context(), raw("x", 1)).ok(t)
	})
}

func TestPriorityAndAgeing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, enginetest.Config{NSeqMax: 1, OnStep: g.onStep}, engine.Options{AgeStep: 10 * time.Second})
		var runs []<-chan outcome
		submit := func(name string, p jeantrail.Priority) {
			runs = append(runs, r.spawn(t.Context(), job(raw(name, 1), p), &sink{}))
			synctest.Wait()
		}
		submit("holder", jeantrail.PriorityInteractive)
		submit("old background", jeantrail.PriorityBackground)
		<-time.After(15 * time.Second) // on the clock of the bubble
		submit("background", jeantrail.PriorityBackground)
		submit("normal batch", jeantrail.PriorityBatch)
		submit("interactive", jeantrail.PriorityInteractive)
		<-time.After(6 * time.Second)
		submit("late interactive", jeantrail.PriorityInteractive)
		g.open()
		for _, c := range runs {
			(<-c).ok(t)
		}
		var order []string
		for _, spans := range g.spans {
			order = append(order, text(spans[0].Tokens))
		}
		want := []string{"holder", "interactive", "old background", "late interactive", "normal batch", "background"}
		if !slices.Equal(order, want) {
			t.Errorf("got %q, want %q", order, want)
		}
	})
}

func text(tokens []engine.Token) string {
	b := make([]byte, len(tokens))
	for i, tok := range tokens {
		b[i] = byte(tok)
	}
	return string(b)
}

// A reader that does not read pauses its own job, and loses it in the end.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := enginetest.Config{Next: func([]engine.Token, uint32) engine.Token { return 'a' }}
		r := newRig(t, cfg, engine.Options{MaxUnread: 8, SlowReader: time.Minute})
		block := make(chan struct{})
		s := &sink{onToken: func(int) { <-block }}
		slow := r.spawn(t.Context(), job(raw("slow", 500), ""), s)
		synctest.Wait()
		if st := r.Stats(); st.Paused != 1 || st.Running != 1 {
			t.Fatalf("not paused: %+v", st)
		}
		begun := time.Now()
		r.run(t.Context(), raw("other", 300)).ok(t)
		if d := time.Since(begun); d > 0 {
			t.Errorf("the other one waited %v", d)
		}
		<-time.After(2 * time.Minute)
		close(block)
		o := <-slow
		o.check(t)
		if jeantrail.CodeOf(o.err) != jeantrail.CodeSlowReader || o.res.Usage.CompletionTokens > 20 {
			t.Errorf("got %v, %+v", o.err, o.res.Usage)
		}
	})
}

func TestPausedReaderGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := enginetest.Config{Next: func([]engine.Token, uint32) engine.Token { return 'a' }}
		r := newRig(t, cfg, engine.Options{MaxUnread: 8, SlowReader: time.Minute})
		s := &sink{onToken: func(int) { <-time.After(30 * time.Second) }}
		o := (<-r.spawn(t.Context(), job(raw("slow", 100), ""), s)).ok(t)
		if o.res.Text != strings.Repeat("a", 100) || r.Stats().Pauses == 0 {
			t.Errorf("got %q with %d pauses", o.res.Text, r.Stats().Pauses)
		}
	})
}
