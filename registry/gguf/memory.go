package gguf

// MemoryOptions say how a model is going to be used. Zero fields take
// llama.cpp's defaults.
type MemoryOptions struct {
	Context int  // tokens of all sequences together; default: the trained length
	UBatch  int  // tokens computed at once; default 512
	Outputs int  // tokens of a ubatch that get logits; default UBatch
	Streams int  // sequences that have a cache of their own; default 1, which all share
	Q8KV    bool // KV cache in Q8_0 in place of F16
}

// Memory is an estimate of what a model takes, in bytes.
type Memory struct {
	// Weights is exact. Some CPUs have llama.cpp copy matrices into another layout;
	// the mapped originals then stay in the page cache only.
	Weights int64
	KV      int64 // exact for plain attention; an upper bound for sliding windows, latent attention and recurrent layers
	Compute int64 // scratch space of the graph
	Unused  int64 // of Compute, what only the rows of images are written to
	Work    int64 // operands of a matrix product in the weights' type; CPU
	Cells   int64 // what is noted about each cell of the cache, all of them in use
	Graph   int64 // descriptions of tensors, of the model and of the graphs
	Output  int64 // logits handed out
	Total   int64
}

// llama.cpp's defaults: n_ubatch, and the multiple to which it rounds contexts.
const (
	defaultUBatch  = 512
	contextPadding = 256
)

// What llama.cpp notes about a cell (llama-kv-cells.h): its position, shift,
// place in an image and sequences (a bitset), and a node in each of two ordered
// sets as soon as it is in use.
const cellBytes = 4 + 4 + 12 + 32 + 2*48

const (
	tensorBytes = 32 + 336 // ggml_tensor_overhead
	// A graph has for each of its nodes a tensor, two pointers, and slots of a hash
	// table that has at least twice as many (ggml_graph_nbytes).
	graphNodeBytes = tensorBytes + 2*8 + 2*(4+8) + 1
	graphs         = 3 // kept: the one that is reserved, of prompts, and of single tokens
	leastNodes     = 1024
	tensorNodes    = 8  // nodes reserved for each tensor of the model
	layerTensors   = 12 // of a model of which only the shape is known
)

// quantisedRow is the size of 256 activations in the type by which most quantised
// weights are multiplied, Q8_K.
const quantisedRow = 292

// EstimateMemory says what f takes under opt. f must have passed Validate.
//
// KV is what llama.cpp allocates to the byte for plain attention: for every cell
// and layer a row of keys and one of values in the cache's type. Each stream's
// cells are rounded up to a multiple of 256. Compute is found by placing the
// tensors of the graph as ggml-alloc does (see computation.scratch): equal to what
// v0.5.0 reports on a CPU with flash attention for dense models and for mixtures
// in the form of Qwen3. The rest follows from the sizes of llama.cpp's structures;
// what is allocated for a process and a vocabulary is not in it.
func EstimateMemory(f *File, opt MemoryOptions) (Memory, error) {
	p, err := readParameters(f)
	if err != nil {
		return Memory{}, err
	}
	tokens, err := required[[]string](f, "tokenizer.ggml.tokens")
	if err != nil {
		return Memory{}, err
	}
	context := p.context
	if opt.Context > 0 {
		context = int64(opt.Context)
	}
	// Bounded, so that no product below can overflow: Validate's limits make
	// the sum of all less than 2^63.
	streams := min(orDefault(opt.Streams, 1), MaxContextLength)
	perStream, _ := pad((min(context, MaxContextLength)+streams-1)/streams, contextPadding)
	context = min(perStream*streams, MaxContextLength)
	ubatch := min(orDefault(opt.UBatch, defaultUBatch), context)
	c := computation{
		tokens: ubatch, outputs: min(orDefault(opt.Outputs, int(ubatch)), ubatch), vocabulary: int64(len(tokens)),
		cells: perStream, embedding: p.embedding, layers: int(min(p.layers, settledLayers)),
	}
	m := Memory{Weights: f.WeightBytes(), Output: f32 * c.outputs * c.vocabulary, Cells: cellBytes * context}
	for il := range p.layers {
		keys, values := p.kvHeads[il]*p.keyLength, p.kvHeads[il]*p.valueLength
		m.KV += context * (cacheRow(keys, opt.Q8KV) + cacheRow(values, opt.Q8KV))
		c.queries, c.keys, c.values = max(c.queries, p.heads[il]*p.keyLength), max(c.keys, keys), max(c.values, values)
		c.attended = max(c.attended, p.heads[il]*p.valueLength)
		c.feedForward = max(c.feedForward, p.feedForward[il])
	}
	if p.experts > 0 && p.expertFeedForward > 0 {
		c.feedForward, c.experts, c.used = p.expertFeedForward, p.experts, p.expertsUsed
	}
	if n, ok := Get[uint32](&f.Metadata, f.archKey("n_deepstack_layers")); ok {
		c.taps = min(int64(n), p.layers)
	}
	if opt.Q8KV {
		c.rotations = rotations(p.keyLength, p.valueLength)
	}
	m.Compute, m.Work, m.Unused = c.scratch(), c.work(), c.rows()
	n := int64(len(f.Tensors))
	if n == 0 {
		n = layerTensors * p.layers
	}
	m.Graph = graphs*graphNodeBytes*max(leastNodes, tensorNodes*n) + tensorBytes*n
	m.Total = m.Weights + m.KV + m.Compute + m.Work + m.Cells + m.Graph + m.Output
	return m, nil
}

// rotations is the size of the matrices by which llama.cpp turns keys and values
// before it quantises them (build_input_k_rot in llama-kv-cache.cpp): for keys of
// the largest power of two that divides a head, for values of 64.
func rotations(keyLength, valueLength int64) int64 {
	const least = 64
	var n int64
	if keyLength > 0 && keyLength%least == 0 {
		side := keyLength & -keyLength
		n += f32 * side * side
	}
	if valueLength > 0 && valueLength%least == 0 {
		n += f32 * least * least
	}
	return n
}

// cacheRow is the size of n cached elements, rounded up to whole blocks.
func cacheRow(n int64, q8 bool) int64 {
	if !q8 {
		return n * TypeF16.traits().size
	}
	tr := TypeQ8_0.traits()
	return (n + tr.block - 1) / tr.block * tr.size
}

func orDefault(n, def int) int64 {
	if n > 0 {
		return int64(n)
	}
	return int64(def)
}
