package media

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"image"
	_ "image/jpeg" // the formats that DecodeConfig knows
	_ "image/png"
	"io"
	"strings"

	_ "golang.org/x/image/webp"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	maxPicture     = 128 << 20 // bytes of one
	maxPictureSide = 1 << 15   // pixels
	maxExtras      = 16        // pictures that come beside those that were asked for
	maxURL         = 8 << 10
)

// receive decodes a string of base64, with or without "data:…," before it, as it
// comes. A string that is a web address is not decoded but returned.
func (c *call) receive(text io.Reader) (s *spool, address string, err error) {
	in := bufio.NewReader(text)
	head, _ := in.Peek(5)
	switch {
	case string(head) == "data:":
		if _, err := in.ReadSlice(','); err != nil {
			return nil, "", errSyntax
		}
	case string(head) == "http:" || string(head) == "https":
		b, err := io.ReadAll(io.LimitReader(in, maxURL))
		if err != nil {
			return nil, "", err
		}
		return nil, string(b), drain(in)
	}
	if s, err = c.fill(base64.NewDecoder(base64.StdEncoding, in)); err != nil {
		return nil, "", err
	}
	return s, "", drain(in)
}

// drain reads to the end, so that what stands after can be read.
func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// fill puts what r gives on the disk.
func (c *call) fill(r io.Reader) (*spool, error) {
	s, err := c.worker.newSpool()
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(s, io.LimitReader(r, maxPicture+1))
	if err == nil && s.size > maxPicture {
		err = c.unreadable("sent a picture of more than %d bytes", maxPicture).WithNumber("limit", maxPicture)
	}
	if err == nil {
		err = s.rewind()
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// garbled says what is wrong with an answer that could not be read to its end.
func (c *call) garbled(ctx context.Context, a *answer, err error) error {
	var own *jeantrail.Error
	var corrupt base64.CorruptInputError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &own):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return c.unreadable("broke off its answer before it was complete")
	case errors.Is(err, errSyntax):
		kind := plain(a.header.Get("Content-Type"), 80)
		e := c.unreadable("did not answer in the JSON of its dialect, but with %s", kind)
		e.Err = err
		return e
	case errors.As(err, &corrupt):
		return c.unreadable("sent a picture that is not in base64")
	}
	return err
}

// keepPicture passes a picture on if it is one, and reports whether it was.
func (c *call) keepPicture(s *spool, seed *int64) (bool, error) {
	config, format, err := image.DecodeConfig(bufio.NewReader(s))
	if err != nil || config.Width < 1 || config.Height < 1 || config.Width > maxPictureSide || config.Height > maxPictureSide ||
		!whole(s, format) {
		return false, nil
	}
	if err := s.rewind(); err != nil {
		return false, err
	}
	a := jeantrail.Artifact{Kind: jeantrail.ArtifactImage, Width: config.Width, Height: config.Height, Seed: seed}
	a.MediaType = "image/" + format
	return true, c.keep(a, s)
}

// whole reports whether a picture's file goes to its end. Its beginning says how
// large it is, and is there also if the rest is not.
func whole(s *spool, format string) bool {
	switch format {
	case "png":
		return wholePNG(s, s.size)
	case "jpeg":
		tail := make([]byte, min(s.size, 64))
		_, err := s.ReadAt(tail, s.size-int64(len(tail)))
		return err == nil && bytes.Contains(tail, []byte{0xFF, 0xD9}) // end of image
	case "webp":
		var head [8]byte
		_, err := s.ReadAt(head[:], 0)
		return err == nil && int64(binary.LittleEndian.Uint32(head[4:]))+8 <= s.size
	}
	return false
}

// wholePNG goes from chunk to chunk until the last.
func wholePNG(r io.ReaderAt, size int64) bool {
	var head [8]byte
	for at := int64(8); at+12 <= size; {
		if _, err := r.ReadAt(head[:], at); err != nil {
			return false
		}
		at += 12 + int64(binary.BigEndian.Uint32(head[:4])) // length, type and checksum
		if string(head[4:]) == "IEND" {
			return at <= size
		}
	}
	return false
}

// fetch gets a picture from the worker itself. Nobody else is asked.
func (c *call) fetch(ctx context.Context, address string) (*spool, error) {
	path, own := strings.CutPrefix(address, strings.TrimSuffix(c.base.String(), "/"))
	if !own || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") {
		return nil, c.unreadable("sends its pictures as addresses of another host, which are not followed")
	}
	a, err := c.do(ctx, query{path: path, limit: maxPicture})
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return c.fill(a)
}
