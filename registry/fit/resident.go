package fit

import (
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

const (
	// processBytes is what llama.cpp and the program hold for a model besides what
	// is counted: tables of ggml, stacks of the compute threads, the objects that
	// make up a model, and what allocators keep free. Measured: from 3.7 MiB with
	// the built-in model to 5.3 MiB with models of 0.6B weights.
	processBytes = 9 << 19
	// vocabularyPerToken is what vocabularyOf gives for Qwen's vocabulary, for models
	// of which only the size of the vocabulary is known.
	vocabularyPerToken = 325
)

// What llama.cpp keeps of a vocabulary (llama_vocab::impl in llama-vocab.cpp,
// with libstdc++ and glibc on 64 bits), and the program beside it.
const (
	stringBytes   = 32              // std::string, which holds short texts itself
	shortText     = 15              // bytes at most
	tokenEntry    = stringBytes + 8 // id_to_token
	tokenLookup   = 64              // a node of token_to_id
	tokenPiece    = stringBytes     // cache_token_to_piece
	tokenIndex    = 4               // token_ids_full_vocab, of a context
	tokenCopy     = 4 + 1           // offset and flags in the program
	tokenSampling = 12              // a candidate of the sampler
	tokenLeft     = stringBytes     // the file's texts, freed after the load and kept by malloc
	mergeLookup   = 96              // a node of bpe_ranks, which has two strings
	perToken      = tokenEntry + tokenLookup + tokenPiece + tokenIndex + tokenCopy + tokenSampling + tokenLeft
	bucketBytes   = 8
)

// bucketCounts are the sizes that hash tables of libstdc++ grow through.
var bucketCounts = []int64{13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10273, 20753, 42043, 85229, 172933, 351061, 712697, 1447153}

// buckets is the size of the table of an unordered_map with so many entries.
func buckets(n int64) int64 {
	for _, c := range bucketCounts {
		if c >= n {
			return c * bucketBytes
		}
	}
	return 2 * n * bucketBytes
}

// onHeap is what a text takes besides its std::string.
func onHeap(bytes int) int64 {
	if bytes <= shortText {
		return 0
	}
	return max(32, (int64(bytes)+1+8+15)/16*16) // a chunk of malloc
}

// vocabularyOf is what is kept of a file's vocabulary, in bytes.
func vocabularyOf(f *gguf.File) int64 {
	tokens, _ := gguf.Get[[]string](&f.Metadata, "tokenizer.ggml.tokens")
	merges, _ := gguf.Get[[]string](&f.Metadata, "tokenizer.ggml.merges")
	n := perToken*int64(len(tokens)) + buckets(int64(len(tokens)))
	for _, t := range tokens {
		n += 3*onHeap(len(t)) + int64(len(t)) // entry, look-up and piece; the program's text
	}
	if len(merges) > 0 {
		n += mergeLookup*int64(len(merges)) + buckets(int64(len(merges)))
	}
	for _, m := range merges {
		first := len(m)
		for i := 1; i < len(m); i++ { // llama.cpp looks for the space from the second byte on
			if m[i] == ' ' {
				first = i
				break
			}
		}
		n += onHeap(first) + onHeap(max(len(m)-first-1, 0))
	}
	return n
}

// mappingOf is how much of a file stays mapped: llama.cpp gives back what lies
// before the first weight and behind the last.
func mappingOf(f *gguf.File) int64 {
	var n int64
	for i := range f.Tensors {
		n = max(n, f.Tensors[i].Offset+f.Tensors[i].Bytes)
	}
	return n
}

// q4Bytes is how much of a model of the mix Q4_K_M is in Q4_K: all matrices but
// half of the values' and of the last ones of the feed-forward, and but the
// embedding and the output.
func q4Bytes(s catalogue.Shape) int64 {
	outside := s.EmbeddingParameters()
	if !s.Tied {
		outside *= 2
	}
	down := s.FeedForward * s.Embedding
	if s.Experts > 0 {
		down = s.Experts * s.ExpertFeedForward * s.Embedding
	}
	values := s.KVHeads * s.HeadLength * s.Embedding
	return (s.Parameters() - outside - s.Layers*(down+values)/2) * 144 / 256
}

// imageToken is what one token of an image takes in the encoder of Qwen3-VL (27
// layers of 1152, feed-forward 4304, patches of 16 pixels, rows of four times 4096),
// for models of which only the size of the projector is known: gguf.EncoderBytes
// of that shape.
const imageToken = 362_176

// imageBytes is what an image of so many tokens takes besides the projector's
// weights; 0 is the most that the projector makes.
func (m Model) imageBytes(tokens int) int64 {
	if m.encoder != nil {
		return gguf.EncoderBytes(m.encoder, tokens)
	}
	if tokens <= 0 {
		tokens = 4096
	}
	return imageToken * min(int64(tokens), 1<<20)
}
