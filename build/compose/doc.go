// Package compose holds the containers that jeantrail-ai works with: the compose
// file itself, and what has to be in the home folder before it can be brought up.
//
// The file is part of the binary, so that "jeantrail-ai worker up" needs no source
// tree. This package says what there is; it runs nothing and touches no disk:
// cmd does, through docker.
//
// It imports nothing of this module. What must never happen here: an image that
// is not pinned, a port that is bound to anything but 127.0.0.1, and a model
// whose licence forbids commercial use.
package compose
