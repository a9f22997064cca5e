// Package health knows how the workers are. It probes each of them and hears
// how requests to them ended, so that a question about a worker is answered
// from memory and a worker that does not answer is not asked over and over.
//
// The statuses, and what moves a worker there:
//
//	unknown   it was added; the first probe has not ended
//	starting  it was never ready and its grace is not over, or it says itself
//	          that it is loading, for no longer than the grace
//	ready     it answered the last probe as it should
//	degraded  it answered, but slowly while it had nothing to do, or too many
//	          probes and requests of the last minutes failed, or it says so
//	down      it was ready and does not answer, or was not ready within the
//	          grace; an optional worker that never answered is down from the first
//	          probe on, which is no fault
//
// Only a worker's own loop moves it, after a probe. Requests have their say in
// the error rate, and one that fails has the worker probed at once. A probe that
// gets no answer in time while a request is in flight proves nothing: some
// servers answer nobody while they work. The status stays, and Problem says why.
//
// Beside the status each worker has a circuit breaker (gobreaker), which only
// requests open: after some in a row that failed by the worker's fault, the next
// are refused at once. It lets one through after a while, and the first probe
// that succeeds closes it, so that a worker which comes back is used within one
// probe.
//
// It may import the root package, the standard library and gobreaker. How a
// worker is probed is the business of its Prober.
//
// Ownership: a Monitor has a goroutine for each worker and one for the history.
// Stop ends them all and returns when they have ended.
//
// What must never happen here: a request or a page that waits for a probe, a
// worker's loop that is held up by another worker, and a caller's own fault
// (cancelled, invalid, no money) that counts against a worker.
package health
