package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/bench"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/engine/prefix"
)

// mostSlots is llama.cpp's bound on the sequences of a context.
const mostSlots = 256

// engineBench is what bench engine measures.
type engineBench struct {
	opt                             bench.EngineOptions
	slots, nCtx, threads, gpuLayers int
	out                             benchOutput
}

func newBenchEngineCommand(o *options) *cobra.Command {
	b := engineBench{}
	cmd := &cobra.Command{
		Use:   "engine [MODEL|FILE.gguf]",
		Short: "Measure the engine: first token, time between tokens, streams side by side, cancelling",
		Long: "Opens a copy of the model as serve would, and measures the time to the first token of a prompt that is\n" +
			"new, in the KV cache, shares its beginning with another, or was put away in memory and on disk; streams\n" +
			"side by side; and how soon a cancelled request makes room. There is one slot for each of the most\n" +
			"streams, unless --slots says otherwise; streams beyond the slots wait in the queue, and that counts.\n\n" +
			"It needs memory of its own beside an instance that runs, and shares the processor with all else that\n" +
			"does: measure on an idle machine.",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error { return b.run(cmd, o, a) },
	}
	f := cmd.Flags()
	f.IntSliceVar(&b.opt.Streams, "streams", []int{1, 4, 8, 16}, "requests at once")
	f.IntVar(&b.slots, "slots", 0, "generations at once (default: the most streams)")
	f.IntVarP(&b.opt.PromptTokens, "n-prompt", "p", 128, "tokens of each prompt, about")
	f.IntVarP(&b.opt.MaxTokens, "n-gen", "n", 64, "tokens of each answer")
	f.IntVar(&b.opt.RestoreTokens, "n-restore", 512, "tokens of the prompts that are put away and fetched again, about")
	f.IntVarP(&b.opt.Repeat, "repetitions", "r", 5, "times each test is run")
	f.IntVar(&b.nCtx, "n-ctx", 0, "the longest conversation, in tokens (default: as configured)")
	f.IntVar(&b.threads, "threads", 0, "compute threads (default: as configured)")
	f.IntVar(&b.gpuLayers, "n-gpu-layers", -1, "layers on the GPU, -1 for as many as fit (default: as configured)")
	f.Lookup("n-gpu-layers").DefValue = ""
	b.out.flags(cmd)
	return o.jsonFlag(cmd)
}

func (b *engineBench) check() error {
	if b.slots < 0 || b.slots > mostSlots || b.nCtx < 0 || b.threads < 0 || b.gpuLayers < -1 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "bench: slots are at most %d, and neither they nor n-ctx and threads are negative", mostSlots)
	}
	for name, n := range map[string]int{"repetitions": b.opt.Repeat, "n-prompt": b.opt.PromptTokens, "n-gen": b.opt.MaxTokens, "n-restore": b.opt.RestoreTokens} {
		if n < 1 { // 0 would be the default
			return jeantrail.Errorf(jeantrail.CodeInvalid, "bench: %s must be at least 1", name)
		}
	}
	if len(b.opt.Streams) == 0 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "bench: there are no streams to measure").WithHint("For example: --streams 1,4")
	}
	return b.out.check()
}

func (b *engineBench) run(cmd *cobra.Command, o *options, a []string) error {
	if err := b.check(); err != nil {
		return err
	}
	m, err := findMeasured(cmd.Context(), o, a)
	if err != nil {
		return err
	}
	report, err := b.measure(cmd, o, m)
	return b.out.finish(cmd, o, report, err, nil)
}

func (b *engineBench) measure(cmd *cobra.Command, o *options, m measuredModel) (*bench.Report, error) {
	defer hush()()
	r, err := b.open(cmd, o, m)
	if err != nil {
		return nil, err
	}
	show, end := benchProgress()
	b.opt.Progress = show
	report, err := bench.Engine(cmd.Context(), r, b.opt)
	end()
	if report != nil {
		info := r.decoder.Info()
		m.describe(report, info)
		report.Model.Context = r.engine.Info().NCtx
		report.Settings.Batch, report.Settings.Slots, report.Settings.KV = info.NBatch, info.NSeqMax, "streams"
		if info.Unified {
			report.Settings.KV = "unified"
		}
		report.Notes = append(report.Notes, r.notes()...)
	}
	return report, errors.Join(err, r.close())
}

// open loads the model as serve would, with the settings of the command line in
// place of the configured ones.
func (b *engineBench) open(cmd *cobra.Command, o *options, m measuredModel) (*engineRunner, error) {
	home, err := homeDir(o.home)
	if err != nil {
		return nil, err
	}
	config, err := loadConfig(home, nil)
	if err != nil {
		return nil, err
	}
	most := slices.Max(b.opt.Streams)
	config.Engine.Slots = cmp.Or(b.slots, min(most, mostSlots))
	config.Engine.Queue = max(config.Engine.Queue, most)
	entry := m.entry
	entry.Name = cmp.Or(entry.Name, strings.TrimSuffix(filepath.Base(entry.Path), ".gguf"))
	reg, err := newRegistry(config)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	look := lookAtMachine(filepath.Join(home, "models"), log)
	room, err := newRoom(config, look(cmd.Context()))
	if err != nil {
		return nil, err
	}
	all := newModels(reg, AppOptions{Config: config, Logger: log}, newCapacity(room, look), nil)
	defer all.end()
	l := &loader{models: all, entry: entry, settings: modelSettings(config, entry), engine: config.Engine}
	l.checksum.Store(&m.sum)
	l.settings.MMProjPath = "" // nothing here reads images
	l.settings.NCtx, l.settings.NThreads = cmp.Or(b.nCtx, l.settings.NCtx), cmp.Or(b.threads, l.settings.NThreads)
	if cmd.Flags().Changed("n-gpu-layers") {
		l.settings.NGPULayers = &b.gpuLayers
	}
	return startRunner(cmd.Context(), l, config)
}

