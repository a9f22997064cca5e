//go:build cgo

package llama

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// rows makes rows of logits in which a few tokens stand out, so that draws
// repeat and every parameter has something to do.
func rows(n, vocab int, seed uint64) [][]float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([][]float32, n)
	for i := range out {
		out[i] = make([]float32, vocab)
		for t := range out[i] {
			out[i][t] = float32(rng.NormFloat64())
			if t%250 == 7 {
				out[i][t] += 5
			}
		}
	}
	return out
}

// Every fast path must draw what llama.cpp's whole chain draws with the same
// seed, and no two of these settings draw the same.
func TestFastPathsEqualTheChain(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 512})
	bias := map[int32]float32{7: 3, 257: -4, 507: float32(math.Inf(-1))}
	seen := map[string]string{}
	for name, sp := range map[string]SamplerParams{
		"greedy":            {},
		"greedy, penalties": {RepeatPenalty: 1.3, FrequencyPenalty: 0.2, PresencePenalty: 0.1},
		"greedy, dry":       {DryMultiplier: 5, DryAllowedLength: 1},
		"greedy, bias":      {LogitBias: bias},
		"plain":             {Temperature: 1},
		"hot":               {Temperature: 2.5, TopK: 100},
		"top-k 40":          {Temperature: 0.8, TopK: 40},
		"usual":             {Temperature: 0.8, TopK: 40, TopP: 0.9, MinP: 0.1},
		"top-k 128":         {Temperature: 1.5, TopK: 128},
		"top-k beyond fast": {Temperature: 1.5, TopK: 500},
		"top-k beyond all":  {Temperature: 1.5, TopK: 1 << 20},
		"top-p":             {Temperature: 1.2, TopP: 0.7},
		"min-p":             {Temperature: 1.2, MinP: 0.02},
		"typical":           {Temperature: 1.2, TypicalP: 0.8},
		"typical, top-k":    {Temperature: 1.2, TypicalP: 0.8, TopK: 60},
		"penalties":         {Temperature: 1, TopK: 40, RepeatPenalty: 1.4, PenaltyLastN: 16, FrequencyPenalty: 0.3, PresencePenalty: 0.3},
		"dry":               {Temperature: 1, TopK: 40, DryMultiplier: 5, DryAllowedLength: 1},
		"bias":              {Temperature: 1, TopK: 40, LogitBias: bias},
		"everything":        {Temperature: 1.1, TopK: 90, TopP: 0.97, MinP: 0.01, TypicalP: 0.95, RepeatPenalty: 1.1, DryMultiplier: 0.8, LogitBias: bias},
	} {
		t.Run(name, func(t *testing.T) {
			sp.Seed = 11
			draw := func(generic bool) []int32 {
				sp.forceGeneric = generic
				s := newSampler(t, x, sp)
				defer x.FreeSampler(s)
				if err := x.SeedSampler(s, []int32{7, 257, 7, 257, 1007, 7}); err != nil {
					t.Fatal(err)
				}
				var out []int32
				for _, row := range rows(200, m.Vocab().Size(), 3) {
					token, err := x.drawForTest(s, row)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, token)
				}
				return out
			}
			fast, chain := draw(false), draw(true)
			if !slices.Equal(fast, chain) {
				t.Fatalf("fast  %v\nchain %v", fast, chain)
			}
			if other, ok := seen[fmt.Sprint(fast)]; ok {
				t.Errorf("it draws what %q draws", other)
			}
			seen[fmt.Sprint(fast)] = name
		})
	}
	if n := x.Samplers(); n != 0 {
		t.Errorf("%d samplers are left", n)
	}
}

