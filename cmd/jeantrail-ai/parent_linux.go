package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"
)

// deathSignal is what the kernel sends when the parent dies. It is not one of
// those that stop the process by themselves, because it also comes when only
// the parent's thread that launched us ends, as worker threads of a desktop
// shell do.
const deathSignal = unix.SIGUSR2

// watchDeathSignal asks the kernel for a signal when the parent dies, and
// returns when the parent is gone or ctx ends. parent is its id as it was when
// this process began, so that a parent which died before the request is noticed
// too. The request belongs to the calling thread, which therefore stays with
// this goroutine and ends with it.
func watchDeathSignal(ctx context.Context, parent int) error {
	runtime.LockOSThread()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, deathSignal)
	defer signal.Stop(signals)
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(deathSignal), 0, 0, 0); err != nil {
		return fmt.Errorf("ask for the parent's death signal: %w", err)
	}
	for {
		if os.Getppid() != parent {
			return errParentGone
		}
		select {
		case <-signals: // look again: a thread's end leaves the parent's id as it was
		case <-ctx.Done():
			return nil
		}
	}
}
