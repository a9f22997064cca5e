package gguf

// MemoryOptions say how a model is going to be used. Zero fields take
// llama.cpp's defaults.
type MemoryOptions struct {
	Context int  // tokens of all sequences together; default: the trained length
	UBatch  int  // tokens computed at once; default 512
	Outputs int  // tokens of a ubatch that get logits; default UBatch
	Q8KV    bool // KV cache in Q8_0 in place of F16
}

// Memory is an estimate of what a model takes, in bytes.
type Memory struct {
	// Weights is exact. On x86 CPUs llama.cpp copies Q4 matrices into another
	// layout; the mapped originals then stay in the page cache only.
	Weights int64
	KV      int64 // exact for plain attention; an upper bound for sliding windows, latent attention and recurrent layers
	Compute int64 // scratch space of the graph, an estimate
	Output  int64 // logits handed out
	Total   int64
}

// llama.cpp's defaults: n_ubatch, and the multiple to which it rounds contexts.
const (
	defaultUBatch  = 512
	contextPadding = 256
)

// EstimateMemory says what f takes under opt. f must have passed Validate.
//
// With T tokens in a ubatch, O outputs, C cells of context, E the embedding
// length, F the (used experts') feed-forward length, Q and KV the widths of the
// query and of the keys or values of a layer, V the vocabulary:
//
//	KV      = sum over layers of (row(KV keys) + row(KV values)) * C
//	Compute = 4*max(O*V + 5*T*E, T*(3E + max(2Q + KV keys + KV values, 3F))) + 2*T*C + 4*T*E
//	Output  = 4*O*V
//
// row is the size of a row in the cache's type. The scratch space is reused
// from layer to layer, so the largest moment counts: either the logits or one
// layer's activations, all in F32, beside the F16 attention mask and the input
// embeddings. KV is what llama.cpp allocates to the byte for plain attention.
// Compute was fitted to what v0.5.0 reports on the CPU with flash attention:
// equal for the 0.6B shape (512 or 256 tokens, 1 or 512 outputs, 512 to 16k
// cells), up to a third above it for toy models, where it hardly counts.
func EstimateMemory(f *File, opt MemoryOptions) (Memory, error) {
	p, err := readParameters(f)
	if err != nil {
		return Memory{}, err
	}
	tokens, err := required[[]string](f, "tokenizer.ggml.tokens")
	if err != nil {
		return Memory{}, err
	}
	vocab, context := int64(len(tokens)), p.context
	if opt.Context > 0 {
		context = int64(opt.Context)
	}
	// Bounded, so that no product below can overflow: Validate's limits make
	// the sum of all less than 2^63.
	context, _ = pad(min(context, MaxContextLength), contextPadding)
	ubatch := min(orDefault(opt.UBatch, defaultUBatch), context)
	outputs := min(orDefault(opt.Outputs, int(ubatch)), ubatch)

	m := Memory{Weights: f.WeightBytes(), Output: 4 * outputs * vocab}
	var widest int64
	for il := range p.layers {
		keys, values := p.kvHeads[il]*p.keyLength, p.kvHeads[il]*p.valueLength
		m.KV += context * (cacheRow(keys, opt.Q8KV) + cacheRow(values, opt.Q8KV))
		q := p.heads[il] * p.keyLength
		widest = max(widest, 2*q+keys+values, 3*p.usedFeedForward(il))
	}
	m.Compute = 4*max(outputs*vocab+5*ubatch*p.embedding, ubatch*(3*p.embedding+widest)) + 2*ubatch*context + 4*ubatch*p.embedding
	m.Total = m.Weights + m.KV + m.Compute + m.Output
	return m, nil
}

// usedFeedForward is the feed-forward width one token passes in a layer.
func (p *parameters) usedFeedForward(il int64) int64 {
	if p.experts > 0 && p.expertFeedForward > 0 {
		return p.expertFeedForward * p.expertsUsed
	}
	return p.feedForward[il]
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
