package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// A sidecar must never outlive the app that launched it. There are three ways
// to notice that the app is gone, and each alone has a hole: standard input
// may be inherited by another child and stay open, a process id may be used
// again, and the kernel's death signal comes only on Linux. So all are used.

// errParentGone is why a sidecar stops by itself.
var errParentGone = errors.New("the app that launched this process is gone")

// parentPoll is how often the parent is looked for.
const parentPoll = 500 * time.Millisecond

// watchStdin returns when standard input ends, or ctx does. The read cannot be
// interrupted, so its goroutine ends with the process; nothing waits for it.
func watchStdin(ctx context.Context, in io.Reader) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, in) // any error means the same as the end
	}()
	select {
	case <-ended:
		return errParentGone
	case <-ctx.Done():
		return nil
	}
}

// watchParent returns when the process with that id is no longer the one that
// it was at the first look, or ctx ends.
func watchParent(ctx context.Context, pid int) error {
	born, err := bornAt(ctx, pid)
	if err != nil {
		return errParentGone
	}
	ticker := time.NewTicker(parentPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			// The same number with another birth is another process. A zombie is
			// dead, whether or not somebody has collected it.
			if now, err := bornAt(ctx, pid); ctx.Err() == nil && (err != nil || now != born) {
				return errParentGone
			}
		}
	}
}

// bornAt tells when a living process was created, in milliseconds.
func bornAt(ctx context.Context, pid int) (int64, error) {
	p, err := process.NewProcessWithContext(ctx, int32(pid))
	if err != nil {
		return 0, err
	}
	status, err := p.StatusWithContext(ctx)
	if err == nil && len(status) > 0 && status[0] == process.Zombie {
		return 0, os.ErrProcessDone
	}
	return p.CreateTimeWithContext(ctx)
}
