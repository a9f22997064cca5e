package server

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// streamStates writes what a watch tells as Server-Sent Events, at once and at
// each change, until write says that it is over, the client leaves or the server
// stops. A client that does not read lets the watch go.
func streamStates[T any](s *Server, w http.ResponseWriter, r *http.Request, watch func(context.Context) (<-chan T, error),
	write func(out *sseWriter, state T) (over bool, err error)) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	states, err := watch(ctx)
	if err != nil {
		return err
	}
	s.metrics.streamOpened("sse")
	defer s.metrics.streamClosed("sse")
	out, err := beginSSE(w)
	if err != nil {
		return err
	}
	ping := time.NewTicker(ssePing)
	defer ping.Stop()
	for {
		select {
		case state, more := <-states:
			if !more && r.Context().Err() != nil {
				return context.Cause(r.Context())
			}
			if !more {
				return errors.New("a watch ended before what it told of")
			}
			if over, err := write(out, state); err != nil || over {
				return err
			}
		case <-ping.C:
			if err := out.comment("ping"); err != nil {
				return err
			}
		}
	}
}
