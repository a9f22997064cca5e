package picture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"

	"golang.org/x/image/bmp"

	"github.com/jeantrail/jeantrail-ai"
)

// sample has a colour of its own in each corner.
func sample(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(255 * x / max(1, w-1)), uint8(255 * y / max(1, h-1)), 100, 255})
		}
	}
	return img
}

func encode(t *testing.T, write func(w io.Writer) error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func asPNG(t *testing.T, img image.Image) []byte {
	return encode(t, func(w io.Writer) error { return png.Encode(w, img) })
}

func decode(t *testing.T, data []byte) *Picture {
	t.Helper()
	p, err := Decode(bytes.NewReader(data), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.RGB) != 3*p.Width*p.Height {
		t.Fatalf("%d bytes for %d by %d pixels", len(p.RGB), p.Width, p.Height)
	}
	return p
}

func (p *Picture) at(x, y int) [3]byte { return [3]byte(p.RGB[3*(y*p.Width+x):]) }

// webpGreen is a lossless WebP of one pixel.
const webpGreen = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="

func TestDecodeFormats(t *testing.T) {
	img := sample(9, 7)
	for name, data := range map[string][]byte{
		"png":  asPNG(t, img),
		"bmp":  encode(t, func(w io.Writer) error { return bmp.Encode(w, img) }),
		"jpeg": encode(t, func(w io.Writer) error { return jpeg.Encode(w, img, &jpeg.Options{Quality: 100}) }),
		"gif":  encode(t, func(w io.Writer) error { return gif.Encode(w, img, nil) }),
	} {
		p := decode(t, data)
		if p.Width != 9 || p.Height != 7 {
			t.Errorf("%s: %d by %d pixels", name, p.Width, p.Height)
		}
		slack := 0
		if name == "jpeg" || name == "gif" { // both lose colours
			slack = 40
		}
		for _, at := range [][2]int{{0, 0}, {8, 0}, {0, 6}, {8, 6}} {
			want := img.NRGBAAt(at[0], at[1])
			got := p.at(at[0], at[1])
			for i, w := range []uint8{want.R, want.G, want.B} {
				if d := int(got[i]) - int(w); d > slack || d < -slack {
					t.Errorf("%s: pixel %v is %v, want %v", name, at, got, want)
				}
			}
		}
	}
	webp, err := base64.StdEncoding.DecodeString(webpGreen)
	if err != nil {
		t.Fatal(err)
	}
	if p := decode(t, webp); p.Width != 1 || p.Height != 1 {
		t.Errorf("webp: %d by %d pixels", p.Width, p.Height)
	}
}

func TestTransparentIsWhite(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 3, 1))
	img.SetNRGBA(0, 0, color.NRGBA{200, 100, 0, 0})
	img.SetNRGBA(1, 0, color.NRGBA{0, 0, 0, 128})
	img.SetNRGBA(2, 0, color.NRGBA{200, 100, 0, 255})
	p := decode(t, asPNG(t, img))
	if p.at(0, 0) != [3]byte{255, 255, 255} || p.at(1, 0) != [3]byte{127, 127, 127} || p.at(2, 0) != [3]byte{200, 100, 0} {
		t.Errorf("pixels are %v", p.RGB)
	}
}

// withOrientation puts EXIF data behind the head of a JPEG file.
func withOrientation(data []byte, order binary.AppendByteOrder, o uint16) []byte {
	tiff := []byte("MM\x00*")
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		tiff = []byte("II*\x00")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2)
	for _, entry := range [][4]uint16{{0x010f, 3, 1, 7}, {tagOrientation, 3, 1, o}} {
		tiff = order.AppendUint16(tiff, entry[0])
		tiff = order.AppendUint16(tiff, entry[1])
		tiff = order.AppendUint32(tiff, uint32(entry[2]))
		tiff = order.AppendUint16(tiff, entry[3])
		tiff = order.AppendUint16(tiff, 0)
	}
	tiff = order.AppendUint32(tiff, 0)
	segment := append([]byte("Exif\x00\x00"), tiff...)
	out := append([]byte{0xff, 0xd8, 0xff, 0xe2, 0, 4, 1, 2, 0xff, markerAPP1}, binary.BigEndian.AppendUint16(nil, uint16(len(segment)+2))...)
	return append(append(out, segment...), data[2:]...)
}

