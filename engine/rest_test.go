package engine_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/enginetest"
)

// resting is a fake decoder that notes what the loop says of its steps.
type resting struct {
	*enginetest.Fake
	wake  func()
	said  []string // by the loop alone
	steps int
}

func (r *resting) Rest(over bool) {
	if over {
		r.said = append(r.said, "over")
	} else {
		r.said = append(r.said, "idle")
	}
}

func (r *resting) OnCrowded(wake func()) { r.wake = wake }

func (r *resting) Step(ops []engine.MemOp, spans []engine.Span, results []engine.Result) ([]engine.Result, engine.StepInfo, error) {
	r.steps++
	if n := len(r.said); n == 0 || r.said[n-1] != "step" {
		r.said = append(r.said, "step")
	}
	return r.Fake.Step(ops, spans, results)
}

// A decoder that keeps compute threads has to hear when they are not needed, also
// while the loop sleeps.
func TestTheLoopSaysWhenItRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dec := &resting{Fake: enginetest.New(enginetest.Config{})}
		e, err := engine.New(dec, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Start(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		asleep := len(dec.said)
		dec.wake()
		synctest.Wait()
		if len(dec.said) == asleep {
			t.Error("the loop slept on when it was asked to let go")
		}
		r := &rig{Engine: e, fake: dec.Fake}
		if o := r.run(t.Context(), raw("Hello there", 5)); o.err != nil {
			t.Error(o.err)
		}
		synctest.Wait()
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		want := []string{"idle", "step", "idle", "over"}
		if got := slices.Compact(dec.said); !slices.Equal(got, want) || dec.steps < 5 {
			t.Errorf("the loop said %v in %d steps, want %v", got, dec.steps, want)
		}
	})
}
