package enginetest

import (
	"errors"
	"hash/fnv"

	"github.com/jeantrail/jeantrail-ai/engine"
)

// An image of the fake is "(", as many rows as it is wide, and ")". As in models
// with positions on several axes it takes up fewer positions than rows.
const imagePositions = 2

// LayOutImage implements engine.VisionDecoder.
func (f *Fake) LayOutImage(width, height int) ([]engine.ImagePart, error) {
	if width == height {
		return nil, errors.New("square images confuse the fake")
	}
	return []engine.ImagePart{
		{Tokens: []engine.Token{'('}, NRows: 1, NPos: 1},
		{NRows: width, NPos: min(width, imagePositions), NonCausal: height == 1},
		{Tokens: []engine.Token{')'}, NRows: 1, NPos: 1},
	}, nil
}

// EncodeImage implements engine.VisionDecoder. The rows are tokens that depend
// on the pixels.
func (f *Fake) EncodeImage(rgb []byte, width, _ int) ([]engine.ImageRows, error) {
	f.mu.Lock()
	if f.encoding {
		f.errs = append(f.errs, errors.New("two images are encoded at once"))
	}
	f.encoding = true
	f.mu.Unlock()
	var err error
	if f.cfg.OnEncode != nil {
		err = f.cfg.OnEncode()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.encoding = false
	switch {
	case err != nil:
		return nil, err
	case f.blinded:
		return nil, errors.New("aborted")
	}
	f.encoded++
	rows := engine.ImageRows{NRows: width, NPos: min(width, imagePositions)}
	h := fnv.New32a()
	h.Write(rgb)
	for i := range width {
		h.Write([]byte{byte(i)})
		rows.Embd = append(rows.Embd, -2-float32(h.Sum32()%60000))
	}
	return []engine.ImageRows{rows}, nil
}

// AbortEncode implements engine.VisionDecoder.
func (f *Fake) AbortEncode(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blinded = on
}

// evaluateImage puts an image into the cache, all of it or nothing.
func (f *Fake) evaluateImage(s engine.Span) (rows int, aborted bool) {
	if f.cfg.OnUBatch != nil {
		f.cfg.OnUBatch(0)
	}
	if f.isAborting() {
		return 0, true
	}
	f.cache.extendImage(s.Seq, s.Image)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.images++
	f.rows += s.Image.NRows
	return s.Image.NRows, false
}

// Encoded is how many images were encoded.
func (f *Fake) Encoded() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.encoded
}

// Images is how many steps of an image there were.
func (f *Fake) Images() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.images
}
