package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine/native"
	"github.com/jeantrail/jeantrail-ai/registry"
)

func newBenchCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure how fast models run here", Args: args(cobra.NoArgs)}
	cmd.AddCommand(newBenchRawCommand(o))
	return cmd
}

// rawBench are the settings of bench raw; names and defaults are llama-bench's.
type rawBench struct {
	prompt, gen, repeat, threads, gpuLayers, batch int
}

func newBenchRawCommand(o *options) *cobra.Command {
	b := rawBench{}
	cmd := &cobra.Command{
		Use:   "raw [MODEL|FILE.gguf]",
		Short: "Measure prefill (pp) and decode (tg) as llama-bench defines them",
		Long: "Evaluates random tokens, without sampling and without text, exactly as llama-bench's pp and tg tests\n" +
			"do, and prints the mean tokens per second of the repetitions with their standard deviation.",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			name := ""
			if len(a) == 1 {
				name = a[0]
			}
			path, err := modelFile(o, name)
			if err != nil {
				return err
			}
			report, err := b.run(cmd.Context(), path)
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), report)
			}
			report.print(cmd.OutOrStdout())
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVarP(&b.prompt, "n-prompt", "p", 512, "tokens of the prefill test, 0 to leave it out")
	f.IntVarP(&b.gen, "n-gen", "n", 128, "tokens of the decode test, 0 to leave it out")
	f.IntVarP(&b.repeat, "repetitions", "r", 5, "times each test is run")
	f.IntVar(&b.threads, "threads", 0, "compute threads (default: the cores that this process may use)")
	f.IntVar(&b.gpuLayers, "n-gpu-layers", -1, "layers on the GPU, -1 for as many as fit")
	f.IntVar(&b.batch, "batch", 2048, "the most tokens in one batch")
	return o.jsonFlag(cmd)
}

// rawReport is what bench raw prints, with what is needed to compare it.
type rawReport struct {
	Model        string      `json:"model"`
	Path         string      `json:"path"`
	Bytes        int64       `json:"bytes"`
	Params       int64       `json:"parameters"`
	Quantization string      `json:"quantization"`
	Device       string      `json:"device"`
	Offloaded    int         `json:"layers_offloaded"`
	Fallback     string      `json:"fallback_reason,omitempty"`
	Threads      int         `json:"threads"`
	LlamaCPP     string      `json:"llama_cpp"`
	CPUFlags     string      `json:"cpu"`
	Tests        []rawResult `json:"tests"`
}

type rawResult struct {
	Test   string    `json:"test"`
	Mean   float64   `json:"tokens_per_second"`
	StdDev float64   `json:"stddev"`
	Each   []float64 `json:"each"`
}

func (b rawBench) run(ctx context.Context, path string) (*rawReport, error) {
	if b.repeat < 1 || b.prompt < 0 || b.gen < 0 || b.prompt+b.gen == 0 || b.batch < 1 {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "bench: repetitions and batch must be at least 1, and one of n-prompt and n-gen more than 0")
	}
	facts, err := registry.Check(path)
	if err != nil {
		return nil, err
	}
	bar := newProgress("loading the model", false)
	d, err := native.Open(ctx, native.Options{
		Path: path, NCtx: max(b.prompt, b.gen), NBatch: b.batch, NThreads: b.threads, NGPULayers: b.gpuLayers, NoWarmUp: true,
	}, func(p float64) { bar.Set(int64(p*100), 100) })
	bar.Done()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	info := d.Info()
	report := &rawReport{
		Model: info.Model, Path: path, Bytes: info.ModelBytes, Params: facts.Parameters, Quantization: facts.Quantization,
		Device: info.Device, Offloaded: info.LayersOffloaded, Fallback: info.FallbackReason, Threads: info.Threads,
		LlamaCPP: native.BuildInfo().Version, CPUFlags: native.SystemInfo(),
	}
	tests := []struct {
		name string
		n    int
		warm int // tokens of the run that does not count
		run  func(int) (time.Duration, error)
	}{
		{"pp", b.prompt, b.prompt, d.BenchPrompt},
		{"tg", b.gen, 1, d.BenchGenerate},
	}
	for _, test := range tests {
		if test.n == 0 {
			continue
		}
		result, err := b.test(ctx, test.n, test.warm, test.run)
		if err != nil {
			return nil, err
		}
		result.Test = fmt.Sprintf("%s%d", test.name, test.n)
		report.Tests = append(report.Tests, result)
	}
	return report, nil
}

// test runs one test after a run that does not count, as llama-bench does.
func (b rawBench) test(ctx context.Context, n, warm int, run func(int) (time.Duration, error)) (r rawResult, err error) {
	bar := newProgress("measuring", false)
	defer bar.Done()
	if _, err := run(warm); err != nil {
		return r, err
	}
	for i := range b.repeat {
		if err := context.Cause(ctx); err != nil {
			return r, err
		}
		took, err := run(n)
		if err != nil {
			return r, err
		}
		r.Each = append(r.Each, float64(n)/took.Seconds())
		bar.Set(int64(i+1), int64(b.repeat))
	}
	r.Mean, r.StdDev = meanStdDev(r.Each)
	return r, nil
}

// meanStdDev returns the mean and the sample standard deviation.
func meanStdDev(v []float64) (mean, stddev float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	if len(v) < 2 {
		return mean, 0
	}
	for _, x := range v {
		stddev += (x - mean) * (x - mean) / float64(len(v)-1)
	}
	return mean, math.Sqrt(stddev)
}

func (r *rawReport) print(w io.Writer) {
	t := newTable(w, "MODEL", "SIZE", "PARAMETERS", "DEVICE", "THREADS", "TEST", "T/S")
	for _, test := range r.Tests {
		t.AppendRow(table.Row{
			r.Model + " " + r.Quantization, humanBytes(r.Bytes), humanCount(r.Params), r.Device, r.Threads, test.Test,
			fmt.Sprintf("%.2f ± %.2f", test.Mean, test.StdDev),
		})
	}
	t.Render()
	fmt.Fprintf(w, "\nllama.cpp %s · %s\n", r.LlamaCPP, r.CPUFlags)
}
