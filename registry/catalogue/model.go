package catalogue

import (
	"slices"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// Kind is what a model does.
type Kind string

// The kinds.
const (
	KindChat      Kind = "chat"      // answers in words
	KindVision    Kind = "vision"    // answers in words, and reads images
	KindEmbedding Kind = "embedding" // turns text into vectors
)

// Model is one entry of the catalogue.
type Model struct {
	Name         string
	Aliases      []string
	Kind         Kind
	Repository   string // OWNER/REPO of the hub
	Quantization string // such as "Q4_K_M"
	Files        []File // the parts of the model, in order
	Projector    File   // what reads images (mmproj); without a Path there is none
	Shape        Shape
	License      string // as SPDX has it
	GoodFor      string // one sentence
	// Unverified names what no source was found for, and why it is believed.
	Unverified []Doubt
}

// File is one file of a repository.
type File struct {
	Path   string // in the repository
	Bytes  int64
	SHA256 string // in hexadecimal; "" if it is not known
}

// Doubt is a fact that was not read from a source.
type Doubt struct {
	Fact, Why string
}

// Shape is the size of a model of the Qwen3 family. Every layer is alike.
type Shape struct {
	Layers, Embedding, FeedForward int64
	Heads, KVHeads, HeadLength     int64
	// Experts and the rest are 0 for a dense model. Of the Experts of a layer,
	// ExpertsUsed work on a token; each has ExpertFeedForward rows.
	Experts, ExpertsUsed, ExpertFeedForward int64
	Context                                 int64 // trained length, in tokens
	Vocabulary                              int64 // tokens
	Tied                                    bool  // the output matrix is the token embedding
}

// KVBytesPerToken is the KV cache that one token of context takes at F16: a key
// and a value of KVHeads × HeadLength elements of two bytes in each layer.
func (s Shape) KVBytesPerToken() int64 { return 2 * s.Layers * s.KVHeads * s.HeadLength * 2 }

// Parameters is the number of weights.
func (s Shape) Parameters() int64 { return s.weights(s.Experts) }

// ActiveParameters is the number of weights that work on one token: all of a
// dense model, and those of the experts used of a mixture.
func (s Shape) ActiveParameters() int64 { return s.weights(s.ExpertsUsed) }

// weights counts the matrices and norms with so many experts in a layer.
func (s Shape) weights(experts int64) int64 {
	embeddings := s.EmbeddingParameters()
	if !s.Tied {
		embeddings *= 2
	}
	return embeddings + s.Embedding + s.Layers*(s.attention()+s.feedForward(experts))
}

// EmbeddingParameters is the number of weights of the token embedding.
func (s Shape) EmbeddingParameters() int64 { return s.Vocabulary * s.Embedding }

// attention counts query, key, value and output, and the four norms of a layer.
func (s Shape) attention() int64 {
	q, kv := s.Heads*s.HeadLength, s.KVHeads*s.HeadLength
	return s.Embedding*(2*q+2*kv) + 2*s.Embedding + 2*s.HeadLength
}

// feedForward counts gate, up and down; a mixture has them for each expert, and
// the matrix that chooses among them.
func (s Shape) feedForward(experts int64) int64 {
	if s.Experts == 0 {
		return 3 * s.Embedding * s.FeedForward
	}
	return experts*3*s.Embedding*s.ExpertFeedForward + s.Embedding*s.Experts
}

// Bytes is the size of the model's files, without the projector.
func (m Model) Bytes() int64 {
	var n int64
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// DownloadBytes is the size of all files that a pull fetches.
func (m Model) DownloadBytes() int64 { return m.Bytes() + m.Projector.Bytes }

// Source is the model as registry/hub takes it: hf:OWNER/REPO:QUANTISATION.
func (m Model) Source() string { return "hf:" + m.Repository + ":" + m.Quantization }

// Verified reports whether every fact of the entry was read from a source.
func (m Model) Verified() bool { return len(m.Unverified) == 0 }

// List returns the catalogue: the models that chat first, the smallest first,
// then the others. What the caller does to it changes nothing here.
func List() []Model {
	list := slices.Clone(models)
	for i := range list {
		list[i].Aliases = slices.Clone(list[i].Aliases)
		list[i].Files = slices.Clone(list[i].Files)
		list[i].Unverified = slices.Clone(list[i].Unverified)
	}
	return list
}

// Names returns the names of the models, in the order of List.
func Names() []string {
	names := make([]string, len(models))
	for i, m := range models {
		names[i] = m.Name
	}
	return names
}

// Find returns the model of a name or an alias, in any letter case. The error is
// not_found; its hint has the name that was probably meant.
func Find(name string) (Model, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	var known []string
	for _, m := range List() {
		if m.Name == name || slices.Contains(m.Aliases, name) {
			return m, nil
		}
		known = append(append(known, m.Name), m.Aliases...)
	}
	e := jeantrail.Errorf(jeantrail.CodeNotFound, "there is no model %q in the catalogue", name)
	if slices.Contains(neverPublished, name) {
		return Model{}, e.WithHint("Alibaba published no Qwen3 of 72B. Pull qwen3-32b or qwen3-235b-a22b, " +
			"or give a file of your own that name: jeantrail-ai model import --name qwen-3-72b FILE.gguf")
	}
	if nearest, ok := jeantrail.Nearest(name, known); ok {
		return Model{}, e.WithHint("Did you mean %s? The catalogue has %s.", nearest, strings.Join(Names(), ", "))
	}
	return Model{}, e.WithHint("The catalogue has %s. For any other model write hf:OWNER/REPO.", strings.Join(Names(), ", "))
}

// Source returns where the model of a name or an alias is pulled from, as
// registry/hub takes it. It fails like Find.
func Source(name string) (string, error) {
	m, err := Find(name)
	if err != nil {
		return "", err
	}
	return m.Source(), nil
}
