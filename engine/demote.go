package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	// settleLimit is how long saving may take at a stop that has no deadline.
	settleLimit = 10 * time.Second
	// settleShare is the part of the time left that saving may take at a stop, in
	// percent: others have to end in it too.
	settleShare = 75
	// identityTick is how often Demote asks whether the model is known by now.
	identityTick = 20 * time.Millisecond
)

// demotion asks the loop for the state of one idle slot, which it drops.
type demotion struct {
	to     Tier
	done   chan struct{} // closed when the rest is set
	tokens []Token       // nil if no slot is left
	state  []byte        // nil if the shelf has it, or nothing is worth saving
	err    error
}

// Demote moves everything that is cached and that no job uses out of the KV
// cache: to memory, or on to the disk together with what is in memory. It returns
// when it is there. Images, and what is shorter than any state that would be
// loaded, are dropped.
func (e *Engine) Demote(ctx context.Context, to Tier) error {
	switch {
	case to != TierRAM && to != TierDisk:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "demote prefixes: the tier %s is not below the KV cache", to)
	case e.shelf == nil:
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "demote prefixes: the engine keeps none").
			WithHint("Set engine.prefix_ram and engine.prefix_disk to sizes other than 0.")
	}
	if to == TierDisk {
		if err := e.known(ctx); err != nil {
			return err
		}
	}
	for {
		d := &demotion{to: to, done: make(chan struct{})}
		if err := e.demand(ctx, d); err != nil {
			return err
		}
		if d.tokens == nil {
			break
		}
		if d.state == nil {
			continue
		}
		if err := e.shelf.Put(ctx, d.tokens, d.state, time.Now()); err != nil {
			return err
		}
	}
	if to == TierDisk {
		return e.shelf.Flush(ctx)
	}
	return nil
}

// known waits until states can go to the disk.
func (e *Engine) known(ctx context.Context) error {
	if e.opts.Identity == nil {
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "demote prefixes: the engine was not told what its model is, so that no file could be of use")
	}
	tick := time.NewTicker(identityTick)
	defer tick.Stop()
	for e.identity() == "" {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return jeantrail.Errorf(jeantrail.CodeConflict, "demote prefixes: the checksum of the model is not known yet: %w", context.Cause(ctx)).
				WithHint("Try again when it is.")
		}
	}
	return nil
}

// demand has the loop carry out a demotion.
func (e *Engine) demand(ctx context.Context, d *demotion) error {
	e.mu.Lock()
	started := e.started
	if started {
		e.demotions = append(e.demotions, d)
	}
	e.mu.Unlock()
	if !started {
		return jeantrail.Errorf(jeantrail.CodeModelLoading, "demote prefixes: the engine was not started")
	}
	e.wake()
	select {
	case <-d.done:
		return d.err
	case <-e.done:
		return jeantrail.Errorf(jeantrail.CodeShuttingDown, "demote prefixes: the engine has ended")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// demote takes the least recently used idle slot out of the KV cache. An error
// means that nothing is known of the cache any more.
func (e *Engine) demote(d *demotion) error {
	defer close(d.done)
	sl := e.sched.oldestIdle()
	if sl == nil {
		return nil
	}
	d.tokens = slices.Clone(sl.tokens)
	ram, disk := e.shelf.Find(sl.tokens)
	kept := ram.Common
	if d.to == TierDisk {
		kept = max(kept, disk.Common)
	}
	if len(sl.images) == 0 && len(sl.tokens) >= bringMin && kept < len(sl.tokens) {
		if d.state, d.err = e.saveSeq(sl.seq, len(sl.tokens)); d.err != nil {
			return nil // the slot is as it was
		}
	}
	e.sched.batch.reset()
	e.sched.truncate(sl, 0)
	if _, _, err := e.dec.Step(e.sched.batch.ops, nil, nil); err != nil {
		d.err = fmt.Errorf("demote prefix: %w", err)
	}
	return d.err
}

// settle saves what is cached when the loop ends, the most recently used first,
// as long as the time of Stop allows.
func (e *Engine) settle() {
	if e.shelf == nil || !e.shelf.Lasting() {
		return
	}
	e.mu.Lock()
	ctx, killed := e.stopCtx, e.killed
	e.mu.Unlock()
	if killed || ctx.Err() != nil {
		return
	}
	now := time.Now()
	limit := settleLimit
	if deadline, ok := ctx.Deadline(); ok {
		limit = deadline.Sub(now) * settleShare / 100
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var idle []*slot
	for i := range e.sched.slots {
		idle = append(idle, &e.sched.slots[i])
	}
	slices.SortFunc(idle, func(a, b *slot) int { return int(b.used) - int(a.used) })
	for i, sl := range idle {
		if ctx.Err() != nil {
			return
		}
		if len(sl.images) > 0 || len(sl.tokens)-e.sched.keptOf(sl) < keepMin {
			continue
		}
		state, err := e.saveSeq(sl.seq, len(sl.tokens))
		if err != nil {
			continue // it is counted
		}
		used := now.Add(-time.Duration(i) * time.Microsecond)
		if e.shelf.Put(ctx, slices.Clone(sl.tokens), state, used) != nil {
			return // the shelf has counted it; another would fare no better
		}
	}
}

func (e *Engine) closeShelf() {
	if e.shelf != nil {
		e.shelf.Close()
	}
}
