package testkit

import (
	"bytes"
	"encoding/base64"
	"hash/fnv"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
)

// PNG returns a picture of that size in pixels. Equal arguments give equal
// bytes, another seed gives another picture.
func PNG(width, height int, seed int64) []byte {
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&out, paint(width, height, uint64(seed))); err != nil {
		panic("encode a picture of a double: " + err.Error())
	}
	return out.Bytes()
}

// JPEG returns the picture that PNG makes, as a JPEG.
func JPEG(width, height int, seed int64) []byte {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, paint(width, height, uint64(seed)), nil); err != nil {
		panic("encode a picture of a double: " + err.Error())
	}
	return out.Bytes()
}

// paint fills eight by eight tiles with colours drawn from the seed.
func paint(width, height int, seed uint64) image.Image {
	const tiles = 8
	draw := rand.New(rand.NewPCG(seed, seed))
	var colours [tiles][tiles]color.NRGBA
	for y := range tiles {
		for x := range tiles {
			c := draw.Uint32()
			colours[y][x] = color.NRGBA{R: uint8(c), G: uint8(c >> 8), B: uint8(c >> 16), A: 255}
		}
	}
	picture := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		row := picture.Pix[y*picture.Stride:]
		for x := range width {
			c := colours[y*tiles/height][x*tiles/width]
			row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = c.R, c.G, c.B, c.A
		}
	}
	return picture
}

// paintingOf mixes what a picture depends on into the seed of its content.
func paintingOf(seed int64, prompt, negative string) int64 {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(prompt + "\x00" + negative))
	return seed ^ int64(sum.Sum64())
}

func base64Text(data []byte) string { return base64.StdEncoding.EncodeToString(data) }
