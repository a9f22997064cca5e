package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
	"github.com/jeantrail/jeantrail-ai/store"
)

// openPulls opens the pulls of a home, as a process does.
func openPulls(t *testing.T, home string) *pulls {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(home, "jeantrail.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPulls(t.Context(), filepath.Join(home, "models"), s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// theEnd waits until a pull is over.
func theEnd(t *testing.T, p *pulls, id string) (last jeantrail.Pull) {
	t.Helper()
	states, err := p.Watch(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for last = range states {
	}
	return last
}

// A pull that several processes took up, and ended before a byte of it came, is
// given up; one fewer and it is tried again.
func TestPullEndsACrashLoop(t *testing.T) {
	h := hubtest.New(t)
	h.Put(tinyRepo, tinyFile, largeModel(t, 0))
	t.Setenv("HF_ENDPOINT", h.URL)
	home := t.TempDir()
	p := openPulls(t, home)
	record := func(id string, starts int) {
		one := jeantrail.Pull{ID: id, Status: jeantrail.PullResolving, Starts: starts, StartedAt: time.Now()}
		one.Source = "hf:" + tinyRepo
		if err := p.store.AddPull(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	record("tried", maxPullStarts-1)
	record("looping", maxPullStarts)
	p.Close()
	p = openPulls(t, home)
	p.GoOn()
	if got := theEnd(t, p, "looping"); got.Status != jeantrail.PullFailed || got.Err.Numbers["starts"] != maxPullStarts || !strings.Contains(got.Err.Hint, "crash.log") {
		t.Errorf("in a loop: %+v", got)
	}
	if got := theEnd(t, p, "tried"); got.Status != jeantrail.PullDone || got.ModelFile() == nil {
		t.Errorf("one start before that: %+v", got)
	}
	kept, err := p.store.Pull(t.Context(), "looping")
	if err != nil || kept.Status != jeantrail.PullFailed || kept.Err.Numbers["starts"] != maxPullStarts {
		t.Errorf("on record: %+v, %v", kept, err)
	}
}

// Bytes that came make a start one that was worth it.
func TestPullProgressCounts(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []hub.Event
		starts int
	}{
		{"nothing but what was there", []hub.Event{
			{Phase: hub.PhaseDownloading, Done: 5, Total: 9}, {Phase: hub.PhaseDownloading, File: "a", Done: 5, Total: 9}, {Phase: hub.PhaseDownloading, File: "a", Done: 5, Total: 9},
		}, 3},
		{"a byte", []hub.Event{{Phase: hub.PhaseDownloading, File: "a", Done: 5, Total: 9}, {Phase: hub.PhaseDownloading, File: "a", Done: 6, Total: 9}}, 0},
		{"only hashed", []hub.Event{{Phase: hub.PhaseVerifying, File: "a", Done: 5, Total: 9}, {Phase: hub.PhaseVerifying, File: "a", Done: 6, Total: 9}}, 3},
	} {
		now := jeantrail.Pull{Status: jeantrail.PullResolving, Starts: 3}
		for _, e := range c.events {
			progress(&now, e)
		}
		if now.Starts != c.starts {
			t.Errorf("%s: %d starts, want %d", c.name, now.Starts, c.starts)
		}
	}
}

// An orderly stop leaves a pull open and is no crash; asked for again it is the
// same pull; what was cancelled while nobody worked on it stays so.
func TestPullsAcrossProcesses(t *testing.T) {
	h := hubtest.New(t)
	h.Put(tinyRepo, tinyFile, largeModel(t, 4<<20))
	t.Setenv("HF_ENDPOINT", h.URL)
	home := t.TempDir()
	reached, goOn := holdHub(h, 1<<20)
	p := openPulls(t, home)
	wanted := jeantrail.PullRequest{Source: "hf:" + tinyRepo, Name: "a"}
	one, err := p.Start(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	other, err := p.Start(t.Context(), jeantrail.PullRequest{Source: "hf:" + tinyRepo, Name: "b"})
	if err != nil || other.ID == one.ID {
		t.Fatalf("%+v, %v", other, err)
	}
	p.Close()
	if _, err := p.Start(t.Context(), wanted); jeantrail.CodeOf(err) != jeantrail.CodeShuttingDown {
		t.Errorf("after the stop: %v", err)
	}
	goOn()

	p = openPulls(t, home) // as a command that lives for a moment
	now, err := p.Get(one.ID)
	if err != nil || now.Status != jeantrail.PullDownloading || now.Starts != 0 || now.Note != noteWaiting || !now.EndedAt.IsZero() || now.PullRequest != wanted {
		t.Errorf("stopped: %+v, %v", now, err)
	}
	if err := p.Cancel(other.ID); err != nil {
		t.Fatal(err)
	}
	p.Close()

	p = openPulls(t, home)
	p.GoOn()
	again, err := p.Start(t.Context(), wanted)
	if err != nil || again.ID != one.ID && !again.Status.Terminal() {
		t.Errorf("asked for again: %+v, %v", again, err)
	}
	if got := theEnd(t, p, one.ID); got.Status != jeantrail.PullDone || got.Model != "a" {
		t.Errorf("the first ends as %+v", got)
	}
	if got := theEnd(t, p, other.ID); got.Status != jeantrail.PullCancelled {
		t.Errorf("the other ends as %+v", got)
	}
	if list := p.List(); len(list) < 2 || list[len(list)-1].ID != one.ID || list[len(list)-2].ID != other.ID {
		t.Errorf("the pulls are %+v", list)
	}
}

// With a hub's address that cannot be used, nothing begins, and what was open is
// told why.
func TestPullsOfABadEndpoint(t *testing.T) {
	home := t.TempDir()
	p := openPulls(t, home)
	one := jeantrail.Pull{ID: "open", Status: jeantrail.PullResolving, StartedAt: time.Now()}
	one.Source = "hf:" + tinyRepo
	if err := p.store.AddPull(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HF_ENDPOINT", "not an address")
	if _, err := p.Start(t.Context(), one.PullRequest); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("started: %v", err)
	}
	if _, err := p.Start(t.Context(), jeantrail.PullRequest{Source: "qwen3-8"}); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("an unknown name: %v", err)
	}
	if list := p.List(); len(list) != 0 {
		t.Errorf("the pulls are %+v", list)
	}
	p.Close()
	p = openPulls(t, home)
	p.GoOn()
	if got := theEnd(t, p, "open"); got.Status != jeantrail.PullFailed || !strings.Contains(got.Err.Hint, "HF_ENDPOINT") {
		t.Errorf("the open one ends as %+v", got)
	}
}

// The end of a signed address is without its signature, in memory as on record.
func TestPullForgetsTheSignature(t *testing.T) {
	h := hubtest.New(t)
	h.Put(tinyRepo, tinyFile, largeModel(t, 0))
	home := t.TempDir()
	p := openPulls(t, home)
	address := h.FileURL(tinyRepo, tinyFile)
	one, err := p.Start(t.Context(), jeantrail.PullRequest{Source: address + "?signature=secret"})
	if err != nil || !strings.Contains(one.Source, "secret") {
		t.Fatalf("%+v, %v", one, err)
	}
	if got := theEnd(t, p, one.ID); got.Status != jeantrail.PullDone || got.Source != address {
		t.Errorf("the end is %+v", got)
	}
	if kept, err := p.store.Pull(t.Context(), one.ID); err != nil || kept.Source != address || kept.Fetched == 0 {
		t.Errorf("on record is %+v, %v", kept, err)
	}
}

// The same environment has the same mark, and an empty one has none.
func TestHubEnvironment(t *testing.T) {
	t.Setenv("HF_ENDPOINT", "")
	t.Setenv("HF_TOKEN", "")
	if got := hubEnvironment(); got != "" {
		t.Errorf("of nothing: %q", got)
	}
	t.Setenv("HF_TOKEN", "hf_secret")
	first := hubEnvironment()
	if first == "" || strings.Contains(first, "secret") || first != hubEnvironment() {
		t.Errorf("of a token: %q", first)
	}
	t.Setenv("HF_ENDPOINT", "https://mirror.example")
	if hubEnvironment() == first {
		t.Error("another endpoint has the same mark")
	}
}
