package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/enginetest"
)

func TestFollowUpReusesTheSlot(t *testing.T) {
	for name, separate := range layouts {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, enginetest.Config{Separate: separate, Next: enginetest.Say("answer", 100)}, engine.Options{})
			first := strings.Repeat("q", 100)
			r.run(t.Context(), raw(first, 50)).ok(t)
			o := r.run(t.Context(), raw(first+"answer"+"more", 1)).ok(t)
			// The end-of-turn token was sampled, not evaluated.
			if got := o.res.Usage.CachedTokens; got != 106 || o.sink.cached != 106 {
				t.Errorf("%d tokens were cached, %d by Started; want 106", got, o.sink.cached)
			}
			// The whole prompt is there: one token is evaluated again.
			if o := r.run(t.Context(), raw(first, 1)).ok(t); o.res.Usage.CachedTokens != 99 {
				t.Errorf("%d of 100 tokens were cached", o.res.Usage.CachedTokens)
			}
		})
	}
}

// Requests with the same beginning that come together evaluate it once.
func TestSharedPromptIsEvaluatedOnce(t *testing.T) {
	for name, separate := range layouts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				cfg := enginetest.Config{NCtx: 8192, NSeqMax: 8, NBatch: 512, OnStep: g.onStep, Separate: separate}
				r := newRig(t, cfg, engine.Options{})
				system := strings.Repeat("you are a helpful assistant. ", 17)[:480]
				r.spawnHold(t, g)
				var runs []<-chan outcome
				for i := range 7 {
					runs = append(runs, r.spawn(t.Context(), job(raw(fmt.Sprintf("%s%d?", system, i), 3), ""), &sink{}))
				}
				synctest.Wait()
				g.open()
				cached := 0
				for _, c := range runs {
					cached += (<-c).ok(t).res.Usage.CachedTokens
				}
				if cached != 6*480 {
					t.Errorf("%d tokens were shared, want %d", cached, 6*480)
				}
				if n := r.fake.Rows(); n > 480+7*6+10 {
					t.Errorf("%d rows were evaluated", n)
				}
			})
		})
	}
}

// spawnHold runs a short job and stops in its first step, so that what is
// submitted next is seen all at once.
func (r *rig) spawnHold(t *testing.T, _ *gate) {
	t.Helper()
	c := r.spawn(t.Context(), job(raw("-", 1), ""), &sink{})
	synctest.Wait()
	t.Cleanup(func() { (<-c).ok(t) })
}

// If the one that evaluates a shared prompt goes away, the others go on.
func TestLeaderIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		cfg := enginetest.Config{NSeqMax: 4, NBatch: 128, NUBatch: 64, OnStep: g.onStep}
		r := newRig(t, cfg, engine.Options{})
		system := strings.Repeat("s", 600)
		ctx, cancel := context.WithCancel(t.Context())
		leader := r.spawn(ctx, job(raw(system+"leader", 3), ""), &sink{})
		synctest.Wait()
		var runs []<-chan outcome
		for i := range 3 {
			runs = append(runs, r.spawn(t.Context(), job(raw(fmt.Sprintf("%s%d", system, i), 3), ""), &sink{}))
		}
		synctest.Wait()
		g.let(2)
		cancel()
		synctest.Wait()
		g.open()
		if o := <-leader; !errors.Is(o.err, context.Canceled) {
			t.Errorf("leader: %v", o.err)
		}
		for _, c := range runs {
			(<-c).ok(t)
		}
		if n := r.fake.Rows(); n > 606+20 {
			t.Errorf("%d rows were evaluated: the prefix was not shared", n)
		}
	})
}

func TestFullCacheEvictsIdlePrefixes(t *testing.T) {
	r := newRig(t, enginetest.Config{NCtx: 512, NSeqMax: 4}, engine.Options{})
	for _, p := range prompts(20, 200) {
		r.run(t.Context(), raw(p, 50)).ok(t)
	}
	s := r.Stats()
	if s.EvictedTokens == 0 || s.Preemptions != 0 || s.NoRoom != 0 {
		t.Errorf("%+v", s)
	}
}

