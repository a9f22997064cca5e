//go:build cgo

package native_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// shape is the size of a model with weights of zero: it says nothing, and takes
// the memory and the time of a real one.
type shape struct {
	name                                                       string
	layers, embedding, feedForward, heads, kvHeads, headLength int64
	experts, used                                              int64 // 0: dense; feedForward is that of one expert
	vocabulary                                                 int
	tied                                                       bool
	vision                                                     bool // it takes images, as Qwen3-VL
}

func (s shape) architecture() string {
	switch {
	case s.experts > 0:
		return "qwen3moe"
	case s.vision:
		return "qwen3vl"
	}
	return "qwen3"
}

// sizedTensor is a tensor that is to be written.
type sizedTensor struct {
	name string
	typ  gguf.TensorType
	dims []int64
}

// tensors lists the tensors with the types that llama.cpp's quantisation to
// Q4_K_M gives them (use_more_bits in llama-quant.cpp).
func (s shape) tensors() []sizedTensor {
	var list []sizedTensor
	add := func(typ gguf.TensorType, name string, dims ...int64) {
		list = append(list, sizedTensor{name, typ, dims})
	}
	const norm, q4, q6 = gguf.TypeF32, gguf.TypeQ4_K, gguf.TypeQ6_K
	e, q, kv, f := s.embedding, s.heads*s.headLength, s.kvHeads*s.headLength, s.feedForward
	if s.tied {
		add(q6, "token_embd.weight", e, int64(s.vocabulary))
	} else {
		add(q4, "token_embd.weight", e, int64(s.vocabulary))
	}
	for il := range s.layers {
		more, blk := q4, fmt.Sprintf("blk.%d.", il)
		if il < s.layers/8 || il >= 7*s.layers/8 || (il-s.layers/8)%3 == 2 {
			more = q6
		}
		add(norm, blk+"attn_norm.weight", e)
		add(q4, blk+"attn_q.weight", e, q)
		add(q4, blk+"attn_k.weight", e, kv)
		add(more, blk+"attn_v.weight", e, kv)
		add(norm, blk+"attn_q_norm.weight", s.headLength)
		add(norm, blk+"attn_k_norm.weight", s.headLength)
		add(q4, blk+"attn_output.weight", q, e)
		add(norm, blk+"ffn_norm.weight", e)
		if s.experts > 0 {
			add(norm, blk+"ffn_gate_inp.weight", e, s.experts)
			add(q4, blk+"ffn_gate_exps.weight", e, f, s.experts)
			add(q4, blk+"ffn_up_exps.weight", e, f, s.experts)
			add(more, blk+"ffn_down_exps.weight", f, e, s.experts)
			continue
		}
		add(q4, blk+"ffn_gate.weight", e, f)
		add(q4, blk+"ffn_up.weight", e, f)
		add(more, blk+"ffn_down.weight", f, e)
	}
	add(norm, "output_norm.weight", e)
	if !s.tied {
		add(q6, "output.weight", e, int64(s.vocabulary))
	}
	return list
}

// metadata sets what llama.cpp needs to know of the shape. Token texts are six
// letters, and each but the first few is the merge of two.
func (s shape) metadata(tb testing.TB, w *gguf.Writer) {
	tb.Helper()
	arch := s.architecture()
	tokens, types := make([]string, s.vocabulary), make([]int32, s.vocabulary)
	var merges []string
	for i := range tokens {
		tokens[i], types[i] = fmt.Sprintf("%06x", i), gguf.TokenNormal
		if i > 256 {
			merges = append(merges, fmt.Sprintf("%04x %02x", i>>8, i&255))
		}
	}
	tokens[0], types[0] = "<|endoftext|>", gguf.TokenControl
	type pair struct {
		key   string
		value gguf.Value
	}
	number := func(key string, n int64) pair { return pair{arch + "." + key, gguf.ValueOf(uint32(n))} }
	pairs := []pair{
		{"general.architecture", gguf.ValueOf(arch)}, {"general.file_type", gguf.ValueOf(uint32(15))},
		number("block_count", s.layers), number("context_length", 40960), number("embedding_length", s.embedding),
		number("feed_forward_length", s.feedForward), number("attention.head_count", s.heads),
		number("attention.head_count_kv", s.kvHeads), number("attention.key_length", s.headLength),
		number("attention.value_length", s.headLength),
		{arch + ".attention.layer_norm_rms_epsilon", gguf.ValueOf(float32(1e-6))}, {arch + ".rope.freq_base", gguf.ValueOf(float32(1e6))},
		{"tokenizer.ggml.model", gguf.ValueOf("gpt2")}, {"tokenizer.ggml.pre", gguf.ValueOf("qwen2")},
		{"tokenizer.ggml.tokens", gguf.ValueOf(tokens)}, {"tokenizer.ggml.token_type", gguf.ValueOf(types)},
		{"tokenizer.ggml.merges", gguf.ValueOf(merges)}, {"tokenizer.ggml.eos_token_id", gguf.ValueOf(uint32(0))},
		{"tokenizer.ggml.bos_token_id", gguf.ValueOf(uint32(0))}, {"tokenizer.ggml.add_bos_token", gguf.ValueOf(false)},
	}
	if s.experts > 0 {
		pairs = append(pairs, number("expert_count", s.experts), number("expert_used_count", s.used), number("expert_feed_forward_length", s.feedForward))
	}
	if s.vision {
		part := int32(s.headLength / 2 * 5 / 16)
		pairs = append(pairs, number("n_deepstack_layers", 1),
			pair{arch + ".rope.dimension_sections", gguf.ValueOf([]int32{int32(s.headLength/2) - 2*part, part, part, 0})})
	}
	for _, p := range pairs {
		if err := w.Set(p.key, p.value); err != nil {
			tb.Fatal(err)
		}
	}
}

