package fit

import (
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// Kernels says for which instruction sets llama.cpp's CPU code was compiled: they
// decide which matrices it copies into another layout when it loads a model. The
// zero value copies none.
type Kernels struct {
	AVX2, AVX512  bool // x86
	AMX           bool // AMX-INT8, together with AVX512-VNNI
	DotProd, I8MM bool // ARM, which then has NEON too
}

// KernelsOf reads a list of instruction sets with commas between them, each as
// compilers spell it in lower case: "avx2", "avx512f", "amx_int8", "avx512vnni",
// "dotprod", "matmul_int8". Others are passed over: no copy depends on them.
func KernelsOf(features string) Kernels {
	names := strings.Split(features, ",")
	has := func(name string) bool { return slices.Contains(names, name) }
	return Kernels{
		AVX2: has("avx2"), AVX512: has("avx512f"), AMX: has("amx_int8") && has("avx512vnni"),
		DotProd: has("dotprod"), I8MM: has("matmul_int8"),
	}
}

// kernelsHere are those of this CPU, which code has that was compiled for it.
func kernelsHere() Kernels {
	has := cpuid.CPU.Has
	return Kernels{
		AVX2: has(cpuid.AVX2), AVX512: has(cpuid.AVX512F), AMX: has(cpuid.AMXINT8) && has(cpuid.AVX512VNNI),
		DotProd: has(cpuid.ASIMDDP), I8MM: has(cpuid.I8MM),
	}
}

// layout is a way to keep matrices of one type: rows in groups of so many, which
// have to come out even.
type layout struct {
	rows    int64
	kernels func(Kernels) bool
}

func avx2(k Kernels) bool     { return k.AVX2 }
func avx512(k Kernels) bool   { return k.AVX512 }
func arm(k Kernels) bool      { return k.DotProd || k.I8MM }
func armDot(k Kernels) bool   { return k.DotProd }
func x86OrArm(k Kernels) bool { return k.AVX2 || arm(k) }

// layouts are the types with a layout of their own and what it takes
// (ggml_repack_get_optimal_repack_type in ggml-cpu/repack.cpp).
var layouts = map[string][]layout{
	"Q4_0":   {{8, avx2}, {4, arm}},
	"Q4_K":   {{8, x86OrArm}},
	"Q2_K":   {{8, avx512}},
	"Q5_K":   {{8, arm}},
	"Q6_K":   {{8, arm}},
	"IQ4_NL": {{8, avx2}, {4, armDot}},
	"MXFP4":  {{8, avx2}, {4, armDot}},
	"Q8_0":   {{4, arm}},
	"Q1_0":   {{4, arm}},
}

// tiles are the types that AMX multiplies: of how many elements a row must be a
// multiple, the elements of a block and what a block grows by (ggml-cpu/amx).
var tiles = map[string]struct{ multiple, block, extra int64 }{
	"Q4_0": {32, 32, 0}, "Q4_1": {32, 32, 0}, "Q8_0": {32, 32, 4}, "F16": {16, 1, 0},
	"Q4_K": {256, 256, 4}, "Q5_K": {256, 256, 4}, "Q6_K": {256, 256, 0}, "IQ4_XS": {256, 256, 2},
}

// copies is the size of the copy of a tensor that is multiplied by, 0 if it is
// used as it is in the file.
func (k Kernels) copies(t *gguf.Tensor) int64 {
	experts := strings.Contains(t.Name, "_exps.")
	dims := 0
	for i, d := range t.Dims {
		if d > 1 {
			dims = i + 1
		}
	}
	if !strings.HasSuffix(t.Name, ".weight") || dims != 2 && !(experts && dims == 3) {
		return 0
	}
	columns, rows, name := t.Dims[0], t.Dims[1], t.Type.String()
	if tile, ok := tiles[name]; ok && k.AMX && !experts && rows%32 == 0 && columns%tile.multiple == 0 {
		return t.Bytes + columns/tile.block*tile.extra*rows
	}
	for _, l := range layouts[name] {
		if l.kernels(k) && rows%l.rows == 0 {
			return t.Bytes
		}
	}
	return 0
}

// copied is what the copies of a model's matrices take, and how many bytes of the
// file are not read any more because of them. An embedding that is the output
// matrix too is copied for that, and rows are still looked up in the original.
// What is known from the catalogue is of the mix Q4_K_M.
func (m Model) copied(k Kernels) (copies, spared int64) {
	if !m.Exact {
		if l := layouts["Q4_K"][0]; l.kernels(k) {
			return m.q4, m.q4
		}
		return 0, 0
	}
	for i := range m.header.Tensors {
		t := &m.header.Tensors[i]
		lookedUp := isInput(t.Name)
		if lookedUp && !(m.tied && t.Name == "token_embd.weight") {
			continue
		}
		n := k.copies(t)
		copies += n
		if n > 0 && !lookedUp {
			spared += t.Bytes
		}
	}
	return copies, spared
}
