// Package hubtest is a double of a model hub and of the network of file servers
// behind it, for tests of whoever pulls models.
//
// It answers as the real one does: a list of files with LFS checksums, a
// resolve address that redirects to a signed address of another server, X-Linked
// headers on the way, ranges and ETags at the end of it. On demand it misbehaves
// as the real one and the networks between do. It counts every byte that it
// sends, and keeps every request.
//
// It may import the standard library. It must never be part of the program.
package hubtest
