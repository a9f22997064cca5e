// Package qwen3 writes models of the Qwen3 architecture with random weights:
// the real shapes, names, types and vocabulary, and no knowledge. Such a model
// runs at the speed of the real one, and with a fixed seed its greedy output is
// the same every time, so it serves benchmarks and golden tests.
//
// Imports: the standard library and registry/gguf. It owns no state; Write
// holds one buffer, whatever the size of the model.
//
// What must never happen here: weights that depend on anything but the seed,
// the tensor's name and its size, or a model that could be taken for a trained
// one (its general.name says that it is random).
package qwen3
