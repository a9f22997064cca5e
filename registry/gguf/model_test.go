package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
)

// rawModel is a file that can be made wrong in one place: unlike Writer, its
// encoder checks nothing.
type rawModel struct {
	version uint32
	keys    []string
	values  []Value
	tensors []Tensor
	// offset, if set, changes the offset of tensor i.
	offset func(i int, right int64) int64
}

func (m *rawModel) set(key string, v Value) {
	if i := slices.Index(m.keys, key); i >= 0 {
		m.values[i] = v
		return
	}
	m.add(key, v)
}

func (m *rawModel) add(key string, v Value) {
	m.keys, m.values = append(m.keys, key), append(m.values, v)
}

func (m *rawModel) del(key string) {
	i := slices.Index(m.keys, key)
	m.keys, m.values = slices.Delete(m.keys, i, i+1), slices.Delete(m.values, i, i+1)
}

func (m *rawModel) tensor(name string) *Tensor {
	return &m.tensors[slices.IndexFunc(m.tensors, func(t Tensor) bool { return t.Name == name })]
}

func (m *rawModel) delTensor(name string) {
	m.tensors = slices.DeleteFunc(m.tensors, func(t Tensor) bool { return t.Name == name })
}

// encode lays the file out, with zeros for tensor data.
func (m *rawModel) encode() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32([]byte(magic), m.version)
	b = le.AppendUint64(b, uint64(len(m.tensors)))
	b = le.AppendUint64(b, uint64(len(m.keys)))
	for i, k := range m.keys {
		b = m.values[i].append(appendString(b, k))
	}
	var next int64
	for i, t := range m.tensors {
		t.Offset = next
		if m.offset != nil {
			t.Offset = m.offset(i, next)
		}
		size, _ := measure(t.Name, t.Type, t.Dims)
		next, _ = pad(next+min(size, 1<<20), DefaultAlignment)
		b = t.append(b)
	}
	if len(m.tensors) > 0 {
		start, _ := pad(int64(len(b)), DefaultAlignment)
		b = append(b, make([]byte, start+next-int64(len(b)))...)
	}
	return b
}

var tinyTokens = []string{"a", "b", "ab", "Ġ", "Ċ", "<|endoftext|>", "<|im_start|>", "<|im_end|>"}

// tinyModel is a sound qwen3 model of the smallest shape.
func tinyModel() *rawModel {
	m := &rawModel{version: 3}
	m.add("general.architecture", ValueOf("qwen3"))
	m.add("general.name", ValueOf("tiny"))
	m.add("general.file_type", ValueOf(uint32(1)))
	for _, kv := range []struct {
		key   string
		value uint32
	}{
		{"context_length", 512}, {"embedding_length", 32}, {"block_count", 2}, {"feed_forward_length", 64},
		{"attention.head_count", 4}, {"attention.head_count_kv", 2},
		{"attention.key_length", 16}, {"attention.value_length", 16},
	} {
		m.add("qwen3."+kv.key, ValueOf(kv.value))
	}
	m.add("qwen3.attention.layer_norm_rms_epsilon", ValueOf(float32(1e-6)))
	m.add("qwen3.rope.freq_base", ValueOf(float32(1e6)))
	m.add("tokenizer.ggml.model", ValueOf("gpt2"))
	m.add("tokenizer.ggml.pre", ValueOf("qwen2"))
	m.add("tokenizer.ggml.tokens", ValueOf(slices.Clone(tinyTokens)))
	m.add("tokenizer.ggml.token_type", ValueOf([]int32{1, 1, 1, 1, 1, 3, 3, 3}))
	m.add("tokenizer.ggml.merges", ValueOf([]string{"a b"}))
	m.add("tokenizer.ggml.bos_token_id", ValueOf(uint32(5)))
	m.add("tokenizer.ggml.eos_token_id", ValueOf(uint32(7)))
	m.add("tokenizer.ggml.add_bos_token", ValueOf(false))
	m.add("tokenizer.chat_template", ValueOf("{{ messages }}"))
	m.tensors = append(m.tensors,
		Tensor{Name: "token_embd.weight", Type: TypeF16, Dims: []int64{32, 8}},
		Tensor{Name: "output_norm.weight", Type: TypeF32, Dims: []int64{32}})
	for il := range 2 {
		m.tensors = append(m.tensors, tinyLayer(il)...)
	}
	return m
}

func tinyLayer(il int) []Tensor {
	blk := func(name string, typ TensorType, dims ...int64) Tensor {
		return Tensor{Name: fmt.Sprintf("blk.%d.%s.weight", il, name), Type: typ, Dims: dims}
	}
	return []Tensor{
		blk("attn_norm", TypeF32, 32), blk("attn_q", TypeF16, 32, 64), blk("attn_k", TypeF16, 32, 32),
		blk("attn_v", TypeF16, 32, 32), blk("attn_output", TypeF16, 64, 32),
		blk("attn_q_norm", TypeF32, 16), blk("attn_k_norm", TypeF32, 16), blk("ffn_norm", TypeF32, 32),
		blk("ffn_gate", TypeF16, 32, 64), blk("ffn_up", TypeF16, 32, 64), blk("ffn_down", TypeF16, 64, 32),
	}
}

// tinyMoE turns the tiny model into a qwen3moe with 4 experts, 2 of them used.
func tinyMoE() *rawModel {
	m := tinyModel()
	for i, k := range m.keys {
		if rest, ok := bytes.CutPrefix([]byte(k), []byte("qwen3.")); ok {
			m.keys[i] = "qwen3moe." + string(rest)
		}
	}
	m.set("general.architecture", ValueOf("qwen3moe"))
	m.set("qwen3moe.expert_count", ValueOf(uint32(4)))
	m.set("qwen3moe.expert_used_count", ValueOf(uint32(2)))
	m.set("qwen3moe.expert_feed_forward_length", ValueOf(uint32(32)))
	for il := range 2 {
		blk := fmt.Sprintf("blk.%d.", il)
		for _, name := range []string{"gate", "up", "down"} {
			t := m.tensor(blk + "ffn_" + name + ".weight")
			*t = Tensor{Name: blk + "ffn_" + name + "_exps.weight", Type: TypeF16, Dims: []int64{32, 32, 4}}
		}
		m.tensors = append(m.tensors, Tensor{Name: blk + "ffn_gate_inp.weight", Type: TypeF32, Dims: []int64{32, 4}})
	}
	return m
}

func parse(b []byte) (*File, error) { return Read(bytes.NewReader(b), int64(len(b))) }

func mustParse(t *testing.T, b []byte) *File {
	t.Helper()
	f, err := parse(b)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return f
}
