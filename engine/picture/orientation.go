package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// orientation is how the stored pixels are to be turned, in EXIF's numbers: from
// 5 on rows and columns are exchanged, 2, 3, 4 and their like are mirrored.
type orientation int

const upright orientation = 1

const (
	tagOrientation = 0x0112
	markerSOI      = 0xd8
	markerSOS      = 0xda
	markerAPP1     = 0xe1
)

// readOrientation finds the EXIF orientation of a JPEG file. Metadata that is
// missing or makes no sense means upright: the pixels are what counts. An error
// is the reader's own.
func readOrientation(r io.ReadSeeker) (orientation, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return upright, err
	}
	var head [4]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil || head[0] != 0xff || head[1] != markerSOI {
		return upright, notEOF(err)
	}
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil || head[0] != 0xff || head[1] == markerSOS {
			return upright, notEOF(err)
		}
		size := int(binary.BigEndian.Uint16(head[2:])) - 2
		if size < 0 {
			return upright, nil
		}
		if head[1] != markerAPP1 {
			if _, err := r.Seek(int64(size), io.SeekCurrent); err != nil {
				return upright, err
			}
			continue
		}
		segment := make([]byte, size) // at most 64 KiB
		if _, err := io.ReadFull(r, segment); err != nil {
			return upright, notEOF(err)
		}
		if tiff, ok := bytes.CutPrefix(segment, []byte("Exif\x00\x00")); ok {
			return parseTIFF(tiff), nil
		}
	}
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// parseTIFF reads the orientation from the first directory of EXIF data.
func parseTIFF(b []byte) orientation {
	var order binary.ByteOrder = binary.BigEndian
	switch {
	case len(b) < 8:
		return upright
	case b[0] == 'I' && b[1] == 'I':
		order = binary.LittleEndian
	case b[0] != 'M' || b[1] != 'M':
		return upright
	}
	at := int64(order.Uint32(b[4:]))
	if at < 8 || at+2 > int64(len(b)) {
		return upright
	}
	entries := b[at+2:]
	for range order.Uint16(b[at:]) {
		if len(entries) < 12 {
			return upright
		}
		if order.Uint16(entries) == tagOrientation {
			if o := orientation(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			return upright
		}
		entries = entries[12:]
	}
	return upright
}

// apply turns a picture so that its top is up.
func (o orientation) apply(p *Picture) *Picture {
	if o == upright {
		return p
	}
	turned := &Picture{Width: p.Width, Height: p.Height, RGB: make([]byte, len(p.RGB))}
	if o >= 5 {
		turned.Width, turned.Height = p.Height, p.Width
	}
	for y := range turned.Height {
		for x := range turned.Width {
			fromX, fromY := o.source(x, y, p.Width, p.Height)
			copy(turned.RGB[3*(y*turned.Width+x):][:3], p.RGB[3*(fromY*p.Width+fromX):])
		}
	}
	return turned
}

// source is where in the stored picture, of that size, the pixel comes from that
// is shown at x, y.
func (o orientation) source(x, y, width, height int) (fromX, fromY int) {
	right, bottom := width-1, height-1
	switch o {
	case 2:
		return right - x, y
	case 3:
		return right - x, bottom - y
	case 4:
		return x, bottom - y
	case 5:
		return y, x
	case 6:
		return y, bottom - x
	case 7:
		return right - y, bottom - x
	case 8:
		return right - y, x
	}
	return x, y
}
