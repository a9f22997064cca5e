package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/bench"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry"
)

func newBenchCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure how fast models run here", Args: args(cobra.NoArgs)}
	cmd.AddCommand(newBenchRawCommand(o), newBenchBatchedCommand(o), newBenchHTTPCommand(o), newBenchCompareCommand(o))
	return cmd
}

// benchOutput is how a report is written and kept.
type benchOutput struct {
	format, plot, save string
}

func (b *benchOutput) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&b.format, "output", "o", string(bench.FormatTable), "table, md, json, csv or sql")
	f.StringVar(&b.plot, "plot", "", "draw speed and first token over streams into this SVG file")
	f.StringVar(&b.save, "save", "", "keep the report as JSON in this file, for bench compare")
}

// write prints a report, also one that was cut short, and keeps it where that was
// asked for.
func (b *benchOutput) write(cmd *cobra.Command, o *options, report *bench.Report, err error) error {
	if report == nil || len(report.Rows) == 0 {
		return err
	}
	format := bench.Format(b.format)
	if o.json {
		format = bench.FormatJSON
	}
	errs := []error{err, report.Write(cmd.OutOrStdout(), format)}
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

// machineFacts are what figures depend on besides the model.
func machineFacts() (bench.Machine, bench.Build) {
	m := bench.Machine{
		CPU: strings.TrimSpace(cpuid.CPU.BrandName), Features: cpuid.CPU.FeatureSet(), Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH,
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
	name := ""
	if len(a) == 1 {
		name = a[0]
	}
	path, err := modelFile(o, name)
	if err != nil {
		return err
	}
	facts, err := registry.Check(path)
	if err != nil {
		return err
	}
	sum, err := registry.Hash(cmd.Context(), path, nil)
	if err != nil {
		return err
	}
	bar := newProgress("loading the model", false)
	d, err := native.Open(cmd.Context(), native.Options{
		Path: path, NCtx: cells, NSeqMax: sequences, NBatch: b.batch, NThreads: b.threads, NGPULayers: b.gpuLayers, NoWarmUp: true,
	}, func(p float64) { bar.Set(int64(p*100), 100) })
	bar.Done()
	if err != nil {
		return err
	}
	defer d.Close()
	show, end := benchProgress()
	report, err := measure(cmd.Context(), d, show)
	end()
	if report != nil {
		info := d.Info()
		report.Machine, report.Build = machineFacts()
		report.Model = bench.Model{
			Name: info.Model, SHA256: sum, Quantization: facts.Quantization, Bytes: info.ModelBytes, Parameters: facts.Parameters, Context: info.NCtx,
			Type: strings.Join([]string{facts.Architecture, humanCount(facts.Parameters), facts.Quantization}, " "),
		}
		report.Settings.Backend, report.Settings.Threads = info.Device, info.Threads
		report.Settings.GPULayers, report.Settings.Batch = info.LayersOffloaded, b.batch
	}
	return b.out.write(cmd, o, report, err)
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

func newBenchHTTPCommand(o *options) *cobra.Command {
	out := benchOutput{}
	opt := bench.HTTPOptions{}
	var api string
	cmd := &cobra.Command{
		Use:   "http",
		Short: "Measure a server: this program's, llama-server, Ollama or any OpenAI-compatible one",
		Long: "Sends streamed requests, several at once, and measures the time to the first token, the gaps between\n" +
			"tokens and the speed. Without --url the instance of this home is measured.",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt.API = bench.API(api)
			show, end := benchProgress()
			opt.Progress = show
			measure := func() error {
				report, err := bench.HTTP(cmd.Context(), opt)
				end()
				if report != nil {
					report.Machine, _ = machineFacts()
				}
				return out.write(cmd, o, report, err)
			}
			if opt.URL != "" {
				return measure()
			}
			return withSession(cmd.Context(), o, func(s *Session) error {
				if err := s.Ready(cmd.Context()); err != nil {
					return err
				}
				opt.URL, opt.Token = s.base, s.token
				return measure()
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.URL, "url", "", "address of the server, such as http://127.0.0.1:8080")
	f.StringVar(&api, "api", "auto", "what it speaks: "+apiNames())
	f.StringVar(&opt.Model, "model", "", "the model to ask for")
	f.StringVar(&opt.Token, "token", os.Getenv("JEANTRAIL_BENCH_TOKEN"), "sent as a bearer token (JEANTRAIL_BENCH_TOKEN)")
	f.IntSliceVar(&opt.Streams, "streams", []int{1, 4, 8, 16}, "requests at once")
	f.IntVar(&opt.Requests, "requests", 0, "requests for each number of streams (default: five rounds)")
	f.IntVarP(&opt.PromptTokens, "n-prompt", "p", 128, "tokens of each prompt, about")
	f.IntVarP(&opt.MaxTokens, "n-gen", "n", 64, "tokens of each answer")
	f.BoolVar(&opt.SharedPrefix, "shared", false, "all prompts have their first three quarters in common")
	f.DurationVar(&opt.Timeout, "timeout", 5*time.Minute, "limit of one request")
	f.Lookup("token").DefValue = "" // the help shows no secret
	out.flags(cmd)
	return o.jsonFlag(cmd)
}

func apiNames() string {
	var names []string
	for _, a := range bench.APIs() {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}

func newBenchCompareCommand(o *options) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "compare A.json B.json",
		Short: "Compare two kept reports, with a verdict on what is noise",
		Args:  args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error {
			reports := make([]*bench.Report, 0, 2)
			for _, path := range a {
				r, err := readReport(path)
				if err != nil {
					return err
				}
				reports = append(reports, r)
			}
			c, err := bench.Compare(reports[0], reports[1])
			if err != nil {
				return err
			}
			if o.json {
				format = string(bench.FormatJSON)
			}
			return c.Write(cmd.OutOrStdout(), bench.Format(format))
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", string(bench.FormatTable), "table, md or json")
	return o.jsonFlag(cmd)
}

func readReport(path string) (*bench.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := bench.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
