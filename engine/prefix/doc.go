// Package prefix keeps the states of conversations that left a KV cache: the
// recently used ones in memory, others in files. One Store serves every engine of
// the process, and has one budget for each of the two. A Shelf is one engine's
// part: what it finds fits its model and its kind of context.
//
// A state that memory has no room for goes to a file unless it is in one already;
// one goroutine writes, and begins before memory is full, so that there usually
// is something that can be dropped at once. Besides the budget, one state at a
// time may be in memory on its way to a file.
//
// A file has its final name only when it is whole and synced. It says what it
// fits, which tokens it stands for, and has a checksum: a file that is cut short,
// damaged or of another format is removed and never given to a decoder, because
// llama.cpp may end the process over one. Names are hashes, and nothing but files
// with such names is touched.
//
// It may import the root package, engine and the standard library.
//
// What must never happen here: a caller without a context waiting for the disk; a
// state given out for other tokens or another model than it was made of; more
// bytes kept than the budgets allow; a file that others than the user may read.
package prefix
