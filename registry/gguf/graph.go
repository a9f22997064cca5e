package gguf

// computation is what the size of the scratch space depends on.
type computation struct {
	tokens, outputs, vocabulary int64 // tokens of a ubatch, and those that get logits
	cells                       int64 // that a token looks back on
	embedding                   int64
	queries, keys, values       int64 // widths of a layer's attention
	attended                    int64 // width of what it gives: as wide as the values of all heads
	feedForward                 int64 // of a dense layer, or of one expert
	experts, used               int64 // 0: a dense layer
	layers                      int
	taps                        int64 // layers that add features of an image to their output (deepstack)
	rotations                   int64 // bytes of the matrices that turn what goes into a quantised cache
}

// settledLayers is after how many layers the places of tensors repeat.
const settledLayers = 6

// The layouts of nodes that can take each other's place.
const (
	layoutNone = iota
	layoutEmbedding
	layoutQuery
	layoutKey
	layoutValue
	layoutFew // embeddings of the outputs
	layoutExperts
	layoutRouter
	layoutWeights
)

const f32 = 4

// scratch is the size of the compute buffer that llama.cpp reserves on a CPU with
// flash attention, for the transformer of Qwen3 and Qwen3-MoE (src/models/qwen3.cpp,
// qwen3moe.cpp; llm_graph_context in src/llama-graph.cpp). Other architectures
// have the same large tensors in another order at most.
func (c computation) scratch() int64 {
	var g graph
	t := c.tokens
	input := func(bytes int64) *node {
		n := &node{bytes: bytes}
		g.inputs = append(g.inputs, n)
		return n
	}
	ids := input(4 * t)
	input(c.rows()) // embeddings in place of tokens: of images
	positions := input(4 * t)
	keyRows := input(8 * t)
	valueRows := input(8 * t)
	mask := input(2 * c.cells * t) // F16, for each stream its own part
	outputs := input(4 * c.outputs)
	input(c.rotations)

	layer := g.add(node{bytes: f32 * t * c.embedding, layout: layoutEmbedding, sources: []*node{ids}})
	var features *node
	if c.taps > 0 { // tokens have none: they are filled up with zeros
		features = g.add(node{bytes: c.rows(), sources: []*node{layer}})
		layer = g.viewOf(features, layoutNone)
	}
	for il := range c.layers {
		attended := c.attention(&g, layer, positions, keyRows, valueRows, mask)
		rows, layout := t, layoutEmbedding
		if il == c.layers-1 {
			rows, layout = c.outputs, layoutFew
			pick := func(n *node) *node {
				return g.add(node{bytes: f32 * rows * c.embedding, layout: layout, sources: []*node{n, outputs}})
			}
			attended, layer = pick(attended), pick(layer)
		}
		width := f32 * rows * c.embedding
		layer = g.add(node{bytes: width, layout: layout, inplace: true, sources: []*node{attended, layer}})
		normed := g.norm(layer, layout)
		var out *node
		if c.experts > 0 {
			out = c.mixture(&g, normed, rows, layout)
		} else {
			gate := g.add(node{bytes: f32 * rows * c.feedForward, sources: []*node{normed}})
			up := g.add(node{bytes: f32 * rows * c.feedForward, sources: []*node{normed}})
			both := g.add(node{bytes: f32 * rows * c.feedForward, sources: []*node{gate, up}})
			out = g.add(node{bytes: width, layout: layout, sources: []*node{both}})
		}
		layer = g.add(node{bytes: width, layout: layout, inplace: true, sources: []*node{out, layer}})
		if int64(il) < c.taps {
			layer = g.add(node{bytes: width, layout: layout, inplace: true, sources: []*node{layer, g.viewOf(features, layoutNone)}})
		}
	}
	last := g.norm(layer, layoutFew)
	g.add(node{bytes: f32 * c.outputs * c.vocabulary, sources: []*node{last}})
	return g.size()
}

// rows is the size of a ubatch of rows of an image, with their features.
func (c computation) rows() int64 { return f32 * c.tokens * c.embedding * (1 + c.taps) }

// norm adds a norm and its weights.
func (g *graph) norm(n *node, layout int) *node {
	bytes := n.bytes
	n = g.add(node{bytes: bytes, layout: layout, inplace: true, sources: []*node{n}})
	return g.add(node{bytes: bytes, layout: layout, inplace: true, sources: []*node{n}})
}

