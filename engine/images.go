package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine/picture"
)

// layouts are the parts of a request's images, in the order of the images.
type layouts struct {
	files []jeantrail.File
	parts [][]ImagePart
}

// byHash lists the files by their SHA-256; nil if there are none.
func (l layouts) byHash() map[string]jeantrail.File {
	if len(l.files) == 0 {
		return nil
	}
	files := make(map[string]jeantrail.File, len(l.files))
	for _, f := range l.files {
		files[f.SHA256] = f
	}
	return files
}

// append puts image n into a prompt.
func (l layouts) append(to *history, n int) {
	part := 0
	for _, p := range l.parts[n] {
		if p.Tokens != nil {
			to.tokens = append(to.tokens, p.Tokens...)
			continue
		}
		to.appendImage(p.NRows, p.NPos, imageKey{sha256: l.files[n].SHA256, part: part})
		part++
	}
}

// layOut reads a request's images: each must decode, and is asked of how many
// rows it will be. The pixels are not kept: a request may wait for long, and
// reads its files again when its turn comes.
func (e *Engine) layOut(ctx context.Context, images []jeantrail.File) (layouts, error) {
	l := layouts{files: images}
	if len(images) == 0 {
		return l, nil
	}
	if e.vision == nil || e.opts.Files == nil {
		return l, jeantrail.Errorf(jeantrail.CodeUnsupported, "the model %s does not read images", e.opts.Model).WithHint(imagesHint)
	}
	known := make(map[string][]ImagePart)
	for n, file := range images {
		parts, ok := known[file.SHA256]
		if !ok {
			var err error
			if parts, err = e.layOutOne(ctx, file); err != nil {
				return l, aboutImage(err, n, len(images))
			}
			known[file.SHA256] = parts
		}
		l.parts = append(l.parts, parts)
	}
	return l, nil
}

// aboutImage says which of several images an error is about.
func aboutImage(err error, n, of int) error {
	var e *jeantrail.Error
	if of == 1 || !errors.As(err, &e) {
		return err
	}
	about := *e
	about.Message = fmt.Sprintf("image %d of %d: %s", n+1, of, e.Message)
	return &about
}

func (e *Engine) layOutOne(ctx context.Context, file jeantrail.File) ([]ImagePart, error) {
	p, err := e.readPicture(ctx, file)
	if err != nil {
		return nil, err
	}
	parts, err := e.vision.LayOutImage(p.Width, p.Height)
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the model cannot take an image of %d by %d pixels: %w", p.Width, p.Height, err).
			WithHint("Send it in another size.")
	}
	atOnce := min(e.info.NBatch, e.info.NUBatch)
	for _, part := range parts {
		if part.Tokens == nil && part.NonCausal && part.NRows > atOnce {
			return nil, jeantrail.Errorf(jeantrail.CodeUnsupported,
				"an image is %d tokens that the model must read at once, it is set up for %d", part.NRows, atOnce).
				WithHint("Run the model with a larger n_ubatch.")
		}
	}
	return parts, nil
}

// readPicture opens and decodes a file. Pictures are large in memory, so that
// few are at a time.
func (e *Engine) readPicture(ctx context.Context, file jeantrail.File) (*picture.Picture, error) {
	select {
	case e.pictures <- struct{}{}:
		defer func() { <-e.pictures }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	f, err := e.opts.Files.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	return picture.Decode(f, e.opts.MaxPixels)
}