// Rows of nothing, and NaN among numbers.
func TestOddRows(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 512})
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, sp := range []SamplerParams{{}, {Temperature: 1, TopK: 20, Seed: 1}, {Temperature: 1, TopP: 0.9, Seed: 1}} {
		s := newSampler(t, x, sp)
		for _, fill := range []float32{nan, inf} {
			row := slices.Repeat([]float32{fill}, m.Vocab().Size())
			if _, err := x.drawForTest(s, slices.Clone(row)); !errors.Is(err, ErrNotFinite) {
				t.Errorf("%+v on a row of %v: %v", sp, fill, err)
			}
			last := len(row) - 1
			row[last] = -3
			if token, err := x.drawForTest(s, row); err != nil || int(token) != last {
				t.Errorf("%+v with one number among %v: %d, %v", sp, fill, token, err)
			}
		}
		tie := make([]float32, m.Vocab().Size())
		if token, err := x.drawForTest(s, tie); err != nil || (sp.Temperature == 0 && token != 0) {
			t.Errorf("%+v on equal logits: %d, %v", sp, token, err)
		}
	}
}

func TestSamplersHaveEffect(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 512})
	v := m.Vocab()
	p := tokenize(t, m, question("What are you?"))
	run := func(sp SamplerParams) string {
		s := newSampler(t, x, sp)
		defer x.FreeSampler(s)
		if err := x.SeedSampler(s, p); err != nil {
			t.Fatal(err)
		}
		return text(v, generate(t, x, 0, p, s, 24))
	}
	greedy := run(SamplerParams{})
	if again := run(SamplerParams{}); again != greedy || greedy == "" {
		t.Errorf("greedy gave %q, then %q", greedy, again)
	}
	hot := SamplerParams{Temperature: 3, Seed: 1}
	if a, b := run(hot), run(hot); a != b {
		t.Errorf("one seed gave %q and %q", a, b)
	}
	hot2 := SamplerParams{Temperature: 3, Seed: 2}
	if run(hot) == run(hot2) {
		t.Error("two seeds gave the same")
	}
	if run(SamplerParams{Temperature: 3, TopK: 1}) != greedy {
		t.Error("top-k 1 is not greedy")
	}
	if run(SamplerParams{Temperature: 1e-4, Seed: 3}) != greedy {
		t.Error("next to no temperature is not greedy")
	}
	first := tokenize(t, m, greedy)[0]
	if got := run(SamplerParams{LogitBias: map[int32]float32{first: float32(math.Inf(-1))}}); strings.HasPrefix(got, string(v.Piece(first))) {
		t.Errorf("a banned token came: %q", got)
	}
	if run(SamplerParams{RepeatPenalty: 100, PenaltyLastN: 256}) == greedy {
		t.Error("a strong penalty changed nothing")
	}
}

func TestLogprobs(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 512})
	p := tokenize(t, m, question("What are you?"))
	s := newSampler(t, x, SamplerParams{Temperature: 1, TopK: 5, Seed: 5, RepeatPenalty: 1.5})
	r := mustStep(t, x, nil, []Span{{Tokens: p, Sample: true, Sampler: s, Top: MaxTop}})[0]
	if len(r.Top) != MaxTop {
		t.Fatalf("%d candidates", len(r.Top))
	}
	sum := 0.0
	for i, c := range r.Top {
		if i > 0 && c.Logprob > r.Top[i-1].Logprob {
			t.Errorf("candidate %d is likelier than the one before", i)
		}
		if c.Token == r.Token && c.Logprob != r.Logprob {
			t.Errorf("the token's own logprob is %v, in the list %v", r.Logprob, c.Logprob)
		}
		sum += math.Exp(float64(c.Logprob))
	}
	if sum < 0.5 || sum > 1.0001 {
		t.Errorf("the candidates' probabilities add up to %v", sum)
	}
	if without := mustStep(t, x, []MemOp{{Seq: 0, P1: -1}}, []Span{{Tokens: p, Sample: true, Sampler: s}})[0]; without.Top != nil || without.Logprob != 0 {
		t.Errorf("logprobs nobody asked for: %+v", without)
	}
}

