package gguf

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestValidateAccepts(t *testing.T) {
	perLayer := func(m *rawModel) {
		m.set("qwen3.attention.head_count", ValueOf([]int32{4, 4}))
		m.set("qwen3.attention.head_count_kv", ValueOf([]uint32{2, 2}))
	}
	untied := func(m *rawModel) {
		m.tensors = append(m.tensors, Tensor{Name: "output.weight", Type: TypeF16, Dims: []int64{32, 8}})
	}
	fused := func(m *rawModel) {
		*m.tensor("blk.0.attn_q.weight") = Tensor{Name: "blk.0.attn_qkv.weight", Type: TypeF16, Dims: []int64{32, 128}}
		m.delTensor("blk.0.attn_k.weight")
		m.delTensor("blk.0.attn_v.weight")
	}
	for name, change := range map[string]func(*rawModel){
		"as it is": func(*rawModel) {}, "version 2": func(m *rawModel) { m.version = 2 },
		"counts per layer": perLayer, "untied": untied, "fused attention": fused,
		"quantised":        func(m *rawModel) { m.tensor("token_embd.weight").Type = TypeQ8_0 },
		"no token types":   func(m *rawModel) { m.del("tokenizer.ggml.token_type") },
		"empty token":      func(m *rawModel) { setToken(m, 0, "") },
		"default KV heads": func(m *rawModel) { m.del("qwen3.rope.freq_base") },
		"one file of one":  func(m *rawModel) { m.add("split.count", ValueOf(uint16(1))) },
	} {
		m := tinyModel()
		change(m)
		if err := Validate(mustParse(t, m.encode())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Validate(mustParse(t, tinyMoE().encode())); err != nil {
		t.Errorf("qwen3moe: %v", err)
	}
}

func setToken(m *rawModel, id int, text string) {
	tokens := slices.Clone(tinyTokens)
	tokens[id] = text
	m.set("tokenizer.ggml.tokens", ValueOf(tokens))
}

type refusal struct {
	name   string
	change func(m *rawModel)
	want   Reason
}

func u32(key string, v uint32) func(*rawModel) {
	return func(m *rawModel) { m.set(key, ValueOf(v)) }
}

func missing(key string) func(*rawModel) { return func(m *rawModel) { m.del(key) } }

func set[T Scalar | Slice](key string, v T) func(*rawModel) {
	return func(m *rawModel) { m.set(key, ValueOf(v)) }
}

func runRefusals(t *testing.T, base func() *rawModel, tests []refusal) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := base()
			tt.change(m)
			wantRefusal(t, Validate(mustParse(t, m.encode())), tt.want)
		})
	}
}

