package gguf

import (
	"math"
	"math/bits"
)

// TensorType is the data type of a tensor, as ggml numbers them.
type TensorType uint32

// The tensor types that this package itself speaks of.
const (
	TypeF32  TensorType = 0
	TypeF16  TensorType = 1
	TypeQ8_0 TensorType = 8
	TypeQ4_K TensorType = 12
	TypeQ6_K TensorType = 14
	TypeBF16 TensorType = 30
)

type typeTraits struct {
	name  string
	block int64 // elements of a block
	size  int64 // bytes of a block
	// weight says that ggml can multiply by a matrix of this type and look rows
	// up in it. The others exist for intermediate results only.
	weight bool
}

// tensorTypes has the block layouts of ggml-common.h, by number. A gap is a
// type that ggml has removed.
var tensorTypes = [...]typeTraits{
	0: {"F32", 1, 4, true}, 1: {"F16", 1, 2, true},
	2: {"Q4_0", 32, 18, true}, 3: {"Q4_1", 32, 20, true},
	6: {"Q5_0", 32, 22, true}, 7: {"Q5_1", 32, 24, true},
	8: {"Q8_0", 32, 34, true}, 9: {"Q8_1", 32, 36, false},
	10: {"Q2_K", 256, 84, true}, 11: {"Q3_K", 256, 110, true},
	12: {"Q4_K", 256, 144, true}, 13: {"Q5_K", 256, 176, true},
	14: {"Q6_K", 256, 210, true}, 15: {"Q8_K", 256, 292, false},
	16: {"IQ2_XXS", 256, 66, true}, 17: {"IQ2_XS", 256, 74, true},
	18: {"IQ3_XXS", 256, 98, true}, 19: {"IQ1_S", 256, 50, true},
	20: {"IQ4_NL", 32, 18, true}, 21: {"IQ3_S", 256, 110, true},
	22: {"IQ2_S", 256, 82, true}, 23: {"IQ4_XS", 256, 136, true},
	24: {"I8", 1, 1, false}, 25: {"I16", 1, 2, false}, 26: {"I32", 1, 4, false},
	27: {"I64", 1, 8, false}, 28: {"F64", 1, 8, false},
	29: {"IQ1_M", 256, 56, true}, 30: {"BF16", 1, 2, true},
	34: {"TQ1_0", 256, 54, true}, 35: {"TQ2_0", 256, 66, true},
	39: {"MXFP4", 32, 17, true}, 40: {"NVFP4", 64, 36, true},
	41: {"Q1_0", 128, 18, true}, 42: {"Q2_0", 64, 18, true},
}

func (t TensorType) traits() typeTraits {
	if int64(t) < int64(len(tensorTypes)) {
		return tensorTypes[t]
	}
	return typeTraits{}
}

// String returns ggml's name of the type, such as "Q4_K".
func (t TensorType) String() string {
	if name := t.traits().name; name != "" {
		return name
	}
	return "unknown"
}

// Tensor is one entry of the tensor table.
type Tensor struct {
	Name   string
	Type   TensorType
	Dims   []int64 // up to four, fastest-running first; none is a scalar
	Offset int64   // bytes from the start of the data section
	Bytes  int64   // without the padding behind it
}

// Elements returns the number of elements.
func (t *Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Dims {
		n *= d // Read has checked that the product fits
	}
	return n
}

// measure returns the elements and bytes of a tensor, or why it has none.
func measure(name string, typ TensorType, dims []int64) (int64, *Error) {
	if len(name) == 0 || len(name) > MaxTensorName {
		return 0, refuse(ReasonMalformed, "tensor name %.80q has %d bytes, must be 1 to %d", name, len(name), MaxTensorName)
	}
	if len(dims) > MaxDims {
		return 0, refuse(ReasonTensorShape, "tensor %q has %d dimensions, at most %d are possible", name, len(dims), MaxDims)
	}
	elements, row := int64(1), int64(1)
	for i, d := range dims {
		if d <= 0 {
			return 0, refuse(ReasonTensorShape, "tensor %q has %d elements in dimension %d", name, d, i)
		}
		var ok bool
		if elements, ok = mul(elements, d); !ok {
			return 0, refuse(ReasonOverflow, "tensor %q has more elements than 63 bits can count: shape %v", name, dims)
		}
		if i == 0 {
			row = d
		}
	}
	if typ.traits().block == 0 {
		return 0, refuse(ReasonTensorType, "tensor %q has data type %d, which is unknown or was removed from the format", name, uint32(typ))
	}
	if row%typ.traits().block != 0 {
		return 0, refuse(ReasonTensorShape, "tensor %q has rows of %d elements, not a multiple of the %d of a %s block",
			name, row, typ.traits().block, typ)
	}
	size, ok := mul(elements/typ.traits().block, typ.traits().size)
	if !ok {
		return 0, refuse(ReasonOverflow, "tensor %q needs more bytes than 63 bits can count", name)
	}
	return size, nil
}

// mul multiplies two non-negative numbers; false if the product does not fit.
func mul(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	return int64(lo), hi == 0 && lo <= math.MaxInt64
}

// pad rounds n up to a multiple of align, a power of two; false on overflow.
func pad(n, align int64) (int64, bool) {
	if n > math.MaxInt64-(align-1) {
		return 0, false
	}
	return (n + align - 1) &^ (align - 1), true
}
