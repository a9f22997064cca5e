package gguf

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

func TestSummarize(t *testing.T) {
	m := tinyModel()
	s := Summarize(mustParse(t, m.encode()))
	sum := sha256.Sum256([]byte("{{ messages }}"))
	// Per layer: q 32*64, k and v 32*32, output 64*32, feed-forward 3*32*64,
	// norms 32+32+16+16. Then the embedding 32*8 and the last norm.
	const matrices, norms = 2*(32*64+2*32*32+64*32+3*32*64) + 32*8, 2*(32+32+16+16) + 32
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"architecture", s.Architecture, "qwen3"}, {"quantization", s.Quantization, "F16"}, {"stated", s.QuantizationStated, true},
		{"parameters", s.Parameters, int64(matrices + norms)}, {"weight bytes", s.WeightBytes, int64(2*matrices + 4*norms)},
		{"tensors", s.Tensors, 24}, {"layers", s.Layers, 2}, {"context", s.ContextLength, 512}, {"embedding", s.Embedding, 32},
		{"feed-forward", s.FeedForward, 64}, {"heads", s.Heads, 4}, {"KV heads", s.KVHeads, 2}, {"head length", s.HeadLength, 16},
		{"tied", s.Tied, true}, {"tokenizer", s.Tokenizer, "gpt2"}, {"pre", s.PreTokenizer, "qwen2"}, {"vocabulary", s.Vocabulary, 8},
		{"BOS", s.BOS, 5}, {"EOS", s.EOS, 7}, {"template", s.ChatTemplateSHA256, hex.EncodeToString(sum[:])},
		{"main type", s.Types[0].Type, TypeF16},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", c.what, c.got, c.want)
		}
	}
	m.del("general.file_type")
	if s := Summarize(mustParse(t, m.encode())); s.Quantization != "F16" || s.QuantizationStated {
		t.Errorf("quantization of a silent file = %q, stated %v", s.Quantization, s.QuantizationStated)
	}
}

func TestFileTypesRoundTrip(t *testing.T) {
	for n, name := range fileTypes {
		if name == "" {
			continue
		}
		if got, ok := FileType(name); !ok || got != uint32(n) {
			t.Errorf("FileType(%q) = %d, %v, want %d", name, got, ok, n)
		}
	}
	if _, ok := FileType(""); ok {
		t.Error("a removed file type has a number")
	}
}

func TestEstimateMemory(t *testing.T) {
	f := mustParse(t, tinyModel().encode())
	m, err := EstimateMemory(f, MemoryOptions{Context: 300, UBatch: 64, Outputs: 4})
	if err != nil {
		t.Fatal(err)
	}
	// 300 cells are padded to 512; 2 layers, keys and values of 2*16 in F16.
	if want := int64(2 * 512 * 2 * 32 * 2); m.KV != want {
		t.Errorf("KV = %d, want %d", m.KV, want)
	}
	if m.Cells != 512*148 || m.Unused != 4*64*32 || m.Compute <= 2*64*512+m.Unused || m.Work < 64*64 {
		t.Errorf("compute = %d, of which %d are for images; work = %d, cells = %d", m.Compute, m.Unused, m.Work, m.Cells)
	}
	if m.Output != 4*4*8 || m.Weights != f.WeightBytes() || m.Total != m.Weights+m.KV+m.Compute+m.Work+m.Cells+m.Graph+m.Output {
		t.Errorf("output %d, weights %d, total %d", m.Output, m.Weights, m.Total)
	}
	q8, err := EstimateMemory(f, MemoryOptions{Context: 300, Q8KV: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := m.KV / 64 * 34; q8.KV != want {
		t.Errorf("KV in Q8_0 = %d, want %d", q8.KV, want)
	}
	whole, err := EstimateMemory(f, MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if whole.KV != 2*512*2*32*2 {
		t.Errorf("KV at the trained context = %d", whole.KV)
	}
	if huge, err := EstimateMemory(f, MemoryOptions{Context: 1 << 62, UBatch: 1 << 62}); err != nil || huge.Total <= 0 {
		t.Errorf("an absurd context gives %d, %v", huge.Total, err)
	}
}

// TestEstimateMemoryAgainstLlama holds the estimate against the sizes that
// llama.cpp v0.5.0 reported for a model of the 0.6B shape, in MiB.
func TestEstimateMemoryAgainstLlama(t *testing.T) {
	m := tinyModel()
	for key, n := range map[string]uint32{
		"embedding_length": 1024, "block_count": 28, "feed_forward_length": 3072, "attention.head_count": 16,
		"attention.head_count_kv": 8, "attention.key_length": 128, "attention.value_length": 128,
	} {
		m.set("qwen3."+key, ValueOf(n))
	}
	m.set("tokenizer.ggml.tokens", ValueOf(make([]string, 151936)))
	f := mustParse(t, m.encode())
	for _, tt := range []struct {
		opt         MemoryOptions
		kv, compute float64
	}{
		{MemoryOptions{Context: 4096, Outputs: 1}, 448, 30.01},
		{MemoryOptions{Context: 4096, Outputs: 1, UBatch: 256}, 448, 15.01},
		{MemoryOptions{Context: 4096, Outputs: 1, Q8KV: true}, 238, 30.09},
		{MemoryOptions{Context: 16384, Outputs: 1}, 1792, 42.01},
		{MemoryOptions{Context: 512}, 56, 309.26},
		{MemoryOptions{Context: 512, UBatch: 256}, 56, 154.63},
	} {
		got, err := EstimateMemory(f, tt.opt)
		if err != nil {
			t.Fatal(err)
		}
		if kv := float64(got.KV) / (1 << 20); kv != tt.kv {
			t.Errorf("%+v: KV = %.2f, llama.cpp takes %.2f", tt.opt, kv, tt.kv)
		}
		if c := float64(got.Compute) / (1 << 20); c < tt.compute*0.99 || c > tt.compute*1.01 {
			t.Errorf("%+v: compute = %.2f, llama.cpp takes %.2f", tt.opt, c, tt.compute)
		}
	}
}
