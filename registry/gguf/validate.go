package gguf

import (
	"fmt"
	"strings"
)

// Validate says whether f can be given to llama.cpp as a text model: nil, or an
// *Error with the first rule it breaks. Beyond what llama.cpp refuses by itself
// it covers the inputs on which llama.cpp would abort the process, while
// loading (layer and expert counts, RoPE scaling, duplicate tokens, split
// counts) or computing (norm types, head sizes). The tensors of qwen3, qwen3moe
// and qwen3vl are checked one by one; for other architectures llama.cpp's own
// loader compares names and shapes.
func Validate(f *File) error {
	for _, check := range []func(*File) *Error{
		checkArchitecture, checkHasData, checkSplit, checkMapped, checkModelParameters,
		checkVocabulary, checkTemplates, checkNorms, checkKnownTensors,
	} {
		if err := check(f); err != nil {
			return err
		}
	}
	return nil
}

// ValidateVocabulary says whether f can be loaded for its tokenizer alone. It
// accepts files without tensors.
func ValidateVocabulary(f *File) error {
	for _, check := range []func(*File) *Error{checkArchitecture, checkSplit, checkVocabulary, checkTemplates} {
		if err := check(f); err != nil {
			return err
		}
	}
	return nil
}

// optional reads a value that may be missing but must have the type T if it is
// there: llama.cpp reads with exact types.
func optional[T Scalar | Slice](f *File, key string) (v T, found bool, err *Error) {
	value, found := f.Metadata.Get(key)
	if !found {
		return v, false, nil
	}
	v, ok := As[T](value)
	if !ok {
		return v, true, refuse(ReasonKeyType, "%s is %s, must be %s", key, value.TypeName(), ValueOf(v).TypeName())
	}
	return v, true, nil
}

// required reads a value that must be there with the type T.
func required[T Scalar | Slice](f *File, key string) (T, *Error) {
	v, found, err := optional[T](f, key)
	if err == nil && !found {
		err = refuse(ReasonMissingKey, "metadata key %s is missing", key)
	}
	return v, err
}

func checkHasData(f *File) *Error {
	if len(f.Tensors) > 0 {
		return nil
	}
	if _, ok := f.Metadata.Get("tokenizer.ggml.tokens"); ok {
		return refuse(ReasonVocabOnly, "the file has a vocabulary but no weights").
			hint("It serves to test a tokenizer. Give the .gguf file of a whole model.")
	}
	return refuse(ReasonMissingTensor, "the file has no tensors")
}

// checkSplit refuses a part of a split model alone: what the other parts hold is
// not in this file, so it cannot be vouched for. Join has looked at all of them.
func checkSplit(f *File) *Error {
	s, err := readSplit(f)
	if err != nil || s.count == 1 || f.joined {
		return err
	}
	return refuse(ReasonSplit, "the file is part %d of a model split into %d files, which are not beside it under the names of parts", max(0, s.no)+1, s.count).
		hint("Put all parts into one folder, named NAME-00001-of-%05d.gguf and so on, and give the first.", s.count)
}

// mapAlignment is what ggml wants of the address of a buffer (TENSOR_ALIGNMENT).
const mapAlignment = 32

// checkMapped wants tensors where ggml can use them in the mapped file: a buffer
// may begin at any of them, and an address that is not aligned fails an assertion.
// Only files with a smaller general.alignment than the usual one can break this.
func checkMapped(f *File) *Error {
	if f.joined { // Join looks at each part: offsets in several files say nothing
		return nil
	}
	for i := range f.Tensors {
		if t := &f.Tensors[i]; (f.DataOffset+t.Offset)%mapAlignment != 0 {
			return refuse(ReasonAlignment, "tensor %q lies at byte %d of the file, must be at a multiple of %d", t.Name, f.DataOffset+t.Offset, mapAlignment).
				hint("Convert the model again without a general.alignment of its own, or download another GGUF of it.")
		}
	}
	return nil
}