func TestValidateRefusesParameters(t *testing.T) {
	runRefusals(t, tinyModel, []refusal{
		{"no architecture", missing("general.architecture"), ReasonMissingKey},
		{"architecture as a number", u32("general.architecture", 3), ReasonKeyType},
		{"unknown architecture", set("general.architecture", "qwen99"), ReasonArchitecture},
		{"projector", set("general.architecture", "clip"), ReasonNotTextModel},
		{"embedding model", set("general.architecture", "bert"), ReasonNotTextModel},
		{"LoRA adapter", set("general.type", "adapter"), ReasonNotTextModel},
		{"no tensors at all", func(m *rawModel) { m.tensors = nil }, ReasonVocabOnly},
		{"nothing at all", func(m *rawModel) { m.tensors = nil; m.del("tokenizer.ggml.tokens") }, ReasonMissingTensor},
		{"split count as u32", u32("split.count", 1), ReasonKeyType},
		{"split number as i64", set("split.no", int64(0)), ReasonKeyType},
		{"split tensor count as u16", set("split.tensors.count", uint16(1)), ReasonKeyType},
		{"part of a split model", set("split.count", uint16(3)), ReasonSplit},
		{"no layers", u32("qwen3.block_count", 0), ReasonBadValue},
		{"513 layers", u32("qwen3.block_count", 513), ReasonBadValue},
		{"block count missing", missing("qwen3.block_count"), ReasonMissingKey},
		{"block count as i32", set("qwen3.block_count", int32(2)), ReasonKeyType},
		{"no embedding", u32("qwen3.embedding_length", 0), ReasonBadValue},
		{"absurd embedding", u32("qwen3.embedding_length", math.MaxUint32), ReasonBadValue},
		{"no context", u32("qwen3.context_length", 0), ReasonBadValue},
		{"absurd context", u32("qwen3.context_length", math.MaxUint32), ReasonBadValue},
		{"more nextn layers than layers", u32("qwen3.nextn_predict_layers", 3), ReasonBadValue},
		{"1025 experts", u32("qwen3.expert_count", 1025), ReasonBadValue},
		{"more experts used than there are", func(m *rawModel) {
			u32("qwen3.expert_count", 2)(m)
			u32("qwen3.expert_used_count", 3)(m)
		}, ReasonBadValue},
		{"experts used of none", u32("qwen3.expert_used_count", 1), ReasonBadValue},
		{"experts but none used", u32("qwen3.expert_count", 4), ReasonBadValue},
		{"groups without experts", u32("qwen3.expert_group_count", 2), ReasonBadValue},
		{"no heads", u32("qwen3.attention.head_count", 0), ReasonBadValue},
		{"heads as f32 array", set("qwen3.attention.head_count", []float32{4, 4}), ReasonKeyType},
		{"heads for too few layers", set("qwen3.attention.head_count", []uint32{4}), ReasonBadValue},
		{"negative heads", set("qwen3.attention.head_count", []int32{4, -4}), ReasonBadValue},
		{"heads differ between layers", set("qwen3.attention.head_count", []int32{4, 2}), ReasonBadValue},
		{"heads do not divide", u32("qwen3.attention.head_count", 3), ReasonBadValue},
		{"attention absurdly wide", func(m *rawModel) {
			u32("qwen3.attention.head_count", 1<<20)(m)
			u32("qwen3.attention.key_length", 1<<20)(m)
		}, ReasonBadValue},
		{"no KV heads", u32("qwen3.attention.head_count_kv", 0), ReasonBadValue},
		{"key and value length differ", u32("qwen3.attention.value_length", 8), ReasonBadValue},
		{"key length and RoPE dimensions differ", u32("qwen3.rope.dimension_count", 8), ReasonBadValue},
		{"RoPE beyond the head", u32("qwen3.rope.dimension_count", 32), ReasonBadValue},
		{"unknown RoPE scaling", set("qwen3.rope.scaling.type", "cubic"), ReasonBadValue},
		{"RoPE scaling as a number", u32("qwen3.rope.scaling.type", 1), ReasonKeyType},
		{"RoPE base of 0", set("qwen3.rope.freq_base", float32(0)), ReasonBadValue},
		{"RoPE base not a number", set("qwen3.rope.freq_base", float32(math.NaN())), ReasonBadValue},
		{"RoPE factor infinite", set("qwen3.rope.scaling.factor", float32(math.Inf(1))), ReasonBadValue},
		{"no epsilon", missing("qwen3.attention.layer_norm_rms_epsilon"), ReasonMissingKey},
		{"negative epsilon", set("qwen3.attention.layer_norm_rms_epsilon", float32(-1)), ReasonBadValue},
		{"epsilon not a number", set("qwen3.attention.layer_norm_rms_epsilon", float32(math.NaN())), ReasonBadValue},
		{"no feed-forward length", missing("qwen3.feed_forward_length"), ReasonBadValue},
	})
	runRefusals(t, tinyMoE, []refusal{
		{"no experts", func(m *rawModel) { m.del("qwen3moe.expert_count"); m.del("qwen3moe.expert_used_count") }, ReasonBadValue},
		{"as many groups as experts", u32("qwen3moe.expert_group_count", 4), ReasonBadValue},
		{"groups of unequal size", u32("qwen3moe.expert_group_count", 3), ReasonBadValue},
		{"no group used", u32("qwen3moe.expert_group_count", 2), ReasonBadValue},
		{"expert tensor missing", func(m *rawModel) { m.delTensor("blk.1.ffn_gate_inp.weight") }, ReasonMissingTensor},
		{"expert tensor of another size", func(m *rawModel) { m.tensor("blk.0.ffn_up_exps.weight").Dims[2] = 3 }, ReasonTensorShape},
	})
}

