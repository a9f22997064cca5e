package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/enginetest"
)

// oracle is what the fake model says after a prompt, without any engine.
func oracle(prompt string, maxTokens int, seed uint32) (text string, tokens int) {
	history := make([]engine.Token, len(prompt))
	for i := range len(prompt) {
		history[i] = engine.Token(prompt[i])
	}
	for tokens < maxTokens {
		tok := enginetest.Babble(history, seed)
		tokens++
		if tok == enginetest.ImEnd {
			break
		}
		history = append(history, tok)
	}
	var b strings.Builder
	for _, tok := range history[len(prompt):] {
		b.WriteByte(byte(tok))
	}
	return b.String(), tokens
}

// whim is a job of the property test.
type whim struct {
	prompt      string
	maxTokens   int
	seed        uint32
	priority    jeantrail.Priority
	cancelAfter int // tokens; -1 is never
	slow        bool
}

func drawWhim(t *rapid.T, i, room int) whim {
	w := whim{
		maxTokens:   rapid.IntRange(1, 120).Draw(t, "max_tokens"),
		seed:        uint32(rapid.IntRange(1, 50).Draw(t, "seed")),
		priority:    rapid.SampledFrom(jeantrail.Priorities()).Draw(t, "priority"),
		cancelAfter: -1,
		slow:        rapid.IntRange(0, 9).Draw(t, "slow") == 0,
	}
	shared := strings.Repeat(rapid.SampledFrom([]string{"system one. ", "another one! "}).Draw(t, "system"), rapid.IntRange(0, 8).Draw(t, "times"))
	own := rapid.StringMatching(`[ab ]{1,60}`).Draw(t, "own")
	w.prompt = shared + own
	if rapid.Bool().Draw(t, "different") {
		w.prompt = fmt.Sprint(i) + w.prompt
	}
	if len(w.prompt) > room-w.maxTokens {
		w.prompt = w.prompt[:room-w.maxTokens]
	}
	if rapid.IntRange(0, 2).Draw(t, "cancelled") == 0 {
		w.cancelAfter = rapid.IntRange(0, 30).Draw(t, "after")
	}
	return w
}

// Whatever comes in whatever order: each job says what it says alone, or the
// beginning of it; every count is exact; and in the end nothing is left.
func TestAnyCrowd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := enginetest.Config{
			NSeqMax:  rapid.IntRange(1, 6).Draw(rt, "seqs"),
			NBatch:   rapid.IntRange(8, 128).Draw(rt, "batch"),
			Separate: rapid.Bool().Draw(rt, "separate"),
		}
		cfg.NUBatch = max(1, cfg.NBatch/rapid.IntRange(1, 4).Draw(rt, "ubatches"))
		cfg.NCtx = rapid.IntRange(260, 700).Draw(rt, "ctx")
		if cfg.Separate {
			cfg.NCtx *= cfg.NSeqMax
		}
		r := &rig{fake: enginetest.New(cfg)}
		var err error
		if r.Engine, err = engine.New(r.fake, engine.Options{MaxUnread: 16}); err != nil {
			rt.Fatal(err)
		}
		if err := r.Start(); err != nil {
			rt.Fatal(err)
		}
		room := r.fake.Info().NCtxSeq
		n := rapid.IntRange(1, 20).Draw(rt, "jobs")
		whims := make([]whim, n)
		runs := make([]<-chan outcome, n)
		for i := range whims {
			whims[i] = drawWhim(rt, i, room)
			runs[i] = r.spawnWhim(whims[i])
		}
		for i, c := range runs {
			checkWhim(rt, i, whims[i], <-c)
		}
		if err := r.Stop(context.Background()); err != nil {
			rt.Fatal(err)
		}
		if s := r.Stats(); s.Running != 0 || s.Waiting != 0 || s.KVLive != 0 || s.KVUsed != r.fake.Used() || s.NoRoom != 0 {
			rt.Errorf("not back at zero: %+v, %d cells used", s, r.fake.Used())
		}
		if k := r.fake.Samplers(); k != 0 || r.fake.Err() != nil {
			rt.Errorf("%d samplers left, %v", k, r.fake.Err())
		}
	})
}

func (r *rig) spawnWhim(w whim) <-chan outcome {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sink{}
	turn := make(chan struct{}, 1)
	s.onToken = func(total int) {
		if w.cancelAfter >= 0 && total > w.cancelAfter {
			cancel()
		}
		if w.slow { // let others go first
			turn <- struct{}{}
			<-turn
		}
	}
	if w.cancelAfter == 0 {
		go cancel()
	}
	c := make(chan outcome, 1)
	go func() {
		defer cancel()
		c <- r.runJob(ctx, job(seeded(w.prompt, w.maxTokens, w.seed), w.priority), s)
	}()
	return c
}

func checkWhim(t *rapid.T, i int, w whim, o outcome) {
	text, tokens := oracle(w.prompt, w.maxTokens, w.seed)
	u := o.res.Usage
	if o.sink.tokens != u.CompletionTokens || o.sink.text.String() != o.res.Text {
		t.Errorf("job %d: the sink got %d tokens and %q, the result is %+v, %q", i, o.sink.tokens, o.sink.text.String(), u, o.res.Text)
	}
	if o.err == nil {
		if o.res.Text != text || u.CompletionTokens != tokens || u.PromptTokens != len(w.prompt) {
			t.Errorf("job %d said %q (%+v), alone %q (%d tokens)", i, o.res.Text, u, text, tokens)
		}
		return
	}
	if w.cancelAfter < 0 || o.res.FinishReason != jeantrail.FinishCancelled {
		t.Errorf("job %d failed: %v", i, o.err)
	}
	if !strings.HasPrefix(text, o.res.Text) || u.CompletionTokens < len(o.res.Text) || u.PromptTokens > len(w.prompt) {
		t.Errorf("job %d, cancelled, said %q (%+v), alone %q", i, o.res.Text, u, text)
	}
}
