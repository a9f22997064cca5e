//go:build cgo

package native_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/engine/prefix"
)

// say runs a greedy job and returns its text and how much of its prompt was cached.
func say(t *testing.T, e *engine.Engine, prompt string, n int) (text string, cached int) {
	t.Helper()
	job := &jeantrail.Job{Kind: jeantrail.KindText, Request: jeantrail.Request{
		Kind: jeantrail.KindText, Text: &jeantrail.TextRequest{Prompt: prompt, Raw: true, MaxTokens: &n, Temperature: new(float64), IgnoreEOS: true},
	}}
	work, err := e.Prepare(t.Context(), &job.Request)
	if err != nil {
		t.Fatal(err)
	}
	res, err := work.Run(t.Context(), job, &quiet{})
	if err != nil {
		t.Fatal(err)
	}
	return res.Text, res.Usage.CachedTokens
}

// withPrefixes runs an engine that keeps prefixes in a folder, from start to stop.
func withPrefixes(t *testing.T, o native.Options, folder string, f func(e *engine.Engine)) {
	t.Helper()
	d := open(t, o)
	store := prefix.New(prefix.Options{RAM: 256 << 20, Disk: 256 << 20, Folder: folder})
	e, err := engine.New(d, engine.Options{Prefixes: store, Identity: func() string { return "builtin" }})
	if err == nil {
		err = e.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(e.Stop(context.Background()), store.Close(context.Background())); err != nil {
			t.Error(err)
		}
	}()
	f(e)
}

func demote(t *testing.T, e *engine.Engine, to engine.Tier) {
	t.Helper()
	if err := e.Demote(t.Context(), to); err != nil {
		t.Fatal(err)
	}
}

// A prefix that was in memory, or on the disk and in another process, gives the
// text that there is without: when it never left the KV cache. (A prompt that is
// evaluated whole rounds otherwise than one of which only the end is, restored or
// not, and this one is nothing that the model is sure about.)
func TestRestoredPrefixSaysTheSame(t *testing.T) {
	for name, streams := range map[string]bool{"unified": false, "streams": true} {
		t.Run(name, func(t *testing.T) {
			restoredPrefix(t, native.Options{NSeqMax: 3, NCtx: 3 * 1536, PerSequenceKV: streams})
		})
	}
}

func restoredPrefix(t *testing.T, o native.Options) {
	folder := t.TempDir()
	long := strings.Repeat("The engine keeps the beginning of a conversation, and the beginning of another one. ", 40)
	prompt := long + "What are you? "
	var want string
	hit := func(e *engine.Engine, tier engine.Tier) {
		t.Helper()
		before := e.Stats()
		got, cached := say(t, e, prompt, 40)
		if n := e.Stats().Hits[tier].Tokens - before.Hits[tier].Tokens; cached < 600 || n != int64(cached) {
			t.Errorf("%d tokens were cached, %d from %s", cached, n, tier)
		}
		if got != want {
			t.Errorf("from %s: %q, want %q", tier, got, want)
		}
	}
	withPrefixes(t, o, folder, func(e *engine.Engine) {
		say(t, e, prompt, 40)
		if want, _ = say(t, e, prompt, 40); len(want) < 20 {
			t.Fatalf("the model says %q", want)
		}
		hit(e, engine.TierKV)
		for range 2 { // the second time among what the first has left
			demote(t, e, engine.TierRAM)
			say(t, e, "Something else is in the first cells. "+long[:500], 5)
			hit(e, engine.TierRAM)
		}
		demote(t, e, engine.TierDisk)
		hit(e, engine.TierDisk)
	})
	withPrefixes(t, o, folder, func(e *engine.Engine) {
		say(t, e, "Something else. "+long[1000:], 5)
		demote(t, e, engine.TierDisk) // the folder was read by then
		hit(e, engine.TierDisk)
		if s := e.Stats(); s.Prefixes.Rejected != 0 || s.PrefixLoadFailures != 0 || s.PrefixSaveFailures != 0 {
			t.Errorf("%+v", s)
		}
	})
}