// Answers that outgrow the cache push out the youngest, which says the same in
// the end.
func TestPreemptionKeepsTheText(t *testing.T) {
	cfg := enginetest.Config{NCtx: 640, NSeqMax: 4, NBatch: 128}
	cfg.Next = func(tokens []engine.Token, seed uint32) engine.Token {
		if tok := enginetest.Babble(tokens, seed); tok != enginetest.ImEnd {
			return tok
		}
		return '!'
	}
	var reqs []*jeantrail.TextRequest
	for i, p := range prompts(6, 40) {
		reqs = append(reqs, seeded(p, 400, uint32(i)))
	}
	want := alone(t, cfg, reqs)
	r := newRig(t, cfg, engine.Options{})
	var runs []<-chan outcome
	for _, req := range reqs {
		runs = append(runs, r.spawn(t.Context(), job(req, ""), &sink{}))
	}
	for i, c := range runs {
		o := (<-c).ok(t)
		if o.res.Text != want[i] || o.res.Usage.CompletionTokens != 400 {
			t.Errorf("job %d said %q (%d tokens), alone %q", i, o.res.Text, o.res.Usage.CompletionTokens, want[i])
		}
		if o.res.Usage.PromptTokens != 40 || o.res.Usage.CachedTokens > 39 {
			t.Errorf("job %d: %+v", i, o.res.Usage)
		}
	}
	if s := r.Stats(); s.Preemptions == 0 || s.NoRoom != 0 {
		t.Errorf("%d preemptions, %d steps without room", s.Preemptions, s.NoRoom)
	}
}

// A cache that has less room than it says does not fail anybody either.
func TestNoRoomIsSurvived(t *testing.T) {
	cfg := enginetest.Config{NSeqMax: 4, NBatch: 128}
	var reqs []*jeantrail.TextRequest
	for i, p := range prompts(8, 150) {
		reqs = append(reqs, seeded(p, 40, uint32(i)))
	}
	want := alone(t, cfg, reqs)
	var r *rig
	cfg.OnStep = func(_ []engine.MemOp, spans []engine.Span) (engine.Outcome, error) {
		rows := r.fake.Used()
		for _, s := range spans {
			rows += len(s.Tokens)
		}
		if rows > 300 {
			return engine.OutcomeNoRoom, nil
		}
		return engine.OutcomeOK, nil
	}
	r = newRig(t, cfg, engine.Options{})
	var runs []<-chan outcome
	for _, req := range reqs {
		runs = append(runs, r.spawn(t.Context(), job(req, ""), &sink{}))
	}
	for i, c := range runs {
		if o := (<-c).ok(t); o.res.Text != want[i] {
			t.Errorf("job %d said %q, alone %q", i, o.res.Text, want[i])
		}
	}
	if r.Stats().NoRoom == 0 {
		t.Error("the cache never was without room")
	}
}

// A job that finds no room although it is alone ends, and only that job.
func TestNoRoomForOneAlone(t *testing.T) {
	cfg := enginetest.Config{}
	cfg.OnStep = func(_ []engine.MemOp, spans []engine.Span) (engine.Outcome, error) {
		if len(spans) > 0 && spans[0].Pos+len(spans[0].Tokens) > 20 {
			return engine.OutcomeNoRoom, nil
		}
		return engine.OutcomeOK, nil
	}
	r := newRig(t, cfg, engine.Options{})
	o := r.run(t.Context(), raw(strings.Repeat("x", 50), 5))
	o.check(t)
	if jeantrail.CodeOf(o.err) != jeantrail.CodeInternal || o.res.Usage.PromptTokens != 20 {
		t.Errorf("got %v, %+v", o.err, o.res.Usage)
	}
	r.run(t.Context(), raw("y", 5)).ok(t)
}
