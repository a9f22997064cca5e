package qwen3

import (
	"fmt"
	"slices"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// Vocabulary is a byte-level BPE vocabulary in Qwen's form. A token's id is its
// index.
type Vocabulary struct {
	Tokens []string
	Types  []int32 // gguf.TokenNormal and so on
	Merges []string
	// EndOfText is the id of <|endoftext|>, EndOfTurn that of <|im_end|>.
	EndOfText, EndOfTurn uint32
}

const (
	endOfText = "<|endoftext|>"
	endOfTurn = "<|im_end|>"
	// firstAdded is the id of <|endoftext|> in every Qwen vocabulary since
	// Qwen2: the learned tokens end before it.
	firstAdded = 151643
)

// addedTokens are those of Qwen3's tokenizer_config.json, in the order of
// their ids from firstAdded on. Those that the tokenizer calls special are
// control tokens, the others user-defined.
var addedTokens = [...]struct {
	text    string
	special bool
}{
	{endOfText, true}, {"<|im_start|>", true}, {endOfTurn, true},
	{"<|object_ref_start|>", true}, {"<|object_ref_end|>", true}, {"<|box_start|>", true}, {"<|box_end|>", true},
	{"<|quad_start|>", true}, {"<|quad_end|>", true}, {"<|vision_start|>", true}, {"<|vision_end|>", true},
	{"<|vision_pad|>", true}, {"<|image_pad|>", true}, {"<|video_pad|>", true},
	{"<tool_call>", false}, {"</tool_call>", false}, {"<|fim_prefix|>", false}, {"<|fim_middle|>", false},
	{"<|fim_suffix|>", false}, {"<|fim_pad|>", false}, {"<|repo_name|>", false}, {"<|file_sep|>", false},
	{"<tool_response>", false}, {"</tool_response>", false}, {"<think>", false}, {"</think>", false},
}

// LoadVocabulary reads Qwen's vocabulary from a GGUF file that has it, such as
// llama.cpp's models/ggml-vocab-qwen2.gguf. That file has placeholders where
// Qwen3 has its later special tokens; they get their Qwen3 names here, and the
// rest of the padding up to the embedding's rows is marked unused.
func LoadVocabulary(path string) (*Vocabulary, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load vocabulary: %w", err)
	}
	if err := gguf.ValidateVocabulary(f); err != nil {
		return nil, fmt.Errorf("load vocabulary %s: %w", path, err)
	}
	tokens, _ := gguf.Get[[]string](&f.Metadata, "tokenizer.ggml.tokens")
	types, _ := gguf.Get[[]int32](&f.Metadata, "tokenizer.ggml.token_type")
	merges, _ := gguf.Get[[]string](&f.Metadata, "tokenizer.ggml.merges")
	pre, _ := gguf.Get[string](&f.Metadata, "tokenizer.ggml.pre")
	if pre != "qwen2" || len(tokens) < firstAdded+len(addedTokens) || len(types) != len(tokens) || tokens[firstAdded] != endOfText {
		return nil, fmt.Errorf("load vocabulary %s: it is not Qwen's (pre-tokenizer %q, %d tokens): give llama.cpp's models/ggml-vocab-qwen2.gguf",
			path, pre, len(tokens))
	}
	v := &Vocabulary{Tokens: slices.Clone(tokens), Types: slices.Clone(types), Merges: merges}
	for id := firstAdded; id < len(tokens); id++ {
		v.Types[id] = gguf.TokenUnused
	}
	for i := range addedTokens {
		v.setAdded(firstAdded+i, i)
	}
	return v, nil
}

// setAdded makes token id the added token i.
func (v *Vocabulary) setAdded(id, i int) {
	v.Tokens[id], v.Types[id] = addedTokens[i].text, gguf.TokenUserDefined
	if addedTokens[i].special {
		v.Types[id] = gguf.TokenControl
	}
	switch addedTokens[i].text {
	case endOfText:
		v.EndOfText = uint32(id)
	case endOfTurn:
		v.EndOfTurn = uint32(id)
	}
}

// TinyVocabulary makes a vocabulary of the 256 bytes, the double newline,
// Qwen3's added tokens and padding to a multiple of 32. It needs no file, and
// every text can be spelt in it.
func TinyVocabulary() *Vocabulary {
	v := &Vocabulary{}
	for b := range 256 {
		v.Tokens = append(v.Tokens, string(byteSymbol(b)))
	}
	newline := string(byteSymbol('\n'))
	v.Tokens = append(v.Tokens, newline+newline)
	v.Merges = []string{newline + " " + newline}
	v.Types = slices.Repeat([]int32{gguf.TokenNormal}, len(v.Tokens))
	for i := range addedTokens {
		v.Tokens, v.Types = append(v.Tokens, ""), append(v.Types, 0)
		v.setAdded(len(v.Tokens)-1, i)
	}
	for len(v.Tokens)%32 != 0 {
		v.Tokens = append(v.Tokens, fmt.Sprintf("[PAD%d]", len(v.Tokens)))
		v.Types = append(v.Types, gguf.TokenUnused)
	}
	return v
}

// byteSymbol is the printable character that stands for a byte in byte-level
// BPE vocabularies (GPT-2's bytes_to_unicode): printable bytes stand for
// themselves, the others for the characters from U+0100 on, in order.
func byteSymbol(b int) rune {
	shifted := rune(0x100)
	for c := range b + 1 {
		printable := c >= '!' && c <= '~' || c >= 0xa1 && c <= 0xac || c >= 0xae
		switch {
		case c == b && printable:
			return rune(b)
		case c == b:
			return shifted
		case !printable:
			shifted++
		}
	}
	panic("unreachable: the loop ends at b")
}
