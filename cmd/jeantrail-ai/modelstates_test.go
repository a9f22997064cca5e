package main

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/jeantrail/jeantrail-ai"
)

// Who watches gets every model's newest state, in the order of what was said; who
// is slow misses steps and holds nobody up.
func TestModelStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newModelStates()
		ctx, cancel := context.WithCancel(t.Context())
		states := make(chan jeantrail.ModelState)
		ended := make(chan struct{})
		go func() { s.follow(ctx, 0, states); close(ended) }()
		say := func(name string, progress float64) {
			s.say(jeantrail.ModelState{Name: name, Status: jeantrail.ModelLoading, Progress: progress})
		}
		next := func(want string) {
			t.Helper()
			if got := <-states; fmt.Sprintf("%s %.1f", got.Name, got.Progress) != want {
				t.Errorf("got %+v, want %s", got, want)
			}
		}
		say("a", 0.1)
		next("a 0.1")
		for i := range 10 {
			say("a", float64(i)/10)
			synctest.Wait() // the follower holds a state that nobody takes
			say("b", float64(i)/10)
		}
		say("a", 1)
		next("b 0.9")
		next("a 1.0")
		select {
		case got := <-states:
			t.Errorf("and %+v", got)
		default:
		}
		say("b", 1)
		next("b 1.0")
		cancel()
		<-ended
	})
}
