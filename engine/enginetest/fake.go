package enginetest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"

	"github.com/jeantrail/jeantrail-ai/engine"
)

// Config shapes a Fake. The zero value is a unified cache of 4096 cells for 4
// sequences with a batch of 512.
type Config struct {
	NCtx, NSeqMax, NBatch, NUBatch int
	Separate                       bool // every sequence has NCtx/NSeqMax cells of its own
	ChatTemplate                   string
	// Next is what the model says after the tokens of a sequence. Nil is Babble.
	Next func(tokens []engine.Token, seed uint32) engine.Token
	// OnStep is called before each step and may block, or end the step with an
	// outcome or an error of its own. Nil does nothing.
	OnStep func(ops []engine.MemOp, spans []engine.Span) (engine.Outcome, error)
	// OnUBatch is called before each NUBatch rows, with the number of the first;
	// after it returns, the abort flag is looked at. Nil does nothing.
	OnUBatch func(first int)
	// OnLoad is called before a state is loaded, and may refuse it. Nil does nothing.
	OnLoad func() error
	// Vision makes it read images.
	Vision bool
	// OnEncode is called before an image is encoded, and may block, or end it with
	// an error; after it returns, the abort flag is looked at. Nil does nothing.
	OnEncode func() error
}

// Fake is a scripted engine.Decoder and engine.Renderer.
type Fake struct {
	cfg   Config
	info  engine.Info
	cache cache

	mu       sync.Mutex
	aborting bool
	blinded  bool // AbortEncode was set
	encoding bool
	encoded  int
	images   int // steps of an image
	samplers map[engine.SamplerID]engine.SamplingParams
	next     engine.SamplerID
	seeded   map[engine.SamplerID]int
	steps    int
	rows     int
	saved    int
	loaded   int
	closed   bool
	errs     []error
}

// New makes a Fake.
func New(cfg Config) *Fake {
	fill := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	fill(&cfg.NCtx, 4096)
	fill(&cfg.NSeqMax, 4)
	fill(&cfg.NBatch, 512)
	fill(&cfg.NUBatch, min(cfg.NBatch, 128))
	if cfg.Next == nil {
		cfg.Next = Babble
	}
	ctxSeq := cfg.NCtx
	if cfg.Separate {
		ctxSeq /= cfg.NSeqMax
	}
	if cfg.ChatTemplate == "" {
		cfg.ChatTemplate = "chatml"
	}
	return &Fake{
		cfg:      cfg,
		cache:    cache{unified: !cfg.Separate, ctx: cfg.NCtx, ctxSeq: ctxSeq, seqs: make([][]*cell, cfg.NSeqMax)},
		samplers: make(map[engine.SamplerID]engine.SamplingParams),
		seeded:   make(map[engine.SamplerID]int),
		info: engine.Info{
			Model: "fake", Architecture: "fake", Device: "CPU", NCtx: cfg.NCtx, NCtxSeq: ctxSeq, NSeqMax: cfg.NSeqMax,
			NBatch: cfg.NBatch, NUBatch: cfg.NUBatch, NCtxTrain: ctxSeq, Unified: !cfg.Separate, ChatTemplate: cfg.ChatTemplate, Threads: 1,
			Vision: cfg.Vision, KVBytes: int64(4 * cfg.NCtx),
		},
	}
}

// Babble is a model that says letters and spaces, and now and then ends.
func Babble(tokens []engine.Token, seed uint32) engine.Token {
	h := fnv.New64a()
	for _, t := range tokens {
		h.Write([]byte{byte(t), byte(t >> 8)})
	}
	v := (h.Sum64() ^ uint64(seed)*0x9E3779B97F4A7C15) >> 17
	if v%41 == 0 {
		return ImEnd
	}
	return engine.Token("abcdefghijklmnop qrstuvwxyz "[v%28])
}

// Say is a model that says the text, which may contain special tokens, after a
// prompt of so many tokens, and ends.
func Say(text string, promptTokens int) func([]engine.Token, uint32) engine.Token {
	script, _ := Vocab{}.Tokenize(text, true)
	return func(tokens []engine.Token, _ uint32) engine.Token {
		if n := len(tokens) - promptTokens; n >= 0 && n < len(script) {
			return script[n]
		}
		return ImEnd
	}
}

// Info implements engine.Decoder.
func (f *Fake) Info() engine.Info { return f.info }

// Vocab implements engine.Decoder.
func (f *Fake) Vocab() engine.Vocab { return Vocab{} }

// NewSampler implements engine.Decoder. The grammar "bad" is refused.
func (f *Fake) NewSampler(p engine.SamplingParams) (engine.SamplerID, error) {
	if p.Grammar == "bad" {
		return 0, errors.New("the grammar has no root")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	f.samplers[f.next] = p
	return f.next, nil
}

// FreeSampler implements engine.Decoder.
func (f *Fake) FreeSampler(id engine.SamplerID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.samplers[id]; !ok {
		f.errs = append(f.errs, fmt.Errorf("free sampler %d, which is not there", id))
	}
	delete(f.samplers, id)
}

// SeedSampler implements engine.Decoder.
func (f *Fake) SeedSampler(id engine.SamplerID, tokens []engine.Token) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seeded[id] += len(tokens)
	return nil
}

