// Package server is the front of the process: HTTP, Server-Sent Events and
// WebSocket on one listener.
//
// It finds out who asks (Host, Origin and token, in guard.go and auth.go), turns
// what they ask into a jeantrail.Request (decode.go; request.go, media.go and
// pipeline.go; form.go and files.go for what is uploaded), hands it to the Road
// and writes what comes back (encode*.go, artifact.go). What is about budgets,
// rules, prices, costs and templates goes to Money in the same way, and downloads
// of models to Pulls. Handlers decode, call and encode; a decision about a job or
// about money is not theirs. Every route stands in routes.go, every error code's
// status in error.go, every wire type in a file of its own, and the OpenAPI
// document is generated from these, so that it cannot say anything else.
//
// Uploads go to Files as they arrive and are in no request: that has their
// checksum only.
//
// It may import the root package and libraries. It must not import engine,
// llama, media, store or registry: what it needs of them it declares in ports.go, and
// cmd joins the two.
//
// Ownership: a Server owns its listeners, its open streams and its sockets;
// StopAccepting and Shutdown end them. The job that a stream shows belongs to
// the Road; a stream holds a lease on it and gives it back when its client goes.
//
// What must never happen here: an error that is shown without its code's row in
// the table, a body or a prompt in the log, a wildcard in a CORS header, a secret
// compared with ==, a write to a client without a deadline, a field of a request
// that is read and then silently not honoured, a file's name that a client chose
// kept or passed on, an upload held in memory, or a URL fetched for somebody (a
// model's is handed on to Pulls, for administrators only).
package server
