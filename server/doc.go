// Package server is the front of the process: HTTP, Server-Sent Events and
// WebSocket on one listener.
//
// It finds out who asks (Host, Origin and token, in guard.go and auth.go), turns
// what they ask into a jeantrail.Request (decode.go, request.go), hands it to the
// Road and writes what comes back. What is about budgets, rules, prices, costs
// and templates goes to Money in the same way. Handlers decode, call and encode;
// a decision about a job or about money is not theirs. Every route stands in
// routes.go, every error code's status in error.go, every wire type in a file of
// its own, and the OpenAPI document is generated from these, so that it cannot
// say anything else.
//
// It may import the root package and libraries. It must not import engine,
// llama, store or registry: what it needs of them it declares in ports.go, and
// cmd joins the two.
//
// Ownership: a Server owns its listeners, its open streams and its sockets;
// StopAccepting and Shutdown end them. The job that a stream shows belongs to
// the Road; a stream holds a lease on it and gives it back when its client goes.
//
// What must never happen here: an error that is shown without its code's row in
// the table, a body or a prompt in the log, a wildcard in a CORS header, a secret
// compared with ==, a write to a client without a deadline, or a field of a
// request that is read and then silently not honoured.
package server
