package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

// reader is a client that follows a job, is cut off, and comes back with the
// last sequence number that it saw committed.
type reader struct {
	id     string
	last   int64
	events []int64          // the committed sequence numbers, as they came
	text   string           // of the committed events
	pieces map[int64]string // live text of the events that are not committed yet
	done   bool
}

func (r *reader) take(e wireEvent) error {
	if e.Partial {
		r.pieces[e.Seq] += e.Text
		return nil
	}
	if e.Type == string(jeantrail.EventToken) {
		r.text += r.pieces[e.Seq] + e.Text
	}
	r.last = e.Seq
	r.events = append(r.events, e.Seq)
	r.done = e.terminal()
	return nil
}

// follow reads until the job or the connection ends.
func (r *reader) follow(ctx context.Context, c *Client, seen func()) {
	r.pieces = make(map[int64]string) // whatever was not committed comes again, whole
	path := fmt.Sprintf("/job/%s/events?after=%d", r.id, r.last)
	_ = c.stream(ctx, http.MethodGet, path, nil, func(e wireEvent) error {
		seen()
		return r.take(e)
	}) // an error is the cut that this test makes
}

// TestKillAtRandomMoments kills the program with jobs in every state, again and
// again on one home. Nothing may be lost, doubled or charged wrongly, and every
// reader gets each event once.
func TestKillAtRandomMoments(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 5
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	home := t.TempDir()
	var readers []*reader
	for range rounds {
		in := startSidecar(t, home)
		comeBack(t, in, readers)
		readers = append(readers, loadAndKill(t, in, random)...)
	}
	in := startSidecar(t, home)
	comeBack(t, in, readers)
	checkReaders(t, in, readers)
	if code := in.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	checkStore(t, home, len(readers))
}

// loadAndKill starts jobs, follows them, and kills the program when a random
// number of events has been seen.
func loadAndKill(t *testing.T, in *instance, random *rand.Rand) []*reader {
	t.Helper()
	const jobs = 6
	limit := int64(random.IntN(60))
	fatal := make(chan struct{})
	var seen atomic.Int64
	var once sync.Once
	see := func() {
		if seen.Add(1) > limit {
			once.Do(func() { close(fatal) })
		}
	}
	client := in.client()
	var mu sync.Mutex
	var readers []*reader
	var group sync.WaitGroup
	for i := range jobs {
		tokens := 1 + random.IntN(400)
		group.Go(func() {
			body := map[string]any{"prompt": fmt.Sprintf("Tell me about job %d", i), "max_tokens": tokens, "ignore_eos": true, "async": true, "cache": false}
			status, answer, err := in.tryCall(t.Context(), http.MethodPost, "/generate", body)
			see()
			if err != nil || status != http.StatusAccepted {
				return // killed before it was admitted, or before we heard of it
			}
			r := &reader{id: answer["job_id"].(string)}
			mu.Lock()
			readers = append(readers, r)
			mu.Unlock()
			r.follow(t.Context(), client, see)
		})
	}
	all := make(chan struct{})
	go func() { group.Wait(); close(all) }()
	select {
	case <-fatal:
	case <-all: // everything was done before the moment came
	}
	in.kill()
	<-all
	return readers
}

// comeBack lets every reader that was cut off resume; after a restart all
// their jobs are finished.
func comeBack(t *testing.T, in *instance, readers []*reader) {
	t.Helper()
	client := in.client()
	for _, r := range readers {
		if r.done {
			continue
		}
		r.follow(t.Context(), client, func() {})
		if !r.done {
			t.Fatalf("job %s has no end after the restart", r.id)
		}
	}
}

func checkReaders(t *testing.T, in *instance, readers []*reader) {
	t.Helper()
	states := map[string]int{}
	for _, r := range readers {
		for i, seq := range r.events {
			if seq != int64(i+1) {
				t.Fatalf("job %s: reader saw the events %v", r.id, r.events)
			}
		}
		status, job := in.call(http.MethodGet, "/job/"+r.id, nil)
		if status != http.StatusOK {
			t.Fatalf("job %s is lost: %d", r.id, status)
		}
		states[job["status"].(string)]++
		result, _ := job["result"].(map[string]any)
		if text, _ := result["text"].(string); text != r.text {
			t.Errorf("job %s (%s): the reader has %q, the result %q", r.id, job["status"], r.text, text)
		}
	}
	t.Logf("%d jobs: %v", len(readers), states)
	if len(readers) == 0 || states["interrupted"] == 0 {
		t.Error("no job was interrupted: the kills came too late to mean anything")
	}
}

// checkStore looks at the database itself. Jobs whose acceptance never reached
// a client may be there too; none may be missing.
func checkStore(t *testing.T, home string, atLeast int) {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(home, "jeantrail.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	broken, err := s.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range broken {
		t.Errorf("%d rows break the rule: %s", v.Rows, v.Rule)
	}
	totals, err := s.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var jobs int64
	for state, n := range totals.Jobs {
		jobs += n
		if !state.Terminal() && n > 0 {
			t.Errorf("%d jobs are still %s", n, state)
		}
	}
	if jobs < int64(atLeast) || totals.OpenReservations != 0 {
		t.Errorf("%d jobs (at least %d were accepted), %d reservations open", jobs, atLeast, totals.OpenReservations)
	}
	price := int64(1000) // the guide's: $0.001 a token, cached prompt tokens free
	want := (totals.PromptTokens - totals.CachedTokens + totals.CompletionTokens) * price
	if int64(totals.Cost) != want {
		t.Errorf("cost %s, want %d micro-dollars for %+v", totals.Cost, want, totals)
	}
}
