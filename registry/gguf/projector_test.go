package gguf

import (
	"fmt"
	"strings"
	"testing"
)

// tinyProjector is a sound one, as far as this package looks.
func tinyProjector() *rawModel {
	m := &rawModel{version: 3}
	m.add("general.architecture", ValueOf("clip"))
	m.add("general.type", ValueOf("mmproj"))
	m.add("general.name", ValueOf("tiny eyes"))
	m.add("clip.has_vision_encoder", ValueOf(true))
	m.add("clip.projector_type", ValueOf("mlp"))
	for _, kv := range []struct {
		key   string
		value uint32
	}{
		{"embedding_length", 32}, {"feed_forward_length", 64}, {"block_count", 2}, {"projection_dim", 32},
		{"attention.head_count", 4}, {"image_size", 28}, {"patch_size", 14},
	} {
		m.add("clip.vision."+kv.key, ValueOf(kv.value))
	}
	m.add("clip.vision.attention.layer_norm_epsilon", ValueOf(float32(1e-6)))
	m.add("clip.vision.image_mean", ValueOf([]float32{0.5, 0.5, 0.5}))
	m.add("clip.vision.image_std", ValueOf([]float32{0.5, 0.5, 0.5}))
	m.tensors = append(m.tensors,
		Tensor{Name: "v.patch_embd.weight", Type: TypeF16, Dims: []int64{14, 14, 3, 32}},
		Tensor{Name: "v.position_embd.weight", Type: TypeF32, Dims: []int64{32, 4}},
		Tensor{Name: "v.blk.0.ln1.bias", Type: TypeF32, Dims: []int64{32}},
		Tensor{Name: "mm.0.weight", Type: TypeQ8_0, Dims: []int64{32, 32}},
		Tensor{Name: "mm.0.bias", Type: TypeF32, Dims: []int64{32}},
		Tensor{Name: "mm.2.weight", Type: TypeQ8_0, Dims: []int64{32, 32}},
		Tensor{Name: "mm.2.bias", Type: TypeF32, Dims: []int64{32}})
	for il := range 2 {
		for _, part := range []string{"attn_q", "attn_k", "attn_v", "attn_out"} {
			m.tensors = append(m.tensors, Tensor{Name: fmt.Sprintf("v.blk.%d.%s.weight", il, part), Type: TypeF16, Dims: []int64{32, 32}})
		}
	}
	return m
}

// fusedProjector is one of the form of Qwen3-VL.
func fusedProjector() *rawModel {
	m := tinyProjector()
	m.set("clip.projector_type", ValueOf("qwen3vl_merger"))
	m.add("clip.vision.spatial_merge_size", ValueOf(uint32(2)))
	m.tensors = append(m.tensors,
		Tensor{Name: "v.patch_embd.weight.1", Type: TypeF16, Dims: []int64{14, 14, 3, 32}},
		Tensor{Name: "v.patch_embd.bias", Type: TypeF32, Dims: []int64{32}})
	for il := range 2 {
		m.tensors = append(m.tensors,
			Tensor{Name: fmt.Sprintf("v.blk.%d.attn_qkv.weight", il), Type: TypeF16, Dims: []int64{32, 96}},
			Tensor{Name: fmt.Sprintf("v.blk.%d.attn_qkv.bias", il), Type: TypeF32, Dims: []int64{96}})
	}
	return m
}

