package native

import (
	"context"
	"log/slog"
	"time"

	"github.com/jeantrail/jeantrail-ai/llama"
)

// logEvery is how often llama.cpp's log is taken from its ring, which holds
// thousands of lines.
const logEvery = 250 * time.Millisecond

// Build tells what the linked llama.cpp was made from and for.
type Build struct {
	Version, Tree, Key, CPU, Features, Backends, Flags string
}

// Device is something that can compute.
type Device struct {
	Name, Description string
	Kind              string // "cpu", "gpu", "igpu" (integrated) or "accelerator"
	GPU               bool   // of either kind
	SharesMemory      bool   // it computes in the machine's memory
	// FreeBytes and TotalBytes are of the memory that it computes in.
	FreeBytes, TotalBytes int64
}

// kinds names llama.cpp's kinds of devices.
var kinds = map[llama.DeviceKind]string{
	llama.DeviceCPU: "cpu", llama.DeviceGPU: "gpu", llama.DeviceIGPU: "igpu", llama.DeviceAccel: "accelerator",
}

// CheckCPU reports in one line what this CPU lacks of what the program was built
// for. Call it before anything else of this package.
func CheckCPU() error { return llama.CheckCPU() }

// SelfTest compares the linked llama.cpp with what the program was written for.
func SelfTest() error { return llama.SelfTest() }

// BuildInfo tells what the linked llama.cpp was made from and for.
func BuildInfo() Build { return Build(llama.BuildInfo()) }

// DefaultThreads is how many threads a model takes if nothing is set.
func DefaultThreads() int { return llama.DefaultThreads() }

// SetCrashFile names the file for llama.cpp's last words, should it stop the
// process.
func SetCrashFile(path string) error { return llama.SetCrashFile(path) }

// ForwardLog passes llama.cpp's log to logger until ctx ends.
func ForwardLog(ctx context.Context, logger *slog.Logger) { llama.ForwardLog(ctx, logger, logEvery) }

// Devices lists what can compute, with its memory.
func Devices() []Device {
	var out []Device
	for _, d := range llama.Devices() {
		out = append(out, Device{
			Name: d.Name, Description: d.Description, Kind: kinds[d.Kind],
			GPU: d.Kind == llama.DeviceGPU || d.Kind == llama.DeviceIGPU, SharesMemory: d.SharesMemory,
			FreeBytes: d.FreeBytes, TotalBytes: d.TotalBytes,
		})
	}
	return out
}
