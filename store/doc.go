// Package store keeps jobs, their event logs, results and costs in one SQLite
// file.
//
// It imports the words of the root package, the SQLite driver and the migration
// library, and nothing else of the project. No other package reaches the
// driver.
//
// A Store owns two pools. The writer is a single connection, so that writes
// queue in Go, in order, instead of failing as busy in SQLite; those that wait
// while another commits share the next transaction (group.go), which begins
// immediate. The readers are read-only and never wait for the writer, nor it for
// them (write-ahead log). Every connection is dressed by its DSN, because a
// pragma that was executed once is missing from the connection that the pool
// opens next.
//
// A job moves by UPDATE … WHERE state = ?, and no row means conflict. Every
// public method is atomic; what takes part in a larger transaction has a
// counterpart that ends in Tx.
//
// What must never happen here: a decision about money (gateway/ledger counts,
// this package writes down), a float in an amount, an event log with a hole, a
// wait for a reader, an edited migration, SQLite's own words in an error
// message.
package store
