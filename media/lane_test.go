package media

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// crowd is a set of jobs that wait in a lane and write down when they are called.
type crowd struct {
	lane *lane
	mu   sync.Mutex
	came []string
	out  map[string]func()
}

func (c *crowd) join(ctx context.Context, name string, p jeantrail.Priority) {
	go func() {
		leave, err := c.lane.enter(ctx, p, func(int) {})
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			c.came = append(c.came, "gone "+name)
			return
		}
		c.came = append(c.came, name)
		c.out[name] = leave
	}()
	synctest.Wait()
}

// finish ends the turn of a job.
func (c *crowd) finish(t *testing.T, name string) {
	t.Helper()
	c.mu.Lock()
	leave := c.out[name]
	c.mu.Unlock()
	if leave == nil {
		t.Fatalf("%s was not called; called were %v", name, c.came)
	}
	leave()
	synctest.Wait()
}

func (c *crowd) want(t *testing.T, names ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.came, names) {
		t.Errorf("called were %v, want %v", c.came, names)
	}
}

func newCrowd(limit int) *crowd {
	return &crowd{lane: &lane{limit: limit}, out: make(map[string]func())}
}

func TestLaneServesUrgentJobsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, ctx := newCrowd(1), t.Context()
		c.join(ctx, "first", jeantrail.PriorityBackground)
		c.join(ctx, "background", jeantrail.PriorityBackground)
		c.join(ctx, "batch", jeantrail.PriorityBatch)
		c.join(ctx, "interactive 1", jeantrail.PriorityInteractive)
		c.join(ctx, "interactive 2", "")
		for _, name := range []string{"first", "interactive 1", "interactive 2", "batch", "background"} {
			c.finish(t, name)
		}
		c.want(t, "first", "interactive 1", "interactive 2", "batch", "background")
	})
}

func TestLaneStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, ctx := newCrowd(1), t.Context()
		c.join(ctx, "0", jeantrail.PriorityInteractive)
		c.join(ctx, "patient", jeantrail.PriorityBackground)
		// Each of these comes when its forerunner is done, so that one always waits.
		for i := 1; i < 20; i++ {
			time.Sleep(10 * time.Second)
			c.join(ctx, fmt.Sprint(i), jeantrail.PriorityInteractive)
			if c.out["patient"] != nil {
				if i < 12 || i > 14 {
					t.Errorf("the background job was called after %d s, want about 120", i*10)
				}
				c.finish(t, "patient")
				break
			}
			c.finish(t, fmt.Sprint(i-1))
		}
		if c.out["patient"] == nil {
			t.Fatal("the background job was never called")
		}
		// Let the rest go.
		for i := 0; i < len(c.came)+3; i++ {
			if leave := c.out[c.came[len(c.came)-1]]; leave != nil {
				leave()
				synctest.Wait()
			}
		}
	})
}

func TestLaneHoldsItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, ctx := newCrowd(2), t.Context()
		for _, name := range []string{"a", "b", "c", "d"} {
			c.join(ctx, name, jeantrail.PriorityInteractive)
		}
		c.want(t, "a", "b")
		if running, queued := c.lane.occupancy(); running != 2 || queued != 2 {
			t.Errorf("occupancy is %d and %d, want 2 and 2", running, queued)
		}
		for _, name := range []string{"b", "a", "c", "d"} {
			c.finish(t, name)
		}
		c.want(t, "a", "b", "c", "d")
	})
}

func TestCancelledJobLeavesTheQueueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(1)
		why := errors.New("the owner left")
		ctx, cancel := context.WithCancelCause(t.Context())
		c.join(t.Context(), "a", jeantrail.PriorityInteractive)
		c.join(ctx, "b", jeantrail.PriorityInteractive)
		c.join(t.Context(), "c", jeantrail.PriorityInteractive)
		cancel(why)
		synctest.Wait()
		c.want(t, "a", "gone b")
		if running, queued := c.lane.occupancy(); running != 1 || queued != 1 {
			t.Errorf("occupancy is %d and %d, want 1 and 1", running, queued)
		}
		c.finish(t, "a")
		c.finish(t, "c")
		if _, err := c.lane.enter(ctx, "", nil); !errors.Is(err, why) {
			t.Errorf("error is %v, want the cause", err)
		}
		if running, queued := c.lane.occupancy(); running != 0 || queued != 0 {
			t.Errorf("occupancy is %d and %d, want none", running, queued)
		}
	})
}

func TestPositionInTheQueueIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lane{limit: 1}
		leave, err := l.enter(t.Context(), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &crowd{lane: l, out: make(map[string]func())}
		c.join(t.Context(), "a", jeantrail.PriorityInteractive)
		s := new(record)
		done := make(chan func())
		go func() {
			leave, _ := l.enter(t.Context(), jeantrail.PriorityInteractive, waiting(s))
			done <- leave
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		c.finish(t, "a")
		(<-done)()
		want := []jeantrail.Progress{
			{Stage: "queue", Done: 0, Total: 2, Unit: "jobs"},
			{Stage: "queue", Done: 1, Total: 2, Unit: "jobs"},
		}
		if !slices.Equal(s.progress, want) {
			t.Errorf("progress was %v, want %v", s.progress, want)
		}
	})
}

func TestClosedLaneLetsNobodyInUntilItOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(2)
		if !c.lane.close() {
			t.Fatal("an empty lane could not be closed")
		}
		c.join(t.Context(), "a", jeantrail.PriorityInteractive)
		c.want(t)
		c.lane.reopen()
		synctest.Wait()
		c.want(t, "a")
		if c.lane.close() {
			t.Error("a lane was closed over a job")
		}
		c.finish(t, "a")
	})
}
