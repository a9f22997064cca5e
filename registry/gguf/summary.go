package gguf

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// Summary describes a model file for people and for GET /models. Counts that
// the file does not state are 0, ids -1.
type Summary struct {
	FormatVersion uint32
	Architecture  string
	Name          string // general.name
	SizeLabel     string // general.size_label, such as "0.6B"
	License       string
	Quantization  string // such as "Q4_K_M"
	// QuantizationStated is false if the file does not say and Quantization was
	// taken from its tensors.
	QuantizationStated bool

	Parameters  int64 // elements of all tensors
	Tensors     int
	Types       []TypeUse // by bytes, largest first
	FileBytes   int64
	WeightBytes int64 // tensor data without padding

	Layers        int
	ContextLength int // trained
	Embedding     int
	FeedForward   int
	Heads         int
	KVHeads       int
	HeadLength    int
	Experts       int
	ExpertsUsed   int
	Tied          bool // the output matrix is the token embedding

	Tokenizer    string // such as "gpt2"
	PreTokenizer string // such as "qwen2"
	Vocabulary   int
	BOS, EOS     int

	ChatTemplate       string
	ChatTemplateSHA256 string // hex; "" without a template
}

// TypeUse is how much of a file has one tensor type.
type TypeUse struct {
	Type    TensorType
	Tensors int
	Bytes   int64
}

func (f *File) typeUse() []TypeUse {
	var use []TypeUse
	for i := range f.Tensors {
		t := &f.Tensors[i]
		at := slices.IndexFunc(use, func(u TypeUse) bool { return u.Type == t.Type })
		if at < 0 {
			at = len(use)
			use = append(use, TypeUse{Type: t.Type})
		}
		use[at].Tensors++
		use[at].Bytes += t.Bytes
	}
	slices.SortStableFunc(use, func(a, b TypeUse) int { return int(min(max(b.Bytes-a.Bytes, -1), 1)) })
	return use
}

// Parameters returns the number of elements of all tensors.
func (f *File) Parameters() int64 {
	var n int64
	for i := range f.Tensors {
		n += f.Tensors[i].Elements()
	}
	return n
}

// WeightBytes returns the bytes of all tensors, without padding.
func (f *File) WeightBytes() int64 {
	var n int64
	for i := range f.Tensors {
		n += f.Tensors[i].Bytes
	}
	return n
}

// ChatTemplate returns the default chat template and the hex SHA-256 of its
// bytes, both "" if the file has none.
func (f *File) ChatTemplate() (text, sum string) {
	text, ok := Get[string](&f.Metadata, keyTemplate)
	if !ok {
		return "", ""
	}
	h := sha256.Sum256([]byte(text))
	return text, hex.EncodeToString(h[:])
}

// Summarize describes f. It works for every file that Read accepts and leaves
// out what f does not hold.
func Summarize(f *File) *Summary {
	str := func(key string) string { s, _ := Get[string](&f.Metadata, key); return s }
	id := func(key string) int {
		if n, ok := Get[uint32](&f.Metadata, key); ok {
			return int(n)
		}
		return -1
	}
	tokens, _ := Get[[]string](&f.Metadata, "tokenizer.ggml.tokens")
	s := &Summary{
		FormatVersion: f.Version, Architecture: f.Architecture(),
		Name: str("general.name"), SizeLabel: str("general.size_label"), License: str("general.license"),
		Parameters: f.Parameters(), Tensors: len(f.Tensors), Types: f.typeUse(),
		FileBytes: f.Size, WeightBytes: f.WeightBytes(),
		Tied:      f.Tensor("token_embd.weight") != nil && f.Tensor("output.weight") == nil,
		Tokenizer: str("tokenizer.ggml.model"), PreTokenizer: str("tokenizer.ggml.pre"), Vocabulary: len(tokens),
		BOS: id("tokenizer.ggml.bos_token_id"), EOS: id("tokenizer.ggml.eos_token_id"),
	}
	s.Quantization, s.QuantizationStated = f.Quantization()
	s.ChatTemplate, s.ChatTemplateSHA256 = f.ChatTemplate()

	p, _ := readParameters(f) // what could be read is what can be shown
	first := func(v []int64) int {
		if len(v) == 0 {
			return 0
		}
		return int(v[0])
	}
	s.Layers, s.ContextLength, s.Embedding = int(p.layers), int(p.context), int(p.embedding)
	s.FeedForward, s.Heads, s.KVHeads = first(p.feedForward), first(p.heads), first(p.kvHeads)
	s.HeadLength, s.Experts, s.ExpertsUsed = int(p.keyLength), int(p.experts), int(p.expertsUsed)
	return s
}
