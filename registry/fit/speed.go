package fit

import "github.com/jeantrail/jeantrail-ai/registry/gguf"

const (
	// sustained is the part of the measured bandwidth at which llama.cpp goes through
	// weights while it generates: between layers the threads wait for each other.
	// Measured on two cores of a Zen 4 server with dense models and a mixture: 0.80
	// to 0.92 with weights in the CPU's own layout, 0.68 to 0.80 as in the file.
	sustained = 0.75
	// attentionPerCore is how fast a core goes through keys and values in F16, in
	// bytes per second. llama.cpp's CPU code reads those of a head again for every
	// query head that shares them (ggml_compute_forward_flash_attn_ext_f16_one_chunk
	// in ggml-cpu/ops.cpp), and each number takes a conversion and a product: the
	// core is the limit, not the memory. Measured on such a core: 6 to 9 GB/s.
	attentionPerCore = 6.5e9
)

// depth is how many tokens of context the estimated token looks back on.
const depth = 1024

// TokensPerSecond estimates how fast one stream of tokens is generated; 0 if the
// bandwidth of what would run the model is not known. With layers on a GPU of
// unknown bandwidth it is a bound: what the layers in the machine's memory allow.
//
// Generating a token reads every active weight once and the keys and values of
// all tokens before it. For weights little is computed on each byte, so the
// memory's bandwidth is the limit (the roofline model of Williams, Waterman and
// Patterson, 2009, with an intensity below every machine's ridge). For keys and
// values the cores are, if it is known how many there are:
//
//	seconds = weights / (0.75 * bandwidth) + max(cache / (0.75 * bandwidth), cache * query heads per KV head / (6.5 GB/s * cores))
//
// for the layers in the machine's memory, and the first of each for those on a
// GPU, 1024 tokens back. It is an estimate: a CPU without the vector instructions
// stays below it.
func TokensPerSecond(machine Machine, m Model, s Setting) (speed float64, bound bool) {
	on := m.layersOn(s.GPULayers)
	back := int64(depth)
	if s.NCtx > 0 {
		back = min(back, int64(s.NCtx))
	}
	kv := m.Needs(Setting{NCtx: contextStep, Q8KV: s.Q8KV}).KV / contextStep * back
	kvLayer := kv / int64(len(m.layers))

	var ram, gpu, cache int64
	for i, l := range m.layers {
		if i < len(m.layers)-(on-1) {
			ram += l.active
			cache += kvLayer
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
		attention := float64(cache) / (sustained * machine.RAMBandwidth)
		if cores := float64(machine.CoresPhysical); cores > 0 {
			attention = max(attention, float64(cache)*m.sharing()/(attentionPerCore*cores))
		}
		seconds += attention
	}
	if gpu > 0 && bandwidth > 0 {
		seconds += float64(gpu) / (sustained * bandwidth)
	}
	return 1 / seconds, gpu > 0 && bandwidth <= 0
}

// sharing is how many query heads read the keys and values of one head.
func (m Model) sharing() float64 {
	s := gguf.Summarize(m.header)
	if s.KVHeads <= 0 {
		return 1
	}
	return max(float64(s.Heads)/float64(s.KVHeads), 1)
}
