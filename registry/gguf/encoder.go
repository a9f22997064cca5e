package gguf

import (
	"fmt"
	"strings"
)

// encoder is the size of what makes rows of an image.
type encoder struct {
	patches            int64 // of the image
	width, feedForward int64
	text               int64 // width of the text model
	merged             int64 // patches that make a row
	pixels             int64 // of a patch
	frames             int   // kernels that a patch is read with
	layers             int
	operand            int64  // bytes of a number that weights are multiplied with; 0: as it is computed
	tapped             []bool // layers of which the rows have a part too (deepstack)
}

// mostImageTokens is the most that Qwen's projectors make of an image unless told
// otherwise (set_limit_image_tokens in tools/mtmd/clip.cpp).
const mostImageTokens = 4096

// warmUpTokens is of which image libmtmd reserves the buffer in Qwen's forms.
const warmUpTokens = 46 * 46

// mostPatches bounds what is counted, so that no product overflows.
const mostPatches = 1 << 20

// encoderNodes is of how many nodes libmtmd makes room for descriptions.
const encoderNodes = 8192

// EncoderBytes is what a projector, a file that passed ValidateProjector, takes
// besides its weights to encode an image that becomes so many tokens; 0 is the
// most: 4096 in Qwen's forms, or what fits the one size that others know. It is
// the compute buffer, the operands of the largest product, the image as floats,
// and its rows, which are there twice when they are handed out.
//
// The buffer is found by placing the tensors of Qwen3-VL's graph as ggml-alloc
// does (tools/mtmd/models/qwen3vl.cpp): equal to what llama.cpp v0.5.0 reports on
// a CPU for that form, and an estimate for others. Of a buffer that was reserved
// for a larger image only what is written counts.
func EncoderBytes(f *File, tokens int) int64 {
	e := readEncoder(f, tokens)
	width := e.text
	for _, tapped := range e.tapped {
		if tapped {
			width += e.text
		}
	}
	rows := f32 * e.patches / e.merged * width
	return e.touched() + e.work() + f32*3*e.pixels*e.patches + 2*rows + encoderNodes*tensorBytes
}

// readEncoder takes the sizes from the file of a projector.
func readEncoder(f *File, tokens int) encoder {
	e := encoder{
		width: f.visionNumber("embedding_length"), feedForward: f.visionNumber("feed_forward_length"),
		text: f.visionNumber("projection_dim"), layers: int(f.visionNumber("block_count")), frames: 1, merged: 1,
	}
	side := f.visionNumber("patch_size")
	e.pixels = side * side
	form := f.projectorType()
	if contains(mergesFour, form) {
		e.merged = 4
	} else if n := f.visionNumber("projector.scale_factor"); n > 0 {
		e.merged = n * n
	}
	if f.Tensor("v.patch_embd.weight.1") != nil {
		e.frames = 2
	}
	if e.feedForward == 0 { // old files of Qwen2-VL
		e.feedForward = 4 * e.width
	}
	most := int64(mostImageTokens)
	if whole := f.visionNumber("image_size"); !contains(mergesFour, form) && whole > 0 && side > 0 {
		most = max(1, (whole/side)*(whole/side)/e.merged)
		tokens = 0 // it knows no other size
	}
	if tokens > 0 {
		most = int64(tokens)
	}
	e.patches = min(most, mostPatches) * e.merged
	e.tapped = make([]bool, e.layers)
	for il := range e.tapped {
		e.tapped[il] = f.Tensor(fmt.Sprintf("v.deepstack.%d.norm.weight", il)) != nil
	}
	for i := range f.Tensors { // what a row of the text model gets, if the file says otherwise
		if t := &f.Tensors[i]; strings.HasPrefix(t.Name, "mm.2.weight") && len(t.Dims) == 2 {
			e.text = t.Dims[1]
		}
	}
	if t := f.Tensor("v.blk.0.ffn_up.weight"); t != nil && t.Type != TypeF32 {
		e.operand = 2
	}
	return e
}

// work is the buffer for the operands of the largest product, which are in F16 if
// the weights are.
func (e encoder) work() int64 {
	return e.patches * max(e.width, e.feedForward) * e.operand
}

const (
	layoutPatches = layoutWeights + 1 + iota
	layoutAttention
	layoutHidden
	layoutRows
)

// scratch is the size of the compute buffer on a CPU with flash attention.
func (e encoder) scratch() int64 {
	g := e.graph()
	return g.size()
}

// touched is how much of the buffer an image takes: of that for the image with
// which libmtmd warms up, if it is smaller.
func (e encoder) touched() int64 {
	part := e.patches
	if whole := e.merged * warmUpTokens; e.merged == 4 && part < whole {
		e.patches = whole
		g := e.graph()
		g.size()
		return g.touched(part, whole)
	}
	return e.scratch()
}

