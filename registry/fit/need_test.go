package fit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/projector"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/qwen3"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

const builtIn = "../../build/builtin-model/builtin.gguf"

// TestNeedsAgainstLlama holds the arithmetic against llama.cpp v0.5.0 on a CPU
// with flash attention: the sizes that it reports for weights, KV cache and
// buffers, and by how much the process grew with weights in the file's layout,
// without the program's own code. The contexts were full, but for the larger
// models at 8192, of which 1024 tokens were in use: the cache is written when it is
// made, some of the mask is not. The files are the built-in model and models of
// build/benchmodel, two of them with fewer layers. TestMemoryIsPredicted of
// engine/native measures anew.
func TestNeedsAgainstLlama(t *testing.T) {
	small, err := Read("built-in", builtIn, "")
	if err != nil {
		t.Fatal(err)
	}
	shape := func(size string, layers int64) catalogue.Shape {
		c, err := catalogue.Find("qwen3-" + size)
		if err != nil {
			t.Fatal(err)
		}
		s := c.Shape
		s.Layers = layers
		return s
	}
	for _, tt := range []struct {
		model              Model
		nCtx               int
		reported, resident int64
	}{
		{small, 1024, 14_670_000, 20660 << 10},
		{small, 8192, 44_030_000, 50488 << 10},
		{shaped(t, "0.6B", shape("0.6b", 28), 390_753_280), 1024, 536_510_000, 596_764 << 10},
		{shaped(t, "0.6B", shape("0.6b", 28), 390_753_280), 8192, 1_365_940_000, 1_398_564 << 10},
		{shaped(t, "1.7B of 12 layers", shape("1.7b", 12), 617_916_416), 1024, 723_830_000, 777_004 << 10},
		{shaped(t, "1.7B of 12 layers", shape("1.7b", 12), 617_916_416), 8192, 1_083_490_000, 1_124_656 << 10},
		{shaped(t, "4B of 8 layers", shape("4b", 8), 801_797_632), 1024, 920_300_000, 969_096 << 10},
		{shaped(t, "4B of 8 layers", shape("4b", 8), 801_797_632), 8192, 1_162_530_000, 1_205_844 << 10},
	} {
		n := tt.model.Needs(Setting{NCtx: tt.nCtx})
		memory, err := gguf.EstimateMemory(tt.model.header, gguf.MemoryOptions{Context: tt.nCtx, Outputs: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Weights + memory.KV + memory.Compute; !near(got, tt.reported, 0.01) {
			t.Errorf("%s at %d: buffers of %d bytes, llama.cpp reports %d", tt.model.Name, tt.nCtx, got, tt.reported)
		}
		if !near(n.Total, tt.resident, 0.05) {
			t.Errorf("%s at %d: %d bytes in all, the process grew by %d", tt.model.Name, tt.nCtx, n.Total, tt.resident)
		}
		if n.RAM != n.Total || n.VRAM != 0 {
			t.Errorf("%s without a GPU: %+v", tt.model.Name, n)
		}
	}
}

// writeTiny makes a sound model file and a projector for it.
func writeTiny(t *testing.T) (model, mmproj string) {
	t.Helper()
	folder := t.TempDir()
	create := func(name string) *os.File {
		f, err := os.Create(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	shape, err := qwen3.ShapeByName("tiny")
	if err != nil {
		t.Fatal(err)
	}
	m, p := create("m.gguf"), create("mmproj.gguf")
	if _, err := qwen3.Write(t.Context(), m, qwen3.Options{Shape: shape, Vocabulary: qwen3.TinyVocabulary(), Seed: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := projector.Write(p, projector.Options{Kind: projector.Qwen3VL, TextWidth: 256, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	return m.Name(), p.Name()
}

func TestAFileIsSizedTensorByTensor(t *testing.T) {
	path, mmproj := writeTiny(t)
	m, err := Read("tiny", path, mmproj)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if m.WeightBytes() != f.WeightBytes() || !m.Exact || m.Layers() != 2 || m.ContextTrain != 512 || !m.tied {
		t.Errorf("%d bytes in %d layers, context %d, tied %v; the file has %d bytes", m.WeightBytes(), m.Layers(), m.ContextTrain, m.tied, f.WeightBytes())
	}
	// Tied: the embedding is read as the output matrix, so that all is active.
	if m.ActiveBytes() != f.WeightBytes() {
		t.Errorf("%d bytes are active of %d", m.ActiveBytes(), f.WeightBytes())
	}
	all := m.Needs(Setting{NCtx: 512, GPULayers: -1})
	none := m.Needs(Setting{NCtx: 512})
	if all.Projector <= 0 || all.Total != none.Total {
		t.Errorf("on the GPU %+v, without %+v", all, none)
	}
	embedding := f.Tensor("token_embd.weight").Bytes
	if want := f.WeightBytes() + all.KV + all.Compute + all.Projector; all.VRAM != want {
		t.Errorf("%d bytes on the GPU, want %d", all.VRAM, want)
	}
	if want := embedding + all.Compute + all.Output + all.Runtime; all.RAM != want {
		t.Errorf("%d bytes of memory with all on the GPU, want %d", all.RAM, want)
	}
	half := m.Needs(Setting{NCtx: 512, GPULayers: 2})
	if moved := none.RAM - half.RAM; moved != m.layers[1].bytes+f.Tensor("output_norm.weight").Bytes+all.KV/2+all.Projector {
		t.Errorf("the output and one layer move %d bytes", moved)
	}
}

func TestFilesThatAreNoModels(t *testing.T) {
	path, mmproj := writeTiny(t)
	if _, err := Read("m", path+"x", ""); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("no file: %v", err)
	}
	if _, err := Read("m", mmproj, ""); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("a projector as a model: %v", err)
	}
	if _, err := Read("m", path, path); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("a model as a projector: %v", err)
	}
	if _, err := FromFile("m", &gguf.File{}); err == nil {
		t.Error("a file with no shape has a size")
	}
	if _, err := FromCatalogue(catalogue.Model{Name: "m"}); err == nil {
		t.Error("an entry with no shape has a size")
	}
}

func TestOfExpertsOnlyThoseUsedAreActive(t *testing.T) {
	f, err := shapeHeader(catalogue.Shape{
		Layers: 2, Embedding: 32, Heads: 4, KVHeads: 2, HeadLength: 8, Experts: 4, ExpertsUsed: 2, ExpertFeedForward: 16, Context: 512, Vocabulary: 8,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"token_embd.weight", "output.weight", "blk.0.attn_q.weight", "blk.0.ffn_up_exps.weight", "blk.1.ffn_gate_inp.weight"} {
		f.Tensors = append(f.Tensors, gguf.Tensor{Name: name, Bytes: int64(1000 * (i + 1))})
	}
	m, err := FromFile("m", f)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.layers, []part{{7000, 5000}, {5000, 5000}}; got[0] != want[0] || got[1] != want[1] {
		t.Errorf("layers %+v, want %+v", got, want)
	}
	if m.input != 1000 || m.output != (part{2000, 2000}) || m.WeightBytes() != 15000 || m.ActiveBytes() != 12000 {
		t.Errorf("input %d, output %+v, %d bytes, %d active", m.input, m.output, m.WeightBytes(), m.ActiveBytes())
	}
}

// TestTheCatalogueIsSizedAsFilesAre compares what is known before and after a
// download: 3.3 of 30.5 billion weights of the mixture work on a token.
func TestTheCatalogueIsSizedAsFilesAre(t *testing.T) {
	for _, c := range catalogue.List() {
		m := fromCatalogue(t, c.Name)
		if !near(m.WeightBytes(), c.Bytes(), 0.0001) || m.Layers() != int(c.Shape.Layers) || m.ContextTrain != int(c.Shape.Context) || m.Exact {
			t.Errorf("%s: %d bytes in %d layers, files of %d bytes", c.Name, m.WeightBytes(), m.Layers(), c.Bytes())
		}
		n := m.Needs(Setting{NCtx: 4096})
		if n.KV != 4096*c.Shape.KVBytesPerToken() || n.Projector < c.Projector.Bytes || (n.Projector == 0) != (c.Projector.Bytes == 0) {
			t.Errorf("%s: KV cache of %d bytes, projector of %d", c.Name, n.KV, n.Projector)
		}
		active := float64(c.Shape.ActiveParameters()) / float64(c.Shape.Parameters())
		if got := float64(m.ActiveBytes()) / float64(m.WeightBytes()); got > active+0.001 || got < active-0.2 {
			t.Errorf("%s: %.3f of the bytes are active, and %.3f of the weights", c.Name, got, active)
		}
	}
}

func TestContextsAreRoundedAsLlamaDoes(t *testing.T) {
	m := fromCatalogue(t, "qwen3-0.6b")
	for nCtx, cells := range map[int]int64{1: 256, 256: 256, 257: 512, 1000: 1024, 0: 40960} {
		if got := m.Needs(Setting{NCtx: nCtx}).KV; got != cells*114_688 {
			t.Errorf("a context of %d takes %d bytes, want those of %d cells", nCtx, got, cells)
		}
	}
	if f16, q8 := m.Needs(Setting{NCtx: 4096}).KV, m.Needs(Setting{NCtx: 4096, Q8KV: true}).KV; q8*32 != f16*17 {
		t.Errorf("in q8_0 the cache takes %d bytes, in f16 %d", q8, f16)
	}
	if one, four := m.Needs(Setting{NCtx: 4096}), m.Needs(Setting{NCtx: 4096, Slots: 4}); four.Output != 4*one.Output || four.KV != one.KV {
		t.Errorf("with four slots %+v, with one %+v", four, one)
	}
}
