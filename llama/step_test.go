//go:build cgo

package llama

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

var questions = []string{"What are you?", "How do I pull a model?", "Hello!", "Which endpoints are there?"}

// Sequences in one batch must give what each gives alone. The kernels for one row
// and for many round differently, so the logarithms are compared with a
// tolerance, and the tokens where the best is ahead by more than that.
func TestBatchEqualsAlone(t *testing.T) {
	const tolerance = 0.05
	for _, unified := range []bool{true, false} {
		m, x := open(t, ContextParams{NCtx: 2048, NSeqMax: 4, Unified: unified})
		ask := func(seq int, s SamplerID, q string) Span {
			return Span{Seq: seq, Tokens: tokenize(t, m, question(q)), Sample: true, Sampler: s, Top: 2}
		}
		s := newSampler(t, x, SamplerParams{})
		var alone []Result
		for _, q := range questions {
			alone = append(alone, mustStep(t, x, []MemOp{{Seq: 0, P1: -1}}, []Span{ask(0, s, q)})...)
		}
		// Out of order on purpose: without unified KV the shim has to sort.
		var spans []Span
		for i, q := range questions {
			spans = append(spans, ask(len(questions)-1-i, s, q))
		}
		for i, r := range mustStep(t, x, []MemOp{{Seq: 0, P1: -1}}, spans) {
			a := alone[i]
			if r.Span != i || len(r.Top) != 2 {
				t.Fatalf("result %d is of span %d with %d candidates", i, r.Span, len(r.Top))
			}
			if d := math.Abs(float64(r.Logprob - a.Logprob)); d > tolerance || math.IsNaN(d) {
				t.Errorf("unified %v, %q: logprob %v in a batch, %v alone", unified, questions[i], r.Logprob, a.Logprob)
			}
			if a.Top[0].Logprob-a.Top[1].Logprob > tolerance && r.Token != a.Token {
				t.Errorf("unified %v, %q: token %d in a batch, %d alone", unified, questions[i], r.Token, a.Token)
			}
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Decode rows of some sequences with a prefill of another in one step.
func TestMixedStep(t *testing.T) {
	for _, unified := range []bool{true, false} {
		m, x := open(t, ContextParams{NCtx: 2048, NSeqMax: 3, Unified: unified})
		s := newSampler(t, x, SamplerParams{})
		want := generate(t, x, 0, tokenize(t, m, question(questions[0])), s, 8)
		p0, p2 := tokenize(t, m, question(questions[0])), tokenize(t, m, question(questions[1]))
		r := mustStep(t, x, []MemOp{{Seq: 0, P1: -1}}, []Span{{Seq: 2, Tokens: p0, Sample: true, Sampler: s}})
		var got []int32
		for i := range want {
			got = append(got, r[0].Token)
			spans := []Span{{Seq: 2, Pos: len(p0) + i, Tokens: []int32{r[0].Token}, Sample: true, Sampler: s}}
			if i < len(p2) { // token by token, without a sample
				spans = append(spans, Span{Seq: 0, Pos: i, Tokens: p2[i : i+1]})
			}
			if r = mustStep(t, x, nil, spans); len(r) != 1 || r[0].Span != 0 {
				t.Fatalf("results %+v", r)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("unified %v: %q beside a prefill, %q alone", unified, text(m.Vocab(), got), text(m.Vocab(), want))
		}
		if n := seqLen(t, x, 0); n != len(want) {
			t.Errorf("the prefill is at %d, not %d", n, len(want))
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Splitting a prompt over several spans and steps changes nothing.
func TestChunkedPrefill(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 1024})
	s := newSampler(t, x, SamplerParams{})
	p := tokenize(t, m, question(strings.Repeat("What are you? ", 10)))
	want := generate(t, x, 0, p, s, 12)
	cut := len(p) / 3
	mustStep(t, x, []MemOp{{Seq: 0, P1: -1}}, []Span{{Tokens: p[:cut]}})
	r := mustStep(t, x, nil, []Span{
		{Pos: cut, Tokens: p[cut : 2*cut]},
		{Pos: 2 * cut, Tokens: p[2*cut:], Sample: true, Sampler: s},
	})
	if got := continueFrom(t, x, 0, len(p), r, s, 12); !slices.Equal(got, want) {
		t.Errorf("chunked %q, whole %q", text(m.Vocab(), got), text(m.Vocab(), want))
	}
}

func TestCopyAndRemove(t *testing.T) {
	for _, unified := range []bool{true, false} {
		m, x := open(t, ContextParams{NCtx: 1024, NSeqMax: 3, Unified: unified})
		s := newSampler(t, x, SamplerParams{})
		p := tokenize(t, m, question(questions[1]))
		want := generate(t, x, 0, p, s, 12)
		last := len(p) - 1

		// Without unified KV only whole sequences can be copied, so sequence 0 is cut
		// back first.
		ops := []MemOp{{Kind: MemRemove, Seq: 0, P0: last, P1: -1}, {Kind: MemCopy, Seq: 0, Dst: 1, P1: -1}}
		r := mustStep(t, x, ops, []Span{{Seq: 1, Pos: last, Tokens: p[last:], Sample: true, Sampler: s}})
		if got := continueFrom(t, x, 1, len(p), r, s, 12); !slices.Equal(got, want) {
			t.Errorf("unified %v: the copy says %q, the original %q", unified, text(m.Vocab(), got), text(m.Vocab(), want))
		}
		if n := seqLen(t, x, 0); n != last {
			t.Errorf("unified %v: the original is %d long, not %d", unified, n, last)
		}
		// A part of a sequence.
		_, _, err := x.Step([]MemOp{{Kind: MemCopy, Seq: 0, Dst: 2, P0: 0, P1: 4}}, nil, nil)
		if unified && (err != nil || seqLen(t, x, 2) != 4) {
			t.Errorf("partial copy: %v, %d long", err, seqLen(t, x, 2))
		}
		if !unified && !errors.Is(err, ErrArgument) {
			t.Errorf("partial copy between streams: %v", err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAbort(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 2048, NUBatch: 32})
	p := tokenize(t, m, strings.Repeat("What are you? ", 120))
	p = p[:min(len(p), 1500)]

	// Set before the step: the first ubatch is given up.
	x.Abort(true)
	_, info, err := x.Step(nil, []Span{{Tokens: p}}, nil)
	if err != nil || info.Outcome != OutcomeAborted || seqLen(t, x, 0) != 0 {
		t.Fatalf("outcome %d, %v, %d tokens", info.Outcome, err, seqLen(t, x, 0))
	}

	// Set while it runs: whole ubatches stay, and the rest can be evaluated.
	for try := 0; ; try++ {
		x.Abort(false)
		done := make(chan struct{})
		go func() {
			defer close(done)
			x.Abort(true)
		}()
		_, info, err = x.Step([]MemOp{{Seq: 0, P1: -1}}, []Span{{Tokens: p}}, nil)
		<-done
		if err != nil {
			t.Fatal(err)
		}
		if n := seqLen(t, x, 0); info.Outcome == OutcomeAborted && n%32 == 0 && n < len(p) {
			break
		}
		if try == 100 {
			t.Fatal("a hundred steps ended before they could be aborted")
		}
	}
	x.Abort(false)
	n := seqLen(t, x, 0)
	s := newSampler(t, x, SamplerParams{})
	r := mustStep(t, x, nil, []Span{{Pos: n, Tokens: p[n:], Sample: true, Sampler: s, Top: 1}})
	whole := mustStep(t, x, []MemOp{{Seq: 0, P1: -1}}, []Span{{Tokens: p, Sample: true, Sampler: s, Top: 1}})
	if r[0].Token != whole[0].Token {
		t.Errorf("after an abort at %d: token %d, without %d", n, r[0].Token, whole[0].Token)
	}
}

func TestNoRoom(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 256, NSeqMax: 2, Unified: true})
	p := tokenize(t, m, strings.Repeat("What are you? ", 60))
	mustStep(t, x, nil, []Span{{Seq: 0, Tokens: p[:200]}})
	_, info, err := x.Step(nil, []Span{{Seq: 1, Tokens: p[:100]}}, nil)
	if err != nil || info.Outcome != OutcomeNoRoom {
		t.Fatalf("outcome %d, %v", info.Outcome, err)
	}
	if a, b := seqLen(t, x, 0), seqLen(t, x, 1); a != 200 || b != 0 {
		t.Errorf("after no room the sequences are %d and %d long", a, b)
	}
	mustStep(t, x, nil, []Span{{Seq: 1, Tokens: p[:56]}})
}

func TestStepRefusals(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 512, NSeqMax: 2, NBatch: 64, NUBatch: 64, Unified: true})
	s := newSampler(t, x, SamplerParams{})
	one := []int32{1}
	mustStep(t, x, nil, []Span{{Seq: 0, Tokens: []int32{1, 2, 3}}})
	freed := newSampler(t, x, SamplerParams{})
	if err := x.FreeSampler(freed); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ops   []MemOp
		spans []Span
		says  string
	}{
		"sequence too high":   {nil, []Span{{Seq: 2, Tokens: one}}, "sequence 2 of 2"},
		"sequence negative":   {nil, []Span{{Seq: -1, Tokens: one}}, "sequence -1"},
		"position ahead":      {nil, []Span{{Seq: 0, Pos: 5, Tokens: one}}, "continues at 3"},
		"position behind":     {nil, []Span{{Seq: 0, Pos: 0, Tokens: one}}, "continues at 3"},
		"no tokens":           {nil, []Span{{Seq: 1}}, "has 0 tokens"},
		"token too high":      {nil, []Span{{Seq: 1, Tokens: []int32{int32(m.Vocab().Size())}}}, "not in the vocabulary"},
		"token negative":      {nil, []Span{{Seq: 1, Tokens: []int32{-1}}}, "not in the vocabulary"},
		"more than n_batch":   {nil, []Span{{Seq: 1, Tokens: make([]int32, 65)}}, "n_batch = 64"},
		"many spans":          {nil, make([]Span, 65), "n_batch = 64"},
		"no such sampler":     {nil, []Span{{Seq: 1, Tokens: one, Sample: true, Sampler: 77}}, "unknown sampler"},
		"freed sampler":       {nil, []Span{{Seq: 1, Tokens: one, Sample: true, Sampler: freed}}, "unknown sampler"},
		"many outputs":        {nil, []Span{{Seq: 1, Tokens: one, Sample: true, Sampler: s}, {Seq: 1, Pos: 1, Tokens: one, Sample: true, Sampler: s}, {Seq: 1, Pos: 2, Tokens: one, Sample: true, Sampler: s}}, "want a sample"},
		"many logprobs":       {nil, []Span{{Seq: 1, Tokens: one, Sample: true, Sampler: s, Top: MaxTop + 1}}, "log-probabilities"},
		"op out of range":     {[]MemOp{{Seq: 9}}, nil, "sequence 9"},
		"op of no kind":       {[]MemOp{{Kind: 9}}, nil, "unknown kind"},
		"copy to itself":      {[]MemOp{{Kind: MemCopy, Seq: 0, Dst: 0, P1: -1}}, nil, "which it cannot"},
		"copy to a full one":  {[]MemOp{{Kind: MemCopy, Seq: 1, Dst: 0, P1: -1}}, nil, "not empty"},
		"copy out of range":   {[]MemOp{{Kind: MemCopy, Seq: 0, Dst: 7, P1: -1}}, nil, "which it cannot"},
		"too many operations": {make([]MemOp, 5000), nil, "memory operations"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, err := x.Step(tc.ops, tc.spans, nil)
			wantError(t, err, tc.says)
			if !errors.Is(err, ErrArgument) || len(r) != 0 {
				t.Errorf("%v with %d results", err, len(r))
			}
		})
	}
	if _, err := x.SeqLen(2); !errors.Is(err, ErrArgument) {
		t.Errorf("length of a sequence that is not there: %v", err)
	}
	// Refusals left everything in order.
	mustStep(t, x, nil, []Span{{Seq: 0, Pos: 3, Tokens: one, Sample: true, Sampler: s}})

	// A span that runs over the end of a sequence.
	for pos := 4; pos < 512; pos += 4 {
		mustStep(t, x, nil, []Span{{Seq: 0, Pos: pos, Tokens: []int32{1, 2, 3, 4}}})
	}
	_, _, err := x.Step(nil, []Span{{Seq: 0, Pos: 512, Tokens: one}}, nil)
	wantError(t, err, "beyond the 512")
}

func TestContextRefusals(t *testing.T) {
	m := openModel(t)
	for name, p := range map[string]ContextParams{
		"negative context":   {NCtx: -1},
		"too many sequences": {NSeqMax: 1000},
		"negative batch":     {NBatch: -4},
		"negative threads":   {NThreads: -2},
	} {
		if x, err := NewContext(m, p); !errors.Is(err, ErrArgument) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				x.Close()
			}
		}
	}
}

