package enginetest

import (
	"strings"

	"github.com/jeantrail/jeantrail-ai/engine"
)

// The special tokens. Tokens 0 to 255 are bytes.
const (
	EndOfText engine.Token = 256 + iota // <|endoftext|>, ends a generation
	ImStart                             // <|im_start|>
	ImEnd                               // <|im_end|>, ends a generation
	Think                               // <think>, text as well as a token
	EndThink                            // </think>, text as well as a token
	vocabSize
)

var specials = [...]string{"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"}

// Vocab has a token for each byte and a few special ones.
type Vocab struct{}

// Tokenize implements engine.Vocab. As in llama.cpp, tokens that are not
// control tokens are found in any text.
func (Vocab) Tokenize(text string, parseSpecial bool) ([]engine.Token, error) {
	var tokens []engine.Token
	for len(text) > 0 {
		token, size := engine.Token(text[0]), 1
		for i, s := range specials {
			id := EndOfText + engine.Token(i)
			if strings.HasPrefix(text, s) && (parseSpecial || id >= Think) {
				token, size = id, len(s)
			}
		}
		tokens = append(tokens, token)
		text = text[size:]
	}
	return tokens, nil
}

// Piece implements engine.Vocab.
func (v Vocab) Piece(t engine.Token) []byte {
	switch {
	case t < 256:
		return []byte{byte(t)}
	case v.IsControl(t):
		return nil
	default:
		return []byte(specials[t-EndOfText])
	}
}

// SpecialText implements engine.Vocab.
func (Vocab) SpecialText(t engine.Token) string {
	if t < EndOfText || t >= vocabSize {
		return ""
	}
	return specials[t-EndOfText]
}

// IsEOG implements engine.Vocab.
func (Vocab) IsEOG(t engine.Token) bool { return t == EndOfText || t == ImEnd }

// IsControl implements engine.Vocab.
func (Vocab) IsControl(t engine.Token) bool { return t >= EndOfText && t <= ImEnd }

// Lookup implements engine.Vocab.
func (Vocab) Lookup(piece string) (engine.Token, bool) {
	for i, s := range specials {
		if s == piece {
			return EndOfText + engine.Token(i), true
		}
	}
	if len(piece) == 1 {
		return engine.Token(piece[0]), true
	}
	return 0, false
}

// Size implements engine.Vocab.
func (Vocab) Size() int { return int(vocabSize) }

// BOS implements engine.Vocab: like Qwen, it has none.
func (Vocab) BOS() (engine.Token, bool) { return 0, false }
