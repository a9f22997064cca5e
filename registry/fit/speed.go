package fit

// sustained is the part of the measured bandwidth that llama.cpp reaches while it
// generates: between layers the threads wait for each other.
const sustained = 0.75

// depth is how many tokens of context the estimated token looks back on.
const depth = 1024

// TokensPerSecond estimates how fast one stream of tokens is generated; 0 if the
// bandwidth of what would run the model is not known. With layers on a GPU of
// unknown bandwidth it is a bound: what the layers in the machine's memory allow.
//
// Generating a token reads every active weight once and the keys and values of
// all tokens before it, and little is computed on each byte, so the memory's
// bandwidth is the limit (the roofline model of Williams, Waterman and Patterson,
// 2009, with an intensity below every machine's ridge):
//
//	seconds = RAM bytes / (0.75 * RAM bandwidth) + GPU bytes / (0.75 * GPU bandwidth)
//
// with the bytes of the layers on each side, 1024 tokens back. It is an estimate:
// a CPU with few cores or without the vector instructions stays below it.
func TokensPerSecond(machine Machine, m Model, s Setting) (speed float64, bound bool) {
	on := m.layersOn(s.GPULayers)
	back := int64(depth)
	if s.NCtx > 0 {
		back = min(back, int64(s.NCtx))
	}
	kv := m.Needs(Setting{NCtx: contextStep, Q8KV: s.Q8KV}).KV / contextStep * back
	kvLayer := kv / int64(len(m.layers))

	var ram, gpu int64
	for i, l := range m.layers {
		if i < len(m.layers)-(on-1) {
			ram += l.active + kvLayer
		} else {
			gpu += l.active + kvLayer
		}
	}
	if on > 0 {
		gpu += m.output.active
	} else {
		ram += m.output.active
	}
	bandwidth := machine.deviceBandwidth()
	if ram > 0 && machine.RAMBandwidth <= 0 || ram == 0 && bandwidth <= 0 {
		return 0, false
	}
	var seconds float64
	if ram > 0 {
		seconds += float64(ram) / (sustained * machine.RAMBandwidth)
	}
	if gpu > 0 && bandwidth > 0 {
		seconds += float64(gpu) / (sustained * bandwidth)
	}
	return 1 / seconds, gpu > 0 && bandwidth <= 0
}
