package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/klauspost/cpuid/v2"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/bench"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry"
)

func newBenchCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure how fast models run here", Args: args(cobra.NoArgs),
		Long: "Measures how fast models run here. Every result is kept in the home, where bench list shows it, bench\n" +
			"compare compares it, and model recommend goes by it.",
	}
	cmd.AddCommand(newBenchRawCommand(o), newBenchBatchedCommand(o), newBenchEngineCommand(o), newBenchHTTPCommand(o),
		newBenchListCommand(o), newBenchShowCommand(o), newBenchCompareCommand(o), newBenchRemoveCommand(o))
	return cmd
}

// benchOutput is how a report is written and kept.
type benchOutput struct {
	format, plot, save string
	noKeep             bool
}

func (b *benchOutput) flags(cmd *cobra.Command) {
	b.showFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&b.save, "save", "", "write the report as JSON into this file, too")
	f.BoolVar(&b.noKeep, "no-keep", false, "do not keep the result in the home")
}

// showFlags are those of a command that shows what was measured before.
func (b *benchOutput) showFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&b.format, "output", "o", string(bench.FormatTable), "table, md, json, csv or sql")
	f.StringVar(&b.plot, "plot", "", "draw speed and first token over streams into this SVG file")
}

// check refuses a format that there is not before anything is measured.
func (b *benchOutput) check() error {
	return new(bench.Report).Write(io.Discard, bench.Format(b.format))
}

// write prints a report, also one that was cut short, and writes it into the files
// that were asked for.
func (b *benchOutput) write(cmd *cobra.Command, o *options, report *bench.Report) error {
	format := bench.Format(b.format)
	if o.json {
		format = bench.FormatJSON
	}
	errs := []error{report.Write(cmd.OutOrStdout(), format)}
	if b.save != "" {
		var kept bytes.Buffer
		errs = append(errs, report.Write(&kept, bench.FormatJSON))
		_, err := keep(b.save, true, &kept)
		errs = append(errs, err)
	}
	if b.plot != "" {
		svg, err := bench.Chart(report)
		if err == nil {
			_, err = keep(b.plot, true, bytes.NewReader(svg))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// finish prints what was measured, and keeps it in the home if it is whole. A
// report that was cut short has fewer tests than were asked for, so that it is
// kept only where --save says so. s is a session to keep it by; nil opens one.
func (b *benchOutput) finish(cmd *cobra.Command, o *options, report *bench.Report, err error, s *Session) error {
	if report == nil || len(report.Rows) == 0 {
		return err
	}
	errs := []error{err, b.write(cmd, o, report)}
	if err == nil && !b.noKeep {
		errs = append(errs, keepReport(cmd.Context(), o, report, s))
	}
	return errors.Join(errs...)
}

// benchProgress shows which test runs.
func benchProgress() (show func(bench.Progress), end func()) {
	var bar *Progress
	test := ""
	end = func() {
		if bar != nil {
			bar.Done()
		}
	}
	return func(p bench.Progress) {
		if p.Test != test {
			end()
			test, bar = p.Test, newProgress("measuring "+p.Test, false)
		}
		bar.Set(int64(p.Done), int64(p.Total))
	}, end
}

// hush takes llama.cpp's log away while something is measured: a step that is
// cancelled on purpose is an error there. What really fails is an error here, too.
func hush() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		native.ForwardLog(ctx, slog.New(slog.DiscardHandler))
	}()
	return func() { cancel(); <-done }
}

// machineFacts are what figures depend on besides the model.
func machineFacts() (bench.Machine, bench.Build) {
	m := bench.Machine{
		CPU: strings.TrimSpace(cpuid.CPU.BrandName), Features: cpuid.CPU.FeatureSet(), Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH,
	}
	for _, d := range native.Devices() {
		if d.GPU {
			m.GPU = d.Description
			break
		}
	}
	if all, err := mem.VirtualMemory(); err == nil {
		m.MemoryBytes = int64(all.Total)
	}
	build := native.BuildInfo()
	return m, bench.Build{Version: version, LlamaCPP: build.Version, Flags: build.CPU + " " + build.Backends}
}

// decoderBench are the settings of the benchmarks that need no server.
type decoderBench struct {
	threads, gpuLayers, batch int
	out                       benchOutput
}

func (b *decoderBench) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&b.threads, "threads", 0, "compute threads (default: the cores that this process may use)")
	f.IntVar(&b.gpuLayers, "n-gpu-layers", -1, "layers on the GPU, -1 for as many as fit")
	f.IntVar(&b.batch, "batch", 2048, "the most tokens in one batch")
	b.out.flags(cmd)
}

// run opens a model, has it measured, and adds the facts to the report.
func (b *decoderBench) run(cmd *cobra.Command, o *options, a []string, cells, sequences int,
	measure func(context.Context, *native.Decoder, func(bench.Progress)) (*bench.Report, error)) error {
	if b.batch < 1 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "bench: batch must be at least 1")
	}
	if err := b.out.check(); err != nil {
		return err
	}
	m, err := findMeasured(cmd.Context(), o, a)
	if err != nil {
		return err
	}
	report, err := b.measure(cmd.Context(), m, cells, sequences, measure)
	return b.out.finish(cmd, o, report, err, nil)
}

