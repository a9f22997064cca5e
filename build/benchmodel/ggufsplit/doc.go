// Package ggufsplit cuts model files into parts, as llama.cpp's gguf-split does,
// to test with what hubs offer for large models. It imports registry/gguf.
//
// What must never happen here: a file other than the parts that is written to.
package ggufsplit
