package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/enginetest"
	"github.com/jeantrail/jeantrail-ai/engine/prefix"
)

// keeping makes engine options with a store in a folder of the test's.
func keeping(t testing.TB, o prefix.Options) engine.Options {
	t.Helper()
	if o.RAM == 0 {
		o.RAM = 1 << 20
	}
	s := prefix.New(o)
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return engine.Options{Prefixes: s, Identity: func() string { return "model" }}
}

// wantFrom checks how many tokens a job had from where.
func wantFrom(t *testing.T, o outcome, before, after engine.Stats, from engine.Tier, tokens int) {
	t.Helper()
	jobs, got := after.Hits[from].Jobs-before.Hits[from].Jobs, after.Hits[from].Tokens-before.Hits[from].Tokens
	if o.res.Usage.CachedTokens != tokens || o.res.Timings.CachedFrom != from.String() || jobs != 1 || got != int64(tokens) {
		t.Errorf("%d tokens were cached, from %q, %d of %d jobs from %s; want %d", o.res.Usage.CachedTokens, o.res.Timings.CachedFrom, got, jobs, from, tokens)
	}
}

// settled is the statistics after everything that was asked for is done.
func (r *rig) settled(t testing.TB) engine.Stats {
	t.Helper()
	r.run(t.Context(), raw("?", 1)).ok(t)
	return r.Stats()
}

func TestEvictedPrefixComesBackFromMemory(t *testing.T) {
	for name, separate := range layouts {
		t.Run(name, func(t *testing.T) {
			cfg := enginetest.Config{Separate: separate, NCtx: 2048, NSeqMax: 2}
			texts := prompts(4, 600)
			want := alone(t, cfg, []*jeantrail.TextRequest{raw(texts[0]+"and more", 30)})
			r := newRig(t, cfg, keeping(t, prefix.Options{}))
			for _, p := range texts {
				r.run(t.Context(), raw(p, 1)).ok(t)
			}
			before := r.settled(t)
			if before.PrefixSaves < 2 || before.Prefixes.RAMBytes == 0 || before.Prefixes.RAMEntries == 0 {
				t.Fatalf("nothing was saved: %+v", before)
			}
			o := r.run(t.Context(), raw(texts[0]+"and more", 30)).ok(t)
			wantFrom(t, o, before, r.settled(t), engine.TierRAM, 600)
			if o.res.Text != want[0] {
				t.Errorf("said %q, without a restored prefix %q", o.res.Text, want[0])
			}
		})
	}
}

func TestDemotedPrefixComesBack(t *testing.T) {
	for name, separate := range layouts {
		for _, tier := range []engine.Tier{engine.TierRAM, engine.TierDisk} {
			t.Run(name+"/"+tier.String(), func(t *testing.T) {
				cfg := enginetest.Config{Separate: separate}
				prompt := prompts(1, 500)[0]
				want := alone(t, cfg, []*jeantrail.TextRequest{raw(prompt+"b", 30)})
				r := newRig(t, cfg, keeping(t, prefix.Options{Disk: 1 << 20, Folder: t.TempDir()}))
				r.run(t.Context(), raw(prompt+"a", 1)).ok(t)
				if err := r.Demote(t.Context(), tier); err != nil {
					t.Fatal(err)
				}
				before := r.settled(t)
				if onDisk := tier == engine.TierDisk; before.Prefixes.DiskEntries > 0 != onDisk || before.Prefixes.RAMEntries > 0 == onDisk {
					t.Errorf("kept: %+v", before.Prefixes)
				}
				o := r.run(t.Context(), raw(prompt+"b", 30)).ok(t)
				wantFrom(t, o, before, r.settled(t), tier, 500)
				if o.res.Text != want[0] {
					t.Errorf("said %q, without a restored prefix %q", o.res.Text, want[0])
				}
			})
		}
	}
}

