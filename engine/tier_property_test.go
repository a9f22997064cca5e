package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/enginetest"
	"github.com/jeantrail/jeantrail-ai/engine/prefix"
)

// longWhim is a job whose prompt is long enough to be kept.
func longWhim(t *rapid.T, room int) whim {
	w := whim{
		maxTokens:   rapid.IntRange(1, 60).Draw(t, "max_tokens"),
		seed:        uint32(rapid.IntRange(1, 50).Draw(t, "seed")),
		priority:    rapid.SampledFrom(jeantrail.Priorities()).Draw(t, "priority"),
		cancelAfter: -1,
	}
	system := rapid.SampledFrom([]string{"one. ", "two! ", "three? ", "four; ", "five: "}).Draw(t, "system")
	w.prompt = strings.Repeat(system, rapid.IntRange(40, 120).Draw(t, "times")) + rapid.StringMatching(`[ab ]{1,300}`).Draw(t, "own")
	w.prompt = w.prompt[:min(len(w.prompt), room-w.maxTokens)]
	if rapid.IntRange(0, 4).Draw(t, "cancelled") == 0 {
		w.cancelAfter = rapid.IntRange(0, 10).Draw(t, "after")
	}
	return w
}

// Whatever comes in whatever order, with prefixes that go to memory, to the disk
// and come back, also in the next process: each job says what it says alone, the
// budgets hold, and in the end every cell is accounted for.
func TestAnyCrowdWithTiers(t *testing.T) {
	folder := filepath.Join(memoryFolder(t), "prefix")
	var hits [3]int64
	rapid.Check(t, func(rt *rapid.T) {
		if err := os.RemoveAll(folder); err != nil {
			rt.Fatal(err)
		}
		cfg := enginetest.Config{
			NSeqMax:  rapid.IntRange(1, 4).Draw(rt, "seqs"),
			NBatch:   rapid.IntRange(32, 512).Draw(rt, "batch"),
			Separate: rapid.Bool().Draw(rt, "separate"),
		}
		cfg.NCtx = rapid.IntRange(700, 2000).Draw(rt, "ctx")
		if cfg.Separate {
			cfg.NCtx *= cfg.NSeqMax
		}
		opts := prefix.Options{
			RAM:    int64(rapid.IntRange(0, 8).Draw(rt, "ram")) << 10,
			Disk:   int64(rapid.IntRange(0, 16).Draw(rt, "disk")) << 10,
			Folder: folder,
		}
		largest := int64(4*cfg.NCtx + 8)
		opts.Resized = func(bytes int64) {
			if bytes > opts.RAM+largest { // one is on its way to the disk
				rt.Errorf("%d bytes are in memory, the budget is %d", bytes, opts.RAM)
			}
		}
		for range rapid.IntRange(1, 2).Draw(rt, "processes") {
			tierSession(rt, cfg, opts, &hits)
		}
	})
	if hits[engine.TierRAM] == 0 || hits[engine.TierDisk] == 0 {
		t.Errorf("the test never took the ways that it is about: %v", hits)
	}
}

// memoryFolder is a folder where syncing costs nothing, if there is one.
func memoryFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("/dev/shm", "prefix-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	return folder
}

func tierSession(t *rapid.T, cfg enginetest.Config, opts prefix.Options, hits *[3]int64) {
	store := prefix.New(opts)
	r := &rig{fake: enginetest.New(cfg)}
	var known atomic.Bool
	known.Store(rapid.Bool().Draw(t, "known"))
	var err error
	r.Engine, err = engine.New(r.fake, engine.Options{Prefixes: store, Identity: func() string {
		if known.Load() {
			return "model"
		}
		return ""
	}})
	if err == nil {
		err = r.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for range rapid.IntRange(1, 3).Draw(t, "crowds") {
		whims := make([]whim, rapid.IntRange(1, 8).Draw(t, "jobs"))
		runs := make([]<-chan outcome, len(whims))
		for i := range whims {
			whims[i] = longWhim(t, r.fake.Info().NCtxSeq)
			runs[i] = r.spawnWhim(whims[i])
		}
		demoted := make(chan error, 1)
		tier := rapid.SampledFrom([]engine.Tier{engine.TierKV, engine.TierRAM, engine.TierDisk}).Draw(t, "demote")
		go func() {
			if tier == engine.TierDisk && !known.Load() {
				tier = engine.TierRAM
			}
			demoted <- r.Demote(context.Background(), tier)
		}()
		for i, c := range runs {
			checkWhim(t, i, whims[i], <-c)
		}
		if err := <-demoted; err != nil && jeantrail.CodeOf(err) != jeantrail.CodeInvalid && jeantrail.CodeOf(err) != jeantrail.CodeUnsupported {
			t.Errorf("demote: %v", err)
		}
		known.Store(true)
	}
	if err := r.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := r.Stats()
	if s.Running != 0 || s.Waiting != 0 || s.KVLive != 0 || s.KVUsed != r.fake.Used() || s.NoRoom != 0 || s.Prefixes.Rejected != 0 {
		t.Errorf("not back at zero: %+v, %d cells used", s, r.fake.Used())
	}
	if r.fake.Samplers() != 0 || r.fake.Err() != nil || r.Err() != nil {
		t.Errorf("%d samplers left, %v, %v", r.fake.Samplers(), r.fake.Err(), r.Err())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := store.Close(ctx); err != nil {
		t.Error(err)
	}
	if n := folderSize(t, opts.Folder); n > opts.Disk {
		t.Errorf("the folder has %d bytes, the budget is %d", n, opts.Disk)
	}
	for tier, use := range s.Hits {
		hits[tier] += use.Jobs
	}
}

func folderSize(t *rapid.T, folder string) (bytes int64) {
	files, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	return bytes
}
