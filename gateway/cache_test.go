package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

// fingerprints are equal for equal prompts; one that begins with "draw" is not
// deterministic.
func fingerprints(req *jeantrail.Request) ([]byte, bool) {
	sum := make([]byte, 32)
	copy(sum, req.Text.Prompt)
	return sum, !strings.HasPrefix(req.Text.Prompt, "draw")
}

func TestResultCache(t *testing.T) {
	var ran atomic.Int64
	count := func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
		begin(sink)
		sink.Token("hm", true, 1)
		sink.Token(fmt.Sprintf("answer %d", ran.Add(1)), false, 3)
		return nil
	}
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	var clock atomic.Int64
	r := serve(t, nil, func(o *gateway.Options) {
		o.Models = models{&backend{run: count, bounds: bounded, fingerprint: fingerprints}}
		o.CacheAge = time.Hour
		o.Clock = func() time.Time { return now.Add(time.Duration(clock.Load())) }
	})
	on, off := true, false
	with := func(req jeantrail.Request, cache *bool) jeantrail.Request { req.Cache = cache; return req }
	steps := []struct {
		name   string
		who    string
		req    jeantrail.Request
		later  time.Duration
		cache  jeantrail.CacheUse
		answer string
	}{
		{"first", "ann", tokens("a", 9), 0, jeantrail.CacheMiss, "answer 1"},
		{"again", "ann", tokens("a", 9), 0, jeantrail.CacheHit, "answer 1"},
		{"another user", "bob", tokens("a", 9), 0, jeantrail.CacheMiss, "answer 2"},
		{"not wanted", "ann", with(tokens("a", 9), &off), 0, jeantrail.CacheOff, "answer 3"},
		{"a draw", "ann", tokens("draw", 9), 0, jeantrail.CacheOff, "answer 4"},
		{"a draw that is asked for", "ann", with(tokens("draw", 9), &on), 0, jeantrail.CacheMiss, "answer 5"},
		{"and again", "ann", with(tokens("draw", 9), &on), 0, jeantrail.CacheHit, "answer 5"},
		{"still young", "ann", tokens("a", 9), 59 * time.Minute, jeantrail.CacheHit, "answer 1"},
		{"too old", "ann", tokens("a", 9), 61 * time.Minute, jeantrail.CacheMiss, "answer 6"},
	}
	for _, s := range steps {
		clock.Store(int64(s.later))
		job, err := r.Submit(context.Background(), as(s.who), s.req)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		view := readAll(t, r.follow(job.ID, 0))
		got := r.wait(job.ID).Result
		if got.Cache != s.cache || got.Text != s.answer || got.Reasoning != "hm" || view.text(false) != s.answer || view.text(true) != "hm" {
			t.Errorf("%s: cache %s, text %q, streamed %q", s.name, got.Cache, got.Text, view.text(false))
		}
		if hit := s.cache == jeantrail.CacheHit; hit != (got.Cost.Amount == 0) || hit != (got.Usage == jeantrail.Usage{}) || hit && got.Cost.Reserved != 0 {
			t.Errorf("%s: cost %+v, usage %+v", s.name, got.Cost, got.Usage)
		}
	}
	rows, err := r.Costs(context.Background(), local, jeantrail.GroupUser, jeantrail.StatisticsFilter{UserID: "ann"})
	if err != nil || len(rows) != 1 || rows[0].CacheHits != 3 || rows[0].Requests != 8 {
		t.Errorf("costs %+v, %v", rows, err)
	}
}

// What was cut short, or failed, answers nobody else.
func TestCacheKeepsOnlyWholeAnswers(t *testing.T) {
	fail := errors.New("broken")
	r := serve(t, nil, func(o *gateway.Options) {
		o.Models = models{&backend{bounds: bounded, fingerprint: fingerprints, run: func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
			begin(sink)
			sink.Token("part", false, 1)
			switch job.Request.Text.Prompt {
			case "budget":
				return errHoldUsedUp
			case "fails":
				return fail
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}}}
	})
	for _, prompt := range []string{"budget", "fails", "hangs", "budget", "fails", "hangs"} {
		job := r.submit(tokens(prompt, 5))
		if prompt == "hangs" {
			until(t, r.follow(job.ID, 0), jeantrail.EventStarted)
			if err := r.Cancel(context.Background(), local, job.ID); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.wait(job.ID).Result.Cache; got != jeantrail.CacheMiss {
			t.Errorf("%s: cache %s", prompt, got)
		}
	}
}