// startRunner starts the loader's engine, with a place of its own for what leaves
// the KV cache: what an instance keeps is left alone.
func startRunner(ctx context.Context, l *loader, config *LoadedConfig) (_ *engineRunner, err error) {
	r := &engineRunner{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.ram, err = parseBytes(config.Engine.PrefixRAM); err != nil {
		return nil, err
	}
	if r.disk, err = parseBytes(config.Engine.PrefixDisk); err != nil {
		return nil, err
	}
	if r.disk > 0 {
		// In the home, since the folder for temporary files is often in memory.
		if r.folder, err = os.MkdirTemp(config.Home, ".bench-prefix-*"); err != nil {
			return nil, fmt.Errorf("make a folder for prefixes on disk: %w", err)
		}
	}
	r.prefixes = prefix.New(prefix.Options{RAM: r.ram, Disk: r.disk, Folder: r.folder, Logger: l.models.opt.Logger})
	l.prefixes = r.prefixes
	lay, err := l.models.capacity.layout(ctx, l.asked(), 0)
	if err != nil {
		return nil, err
	}
	if err = l.fits(ctx, lay); err != nil {
		return nil, err
	}
	bar := newProgress("loading the model", false)
	r.decoder, r.engine, err = l.start(ctx, &lay, func(p float64) { bar.Set(int64(p*100), 100) })
	bar.Done()
	return r, err
}

// engineRunner runs the requests of a benchmark on an engine.
type engineRunner struct {
	engine   *engine.Engine
	decoder  *native.Decoder
	prefixes *prefix.Store
	folder   string // of the prefixes on disk; "" if there are none
	ram      int64  // bytes of prefixes that are kept in memory
	disk     int64  // and on disk
	warm     bool   // prefixes on disk may have been read from the system's cache of files
}

// close frees everything. What is kept of prefixes is of no use to anybody else.
func (r *engineRunner) close() error {
	now, cancel := context.WithCancel(context.Background())
	cancel() // nothing runs, and nothing is to be saved
	var errs []error
	if r.engine != nil {
		errs = append(errs, r.engine.Stop(now), r.decoder.Close())
	}
	if r.prefixes != nil {
		_ = r.prefixes.Close(now) // it says that it saved nothing
	}
	if r.folder != "" {
		errs = append(errs, os.RemoveAll(r.folder))
	}
	return errors.Join(errs...)
}

// Run implements bench.Runner.
func (r *engineRunner) Run(ctx context.Context, q bench.Request, token func(time.Time, int)) (bench.Answer, error) {
	greedy := 0.0
	work, err := r.engine.Prepare(ctx, &jeantrail.Request{Kind: jeantrail.KindText, Text: &jeantrail.TextRequest{
		Prompt: q.Prompt, MaxTokens: &q.MaxTokens, Temperature: &greedy, Raw: true, IgnoreEOS: true,
	}})
	if err != nil {
		return bench.Answer{}, err
	}
	result, err := work.Run(ctx, &jeantrail.Job{Priority: jeantrail.PriorityInteractive}, benchSink{token, q.MaxTokens})
	u := result.Usage
	return bench.Answer{Tokens: u.CompletionTokens, PromptTokens: u.PromptTokens, CachedTokens: &u.CachedTokens}, err
}

// Demote implements bench.Demoter.
func (r *engineRunner) Demote(ctx context.Context, tier string) error {
	to, size, setting := engine.TierRAM, r.ram, "engine.prefix_ram"
	if tier == bench.TierDisk {
		to, size, setting = engine.TierDisk, r.disk, "engine.prefix_disk"
	}
	if size == 0 {
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "%s is 0, so that nothing is kept there", setting)
	}
	if err := r.engine.Demote(ctx, to); err != nil || to == engine.TierRAM {
		return err
	}
	cold, err := dropCached(r.folder)
	r.warm = r.warm || !cold
	return err
}

// notes says what the figures do not.
func (r *engineRunner) notes() []string {
	if r.warm {
		return []string{"from disk: the files had just been written, and may have been read from the system's memory"}
	}
	return nil
}

// benchSink tells a benchmark of the tokens as they come.
type benchSink struct {
	token func(time.Time, int)
	most  int // tokens of the answer
}

// Started implements engine.Sink.
func (benchSink) Started(string, jeantrail.EngineInfo, int, int) {}

// Token implements engine.Sink. Text can follow the last token, and is none.
func (s benchSink) Token(_ string, _ bool, tokens int) {
	if tokens > 0 {
		s.token(time.Now(), tokens)
	}
}

// Allowance implements engine.Sink.
func (s benchSink) Allowance(int, int) int { return s.most }

// Progress implements engine.Sink.
func (benchSink) Progress(jeantrail.Progress) {}
