// Package ledger counts money: the most that a request can cost, before it
// runs, and what it did cost, afterwards; what the budgets make of it, how far a
// hold reaches, and which alerts are due.
//
// All of it is pure functions of prices and counts, in integer micro-dollars.
// Estimate and Charge agree with each other: usage that stays within the bounds
// never costs more than the estimate for these bounds. That is what makes a
// reservation worth its name, and the tests hold it for random prices and
// counts.
//
// It imports the words of the root package only. What must never happen here:
// a float, a clock, I/O, or an amount that wraps round (sums and products stop
// at jeantrail.MaxMoney).
package ledger
