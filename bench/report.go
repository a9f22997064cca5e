package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/jeantrail/jeantrail-ai"
)

// Kind is which measurement a report is of.
type Kind string

const (
	KindRaw     Kind = "raw"
	KindBatched Kind = "batched"
	KindEngine  Kind = "engine"
	KindHTTP    Kind = "http"
)

// Kinds lists every kind.
func Kinds() []Kind { return []Kind{KindRaw, KindBatched, KindEngine, KindHTTP} }

// format is the version of the JSON form; Read refuses another.
const format = 1

// maxReport is the largest report that is read, in bytes.
const maxReport = 16 << 20

// mostRequests is how many requests a row may have.
const mostRequests = 1_000_000

// Report is one measurement, with the facts that it depends on. The facts are
// the caller's to fill in; what is not known stays empty.
type Report struct {
	Format    int       `json:"format"`
	ID        string    `json:"id"`
	Kind      Kind      `json:"kind"`
	CreatedAt time.Time `json:"created_at"`
	Machine   Machine   `json:"machine"`
	Build     Build     `json:"build"`
	Model     Model     `json:"model"`
	Settings  Settings  `json:"settings"`
	Rows      []Row     `json:"rows"`
	// Notes are for people: what was not as it was asked for.
	Notes []string `json:"notes,omitempty"`
}

// New begins a report of a measurement that was taken at that time.
func New(kind Kind, at time.Time) *Report {
	return &Report{Format: format, ID: uuid.NewString(), Kind: kind, CreatedAt: at.UTC().Truncate(time.Millisecond)}
}

// Machine is what the measurement ran on. Over HTTP it is the client's machine,
// unless the caller knows that the server is on it.
type Machine struct {
	CPU         string   `json:"cpu,omitempty"`      // "AMD EPYC 7B13"
	Features    []string `json:"features,omitempty"` // AVX2, FMA, …
	Cores       int      `json:"cores,omitempty"`
	MemoryBytes int64    `json:"memory_bytes,omitempty"`
	GPU         string   `json:"gpu,omitempty"`
	OS          string   `json:"os,omitempty"`
	Arch        string   `json:"arch,omitempty"`
}

// Build is what was measured.
type Build struct {
	Version  string `json:"version,omitempty"`   // of this program, or what the server says of itself
	LlamaCPP string `json:"llama_cpp,omitempty"` // its commit or build number
	Flags    string `json:"flags,omitempty"`     // what it was built with
}

// Model is the model that ran.
type Model struct {
	Name         string `json:"name,omitempty"`
	Type         string `json:"type,omitempty"` // as llama-bench names it: "qwen3 0.6B Q4_K - Medium"
	SHA256       string `json:"sha256,omitempty"`
	Quantization string `json:"quantization,omitempty"`
	Bytes        int64  `json:"bytes,omitempty"`
	Parameters   int64  `json:"parameters,omitempty"`
	Context      int    `json:"context,omitempty"` // tokens
}

// Settings are how it ran.
type Settings struct {
	Backend   string `json:"backend,omitempty"` // CPU, CUDA, …
	Threads   int    `json:"threads,omitempty"`
	GPULayers int    `json:"gpu_layers,omitempty"` // that are on the GPU
	Batch     int    `json:"batch,omitempty"`
	Slots     int    `json:"slots,omitempty"` // requests at once, of an engine
	KV        string `json:"kv,omitempty"`    // streams, or unified: one pool for all slots
	URL       string `json:"url,omitempty"`
	API       API    `json:"api,omitempty"`
	Seed      uint64 `json:"seed,omitempty,string"` // of the prompts; a string, as JSON's numbers are not so large
}

// Row is what one test gave. Figures that a test does not take are nil.
type Row struct {
	Test         string `json:"test"`    // pp512, tg128, load, cold, …
	Streams      int    `json:"streams"` // sequences or requests at once
	PromptTokens int    `json:"prompt_tokens"`
	GenTokens    int    `json:"gen_tokens"` // asked for, of each request
	Shared       bool   `json:"shared_prefix,omitempty"`

	Requests int       `json:"requests,omitempty"` // that counted
	Failures []Failure `json:"failures,omitempty"`
	Tokens   int       `json:"tokens,omitempty"` // that came, in all
	// PromptCounted and Cached are the medians of what the server says of its
	// prompts: their tokens, and how many it had in its cache. Nil if it says none.
	PromptCounted *float64 `json:"prompt_tokens_counted,omitempty"`
	Cached        *float64 `json:"cached_tokens,omitempty"`

	// Speed is tokens per second: of raw and batched tests the test's own, else
	// of all streams together, from the first request's start to the last token.
	Speed *Figure `json:"tokens_per_second,omitempty"`
	// StreamSpeed is tokens per second of one stream, from its first token on.
	StreamSpeed *Figure `json:"stream_tokens_per_second,omitempty"`
	First       *Figure `json:"first_token_ms,omitempty"`
	Gap         *Figure `json:"gap_ms,omitempty"`    // between tokens
	Total       *Figure `json:"total_ms,omitempty"`  // to the end of the answer
	Cancel      *Figure `json:"cancel_ms,omitempty"` // from cancelling to a free slot
	// Gaps counts the gaps, in milliseconds, by length.
	Gaps []Bucket `json:"gap_histogram,omitempty"`
}

// Failure counts the requests that failed in one way.
type Failure struct {
	Kind    string `json:"kind"` // connect, timeout, http 503, …
	Count   int    `json:"count"`
	Example string `json:"example"` // what the first of them said
}

// failed counts the requests of a row that failed.
func (r *Row) failed() int {
	n := 0
	for _, f := range r.Failures {
		n += f.Count
	}
	return n
}

// name tells a row from the others of a report.
func (r *Row) name() string {
	name := r.Test
	if r.Streams > 1 {
		name += fmt.Sprintf(", %d streams", r.Streams)
	}
	if r.Shared {
		name += ", shared beginning"
	}
	return name
}

// note adds a note, once.
func (r *Report) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, n := range r.Notes {
		if n == text {
			return
		}
	}
	r.Notes = append(r.Notes, text)
}

// Read reads a report that Write wrote as JSON. The error is invalid if it is
// none, one of another version, or one whose counts cannot be.
func Read(r io.Reader) (*Report, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxReport+1))
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if len(text) > maxReport {
		return nil, jeantrail.Errorf(jeantrail.CodeTooLarge, "this is no report: it is larger than %d MiB", maxReport>>20)
	}
	report := new(Report)
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(report); err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "this is no report: %w", err).
			WithHint("Write one with: jeantrail-ai bench … -o json")
	}
	if report.Format != format || report.Kind == "" {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "this is no report of format %d, but of format %d and kind %q", format, report.Format, report.Kind).
			WithHint("Measure again with this version: jeantrail-ai bench … -o json")
	}
	if !slices.Contains(Kinds(), report.Kind) {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "this is no report: there is no kind %.80q", report.Kind).
			WithHint("Write one with: jeantrail-ai bench … -o json")
	}
	for i := range report.Rows {
		row := &report.Rows[i]
		if n := row.failed(); row.Streams < 1 || row.Streams > mostStreams || row.Requests < 0 || row.Requests > mostRequests || n < 0 || n > row.Requests {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "this is no report: its row %d has %d streams, %d requests and %d failures",
				i+1, row.Streams, row.Requests, n).WithHint("Write one with: jeantrail-ai bench … -o json")
		}
	}
	return report, nil
}
