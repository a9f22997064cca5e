// Package native is the decoder of the engine over llama.cpp: it opens a model
// and a context and satisfies [engine.Decoder] and [engine.Renderer].
//
// It translates and nothing more: there is no policy and no scheduling here. It
// imports engine, for the interface, and llama, and is the only package that
// imports the latter. A [Decoder] owns its model, its context and, if it sees,
// its projector; Close frees them. The engine's loop is the one user of Step and of
// the sequence calls; the vocabulary, samplers, rendering, images and Abort may be
// used from anywhere until Close.
//
// Threads are this package's business: Step keeps its goroutine on one OS thread as
// long as the decoder is the only one on the CPU, and hands the step to a thread
// that all share otherwise (see cores).
//
// What must never happen here: a llama type in an exported name, a retry, a
// choice between what was asked for and something else that is not reported in
// [engine.Info].
package native
