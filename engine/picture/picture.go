package picture

import (
	"errors"
	"image"
	_ "image/gif" // formats register themselves
	_ "image/jpeg"
	_ "image/png"
	"io"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/webp"

	"github.com/jeantrail/jeantrail-ai"
)

// maxRatio is how often the short side of an image may go into the long one.
// Models scale images to a number of pixels, and a strip would vanish.
const maxRatio = 200

// Picture is an image in memory.
type Picture struct {
	Width, Height int
	RGB           []byte // three bytes for each pixel, row by row
}

// Decode reads an image. One of more than maxPixels is too_large; a file in a
// format that is not read is unsupported_media, one that is damaged invalid.
func Decode(r io.ReadSeeker, maxPixels int) (*Picture, error) {
	config, format, err := image.DecodeConfig(r)
	if err != nil {
		return nil, unreadable(err)
	}
	if err := checkSize(config.Width, config.Height, maxPixels); err != nil {
		return nil, err
	}
	turn := upright
	if format == "jpeg" {
		if turn, err = readOrientation(r); err != nil {
			return nil, unreadable(err)
		}
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, unreadable(err)
	}
	img, _, err := image.Decode(r)
	if err != nil {
		return nil, unreadable(err)
	}
	// What the pixels are is decided by the image, not by its header.
	b := img.Bounds()
	if err := checkSize(b.Dx(), b.Dy(), maxPixels); err != nil {
		return nil, err
	}
	return turn.apply(flatten(img)), nil
}

func checkSize(width, height, maxPixels int) error {
	if width < 1 || height < 1 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "read image: it has no pixels")
	}
	if width > maxPixels/height {
		return jeantrail.Errorf(jeantrail.CodeTooLarge, "read image: it has %d by %d pixels, the most is %d million in all",
			width, height, maxPixels/1e6).
			WithHint("Send a smaller one: models scale images down to about a million pixels.")
	}
	if width > maxRatio*height || height > maxRatio*width {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "read image: it has %d by %d pixels, one side is more than %d times the other",
			width, height, maxRatio).
			WithHint("Cut it into pieces.")
	}
	return nil
}

func unreadable(err error) error {
	if errors.Is(err, image.ErrFormat) {
		return jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "read image: its format is not known").
			WithHint("Send PNG, JPEG, WebP, GIF or BMP.")
	}
	return jeantrail.Errorf(jeantrail.CodeInvalid, "read image: %w", err).
		WithHint("The file is damaged or cut off. Save it again.")
}

// flatten takes an image's colours, on white where it is transparent.
func flatten(img image.Image) *Picture {
	b := img.Bounds()
	p := &Picture{Width: b.Dx(), Height: b.Dy(), RGB: make([]byte, 3*b.Dx()*b.Dy())}
	at := 0
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, blue, a := rgba(img, x, y)
			rest := 0xffff - a // RGBA gives colours multiplied by their alpha
			p.RGB[at], p.RGB[at+1], p.RGB[at+2] = byte((r+rest)>>8), byte((g+rest)>>8), byte((blue+rest)>>8)
			at += 3
		}
	}
	return p
}

// rgba is img.At(x, y).RGBA() without an allocation for the usual images.
func rgba(img image.Image, x, y int) (r, g, b, a uint32) {
	switch m := img.(type) {
	case *image.NRGBA:
		return m.NRGBAAt(x, y).RGBA()
	case *image.RGBA:
		return m.RGBAAt(x, y).RGBA()
	case *image.YCbCr:
		return m.YCbCrAt(x, y).RGBA()
	case *image.Gray:
		return m.GrayAt(x, y).RGBA()
	}
	return img.At(x, y).RGBA()
}