// checkNorms wants norms and biases in F32: ggml's element-wise operations
// abort on an F32 activation with anything else.
func checkNorms(f *File) *Error {
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if t.Type != TypeF32 && isNormOrBias(t.Name) {
			return refuse(ReasonNormType, "tensor %q is %s; norms and biases must be F32", t.Name, t.Type)
		}
	}
	return nil
}

func isNormOrBias(name string) bool {
	stem, weight := strings.CutSuffix(name, ".weight")
	if !weight {
		return strings.HasSuffix(name, ".bias")
	}
	return strings.Contains(stem[strings.LastIndexByte(stem, '.')+1:], "norm")
}

// wantTensor is what a graph expects under a name.
type wantTensor struct {
	name string
	dims []int64
}

func (w wantTensor) check(f *File) *Error {
	t := f.Tensor(w.name)
	if t == nil {
		return refuse(ReasonMissingTensor, "tensor %q is missing", w.name)
	}
	if !sameShape(t.Dims, w.dims) {
		return refuse(ReasonTensorShape, "tensor %q has shape %v, the metadata asks for %v", w.name, t.Dims, w.dims)
	}
	if !t.Type.traits().weight {
		return refuse(ReasonTensorType, "tensor %q is %s, which cannot be computed with", w.name, t.Type)
	}
	return nil
}

// sameShape compares as ggml does, for which trailing ones do not matter.
func sameShape(a, b []int64) bool {
	at := func(s []int64, i int) int64 {
		if i < len(s) {
			return s[i]
		}
		return 1
	}
	for i := range MaxDims {
		if at(a, i) != at(b, i) {
			return false
		}
	}
	return true
}

// checkKnownTensors checks every tensor of the architectures whose graph this
// package knows (llama.cpp's src/models/qwen3.cpp, qwen3moe.cpp and qwen3vl.cpp).
func checkKnownTensors(f *File) *Error {
	arch := f.Architecture()
	if arch != "qwen3" && arch != "qwen3moe" && arch != "qwen3vl" {
		return nil
	}
	p, err := readParameters(f)
	if err != nil {
		return err
	}
	if err := p.checkQwen3(f); err != nil {
		return err
	}
	if arch == "qwen3vl" {
		if err := checkSections(f); err != nil {
			return err
		}
	}
	vocab, err := required[[]string](f, "tokenizer.ggml.tokens")
	if err != nil {
		return err
	}
	want := []wantTensor{
		{"token_embd.weight", []int64{p.embedding, int64(len(vocab))}},
		{"output_norm.weight", []int64{p.embedding}},
	}
	if f.Tensor("output.weight") != nil { // otherwise tied to the embedding
		want = append(want, wantTensor{"output.weight", []int64{p.embedding, int64(len(vocab))}})
	}
	for il := range p.layers {
		want = p.appendQwen3Layer(want, f, il, arch == "qwen3moe")
	}
	for _, w := range want {
		if err := w.check(f); err != nil {
			return err
		}
	}
	return nil
}

