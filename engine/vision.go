package engine

import (
	"io"

	"github.com/jeantrail/jeantrail-ai"
)

// VisionDecoder is a decoder that may read images: it does if Info.Vision is
// set. Its methods may be called by any goroutine.
type VisionDecoder interface {
	// LayOutImage says of what parts an image of that size in pixels consists.
	LayOutImage(width, height int) ([]ImagePart, error)

	// EncodeImage computes the rows of an image, one value for each part of its
	// layout that is not text. rgb has three bytes for each pixel. It may take
	// seconds, is called by one goroutine at a time, and may run beside Step.
	EncodeImage(rgb []byte, width, height int) ([]ImageRows, error)

	// AbortEncode sets or clears the flag that makes a running EncodeImage end
	// early, with an error.
	AbortEncode(on bool)
}

// ImagePart is a piece of an image in a prompt: tokens that the model wants
// around it, or rows that only EncodeImage can make.
type ImagePart struct {
	Tokens []Token // of text; nil for rows
	NRows  int     // KV cells
	// NPos is how many positions it takes up: NRows, or fewer in a model with
	// positions on several axes.
	NPos int
	// NonCausal rows see each other and must be evaluated at once.
	NonCausal bool
}

// ImageRows are the encoded rows of one part of an image. Only a decoder looks
// into Embd and Rel.
type ImageRows struct {
	NRows, NPos int
	NonCausal   bool
	Embd        []float32
	Rel         []int32
}

// Files opens what a request brought by its content.
type Files interface {
	// Open returns a file's content, or not_found.
	Open(f jeantrail.File) (io.ReadSeekCloser, error)
}

// imagesHint is what to do when a model does not read images.
const imagesHint = "Configure a model that sees: a text model such as Qwen3-VL, and its projector, " +
	"the mmproj file that is offered beside it, as mmproj_path."
