package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

// behindTheWriter runs writes that all wait while the writer is held, and
// returns their errors and how many commits it took.
func behindTheWriter(t *testing.T, s *store.Store, writes ...func(context.Context) error) ([]error, int64) {
	t.Helper()
	held, err := s.Writer().Conn(t.Context())
	must(t, err)
	before := s.Commits()
	errs := make([]error, len(writes))
	var group sync.WaitGroup
	for i, write := range writes {
		group.Go(func() { errs[i] = write(t.Context()) })
		awaitWriting(s, i+1) // one after the other, so that the order is known
	}
	must(t, held.Close())
	group.Wait()
	return errs, s.Commits() - before
}

func TestWritesThatWaitShareACommit(t *testing.T) {
	s := open(t)
	var writes []func(context.Context) error
	jobs := make([]*jeantrail.Job, 10)
	for i := range jobs {
		job := newJob(epoch)
		jobs[i] = job
		writes = append(writes, func(ctx context.Context) error {
			return tryAdmit(ctx, s, job, event(job.ID, 1, jeantrail.EventQueued))
		})
	}
	errs, commits := behindTheWriter(t, s, writes...)
	must(t, errors.Join(errs...))
	if commits != 1 {
		t.Errorf("%d commits", commits)
	}
	for _, job := range jobs {
		if stored, err := s.Job(t.Context(), job.ID); err != nil || stored.State != jeantrail.StateQueued {
			t.Errorf("job %v, %v", stored, err)
		}
	}
}

// A write that is refused leaves no trace and does not touch those beside it.
func TestRefusedWriteFallsAlone(t *testing.T) {
	s := open(t)
	good, refused, bad, also := newJob(epoch), newJob(epoch), newJob(epoch), newJob(epoch)
	no := jeantrail.Errorf(jeantrail.CodeBudgetExceeded, "no room")
	write := func(job *jeantrail.Job) func(context.Context) error {
		return func(ctx context.Context) error {
			return tryAdmit(ctx, s, job, event(job.ID, 1, jeantrail.EventQueued))
		}
	}
	for name, c := range map[string]struct {
		spoil   func(context.Context) error
		code    jeantrail.Code
		commits int64
	}{
		"by us": {func(ctx context.Context) error {
			return s.Admit(ctx, refused, event(refused.ID, 1, jeantrail.EventQueued),
				func([]jeantrail.BudgetStanding) (jeantrail.Money, error) { return 0, no })
		}, jeantrail.CodeBudgetExceeded, 1},
		// The first of these is admitted in the same batch, so that SQLite refuses
		// the second. What it does to the transaction is its own affair: each is
		// tried alone then.
		"by SQLite": {func(ctx context.Context) error {
			bad.ID = good.ID
			return tryAdmit(ctx, s, bad, event(bad.ID, 1, jeantrail.EventQueued))
		}, jeantrail.CodeConflict, 4},
	} {
		t.Run(name, func(t *testing.T) {
			good.ID, also.ID = newID(), newID()
			errs, commits := behindTheWriter(t, s, write(good), c.spoil, write(also))
			if errs[0] != nil || errs[2] != nil || jeantrail.CodeOf(errs[1]) != c.code || commits != c.commits {
				t.Errorf("errors %v after %d commits", errs, commits)
			}
			for _, id := range []string{good.ID, also.ID} {
				if _, err := s.Job(t.Context(), id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if _, err := s.Job(t.Context(), refused.ID); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("the refused job is there: %v", err)
	}
}

// Somebody who leaves while waiting writes nothing, whether it was his turn to
// lead or not, and holds nobody up.
func TestWriteIsWithdrawnWhileItWaits(t *testing.T) {
	s := open(t)
	for _, leads := range []bool{true, false} {
		t.Run(fmt.Sprint("leads ", leads), func(t *testing.T) {
			stays, leaves := newJob(epoch), newJob(epoch)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			held, err := s.Writer().Conn(t.Context())
			must(t, err)
			left, stayed := make(chan error, 1), make(chan error, 1)
			begin := []func(){
				func() { left <- tryAdmit(ctx, s, leaves, event(leaves.ID, 1, jeantrail.EventQueued)) },
				func() { stayed <- tryAdmit(t.Context(), s, stays, event(stays.ID, 1, jeantrail.EventQueued)) },
			}
			if !leads {
				begin[0], begin[1] = begin[1], begin[0]
			}
			for n, write := range begin {
				go write()
				awaitWriting(s, n+1)
			}
			leave()
			wantCode(t, <-left, jeantrail.CodeCancelled)
			must(t, held.Close())
			must(t, <-stayed)
			if _, err := s.Job(t.Context(), stays.ID); err != nil {
				t.Error(err)
			}
			if _, err := s.Job(t.Context(), leaves.ID); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
				t.Errorf("the withdrawn job is there: %v", err)
			}
		})
	}
}

// awaitWriting returns when so many writes wait.
func awaitWriting(s *store.Store, n int) {
	for s.Waiting() < n {
		runtime.Gosched()
	}
}
