package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/jeantrail/jeantrail-ai"
)

// encoding is an image on its way from pixels to rows.
type encoding struct {
	q     *sequence // that it is encoded for; others may profit
	image int
	rows  []ImageRows
	err   error
}

// see begins to encode the first image that is wanted, if none is being encoded.
// It happens beside the steps, because it may take longer than any of them.
func (e *Engine) see(wanted []wanted) {
	if e.encoding != nil || len(wanted) == 0 {
		return
	}
	w := wanted[0]
	c := &encoding{q: w.q, image: w.image}
	e.encoding = c
	key := w.q.images[w.image].key
	w.q.stream.report(w.q.imageProgress(w.image))
	file := w.q.files[key.sha256]
	e.encoders.Go(func() {
		c.rows, c.err = e.encode(file)
		e.mu.Lock()
		e.seen = c
		e.mu.Unlock()
		e.wake()
	})
}

// encode reads a file and encodes it. A panic is an error: it came from an image.
func (e *Engine) encode(file jeantrail.File) (rows []ImageRows, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	// Nobody waits for a cancelled one: the pixels are there in milliseconds.
	p, err := e.readPicture(context.Background(), file)
	if err != nil {
		return nil, err
	}
	return e.vision.EncodeImage(p.RGB, p.Width, p.Height)
}

// takeIn gives an encoded image to those who wait for it.
func (e *Engine) takeIn(c *encoding) {
	e.encoding = nil
	if c.q.ended {
		e.vision.AbortEncode(false) // it was perhaps set to end this one
	}
	key := c.q.images[c.image].key
	switch err := c.err; {
	case c.q.ended && err != nil:
	case err != nil:
		var known *jeantrail.Error // about the file, which was sound when it was laid out
		if !errors.As(err, &known) {
			err = jeantrail.Errorf(jeantrail.CodeInternal, "encode image: %w", err)
		}
		e.end(c.q, jeantrail.FinishError, err)
	case !laidOut(c.q, key.sha256, c.rows):
		e.end(c.q, jeantrail.FinishError, jeantrail.Errorf(jeantrail.CodeInternal, "encode image: it came out in another size than it was laid out"))
	default:
		e.sched.encoded(key.sha256, c.rows)
	}
}

// laidOut reports whether the parts of an image are what a prompt has room for.
func laidOut(q *sequence, sha256 string, parts []ImageRows) bool {
	for _, i := range q.images {
		if i.key.sha256 != sha256 {
			continue
		}
		if i.key.part >= len(parts) || parts[i.key.part].NRows != i.rows || parts[i.key.part].NPos != i.positions {
			return false
		}
	}
	return true
}

// unsee ends the encoding of an image for a sequence that has ended.
func (e *Engine) unsee(q *sequence) {
	if e.encoding != nil && e.encoding.q == q {
		e.vision.AbortEncode(true)
	}
}

// progress is how much of the prompt is done, or what it waits for.
func (q *sequence) progress() jeantrail.Progress {
	if q.awaiting() {
		return q.imageProgress(q.imageAt(q.next()))
	}
	return jeantrail.Progress{Stage: "prompt", Done: int64(q.next()), Total: int64(len(q.tokens)), Unit: "tokens"}
}

// imageProgress counts the images that come before one of them in the prompt.
func (q *sequence) imageProgress(image int) jeantrail.Progress {
	before := map[string]bool{}
	for _, i := range q.images[:image] {
		before[i.key.sha256] = true
	}
	delete(before, q.images[image].key.sha256)
	return jeantrail.Progress{Stage: "image", Done: int64(len(before)), Total: int64(len(q.files)), Unit: "images"}
}
