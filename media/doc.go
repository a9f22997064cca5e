// Package media speaks to the workers: servers of their own, in containers or
// not, that make pictures, write down speech, speak, or complete chats. One
// Worker is the client of one such server.
//
// How a request goes:
//
//	Prepare   the request is read, bounded, and refused if it can never run
//	lane      it waits for its turn; a worker gets Concurrency requests at once
//	gate      the health monitor may refuse, at once
//	room      the memory budget makes room
//	dialect   the one protocol call, or the few, that do the work
//
// Files of the package: client.go, guard.go and failure.go are the road to a
// server; lane.go is the queue before it; worker.go and work.go join them. What
// is done for a kind of request is a craft (craft.go): what it refuses, what it
// can use at most, and a function for each dialect. probe.go finds out which
// dialect a server speaks and how it is. image.go with sdapi.go and openai.go,
// transcribe.go, speak.go and chat.go are crafts.
//
// A dialect is a func(ctx, *call) error. ctx ends when the job is cancelled or
// took too long. The call has the request, the client, what a probe found out,
// and keep, which passes a finished artifact on; what came is written into
// call.result. The error is returned as the client made it: it has a code and
// the worker's own words already.
//
// The package may import the root package, media/audio, media/subtitle, the
// standard library, golang.org/x/image for WebP, and go-sse.
//
// What must never happen here: a connection to an address that is not private
// to the machine or its network, unless that is allowed; a redirect followed to
// another host; a request body that a client wrote, a path or a file name that
// it chose, passed on; an answer held in memory as a whole, or read without a
// limit; a picture or a second of sound counted because the worker said so; a
// lane's place kept after its job has ended.
package media
