package fit

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// Model is what the arithmetic needs to know of a model. It is made by Read,
// FromFile or FromCatalogue.
type Model struct {
	Name string
	// Exact says that the sizes are those of a file. Otherwise they come from the
	// catalogue, and weights are spread evenly over the layers.
	Exact bool
	// ContextTrain is the longest context, in tokens.
	ContextTrain int

	header     *gguf.File // the shape, for gguf.EstimateMemory
	layers     []part     // the repeating layers, the first one first
	input      int64      // token embedding, which stays in the machine's memory
	output     part       // what comes after the last layer
	tied       bool       // the output matrix is the embedding
	q4         int64      // of the weights, those in Q4_K; 0 for files, which say themselves
	mapping    int64      // from the first weight in the file to the last; 0 if it is not known
	projector  int64      // its weights
	encoder    *gguf.File // the projector, if its file is there
	vocabulary int64      // what llama.cpp and this program keep of it, in bytes
}

// part is the weights of a piece of a model, in bytes: all of them, and those
// that are read for one token.
type part struct{ bytes, active int64 }

// Layers is the number of repeating layers. A GPU can hold one more: the output.
func (m Model) Layers() int { return len(m.layers) }

// WeightBytes is the size of all weights.
func (m Model) WeightBytes() int64 {
	n := m.input + m.output.bytes
	for _, l := range m.layers {
		n += l.bytes
	}
	if m.tied {
		n -= m.input // one matrix, counted on both ends
	}
	return n
}

// ActiveBytes is what is read of the weights for one token: not the embedding,
// of which one row is looked up, and of a mixture the experts used only.
func (m Model) ActiveBytes() int64 {
	n := m.output.active
	for _, l := range m.layers {
		n += l.active
	}
	return n
}

// Read reads a model without loading it, its file or all parts of which path is
// the first, and the file of its projector ("" is none). It fails like
// registry.Check and registry.CheckProjector.
func Read(name, path, projector string) (Model, error) {
	if _, err := registry.Check(path); err != nil {
		return Model{}, err
	}
	set, err := gguf.OpenModel(path)
	if err != nil {
		return Model{}, fmt.Errorf("read model: %w", err)
	}
	m, err := FromFile(name, set.Model)
	if err != nil || projector == "" {
		return m, err
	}
	p, err := registry.CheckProjector(projector)
	if err != nil {
		return Model{}, err
	}
	m.projector = p.WeightBytes
	if m.encoder, err = gguf.Open(projector); err != nil {
		return Model{}, fmt.Errorf("read projector: %w", err)
	}
	return m, nil
}

// FromFile takes the sizes of a model file, or of all parts of a model as
// gguf.Join makes one of them, that gguf.Validate has accepted.
func FromFile(name string, f *gguf.File) (Model, error) {
	if _, err := gguf.EstimateMemory(f, gguf.MemoryOptions{}); err != nil {
		return Model{}, fmt.Errorf("size of model %s: %w", name, err)
	}
	s := gguf.Summarize(f)
	m := Model{
		Name: name, Exact: true, ContextTrain: s.ContextLength, header: f,
		layers: make([]part, s.Layers), tied: s.Tied, mapping: mappingOf(f), vocabulary: vocabularyOf(f),
	}
	for i := range f.Tensors {
		m.place(&f.Tensors[i], s)
	}
	if m.tied {
		m.output.bytes += m.input
		m.output.active += m.input
	}
	return m, nil
}

// place counts a tensor where llama.cpp puts it.
func (m *Model) place(t *gguf.Tensor, s *gguf.Summary) {
	if isInput(t.Name) {
		m.input += t.Bytes
		return
	}
	p := &m.output
	if rest, ok := strings.CutPrefix(t.Name, "blk."); ok {
		number, _, _ := strings.Cut(rest, ".")
		if i, err := strconv.Atoi(number); err == nil && i >= 0 && i < len(m.layers) {
			p = &m.layers[i]
		}
	}
	active := t.Bytes
	if strings.Contains(t.Name, "_exps.") && s.Experts > 0 {
		active = active / int64(s.Experts) * int64(s.ExpertsUsed)
	}
	p.bytes += t.Bytes
	p.active += active
}

// isInput reports whether rows are looked up in a tensor of that name.
func isInput(name string) bool {
	return strings.HasPrefix(name, "token_embd") || strings.HasPrefix(name, "per_layer_token_embd")
}

// FromCatalogue takes the sizes of an entry of the catalogue. The size of its
// files stands for that of its weights, which is up to 6 MB less.
func FromCatalogue(c catalogue.Model) (Model, error) {
	s := c.Shape
	header, err := shapeHeader(s)
	if err != nil {
		return Model{}, fmt.Errorf("size of model %s: %w", c.Name, err)
	}
	perWeight := float64(c.Bytes()) / float64(s.Parameters())
	inBytes := func(weights int64) int64 { return int64(float64(weights) * perWeight) }

	m := Model{
		Name: c.Name, ContextTrain: int(s.Context), header: header,
		layers: make([]part, s.Layers), tied: s.Tied, q4: q4Bytes(s), vocabulary: s.Vocabulary * vocabularyPerToken, projector: c.Projector.Bytes,
	}
	embedding := s.EmbeddingParameters()
	m.input = inBytes(embedding)
	m.output = part{bytes: m.input, active: m.input}
	outside := embedding
	if !s.Tied {
		outside *= 2
	}
	all, active := s.Parameters()-outside, s.ActiveParameters()-outside
	for i := range m.layers {
		m.layers[i] = part{bytes: inBytes(all / s.Layers), active: inBytes(active / s.Layers)}
	}
	return m, nil
}

// shapeHeader writes a shape as the head of a file that has no weights, so that
// there is one formula for files and for the catalogue: gguf.EstimateMemory.
func shapeHeader(s catalogue.Shape) (*gguf.File, error) {
	arch := "qwen3"
	if s.Experts > 0 {
		arch = "qwen3moe"
	}
	var w gguf.Writer
	err := w.Set("general.architecture", gguf.ValueOf(arch))
	set := func(key string, n int64) {
		if err == nil && n > 0 {
			err = w.Set(arch+"."+key, gguf.ValueOf(uint32(n)))
		}
	}
	set("block_count", s.Layers)
	set("context_length", s.Context)
	set("embedding_length", s.Embedding)
	set("feed_forward_length", s.FeedForward)
	set("attention.head_count", s.Heads)
	set("attention.head_count_kv", s.KVHeads)
	set("attention.key_length", s.HeadLength)
	set("attention.value_length", s.HeadLength)
	set("expert_count", s.Experts)
	set("expert_used_count", s.ExpertsUsed)
	set("expert_feed_forward_length", s.ExpertFeedForward)
	if err != nil {
		return nil, err
	}
	if err := w.Set("tokenizer.ggml.tokens", gguf.ValueOf(make([]string, s.Vocabulary))); err != nil {
		return nil, err
	}
	f := w.Head()
	_, err = gguf.EstimateMemory(f, gguf.MemoryOptions{})
	return f, err
}
