// Package artifact keeps files by their content: those that requests bring, and
// those that jobs make. A file's name is the SHA-256 of its bytes, so that a
// name never comes from outside and the same content is kept once.
//
// It may import the words of the root package. What must never happen here: a
// path that is made from anything but 64 hexadecimal digits, a file under its
// final name that is not whole, and a file of another user's choice that is
// overwritten.
package artifact
