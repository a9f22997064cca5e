package main

import (
	"context"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai/store"
)

// How often the store is asked whether it works, and how long that may take.
const (
	storeCheckEvery = time.Second
	storeCheckLimit = 5 * time.Second
)

// storeCheck remembers whether the store works, so that /health is answered
// without waiting for it, however many jobs are being admitted.
type storeCheck struct {
	mu  sync.Mutex
	err error
}

func (c *storeCheck) run(ctx context.Context, s *store.Store) {
	tick := time.NewTicker(storeCheckEvery)
	defer tick.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, storeCheckLimit)
		err := s.Health(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// last returns what the newest check found; nil before the first, when the store
// has just been opened.
func (c *storeCheck) last() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
