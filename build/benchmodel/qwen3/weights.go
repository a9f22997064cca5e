package qwen3

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// deviation of the random weights: the initializer_range of Qwen3's config.
const deviation = 0.02

const chunkBytes = 256 << 10

// source makes the weights. Drawing a normal number for each of billions of
// weights would take minutes, so a table of 2^16 of them is drawn once and then
// indexed with uniform random bits, four weights to a 64-bit draw.
type source struct {
	seed   uint64
	normal [1 << 16]uint16 // IEEE half-precision bits
	buf    [chunkBytes]byte
}

func newSource(seed uint64) *source {
	s := &source{seed: seed}
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range s.normal {
		s.normal[i] = halfBits(float32(rng.NormFloat64() * deviation))
	}
	return s
}

// halfBits rounds f to the nearest half-precision number, ties to even. f must
// be finite and below the largest half, which the table's numbers are.
func halfBits(f float32) uint16 {
	sign := uint16(math.Float32bits(f) >> 16 & 0x8000)
	a := math.Abs(float64(f))
	_, exp := math.Frexp(a)             // a = m * 2^exp with m in [0.5, 1)
	exp = max(exp-1, -14)               // halves below 2^-14 are subnormal
	unit := math.Ldexp(1, exp-10)       // the step between neighbours there
	steps := math.RoundToEven(a / unit) // 1024 to 2048, less if subnormal
	if steps >= 2048 {
		steps, exp = 1024, exp+1
	}
	if steps < 1024 {
		return sign | uint16(steps)
	}
	return sign | uint16(exp+15)<<10 | uint16(steps-1024)
}

// tensor writes the data of t. Cancelling ctx ends it between two chunks.
func (s *source) tensor(ctx context.Context, t tensor, w io.Writer) error {
	elements := int64(1)
	for _, d := range t.dims {
		elements *= d
	}
	if t.norm != 0 {
		return s.repeat(w, t.norm, elements)
	}
	h := fnv.New64a()
	io.WriteString(h, t.name) // a hash takes every write
	rng := rand.NewPCG(s.seed, h.Sum64())
	for left := elements * 2; left > 0; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		p := s.buf[:min(left, chunkBytes)]
		s.fill(rng, p)
		if _, err := w.Write(p); err != nil {
			return err
		}
		left -= int64(len(p))
	}
	return nil
}

// fill fills p, which begins the buffer, with halves: four to a draw, of which
// the last few may fall away.
func (s *source) fill(rng *rand.PCG, p []byte) {
	whole := s.buf[:(len(p)+7)&^7]
	for i := 0; i < len(whole); i += 8 {
		x := rng.Uint64()
		binary.LittleEndian.PutUint64(whole[i:], uint64(s.normal[uint16(x)])|
			uint64(s.normal[uint16(x>>16)])<<16|
			uint64(s.normal[uint16(x>>32)])<<32|
			uint64(s.normal[uint16(x>>48)])<<48)
	}
}

func (s *source) repeat(w io.Writer, value float32, n int64) error {
	p := s.buf[:0]
	for range n { // norms are at most a few thousand long
		p = binary.LittleEndian.AppendUint32(p, math.Float32bits(value))
	}
	_, err := w.Write(p)
	return err
}

func (t tensor) dataType() gguf.TensorType {
	if t.norm != 0 {
		return gguf.TypeF32
	}
	return gguf.TypeF16
}
