package prefix

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
)

// shelf is one engine's part of a store. It implements engine.Shelf.
type shelf struct {
	store    *Store
	identity func() string
	space    *space // guarded by the store's mu; with identity "" it is the shelf's own
	closed   bool   // too
}

// enter locks the store and finds the shelf's space. Once its identity is known,
// what it has so far joins what others with that identity left.
func (h *shelf) enter() *space {
	h.store.mu.Lock()
	if h.space.identity != "" {
		return h.space
	}
	h.store.mu.Unlock() // who tells may have locks of its own
	id := h.identity()
	h.store.mu.Lock()
	if id != "" && h.space.identity == "" {
		h.join(id)
	}
	return h.space
}

// join moves what the shelf has to the space of its identity.
func (h *shelf) join(identity string) {
	own, sp := h.space, h.store.spaceOf(identity)
	h.space = sp
	sp.usage.add(own.usage.PrefixUsage)
	for _, e := range slices.Clone(own.ram) {
		if sp.ram.exact(e.tokens) != nil || sp.disk.exact(e.tokens) != nil {
			h.store.forget(e)
			continue
		}
		e.space = sp
		sp.ram.add(e)
	}
}

// Find implements engine.Shelf.
func (h *shelf) Find(tokens []engine.Token) (ram, disk engine.Prefix) {
	sp := h.enter()
	defer h.store.mu.Unlock()
	if e, n := sp.ram.longest(tokens); e != nil {
		ram = engine.Prefix{Tier: engine.TierRAM, Tokens: e.tokens, Common: n, Bytes: e.bytes, State: e.state, Handle: e}
	}
	if e, n := sp.disk.longest(tokens); e != nil && n > ram.Common {
		disk = engine.Prefix{Tier: engine.TierDisk, Tokens: e.tokens, Common: n, Bytes: e.bytes, Handle: e}
	}
	return ram, disk
}

// Admit implements engine.Shelf.
func (h *shelf) Admit(bytes int64) bool {
	sp := h.enter()
	defer h.store.unlock()
	switch s := h.store; {
	case h.closed || s.closing:
		return false
	case s.makeRoom(bytes):
		return true
	default:
		return s.leaving == nil && sp.identity != "" && bytes <= s.opt.Disk
	}
}

// Keep implements engine.Shelf.
func (h *shelf) Keep(tokens []engine.Token, state []byte) {
	sp := h.enter()
	defer h.store.unlock()
	if !h.closed && !h.store.closing {
		h.store.keep(sp, tokens, state, time.Now())
	}
}

// Put implements engine.Shelf.
func (h *shelf) Put(ctx context.Context, tokens []engine.Token, state []byte, used time.Time) error {
	for {
		sp := h.enter()
		if h.closed || h.store.closing {
			h.store.mu.Unlock()
			return fmt.Errorf("keep prefix: %w", errClosed)
		}
		e, wait, err := h.store.put(sp, tokens, state, used)
		h.store.unlock()
		switch {
		case err != nil:
			return err
		case e != nil:
			if err := h.store.write(ctx, e); err != nil {
				return err
			}
		case wait != nil:
			select {
			case <-wait:
			case <-ctx.Done():
				return fmt.Errorf("keep prefix: %w", context.Cause(ctx))
			}
		default:
			return nil
		}
	}
}

// put keeps a state if nothing is lost by it. Else it returns the entry that the
// caller must write first, or what to wait for.
func (s *Store) put(sp *space, tokens []engine.Token, state []byte, used time.Time) (first *entry, wait chan struct{}, err error) {
	bytes := int64(len(state))
	if sp.ram.exact(tokens) != nil || s.ramBytes+bytes <= s.opt.RAM {
		s.keep(sp, tokens, state, used)
		return nil, nil, nil
	}
	if bytes > s.opt.RAM {
		if sp.disk.exact(tokens) != nil {
			return nil, nil, nil // it was written in the last turn
		}
		e := &entry{space: sp, tokens: tokens, state: state, bytes: bytes, used: used}
		if !s.writable(e) {
			s.count(sp, engine.PrefixUsage{Lost: 1})
			return nil, nil, s.tooLarge(bytes)
		}
		e.writing = true
		return e, nil, nil
	}
	old := oldest(s.ram, func(e *entry) bool { return !e.writing })
	switch {
	case old == nil:
		return nil, s.changed, nil // everything is being written
	case s.writable(old):
		old.writing = true
		return old, nil, nil
	default: // it is in a file, or will never be
		s.evict(old)
		return s.put(sp, tokens, state, used)
	}
}

func (s *Store) tooLarge(bytes int64) error {
	return jeantrail.Errorf(jeantrail.CodeUnsupported, "keep prefix: the state has %d bytes, more than fit into memory (%d) or to the disk (%d)",
		bytes, s.opt.RAM, s.opt.Disk).
		WithHint("Raise engine.prefix_ram or engine.prefix_disk.")
}

// Touch implements engine.Shelf.
func (h *shelf) Touch(p engine.Prefix) {
	h.enter()
	defer h.store.mu.Unlock()
	if e, ok := p.Handle.(*entry); ok {
		e.used, e.stale = time.Now(), e.file != ""
	}
}

// Fetch implements engine.Shelf.
func (h *shelf) Fetch(ctx context.Context, p engine.Prefix) ([]byte, error) {
	e, ok := p.Handle.(*entry)
	if !ok {
		return nil, fmt.Errorf("fetch prefix: it is not of this shelf")
	}
	return h.store.read(ctx, e)
}

// Reject implements engine.Shelf.
func (h *shelf) Reject(p engine.Prefix) {
	sp := h.enter()
	defer h.store.unlock()
	e, ok := p.Handle.(*entry)
	if !ok {
		return
	}
	h.store.count(sp, engine.PrefixUsage{Rejected: 1})
	h.store.opt.Logger.Warn("removing a kept prefix", "reason", "the decoder did not take it", "tokens", len(e.tokens))
	if e.state != nil && !e.writing {
		h.store.forget(e)
	}
	if e.file != "" {
		h.store.removeFile(e)
	}
}

// Flush implements engine.Shelf.
func (h *shelf) Flush(ctx context.Context) error {
	sp := h.enter()
	h.store.mu.Unlock()
	return h.store.flush(ctx, sp)
}

// Lasting implements engine.Shelf.
func (h *shelf) Lasting() bool {
	sp := h.enter()
	defer h.store.mu.Unlock()
	return sp.identity != "" && !h.closed && (h.store.opt.Disk > 0 || h.store.opt.RAM > 0)
}

// Usage implements engine.Shelf.
func (h *shelf) Usage() engine.PrefixUsage {
	sp := h.enter()
	defer h.store.mu.Unlock()
	u := sp.usage.PrefixUsage
	for _, e := range sp.ram {
		u.RAMBytes += e.bytes
	}
	for _, e := range sp.disk {
		u.DiskBytes += e.fileBytes()
	}
	u.RAMEntries, u.DiskEntries = len(sp.ram), len(sp.disk)
	return u
}

// Close implements engine.Shelf. What fits nobody else is dropped.
func (h *shelf) Close() {
	sp := h.enter()
	defer h.store.unlock()
	h.closed = true
	if sp.identity != "" {
		return
	}
	for len(sp.ram) > 0 {
		h.store.forget(sp.ram[0])
	}
}
