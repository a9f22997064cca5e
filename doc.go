// Package jeantrail is the vocabulary of the project: what a job is, who asks
// for it, what happened to it and what it cost.
//
// Every other package imports this one and says its business in these words;
// this one imports nothing but the standard library, does no I/O, reads no
// clock and starts no goroutine. The types carry no encoding tags: the wire
// format belongs to server, the row format to store.
//
// What must never happen here: a float near Money, a word of HTTP or SQL, or a
// name that only one package needs.
package jeantrail
