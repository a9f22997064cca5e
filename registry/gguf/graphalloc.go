package gguf

import (
	"cmp"
	"slices"
)

// graphAlignment is the multiple at which llama.cpp places a tensor in a buffer.
const graphAlignment = 64

// node is a tensor of a computation, as far as placing it in memory goes.
type node struct {
	bytes    int64
	layout   int   // nodes of equal layout can take each other's place; 0: none can
	inplace  bool  // may be written over a source
	external bool  // weights and cache, which lie elsewhere
	view     *node // the tensor that it is a part of, never a view itself
	sources  []*node

	children, views int
	placed          bool
	offset          int64
}

// graph is a computation: its nodes in the order in which they are computed,
// behind the inputs, which are placed first.
type graph struct {
	inputs, nodes []*node
	arena         arena
	used          []hole // by each tensor that was placed
}

// add appends a node.
func (g *graph) add(n node) *node {
	g.nodes = append(g.nodes, &n)
	return &n
}

// size is how many bytes the buffer of the graph takes. It repeats
// ggml_gallocr_alloc_graph_impl (ggml-alloc.c): a node is placed when its turn
// comes, over a source that nobody else needs where the operation allows it, and
// its place is free again when the last node that reads it has been placed.
func (g *graph) size() int64 {
	for _, n := range g.inputs {
		g.place(n)
	}
	for _, n := range g.nodes {
		if n.view != nil {
			n.view.views++
		}
		for _, s := range n.sources {
			s.children++
		}
	}
	for _, n := range g.nodes {
		g.place(n)
		for _, s := range n.sources {
			g.release(s)
		}
	}
	return g.arena.most
}

// touched is how many bytes of the buffer are ever written if the tensors, placed
// as they are, all have only that part of their size: llama.cpp keeps the places
// of a larger computation for a smaller one of the same form. size comes first.
func (g *graph) touched(part, whole int64) int64 {
	slices.SortFunc(g.used, func(a, b hole) int { return cmp.Compare(a.offset, b.offset) })
	var sum, end int64
	for _, u := range g.used {
		upTo := u.offset + u.bytes/whole*part
		sum += max(upTo-max(u.offset, end), 0)
		end = max(end, upTo)
	}
	return sum
}

// place finds room for a node that is no view and has none yet.
func (g *graph) place(n *node) {
	if n.placed || n.view != nil || n.external {
		return
	}
	n.placed = true
	for _, s := range n.sources {
		// A part of another tensor is none of the allocator's own, and stays.
		if n.inplace && s.placed && s.view == nil && s.children == 1 && s.views == 0 && n.layout == s.layout {
			n.offset, s.placed = s.offset, false
			return
		}
	}
	n.offset = g.arena.take(aligned(n.bytes))
	g.used = append(g.used, hole{n.offset, n.bytes})
}

// release says that one more node has read s.
func (g *graph) release(s *node) {
	if s.children--; s.children > 0 || s.views > 0 {
		return
	}
	owner := s
	if s.view != nil {
		owner = s.view
		if owner.views--; owner.views > 0 || owner.children > 0 {
			return
		}
	}
	if owner.placed && !owner.external {
		g.arena.free(owner.offset, aligned(owner.bytes))
		owner.placed = false
	}
}

func aligned(n int64) int64 {
	return (n + graphAlignment - 1) / graphAlignment * graphAlignment
}

// arena is a buffer that grows as needed (ggml_dyn_tallocr).
type arena struct {
	holes []hole // by offset; behind the last of them and what is taken all is free
	end   int64  // where that begins
	most  int64
}

type hole struct{ offset, bytes int64 }

// take finds the smallest hole that is large enough, the last of equals, or room
// at the end.
func (a *arena) take(n int64) int64 {
	best := -1
	for i, h := range a.holes {
		if h.bytes >= n && (best < 0 || h.bytes <= a.holes[best].bytes) {
			best = i
		}
	}
	if best < 0 {
		at := a.end
		a.end += n
		a.most = max(a.most, a.end)
		return at
	}
	h := &a.holes[best]
	at := h.offset
	h.offset += n
	h.bytes -= n
	if h.bytes == 0 {
		a.holes = append(a.holes[:best], a.holes[best+1:]...)
	}
	return at
}

// free gives n bytes back, joined with the holes beside them.
func (a *arena) free(offset, n int64) {
	i := 0
	for i < len(a.holes) && a.holes[i].offset < offset {
		i++
	}
	if i > 0 && a.holes[i-1].offset+a.holes[i-1].bytes == offset {
		i--
		offset, n = a.holes[i].offset, a.holes[i].bytes+n
		a.holes = append(a.holes[:i], a.holes[i+1:]...)
	}
	if i < len(a.holes) && offset+n == a.holes[i].offset {
		n += a.holes[i].bytes
		a.holes = append(a.holes[:i], a.holes[i+1:]...)
	}
	if offset+n == a.end {
		a.end = offset
		return
	}
	a.holes = append(a.holes[:i], append([]hole{{offset, n}}, a.holes[i:]...)...)
}
