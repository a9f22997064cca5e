package bench

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Runner generates text, and tells when each piece of it came.
type Runner interface {
	// Run has a request answered to its end, and returns when what it held (a
	// slot of the engine, a connection) is free again. token is called for each
	// piece of text, one after another, with the time it came at and the number
	// of its tokens; it does not block. The end of ctx cancels the request. Run
	// may be called by many goroutines at once.
	Run(ctx context.Context, r Request, token func(at time.Time, n int)) (Answer, error)
}

// Request is one generation. The runner generates MaxTokens of it, past the end
// of the text if it can, with the most probable token each time, and never gives
// an answer that was stored.
type Request struct {
	Prompt    string
	MaxTokens int
}

// Answer is what a runner knows of a generation that ended.
type Answer struct {
	Tokens       int  // generated; 0 if not known: then those that token was told
	PromptTokens int  // 0 if not known
	CachedTokens *int // of the prompt, that were in the KV cache; nil if not known
}

// Progress is how far a measurement is.
type Progress struct {
	Test    string
	Streams int
	Done    int // requests of the test that ended, well or not
	Total   int // requests of the test
	Failed  int
	Tokens  int           // of the test, that came so far
	Elapsed time.Duration // since the test began
}

// progressEvery is how often tokens are reported at most; the end of a request
// always is.
const progressEvery = 250 * time.Millisecond

// tracker tells the caller how far a test is. Its calls do not overlap.
type tracker struct {
	tell func(Progress)

	mu    sync.Mutex
	now   Progress
	begin time.Time
	last  time.Time
}

// start begins a test.
func (t *tracker) start(row *Row, total int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin = time.Now()
	t.now = Progress{Test: row.Test, Streams: row.Streams, Total: total}
	t.report(t.begin)
}

func (t *tracker) report(now time.Time) {
	t.last, t.now.Elapsed = now, now.Sub(t.begin)
	if t.tell != nil {
		t.tell(t.now)
	}
}

func (t *tracker) token(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.Tokens += n
	if now := time.Now(); now.Sub(t.last) >= progressEvery {
		t.report(now)
	}
}

func (t *tracker) ended(failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.Done++
	if failed {
		t.now.Failed++
	}
	t.report(time.Now())
}

// taken is what one request took.
type taken struct {
	begin, end time.Time
	arrivals   []time.Time // of the pieces of text
	first      int         // tokens of the first piece
	tokens     int
	answer     Answer
	err        error
}

// take runs one request.
func take(ctx context.Context, runner Runner, r Request, track *tracker) taken {
	t := taken{begin: time.Now()}
	t.answer, t.err = runner.Run(ctx, r, func(at time.Time, n int) {
		if len(t.arrivals) == 0 {
			t.first = n
		}
		t.arrivals = append(t.arrivals, at)
		t.tokens += n
		track.token(n)
	})
	t.end = time.Now()
	if t.answer.Tokens > 0 {
		t.tokens = t.answer.Tokens
	}
	if t.err == nil && len(t.arrivals) == 0 {
		t.err = failure("empty", jeantrail.CodeUnsupported, "the answer has no text")
	}
	track.ended(t.err != nil)
	return t
}

// round runs requests at once, and waits for all.
func round(ctx context.Context, runner Runner, requests []Request, track *tracker) []taken {
	all := make([]taken, len(requests))
	var group sync.WaitGroup
	for i, r := range requests {
		group.Go(func() { all[i] = take(ctx, runner, r, track) })
	}
	group.Wait()
	return all
}

// oneWrite reports whether several tokens came, but all at one time: then
// nothing is known of when they were made.
func (t *taken) oneWrite() bool {
	return t.tokens > t.first && t.arrivals[len(t.arrivals)-1].Equal(t.arrivals[0])
}

