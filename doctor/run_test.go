package doctor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func says(text string) func(context.Context) ([]Finding, error) {
	return func(context.Context) ([]Finding, error) { return []Finding{good("a", "%s", text)}, nil }
}

func TestChecksKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) ([]Finding, error) {
			time.Sleep(time.Second)
			return says("first")(ctx)
		}
		began := time.Now()
		found := Run(t.Context(), []Check{{Name: "a", Limit: 3 * time.Second, Look: slow}, {Name: "b", Limit: time.Second, Look: says("second")}})
		if len(found) != 2 || found[0].Found != "first" || found[1].Found != "second" || time.Since(began) != time.Second {
			t.Errorf("after %v: %+v", time.Since(began), found)
		}
	})
}

// One check that never returns is left behind; the others are not held up, and all
// ends when the longest limit is over.
func TestACheckThatHangsIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		deaf := func(context.Context) ([]Finding, error) { <-never; return nil, nil }
		began := time.Now()
		found := Run(t.Context(), []Check{
			{Name: "disk", Limit: 2 * time.Second, Look: deaf, Hung: []string{"ls /x"}},
			{Name: "home", Limit: 3 * time.Second, Look: deaf},
			{Name: "b", Limit: time.Second, Look: says("there")},
		})
		if took := time.Since(began); took != 3*time.Second+grace {
			t.Errorf("it took %v", took)
		}
		want(t, found, Warning, "disk", "2s", "ls /x")
		want(t, found, Warning, "home", "3s")
		want(t, found, OK, "there")
		close(never)
	})
}

func TestNobodyWaitsAfterAnInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		never := make(chan struct{})
		began := time.Now()
		time.AfterFunc(time.Millisecond, cancel)
		Run(ctx, []Check{{Name: "disk", Limit: time.Minute, Look: func(context.Context) ([]Finding, error) { <-never; return nil, nil }}})
		if took := time.Since(began); took != time.Millisecond {
			t.Errorf("it took %v", took)
		}
		close(never)
	})
}

func TestWhatBecomesOfACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part := []Finding{good("part", "seen")}
		found := Run(t.Context(), []Check{
			{Name: "fails", Limit: time.Second, Look: func(context.Context) ([]Finding, error) { return part, errors.New("no such thing") }},
			{Name: "panics", Limit: time.Second, Look: func(context.Context) ([]Finding, error) { panic("oh") }},
			{Name: "late", Limit: time.Second, Look: func(ctx context.Context) ([]Finding, error) {
				<-ctx.Done()
				return part, ctx.Err()
			}},
		})
		want(t, found, Note, "fails", "no such thing")
		want(t, found, Problem, "panics", "oh")
		want(t, found, Warning, "late", "1s")
		if n := Count(found, OK); n != 2 {
			t.Errorf("%d of 2 findings from before an error are there:\n%s", n, text(found))
		}
	})
}

func TestCountLeavesOutWhatIsFixed(t *testing.T) {
	found := []Finding{{Status: Warning, Fix: &Fix{Done: true}}, {Status: Warning, Fix: &Fix{}}, {Status: Warning}, {Status: OK}}
	if n := Count(found, Warning); n != 2 {
		t.Errorf("%d warnings, want 2", n)
	}
}
