//go:build !linux

package main

import "context"

// watchDeathSignal waits for ctx: only Linux sends such a signal. Standard
// input and the parent's id are watched everywhere.
func watchDeathSignal(ctx context.Context, _ int) error {
	<-ctx.Done()
	return nil
}
