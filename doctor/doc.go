// Package doctor judges what was found on a machine: each check takes facts, as
// plain data, and says in sentences what is wrong, why it matters and which
// command or edit mends it.
//
// The checks are functions of their facts. What reads Linux's /proc and /sys
// reads them from a file system that the caller hands in, so that a test gives
// both a machine of its own. [Run] is the one thing here with a clock: it lets
// checks look at once, each within its own time, and never waits for one that
// hangs.
//
// It may import the root package, the standard library and nothing that opens a
// connection, a database or a model: the caller looks, and tells.
//
// What must never happen here: a change to the machine, a finding above a note
// without the reason and the way to mend it, and a figure in a sentence that was
// not measured.
package doctor
