package native

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/jeantrail/jeantrail-ai/llama"
)

// cores shares the CPU out among the decoders of the process.
//
// OpenMP keeps a pool of compute threads for each thread that computes. More than
// one pool, even an idle one, makes every step slower (see
// [llama.ReleaseThreads]), and steps at once would fight for the CPUs anyway. So
// there is one pool: with one decoder open it belongs to the thread of its loop,
// which no step leaves; with more of them to one thread that runs the steps of
// all in turn.
type cores struct {
	mu      sync.Mutex
	members map[*share]bool
	compute atomic.Pointer[compute] // while there are two members or more
}

// share is a decoder's part of the cores.
type share struct {
	joined bool
	held   bool       // the goroutine of Step is locked to a thread that has a pool
	done   chan error // capacity 1: what a step on the compute thread ended with
	mu     sync.Mutex
	wake   func() // makes the loop call Rest; nil: nobody can
}

// cpu is the one that all decoders share, but for those that are on a GPU whole.
var cpu cores

// join counts a decoder in. From the second on, the others are asked to let go
// of their pools: a loop that sleeps would keep its own.
func (c *cores) join(s *share) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.joined, s.done = true, make(chan error, 1)
	if c.members == nil {
		c.members = make(map[*share]bool)
	}
	c.members[s] = true
	if len(c.members) != 2 {
		return
	}
	c.compute.Store(newCompute())
	for other := range c.members {
		other.rouse()
	}
}

// leave counts a decoder out. The one that remains computes by itself again.
func (c *cores) leave(s *share) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.joined {
		return
	}
	s.joined = false
	delete(c.members, s)
	switch w := c.compute.Load(); {
	case w != nil && len(c.members) == 1:
		c.compute.Store(nil)
		w.end()
	case w != nil:
		w.forget(s)
	}
}

// run runs a step, on the compute thread if there is one.
func (c *cores) run(s *share, step func() error) error {
	if w := c.sharing(s); w != nil {
		s.release()
		if ok, err := w.do(s, step); ok {
			return err
		}
	}
	s.hold()
	return step()
}

// sharing returns the thread that computes for a decoder, nil if that is the
// caller's.
func (c *cores) sharing(s *share) *compute {
	if !s.joined {
		return nil
	}
	return c.compute.Load()
}

// hold keeps the calling goroutine on its thread, whose pool comes with the step.
func (s *share) hold() {
	if !s.held {
		s.held = true
		runtime.LockOSThread()
	}
}

// release undoes hold, and ends the pool.
func (s *share) release() {
	if s.held {
		s.held = false
		llama.ReleaseThreads()
		runtime.UnlockOSThread()
	}
}

func (s *share) rouse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake != nil {
		s.wake()
	}
}

// OnCrowded names a function that is called, from any goroutine, when the loop is
// to call Rest soon although it may be asleep.
func (d *Decoder) OnCrowded(wake func()) {
	d.share.mu.Lock()
	defer d.share.mu.Unlock()
	d.share.wake = wake
}

// Rest is called by the goroutine of Step when there is nothing to step, and with
// over set when there never will be again. It gives the compute threads back where
// they are in somebody's way.
func (d *Decoder) Rest(over bool) {
	if over || cpu.sharing(&d.share) != nil {
		d.share.release()
	}
}
