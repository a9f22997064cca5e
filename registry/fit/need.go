package fit

import "github.com/jeantrail/jeantrail-ai/registry/gguf"

// contextStep is the multiple to which llama.cpp rounds contexts.
const contextStep = 256

// Setting says how a model is to be run. Zero fields take the defaults.
type Setting struct {
	NCtx      int  // KV cells of all sequences together; 0: the trained context
	Slots     int  // sequences at once; 0: 1
	Streams   bool // each slot has a KV cache of its own, NCtx/Slots cells long
	UBatch    int  // tokens computed at once; 0: 512
	GPULayers int  // layers on a GPU, the output counts as one; -1: as many as fit
	Devices   int  // GPUs that share the layers; 0: 1. Make takes the machine's
	Q8KV      bool // KV cache in Q8_0 in place of F16
	// ImageTokens is the most that one image becomes, if a projector is there; 0: what
	// its file says.
	ImageTokens int
	// Kernels decide which matrices are copied when the model is loaded. Make takes
	// the machine's.
	Kernels Kernels
}

// Need is what a model takes, in bytes. What is computed on a GPU needs its
// buffers there and, in part, in the machine's memory too, so that RAM and VRAM
// together can be more than the Total.
type Need struct {
	Weights   int64 // as they are read, which can be copies
	Projector int64 // weights of what reads images, and its scratch space for the largest image
	KV        int64
	Compute   int64 // scratch space of the graph, with the operands of its products
	Output    int64 // logits handed out
	Runtime   int64 // vocabulary, descriptions of tensors and cells, and llama.cpp's own structures
	Total     int64

	RAM  int64 // of the machine's memory, to run at full speed: Anonymous and Mapped
	VRAM int64 // of the GPUs' memory, all together

	// Anonymous is the part of RAM that the system can take back only by swapping.
	Anonymous int64
	// Mapped is the part of RAM that is weights in the model's file. The system can
	// drop them and read them again, from the disk for every token.
	Mapped int64
	// Resident is the most that the process appears to have grown by (RSS): RAM and
	// the originals of weights that were copied, which nobody reads any more. They
	// give way as soon as memory is short.
	Resident int64
}

// Needs says what a model takes with a setting; GPULayers of -1 counts as all.
//
// KV, Compute, Output and most of Runtime are gguf.EstimateMemory's. llama.cpp
// puts the last layers on the GPU, with their share of the KV cache; a tied output
// matrix is there a second time. The scratch space is counted in full on every GPU
// and in the machine's memory.
//
// Without layers on a GPU llama.cpp copies matrices for which the CPU has faster
// code with another layout. The copies are anonymous memory; the originals are
// mapped from the file and not read again. With layers on a GPU it keeps all
// weights as they are, since the GPU may be given a share of large batches.
func (m Model) Needs(s Setting) Need {
	on := m.layersOn(s.GPULayers)
	return m.divide(m.together(s, on > 0), on, s.Devices)
}

// together is what a model takes wherever its layers are. With a GPU no weight is
// copied.
func (m Model) together(s Setting, gpu bool) Need {
	slots := max(s.Slots, 1)
	opt := gguf.MemoryOptions{Context: s.NCtx, UBatch: s.UBatch, Outputs: slots, Q8KV: s.Q8KV}
	if s.Streams {
		opt.Streams = slots
	}
	memory, err := gguf.EstimateMemory(m.header, opt)
	if err != nil { // what makes a Model has asked before
		panic("fit: " + err.Error())
	}
	var copies, spared int64
	if !gpu {
		copies, spared = m.copied(s.Kernels)
	}
	n := Need{
		Weights: m.WeightBytes() - spared + copies, KV: memory.KV, Compute: memory.Compute + memory.Work, Output: memory.Output,
		Runtime: processBytes + m.vocabulary + memory.Cells + memory.Graph,
	}
	if m.projector > 0 {
		n.Projector = m.projector + m.imageBytes(s.ImageTokens)
	} else {
		n.Compute -= memory.Unused
	}
	n.Total = n.Weights + n.Projector + n.KV + n.Compute + n.Output + n.Runtime
	n.Mapped = m.WeightBytes() - spared
	n.Anonymous = n.Total - n.Mapped
	n.Resident = n.Anonymous + max(m.mapping, m.WeightBytes())
	return n
}

// divide shares a need out between the machine's memory and the GPUs, which hold
// so many of the last layers.
func (m Model) divide(n Need, on, devices int) Need {
	n.RAM, n.VRAM = n.Total, 0
	if on == 0 {
		return n
	}
	n.VRAM = m.output.bytes + n.Projector + n.Compute*int64(max(devices, 1))
	n.Mapped -= m.output.bytes
	if m.tied {
		n.Mapped += m.input // it stays to look rows up in
	}
	repeating := on - 1
	for _, l := range m.layers[len(m.layers)-repeating:] {
		n.VRAM += l.bytes
		n.Mapped -= l.bytes
	}
	kv := n.KV / int64(len(m.layers)) * int64(repeating)
	n.VRAM += kv
	n.Anonymous -= kv + n.Projector
	n.RAM = n.Anonymous + n.Mapped
	n.Resident = n.RAM // what is mapped is what is used, but for gaps
	return n
}

// layersOn is how many layers a setting puts on a GPU, the output included.
func (m Model) layersOn(gpuLayers int) int {
	all := len(m.layers) + 1
	if gpuLayers < 0 {
		return all
	}
	return min(gpuLayers, all)
}

// roundContext rounds a context up as llama.cpp does.
func roundContext(n int) int { return (n + contextStep - 1) / contextStep * contextStep }