func TestValidateProjectorAccepts(t *testing.T) {
	for name, change := range map[string]func(*rawModel){
		"as it is": func(*rawModel) {},
		"another key": func(m *rawModel) {
			m.del("clip.projector_type")
			m.add("clip.vision.projector_type", ValueOf("gemma3"))
		},
		"any size of image": u32("clip.vision.image_size", 0),
		"heads of a size of their own": func(m *rawModel) {
			m.set("clip.vision.attention.head_count", ValueOf(uint32(2)))
			m.add("clip.vision.attention.head_dim", ValueOf(uint32(16)))
		},
		"looked-up positions": func(m *rawModel) { m.tensor("v.position_embd.weight").Type = TypeF16 },
		"pinpoints":           func(m *rawModel) { m.add("clip.vision.image_grid_pinpoints", ValueOf([]int32{336, 672})) },
	} {
		m := tinyProjector()
		change(m)
		if err := ValidateProjector(mustParse(t, m.encode())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateProjectorRefuses(t *testing.T) {
	vision := func(key string) string { return "clip.vision." + key }
	for _, tt := range []refusal{
		{"no architecture", missing("general.architecture"), ReasonMissingKey},
		{"a text model", set("general.architecture", "qwen3"), ReasonNotProjector},
		{"no eyes", set("clip.has_vision_encoder", false), ReasonNotProjector},
		{"eyes not named", missing("clip.has_vision_encoder"), ReasonNotProjector},
		{"eyes as a number", u32("clip.has_vision_encoder", 1), ReasonKeyType},
		{"no form", missing("clip.projector_type"), ReasonMissingKey},
		{"form as a number", u32("clip.projector_type", 1), ReasonKeyType},
		{"form for sound", set("clip.projector_type", "whisper"), ReasonArchitecture},
		{"form that depends on its place", set("clip.projector_type", "hunyuanvl"), ReasonArchitecture},
		{"no tensors", func(m *rawModel) { m.tensors = nil }, ReasonMissingTensor},
		{"split", func(m *rawModel) { m.add("split.count", ValueOf(uint16(2))) }, ReasonSplit},
		{"no width", missing(vision("embedding_length")), ReasonMissingKey},
		{"width 0", u32(vision("embedding_length"), 0), ReasonBadValue},
		{"no heads", u32(vision("attention.head_count"), 0), ReasonBadValue},
		{"heads that do not fit", u32(vision("attention.head_count"), 5), ReasonBadValue},
		{"patches of nothing", u32(vision("patch_size"), 0), ReasonBadValue},
		{"patch as a float", set(vision("patch_size"), float32(14)), ReasonKeyType},
		{"huge image", u32(vision("image_size"), 8193), ReasonBadValue},
		{"too many layers", u32(vision("block_count"), 513), ReasonBadValue},
		{"merge of nothing", func(m *rawModel) { m.add(vision("spatial_merge_size"), ValueOf(uint32(0))) }, ReasonBadValue},
		{"too many tiles", func(m *rawModel) { m.add(vision("preproc_max_tiles"), ValueOf(uint32(9999))) }, ReasonBadValue},
		{"epsilon", set(vision("attention.layer_norm_epsilon"), float32(-1)), ReasonBadValue},
		{"two colours", set(vision("image_mean"), []float32{0, 0}), ReasonBadValue},
		{"no spread", set(vision("image_std"), []float32{1, 0, 1}), ReasonBadValue},
		{"pinpoints", func(m *rawModel) { m.add(vision("image_grid_pinpoints"), ValueOf([]int32{336})) }, ReasonBadValue},
		{"pinpoint 0", func(m *rawModel) { m.add(vision("image_grid_pinpoints"), ValueOf([]int32{336, 0})) }, ReasonBadValue},
		{"bias in F16", func(m *rawModel) { m.tensor("v.blk.0.ln1.bias").Type = TypeF16 }, ReasonNormType},
		{"kernel in BF16", func(m *rawModel) { m.tensor("v.patch_embd.weight").Type = TypeBF16 }, ReasonTensorType},
		{"positions added in F16", func(m *rawModel) {
			m.set("clip.projector_type", ValueOf("gemma3"))
			m.tensor("v.position_embd.weight").Type = TypeF16
		}, ReasonTensorType},
		{"integers", func(m *rawModel) { m.tensor("mm.0.weight").Type = TensorType(26) }, ReasonTensorType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := tinyProjector()
			tt.change(m)
			wantRefusal(t, ValidateProjector(mustParse(t, m.encode())), tt.want)
		})
	}
}

func TestValidateProjectorRefusesTensors(t *testing.T) {
	drop := func(name string) func(*rawModel) { return func(m *rawModel) { m.delTensor(name) } }
	for form, tests := range map[string][]refusal{
		"mlp": {
			{"no kernel", drop("v.patch_embd.weight"), ReasonMissingTensor},
			{"no positions", drop("v.position_embd.weight"), ReasonMissingTensor},
			{"too few positions", u32("clip.vision.image_size", 42), ReasonTensorShape},
			{"no room for the class", func(m *rawModel) {
				m.tensors = append(m.tensors, Tensor{Name: "v.class_embd", Type: TypeF32, Dims: []int64{32}})
			}, ReasonTensorShape},
			{"no attention", drop("v.blk.1.attn_k.weight"), ReasonMissingTensor},
			{"no bias behind it", drop("mm.2.bias"), ReasonMissingTensor},
			{"kernel of another size", u32("clip.vision.patch_size", 7), ReasonTensorShape},
		},
		"qwen3vl": {
			{"no second kernel", drop("v.patch_embd.weight.1"), ReasonMissingTensor},
			{"no bias of the kernel", drop("v.patch_embd.bias"), ReasonMissingTensor},
			{"no attention", drop("v.blk.0.attn_qkv.weight"), ReasonMissingTensor},
			{"no bias of attention", drop("v.blk.1.attn_qkv.bias"), ReasonMissingTensor},
			{"merges more", u32("clip.vision.spatial_merge_size", 4), ReasonBadValue},
			{"merges nothing", u32("clip.vision.spatial_merge_size", 1), ReasonBadValue},
			{"half a feature", func(m *rawModel) {
				m.tensors = append(m.tensors, Tensor{Name: "v.deepstack.1.fc1.weight", Type: TypeF16, Dims: []int64{32, 32}})
			}, ReasonMissingTensor},
		},
	} {
		base := map[string]func() *rawModel{"mlp": tinyProjector, "qwen3vl": fusedProjector}[form]
		if err := ValidateProjector(mustParse(t, base().encode())); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		for _, tt := range tests {
			t.Run(form+" "+tt.name, func(t *testing.T) {
				m := base()
				tt.change(m)
				wantRefusal(t, ValidateProjector(mustParse(t, m.encode())), tt.want)
			})
		}
	}
}

// Whoever gives one file for the other is told which is which.
func TestModelAndProjectorMixedUp(t *testing.T) {
	err := Validate(mustParse(t, tinyProjector().encode()))
	wantRefusal(t, err, ReasonNotTextModel)
	if e := err.(*Error); !strings.Contains(e.Message, "mmproj") || !strings.Contains(e.Hint, "mmproj_path") {
		t.Errorf("%s (%s)", e.Message, e.Hint)
	}
	err = ValidateProjector(mustParse(t, tinyModel().encode()))
	wantRefusal(t, err, ReasonNotProjector)
	if e := err.(*Error); !strings.Contains(e.Message, "qwen3") || !strings.Contains(e.Hint, "mmproj") {
		t.Errorf("%s (%s)", e.Message, e.Hint)
	}
}

func TestValidateQwen3VL(t *testing.T) {
	seeing := func() *rawModel {
		m := tinyModel()
		for i := range m.keys {
			m.keys[i] = strings.Replace(m.keys[i], "qwen3.", "qwen3vl.", 1)
		}
		m.set("general.architecture", ValueOf("qwen3vl"))
		m.add("qwen3vl.rope.dimension_sections", ValueOf([]int32{4, 2, 2, 0}))
		return m
	}
	if err := Validate(mustParse(t, seeing().encode())); err != nil {
		t.Fatal(err)
	}
	const key = "qwen3vl.rope.dimension_sections"
	runRefusals(t, seeing, []refusal{
		{"no sections", missing(key), ReasonMissingKey},
		{"three", set(key, []int32{4, 2, 2}), ReasonBadValue},
		{"negative", set(key, []int32{4, -2, 2, 0}), ReasonBadValue},
		{"nothing", set(key, []int32{0, 0, 0, 0}), ReasonBadValue},
		{"no tensor", func(m *rawModel) { m.delTensor("blk.1.ffn_up.weight") }, ReasonMissingTensor},
	})
}
