// Package ledger counts money: the most that a request can cost, before it
// runs, and what it did cost, afterwards.
//
// Both are pure functions of a price and of counts, in integer micro-dollars.
// They agree with each other: usage that stays within the bounds never costs
// more than the estimate for these bounds. That is what makes a reservation
// worth its name, and the tests hold it for random prices and counts.
//
// It imports the words of the root package only. What must never happen here:
// a float, a clock, I/O, or an amount that wraps round (sums and products stop
// at jeantrail.MaxMoney).
package ledger
