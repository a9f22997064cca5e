// Command benchmodel writes a Qwen3 model with random weights in a real shape,
// to measure speed with:
//
//	go run ./build/benchmodel -shape 0.6b -o bench-0.6b.gguf
//
// With -mmproj it also writes a tiny projector, with which the model reads images:
//
//	go run ./build/benchmodel -shape tiny -o eyes.gguf -mmproj mmproj.gguf
//
// With -split it writes the model in so many parts, as hubs offer large ones:
// bench-00001-of-00003.gguf and so on in the place of bench.gguf.
//
// The model knows nothing, but it is as fast and as large as the real one of
// its shape, and the same seed gives the same file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jeantrail/jeantrail-ai/build/benchmodel/ggufsplit"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/projector"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/qwen3"
	"github.com/jeantrail/jeantrail-ai/llama"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := parseFlags(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, cfg, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmodel:", err)
		os.Exit(1)
	}
}

type config struct {
	shape    qwen3.Shape
	out      string
	mmproj   string
	vision   projector.Kind
	seed     uint64
	vocab    string
	template string
	typ      llama.FType
	typName  string
	threads  int
	split    int // parts; 0 for one file
}

func parseFlags(args []string, usage io.Writer) (config, error) {
	var cfg config
	var shape string
	var layers int64
	fs := flag.NewFlagSet("benchmodel", flag.ContinueOnError)
	fs.SetOutput(usage)
	fs.StringVar(&shape, "shape", "0.6b", "size of the model: "+strings.Join(qwen3.ShapeNames(), ", "))
	fs.StringVar(&cfg.out, "o", "", "file to write (required)")
	fs.StringVar(&cfg.mmproj, "mmproj", "", "file to write a projector for the model to")
	fs.StringVar((*string)(&cfg.vision), "projector", string(projector.Qwen3VL), "form of the projector: "+projector.KindNames())
	fs.Uint64Var(&cfg.seed, "seed", 1, "seed of the weights")
	fs.Int64Var(&layers, "layers", 0, "number of layers, if not the shape's own")
	fs.StringVar(&cfg.vocab, "vocab", "", "GGUF file with Qwen's vocabulary (default: the one in the llama.cpp source)")
	fs.StringVar(&cfg.template, "template", "", "file with the chat template (default: Qwen3's in the llama.cpp source)")
	fs.StringVar(&cfg.typName, "type", "Q4_K_M", "quantisation, or F16 for none")
	fs.IntVar(&cfg.split, "split", 0, "number of parts to write the model in (default: one file)")
	fs.IntVar(&cfg.threads, "threads", 0, "threads that quantise (default: all cores)")
	if err := fs.Parse(args); err != nil {
		return cfg, err
	}
	if fs.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if cfg.out == "" {
		return cfg, errors.New("no output file: give one with -o PATH")
	}
	var err error
	if cfg.shape, err = qwen3.ShapeByName(shape); err != nil {
		return cfg, err
	}
	if cfg.split < 0 || cfg.split == 1 || cfg.split > gguf.MaxParts {
		return cfg, fmt.Errorf("-split %d: must be from 2 to %d, or 0 for one file", cfg.split, gguf.MaxParts)
	}
	if layers < 0 || layers > 512 {
		return cfg, fmt.Errorf("-layers %d: must be from 1 to 512, or 0 for the shape's own", layers)
	}
	if layers > 0 {
		cfg.shape.Layers = layers
	}
	if !cfg.vision.Known() {
		return cfg, fmt.Errorf("unknown projector %q: use one of %s", cfg.vision, projector.KindNames())
	}
	cfg.typName = strings.ToUpper(cfg.typName)
	cfg.typ, err = fileType(cfg.typName)
	return cfg, err
}

