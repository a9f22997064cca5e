// Package gateway is the one road of every job: admit, price, reserve, run,
// stream, settle. Whatever a job produces, and whoever asks, it passes here, so
// that nothing is run unpriced and nothing is charged twice.
//
// A Gateway owns one goroutine for each unfinished job and one committer that
// groups what all of them report into few transactions; Stop waits for them.
// The life of a job does not hang on the call that submitted it: a job that is
// not async is held by leases (Lease) and is cancelled when the last one goes.
// Two transactions frame the work: Admit writes the job together with its
// reservation, Settle writes the final state together with the cost and frees
// the reservation. What a crash leaves between the two is closed by Recover.
//
// Before the first of them a request is appraised (appraise.go): a template is
// filled, the backend reads the request, it is priced, the optimisation rules
// may change it, and the result cache may answer it. Whether the budgets have
// room is decided inside the transaction, by ledger, on the sums that stand in
// it; what was seen before is only a hint for the rules.
//
// A pipeline (package workflow) is work like any other, whose stages come back to
// Submit as jobs of their own; it is appraised by what they can cost, and an
// async one is taken up again by Recover where an earlier process left it
// (resume.go). Files that jobs make go to the disk before their event goes to the
// log, and what is charged for them is counted in the log.
//
// The package imports the words of the root package, its pure parts (ledger,
// policy, prompt) and nothing that talks to a network, a disk or a model: those come
// in through the interfaces of ports.go and cmd joins them.
//
// What must never happen here: a backend that waits for a reader, a store call
// under a mutex, a price applied outside ledger, a terminal event that is shown
// before it is stored, or prompt and result text in a log.
package gateway
