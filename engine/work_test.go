package engine_test

import (
	"bytes"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/enginetest"
)

// A job ends exactly where its allowance does, which may depend on how much of
// the prompt the cache had.
func TestJobEndsWithItsAllowance(t *testing.T) {
	r := newRig(t, enginetest.Config{NCtx: 4096}, engine.Options{})
	prompt := prompts(1, 600)[0]
	for _, c := range []struct {
		name   string
		max    int
		allow  func(prompt, cached int) int
		tokens int
		reason jeantrail.FinishReason
	}{
		{"less than was asked", 50, func(int, int) int { return 20 }, 20, jeantrail.FinishBudget},
		{"just as much", 20, func(int, int) int { return 20 }, 20, jeantrail.FinishLength},
		{"more than was asked", 20, func(int, int) int { return 21 }, 20, jeantrail.FinishLength},
		{"a cached prompt leaves more", 50, func(_, cached int) int { return 5 + min(cached, 10) }, 15, jeantrail.FinishBudget},
		{"nothing left", 50, func(int, int) int { return 0 }, 1, jeantrail.FinishBudget},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := raw(prompt, c.max)
			req.IgnoreEOS = true
			o := r.runJob(t.Context(), job(req, ""), &sink{allow: c.allow}).ok(t)
			if o.res.Usage.CompletionTokens != c.tokens || o.res.FinishReason != c.reason || !o.res.Truncated {
				t.Errorf("%d tokens, %s, truncated %v", o.res.Usage.CompletionTokens, o.res.FinishReason, o.res.Truncated)
			}
		})
	}
}

func TestFingerprint(t *testing.T) {
	identity := "file 1"
	r := newRig(t, enginetest.Config{NCtx: 4096}, engine.Options{
		Identity: func() string { return identity }, Sampling: engine.SamplingParams{Temperature: 0.7},
	})
	ptr := func(v float64) *float64 { return &v }
	base := func() *jeantrail.TextRequest {
		q := raw("the same prompt", 20)
		q.Seed, q.Temperature = nil, ptr(0)
		return q
	}
	sum := func(q *jeantrail.TextRequest) ([]byte, bool) {
		t.Helper()
		work, err := r.Prepare(t.Context(), &job(q, "").Request)
		if err != nil {
			t.Fatal(err)
		}
		return work.Fingerprint()
	}
	want, deterministic := sum(base())
	if len(want) != 32 || !deterministic {
		t.Fatalf("greedy: %x, %v", want, deterministic)
	}
	if again, _ := sum(base()); !bytes.Equal(again, want) {
		t.Error("the same request has another fingerprint")
	}
	seed, one, k := uint32(5), 1, 40
	for name, change := range map[string]func(*jeantrail.TextRequest){
		"prompt":      func(q *jeantrail.TextRequest) { q.Prompt += "!" },
		"max_tokens":  func(q *jeantrail.TextRequest) { q.MaxTokens = &one },
		"temperature": func(q *jeantrail.TextRequest) { q.Temperature = ptr(0.5) },
		"top_p":       func(q *jeantrail.TextRequest) { q.TopP = ptr(0.5) },
		"top_k":       func(q *jeantrail.TextRequest) { q.TopK = &k },
		"stop":        func(q *jeantrail.TextRequest) { q.Stop = []string{"x"} },
		"ignore_eos":  func(q *jeantrail.TextRequest) { q.IgnoreEOS = true },
		"logit_bias":  func(q *jeantrail.TextRequest) { q.LogitBias = map[int32]float64{3: 1} },
		"grammar":     func(q *jeantrail.TextRequest) { q.Grammar = "root ::= \"x\"" },
		"penalty":     func(q *jeantrail.TextRequest) { q.RepeatPenalty = ptr(1.2) },
	} {
		q := base()
		change(q)
		if got, _ := sum(q); bytes.Equal(got, want) {
			t.Errorf("%s does not change the fingerprint", name)
		}
	}

	drawn := base()
	drawn.Temperature = nil
	first, deterministic := sum(drawn)
	if deterministic {
		t.Error("a draw without a seed is called deterministic")
	}
	if again, _ := sum(drawn); !bytes.Equal(again, first) {
		t.Error("the seed of one run is part of the fingerprint of a request without a seed")
	}
	drawn.Seed = &seed
	if got, deterministic := sum(drawn); !deterministic || bytes.Equal(got, first) {
		t.Errorf("with a seed: deterministic %v", deterministic)
	}
	greedy := base()
	greedy.Seed = &seed
	if got, _ := sum(greedy); !bytes.Equal(got, want) {
		t.Error("a seed that nothing draws with changes the fingerprint")
	}

	identity = "file 2"
	if got, _ := sum(base()); bytes.Equal(got, want) {
		t.Error("another model file has the same fingerprint")
	}
	identity = ""
	if got, _ := sum(base()); got != nil {
		t.Error("there is a fingerprint while the file is not known")
	}
}