func TestOrientation(t *testing.T) {
	plain := encode(t, func(w io.Writer) error { return jpeg.Encode(w, sample(16, 8), &jpeg.Options{Quality: 100}) })
	upright := decode(t, plain)
	corner := func(p *Picture, right, bottom bool) [3]byte {
		x, y := 0, 0
		if right {
			x = p.Width - 1
		}
		if bottom {
			y = p.Height - 1
		}
		return p.at(x, y)
	}
	// Where the stored top left and top right are to be seen, by EXIF's numbers.
	type place struct{ right, bottom bool }
	for o, want := range map[uint16][2]place{
		1: {{false, false}, {true, false}}, 2: {{true, false}, {false, false}},
		3: {{true, true}, {false, true}}, 4: {{false, true}, {true, true}},
		5: {{false, false}, {false, true}}, 6: {{true, false}, {true, true}},
		7: {{true, true}, {true, false}}, 8: {{false, true}, {false, false}},
	} {
		for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
			p := decode(t, withOrientation(plain, order, o))
			if turned := o >= 5; turned != (p.Width == 8) {
				t.Errorf("orientation %d: %d by %d pixels", o, p.Width, p.Height)
			}
			if corner(p, want[0].right, want[0].bottom) != corner(upright, false, false) ||
				corner(p, want[1].right, want[1].bottom) != corner(upright, true, false) {
				t.Errorf("orientation %d: the corners are wrong", o)
			}
		}
	}
	// What makes no sense is ignored.
	for _, o := range []uint16{0, 9, 65535} {
		if p := decode(t, withOrientation(plain, binary.BigEndian, o)); p.Width != 16 {
			t.Errorf("orientation %d turned it", o)
		}
	}
	cut := withOrientation(plain, binary.BigEndian, 6)
	cut[18+4] = 0xff // the directory lies far behind the end
	if p := decode(t, cut); p.Width != 16 {
		t.Error("a broken directory turned it")
	}
}

func TestDecodeRefuses(t *testing.T) {
	whole := asPNG(t, sample(50, 40))
	huge := bytes.Clone(whole)
	binary.BigEndian.PutUint32(huge[16:], 1<<30) // the width; nothing may be allocated by it
	for name, c := range map[string]struct {
		data []byte
		code jeantrail.Code
		says string
	}{
		"nothing":         {nil, jeantrail.CodeUnsupportedMedia, "format"},
		"words":           {[]byte("not an image"), jeantrail.CodeUnsupportedMedia, "format"},
		"cut off":         {whole[:len(whole)-30], jeantrail.CodeInvalid, "read image"},
		"head only":       {whole[:20], jeantrail.CodeInvalid, "read image"},
		"too many pixels": {asPNG(t, sample(1200, 1000)), jeantrail.CodeTooLarge, "1200 by 1000"},
		"a lie":           {huge, jeantrail.CodeInvalid, "read image"}, // its checksum no longer holds
		"a strip":         {asPNG(t, sample(401, 2)), jeantrail.CodeInvalid, "more than 200 times"},
		"a tall strip":    {asPNG(t, sample(1, 201)), jeantrail.CodeInvalid, "more than 200 times"},
	} {
		p, err := Decode(bytes.NewReader(c.data), 1<<20)
		if e := jeantrail.AsError(err); p != nil || e.Code != c.code || !strings.Contains(e.Message, c.says) || e.Hint == "" {
			t.Errorf("%s: %s: %v (%s)", name, e.Code, err, e.Hint)
		}
	}
}

func FuzzDecode(f *testing.F) {
	var out bytes.Buffer
	if err := png.Encode(&out, sample(5, 4)); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	out.Reset()
	if err := jpeg.Encode(&out, sample(8, 8), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(withOrientation(out.Bytes(), binary.BigEndian, 6))
	webp, _ := base64.StdEncoding.DecodeString(webpGreen)
	f.Add(webp)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(bytes.NewReader(data), 1<<16)
		if (p == nil) == (err == nil) {
			t.Fatalf("picture %v, error %v", p, err)
		}
		if p != nil && (len(p.RGB) != 3*p.Width*p.Height || p.Width*p.Height > 1<<16) {
			t.Fatalf("%d bytes for %d by %d", len(p.RGB), p.Width, p.Height)
		}
	})
}