// run writes to temporary files beside the output and renames at the end, so
// that the output is whole or absent.
func run(ctx context.Context, cfg config, log io.Writer) (err error) {
	opt, err := options(ctx, cfg)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(cfg.out), ".benchmodel-")
	if err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	begun := time.Now()
	done := filepath.Join(dir, "f16.gguf")
	size, err := writeFile(ctx, done, opt)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "wrote %.2f billion random weights, %d MB in F16, in %.1f s\n",
		float64(opt.Shape.Parameters(len(opt.Vocabulary.Tokens)))/1e9, size/1e6, time.Since(begun).Seconds())
	if cfg.typ != llama.FTypeF16 {
		begun = time.Now()
		quantised := filepath.Join(dir, "quantised.gguf")
		if err := quantise(ctx, done, quantised, cfg.typ, cfg.threads); err != nil {
			return err
		}
		fmt.Fprintf(log, "quantised to %s in %.1f s\n", cfg.typName, time.Since(begun).Seconds())
		done = quantised
	}
	if cfg.mmproj != "" {
		if err := writeProjector(cfg); err != nil {
			return err
		}
		fmt.Fprintln(log, cfg.mmproj)
	}
	if cfg.split > 0 {
		return putParts(cfg, done, log)
	}
	if err := os.Rename(done, cfg.out); err != nil {
		return fmt.Errorf("put model in place: %w", err)
	}
	fmt.Fprintln(log, cfg.out)
	return nil
}

// putParts cuts the model at path into parts, the names of which begin as the
// output's does.
func putParts(cfg config, path string, log io.Writer) error {
	made, err := ggufsplit.Split(path, strings.TrimSuffix(path, ".gguf"), cfg.split)
	if err != nil {
		return err
	}
	for i, part := range made {
		out := gguf.PartPath(strings.TrimSuffix(cfg.out, ".gguf"), i+1, cfg.split)
		if err := os.Rename(part, out); err != nil {
			return fmt.Errorf("put model in place: %w", err)
		}
		fmt.Fprintln(log, out)
	}
	return nil
}

// writeProjector writes beside its place and renames at the end.
func writeProjector(cfg config) error {
	f, err := os.CreateTemp(filepath.Dir(cfg.mmproj), ".benchmodel-*")
	if err != nil {
		return fmt.Errorf("create projector file: %w", err)
	}
	_, err = projector.Write(f, projector.Options{Kind: cfg.vision, TextWidth: cfg.shape.Embedding, Seed: cfg.seed})
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), cfg.mmproj)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("put projector in place: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// options finds the vocabulary and the template. The tiny shape brings its own
// vocabulary unless another is named.
func options(ctx context.Context, cfg config) (qwen3.Options, error) {
	opt := qwen3.Options{Shape: cfg.shape, Seed: cfg.seed, Vision: cfg.mmproj != "" && cfg.vision == projector.Qwen3VL}
	own := cfg.shape.Name == "tiny" && cfg.vocab == ""
	if cfg.template == "" || cfg.vocab == "" && !own {
		src, err := llamaSource(ctx)
		if err != nil {
			return opt, err
		}
		if cfg.template == "" {
			cfg.template = filepath.Join(src, "models", "templates", "Qwen-Qwen3-0.6B.jinja")
		}
		if cfg.vocab == "" {
			cfg.vocab = filepath.Join(src, "models", "ggml-vocab-qwen2.gguf")
		}
	}
	text, err := os.ReadFile(cfg.template)
	if err != nil {
		return opt, fmt.Errorf("read chat template: %w", err)
	}
	opt.Template = string(text)
	if own {
		opt.Vocabulary = qwen3.TinyVocabulary()
		return opt, nil
	}
	opt.Vocabulary, err = qwen3.LoadVocabulary(cfg.vocab)
	return opt, err
}

// llamaSource returns the folder of the pinned llama.cpp source, which
// third_party/fetch prints after it has made sure of it.
func llamaSource(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join("third_party", "fetch"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find the llama.cpp source (run this from the repository's root, or give -vocab and -template): %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func writeFile(ctx context.Context, path string, opt qwen3.Options) (size int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, fmt.Errorf("create model file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return qwen3.Write(ctx, f, opt)
}
