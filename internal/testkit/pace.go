package testkit

import (
	"context"
	"errors"
	"time"
)

// errStopped ends work whose server went down.
var errStopped = errors.New("the server is stopping")

// tick is one of so many steps of a request's work. A server that works on
// when its client has gone passes a context that is never done.
func (s *Server) tick(ctx context.Context, steps int) error {
	stop := s.stopped()
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return ctx.Err()
		case <-stop:
			return errStopped
		}
	}
	if s.delay == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(s.delay / time.Duration(max(steps, 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-stop:
		return errStopped
	}
}

// stopped returns what is closed when the server goes down.
func (s *Server) stopped() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return s.run.stop
}

// slots lets so many through at once. One is a mutex.
type slots chan struct{}

// take waits for a slot as long as the context and the server last.
func (l slots) take(ctx context.Context, s *Server) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped():
		return errStopped
	}
}

func (l slots) give() { <-l }
