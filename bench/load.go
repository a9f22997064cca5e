package bench

import (
	"context"
	"slices"
	"strconv"

	"github.com/jeantrail/jeantrail-ai"
)

// The names of tests.
const (
	testLoad          = "load"
	testCold          = "cold"
	testWarm          = "warm in KV"
	testShared        = "shared beginning"
	testRAM           = "from RAM"
	testDisk          = "from disk"
	testCancelDecode  = "cancel while decoding"
	testCancelPrefill = "cancel in prefill"
)

// Defaults of the options.
const (
	defaultRounds = 5
	defaultPrompt = 128
	defaultGen    = 64
	// defaultRestore is where fetching a prompt is worth it on every machine.
	defaultRestore = 512
	mostStreams    = 1024
	warmUpTokens   = 8
)

// defaultStreams are measured if none are named.
func defaultStreams() []int { return []int{1, 4, 8, 16} }

// checkStreams returns the numbers of streams in ascending order, each once.
func checkStreams(streams []int) ([]int, error) {
	if len(streams) == 0 {
		return defaultStreams(), nil
	}
	for _, n := range streams {
		if n < 1 || n > mostStreams {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "bench: %d streams at once are not between 1 and %d", n, mostStreams)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(streams))), nil
}

// checkTokens holds prompts and answers to lengths that can be measured.
func checkTokens(prompt, gen int) error {
	if prompt < leastPrompt {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "bench: a prompt needs at least %d tokens, not %d", leastPrompt, prompt).
			WithHint("Shorter ones would be alike, and the second be found in the cache.")
	}
	if gen < 2 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "bench: an answer needs at least 2 tokens, not %d", gen).
			WithHint("With one there is no time between tokens.")
	}
	return nil
}

// measurement is a report in the making.
type measurement struct {
	runner Runner
	track  tracker
	report *Report
}

// load measures streams side by side: in each round all begin at once, each with
// a prompt of its own, and the next round begins when the last has ended.
func (m *measurement) load(ctx context.Context, p prompts, streams, rounds, gen int) error {
	t := tally{row: Row{Test: testLoad, Streams: streams, PromptTokens: p.tokens, GenTokens: gen, Shared: p.shared}}
	m.track.start(&t.row, rounds*streams)
	test := testLoad + " " + strconv.Itoa(streams)
	for i := range rounds {
		requests := make([]Request, streams)
		for k := range requests {
			requests[k] = Request{Prompt: p.of(test, i*streams+k), MaxTokens: gen}
		}
		all := round(ctx, m.runner, requests, &m.track)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t.add(all)
	}
	return m.keep(t.done(m.report))
}

// keep adds a row; the error is allFailed's.
func (m *measurement) keep(row Row) error {
	m.report.Rows = append(m.report.Rows, row)
	return row.allFailed()
}
