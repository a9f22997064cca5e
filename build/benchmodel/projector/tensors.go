package projector

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is a projector's form, as clip.projector_type spells it.
type Kind string

// The forms that Write knows. They differ in what they ask of the text model.
const (
	// MLP is LLaVA's: square images, an image part's positions count its rows.
	MLP Kind = "mlp"
	// Gemma3 lets all rows of an image see each other.
	Gemma3 Kind = "gemma3"
	// Qwen3VL takes images of any size and wants a text model with M-RoPE
	// (qwen3.Options.Vision) and features for its first layer.
	Qwen3VL Kind = "qwen3vl_merger"
)

func kinds() []string { return []string{string(MLP), string(Gemma3), string(Qwen3VL)} }

// KindNames lists the forms, for a person.
func KindNames() string { return strings.Join(kinds(), ", ") }

// Known reports whether Write knows the form.
func (k Kind) Known() bool { return slices.Contains(kinds(), string(k)) }

// The encoder's size. An image of MLP is (side/patch)² rows.
const (
	width  = 64
	heads  = 2
	layers = 2
	ff     = 160
	side   = 56
	patch  = 14
	merge  = 2 // patches to a row, in each direction; not of MLP
)

// tensor is one of the file, in F32.
type tensor struct {
	name  string
	dims  []int64 // fastest-running first
	value float32 // of every element; 0 is random
}

// tensors lists what a file of that kind holds, for a text model of that width.
func tensors(kind Kind, text int64) []tensor {
	const patches = (side / patch) * (side / patch)
	out := []tensor{
		{name: "v.patch_embd.weight", dims: []int64{patch, patch, 3, width}},
		{name: "v.patch_embd.bias", dims: []int64{width}},
		{name: "v.position_embd.weight", dims: []int64{width, patches}},
	}
	for il := range layers {
		out = append(out, layer(il, kind == Qwen3VL)...)
	}
	out = append(out, norm("v.post_ln", width)...)
	const merged = width * merge * merge
	switch kind {
	case MLP:
		out = append(out, linear("mm.0", width, ff)...)
		out = append(out, linear("mm.2", ff, text)...)
	case Gemma3:
		out = append(out,
			tensor{name: "mm.soft_emb_norm.weight", dims: []int64{width}, value: 1},
			tensor{name: "mm.input_projection.weight", dims: []int64{text, width}})
	case Qwen3VL:
		out = append(out, tensor{name: "v.patch_embd.weight.1", dims: []int64{patch, patch, 3, width}})
		out = append(out, linear("mm.0", merged, merged)...)
		out = append(out, linear("mm.2", merged, text)...)
		out = append(out, norm("v.deepstack.0.norm", merged)...)
		out = append(out, linear("v.deepstack.0.fc1", merged, merged)...)
		out = append(out, linear("v.deepstack.0.fc2", merged, text)...)
	}
	return out
}

func layer(il int, fused bool) []tensor {
	name := func(part string) string { return fmt.Sprintf("v.blk.%d.%s", il, part) }
	var out []tensor
	out = append(out, norm(name("ln1"), width)...)
	if fused {
		out = append(out, linear(name("attn_qkv"), width, 3*width)...)
	} else {
		for _, part := range []string{"attn_q", "attn_k", "attn_v"} {
			out = append(out, linear(name(part), width, width)...)
		}
	}
	out = append(out, linear(name("attn_out"), width, width)...)
	out = append(out, norm(name("ln2"), width)...)
	out = append(out, linear(name("ffn_up"), width, ff)...)
	return append(out, linear(name("ffn_down"), ff, width)...)
}

func linear(name string, in, out int64) []tensor {
	return []tensor{{name: name + ".weight", dims: []int64{in, out}}, {name: name + ".bias", dims: []int64{out}}}
}

func norm(name string, n int64) []tensor {
	return []tensor{{name: name + ".weight", dims: []int64{n}, value: 1}, {name: name + ".bias", dims: []int64{n}}}
}
