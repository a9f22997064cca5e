package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Decoder evaluates random tokens as fast as it can. Each call empties the KV
// cache first and returns the time that the evaluation took.
type Decoder interface {
	// BenchPrompt evaluates n tokens in batches.
	BenchPrompt(n int) (time.Duration, error)
	// BenchGenerate evaluates n tokens one by one.
	BenchGenerate(n int) (time.Duration, error)
	// BenchBatched evaluates prompts of nSeq sequences, or one that they share,
	// then nGen steps with a token of each.
	BenchBatched(nPrompt, nGen, nSeq int, shared bool) (prompt, gen time.Duration, err error)
}

// RawOptions are what Raw measures. Prompt and Gen have no defaults: 0 leaves a
// test out.
type RawOptions struct {
	Prompt   []int // tokens of the prefill tests, pp; llama-bench's are 512
	Gen      []int // tokens of the decode tests, tg; llama-bench's are 128
	Repeat   int   // times each test is run; 0 for 5
	Progress func(Progress)
}

// Raw measures prefill and decode as llama-bench does: each test once without
// counting (of decode one token), then so many times. Stopped by an error, the
// report has the tests that ended.
func Raw(ctx context.Context, d Decoder, o RawOptions) (*Report, error) {
	positive := func(v []int) []int { return slices.DeleteFunc(slices.Clone(v), func(n int) bool { return n == 0 }) }
	prompt, gen := positive(o.Prompt), positive(o.Gen)
	if len(prompt)+len(gen) == 0 || slices.Min(append([]int{1}, slices.Concat(prompt, gen)...)) < 1 || o.Repeat < 0 {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "bench raw: nothing to measure, or a negative number").
			WithHint("Name tokens of the prefill test, of the decode test, or of both.")
	}
	o.Repeat = orDefault(o.Repeat, defaultRounds)
	report, track := New(KindRaw, time.Now()), tracker{tell: o.Progress}
	for _, n := range prompt {
		row := Row{Test: fmt.Sprintf("pp%d", n), Streams: 1, PromptTokens: n}
		if err := report.rate(ctx, &track, row, o.Repeat, n, n, d.BenchPrompt); err != nil {
			return report, err
		}
	}
	for _, n := range gen {
		row := Row{Test: fmt.Sprintf("tg%d", n), Streams: 1, GenTokens: n}
		if err := report.rate(ctx, &track, row, o.Repeat, n, 1, d.BenchGenerate); err != nil {
			return report, err
		}
	}
	return report, nil
}

// rate adds the row of a test that evaluates n tokens, after warm tokens that do
// not count.
func (r *Report) rate(ctx context.Context, track *tracker, row Row, repeat, n, warm int, run func(int) (time.Duration, error)) error {
	track.start(&row, repeat)
	if _, err := run(warm); err != nil {
		return err
	}
	var each []float64
	for range repeat {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		took, err := run(n)
		if err != nil {
			return err
		}
		speed, err := perSecond(row.Test, n, took)
		if err != nil {
			return err
		}
		each = append(each, speed)
		track.token(n)
		track.ended(false)
	}
	row.Tokens, row.Speed = repeat*n, figureOfEach(each)
	r.Rows = append(r.Rows, row)
	return nil
}

func perSecond(test string, n int, took time.Duration) (float64, error) {
	if took <= 0 {
		return 0, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s: the clock saw no time pass", test).
			WithHint("Measure more tokens at once.")
	}
	return float64(n) / took.Seconds(), nil
}

// BatchedOptions are what Batched measures. Zero values take the defaults.
type BatchedOptions struct {
	Sequences []int // at once: 1, 4, 8 and 16
	Prompt    int   // tokens of each prompt: 128
	Gen       int   // tokens of each answer: 64
	Shared    bool  // all have one prompt, evaluated once
	Repeat    int   // times each test is run: 5
	Progress  func(Progress)
}

// Batched measures sequences side by side as llama-batched-bench does; each
// number of them gives a row of prefill and one of decode, with the speed of all
// together. Stopped by an error, the report has the tests that ended.
func Batched(ctx context.Context, d Decoder, o BatchedOptions) (*Report, error) {
	sequences, err := checkStreams(o.Sequences)
	if err != nil {
		return nil, err
	}
	o.Prompt, o.Gen, o.Repeat = orDefault(o.Prompt, defaultPrompt), orDefault(o.Gen, defaultGen), orDefault(o.Repeat, defaultRounds)
	if o.Prompt < 1 || o.Gen < 1 || o.Repeat < 1 {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "bench batched: the tokens and the repetitions must not be negative")
	}
	report, track := New(KindBatched, time.Now()), tracker{tell: o.Progress}
	if _, _, err := d.BenchBatched(o.Prompt, 1, 1, o.Shared); err != nil { // warms up
		return report, err
	}
	for _, n := range sequences {
		if err := report.batched(ctx, d, &track, &o, n); err != nil {
			return report, err
		}
	}
	return report, nil
}

func (r *Report) batched(ctx context.Context, d Decoder, track *tracker, o *BatchedOptions, n int) error {
	prefill := Row{Test: fmt.Sprintf("pp%d", o.Prompt), Streams: n, PromptTokens: o.Prompt, Shared: o.Shared}
	decode := Row{Test: fmt.Sprintf("tg%d", o.Gen), Streams: n, PromptTokens: o.Prompt, GenTokens: o.Gen, Shared: o.Shared}
	evaluated := o.Prompt * n
	if o.Shared {
		evaluated = o.Prompt
	}
	track.start(&decode, o.Repeat)
	var pp, tg []float64
	for range o.Repeat {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		prompt, gen, err := d.BenchBatched(o.Prompt, o.Gen, n, o.Shared)
		if err != nil {
			return err
		}
		fast, err := perSecond(prefill.Test, evaluated, prompt)
		if err != nil {
			return err
		}
		slow, err := perSecond(decode.Test, o.Gen*n, gen)
		if err != nil {
			return err
		}
		pp, tg = append(pp, fast), append(tg, slow)
		track.token(evaluated + o.Gen*n)
		track.ended(false)
	}
	prefill.Tokens, prefill.Speed = o.Repeat*evaluated, figureOfEach(pp)
	decode.Tokens, decode.Speed = o.Repeat*o.Gen*n, figureOfEach(tg)
	r.Rows = append(r.Rows, prefill, decode)
	return nil
}
