package fit

import "fmt"

const (
	// systemReserve is the available memory that is left for what the system and
	// other programs ask for later.
	systemReserve = 512 << 20
	// deviceReserve is left free on each GPU for its driver and the buffers of its
	// library; llama.cpp's own fitting leaves as much.
	deviceReserve = 1 << 30
)

// Machine is what there is to run models on. Sizes are in bytes; what is not
// known is 0.
type Machine struct {
	RAMTotal     int64
	RAMAvailable int64 // what programs can get without swapping
	// RAMLimit is the most that models may hold, if the configuration sets a
	// budget; 0 is no limit but the memory itself.
	RAMLimit int64
	// RAMBandwidth is what MeasureBandwidth gave, in bytes per second.
	RAMBandwidth float64

	CPU           string
	CoresPhysical int
	CoresLogical  int
	Features      []string // such as AVX2, of those that matter for speed

	DiskFree int64  // for Folder
	Folder   string // where models are put
	Devices  []Device
}

// Device is a GPU.
type Device struct {
	Name             string
	VRAMFree         int64
	VRAMTotal        int64
	Bandwidth        float64 // in bytes per second; 0 if nobody knows
	SharesTheMachine bool    // its memory is the machine's: an integrated GPU
}

// UsableRAM is the memory that a model to be loaded may take.
func (m Machine) UsableRAM() int64 {
	usable := max(m.RAMAvailable-systemReserve, 0)
	if m.RAMLimit > 0 {
		usable = min(usable, m.RAMLimit)
	}
	return usable
}

// UsableVRAM is the memory of all GPUs that a model to be loaded may take. Layers
// are shared out among GPUs whole, so that with several a little less can be had.
func (m Machine) UsableVRAM() int64 {
	var sum int64
	for _, d := range m.Devices {
		sum += max(d.VRAMFree-deviceReserve, 0)
	}
	return sum
}

// shared reports whether layers on a GPU take the machine's memory as well.
func (m Machine) shared() bool {
	for _, d := range m.Devices {
		if d.SharesTheMachine {
			return true
		}
	}
	return false
}

// deviceBandwidth is the bandwidth of the slowest GPU, since every token passes
// all of them; 0 if one of them is not known.
func (m Machine) deviceBandwidth() float64 {
	var slowest float64
	for i, d := range m.Devices {
		if i == 0 || d.Bandwidth < slowest {
			slowest = d.Bandwidth
		}
	}
	return slowest
}

// size writes bytes for a person.
func size(n int64) string {
	const mib, gib = 1 << 20, 1 << 30
	switch {
	case n >= gib:
		return fmt.Sprintf("%.1f GiB", float64(n)/gib)
	case n >= mib:
		return fmt.Sprintf("%d MiB", n/mib)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}
