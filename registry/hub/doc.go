// Package hub is where the download client for models lives: ranged, resumable,
// verified before a file gets its name.
//
// It imports the root package and the standard library's HTTP client. A token
// is never sent to another host than the one it is for, and nothing is
// installed that registry/gguf has not accepted.
//
// There is no client yet: models are brought in with "model import".
package hub
