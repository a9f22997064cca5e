// Package policy decides what a principal may do: submit work, spend for
// another user, see or stop a job.
//
// Every decision is a pure function of its arguments. The gateway asks before
// it acts, so that no front end has to remember to.
//
// It imports the words of the root package only. What must never happen here:
// I/O, a clock, or a decision that depends on anything but the arguments.
package policy