func TestGrammar(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 512})
	v := m.Vocab()
	p := tokenize(t, m, question("Are you a model?"))
	for name, sp := range map[string]SamplerParams{
		"greedy":  {},
		"top-k":   {Temperature: 1, TopK: 40, Seed: 7},
		"plain":   {Temperature: 1.5, Seed: 8},
		"generic": {Temperature: 1.5, Seed: 8, forceGeneric: true},
	} {
		sp.Grammar = `root ::= "yes" | "no" | "may" "be"`
		s := newSampler(t, x, sp)
		if got := text(v, generate(t, x, 0, p, s, 24)); got != "yes" && got != "no" && got != "maybe" {
			t.Errorf("%s: %q", name, got)
		}
	}
	// The whole alphabet is banned: the grammar has nowhere to go.
	ban := map[int32]float32{}
	for i := range v.Size() {
		ban[int32(i)] = float32(math.Inf(-1))
	}
	delete(ban, tokenize(t, m, "Z")[0])
	s := newSampler(t, x, SamplerParams{Grammar: `root ::= "yes"`, LogitBias: ban})
	r, _, err := x.Step([]MemOp{{Seq: 0, P1: -1}}, []Span{{Tokens: p, Sample: true, Sampler: s}}, nil)
	if err != nil || len(r) != 1 || !errors.Is(r[0].Err, ErrGrammarEnd) {
		t.Errorf("%+v, %v", r, err)
	}
	delete(ban, 0)
	ban[tokenize(t, m, "Z")[0]] = float32(math.Inf(-1))
	ban[0] = float32(math.Inf(-1))
	for _, sp := range []SamplerParams{{LogitBias: ban}, {LogitBias: ban, Temperature: 1, TopK: 3}, {LogitBias: ban, Temperature: 1}} {
		s := newSampler(t, x, sp)
		r := mustStep(t, x, []MemOp{{Seq: 0, P1: -1}}, []Span{{Tokens: p, Sample: true, Sampler: s}})
		if !errors.Is(r[0].Err, ErrNotFinite) {
			t.Errorf("everything banned: %+v", r[0])
		}
	}
}