// checkQwen3 checks what the graph of these architectures asserts.
func (p *parameters) checkQwen3(f *File) *Error {
	bad := func(format string, args ...any) *Error { return refuse(ReasonBadValue, format, args...) }
	for il := range p.layers {
		if p.heads[il] <= 0 || p.kvHeads[il] <= 0 {
			return bad("layer %d has %d attention heads and %d KV heads, must be at least 1", il, p.heads[il], p.kvHeads[il])
		}
		if p.heads[il] != p.heads[0] || p.kvHeads[il] != p.kvHeads[0] || p.feedForward[il] != p.feedForward[0] {
			return bad("layer %d differs from the first in heads or feed-forward length, which %s does not allow", il, f.Architecture())
		}
	}
	if p.keyLength != p.valueLength || p.keyLength != p.ropeDims {
		return bad("key length %d, value length %d and RoPE dimensions %d must be equal in %s",
			p.keyLength, p.valueLength, p.ropeDims, f.Architecture())
	}
	if p.keyLength%2 != 0 {
		return bad("key length %d must be even: RoPE turns pairs", p.keyLength)
	}
	moe := f.Architecture() == "qwen3moe"
	switch {
	case moe && p.experts == 0:
		return bad("qwen3moe has no experts (%s)", f.archKey("expert_count"))
	case !moe && p.feedForward[0] == 0:
		return bad("%s is 0 or missing", f.archKey("feed_forward_length"))
	case moe && p.expertLength() == 0:
		return bad("neither %s nor %s gives the size of an expert", f.archKey("expert_feed_forward_length"), f.archKey("feed_forward_length"))
	}
	eps, err := required[float32](f, f.archKey("attention.layer_norm_rms_epsilon"))
	if err != nil {
		return err
	}
	if !(eps >= 0 && eps < 1) {
		return bad("%s is %v, must be from 0 to 1", f.archKey("attention.layer_norm_rms_epsilon"), eps)
	}
	return nil
}

// checkSections checks how the dimensions of a head are divided among the axes
// of a position.
func checkSections(f *File) *Error {
	key := f.archKey("rope.dimension_sections")
	sections, err := required[[]int32](f, key)
	if err != nil {
		return err
	}
	if len(sections) != 4 {
		return refuse(ReasonBadValue, "%s has %d numbers, must have 4", key, len(sections))
	}
	sum := int64(0)
	for _, s := range sections {
		if s < 0 || s > MaxWidth {
			return refuse(ReasonBadValue, "%s holds %d, must be from 0 to %d", key, s, MaxWidth)
		}
		sum += int64(s)
	}
	if sum == 0 {
		return refuse(ReasonBadValue, "%s are all 0", key)
	}
	return nil
}

// expertLength is the width of one expert, as qwen3moe.cpp derives it.
func (p *parameters) expertLength() int64 {
	if p.expertFeedForward > 0 {
		return p.expertFeedForward
	}
	return p.feedForward[0] / max(p.expertsUsed, 1)
}

func (p *parameters) appendQwen3Layer(want []wantTensor, f *File, il int64, moe bool) []wantTensor {
	blk := func(name string) string { return fmt.Sprintf("blk.%d.%s", il, name) }
	add := func(name string, dims ...int64) { want = append(want, wantTensor{blk(name), dims}) }
	q, kv := p.keyLength*p.heads[0], p.keyLength*p.kvHeads[0]

	add("attn_norm.weight", p.embedding)
	if f.Tensor(blk("attn_qkv.weight")) != nil {
		add("attn_qkv.weight", p.embedding, q+2*kv)
	} else {
		add("attn_q.weight", p.embedding, q)
		add("attn_k.weight", p.embedding, kv)
		add("attn_v.weight", p.embedding, kv)
	}
	add("attn_output.weight", q, p.embedding)
	add("attn_q_norm.weight", p.keyLength)
	add("attn_k_norm.weight", p.keyLength)
	add("ffn_norm.weight", p.embedding)
	for _, bias := range []struct {
		name string
		n    int64
	}{{"attn_qkv.bias", q + 2*kv}, {"attn_q.bias", q}, {"attn_k.bias", kv}, {"attn_v.bias", kv}} {
		if f.Tensor(blk(bias.name)) != nil {
			add(bias.name, bias.n)
		}
	}
	if moe {
		ff := p.expertLength()
		add("ffn_gate_inp.weight", p.embedding, p.experts)
		add("ffn_gate_exps.weight", p.embedding, ff, p.experts)
		add("ffn_down_exps.weight", ff, p.embedding, p.experts)
		add("ffn_up_exps.weight", p.embedding, ff, p.experts)
		return want
	}
	ff := p.feedForward[0]
	add("ffn_gate.weight", p.embedding, ff)
	add("ffn_down.weight", ff, p.embedding)
	add("ffn_up.weight", p.embedding, ff)
	return want
}
