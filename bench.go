package jeantrail

import "time"

// BenchKind is which measurement a benchmark is.
type BenchKind string

// The kinds.
const (
	BenchRaw     BenchKind = "raw"     // prefill and decode, without an engine
	BenchBatched BenchKind = "batched" // the same of several sequences at once
	BenchEngine  BenchKind = "engine"  // an engine within the process
	BenchHTTP    BenchKind = "http"    // a server from outside
)

// BenchKinds lists every kind.
func BenchKinds() []BenchKind { return []BenchKind{BenchRaw, BenchBatched, BenchEngine, BenchHTTP} }

// BenchRun is a benchmark that was run, as it is kept.
type BenchRun struct {
	ID        string // a UUID
	Kind      BenchKind
	CreatedAt time.Time
	Report    []byte // all that was measured, as JSON
	// Rows are the figures of the report, one row for each test. Each has a value
	// for every one of Columns: a string, an int64, a float64, or nil for what was
	// not measured. Who reads a run leaves both empty: the report has them.
	Columns []string
	Rows    [][]any
}

// BenchFilter restricts a list of benchmarks; what is empty restricts nothing.
type BenchFilter struct {
	Kind  BenchKind
	Model string // its name, or how its SHA-256 begins, with 8 digits at least
}

// BenchSummary is what a list shows of a benchmark. What is not known is empty.
type BenchSummary struct {
	ID        string
	Kind      BenchKind
	CreatedAt time.Time
	Tests     int

	Model        string
	SHA256       string // of the model's file
	Quantization string
	Backend      string
	Threads      int
	GPULayers    int
	CPU          string
	GPU          string
	Version      string // of what was measured
	URL          string // of the server that was measured
	// Decode is how fast one stream was generated, in tokens per second; 0 if that
	// was not measured.
	Decode float64
	// FirstToken is the median time to the first token of one stream; 0 as above.
	FirstToken time.Duration
}

// MeasuredSpeed is how fast a model generates one stream, as it was last measured
// by a benchmark in this program's own process.
type MeasuredSpeed struct {
	RunID      string // of the benchmark
	Kind       BenchKind
	MeasuredAt time.Time

	Model      string
	SHA256     string // of the model's file; never empty
	Bytes      int64  // of its weights
	Parameters int64

	CPU       string
	Backend   string
	Threads   int
	GPULayers int // that were on a GPU, the output counted as one
	// TokensPerSecond is always above 0.
	TokensPerSecond float64
}
