// Package hub brings models from a Hugging Face style hub, or from any http or
// https address, into the models folder.
//
// A file is fetched in parts, several at a time. What was fetched lies in the
// folder .incoming beside the models, with a map of its parts, so that the next
// pull goes on where the last one ended, however it ended. A file gets its own
// name when it is whole, its SHA-256 is the expected one and the check that
// Options names has accepted it; no byte of it is seen under that name before.
// The parts of a split model are checked together when all are there, and the
// first, without which the others are no model, gets its name last.
//
// Two pulls of one model in a process share the work and the progress; a lock
// file keeps two processes apart. A pull takes a few megabytes of memory,
// whatever the size of the model.
//
// It may import the root package, registry, registry/gguf for the names of parts,
// the standard library, the lock file's library and golang.org/x/sys.
//
// What must never happen here: a token sent to another host than the hub's, a
// path that comes from outside, a file under its final name that was not
// checked, an address that is neither http nor https, or a part counted as
// fetched that a power cut can undo.
package hub
