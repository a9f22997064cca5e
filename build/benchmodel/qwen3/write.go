package qwen3

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// Options say what Write writes.
type Options struct {
	Shape      Shape
	Vocabulary *Vocabulary
	Template   string // the chat template; "" for none
	Seed       uint64
	// Vision makes it a Qwen3-VL, which has the same tensors: positions have four
	// axes, and an image brings features for the first layer.
	Vision bool
}

func (o Options) architecture() string {
	if o.Vision {
		return "qwen3vl"
	}
	return "qwen3"
}

// Write writes the model in F16 (norms in F32) as GGUF and returns its size in
// bytes. The same options give the same bytes. It ends early with the cause of
// a cancelled ctx.
func Write(ctx context.Context, w io.Writer, opt Options) (int64, error) {
	if opt.Vocabulary == nil {
		return 0, errors.New("write model: no vocabulary given")
	}
	var out gguf.Writer
	if err := setMetadata(&out, opt); err != nil {
		return 0, fmt.Errorf("write model: %w", err)
	}
	src := newSource(opt.Seed)
	for _, t := range opt.Shape.tensors(int64(len(opt.Vocabulary.Tokens))) {
		write := func(w io.Writer) error { return src.tensor(ctx, t, w) }
		if err := out.Add(t.name, t.dataType(), t.dims, write); err != nil {
			return 0, fmt.Errorf("write model: %w", err)
		}
	}
	n, err := out.WriteTo(w)
	if err != nil {
		return n, fmt.Errorf("write model: %w", err)
	}
	return n, nil
}

func setMetadata(w *gguf.Writer, opt Options) error {
	s, v, arch := opt.Shape, opt.Vocabulary, opt.architecture()
	fileType, _ := gguf.FileType("F16")
	pairs := []struct {
		key   string
		value gguf.Value
	}{
		{"general.architecture", gguf.ValueOf(arch)},
		{"general.type", gguf.ValueOf("model")},
		{"general.name", gguf.ValueOf(fmt.Sprintf("Random weights in the shape of Qwen3 %s", s.Name))},
		{"general.file_type", gguf.ValueOf(fileType)},
		{arch + ".block_count", gguf.ValueOf(uint32(s.Layers))},
		{arch + ".context_length", gguf.ValueOf(uint32(s.Context))},
		{arch + ".embedding_length", gguf.ValueOf(uint32(s.Embedding))},
		{arch + ".feed_forward_length", gguf.ValueOf(uint32(s.FeedForward))},
		{arch + ".attention.head_count", gguf.ValueOf(uint32(s.Heads))},
		{arch + ".attention.head_count_kv", gguf.ValueOf(uint32(s.KVHeads))},
		{arch + ".attention.key_length", gguf.ValueOf(uint32(s.HeadLength))},
		{arch + ".attention.value_length", gguf.ValueOf(uint32(s.HeadLength))},
		{arch + ".attention.layer_norm_rms_epsilon", gguf.ValueOf(float32(1e-6))},
		{arch + ".rope.freq_base", gguf.ValueOf(float32(1e6))},
		{"tokenizer.ggml.model", gguf.ValueOf("gpt2")},
		{"tokenizer.ggml.pre", gguf.ValueOf("qwen2")},
		{"tokenizer.ggml.tokens", gguf.ValueOf(v.Tokens)},
		{"tokenizer.ggml.token_type", gguf.ValueOf(v.Types)},
		{"tokenizer.ggml.merges", gguf.ValueOf(v.Merges)},
		{"tokenizer.ggml.eos_token_id", gguf.ValueOf(v.EndOfTurn)},
		{"tokenizer.ggml.padding_token_id", gguf.ValueOf(v.EndOfText)},
		{"tokenizer.ggml.bos_token_id", gguf.ValueOf(v.EndOfText)},
		{"tokenizer.ggml.add_bos_token", gguf.ValueOf(false)},
	}
	for _, p := range pairs {
		if err := w.Set(p.key, p.value); err != nil {
			return err
		}
	}
	if opt.Vision {
		// In pairs of a head's dimensions, as Qwen3-VL divides them: time, height,
		// width, and none for the fourth.
		pairs := int32(s.HeadLength / 2)
		space := pairs * 5 / 16
		if err := w.Set(arch+".rope.dimension_sections", gguf.ValueOf([]int32{pairs - 2*space, space, space, 0})); err != nil {
			return err
		}
		if err := w.Set(arch+".n_deepstack_layers", gguf.ValueOf(uint32(1))); err != nil {
			return err
		}
	}
	if opt.Template == "" {
		return nil
	}
	return w.Set("tokenizer.chat_template", gguf.ValueOf(opt.Template))
}
