// Package picture turns image files into the pixels that an encoder reads.
//
// Files come from anywhere, so that they are read in Go and never by a C
// decoder, with a limit on pixels that is checked before any are allocated. What
// can be read: PNG, JPEG (turned as its EXIF data asks), GIF (its first frame),
// WebP and BMP. What lies behind transparent pixels is taken to be white.
//
// It may import the root package, the standard library and golang.org/x/image.
//
// What must never happen here: an allocation sized by a file's unchecked word, a
// panic on any input, a part of a damaged image passed off as the whole.
package picture
