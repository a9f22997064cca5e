package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// TestManyRequestsLeaveNothingBehind sends 1,000 requests from 16 clients, a
// third of which leave at a random moment, and looks whether everything is
// back where it was.
func TestManyRequestsLeaveNothingBehind(t *testing.T) {
	requests, clients := 1000, 16
	if testing.Short() {
		requests = 200
	}
	home := t.TempDir()
	in := startSidecar(t, home)
	in.modelReady()
	// The first round is part of the start: caches fill, pools grow.
	sendMany(t, in, clients, 100, 1)
	before := measure(t, in)
	sendMany(t, in, clients, requests, 2)
	after := measure(t, in)
	t.Logf("before %+v, after %+v", before, after)

	if after.goroutines > before.goroutines+8 {
		t.Errorf("goroutines: %d before, %d after", before.goroutines, after.goroutines)
	}
	if after.rss > before.rss*5/4+32<<20 {
		t.Errorf("resident memory: %d before, %d after", before.rss, after.rss)
	}
	if code := in.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	checkStore(t, home, 0)
}

func sendMany(t *testing.T, in *instance, clients, requests int, seed uint64) {
	t.Helper()
	work := make(chan int)
	var group sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[string]int{}
	for c := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(c)))
		group.Go(func() {
			for n := range work {
				outcome := sendOne(t.Context(), in, random, n)
				mu.Lock()
				outcomes[outcome]++
				mu.Unlock()
			}
		})
	}
	for n := range requests {
		work <- n
	}
	close(work)
	group.Wait()
	t.Logf("outcomes: %v", outcomes)
	if outcomes["left"] == 0 || outcomes["done"] == 0 || outcomes["done"]+outcomes["left"] != requests {
		t.Errorf("outcomes: %v", outcomes)
	}
}

// sendOne streams one answer; every third client leaves after some events.
func sendOne(ctx context.Context, in *instance, random *rand.Rand, n int) string {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	stay := random.IntN(3) > 0
	patience := random.IntN(20)
	body := map[string]any{
		"prompt":     fmt.Sprintf("Question %d: what can you do for user %d?", n, random.IntN(5)),
		"max_tokens": 1 + random.IntN(100), "ignore_eos": true, "temperature": 1.0,
	}
	events := 0
	err := in.client().Generate(ctx, body, func(e wireEvent) error {
		events++
		if !stay && events > patience {
			leave()
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return "left"
	case err != nil:
		return "error: " + err.Error()
	case !stay:
		return "left" // the answer was shorter than its patience
	}
	return "done"
}

type footprint struct {
	goroutines int
	rss        uint64
}

// measure waits until no job is open and every slot is idle, and reads what the
// process holds.
func measure(t *testing.T, in *instance) footprint {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		_, health := in.call(http.MethodGet, "/health", nil)
		queue, _ := health["queue"].(map[string]any)
		if queue != nil && queue["queued"] == 0.0 && queue["running"] == 0.0 && metric(t, in, "jeantrail_engine_slots_busy") == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still busy: %v", health)
		}
	}
	if reserved := metric(t, in, "jeantrail_reserved_microdollars"); reserved != 0 {
		t.Errorf("%v micro-dollars are still reserved", reserved)
	}
	p, err := process.NewProcess(int32(in.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := p.MemoryInfo()
	if err != nil {
		t.Fatal(err)
	}
	return footprint{goroutines: int(metric(t, in, "go_goroutines")), rss: memory.RSS}
}

// metric reads one metric without labels.
func metric(t *testing.T, in *instance, name string) float64 {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, in.url("/metrics"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+in.token())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + `(?:\{[^}]*\})? (\S+)$`).FindSubmatch(data)
	if found == nil {
		t.Fatalf("no metric %s", name)
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
