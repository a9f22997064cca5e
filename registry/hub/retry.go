package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	maxPause = 30 * time.Second
	// maxRetryAfter is how long a server may make us wait; the caller is told of
	// anything longer.
	maxRetryAfter = 10 * time.Minute
)

// pacer spaces the tries of one pull.
type pacer struct {
	first   time.Duration
	most    int
	note    func(string)
	clock   func() time.Time
	fetched atomic.Int64 // bytes, by everybody

	mu        sync.Mutex
	notBefore time.Time // that a server asked us not to come back before
}

// tries counts the failures of one worker.
type tries struct {
	failed int   // in a row, without a byte fetched by anybody
	streak int   // in a row, without a byte fetched by this worker
	seen   int64 // of pacer.fetched, at the last failure
}

// failure waits before the next try, or returns the error if there is to be
// none. Another worker's bytes count: the source is alive then.
func (p *pacer) failure(ctx context.Context, t *tries, err error) error {
	var again *transient
	if ctx.Err() != nil {
		return stopped(ctx)
	}
	if !errors.As(err, &again) {
		return err
	}
	if now := p.fetched.Load(); now > t.seen {
		t.failed, t.seen = 0, now
	}
	t.failed, t.streak = t.failed+1, t.streak+1
	if again.after > maxRetryAfter {
		return again.err
	}
	if t.failed > p.most {
		return givenUp(again.err, t.failed)
	}
	pause := p.pause(t.streak)
	p.mu.Lock()
	if again.after > 0 {
		// A little later, each worker at another time, so that they do not all
		// come back at once.
		pause = 0
		at := p.clock().Add(again.after + time.Duration(rand.Int64N(int64(p.first)+1)))
		if at.After(p.notBefore) {
			p.notBefore = at
		}
	}
	wait := max(pause, p.notBefore.Sub(p.clock()))
	p.mu.Unlock()
	p.note(fmt.Sprintf("%s; next try in %s", again.err.Message, wait.Round(10*time.Millisecond)))
	return sleep(ctx, wait)
}

// pause doubles with each failure and is cut by up to a half at random.
func (p *pacer) pause(streak int) time.Duration {
	d := min(p.first<<min(streak-1, 16), maxPause)
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1))
}

// gate waits until a server that asked for a pause may be asked again.
func (p *pacer) gate(ctx context.Context) error {
	p.mu.Lock()
	wait := p.notBefore.Sub(p.clock())
	p.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	return sleep(ctx, wait)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return stopped(ctx)
	}
}

// givenUp is the error after the last try.
func givenUp(last *jeantrail.Error, tries int) error {
	e := jeantrail.Errorf(last.Code, "given up after %d tries: %s", tries, last.Message)
	e.Hint, e.Err, e.RetryAfter = last.Hint, last.Err, last.RetryAfter
	if e.Hint == "" {
		e.Hint = "Check the connection, and HTTPS_PROXY if there is a proxy, then run the same again: it goes on where it stopped."
	}
	return e
}

// retry runs a small request until it is answered.
func (p *pacer) retry(ctx context.Context, try func() error) error {
	var t tries
	for {
		if err := p.gate(ctx); err != nil {
			return err
		}
		err := try()
		if err == nil {
			return nil
		}
		if err := p.failure(ctx, &t, err); err != nil {
			return err
		}
	}
}