// A tally sums the rounds of a test up to a row.
type tally struct {
	row             Row
	speed           []float64   // of each round
	stream, first   [][]float64 // round -> request, and so the next
	gap, total      [][]float64
	prompts, cached []float64
	oneWrite, short int // answers that came in one write, and that ended early
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// add counts a round. Requests that failed are counted as such and have no part
// in any figure, but for the time that the round took.
func (t *tally) add(all []taken) {
	t.row.Requests += len(all)
	var stream, first, gap, total []float64
	begin, end, tokens := all[0].begin, all[0].begin, 0
	for i := range all {
		one := &all[i]
		if one.begin.Before(begin) {
			begin = one.begin
		}
		if one.err != nil {
			t.fail(one.err)
			continue
		}
		last := one.arrivals[len(one.arrivals)-1]
		if last.After(end) {
			end = last
		}
		tokens += one.tokens
		first = append(first, millis(one.arrivals[0].Sub(one.begin)))
		total = append(total, millis(one.end.Sub(one.begin)))
		for k := 1; k < len(one.arrivals); k++ {
			gap = append(gap, millis(one.arrivals[k].Sub(one.arrivals[k-1])))
		}
		if one.oneWrite() {
			t.oneWrite++
		} else if took := last.Sub(one.arrivals[0]); took > 0 {
			stream = append(stream, float64(one.tokens-one.first)/took.Seconds())
		}
		t.about(one)
	}
	t.row.Tokens += tokens
	if took := end.Sub(begin); took > 0 {
		t.speed = append(t.speed, float64(tokens)/took.Seconds())
	}
	t.stream, t.first = append(t.stream, stream), append(t.first, first)
	t.gap, t.total = append(t.gap, gap), append(t.total, total)
}

// about notes what the runner says of one request.
func (t *tally) about(one *taken) {
	if one.answer.PromptTokens > 0 {
		t.prompts = append(t.prompts, float64(one.answer.PromptTokens))
	}
	if c := one.answer.CachedTokens; c != nil {
		t.cached = append(t.cached, float64(*c))
	}
	if one.tokens < t.row.GenTokens {
		t.short++
	}
}

// fail counts one request that failed.
func (t *tally) fail(err error) {
	kind := failureOf(err)
	i := slices.IndexFunc(t.row.Failures, func(f Failure) bool { return f.Kind == kind })
	if i < 0 {
		i = len(t.row.Failures)
		t.row.Failures = append(t.row.Failures, Failure{Kind: kind, Example: jeantrail.AsError(err).Message})
	}
	t.row.Failures[i].Count++
}

// gapBounds are the upper ends of the gap histogram's buckets, in milliseconds.
var gapBounds = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000}

// done returns the row, and tells the report what was not as it should be.
func (t *tally) done(report *Report) Row {
	r := t.row
	r.Speed, r.StreamSpeed = figureOfEach(t.speed), figureOf(t.stream)
	r.First, r.Gap, r.Total = figureOf(t.first), figureOf(t.gap), figureOf(t.total)
	if r.Gap != nil {
		r.Gaps = Histogram(slices.Concat(t.gap...), gapBounds)
	}
	if len(t.prompts) > 0 {
		m := Median(t.prompts)
		r.PromptCounted = &m
	}
	if len(t.cached) > 0 {
		m := Median(t.cached)
		r.Cached = &m
	}
	good := r.Requests - r.failed()
	if t.oneWrite > 0 {
		report.note("%s: %d of %d answers came in one write, so nothing is known of the time between their tokens", r.name(), t.oneWrite, good)
	}
	if t.short > 0 {
		report.note("%s: %d of %d answers ended before %d tokens", r.name(), t.short, good, r.GenTokens)
	}
	for _, f := range r.Failures {
		report.note("%s: %d of %d requests failed (%s): %s", r.name(), f.Count, r.Requests, f.Kind, f.Example)
	}
	return r
}

// allFailed is an error if no request of the row ended well: to go on would
// measure nothing.
func (r *Row) allFailed() error {
	if r.Requests == 0 || r.failed() < r.Requests {
		return nil
	}
	first := r.Failures[0]
	return jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "%s: all %d requests failed: %s", r.name(), r.Requests, first.Example).
		WithHint("What was measured before is in the report. Try fewer streams or shorter prompts.").WithName(failureName, first.Kind)
}

// failureName is where an error keeps the kind of its failure.
const failureName = "failure"

// failure is an error of a request, with the kind that it is counted as.
func failure(kind string, code jeantrail.Code, format string, args ...any) *jeantrail.Error {
	return jeantrail.Errorf(code, format, args...).WithName(failureName, kind)
}

// failureOf returns the kind of an error: the one it was made with, else its
// code in words.
func failureOf(err error) string {
	e := jeantrail.AsError(err)
	if kind := e.Names[failureName]; kind != "" {
		return kind
	}
	return strings.ReplaceAll(string(e.Code), "_", " ")
}
