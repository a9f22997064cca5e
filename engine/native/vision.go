package native

import (
	"errors"
	"runtime"

	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/llama"
)

// errNoProjector is what the calls about images give on a decoder that has none:
// who looks at [engine.Info] first does not get it.
var errNoProjector = errors.New("the model was opened without a projector")

// LayOutImage says of what parts an image of that size consists.
func (d *Decoder) LayOutImage(width, height int) ([]engine.ImagePart, error) {
	if d.vision == nil {
		return nil, errNoProjector
	}
	parts, err := d.vision.Layout(width, height)
	if err != nil {
		return nil, err
	}
	out := make([]engine.ImagePart, len(parts))
	for i, p := range parts {
		out[i] = engine.ImagePart{
			Tokens: p.Tokens, NRows: p.NRows, NPos: p.NPos,
			NonCausal: p.Tokens == nil && d.vision.Info().NonCausal,
		}
	}
	return out, nil
}

// EncodeImage computes the rows of an image.
func (d *Decoder) EncodeImage(rgb []byte, width, height int) ([]engine.ImageRows, error) {
	if d.vision == nil {
		return nil, errNoProjector
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer llama.ReleaseThreads() // its pool would slow the steps down for as long as it stays
	parts, err := d.vision.Encode(rgb, width, height)
	if err != nil {
		return nil, err
	}
	out := make([]engine.ImageRows, len(parts))
	for i, p := range parts {
		out[i] = engine.ImageRows(p)
	}
	return out, nil
}

// AbortEncode sets or clears the flag that ends a running EncodeImage early.
func (d *Decoder) AbortEncode(on bool) {
	if d.vision != nil {
		d.vision.Abort(on)
	}
}

// stepImage runs a step of one image. The memory operations are in d.ops.
func (d *Decoder) stepImage(s *engine.Span) (engine.StepInfo, error) {
	if s.Sample {
		return engine.StepInfo{}, errors.New("step: an image is not sampled")
	}
	var info llama.StepInfo
	err := cpu.run(&d.share, func() (err error) {
		info, err = d.context.StepImage(d.ops, s.Seq, s.Pos, llama.ImageRows(*s.Image))
		return err
	})
	if err != nil {
		return engine.StepInfo{}, err
	}
	return toInfo(info), nil
}
