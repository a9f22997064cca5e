//go:build !cgo

package llama

import (
	"context"
	"time"
)

// Without cgo the API is the same and every entry fails with [ErrNoCgo], so that
// everything else builds and tests without a C++ compiler.

// Model is a loaded model.
type Model struct{}

// Vocab is a model's vocabulary.
type Vocab struct{}

// Context is a KV cache with what computes on it.
type Context struct{}

// LoadModel fails.
func LoadModel(context.Context, ModelParams, func(float64)) (*Model, error) { return nil, ErrNoCgo }

// Info is empty.
func (*Model) Info() ModelInfo { return ModelInfo{} }

// Vocab is nil.
func (*Model) Vocab() *Vocab { return nil }

// Meta finds nothing.
func (*Model) Meta(string) (string, bool) { return "", false }

// ChatTemplate is empty.
func (*Model) ChatTemplate() string { return "" }

// RenderChat fails.
func (*Model) RenderChat(ChatRequest) (string, error) { return "", ErrNoCgo }

// Close does nothing.
func (*Model) Close() error { return nil }

// Quantize fails.
func Quantize(string, string, FType, int, bool) error { return ErrNoCgo }

// SchemaToGrammar fails.
func SchemaToGrammar([]byte) (string, error) { return "", ErrNoCgo }

// Size is 0.
func (*Vocab) Size() int { return 0 }

// Piece is empty.
func (*Vocab) Piece(int32) []byte { return nil }

// SpecialText is empty.
func (*Vocab) SpecialText(int32) string { return "" }

// IsEOG is false.
func (*Vocab) IsEOG(int32) bool { return false }

// IsControl is false.
func (*Vocab) IsControl(int32) bool { return false }

// BOS finds none.
func (*Vocab) BOS() (int32, bool) { return -1, false }

// EOS finds none.
func (*Vocab) EOS() int32 { return -1 }

// Lookup finds nothing.
func (*Vocab) Lookup(string) (int32, bool) { return -1, false }

// Tokenize fails.
func (*Vocab) Tokenize(string, bool) ([]int32, error) { return nil, ErrNoCgo }

// NewContext fails.
func NewContext(*Model, ContextParams) (*Context, error) { return nil, ErrNoCgo }

// Info is empty.
func (*Context) Info() ContextInfo { return ContextInfo{} }

// Model is nil.
func (*Context) Model() *Model { return nil }

// Abort does nothing.
func (*Context) Abort(bool) {}

// SeqLen fails.
func (*Context) SeqLen(int) (int, error) { return 0, ErrNoCgo }

// WarmUp fails.
func (*Context) WarmUp() error { return ErrNoCgo }

// Close does nothing.
func (*Context) Close() error { return nil }

// ReleaseThreads does nothing.
func ReleaseThreads() {}

// Step fails.
func (*Context) Step(_ []MemOp, _ []Span, results []Result) ([]Result, StepInfo, error) {
	return results[:0], StepInfo{}, ErrNoCgo
}

// StepImage fails.
func (*Context) StepImage([]MemOp, int, int, ImageRows) (StepInfo, error) {
	return StepInfo{}, ErrNoCgo
}

// Vision is a projector.
type Vision struct{}

// OpenVision fails.
func OpenVision(context.Context, *Model, VisionParams, func(float64)) (*Vision, error) {
	return nil, ErrNoCgo
}

// Info is empty.
func (*Vision) Info() VisionInfo { return VisionInfo{} }

// Layout fails.
func (*Vision) Layout(int, int) ([]ImagePart, error) { return nil, ErrNoCgo }

// Encode fails.
func (*Vision) Encode([]byte, int, int) ([]ImageRows, error) { return nil, ErrNoCgo }

// Abort does nothing.
func (*Vision) Abort(bool) {}

// Close does nothing.
func (*Vision) Close() error { return nil }

// NewSampler fails.
func (*Context) NewSampler(SamplerParams) (SamplerID, error) { return 0, ErrNoCgo }

// FreeSampler fails.
func (*Context) FreeSampler(SamplerID) error { return ErrNoCgo }

// SeedSampler fails.
func (*Context) SeedSampler(SamplerID, []int32) error { return ErrNoCgo }

// Samplers is 0.
func (*Context) Samplers() int { return 0 }

// SaveSeq fails.
func (*Context) SaveSeq(int) ([]byte, error) { return nil, ErrNoCgo }

// LoadSeq fails.
func (*Context) LoadSeq(int, []byte) error { return ErrNoCgo }

// SaveSeqFile fails.
func (*Context) SaveSeqFile(string, int, []int32) error { return ErrNoCgo }

// LoadSeqFile fails.
func (*Context) LoadSeqFile(string, int) ([]int32, error) { return nil, ErrNoCgo }

// BenchPrompt fails.
func (*Context) BenchPrompt(int) (time.Duration, error) { return 0, ErrNoCgo }

// BenchGenerate fails.
func (*Context) BenchGenerate(int) (time.Duration, error) { return 0, ErrNoCgo }

// BenchBatched fails.
func (*Context) BenchBatched(int, int, int, bool) (prompt, gen time.Duration, err error) {
	return 0, 0, ErrNoCgo
}

// DrainLog has nothing.
func DrainLog() ([]LogRecord, int) { return nil, 0 }

// SetCrashFile fails.
func SetCrashFile(string) error { return ErrNoCgo }

// BuildInfo is empty.
func BuildInfo() Build { return Build{} }

// CheckCPU fails.
func CheckCPU() error { return ErrNoCgo }

// SystemInfo is empty.
func SystemInfo() string { return "" }

// Devices lists nothing.
func Devices() []Device { return nil }

// SelfTest fails.
func SelfTest() error { return ErrNoCgo }
