package doctor

import (
	"context"
	"fmt"
	"time"
)

// Check looks at one subject.
type Check struct {
	Name string
	// Limit is how long it may take. Look's context ends then; what Look returns
	// within the grace after that still counts.
	Limit time.Duration
	// Look gathers the facts and judges them. With an error, what was found so far
	// still counts.
	Look func(ctx context.Context) ([]Finding, error)
	// Hung is what mends it if Look does not return.
	Hung []string
}

// grace is what a check has to return in, once its time is over.
const grace = 250 * time.Millisecond

// Run lets all checks look at once and returns what they found, in their order,
// or what there is of it when ctx ends. One that does not return in time is left behind with its goroutine, and that is
// what was found; one that panics spoils nothing but itself.
func Run(ctx context.Context, checks []Check) []Finding {
	running := make([]<-chan []Finding, len(checks))
	began := time.Now()
	for i, c := range checks {
		done := make(chan []Finding, 1) // so that one that comes too late can end
		running[i] = done
		go func() {
			limited, cancel := context.WithTimeout(ctx, c.Limit)
			defer cancel()
			done <- look(limited, c)
		}()
	}
	var all []Finding
	for i, c := range checks {
		all = append(all, await(ctx, c, running[i], time.Until(began.Add(c.Limit+grace)))...)
	}
	return all
}

// await takes what a check found, if it is there in time. It may be there for long
// when its turn comes after one that hangs.
func await(ctx context.Context, c Check, done <-chan []Finding, left time.Duration) []Finding {
	select {
	case found := <-done:
		return found
	default:
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case found := <-done:
		return found
	case <-timer.C:
		return []Finding{hung(c)}
	case <-ctx.Done():
		return nil
	}
}

// look turns whatever becomes of a check into findings.
func look(ctx context.Context, c Check) (found []Finding) {
	defer func() {
		if p := recover(); p != nil {
			found = append(found, problem(c.Name, "The check itself failed: %v.", p).
				because("What it looks at is not known to be sound.").
				mend("Please report this, with the version above."))
		}
	}()
	found, err := c.Look(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		found = append(found, hung(c))
	case err != nil:
		found = append(found, Unseen(c.Name, err))
	}
	return found
}

// hung is the finding of a check whose time is over.
func hung(c Check) Finding {
	mend := c.Hung
	if len(mend) == 0 {
		mend = []string{"Run doctor again when the machine has less to do."}
	}
	return warning(c.Name, "This did not end within %s.", fmt.Sprint(c.Limit)).
		because("Something that it asks, a disk, a server or a process, does not answer.").mend(mend...)
}