// What is cached at a clean stop is there after the next start.
func TestPrefixOutlivesTheProcess(t *testing.T) {
	folder, cfg := t.TempDir(), enginetest.Config{}
	texts := prompts(3, 500)
	session := func(identity string, f func(r *rig)) {
		store := prefix.New(prefix.Options{RAM: 1 << 20, Disk: 1 << 20, Folder: folder})
		r := &rig{fake: enginetest.New(cfg)}
		var err error
		if r.Engine, err = engine.New(r.fake, engine.Options{Prefixes: store, Identity: func() string { return identity }}); err == nil {
			err = r.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		f(r)
		if err := errors.Join(r.Stop(t.Context()), store.Close(t.Context()), r.fake.Err()); err != nil {
			t.Fatal(err)
		}
	}
	session("model", func(r *rig) {
		for _, p := range texts {
			r.run(t.Context(), raw(p, 1)).ok(t)
		}
	})
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != len(texts) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
	session("other model", func(r *rig) {
		if o := r.run(t.Context(), raw(texts[1]+"x", 1)).ok(t); o.res.Usage.CachedTokens != 0 {
			t.Errorf("another model was given %d tokens", o.res.Usage.CachedTokens)
		}
	})
	session("model", func(r *rig) {
		r.run(t.Context(), raw(strings.Repeat("z", 400), 1)).ok(t)
		if err := r.Demote(t.Context(), engine.TierDisk); err != nil { // the folder was read by then
			t.Fatal(err)
		}
		before := r.settled(t)
		if before.Prefixes.DiskEntries != len(texts)+1 {
			t.Fatalf("%+v", before.Prefixes)
		}
		o := r.run(t.Context(), raw(texts[1]+"x", 1)).ok(t)
		wantFrom(t, o, before, r.settled(t), engine.TierDisk, 500)
	})
}

// A file that was damaged meanwhile is removed, and the prompt is evaluated.
func TestDamagedFileIsNotLoaded(t *testing.T) {
	folder, cfg := t.TempDir(), enginetest.Config{}
	prompt := prompts(1, 500)[0]
	want := alone(t, cfg, []*jeantrail.TextRequest{raw(prompt+"b", 30)})
	r := newRig(t, cfg, keeping(t, prefix.Options{Disk: 1 << 20, Folder: folder}))
	r.run(t.Context(), raw(prompt+"a", 1)).ok(t)
	if err := r.Demote(t.Context(), engine.TierDisk); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(folder, "*.kv"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-20] ^= 1 // in the state
	if err := os.WriteFile(names[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	o := r.run(t.Context(), raw(prompt+"b", 30)).ok(t)
	s := r.settled(t)
	if o.res.Text != want[0] || o.res.Usage.CachedTokens != 0 {
		t.Errorf("said %q with %d cached tokens, want %q", o.res.Text, o.res.Usage.CachedTokens, want[0])
	}
	if s.Prefixes.Rejected != 1 || s.Prefixes.DiskEntries != 0 || s.PrefixLoadFailures != 1 || r.fake.Loaded() != 0 {
		t.Errorf("%+v, %d loaded", s, r.fake.Loaded())
	}
}

// A state that the decoder does not take is dropped, and the prompt is evaluated.
func TestStateThatDoesNotFit(t *testing.T) {
	var refuse atomic.Bool
	cfg := enginetest.Config{OnLoad: func() error {
		if refuse.Load() {
			return errors.New("it comes from another build")
		}
		return nil
	}}
	prompt := prompts(1, 500)[0]
	want := alone(t, cfg, []*jeantrail.TextRequest{raw(prompt+"b", 30)})
	r := newRig(t, cfg, keeping(t, prefix.Options{}))
	r.run(t.Context(), raw(prompt+"a", 1)).ok(t)
	if err := r.Demote(t.Context(), engine.TierRAM); err != nil {
		t.Fatal(err)
	}
	refuse.Store(true)
	o := r.run(t.Context(), raw(prompt+"b", 30)).ok(t)
	s := r.settled(t)
	if o.res.Text != want[0] || o.res.Usage.CachedTokens != 0 || s.PrefixLoadFailures != 1 || s.Prefixes.Rejected != 1 || s.Prefixes.RAMEntries != 0 {
		t.Errorf("said %q with %d cached tokens, want %q; %+v", o.res.Text, o.res.Usage.CachedTokens, want[0], s)
	}
}

// slowDisk is a store whose files are read when the test says so.
type slowDisk struct {
	*prefix.Store
	asked, answer chan struct{}
}

type slowShelf struct {
	engine.Shelf
	disk *slowDisk
}

func (d *slowDisk) Shelf(identity func() string) engine.Shelf {
	return slowShelf{d.Store.Shelf(identity), d}
}

func (s slowShelf) Fetch(ctx context.Context, p engine.Prefix) ([]byte, error) {
	s.disk.asked <- struct{}{}
	select {
	case <-s.disk.answer:
		return s.Shelf.Fetch(ctx, p)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func newSlowRig(t *testing.T, cfg enginetest.Config) (*rig, *slowDisk) {
	t.Helper()
	opts := keeping(t, prefix.Options{Disk: 1 << 20, Folder: t.TempDir()})
	d := &slowDisk{Store: opts.Prefixes.(*prefix.Store), asked: make(chan struct{}), answer: make(chan struct{})}
	opts.Prefixes = d
	return newRig(t, cfg, opts), d
}

// While a file is read for one, others run; and those that share its prefix wait
// for it instead of reading or evaluating the same.
func TestOthersRunWhileAFileIsRead(t *testing.T) {
	r, disk := newSlowRig(t, enginetest.Config{})
	prompt := prompts(1, 500)[0]
	r.run(t.Context(), raw(prompt, 1)).ok(t)
	if err := r.Demote(t.Context(), engine.TierDisk); err != nil {
		t.Fatal(err)
	}
	before := r.settled(t)
	first := r.spawn(t.Context(), job(raw(prompt+"first", 5), ""), &sink{})
	<-disk.asked
	second := r.spawn(t.Context(), job(raw(prompt+"second", 5), ""), &sink{})
	r.run(t.Context(), raw("in between", 5)).ok(t)
	close(disk.answer)
	o := (<-first).ok(t)
	other := (<-second).ok(t)
	after := r.settled(t)
	wantFrom(t, o, before, after, engine.TierDisk, 500)
	if other.res.Usage.CachedTokens < 500 || r.fake.Loaded() != 1 {
		t.Errorf("the second had %d tokens cached; %d states were loaded", other.res.Usage.CachedTokens, r.fake.Loaded())
	}
}

func TestCancelWhileAFileIsRead(t *testing.T) {
	r, disk := newSlowRig(t, enginetest.Config{})
	prompt := prompts(1, 500)[0]
	r.run(t.Context(), raw(prompt, 1)).ok(t)
	if err := r.Demote(t.Context(), engine.TierDisk); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := r.spawn(ctx, job(raw(prompt+"first", 5), ""), &sink{})
	<-disk.asked
	cancel()
	if o := <-c; !errors.Is(o.err, context.Canceled) || o.res.Usage.PromptTokens != 0 {
		t.Errorf("%v, %+v", o.err, o.res.Usage)
	}
	r.run(t.Context(), raw("after", 5)).ok(t)
	if r.fake.Loaded() != 0 {
		t.Error("the state of a cancelled job was loaded")
	}
}

// Stop does not wait for a file that is being read for a job that it cancels.
func TestStopWhileAFileIsRead(t *testing.T) {
	r, disk := newSlowRig(t, enginetest.Config{})
	prompt := prompts(1, 500)[0]
	r.run(t.Context(), raw(prompt, 1)).ok(t)
	if err := r.Demote(t.Context(), engine.TierDisk); err != nil {
		t.Fatal(err)
	}
	c := r.spawn(t.Context(), job(raw(prompt+"first", 5), ""), &sink{})
	<-disk.asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if o := <-c; jeantrail.CodeOf(o.err) != jeantrail.CodeShuttingDown {
		t.Errorf("got %v", o.err)
	}
}

// Until the model is known, nothing is written; what memory has by then can be.
func TestNothingIsWrittenForAnUnknownModel(t *testing.T) {
	folder := t.TempDir()
	var known atomic.Bool
	opts := keeping(t, prefix.Options{Disk: 1 << 20, Folder: folder})
	opts.Identity = func() string {
		if known.Load() {
			return "model"
		}
		return ""
	}
	r := newRig(t, enginetest.Config{}, opts)
	prompt := prompts(1, 500)[0]
	r.run(t.Context(), raw(prompt, 1)).ok(t)
	if err := r.Demote(t.Context(), engine.TierRAM); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Demote(ctx, engine.TierDisk); jeantrail.CodeOf(err) != jeantrail.CodeConflict {
		t.Errorf("demote to the disk: %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(folder, "*")); len(names) > 0 {
		t.Errorf("written: %v", names)
	}
	known.Store(true)
	if err := r.Demote(t.Context(), engine.TierDisk); err != nil {
		t.Fatal(err)
	}
	if s := r.Stats().Prefixes; s.DiskEntries != 1 || s.RAMEntries != 0 || s.Written != 1 {
		t.Errorf("%+v", s)
	}
}

func TestDemoteRefusals(t *testing.T) {
	r := newRig(t, enginetest.Config{}, engine.Options{})
	if err := r.Demote(t.Context(), engine.TierRAM); jeantrail.CodeOf(err) != jeantrail.CodeUnsupported {
		t.Errorf("without a store: %v", err)
	}
	if err := r.Demote(t.Context(), engine.TierKV); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("to the KV cache: %v", err)
	}
	r = newRig(t, enginetest.Config{}, keeping(t, prefix.Options{}))
	r.run(t.Context(), raw(prompts(1, 500)[0], 1)).ok(t)
	if err := r.Demote(t.Context(), engine.TierDisk); jeantrail.CodeOf(err) != jeantrail.CodeUnsupported || !strings.Contains(err.Error(), "disk") {
		t.Errorf("without a disk: %v", err)
	}
}

// A follow-up that goes on in its slot saves nothing: little is lost by it.
func TestLittleIsNotSaved(t *testing.T) {
	r := newRig(t, enginetest.Config{Next: enginetest.Say("answer", 500)}, keeping(t, prefix.Options{}))
	prompt := prompts(1, 500)[0]
	r.run(t.Context(), raw(prompt, 50)).ok(t)
	r.run(t.Context(), raw(prompt+"another way", 50)).ok(t)
	for _, p := range prompts(12, 200) {
		r.run(t.Context(), raw(p, 50)).ok(t)
	}
	if s := r.settled(t); s.PrefixSaves != 1 { // the long one, when its slot was taken
		t.Errorf("%d states were saved", s.PrefixSaves)
	}
}

// A job whose state is read keeps its place: nobody who came later takes its slot.
func TestFetchingJobKeepsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, disk := newSlowRig(t, enginetest.Config{NSeqMax: 1})
		prompt := prompts(1, 500)[0]
		r.run(t.Context(), raw(prompt, 1)).ok(t)
		if err := r.Demote(t.Context(), engine.TierDisk); err != nil {
			t.Fatal(err)
		}
		first := r.spawn(t.Context(), job(raw(prompt+"first", 5), ""), &sink{})
		<-disk.asked
		second := r.spawn(t.Context(), job(raw("second", 5), ""), &sink{})
		synctest.Wait()
		select {
		case <-second:
			t.Error("the second was served before the first")
		default:
		}
		close(disk.answer)
		(<-first).ok(t)
		(<-second).ok(t)
	})
}
