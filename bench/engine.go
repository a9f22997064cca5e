package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// EngineOptions are what Engine measures. Zero values take the defaults.
type EngineOptions struct {
	Streams      []int // requests at once: 1, 4, 8 and 16
	Repeat       int   // times each test is run: 5
	PromptTokens int   // about: 128
	MaxTokens    int   // of each answer: 64
	// RestoreTokens is about how long the prompts are that are put away and fetched
	// again: 512. Short ones are evaluated as fast as they are fetched.
	RestoreTokens int
	Seed          uint64 // of the prompts; drawn if 0, and in the report
	Progress      func(Progress)
}

func (o *EngineOptions) check() (err error) {
	if o.Streams, err = checkStreams(o.Streams); err != nil {
		return err
	}
	if o.Repeat < 0 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "bench: the number of repetitions must not be negative")
	}
	o.Repeat = orDefault(o.Repeat, defaultRounds)
	o.PromptTokens, o.MaxTokens = orDefault(o.PromptTokens, defaultPrompt), orDefault(o.MaxTokens, defaultGen)
	o.RestoreTokens = orDefault(o.RestoreTokens, defaultRestore)
	for o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return errors.Join(checkTokens(o.PromptTokens, o.MaxTokens), checkTokens(o.RestoreTokens, o.MaxTokens))
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// Engine measures an engine within this process: the time to the first token of
// a prompt it has not seen (cold), of the same again (warm in KV) and of one
// whose first three quarters it has seen (shared beginning); streams side by
// side; and from cancelling a request to its slot being free, while it decodes
// and while its prompt is evaluated. If the runner is a Demoter, also of a prompt
// that was put away in memory and on disk (from RAM, from disk).
//
// The caller fills in the facts of the report. If it is an error that stops the
// measurement, the report has what was measured until then.
func Engine(ctx context.Context, runner Runner, o EngineOptions) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	m := &measurement{runner: runner, track: tracker{tell: o.Progress}, report: New(KindEngine, time.Now())}
	m.report.Settings.Seed = o.Seed
	return m.report, m.engine(ctx, &o)
}

func (m *measurement) engine(ctx context.Context, o *EngineOptions) error {
	own := prompts{seed: o.Seed, tokens: o.PromptTokens}
	if err := m.unmeasured(ctx, own.of("warm up", 0)); err != nil {
		return err
	}
	if err := m.coldAndWarm(ctx, own, o); err != nil {
		return err
	}
	if err := m.shared(ctx, o); err != nil {
		return err
	}
	if err := m.restores(ctx, o); err != nil {
		return err
	}
	for _, n := range o.Streams {
		if err := m.load(ctx, own, n, o.Repeat, o.MaxTokens); err != nil {
			return err
		}
	}
	return m.cancels(ctx, own, o)
}

// unmeasured runs a request that does not count.
func (m *measurement) unmeasured(ctx context.Context, prompt string) error {
	t := take(ctx, m.runner, Request{Prompt: prompt, MaxTokens: warmUpTokens}, new(tracker))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return t.err
}

// coldAndWarm runs each prompt twice.
func (m *measurement) coldAndWarm(ctx context.Context, p prompts, o *EngineOptions) error {
	row := Row{Test: testCold, Streams: 1, PromptTokens: o.PromptTokens, GenTokens: o.MaxTokens}
	cold := tally{row: row}
	row.Test = testWarm
	warm := tally{row: row}
	m.track.start(&cold.row, 2*o.Repeat)
	for i := range o.Repeat {
		request := []Request{{Prompt: p.of(testCold, i), MaxTokens: o.MaxTokens}}
		for _, t := range []*tally{&cold, &warm} {
			all := round(ctx, m.runner, request, &m.track)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			t.add(all)
		}
	}
	if err := m.keep(cold.done(m.report)); err != nil {
		return err
	}
	again := warm.done(m.report)
	if again.Cached != nil && *again.Cached == 0 {
		m.report.note("%s: the engine found nothing of the prompts in its KV cache", testWarm)
	}
	return m.keep(again)
}

func (m *measurement) shared(ctx context.Context, o *EngineOptions) error {
	p := prompts{seed: o.Seed, tokens: o.PromptTokens, shared: true}
	if err := m.unmeasured(ctx, p.of("first", 0)); err != nil {
		return err
	}
	t := tally{row: Row{Test: testShared, Streams: 1, PromptTokens: o.PromptTokens, GenTokens: o.MaxTokens, Shared: true}}
	m.track.start(&t.row, o.Repeat)
	for i := range o.Repeat {
		all := round(ctx, m.runner, []Request{{Prompt: p.of(testShared, i), MaxTokens: o.MaxTokens}}, &m.track)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t.add(all)
	}
	return m.keep(t.done(m.report))
}

// cancels measures cancelling twice: at a request's second piece of text, and
// halfway to the first token of a cold prompt.
func (m *measurement) cancels(ctx context.Context, p prompts, o *EngineOptions) error {
	half := time.Duration(m.report.Rows[0].First.P50 / 2 * float64(time.Millisecond))
	for _, test := range []string{testCancelDecode, testCancelPrefill} {
		t := tally{row: Row{Test: test, Streams: 1, PromptTokens: o.PromptTokens, GenTokens: o.MaxTokens}}
		m.track.start(&t.row, o.Repeat)
		var took []float64
		for i := range o.Repeat {
			c := canceller{at: make(chan time.Time, 1)}
			if test == testCancelPrefill {
				c.prefill, c.after = true, half
			}
			d, err := c.run(ctx, m, Request{Prompt: p.of(test, i), MaxTokens: o.MaxTokens})
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			t.row.Requests++
			m.track.ended(err != nil)
			if err != nil {
				t.fail(err)
				continue
			}
			took = append(took, millis(d))
		}
		row := t.done(m.report)
		row.Cancel = figureOfEach(took)
		m.report.Rows = append(m.report.Rows, row) // that none could be cancelled in time is no reason to stop
	}
	return nil
}

// A canceller cancels one request.
type canceller struct {
	prefill bool           // after a time, else at the second piece of text
	after   time.Duration  // if prefill
	at      chan time.Time // gets the time that it was cancelled; has room for one
}

// run returns how long the slot stayed taken after the request was cancelled.
func (c *canceller) run(ctx context.Context, m *measurement, r Request) (time.Duration, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cancel := func() {
		select {
		case c.at <- time.Now():
			stop()
		default: // it was cancelled before
		}
	}
	if c.prefill && c.after <= 0 {
		return 0, failure("too late", jeantrail.CodeConflict, "no time passes before the first token, in which to cancel")
	}
	if c.prefill {
		timer := time.AfterFunc(c.after, cancel)
		defer timer.Stop()
	}
	pieces := 0
	_, err := m.runner.Run(ctx, r, func(_ time.Time, n int) {
		m.track.token(n)
		if pieces++; !c.prefill && pieces == 2 {
			cancel()
		}
	})
	free := time.Now()
	switch {
	case err == nil:
		return 0, failure("too late", jeantrail.CodeConflict, "the answer ended before it was cancelled")
	case jeantrail.CodeOf(err) != jeantrail.CodeCancelled && !errors.Is(err, context.Canceled):
		return 0, err
	case c.prefill && pieces > 0:
		return 0, failure("too late", jeantrail.CodeConflict, "the prompt was evaluated before it was cancelled")
	}
	select {
	case at := <-c.at:
		return free.Sub(at), nil
	default:
		return 0, err // somebody else cancelled it
	}
}
