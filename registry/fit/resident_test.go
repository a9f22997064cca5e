package fit

import (
	"testing"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

func matrix(name, typ string, dims ...int64) gguf.Tensor {
	types := map[string]gguf.TensorType{
		"F32": gguf.TypeF32, "F16": gguf.TypeF16, "Q8_0": gguf.TypeQ8_0, "Q4_K": gguf.TypeQ4_K, "Q6_K": gguf.TypeQ6_K, "Q4_0": 2, "Q2_K": 10, "Q5_K": 13,
		"IQ4_NL": 20, "IQ4_XS": 23, "MXFP4": 39,
	}
	return gguf.Tensor{Name: name, Type: types[typ], Dims: dims, Bytes: 1 << 20}
}

// TestWhichMatricesAreCopied goes through llama.cpp's rules: the type, the number
// of rows, the CPU, and what the matrix is for.
func TestWhichMatricesAreCopied(t *testing.T) {
	const q = "blk.0.attn_q.weight"
	x86, wide, dot, i8mm := KernelsOf("avx,avx2,fma"), KernelsOf("avx2,avx512f"), KernelsOf("neon,dotprod"), KernelsOf("dotprod,matmul_int8,sve")
	amx := KernelsOf("amx_int8,amx_tile,avx2,avx512f,avx512vnni")
	for _, tt := range []struct {
		t    gguf.Tensor
		k    Kernels
		want int64
	}{
		{matrix(q, "Q4_K", 1024, 2048), x86, 1 << 20}, {matrix(q, "Q4_K", 1024, 2048), dot, 1 << 20}, {matrix(q, "Q4_K", 1024, 2048), Kernels{}, 0},
		{matrix(q, "Q4_K", 1024, 2044), x86, 0}, {matrix(q, "Q4_K", 1024, 2044), dot, 0},
		{matrix(q, "Q6_K", 1024, 2048), x86, 0}, {matrix(q, "Q6_K", 1024, 2048), dot, 1 << 20}, {matrix(q, "Q5_K", 1024, 2048), i8mm, 1 << 20},
		{matrix(q, "Q2_K", 1024, 2048), x86, 0}, {matrix(q, "Q2_K", 1024, 2048), wide, 1 << 20},
		{matrix(q, "Q8_0", 1024, 2048), wide, 0}, {matrix(q, "Q8_0", 1024, 2044), i8mm, 1 << 20},
		{matrix(q, "Q4_0", 1024, 2044), x86, 0}, {matrix(q, "Q4_0", 1024, 2044), dot, 1 << 20}, {matrix(q, "Q4_0", 1024, 2048), x86, 1 << 20},
		{matrix(q, "IQ4_NL", 1024, 2048), x86, 1 << 20}, {matrix(q, "IQ4_NL", 1024, 2044), dot, 1 << 20},
		{matrix(q, "IQ4_NL", 1024, 2044), KernelsOf("matmul_int8"), 0}, {matrix(q, "MXFP4", 1024, 2048), x86, 1 << 20},
		{matrix(q, "F32", 1024, 2048), amx, 0}, {matrix(q, "F16", 1024, 2048), x86, 0}, {matrix(q, "F16", 1024, 2048), amx, 1 << 20},
		{matrix(q, "Q4_K", 1024, 2048), amx, 1<<20 + 4*4*2048}, {matrix(q, "Q8_0", 1024, 2048), amx, 1<<20 + 4*32*2048},
		{matrix(q, "Q6_K", 1024, 2048), amx, 1 << 20}, {matrix(q, "IQ4_XS", 1024, 2048), amx, 1<<20 + 2*4*2048},
		{matrix(q, "Q4_K", 1024, 2040), amx, 1 << 20}, // no multiple of 32: AVX2's layout
		{matrix("blk.0.ffn_up_exps.weight", "Q4_K", 1024, 512, 16), x86, 1 << 20},
		{matrix("blk.0.ffn_up_exps.weight", "Q4_K", 1024, 512, 16), amx, 1 << 20},
		{matrix("blk.0.attn_q_norm.weight", "Q4_K", 1024), x86, 0}, {matrix("blk.0.attn_q.bias", "Q4_K", 1024, 8), x86, 0},
		{matrix("blk.0.attn_k.weight", "Q4_K", 1024, 64, 16), x86, 0}, // not of experts
	} {
		if got := tt.k.copies(&tt.t); got != tt.want {
			t.Errorf("%s %s %v with %+v: a copy of %d bytes, want %d", tt.t.Name, tt.t.Type, tt.t.Dims, tt.k, got, tt.want)
		}
	}
	if k := KernelsOf("amx_int8,avx2"); k.AMX {
		t.Error("AMX counts without the vector instructions that it is used with")
	}
}

// TestCopiesAreHeldAndOriginalsAreNot looks at where the weights are.
func TestCopiesAreHeldAndOriginalsAreNot(t *testing.T) {
	f, err := shapeHeader(fromCatalogueShape(t, "qwen3-0.6b"))
	if err != nil {
		t.Fatal(err)
	}
	f.Tensors = []gguf.Tensor{
		matrix("token_embd.weight", "Q6_K", 1024, 4096), matrix("blk.0.attn_q.weight", "Q4_K", 1024, 2048), matrix("blk.0.attn_v.weight", "Q6_K", 1024, 1024),
	}
	for i := range f.Tensors {
		f.Tensors[i].Offset = int64(i) << 20
	}
	m, err := FromFile("m", f)
	if err != nil {
		t.Fatal(err)
	}
	m.tied = true // nothing is read to say so of a head
	plain := m.Needs(Setting{NCtx: 512})
	for name, tt := range map[string]struct {
		k              Kernels
		copies, spared int64
	}{
		"none": {Kernels{}, 0, 0},
		"x86":  {Kernels{AVX2: true}, 1 << 20, 1 << 20},
		// The embedding is copied as the output matrix, and looked up as it was.
		"ARM": {Kernels{DotProd: true}, 3 << 20, 2 << 20},
	} {
		n := m.Needs(Setting{NCtx: 512, Kernels: tt.k})
		if n.Anonymous-plain.Anonymous != tt.copies || plain.Mapped-n.Mapped != tt.spared || n.Weights-plain.Weights != tt.copies-tt.spared {
			t.Errorf("%s: %d bytes more are anonymous, %d fewer mapped, the weights take %d", name, n.Anonymous-plain.Anonymous, plain.Mapped-n.Mapped, n.Weights)
		}
		if n.RAM != n.Anonymous+n.Mapped || n.Total != n.RAM || n.Resident != n.Anonymous+3<<20 {
			t.Errorf("%s: %+v", name, n)
		}
		// With layers on a GPU nothing is copied.
		if a, b := m.Needs(Setting{NCtx: 512, GPULayers: 1, Kernels: tt.k}), m.Needs(Setting{NCtx: 512, GPULayers: 1}); a != b {
			t.Errorf("%s with a GPU: %+v, want %+v", name, a, b)
		}
	}
	c := fromCatalogue(t, "qwen3-0.6b")
	n := c.Needs(Setting{NCtx: 512, Kernels: Kernels{AVX2: true}})
	if part := float64(c.WeightBytes()-n.Mapped) / float64(c.WeightBytes()); part < 0.5 || part > 0.6 || n.Total != c.Needs(Setting{NCtx: 512}).Total {
		t.Errorf("of the catalogue's model %.2f is copied: %+v", part, n)
	}
}

func TestTheVocabularyIsCounted(t *testing.T) {
	short, err := shapeHeader(fromCatalogueShape(t, "qwen3-0.6b"))
	if err != nil {
		t.Fatal(err)
	}
	if got := vocabularyOf(short) / 151936; got < perToken || got > perToken+16 {
		t.Errorf("a token of no text takes %d bytes", got)
	}
	for bytes, want := range map[int]int64{0: 0, 15: 0, 16: 32, 23: 32, 24: 48, 40: 64} {
		if got := onHeap(bytes); got != want {
			t.Errorf("a text of %d bytes takes %d besides, want %d", bytes, got, want)
		}
	}
	if got := buckets(2_000_000); got < 16_000_000 {
		t.Errorf("a table of two million entries takes %d bytes", got)
	}
}

func TestImagesAndStreamsTakeMemory(t *testing.T) {
	path, mmproj := writeTiny(t)
	m, err := Read("tiny", path, mmproj)
	if err != nil {
		t.Fatal(err)
	}
	blind, err := Read("tiny", path, "")
	if err != nil {
		t.Fatal(err)
	}
	small, large := m.Needs(Setting{NCtx: 512, ImageTokens: 16}), m.Needs(Setting{NCtx: 512, ImageTokens: 1024})
	if small.Projector <= m.projector || large.Projector <= small.Projector || m.Needs(Setting{NCtx: 512}).Projector <= large.Projector {
		t.Errorf("with images of 16 tokens the projector takes %d bytes, of 1024 %d", small.Projector, large.Projector)
	}
	// The rows of an image go where only tokens went before.
	if got := small.Compute - blind.Needs(Setting{NCtx: 512}).Compute; got != 4*512*256 {
		t.Errorf("rows of images take %d bytes of scratch space", got)
	}
	one, each := blind.Needs(Setting{NCtx: 512, Slots: 4}), blind.Needs(Setting{NCtx: 512, Slots: 4, Streams: true})
	if each.KV != 2*one.KV || each.Output != one.Output {
		t.Errorf("four caches of 128 cells, rounded to 256, take %d bytes; one of 512 takes %d", each.KV, one.KV)
	}
}