func TestConcurrentUseIsAnError(t *testing.T) {
	_, x := open(t, ContextParams{})
	if err := x.enter(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Step(nil, nil, nil); !errors.Is(err, ErrConcurrent) {
		t.Errorf("second user: %v", err)
	}
	if err := x.Close(); !errors.Is(err, ErrInUse) {
		t.Errorf("close during a call: %v", err)
	}
	x.leave()
}

func TestStepAllocatesNothing(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 1024})
	p := tokenize(t, m, question("Hello!"))
	s := newSampler(t, x, SamplerParams{})
	results := mustStep(t, x, nil, []Span{{Tokens: p, Sample: true, Sampler: s}})
	pos, token := len(p), []int32{1}
	spans := []Span{{Tokens: token, Sample: true, Sampler: s}}
	n := testing.AllocsPerRun(50, func() {
		spans[0].Pos = pos
		var err error
		if results, _, err = x.Step(nil, spans, results); err != nil {
			t.Fatal(err)
		}
		token[0] = results[0].Token
		pos++
	})
	if n > 0 {
		t.Errorf("%v allocations in a step", n)
	}
}

func TestBenchLoops(t *testing.T) {
	for _, unified := range []bool{true, false} {
		_, x := open(t, ContextParams{NCtx: 1024, NSeqMax: 4, NThreads: DefaultThreads(), Unified: unified})
		if d, err := x.BenchPrompt(64); err != nil || d <= 0 {
			t.Errorf("prompt: %v, %v", d, err)
		}
		if d, err := x.BenchGenerate(8); err != nil || d <= 0 {
			t.Errorf("generate: %v, %v", d, err)
		}
		for _, shared := range []bool{false, true} {
			if p, g, err := x.BenchBatched(16, 4, 4, shared); err != nil || p <= 0 || g <= 0 {
				t.Errorf("batched, shared %v: %v, %v, %v", shared, p, g, err)
			}
		}
		if _, err := x.BenchPrompt(2000); !errors.Is(err, ErrArgument) {
			t.Errorf("a prompt that does not fit: %v", err)
		}
		if _, _, err := x.BenchBatched(4, 4, 5, false); !errors.Is(err, ErrArgument) {
			t.Errorf("too many sequences: %v", err)
		}
		if n := seqLen(t, x, 0); n != 0 {
			t.Errorf("%d tokens were left behind", n)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