func (b *decoderBench) measure(ctx context.Context, m measuredModel, cells, sequences int,
	measure func(context.Context, *native.Decoder, func(bench.Progress)) (*bench.Report, error)) (*bench.Report, error) {
	defer hush()()
	bar := newProgress("loading the model", false)
	d, err := native.Open(ctx, native.Options{
		Path: m.entry.Path, NCtx: cells, NSeqMax: sequences, NBatch: b.batch, NThreads: b.threads, NGPULayers: b.gpuLayers, NoWarmUp: true,
	}, func(p float64) { bar.Set(int64(p*100), 100) })
	bar.Done()
	if err != nil {
		return nil, err
	}
	show, end := benchProgress()
	report, err := measure(ctx, d, show)
	end()
	if report != nil {
		m.describe(report, d.Info())
		report.Settings.Batch = b.batch
	}
	return report, errors.Join(err, d.Close())
}

// measuredModel is a model that is to be measured.
type measuredModel struct {
	entry registry.Entry // without a name if only its file was given
	facts registry.Facts
	sum   string // SHA-256 of the file
}

// findMeasured finds the model that a command line names, by its name or its file;
// none is the default model.
func findMeasured(ctx context.Context, o *options, a []string) (m measuredModel, err error) {
	if len(a) == 1 && filepath.Ext(a[0]) == ".gguf" {
		m.entry.Path = a[0]
	} else {
		reg, err := homeRegistry(o)
		if err != nil {
			return m, err
		}
		if m.entry, err = reg.Resolve(strings.Join(a, "")); err != nil {
			return m, err
		}
	}
	if m.facts, err = registry.Check(m.entry.Path); err != nil {
		return m, err
	}
	bar := newProgress("hashing", true)
	defer bar.Done()
	m.sum, err = registry.Hash(ctx, m.entry.Path, bar.Set)
	return m, err
}

// describe adds the facts about the machine, the build and the model to a report.
func (m *measuredModel) describe(report *bench.Report, info engine.Info) {
	report.Machine, report.Build = machineFacts()
	report.Model = bench.Model{
		Name: cmp.Or(m.entry.Name, info.Model), SHA256: m.sum, Quantization: m.facts.Quantization, Bytes: info.ModelBytes,
		Parameters: m.facts.Parameters, Context: info.NCtx,
		Type: strings.Join([]string{m.facts.Architecture, humanCount(m.facts.Parameters), m.facts.Quantization}, " "),
	}
	report.Settings.Backend, report.Settings.Threads, report.Settings.GPULayers = info.Device, info.Threads, info.LayersOffloaded
}

func newBenchRawCommand(o *options) *cobra.Command {
	b := decoderBench{}
	var prompt, gen []int
	var repeat int
	cmd := &cobra.Command{
		Use:   "raw [MODEL|FILE.gguf]",
		Short: "Measure prefill (pp) and decode (tg) as llama-bench defines them",
		Long: "Evaluates random tokens, without sampling and without text, exactly as llama-bench's pp and tg tests\n" +
			"do, and prints the mean tokens per second of the repetitions with their standard deviation.",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			longest := 1
			for _, n := range append(append([]int{}, prompt...), gen...) {
				longest = max(longest, n)
			}
			return b.run(cmd, o, a, longest, 1, func(ctx context.Context, d *native.Decoder, show func(bench.Progress)) (*bench.Report, error) {
				return bench.Raw(ctx, d, bench.RawOptions{Prompt: prompt, Gen: gen, Repeat: repeat, Progress: show})
			})
		},
	}
	f := cmd.Flags()
	f.IntSliceVarP(&prompt, "n-prompt", "p", []int{512}, "tokens of the prefill tests, 0 to leave them out")
	f.IntSliceVarP(&gen, "n-gen", "n", []int{128}, "tokens of the decode tests, 0 to leave them out")
	f.IntVarP(&repeat, "repetitions", "r", 5, "times each test is run")
	b.flags(cmd)
	return o.jsonFlag(cmd)
}

func newBenchBatchedCommand(o *options) *cobra.Command {
	b := decoderBench{}
	opt := bench.BatchedOptions{}
	cmd := &cobra.Command{
		Use:   "batched [MODEL|FILE.gguf]",
		Short: "Measure several sequences in one batch, as llama-batched-bench does",
		Args:  args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			most := 1
			for _, n := range opt.Sequences {
				most = max(most, n)
			}
			if opt.Prompt < 1 || opt.Gen < 1 || most > 256 {
				return jeantrail.Errorf(jeantrail.CodeInvalid, "bench: n-prompt and n-gen must be at least 1, and sequences at most 256")
			}
			return b.run(cmd, o, a, most*(opt.Prompt+opt.Gen), most, func(ctx context.Context, d *native.Decoder, show func(bench.Progress)) (*bench.Report, error) {
				opt.Progress = show
				return bench.Batched(ctx, d, opt)
			})
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&opt.Sequences, "sequences", []int{1, 4, 8, 16}, "sequences at once")
	f.IntVarP(&opt.Prompt, "n-prompt", "p", 128, "tokens of each prompt")
	f.IntVarP(&opt.Gen, "n-gen", "n", 64, "tokens of each answer")
	f.IntVarP(&opt.Repeat, "repetitions", "r", 5, "times each test is run")
	f.BoolVar(&opt.Shared, "shared", false, "all sequences have one prompt, evaluated once")
	b.flags(cmd)
	return o.jsonFlag(cmd)
}
