package fit

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
	// Measured is how fast models of the catalogue were measured to generate here, in
	// tokens per second, by name. Recommend goes by it in place of the estimate.
	Measured map[string]float64

	CPU           string
	CoresPhysical int
	CoresLogical  int
	Features      []string // such as AVX2, of those that matter for speed
	// Kernels are what Probe finds the CPU to have. A caller who knows for what the
	// library was compiled puts KernelsOf of that in their place.
	Kernels Kernels

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
	SharesTheMachine bool    // its memory is the machine's: an integrated GPU, or Apple's
}

// inUse are the GPUs that layers would be on: all that have memory of their own,
// or else those that have none. llama.cpp chooses so.
func (m Machine) inUse() []Device {
	var own []Device
	for _, d := range m.Devices {
		if !d.SharesTheMachine {
			own = append(own, d)
		}
	}
	if len(own) > 0 {
		return own
	}
	return m.Devices
}

// UsableRAM is the memory that a model to be loaded may take.
func (m Machine) UsableRAM() int64 {
	usable := max(m.RAMAvailable-systemReserve, 0)
	if m.RAMLimit > 0 {
		usable = min(usable, m.RAMLimit)
	}
	return usable
}

// UsableVRAM is the memory that a model to be loaded may take of all GPUs that
// layers would be on. llama.cpp shares layers out by how much is free on each, so
// that what fits all together fits each but for part of a layer, for which the
// reserve of each has room.
func (m Machine) UsableVRAM() int64 {
	var sum int64
	for _, d := range m.inUse() {
		sum += max(d.VRAMFree-deviceReserve, 0)
	}
	return sum
}

// shared reports whether layers on a GPU take the machine's memory as well.
func (m Machine) shared() bool {
	used := m.inUse()
	return len(used) > 0 && used[0].SharesTheMachine
}

// deviceBandwidth is the bandwidth of the slowest GPU, since every token passes
// all of them; 0 if one of them is not known.
func (m Machine) deviceBandwidth() float64 {
	var slowest float64
	for i, d := range m.inUse() {
		if i == 0 || d.Bandwidth < slowest {
			slowest = d.Bandwidth
		}
	}
	return slowest
}