// write writes the model to a folder of the test.
func (s shape) write(tb testing.TB) (path string) {
	tb.Helper()
	var w gguf.Writer
	s.metadata(tb, &w)
	return writeZeros(tb, &w, s.name+".gguf", s.tensors())
}

// writeZeros writes a file with tensors of zeros.
func writeZeros(tb testing.TB, w *gguf.Writer, name string, tensors []sizedTensor) (path string) {
	tb.Helper()
	for _, t := range tensors {
		n := bytesOf(tb, t)
		zeros := func(out io.Writer) error {
			_, err := io.CopyN(out, zeroReader{}, n)
			return err
		}
		if err := w.Add(t.name, t.typ, t.dims, zeros); err != nil {
			tb.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(tb.TempDir(), name))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if _, err := w.WriteTo(f); err != nil {
		tb.Fatal(err)
	}
	return f.Name()
}

func bytesOf(tb testing.TB, t sizedTensor) int64 {
	tb.Helper()
	n := int64(1)
	for _, d := range t.dims {
		n *= d
	}
	switch t.typ {
	case gguf.TypeF32:
		return 4 * n
	case gguf.TypeF16:
		return 2 * n
	case gguf.TypeQ4_K:
		return n / 256 * 144
	case gguf.TypeQ6_K:
		return n / 256 * 210
	}
	tb.Fatalf("tensor %s: no size of type %s", t.name, t.typ)
	return 0
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// encoderShape is the size of a projector with weights of zero, in the form of
// Qwen3-VL.
type encoderShape struct {
	layers, width, feedForward, heads, patch int64
	side                                     int64 // pixels of the images that it was made for
	text                                     int64 // width of the text model
}

// write writes the projector to a folder of the test.
func (e encoderShape) write(tb testing.TB) (path string) {
	tb.Helper()
	var w gguf.Writer
	set := func(key string, v gguf.Value) {
		tb.Helper()
		if err := w.Set(key, v); err != nil {
			tb.Fatal(err)
		}
	}
	third := []float32{0.5, 0.5, 0.5}
	set("general.architecture", gguf.ValueOf("clip"))
	set("general.type", gguf.ValueOf("mmproj"))
	set("clip.has_vision_encoder", gguf.ValueOf(true))
	set("clip.projector_type", gguf.ValueOf("qwen3vl_merger"))
	set("clip.use_gelu", gguf.ValueOf(true))
	set("clip.vision.attention.layer_norm_epsilon", gguf.ValueOf(float32(1e-6)))
	set("clip.vision.image_mean", gguf.ValueOf(third))
	set("clip.vision.image_std", gguf.ValueOf(third))
	for _, n := range []struct {
		key   string
		value int64
	}{
		{"image_size", e.side}, {"patch_size", e.patch}, {"embedding_length", e.width}, {"feed_forward_length", e.feedForward},
		{"block_count", e.layers}, {"projection_dim", e.text}, {"attention.head_count", e.heads}, {"spatial_merge_size", 2},
	} {
		set("clip.vision."+n.key, gguf.ValueOf(uint32(n.value)))
	}
	return writeZeros(tb, &w, "mmproj.gguf", e.tensors())
}

func (e encoderShape) tensors() []sizedTensor {
	var list []sizedTensor
	add := func(typ gguf.TensorType, name string, dims ...int64) {
		list = append(list, sizedTensor{name, typ, dims})
	}
	both := func(name string, dims ...int64) { // a matrix, or a norm, with its biases
		typ := gguf.TypeF16
		if len(dims) == 1 {
			typ = gguf.TypeF32
		}
		add(typ, name+".weight", dims...)
		add(gguf.TypeF32, name+".bias", dims[len(dims)-1])
	}
	merged, patches := 4*e.width, (e.side/e.patch)*(e.side/e.patch)
	add(gguf.TypeF16, "v.patch_embd.weight", e.patch, e.patch, 3, e.width)
	add(gguf.TypeF16, "v.patch_embd.weight.1", e.patch, e.patch, 3, e.width)
	add(gguf.TypeF32, "v.patch_embd.bias", e.width)
	add(gguf.TypeF32, "v.position_embd.weight", e.width, patches)
	for il := range e.layers {
		blk := fmt.Sprintf("v.blk.%d.", il)
		both(blk+"ln1", e.width)
		both(blk+"attn_qkv", e.width, 3*e.width)
		both(blk+"attn_out", e.width, e.width)
		both(blk+"ln2", e.width)
		both(blk+"ffn_up", e.width, e.feedForward)
		both(blk+"ffn_down", e.feedForward, e.width)
	}
	both("v.post_ln", e.width)
	both("mm.0", merged, merged)
	both("mm.2", merged, e.text)
	both("v.deepstack.0.norm", merged)
	both("v.deepstack.0.fc1", merged, merged)
	both("v.deepstack.0.fc2", merged, e.text)
	return list
}