func TestSchemaToGrammar(t *testing.T) {
	schema := `{"type":"object","properties":{"name":{"type":"string","maxLength":8},"on":{"type":"boolean"}},"required":["name","on"],"additionalProperties":false}`
	g, err := SchemaToGrammar([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	m, x := open(t, ContextParams{NCtx: 512})
	p := tokenize(t, m, question("What are you?"))
	for seed := range uint32(3) {
		s := newSampler(t, x, SamplerParams{Temperature: 0.7, Seed: seed, Grammar: g, TopK: 40})
		got := text(m.Vocab(), generate(t, x, 0, p, s, 200))
		var out struct {
			Name *string `json:"name"`
			On   *bool   `json:"on"`
		}
		if err := json.Unmarshal([]byte(got), &out); err != nil || out.Name == nil || out.On == nil {
			t.Errorf("%q: %v", got, err)
		}
	}
	for _, bad := range []string{"{", `{"type":"nonsense"}`} {
		if _, err := SchemaToGrammar([]byte(bad)); err == nil {
			t.Errorf("%s was taken for a schema", bad)
		}
	}
}

func TestSamplerRefusals(t *testing.T) {
	m, x := open(t, ContextParams{})
	nan := float32(math.NaN())
	for name, tc := range map[string]struct {
		p    SamplerParams
		says string
	}{
		"temperature":       {SamplerParams{Temperature: nan}, "temperature"},
		"top-p":             {SamplerParams{Temperature: 1, TopP: -1}, "top_p"},
		"min-p":             {SamplerParams{Temperature: 1, MinP: 1.5}, "min_p"},
		"repeat penalty":    {SamplerParams{RepeatPenalty: -1}, "repeat_penalty"},
		"frequency penalty": {SamplerParams{FrequencyPenalty: float32(math.Inf(1))}, "frequency_penalty"},
		"window":            {SamplerParams{PenaltyLastN: -1}, "window"},
		"dry":               {SamplerParams{DryMultiplier: -1}, "DRY"},
		"bias token":        {SamplerParams{LogitBias: map[int32]float32{int32(m.Vocab().Size()): 1}}, "logit_bias"},
		"bias value":        {SamplerParams{LogitBias: map[int32]float32{1: nan}}, "logit_bias"},
		"grammar syntax":    {SamplerParams{Grammar: `root ::= "unclosed`}, "grammar"},
		"no root":           {SamplerParams{Grammar: `other ::= "x"`}, "grammar"},
		"left recursion":    {SamplerParams{Grammar: `root ::= root "x"`}, "grammar"},
		"NUL":               {SamplerParams{Grammar: "root ::= \"a\"\x00"}, "NUL"},
		"large grammar":     {SamplerParams{Grammar: "root ::= \"" + strings.Repeat("a", 2<<20) + "\""}, "1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := x.NewSampler(tc.p)
			wantError(t, err, tc.says)
		})
	}
	if n := x.Samplers(); n != 0 {
		t.Errorf("%d samplers came of refusals", n)
	}
	s := newSampler(t, x, SamplerParams{RepeatPenalty: 2})
	if err := x.SeedSampler(s, []int32{-4}); !errors.Is(err, ErrArgument) {
		t.Errorf("seeding with a token that is not there: %v", err)
	}
	if err := x.FreeSampler(s); err != nil {
		t.Error(err)
	}
	if err := x.FreeSampler(s); !errors.Is(err, ErrArgument) {
		t.Errorf("freeing twice: %v", err)
	}
	if err := x.SeedSampler(s, nil); !errors.Is(err, ErrArgument) {
		t.Errorf("seeding a freed sampler: %v", err)
	}
	// The slot is used again, the old handle stays dead.
	if again := newSampler(t, x, SamplerParams{}); again == s {
		t.Error("a freed handle came back")
	}
}

// Samplers come and go on other goroutines while steps run.
func TestSamplersBesideSteps(t *testing.T) {
	m, x := open(t, ContextParams{NCtx: 512})
	p := tokenize(t, m, question("Hello!"))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 30 {
				s, err := x.NewSampler(SamplerParams{Temperature: 1, TopK: int32(i + 1), Seed: uint32(n), RepeatPenalty: 1.1})
				if err == nil {
					err = errors.Join(x.SeedSampler(s, p), x.FreeSampler(s))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	s := newSampler(t, x, SamplerParams{})
	want := generate(t, x, 0, p, s, 12)
	for range 3 {
		if got := generate(t, x, 0, p, s, 12); !slices.Equal(got, want) {
			t.Errorf("%v, then %v", want, got)
		}
	}
	wg.Wait()
	if n := x.Samplers(); n != 1 {
		t.Errorf("%d samplers are left, not 1", n)
	}
}

func BenchmarkSample(b *testing.B) {
	m := openModel(b)
	for name, sp := range map[string]SamplerParams{
		"greedy":        {},
		"topk40":        {Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.05},
		"topk40Generic": {Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.05, forceGeneric: true},
		"penalties":     {Temperature: 0.8, TopK: 40, RepeatPenalty: 1.1},
	} {
		b.Run(name, func(b *testing.B) {
			x := openContext(b, m, ContextParams{NCtx: 512})
			p := tokenize(b, m, question("Hello!"))
			s := newSampler(b, x, sp)
			var us int64
			for b.Loop() {
				_, info, err := x.Step([]MemOp{{Seq: 0, P1: -1}}, []Span{{Tokens: p, Sample: true, Sampler: s}}, nil)
				if err != nil {
					b.Fatal(err)
				}
				us += info.SampleUS
			}
			b.ReportMetric(float64(us)/float64(b.N), "sample-µs/op")
		})
	}
}
