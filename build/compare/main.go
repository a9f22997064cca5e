// Command compare measures this program against llama-bench, llama-batched-bench
// and llama-server from the same source, on the same model, in one run, and prints
// ratios.
//
//	go run ./build/compare -model PATH [-rounds 5] [-only raw,batched,http] [-o md]
//
// Machines drift, so every figure is taken in turn from one side and the other,
// which of them is first alternates, and the ratio is the median of the rounds'
// ratios. The measuring is package bench's: of this program's bench command, and
// over HTTP of one client for both servers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

type settings struct {
	model, ours, peers string
	rounds, threads    int
	slots, nCtx        int
	prompt, gen        int // tokens, of raw
	repeat             int // of raw and batched, in one round
	streams            []int
	only               []string
	format             string
}

// parts are what can be measured, in the order in which it is.
func parts() []string { return []string{"raw", "batched", "http"} }

func main() {
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// parse reads the command line.
func parse(args []string) (settings, error) {
	var s settings
	var streams, only string
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.StringVar(&s.model, "model", "", "GGUF file to measure with (make one with ./build/benchmodel)")
	f.StringVar(&s.ours, "ours", "build/bin/jeantrail-ai", "our binary")
	f.StringVar(&s.peers, "peers", "build/bin/peers", "folder with llama-bench, llama-batched-bench and llama-server")
	f.IntVar(&s.rounds, "rounds", 5, "times that each figure is taken")
	f.StringVar(&only, "only", strings.Join(parts(), ","), "what to measure")
	f.IntVar(&s.threads, "threads", runtime.NumCPU(), "compute threads, the same for all")
	f.IntVar(&s.prompt, "p", 512, "tokens of the prefill test")
	f.IntVar(&s.gen, "n", 64, "tokens of the decode test")
	f.IntVar(&s.repeat, "r", 2, "repetitions of a test within a round")
	f.StringVar(&streams, "streams", "1,4,8,16", "sequences and requests at once")
	f.IntVar(&s.slots, "slots", 8, "generations at once that both servers are set up for")
	f.IntVar(&s.nCtx, "ctx", 2048, "longest conversation of the servers, in tokens")
	f.StringVar(&s.format, "o", "table", "table, md or json")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	for n := range strings.SplitSeq(streams, ",") {
		v, err := strconv.Atoi(strings.TrimSpace(n))
		if err != nil || v < 1 {
			return s, fmt.Errorf("-streams %s: %q is no number of streams; give some, such as 1,8", streams, n)
		}
		s.streams = append(s.streams, v)
	}
	s.only = strings.Split(only, ",")
	return s, s.check()
}

// check refuses what would fail after minutes.
func (s *settings) check() error {
	for _, part := range s.only {
		if !slices.Contains(parts(), part) {
			return fmt.Errorf("-only: %q is not one of %s", part, strings.Join(parts(), ", "))
		}
	}
	if !slices.Contains(formats(), s.format) {
		return fmt.Errorf("-o: %q is not one of %s", s.format, strings.Join(formats(), ", "))
	}
	if min(s.rounds, s.threads, s.prompt, s.gen, s.repeat, s.slots, s.nCtx) < 1 {
		return errors.New("the numbers must be at least 1")
	}
	if s.model == "" {
		return errors.New("-model is missing: make one with: go run ./build/benchmodel -shape 0.6b -o model.gguf")
	}
	for _, path := range []string{s.model, s.ours, filepath.Join(s.peers, "llama-server")} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: run make build peers", err)
		}
	}
	return nil
}

// run takes every figure in every round and prints the table.
func run(ctx context.Context, s settings) error {
	t := newTable(s)
	for round := range s.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, s.rounds)
		for _, part := range s.only {
			contenders, measure := s.contenders(part), t.program
			if part == "http" {
				measure = t.serve
			}
			if round%2 == 1 {
				slices.Reverse(contenders)
			}
			for _, c := range contenders {
				if err := measure(ctx, c); err != nil {
					return fmt.Errorf("%s: %w", c.name, explain(err))
				}
			}
		}
	}
	return t.print(os.Stdout)
}

// explain adds what a program said before it failed.
func explain(err error) error {
	var failed *exec.ExitError
	if errors.As(err, &failed) && len(failed.Stderr) > 0 {
		return fmt.Errorf("%w\n%s", err, failed.Stderr)
	}
	return err
}