func (e encoder) graph() *graph {
	var g graph
	full := f32 * e.patches * e.width
	image := &node{bytes: f32 * 3 * e.pixels * e.patches}
	positions := &node{bytes: 4 * 4 * e.patches}
	g.inputs = []*node{image, positions}

	inner := e.read(&g, image)
	var taps []*node
	for il := range e.layers {
		inner = e.layer(&g, inner, positions)
		if e.tapped[il] {
			taps = append(taps, inner)
		}
	}
	inner = g.centred(inner, full)
	rows := e.project(&g, g.viewOf(inner, layoutNone))
	width := e.text
	if len(taps) > 0 { // of all tapped layers, and then beside the rows
		joined := e.project(&g, g.centred(g.viewOf(taps[0], layoutNone), full))
		for _, t := range taps[1:] {
			width += e.text
			more := e.project(&g, g.centred(g.viewOf(t, layoutNone), full))
			joined = g.add(node{bytes: f32 * e.patches / e.merged * (width), sources: []*node{joined, more}})
		}
		g.add(node{bytes: f32 * e.patches / e.merged * (width + e.text), sources: []*node{rows, joined}})
	}
	return &g
}

// read makes patches of the pixels and adds where they are.
func (e encoder) read(g *graph, image *node) *node {
	full := f32 * e.patches * e.width
	step := func(n *node) *node { // another order of the same numbers
		return g.add(node{bytes: full, layout: layoutPatches, sources: []*node{g.viewOf(n, layoutNone)}})
	}
	var sum *node
	for range e.frames {
		columns := g.add(node{bytes: 2 * 3 * e.pixels * e.patches, sources: []*node{image}}) // F16
		product := g.add(node{bytes: full, sources: []*node{g.viewOf(columns, layoutNone)}})
		n := step(g.viewOf(product, layoutNone))
		if sum == nil {
			sum = n
			continue
		}
		sum = g.add(node{bytes: full, layout: layoutPatches, inplace: true, sources: []*node{sum, n}})
	}
	inner := step(g.viewOf(step(sum), layoutNone))
	inner = g.add(node{bytes: full, layout: layoutPatches, inplace: true, sources: []*node{inner}})
	places := g.add(node{bytes: full})
	places = step(g.viewOf(step(step(places)), layoutNone))
	return g.add(node{bytes: full, layout: layoutPatches, inplace: true, sources: []*node{inner, places}})
}

// centred adds a layer norm with weights and biases.
func (g *graph) centred(n *node, bytes int64) *node {
	n = g.add(node{bytes: bytes, layout: layoutPatches, sources: []*node{n}})
	n = g.add(node{bytes: bytes, layout: layoutPatches, inplace: true, sources: []*node{n}})
	return g.add(node{bytes: bytes, layout: layoutPatches, inplace: true, sources: []*node{n}})
}

// linear adds a product and its biases.
func (g *graph) linear(n *node, bytes int64, layout int) *node {
	n = g.add(node{bytes: bytes, layout: layout, sources: []*node{n}})
	return g.add(node{bytes: bytes, layout: layout, inplace: true, sources: []*node{n}})
}

// layer adds a layer of the encoder.
func (e encoder) layer(g *graph, inner, positions *node) *node {
	full := f32 * e.patches * e.width
	all := g.linear(g.centred(inner, full), 3*full, layoutAttention)
	query := g.add(node{bytes: full, sources: []*node{g.viewOf(all, layoutNone), positions}})
	key := g.add(node{bytes: full, sources: []*node{g.viewOf(all, layoutNone), positions}})
	value := g.viewOf(all, layoutNone)
	query = g.viewOf(query, layoutNone)
	half := func(n *node) *node { // in F16
		return g.add(node{bytes: full / 2, sources: []*node{g.viewOf(n, layoutNone)}})
	}
	key = half(key)
	value = half(value)
	seen := g.add(node{bytes: full, sources: []*node{query, key, value}})
	out := g.linear(g.viewOf(seen, layoutNone), full, layoutPatches)
	inner = g.add(node{bytes: full, layout: layoutPatches, inplace: true, sources: []*node{out, inner}})

	hidden := g.linear(g.centred(inner, full), f32*e.patches*e.feedForward, layoutHidden)
	hidden = g.add(node{bytes: hidden.bytes, layout: layoutHidden, inplace: true, sources: []*node{hidden}})
	out = g.linear(hidden, full, layoutPatches)
	return g.add(node{bytes: full, layout: layoutPatches, inplace: true, sources: []*node{inner, out}})
}

// project adds the two products that make rows of patches.
func (e encoder) project(g *graph, n *node) *node {
	full := f32 * e.patches * e.width
	n = g.linear(n, full, layoutRows)
	n = g.add(node{bytes: full, layout: layoutRows, inplace: true, sources: []*node{n}})
	return g.linear(n, f32*e.patches/e.merged*e.text, layoutNone)
}
