package bench

import (
	"context"

	"github.com/jeantrail/jeantrail-ai"
)

// The tiers that a prompt can be put away in.
const (
	TierRAM  = "ram"
	TierDisk = "disk"
)

// Demoter is a Runner that can put away what its KV cache holds of prompts.
type Demoter interface {
	// Demote puts everything that the KV cache keeps for later, and no request
	// uses, into a tier, so that the next request that begins with it has it fetched
	// from there and from nowhere nearer. It returns when that is done. The error is
	// unsupported if the runner has no such tier.
	Demote(ctx context.Context, tier string) error
}

// restores measures prompts that were put away, tier by tier. A runner that
// cannot put any away is left out, with a note.
func (m *measurement) restores(ctx context.Context, o *EngineOptions) error {
	demoter, ok := m.runner.(Demoter)
	if !ok {
		m.report.note("%s, %s: not measured, the engine keeps nothing outside its KV cache", testRAM, testDisk)
		return nil
	}
	for _, tier := range []struct{ name, test string }{{TierRAM, testRAM}, {TierDisk, testDisk}} {
		if err := m.restore(ctx, demoter, tier.name, tier.test, o); err != nil {
			return err
		}
	}
	return nil
}

// restore runs each prompt once, has it put away, and runs it again. The first
// runs are no measurement of their own: what they take, cold of the same length,
// is a row beside the one of the restored ones.
func (m *measurement) restore(ctx context.Context, demoter Demoter, tier, test string, o *EngineOptions) error {
	p := prompts{seed: o.Seed, tokens: o.RestoreTokens}
	gen := min(o.MaxTokens, warmUpTokens) // it is about the first token
	cold := tally{row: Row{Test: testCold, Streams: 1, PromptTokens: o.RestoreTokens, GenTokens: gen}}
	again := tally{row: Row{Test: test, Streams: 1, PromptTokens: o.RestoreTokens, GenTokens: gen}}
	m.track.start(&again.row, 2*o.Repeat)
	for i := range o.Repeat {
		request := []Request{{Prompt: p.of(test, i), MaxTokens: gen}}
		cold.add(round(ctx, m.runner, request, &m.track))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if cold.row.failed() == cold.row.Requests {
			break
		}
		err := demoter.Demote(ctx, tier)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case jeantrail.CodeOf(err) == jeantrail.CodeUnsupported:
			m.report.note("%s: not measured: %s", test, jeantrail.AsError(err).Message)
			return nil
		case err != nil:
			return err
		}
		again.add(round(ctx, m.runner, request, &m.track))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	first := cold.done(m.report)
	if !m.has(&first) {
		m.report.Rows = append(m.report.Rows, first)
	}
	if first.allFailed() != nil {
		return nil // it is in the notes: prompts so long do not fit; shorter ones did
	}
	row := again.done(m.report)
	if row.Cached != nil && *row.Cached == 0 {
		m.report.note("%s: the engine found nothing of the prompts that it had put away", test)
	}
	return m.keep(row)
}

// has reports whether there is a row of that test.
func (m *measurement) has(row *Row) bool {
	for i := range m.report.Rows {
		if m.report.Rows[i].like(row) {
			return true
		}
	}
	return false
}
