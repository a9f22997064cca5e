//go:build cgo && nvml

package energy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/jeantrail/jeantrail-ai"
)

// fakeDriver is a libnvidia-ml with up to two GPUs. GPUS says how many, OLD which
// of them does not count its energy, and ANCIENT that the driver knows no counter.
const fakeDriver = `
#ifndef OLD
#define OLD -1
#endif
static unsigned long long energy[2] = {1000, 70000};
static long handles[2] = {0, 1};
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int r) { return r == 3 ? "Not Supported" : "odd"; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = GPUS; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = &handles[i]; return 0; }
#ifndef ANCIENT
int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *mj) {
	long i = *(long *)d;
	if (i == OLD) return 3;
	*mj = energy[i] += 10 * (i + 1);
	return 0;
}
#endif
`

// library compiles a fake driver and says where it is.
func library(t *testing.T, flags ...string) nvml.Interface {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler for the fake driver")
	}
	path := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	cmd := exec.Command(cc, append(flags, "-shared", "-fPIC", "-x", "c", "-o", path, "-")...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(fakeDriver), os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("compile the fake driver: %v", err)
	}
	return nvml.New(nvml.WithLibraryPath(path))
}

// TestGPUsAddUp runs in a process of its own, as do the others that load a
// driver: the first one loaded would answer for all.
func TestGPUsAddUp(t *testing.T) {
	alone(t, func(t *testing.T) {
		p, err := openLibrary(library(t, "-DGPUS=2"))
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		if p.name() != "nvml" {
			t.Errorf("the source is %q", p.name())
		}
		before, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		after, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.drawn(before, after, time.Second); err != nil || got != 30_000 {
			t.Errorf("%d uJ were drawn, want 30000: %v", got, err)
		}
	})
}

func TestGPUWithoutCounter(t *testing.T) {
	alone(t, func(t *testing.T) {
		_, err := openLibrary(library(t, "-DGPUS=2", "-DOLD=1"))
		if jeantrail.CodeOf(err) != jeantrail.CodeUnsupported || !strings.Contains(words(err), "read the energy of GPU 1: ") {
			t.Errorf("got %v", err)
		}
	})
}

func TestDriverWithoutCounter(t *testing.T) {
	alone(t, func(t *testing.T) {
		_, err := openLibrary(library(t, "-DGPUS=1", "-DANCIENT"))
		if jeantrail.CodeOf(err) != jeantrail.CodeUnsupported || !strings.Contains(words(err), "the NVIDIA driver does not count energy") {
			t.Errorf("got %v", err)
		}
	})
}

func TestDriverWithoutGPU(t *testing.T) {
	alone(t, func(t *testing.T) {
		_, err := openLibrary(library(t, "-DGPUS=0"))
		if jeantrail.CodeOf(err) != jeantrail.CodeNotFound || words(err) != "there is no NVIDIA GPU" {
			t.Errorf("got %v", err)
		}
	})
}

func TestNoDriver(t *testing.T) {
	_, err := openLibrary(nvml.New(nvml.WithLibraryPath(filepath.Join(t.TempDir(), "libnvidia-ml.so.1"))))
	if jeantrail.CodeOf(err) != jeantrail.CodeNotFound || words(err) != "there is no NVIDIA driver" {
		t.Errorf("got %v", err)
	}
}

// alone runs a test again in a process that runs nothing else.
func alone(t *testing.T, test func(*testing.T)) {
	t.Helper()
	const mark = "JEANTRAIL_TEST_ALONE"
	if os.Getenv(mark) == t.Name() {
		test(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("the test did not run:\n%s", out)
	}
}
