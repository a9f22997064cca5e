package gguf

import "fmt"

// mergesFour are the forms whose graphs take two by two patches for one row,
// whatever their metadata says: with another number libmtmd would write beyond a
// buffer.
const mergesFour = `exaone4_5 glm4v mimovl qwen2.5o qwen2.5vl_merger qwen2vl_merger qwen3vl_merger youtuvl`

// resamplerBuckets is by how many positions a side the resampler knows.
const resamplerBuckets = 70

// checkProjectorTensors looks for the tensors of which libmtmd takes for granted
// that they are there, in the forms that this package knows: LLaVA's, Gemma 3's
// and Qwen's (tools/mtmd/models/llava.cpp, siglip.cpp, qwen2vl.cpp, qwen3vl.cpp).
// Of the others it only checks what is known to end in memory that is not theirs.
func checkProjectorTensors(f *File) *Error {
	form, width := f.projectorType(), f.visionNumber("embedding_length")
	if contains(mergesFour, form) {
		if merge := f.visionNumber("spatial_merge_size"); merge != 0 && merge != 2 {
			return refuse(ReasonBadValue, "clip.vision.spatial_merge_size is %d, must be 2 in a projector of the form %s", merge, form)
		}
	}
	if contains(lookedUpPositions, form) {
		if err := checkLookedUp(f, form); err != nil {
			return err
		}
	}
	patch := f.visionNumber("patch_size")
	kernel := []int64{patch, patch, 3, width}
	var want []wantTensor
	switch form {
	case "mlp":
		want = append(want, wantTensor{"v.patch_embd.weight", kernel})
		want = append(want, projectorLayers(f, false)...)
		want = append(want, llavaProjection(f)...)
	case "gemma3":
		want = append(want, wantTensor{"v.patch_embd.weight", kernel})
		want = append(want, projectorLayers(f, f.Tensor("v.blk.0.attn_qkv.weight") != nil)...)
	case "qwen2vl_merger", "qwen2.5vl_merger":
		want = append(want, wantTensor{"v.patch_embd.weight", kernel}, wantTensor{"v.patch_embd.weight.1", kernel})
		want = append(want, projectorLayers(f, f.Tensor("v.blk.0.attn_qkv.weight") != nil)...)
	case "qwen3vl_merger":
		want = append(want, wantTensor{"v.patch_embd.weight", kernel}, wantTensor{"v.patch_embd.weight.1", kernel},
			wantTensor{"v.patch_embd.bias", []int64{width}})
		want = append(want, projectorLayers(f, true)...)
		want = append(want, deepstack(f)...)
	}
	for _, w := range want {
		if err := w.checkIfSized(f); err != nil {
			return err
		}
	}
	return nil
}

// visionNumber reads a number that checkEncoder has found sound; 0 if it is not
// there.
func (f *File) visionNumber(suffix string) int64 {
	v, _ := Get[uint32](&f.Metadata, "clip.vision."+suffix)
	return int64(v)
}

// checkIfSized is check, but where no dimensions are given it only looks whether
// the tensor is there.
func (w wantTensor) checkIfSized(f *File) *Error {
	if w.dims == nil && f.Tensor(w.name) != nil {
		return nil
	}
	return w.check(f)
}

// checkLookedUp holds the numbers of positions against the table in which they
// are looked up.
func checkLookedUp(f *File, form string) *Error {
	const name = "v.position_embd.weight"
	table := f.Tensor(name)
	if table == nil {
		return refuse(ReasonMissingTensor, "tensor %q is missing", name)
	}
	side := f.visionNumber("image_size") / f.visionNumber("patch_size")
	need := side * side
	if f.Tensor("v.class_embd") != nil {
		need++
	}
	if form == "resampler" {
		need = resamplerBuckets * resamplerBuckets
	}
	if len(table.Dims) < 2 || table.Dims[1] < need || table.Dims[0] != f.visionNumber("embedding_length") {
		return refuse(ReasonTensorShape, "tensor %q has shape %v, the metadata asks for %v", name, table.Dims,
			[]int64{f.visionNumber("embedding_length"), need})
	}
	return nil
}

// projectorLayers are the attention matrices, of which libmtmd loads whatever
// there is and then takes one set for granted.
func projectorLayers(f *File, fused bool) []wantTensor {
	width, heads := f.visionNumber("embedding_length"), f.visionNumber("attention.head_count")
	inner := width
	if head := f.visionNumber("attention.head_dim"); head > 0 {
		inner = heads * head
	}
	var want []wantTensor
	for il := range f.visionNumber("block_count") {
		blk := func(part string) string { return fmt.Sprintf("v.blk.%d.%s", il, part) }
		want = append(want, wantTensor{blk("attn_out.weight"), []int64{inner, width}})
		if !fused {
			for _, part := range []string{"attn_q.weight", "attn_k.weight", "attn_v.weight"} {
				want = append(want, wantTensor{blk(part), []int64{width, inner}})
			}
			continue
		}
		want = append(want, wantTensor{blk("attn_qkv.weight"), []int64{width, 3 * inner}})
		if f.projectorType() == "qwen3vl_merger" {
			want = append(want, wantTensor{blk("attn_qkv.bias"), []int64{3 * inner}})
		}
	}
	return want
}

// llavaProjection are the matrices behind the encoder, in LLaVA's form or in
// that of Yi, which has norms between them.
func llavaProjection(f *File) []wantTensor {
	if f.Tensor("mm.3.weight") == nil {
		return []wantTensor{{name: "mm.0.weight"}, {name: "mm.0.bias"}, {name: "mm.2.weight"}, {name: "mm.2.bias"}}
	}
	return []wantTensor{
		{name: "mm.0.weight"}, {name: "mm.0.bias"}, {name: "mm.1.weight"}, {name: "mm.1.bias"},
		{name: "mm.3.weight"}, {name: "mm.3.bias"}, {name: "mm.4.weight"}, {name: "mm.4.bias"},
	}
}

// deepstack are the features for the text model's first layers, whole or not at
// all.
func deepstack(f *File) []wantTensor {
	var want []wantTensor
	for il := range f.visionNumber("block_count") {
		name := func(part string) string { return fmt.Sprintf("v.deepstack.%d.%s", il, part) }
		parts := []string{"norm.weight", "norm.bias", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}
		for _, part := range parts {
			if f.Tensor(name(part)) == nil {
				continue
			}
			for _, all := range parts {
				want = append(want, wantTensor{name: name(all)})
			}
			break
		}
	}
	return want
}