// Step implements engine.Decoder.
func (f *Fake) Step(ops []engine.MemOp, spans []engine.Span, results []engine.Result) ([]engine.Result, engine.StepInfo, error) {
	if f.cfg.OnStep != nil {
		outcome, err := f.cfg.OnStep(ops, spans)
		if err != nil {
			return results, engine.StepInfo{}, err
		}
		if outcome != engine.OutcomeOK {
			return results, engine.StepInfo{Outcome: outcome}, f.operate(ops)
		}
	}
	f.mu.Lock()
	f.steps++
	f.mu.Unlock()
	if err := f.operate(ops); err != nil {
		return results, engine.StepInfo{}, err
	}
	if err := f.check(spans); err != nil {
		return results, engine.StepInfo{}, f.note(err)
	}
	if !f.cache.room(spans) {
		return results, engine.StepInfo{Outcome: engine.OutcomeNoRoom}, nil
	}
	f.cache.copying = f.cache.copying && len(spans) == 0
	rows, aborted := f.evaluate(spans)
	info := engine.StepInfo{DecodeUS: int64(1000 + 10*rows), SampleUS: 1}
	if aborted {
		info.Outcome = engine.OutcomeAborted
		return results, info, nil
	}
	for i, s := range spans {
		if s.Sample {
			results = append(results, f.sample(i, s))
		}
	}
	return results, info, nil
}

func (f *Fake) operate(ops []engine.MemOp) error {
	for _, op := range ops {
		if err := f.cache.apply(op); err != nil {
			return f.note(err)
		}
	}
	return nil
}

// check holds a batch against llama.cpp's rules.
func (f *Fake) check(spans []engine.Span) error {
	rows, last := 0, -1
	for i, s := range spans {
		switch {
		case s.Seq < 0 || s.Seq >= len(f.cache.seqs):
			return fmt.Errorf("span %d is of sequence %d", i, s.Seq)
		case s.Seq <= last:
			return fmt.Errorf("span %d of sequence %d is not in order", i, s.Seq)
		case s.Image != nil && (len(spans) > 1 || s.Sample || len(s.Tokens) > 0):
			return fmt.Errorf("span %d is an image that is not alone, or has more than that", i)
		case s.Image == nil && len(s.Tokens) == 0:
			return fmt.Errorf("span %d is empty", i)
		case s.Pos != f.cache.end(s.Seq):
			return fmt.Errorf("span %d begins at %d, sequence %d ends at %d", i, s.Pos, s.Seq, f.cache.end(s.Seq))
		case s.Sample && !f.hasSampler(s.Sampler):
			return fmt.Errorf("span %d wants sampler %d, which is not there", i, s.Sampler)
		}
		last = s.Seq
		rows += len(s.Tokens)
	}
	if rows > f.info.NBatch {
		return fmt.Errorf("batch of %d rows, the most is %d", rows, f.info.NBatch)
	}
	return nil
}

// evaluate puts rows into the cache, NUBatch at a time.
func (f *Fake) evaluate(spans []engine.Span) (rows int, aborted bool) {
	for _, s := range spans {
		if s.Image != nil {
			return f.evaluateImage(s)
		}
		for _, t := range s.Tokens {
			if rows%f.info.NUBatch == 0 {
				if f.cfg.OnUBatch != nil {
					f.cfg.OnUBatch(rows)
				}
				if f.isAborting() {
					return rows, true
				}
			}
			f.cache.extend(s.Seq, t)
			rows++
		}
	}
	f.mu.Lock()
	f.rows += rows
	f.mu.Unlock()
	return rows, false
}

func (f *Fake) sample(i int, s engine.Span) engine.Result {
	f.mu.Lock()
	p := f.samplers[s.Sampler]
	f.mu.Unlock()
	if p.Grammar == "stuck" {
		return engine.Result{Span: i, Err: errors.New("the grammar has no way on")}
	}
	t := f.cfg.Next(f.cache.tokens(s.Seq), p.Seed)
	if _, biased := p.LogitBias[t]; biased {
		t = '.'
	}
	return engine.Result{Span: i, Token: t, EOG: Vocab{}.IsEOG(t)}
}

func (f *Fake) note(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
	return err
}

func (f *Fake) hasSampler(id engine.SamplerID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.samplers[id]
	return ok
}

// Abort implements engine.Decoder.
func (f *Fake) Abort(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.aborting = on
}

func (f *Fake) isAborting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.aborting
}

// SeqLen implements engine.Decoder.
func (f *Fake) SeqLen(seq int) int {
	if n := len(f.cache.seqs[seq]); n > 0 {
		return f.cache.seqs[seq][n-1].pos + 1
	}
	return 0
}

// Close implements engine.Decoder.
func (f *Fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// RenderChat implements engine.Renderer with a ChatML template.
func (f *Fake) RenderChat(_ context.Context, messages []engine.ChatMessage, tools []string, thinking bool) (string, error) {
	var b strings.Builder
	for _, t := range tools {
		b.WriteString("<|im_start|>tool\n" + t + "<|im_end|>\n")
	}
	for _, m := range messages {
		b.WriteString("<|im_start|>" + m.Role + "\n" + strings.TrimSpace(m.Content) + "<|im_end|>\n")
	}
	b.WriteString("<|im_start|>assistant\n")
	if !thinking {
		b.WriteString("<think>\n\n</think>\n\n")
	}
	return b.String(), nil
}

// Err returns what broke a rule, nil if nothing did.
func (f *Fake) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.errs...)
}

// Samplers is how many sampler handles are out.
func (f *Fake) Samplers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.samplers)
}

// Seeded is how many tokens samplers were shown in all.
func (f *Fake) Seeded() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, v := range f.seeded {
		n += v
	}
	return n
}

// Rows is how many tokens were evaluated in complete steps.
func (f *Fake) Rows() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows
}

// Steps is how many steps were run.
func (f *Fake) Steps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps
}

// Used is how many cells are in use. Only between steps.
func (f *Fake) Used() int { return f.cache.used }
