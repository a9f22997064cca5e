package store_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

const crashEnv = "JEANTRAIL_STORE_CRASH_CHILD"

// crashChild writes until it is killed, and says on stdout what each method
// has returned from: "JOB SEQ STATE".
func crashChild(path string) int {
	ctx := context.Background()
	s, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for err == nil {
				if e := crashJob(ctx, s); e != nil {
					fmt.Fprintln(os.Stderr, e)
					os.Exit(1)
				}
			}
		})
	}
	wg.Wait()
	return 0
}

func crashJob(ctx context.Context, s *store.Store) error {
	job := newJob(epoch)
	said := func(seq int64, state jeantrail.State, err error) error {
		if err == nil {
			fmt.Println(job.ID, seq, state)
		}
		return err
	}
	if err := said(1, jeantrail.StateQueued, tryAdmit(ctx, s, job, event(job.ID, 1, jeantrail.EventQueued))); err != nil {
		return err
	}
	if err := said(2, jeantrail.StateRunning, s.Start(ctx, job.ID, epoch, event(job.ID, 2, jeantrail.EventStarted))); err != nil {
		return err
	}
	for seq := int64(3); seq < 6; seq++ {
		if err := said(seq, jeantrail.StateRunning, s.Append(ctx, []jeantrail.Event{token(job.ID, seq, "text", 1)})); err != nil {
			return err
		}
	}
	return said(6, jeantrail.StateSucceeded, settle(ctx, s, settlement(job.ID, jeantrail.StateRunning, jeantrail.StateSucceeded, 5, 3)))
}

// said is the last thing a killed process told of a job.
type said struct {
	seq   int64
	state jeantrail.State
}

// killAfter runs the child, kills it after so many lines, and returns what it
// said until it died.
func killAfter(t *testing.T, path string, lines int) map[string]said {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	last := make(map[string]said)
	in := bufio.NewReader(stdout)
	for n := 0; ; n++ {
		var id string
		var s said
		if _, err := fmt.Fscanln(in, &id, &s.seq, &s.state); err != nil {
			break // the torn last line, or the end
		}
		last[id] = s
		if n == lines {
			must(t, cmd.Process.Kill())
		}
	}
	_, _ = io.Copy(io.Discard, in)
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	if len(last) == 0 {
		t.Fatal("the child said nothing")
	}
	return last
}

func TestKilledProcessLosesNothingItTold(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "jeantrail.db")
	for round := range 8 {
		last := killAfter(t, path, 1+rand.IntN(150))
		s := reopen(t, path, store.Options{})
		mustBeSound(t, s)
		for id, told := range last {
			job, err := s.Job(ctx, id)
			must(t, err)
			// At most one more step was committed that it did not live to tell.
			if job.LastSeq < told.seq || job.LastSeq > told.seq+1 || job.State != told.state && job.LastSeq == told.seq {
				t.Errorf("round %d: job %s was told to be %+v, and is %s at %d", round, id, told, job.State, job.LastSeq)
			}
		}
		recoverJobs(t, s)
		mustBeSound(t, s)
		must(t, s.Close())
	}
}

// recoverJobs closes what a killed process left open.
func recoverJobs(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := context.Background()
	jobs, err := s.Unfinished(ctx)
	must(t, err)
	for _, job := range jobs {
		events, err := s.Events(ctx, job.ID, 0, 100)
		must(t, err)
		tokens := 0
		for _, e := range events {
			tokens += e.Tokens
		}
		must(t, settle(ctx, s, settlement(job.ID, job.State, jeantrail.StateInterrupted, job.LastSeq, tokens)))
	}
	totals, err := s.Totals(ctx)
	must(t, err)
	if totals.OpenReservations != 0 || totals.Reserved != 0 || totals.Jobs[jeantrail.StateQueued]+totals.Jobs[jeantrail.StateRunning] != 0 {
		t.Errorf("after recovery: %+v", totals)
	}
}
