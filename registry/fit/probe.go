package fit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/cpuid/v2"
	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"
)

// speedFeatures are the CPU features for which llama.cpp has faster code.
var speedFeatures = []cpuid.FeatureID{
	cpuid.SSE42, cpuid.AVX, cpuid.F16C, cpuid.FMA3, cpuid.AVX2, cpuid.AVXVNNI,
	cpuid.AVX512F, cpuid.AVX512VBMI, cpuid.AVX512VNNI, cpuid.AVX512BF16,
	cpuid.AMXTILE, cpuid.AMXINT8, cpuid.AMXBF16,
	cpuid.ASIMD, cpuid.ASIMDHP, cpuid.ASIMDDP, cpuid.SVE,
}

// Probe looks at the machine: memory, cores, CPU features, and the free disk of
// a folder, which need not exist yet. In a container the memory is the
// container's. Devices and bandwidths are left for the caller to fill in.
func Probe(ctx context.Context, folder string) (Machine, error) {
	ram, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return Machine{}, fmt.Errorf("look at the memory: %w", err)
	}
	m := Machine{
		RAMTotal: int64(ram.Total), RAMAvailable: int64(ram.Available),
		CPU: cpuid.CPU.BrandName, Kernels: kernelsHere(), Folder: folder,
	}
	if c, ok := readContainer(cgroupFolder); ok {
		m.RAMTotal = min(m.RAMTotal, c.limit)
		m.RAMAvailable = min(m.RAMAvailable, max(c.limit-c.used, 0))
	}
	// Without a count of physical cores the logical ones are all there is to go by.
	if m.CoresLogical, err = cpu.CountsWithContext(ctx, true); err != nil {
		return Machine{}, fmt.Errorf("count the cores: %w", err)
	}
	if m.CoresPhysical, err = cpu.CountsWithContext(ctx, false); err != nil || m.CoresPhysical == 0 {
		m.CoresPhysical = m.CoresLogical
	}
	for _, f := range speedFeatures {
		if cpuid.CPU.Has(f) {
			m.Features = append(m.Features, f.String())
		}
	}
	existing, err := existingFolder(folder)
	if err != nil {
		return Machine{}, fmt.Errorf("look at the disk: %w", err)
	}
	use, err := disk.UsageWithContext(ctx, existing)
	if err != nil {
		return Machine{}, fmt.Errorf("look at the disk of %s: %w", existing, err)
	}
	m.DiskFree = int64(use.Free)
	return m, nil
}

// existingFolder is the folder, or the nearest one above it that exists.
func existingFolder(folder string) (string, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(folder)
		up := filepath.Dir(folder)
		if !errors.Is(err, fs.ErrNotExist) || up == folder {
			return folder, err
		}
		folder = up
	}
}
