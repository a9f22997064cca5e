//go:build cgo && nvml

package energy

import (
	"fmt"
	"math"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/jeantrail/jeantrail-ai"
)

// openNVML loads the driver's library and finds the GPUs. All of them must have
// a counter, or the sum would leave some out; not_found says that there is no
// driver or no GPU.
func openNVML(f files) (probe, error) {
	if f.root != "/" {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "GPUs are not looked for below %s", f.root)
	}
	return openLibrary(nvml.New())
}

func openLibrary(lib nvml.Interface) (probe, error) {
	switch ret := lib.Init(); ret {
	case nvml.SUCCESS:
	case nvml.ERROR_LIBRARY_NOT_FOUND, nvml.ERROR_DRIVER_NOT_LOADED:
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no NVIDIA driver")
	default:
		return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "open NVML: %w", ret)
	}
	p := &counters{source: "nvml", done: func() { lib.Shutdown() }} // nothing can be done if it fails
	if err := addGPUs(p, lib); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// addGPUs makes a counter of each GPU and tries it.
func addGPUs(p *counters, lib nvml.Interface) error {
	// Calling what the library lacks would end the process.
	if err := lib.Extensions().LookupSymbol("nvmlDeviceGetTotalEnergyConsumption"); err != nil {
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "the NVIDIA driver does not count energy").
			WithHint("Update the driver.")
	}
	count, ret := lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "count GPUs: %w", ret)
	}
	if count == 0 {
		return jeantrail.Errorf(jeantrail.CodeNotFound, "there is no NVIDIA GPU")
	}
	for i := range count {
		label := fmt.Sprintf("GPU %d", i)
		device, ret := lib.DeviceGetHandleByIndex(i)
		if ret != nvml.SUCCESS {
			return jeantrail.Errorf(jeantrail.CodeUnsupported, "open %s: %w", label, ret)
		}
		c := counter{label: label, read: func() (uint64, error) { return gpuEnergy(label, device) }}
		if _, err := c.read(); err != nil {
			return err
		}
		p.list = append(p.list, c)
	}
	return nil
}

// gpuEnergy returns the microjoules that a GPU has drawn since its driver was
// loaded. GPUs before Volta do not count.
func gpuEnergy(label string, device nvml.Device) (uint64, error) {
	millijoule, ret := device.GetTotalEnergyConsumption()
	if ret != nvml.SUCCESS {
		return 0, jeantrail.Errorf(jeantrail.CodeUnsupported, "read the energy of %s: %w", label, ret)
	}
	if millijoule > math.MaxUint64/1000 {
		return 0, jeantrail.Errorf(jeantrail.CodeUnsupported, "read the energy of %s: %d mJ is more than one can draw", label, millijoule)
	}
	return millijoule * 1000, nil
}
