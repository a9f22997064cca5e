package gateway_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/store"
)

// timed measures how long settlements take.
type timed struct {
	gateway.Store
	mu      sync.Mutex
	settles []time.Duration
}

func (s *timed) Settle(ctx context.Context, st jeantrail.Settlement,
	due func([]jeantrail.BudgetStanding) []jeantrail.Alert) (jeantrail.Settled, error) {
	begun := time.Now()
	done, err := s.Store.Settle(ctx, st, due)
	took := time.Since(begun)
	s.mu.Lock()
	s.settles = append(s.settles, took)
	s.mu.Unlock()
	return done, err
}

// BenchmarkRoad carries jobs of 16 clients, with a budget and a rule in force,
// to a backend in memory: as fast as it goes, and with jobs that take their
// time. It reports medians of admission and settlement, and how many durable
// commits there were for each job.
func BenchmarkRoad(b *testing.B) {
	for _, c := range []struct {
		name string
		work time.Duration
	}{{"16 clients without a pause", 0}, {"16 jobs of 50 ms", 50 * time.Millisecond}} {
		b.Run(c.name, func(b *testing.B) { benchmarkRoad(b, c.work) })
	}
}

func benchmarkRoad(b *testing.B, work time.Duration) {
	s, err := store.Open(context.Background(), filepath.Join(b.TempDir(), "bench.db"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	watch := &timed{Store: s}
	g := start(b, watch, nil, func(o *gateway.Options) {
		o.Models = models{&backend{bounds: bounded, run: func(ctx context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
			begin(sink)
			// Not in step with the others: jobs do not all end at once.
			time.Sleep(work/2 + time.Duration(rand.Int64N(int64(work)+1)))
			sink.Token("an answer of a few words", false, 5)
			return nil
		}}}
	})
	ctx := context.Background()
	if _, err := g.AddBudget(ctx, local, jeantrail.Budget{UserID: "local", Type: jeantrail.BudgetMonthly, AmountCents: 1e9}); err != nil {
		b.Fatal(err)
	}
	rule := jeantrail.Rule{Name: "r", Type: "t", Conditions: `{"input_length": ">100"}`, Actions: `{"priority": "batch"}`, Enabled: true}
	if _, err := g.AddRule(ctx, local, rule); err != nil {
		b.Fatal(err)
	}
	before := s.Commits()
	admits := make([][]time.Duration, 16)
	jobs := make(chan struct{})
	var group sync.WaitGroup
	b.ResetTimer()
	for c := range admits {
		group.Go(func() {
			for range jobs {
				begun := time.Now()
				job, err := g.Submit(ctx, local, tokens("hello", 50))
				if err != nil {
					b.Error(err)
					continue
				}
				admits[c] = append(admits[c], time.Since(begun))
				if _, err := g.Wait(ctx, job.ID); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		jobs <- struct{}{}
	}
	close(jobs)
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	b.ReportMetric(float64(s.Commits()-before)/float64(b.N), "commits/job")
	b.ReportMetric(median(slices.Concat(admits...)), "admit-ms")
	b.ReportMetric(median(watch.settles), "settle-ms")
	if err := g.Stop(ctx); err != nil {
		b.Error(err)
	}
}

// median returns the middle one in milliseconds.
func median(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)/2].Microseconds()) / 1e3
}
