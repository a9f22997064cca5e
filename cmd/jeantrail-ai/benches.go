package main

import (
	"bytes"
	"context"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/bench"
	"github.com/jeantrail/jeantrail-ai/store"
)

// benches is the server's Benches: the reports that the store keeps. What they say
// of the speed of models is in memory, too, for rules that ask at each admission.
type benches struct {
	store *store.Store

	mu     sync.Mutex
	speeds map[string]int64 // tokens per second, by the name of the model
}

func newBenches(ctx context.Context, s *store.Store) (*benches, error) {
	b := &benches{store: s}
	return b, b.refresh(ctx)
}

// refresh takes up what was last measured on this machine.
func (b *benches) refresh(ctx context.Context) error {
	all, err := b.store.MeasuredSpeeds(ctx)
	if err != nil {
		return err
	}
	speeds := make(map[string]int64)
	for _, m := range ofThisMachine(all) {
		if _, newer := speeds[m.Model]; !newer {
			speeds[m.Model] = int64(m.TokensPerSecond)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.speeds = speeds
	return nil
}

// Speed returns how fast a model, by its name here, was last measured to generate
// one stream, in whole tokens per second, rounded down; false if it was not.
func (b *benches) Speed(model string) (tokensPerSecond int64, measured bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tokensPerSecond, measured = b.speeds[model]
	return tokensPerSecond, measured
}

// Add implements server.Benches.
func (b *benches) Add(ctx context.Context, report []byte) (*jeantrail.BenchRun, error) {
	r, err := bench.Read(bytes.NewReader(report))
	if err != nil {
		return nil, err
	}
	run, err := r.Run()
	if err != nil {
		return nil, err
	}
	if err := b.store.AddBench(ctx, run); err != nil {
		return nil, err
	}
	return &run, b.refresh(ctx)
}

// List implements server.Benches.
func (b *benches) List(ctx context.Context, f jeantrail.BenchFilter, limit int) ([]jeantrail.BenchSummary, error) {
	return b.store.Benches(ctx, f, limit)
}

// Speeds implements server.Benches.
func (b *benches) Speeds(ctx context.Context) ([]jeantrail.MeasuredSpeed, error) {
	return b.store.MeasuredSpeeds(ctx)
}

// Get implements server.Benches.
func (b *benches) Get(ctx context.Context, id string) (*jeantrail.BenchRun, error) {
	return b.store.Bench(ctx, id)
}

// Delete implements server.Benches.
func (b *benches) Delete(ctx context.Context, id string) error {
	if err := b.store.DeleteBench(ctx, id); err != nil {
		return err
	}
	return b.refresh(ctx)
}