func TestValidateRefusesVocabulary(t *testing.T) {
	runRefusals(t, tinyModel, []refusal{
		{"no tokenizer", missing("tokenizer.ggml.model"), ReasonMissingKey},
		{"unknown tokenizer", set("tokenizer.ggml.model", "klingon"), ReasonVocabulary},
		{"model without vocabulary", set("tokenizer.ggml.model", "none"), ReasonVocabulary},
		{"no tokens", missing("tokenizer.ggml.tokens"), ReasonMissingKey},
		{"empty vocabulary", set("tokenizer.ggml.tokens", []string{}), ReasonVocabulary},
		{"tokens as numbers", set("tokenizer.ggml.tokens", []int32{1}), ReasonKeyType},
		{"huge vocabulary", set("tokenizer.ggml.tokens", make([]string, MaxVocabulary+1)), ReasonVocabulary},
		{"duplicate token", func(m *rawModel) { setToken(m, 1, "a") }, ReasonDuplicateToken},
		{"empty token meets its stand-in", func(m *rawModel) {
			tokens := slices.Clone(tinyTokens)
			tokens[0], tokens[1] = "", "[EMPTY_0]"
			m.set("tokenizer.ggml.tokens", ValueOf(tokens))
		}, ReasonDuplicateToken},
		{"fewer types than tokens", set("tokenizer.ggml.token_type", []int32{1, 1}), ReasonVocabulary},
		{"more types than tokens", set("tokenizer.ggml.token_type", make([]int32, 9)), ReasonVocabulary},
		{"types as u32", set("tokenizer.ggml.token_type", make([]uint32, 8)), ReasonKeyType},
		{"byte token of another form", set("tokenizer.ggml.token_type", []int32{6, 1, 1, 1, 1, 3, 3, 3}), ReasonVocabulary},
		{"fewer scores than tokens", set("tokenizer.ggml.scores", []float32{1}), ReasonVocabulary},
		{"scores as strings", set("tokenizer.ggml.scores", []string{"1"}), ReasonKeyType},
		{"no merges", missing("tokenizer.ggml.merges"), ReasonMissingKey},
		{"merges as one string", set("tokenizer.ggml.merges", "a b"), ReasonKeyType},
		{"merge of one token", set("tokenizer.ggml.merges", []string{"ab"}), ReasonVocabulary},
		{"special id beyond the vocabulary", u32("tokenizer.ggml.eos_token_id", 8), ReasonSpecialToken},
		{"special id as i32", set("tokenizer.ggml.eos_token_id", int32(7)), ReasonKeyType},
		{"adds an unknown BOS", func(m *rawModel) {
			m.set("tokenizer.ggml.add_bos_token", ValueOf(true))
			m.del("tokenizer.ggml.bos_token_id")
		}, ReasonSpecialToken},
		{"large template", set("tokenizer.chat_template", strings.Repeat("x", MaxTemplateBytes+1)), ReasonTemplateTooLarge},
		{"large named template", set("tokenizer.chat_template.tool_use", strings.Repeat("x", MaxTemplateBytes+1)), ReasonTemplateTooLarge},
		{"template not UTF-8", set("tokenizer.chat_template", "\xff"), ReasonTemplateMalformed},
		{"template as a list", set("tokenizer.chat_template", []string{"x"}), ReasonKeyType},
	})
}

func TestValidateRefusesTensors(t *testing.T) {
	typ := func(name string, typ TensorType) func(*rawModel) {
		return func(m *rawModel) { m.tensor(name).Type = typ }
	}
	tests := []refusal{
		{"norm in F16", typ("blk.0.attn_norm.weight", TypeF16), ReasonNormType},
		{"quantised norm", typ("output_norm.weight", TypeQ8_0), ReasonNormType},
		{"quantised q norm", typ("blk.1.attn_q_norm.weight", TypeBF16), ReasonNormType},
		{"bias in F16", func(m *rawModel) {
			m.tensors = append(m.tensors, Tensor{Name: "blk.0.attn_q.bias", Type: TypeF16, Dims: []int64{64}})
		}, ReasonNormType},
		{"bias of another size", func(m *rawModel) {
			m.tensors = append(m.tensors, Tensor{Name: "blk.0.attn_k.bias", Type: TypeF32, Dims: []int64{64}})
		}, ReasonTensorShape},
		{"matrix of integers", typ("blk.0.attn_q.weight", 26), ReasonTensorType},
		{"matrix of Q8_1", typ("blk.0.attn_q.weight", 9), ReasonTensorType},
		{"matrix transposed", func(m *rawModel) { slices.Reverse(m.tensor("blk.1.attn_q.weight").Dims) }, ReasonTensorShape},
		{"embedding for fewer tokens", func(m *rawModel) { m.tensor("token_embd.weight").Dims[1] = 7 }, ReasonTensorShape},
		{"output for fewer tokens", func(m *rawModel) {
			m.tensors = append(m.tensors, Tensor{Name: "output.weight", Type: TypeF16, Dims: []int64{32, 7}})
		}, ReasonTensorShape},
		{"more layers than tensors", u32("qwen3.block_count", 3), ReasonMissingTensor},
	}
	for _, tensor := range tinyModel().tensors {
		tests = append(tests, refusal{"without " + tensor.Name, func(m *rawModel) { m.delTensor(tensor.Name) }, ReasonMissingTensor})
	}
	runRefusals(t, tinyModel, tests)
}

func TestValidateVocabulary(t *testing.T) {
	m := tinyModel()
	m.tensors = nil
	f := mustParse(t, m.encode())
	if err := ValidateVocabulary(f); err != nil {
		t.Errorf("vocabulary without weights: %v", err)
	}
	setToken(m, 1, "a")
	wantRefusal(t, ValidateVocabulary(mustParse(t, m.encode())), ReasonDuplicateToken)
}

func TestArchitecturesAreSortedAndKnown(t *testing.T) {
	archs := Architectures()
	if !slices.IsSorted(archs) || len(slices.Compact(slices.Clone(archs))) != len(archs) {
		t.Error("the architectures are not sorted or not unique")
	}
	for _, want := range []string{"qwen3", "qwen3moe", "qwen2", "llama", "gemma3", "gpt-oss"} {
		if !slices.Contains(archs, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, a := range archs {
		if what := otherArchitecture(a); what != "" {
			t.Errorf("%s is listed as a text model and as %s", a, what)
		}
	}
}
