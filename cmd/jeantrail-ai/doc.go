// Command jeantrail-ai gives a desktop app every local AI model on the
// machine: it loads text models in its own process and serves them, with jobs
// and their costs, over HTTP on the loopback interface.
//
// This package is the wiring, and the only one that knows all others: app.go
// joins engine, registry, store, gateway and server; the commands talk to the
// instance that runs on the same home, or start one of their own for as long
// as they need it (session.go).
//
// What goes where: standard output carries what a command was asked for, and
// in a sidecar the handshake, one JSON object a line; everything else, logs
// and progress included, goes to standard error.
//
// What must never happen here: business that another package should know, a
// listener that is not on loopback without a key, or an exit that leaves a job
// unsettled.
package main
