//go:build !cgo || !nvml

package energy

import "testing"

// TestGPUThatIsNotRead says so beside the processor's figure.
func TestGPUThatIsNotRead(t *testing.T) {
	f := newMachine(t)
	f.put("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module")
	m := f.meter(Options{})
	wantSource(t, m, "", "no processor", "does not read what the NVIDIA GPU draws", "Build with -tags nvml", "no battery")
	m.Close()
	f.zone("intel-rapl:0", "package-0", 1_000_000, 5)
	m = f.meter(Options{})
	defer m.Close()
	wantSource(t, m, "rapl", "does not read what the NVIDIA GPU draws")
}
