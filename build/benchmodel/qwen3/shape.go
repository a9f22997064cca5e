package qwen3

import (
	"fmt"
	"strings"
)

// Shape is the size of a dense Qwen3 model.
type Shape struct {
	Name        string // as the -shape flag has it
	Layers      int64
	Embedding   int64
	FeedForward int64
	Heads       int64
	KVHeads     int64
	HeadLength  int64
	Context     int64 // trained length
	Tied        bool  // the output matrix is the token embedding
}

// shapes has the published config.json of each size. "tiny" is the smallest
// that quantises to K-quants without falling back.
var shapes = [...]Shape{
	{"tiny", 2, 256, 512, 4, 2, 64, 512, true},
	{"0.6b", 28, 1024, 3072, 16, 8, 128, 40960, true},
	{"1.7b", 28, 2048, 6144, 16, 8, 128, 40960, true},
	{"4b", 36, 2560, 9728, 32, 8, 128, 40960, true},
	{"8b", 36, 4096, 12288, 32, 8, 128, 40960, false},
	{"14b", 40, 5120, 17408, 40, 8, 128, 40960, false},
	{"32b", 64, 5120, 25600, 64, 8, 128, 40960, false},
}

// ShapeNames lists the names that ShapeByName knows, smallest first.
func ShapeNames() []string {
	names := make([]string, len(shapes))
	for i, s := range shapes {
		names[i] = s.Name
	}
	return names
}

// ShapeByName returns a shape by its name, in any letter case.
func ShapeByName(name string) (Shape, error) {
	for _, s := range shapes {
		if strings.EqualFold(s.Name, name) {
			return s, nil
		}
	}
	return Shape{}, fmt.Errorf("unknown shape %q: use one of %s", name, strings.Join(ShapeNames(), ", "))
}

// Parameters returns the number of weights with a vocabulary of that size.
func (s Shape) Parameters(vocabulary int) int64 {
	var n int64
	for _, t := range s.tensors(int64(vocabulary)) {
		size := int64(1)
		for _, d := range t.dims {
			size *= d
		}
		n += size
	}
	return n
}

type tensor struct {
	name string
	dims []int64 // fastest-running first
	norm float32 // if not 0: F32 and all of this value; the rest is F16 and random
}

// sharpness is the weight of the query and key norms. With 1, as for the other
// norms, random attention is nearly uniform: every position sees the same
// average and greedy output soon repeats one token, whatever was asked, which
// would hide a wrong mask or position. With 2 the scores deviate by 4, and
// attention picks out a few tokens.
const sharpness = 2

// tensors lists the model's tensors in the order in which converted files
// have them.
func (s Shape) tensors(vocabulary int64) []tensor {
	q, kv := s.Heads*s.HeadLength, s.KVHeads*s.HeadLength
	out := []tensor{{name: "token_embd.weight", dims: []int64{s.Embedding, vocabulary}}}
	for il := range s.Layers {
		matrix := func(name string, in, out int64) tensor {
			return tensor{name: fmt.Sprintf("blk.%d.%s.weight", il, name), dims: []int64{in, out}}
		}
		norm := func(name string, n int64, value float32) tensor {
			return tensor{name: fmt.Sprintf("blk.%d.%s.weight", il, name), dims: []int64{n}, norm: value}
		}
		out = append(out,
			norm("attn_norm", s.Embedding, 1),
			matrix("attn_q", s.Embedding, q), matrix("attn_k", s.Embedding, kv), matrix("attn_v", s.Embedding, kv),
			norm("attn_q_norm", s.HeadLength, sharpness), norm("attn_k_norm", s.HeadLength, sharpness),
			matrix("attn_output", q, s.Embedding),
			norm("ffn_norm", s.Embedding, 1),
			matrix("ffn_gate", s.Embedding, s.FeedForward), matrix("ffn_up", s.Embedding, s.FeedForward),
			matrix("ffn_down", s.FeedForward, s.Embedding))
	}
	out = append(out, tensor{name: "output_norm.weight", dims: []int64{s.Embedding}, norm: 1})
	if !s.Tied {
		out = append(out, tensor{name: "output.weight", dims: []int64{s.Embedding, vocabulary}})
	}
	return out
}
