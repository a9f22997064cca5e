// Package builtinmodel carries the small language model that is part of the
// program, so that the first command works with no network and no download.
//
// The model is of the Qwen3 architecture, about 5 million parameters, trained
// from scratch by the recipe in this folder (README.md says how to repeat it,
// TRAINING.md what came of it). It knows what this program is, its commands
// and endpoints, and simple conversation; asked for more it says that it is
// only the small built-in model. It is called [Name] wherever it is shown and
// is never passed off as one of the Qwen models.
//
// The package imports the standard library only. It owns the bytes: they are
// read-only, shared by every caller, and live as long as the process. Nothing
// here parses, writes or loads them; whoever needs a file on disk copies the
// bytes there and checks them against [SHA256].
//
// Two things must never happen here: the bytes change without their checksum
// (the test fails), and the file grows past what a download of the program
// can bear ([MaxBytes]).
package builtinmodel
