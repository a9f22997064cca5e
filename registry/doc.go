// Package registry knows which models there are: the built-in one, those that
// the configuration names, and the GGUF files in the home's models folder. It
// knows under which names they answer, where their files lie and whether they
// are sound. A model that is split into several files is one model, at the path
// of its first part.
//
// It looks at files with registry/gguf, in Go, so that nothing which the C
// library would choke on ever reaches it. It does not load models: who holds
// one in memory reports its status here.
//
// It imports the root package and registry/gguf, and reads the file system;
// it opens no network connection.
//
// What must never happen here: a name that resolves to a different model
// without the caller being able to see it, a file put under its final name
// before it was checked, or a path that leaves the models folder.
package registry
