// Package projector writes multimodal projectors (mmproj files) with random
// weights: tiny ones, in forms that llama.cpp's libmtmd loads, with which a text
// model of package qwen3 reads images in tests. They see nothing, but what they
// make of an image depends on every pixel, and with a fixed seed it is the same
// every time.
//
// Imports: the standard library and registry/gguf. It owns no state.
//
// What must never happen here: weights that depend on anything but the seed, the
// tensor's name and its size.
package projector
