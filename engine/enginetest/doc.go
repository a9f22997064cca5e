// Package enginetest has a Decoder that runs a script instead of a model, for
// tests of engine and of everything that stands on it.
//
// It is strict where llama.cpp is: a span must begin where its sequence ends, a
// sequence may be in a batch once, there must be a cell for each token, a cache
// that is not unified copies whole sequences only. What breaks a rule makes
// Step fail and stays in Fake.Err, so that a test cannot overlook it.
//
// What it samples depends on the tokens in its cache and on the seed alone.
// Text that is the same alone and in a crowd therefore proves that the engine
// kept the cache in order.
//
// It may import engine and the standard library. It must never be part of the
// program.
package enginetest
