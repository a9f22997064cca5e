// Package catalogue is the list of models that a person can ask for by a short
// name: what each is, where its files are, what it needs and under which licence
// it is. The list is data in the program, so that it is there without a network.
//
// Sizes and checksums are those of the hub's files when the list was written. A
// fact that could not be read from a source is named under Unverified; the pull
// holds every file against what the hub says of it, whatever the list says.
//
// It may import the root package. It holds no state and opens no connection.
//
// What must never happen here: a name for a model that nobody published, a fact
// that is guessed and not marked so, or a name that means two models.
package catalogue
