package projector

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// deviation of the random weights. It is large, so that images that differ a
// little come out clearly different.
const deviation = 0.1

// Options say what Write writes.
type Options struct {
	Kind      Kind
	TextWidth int64 // the text model's embedding length
	Seed      uint64
}

// Write writes the projector as GGUF and returns its size in bytes. The same
// options give the same bytes.
func Write(w io.Writer, opt Options) (int64, error) {
	var out gguf.Writer
	if err := setMetadata(&out, opt); err != nil {
		return 0, fmt.Errorf("write projector: %w", err)
	}
	for _, t := range tensors(opt.Kind, opt.TextWidth) {
		write := func(w io.Writer) error { return t.write(w, opt.Seed) }
		if err := out.Add(t.name, gguf.TypeF32, t.dims, write); err != nil {
			return 0, fmt.Errorf("write projector: %w", err)
		}
	}
	n, err := out.WriteTo(w)
	if err != nil {
		return n, fmt.Errorf("write projector: %w", err)
	}
	return n, nil
}

func (t tensor) write(w io.Writer, seed uint64) error {
	elements := int64(1)
	for _, d := range t.dims {
		elements *= d
	}
	h := fnv.New64a()
	io.WriteString(h, t.name) // a hash takes every write
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	p := make([]byte, 0, 4*elements) // the largest is a quarter of a megabyte
	for range elements {
		v := t.value
		if v == 0 {
			v = float32(rng.NormFloat64() * deviation)
		}
		p = binary.LittleEndian.AppendUint32(p, math.Float32bits(v))
	}
	_, err := w.Write(p)
	return err
}

func setMetadata(w *gguf.Writer, opt Options) error {
	fileType, _ := gguf.FileType("F32")
	third := []float32{0.5, 0.5, 0.5}
	pairs := []struct {
		key   string
		value gguf.Value
	}{
		{"general.architecture", gguf.ValueOf("clip")},
		{"general.type", gguf.ValueOf("mmproj")},
		{"general.name", gguf.ValueOf("Random weights of a projector")},
		{"general.file_type", gguf.ValueOf(fileType)},
		{"clip.has_vision_encoder", gguf.ValueOf(true)},
		{"clip.projector_type", gguf.ValueOf(string(opt.Kind))},
		{"clip.use_gelu", gguf.ValueOf(true)},
		{"clip.vision.image_size", gguf.ValueOf(uint32(side))},
		{"clip.vision.patch_size", gguf.ValueOf(uint32(patch))},
		{"clip.vision.embedding_length", gguf.ValueOf(uint32(width))},
		{"clip.vision.feed_forward_length", gguf.ValueOf(uint32(ff))},
		{"clip.vision.block_count", gguf.ValueOf(uint32(layers))},
		{"clip.vision.projection_dim", gguf.ValueOf(uint32(opt.TextWidth))},
		{"clip.vision.attention.head_count", gguf.ValueOf(uint32(heads))},
		{"clip.vision.attention.layer_norm_epsilon", gguf.ValueOf(float32(1e-6))},
		{"clip.vision.image_mean", gguf.ValueOf(third)},
		{"clip.vision.image_std", gguf.ValueOf(third)},
	}
	for _, p := range pairs {
		if err := w.Set(p.key, p.value); err != nil {
			return err
		}
	}
	switch opt.Kind {
	case MLP:
		return nil
	case Gemma3:
		return w.Set("clip.vision.projector.scale_factor", gguf.ValueOf(uint32(merge)))
	case Qwen3VL:
		return w.Set("clip.vision.spatial_merge_size", gguf.ValueOf(uint32(merge)))
	}
	return fmt.Errorf("projector kind %q is not known: use one of %s", opt.Kind, KindNames())
}
