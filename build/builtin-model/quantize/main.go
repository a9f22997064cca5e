// Command quantize turns the F16 file of the built-in model into one in Q4_K_M
// with the program's own quantise call:
//
//	go run ./build/builtin-model/quantize IN.gguf OUT.gguf
package main

import (
	"fmt"
	"os"

	"github.com/jeantrail/jeantrail-ai/llama"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: quantize IN.gguf OUT.gguf")
		os.Exit(2)
	}
	// One thread: the order of sums, and so the file, is the same everywhere.
	if err := llama.Quantize(os.Args[1], os.Args[2], llama.FTypeQ4KM, 1, false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
