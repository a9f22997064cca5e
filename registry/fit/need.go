package fit

import "github.com/jeantrail/jeantrail-ai/registry/gguf"

// What llama.cpp holds for a model besides its buffers, fitted to the resident
// memory of the process with the built-in model and with three of the shapes of
// Qwen3: its own structures, and for each token the vocabulary with its merges.
const (
	runtimeBytes       = 8 << 20
	vocabularyPerToken = 421
)

// contextStep is the multiple to which llama.cpp rounds contexts.
const contextStep = 256

// Setting says how a model is to be run. Zero fields take the defaults.
type Setting struct {
	NCtx      int  // KV cells of all sequences together; 0: the trained context
	Slots     int  // sequences at once; 0: 1
	UBatch    int  // tokens computed at once; 0: 512
	GPULayers int  // layers on a GPU, the output counts as one; -1: as many as fit
	Q8KV      bool // KV cache in Q8_0 in place of F16
}

// Need is what a model takes, in bytes. What is computed on a GPU needs its
// buffers there and, in part, in the machine's memory too, so that RAM and VRAM
// together can be more than the Total.
type Need struct {
	Weights   int64
	Projector int64 // weights of what reads images; its scratch space is not counted
	KV        int64
	Compute   int64 // scratch space of the graph
	Output    int64 // logits handed out
	Runtime   int64 // vocabulary, and llama.cpp's own structures
	Total     int64

	RAM  int64 // of the machine's memory
	VRAM int64 // of the GPUs' memory, all together
}

// Needs says what a model takes with a setting; GPULayers of -1 counts as all.
//
// Weights, KV, Compute and Output are gguf.EstimateMemory's. llama.cpp puts the
// last layers on the GPU, with their share of the KV cache; a tied output matrix
// is there a second time. The scratch space is counted in full on both sides.
//
// On x86 CPUs llama.cpp copies matrices of Q4 into another layout when it loads.
// The copy counts here and the originals do not: they are mapped from the file,
// nobody reads them again, and they give way when memory is short. Until then
// the process appears larger by their size.
func (m Model) Needs(s Setting) Need { return m.divide(m.together(s), m.layersOn(s.GPULayers)) }

// together is what a model takes wherever its layers are.
func (m Model) together(s Setting) Need {
	slots := max(s.Slots, 1)
	memory, err := gguf.EstimateMemory(m.header, gguf.MemoryOptions{
		Context: s.NCtx, UBatch: s.UBatch, Outputs: slots, Q8KV: s.Q8KV,
	})
	if err != nil { // what makes a Model has asked before
		panic("fit: " + err.Error())
	}
	n := Need{
		Weights: m.WeightBytes(), Projector: m.projector,
		KV: memory.KV, Compute: memory.Compute, Output: memory.Output,
		Runtime: runtimeBytes + vocabularyPerToken*m.vocabulary,
	}
	n.Total = n.Weights + n.Projector + n.KV + n.Compute + n.Output + n.Runtime
	return n
}

// divide shares a need out between the machine's memory and the GPUs, which hold
// so many of the last layers.
func (m Model) divide(n Need, on int) Need {
	n.RAM, n.VRAM = n.Total, 0
	if on == 0 {
		return n
	}
	n.VRAM = m.output.bytes + n.Projector + n.Compute
	n.RAM -= m.output.bytes + n.Projector
	if m.tied {
		n.RAM += m.input // it stays to look rows up in
	}
	repeating := on - 1
	for _, l := range m.layers[len(m.layers)-repeating:] {
		n.VRAM += l.bytes
		n.RAM -= l.bytes
	}
	kv := n.KV / int64(len(m.layers)) * int64(repeating)
	n.VRAM += kv
	n.RAM -= kv
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