// viewOf adds another look at the same bytes.
func (g *graph) viewOf(n *node, layout int) *node {
	owner := n
	if n.view != nil {
		owner = n.view
	}
	return g.add(node{layout: layout, view: owner, sources: []*node{n}})
}

// attention adds the attention of a layer and gives its output.
func (c computation) attention(g *graph, layer, positions, keyRows, valueRows, mask *node) *node {
	t := c.tokens
	normed := g.norm(layer, layoutEmbedding)
	turned := func(width int64, layout int) *node { // projected, normed and rotated
		bytes := f32 * t * width
		n := g.viewOf(g.add(node{bytes: bytes, sources: []*node{normed}}), layout)
		for range 2 {
			n = g.add(node{bytes: bytes, layout: layout, inplace: true, sources: []*node{n}})
		}
		return g.add(node{bytes: bytes, layout: layout, inplace: true, sources: []*node{n, positions}})
	}
	query := turned(c.queries, layoutQuery)
	value := g.viewOf(g.add(node{bytes: f32 * t * c.values, sources: []*node{normed}}), layoutValue)
	key := turned(c.keys, layoutKey)

	cache := &node{external: true}
	g.add(node{view: cache, sources: []*node{g.viewOf(key, layoutNone), keyRows}})
	g.add(node{view: cache, sources: []*node{g.viewOf(value, layoutNone), valueRows}})
	query = g.viewOf(g.viewOf(query, layoutNone), layoutNone) // split among streams, and permuted
	seen := g.add(node{bytes: f32 * t * c.attended, sources: []*node{query, mask}})
	return g.add(node{bytes: f32 * t * c.embedding, layout: layoutEmbedding, sources: []*node{g.viewOf(seen, layoutNone)}})
}

// mixture adds the experts of a layer: the router, the experts that it chose,
// and the sum of what they give (llm_graph_context::build_moe_ffn).
func (c computation) mixture(g *graph, normed *node, rows int64, layout int) *node {
	few := func(n int64, layout int, inplace bool, sources ...*node) *node {
		return g.add(node{bytes: f32 * rows * n, layout: layout, inplace: inplace, sources: sources})
	}
	logits := few(c.experts, layoutRouter, false, normed)
	shares := few(c.experts, layoutRouter, true, logits)
	list := g.viewOf(shares, layoutNone)
	sorted := few(c.experts, layoutNone, false, shares)
	chosen := g.viewOf(sorted, layoutNone)
	weights := g.viewOf(few(c.used, layoutNone, false, list, chosen), layoutWeights)
	sum := few(1, layoutNone, false, weights)
	sum = g.add(node{bytes: sum.bytes, layout: layoutNone, sources: []*node{sum}})
	weights = g.viewOf(few(c.used, layoutWeights, true, weights, sum), layoutNone)

	token := g.viewOf(normed, layoutNone)
	gate := few(c.used*c.feedForward, layoutNone, false, token, chosen)
	up := few(c.used*c.feedForward, layoutNone, false, token, chosen)
	both := few(c.used*c.feedForward, layoutNone, false, gate, up)
	down := few(c.used*c.embedding, layoutExperts, false, both, chosen)
	weighted := few(c.used*c.embedding, layoutExperts, true, down, weights)
	parts := make([]*node, c.used)
	for i := range parts {
		parts[i] = g.viewOf(weighted, layoutNone)
	}
	if len(parts) == 1 {
		return few(c.embedding, layout, false, parts[0])
	}
	total := parts[0]
	for _, p := range parts[1:] {
		total = few(c.embedding, layout, true, total, p)
	}
	return total
}

// work is the buffer in which the CPU keeps the operands of the largest product
// (ggml_graph_plan in ggml-cpu.c): the activations in the type that the weights
// are multiplied by, and which token went to which expert. Attention needs less
// with fewer than a dozen threads.
func (c computation) work() int64 {
	widest := max(c.embedding, c.attended, c.feedForward)
	if c.used > 0 {
		widest = max(c.embedding, c.attended, c.feedForward*c.used)
	}
	n := c.tokens * ((widest + 255) / 256) * quantisedRow
	return n + 8*c.experts*c.used*c.tokens
}
