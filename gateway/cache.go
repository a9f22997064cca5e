package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
)

// lookUp asks the result cache. If it has an answer, the proposal's work becomes
// to repeat that, which costs nothing.
func (g *Gateway) lookUp(ctx context.Context, a *proposal) error {
	a.cacheUse = jeantrail.CacheOff
	asked := a.request.Cache
	if g.opts.CacheOff || asked != nil && !*asked {
		return nil
	}
	sum, deterministic := a.work.Fingerprint()
	if sum == nil || asked == nil && !deterministic {
		return nil
	}
	found, err := g.opts.Store.Cached(ctx, a.request.UserID, sum, a.job.CreatedAt.Add(-g.opts.CacheAge))
	if err != nil {
		return fmt.Errorf("ask result cache: %w", err)
	}
	if found == nil || found.Result == nil {
		a.cacheUse, a.cacheKey = jeantrail.CacheMiss, sum
		return nil
	}
	a.cacheUse, a.work = jeantrail.CacheHit, &cached{found.Result}
	a.bounds = a.work.Bounds()
	return nil
}

// cached is the work of saying a stored result again. It uses nothing.
type cached struct{ result *jeantrail.Result }

func (*cached) Bounds() jeantrail.Bounds { return jeantrail.Bounds{Exact: true} }

func (*cached) Fingerprint() ([]byte, bool) { return nil, false }

func (c *cached) Run(_ context.Context, _ *jeantrail.Job, sink Sink) (*jeantrail.Result, error) {
	r := c.result
	sink.Started(r.Model, r.Engine, 0, 0)
	if r.Reasoning != "" {
		sink.Token(r.Reasoning, true, 0)
	}
	if r.Text != "" {
		sink.Token(r.Text, false, 0)
	}
	return &jeantrail.Result{
		Model: r.Model, Text: r.Text, Reasoning: r.Reasoning, FinishReason: r.FinishReason, Truncated: r.Truncated, Engine: r.Engine,
	}, nil
}

// keep returns the key to file a job's result under, nil if it is not to be
// kept: only what the model ended by itself, or at the length that was asked
// for, answers the same request again.
func keep(t *task, state jeantrail.State, r *jeantrail.Result) []byte {
	if state != jeantrail.StateSucceeded || r.FinishReason != jeantrail.FinishStop && r.FinishReason != jeantrail.FinishLength {
		return nil
	}
	return t.cacheKey
}

// trimEvery is after how many kept results the cache is brought back to its
// limits, unless their texts add up to a sixteenth of it sooner.
const trimEvery = 256

// trimmer remembers how much the result cache may have grown.
type trimmer struct {
	mu    sync.Mutex
	count int
	bytes int64
}

// filed counts a kept result, and trims the cache if it is time.
func (t *trimmer) filed(g *Gateway, bytes int64) {
	t.mu.Lock()
	t.count++
	t.bytes += bytes
	due := t.count >= trimEvery || t.bytes >= g.opts.CacheBytes/16
	if due {
		t.count, t.bytes = 0, 0
	}
	t.mu.Unlock()
	if due {
		g.trimCache()
	}
}

// trimCache forgets results that are too old or too many. A failure only delays
// that: what is too old is never answered with.
func (g *Gateway) trimCache() {
	ctx, cancel := context.WithTimeout(context.Background(), g.opts.StoreTimeout)
	defer cancel()
	if err := g.opts.Store.TrimCache(ctx, g.opts.CacheBytes, g.now().Add(-g.opts.CacheAge)); err != nil {
		g.opts.Logger.Warn("trimming the result cache failed", slog.Any("error", err))
	}
}
