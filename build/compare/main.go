// Command compare measures this program against llama-server and llama-bench
// from the same source, on the same model, in one run, and prints ratios.
//
//	go run ./build/compare -model PATH [-rounds 3] [-slots 8] [-threads 2]
//
// Machines drift, so every figure is taken in turn from one side and the other,
// several rounds, and the ratio is the median of the rounds' ratios. Both
// servers are driven by the same client over HTTP, with streaming.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
)

type settings struct {
	model, ours, peers string
	rounds, threads    int
	slots, nCtx        int
	quick              bool
}

func main() {
	s := settings{}
	flag.StringVar(&s.model, "model", "", "GGUF file to measure with (make one with ./build/benchmodel)")
	flag.StringVar(&s.ours, "ours", "build/bin/jeantrail-ai", "our binary")
	flag.StringVar(&s.peers, "peers", "build/bin/peers", "folder with llama-server and llama-bench")
	flag.IntVar(&s.rounds, "rounds", 3, "times that each figure is taken")
	flag.IntVar(&s.threads, "threads", runtime.NumCPU(), "compute threads, the same for all")
	flag.IntVar(&s.slots, "slots", 8, "our generations at once")
	flag.IntVar(&s.nCtx, "ctx", 2048, "longest conversation")
	flag.BoolVar(&s.quick, "quick", false, "one stream only")
	flag.Parse()
	if s.model == "" {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run takes every figure in every round and prints the table.
func run(ctx context.Context, s settings) error {
	t := newTable()
	for round := range s.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, s.rounds)
		if err := t.bench(ctx, s); err != nil {
			return err
		}
		for _, c := range contenders(s) {
			if err := t.serve(ctx, s, c); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return t.print(os.Stdout)
}
