package store_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

// in brings a new job to a state and returns how long its log is.
func in(t *testing.T, s *store.Store, state jeantrail.State) (id string, seq int64) {
	t.Helper()
	if state == jeantrail.StateQueued {
		return admit(t, s, newJob(epoch)).ID, 1
	}
	id, seq = running(t, s).ID, 2
	if state.Terminal() {
		must(t, settle(context.Background(), s, settlement(id, jeantrail.StateRunning, state, seq, 0)))
		seq++
	}
	return id, seq
}

func TestTransitionsAreThoseOfTheWords(t *testing.T) {
	ctx, s := context.Background(), open(t)
	for _, is := range jeantrail.States() {
		for _, from := range jeantrail.States() {
			for _, to := range jeantrail.States() {
				id, seq := in(t, s, is)
				before, err := s.Totals(ctx)
				must(t, err)
				switch {
				case to == jeantrail.StateRunning && from == jeantrail.StateQueued:
					err = s.Start(ctx, id, epoch, event(id, seq+1, jeantrail.EventStarted))
				case to.Terminal():
					err = settle(ctx, s, settlement(id, from, to, seq, 0))
				default:
					continue
				}
				allowed := is == from && from.CanMoveTo(to)
				if allowed != (err == nil) {
					t.Errorf("%s: from %s to %s: %v", is, from, to, err)
				}
				if !allowed && from.CanMoveTo(to) {
					wantCode(t, err, jeantrail.CodeConflict)
				}
				after, err2 := s.Totals(ctx)
				must(t, err2)
				if changed := after.Jobs[is] != before.Jobs[is] || after.Events != before.Events; changed != allowed {
					t.Errorf("%s: from %s to %s: changed %v, want %v", is, from, to, changed, allowed)
				}
			}
		}
	}
}

func TestUnknownJob(t *testing.T) {
	ctx, s := context.Background(), open(t)
	_, err := s.Job(ctx, "nobody")
	wantCode(t, err, jeantrail.CodeNotFound)
	_, err = s.Events(ctx, "nobody", 0, 1)
	wantCode(t, err, jeantrail.CodeNotFound)
	wantCode(t, s.Start(ctx, "nobody", epoch, event("nobody", 1, jeantrail.EventStarted)), jeantrail.CodeNotFound)
	wantCode(t, s.Append(ctx, []jeantrail.Event{token("nobody", 1, "", 1)}), jeantrail.CodeNotFound)
	wantCode(t, settle(ctx, s, settlement("nobody", jeantrail.StateQueued, jeantrail.StateFailed, 1, 0)), jeantrail.CodeNotFound)
}

func TestAdmitTwice(t *testing.T) {
	ctx, s := context.Background(), open(t)
	job := admit(t, s, newJob(epoch))
	wantCode(t, tryAdmit(ctx, s, job, event(job.ID, 1, jeantrail.EventQueued)), jeantrail.CodeConflict)
	other := newJob(epoch)
	wantCode(t, tryAdmit(ctx, s, other, event(other.ID, 2, jeantrail.EventQueued)), jeantrail.CodeConflict)
	_, err := s.Job(ctx, other.ID)
	wantCode(t, err, jeantrail.CodeNotFound)
}

func TestAdmitAndStartRefuseWhatDoesNotFit(t *testing.T) {
	ctx, s := context.Background(), open(t)
	for name, change := range map[string]func(*jeantrail.Job, *jeantrail.Event){
		"state":        func(j *jeantrail.Job, _ *jeantrail.Event) { j.State = jeantrail.StateRunning },
		"event":        func(_ *jeantrail.Job, e *jeantrail.Event) { e.Type = jeantrail.EventToken },
		"event's job":  func(_ *jeantrail.Job, e *jeantrail.Event) { e.JobID = newID() },
		"no id":        func(j *jeantrail.Job, e *jeantrail.Event) { j.ID, e.JobID = "", "" },
		"nobody":       func(j *jeantrail.Job, _ *jeantrail.Event) { j.UserID = "" },
		"kind":         func(j *jeantrail.Job, _ *jeantrail.Event) { j.Kind = "tea" },
		"priority":     func(j *jeantrail.Job, _ *jeantrail.Event) { j.Priority = "" },
		"reservation":  func(j *jeantrail.Job, _ *jeantrail.Event) { j.Reserved = -1 },
		"not a number": func(j *jeantrail.Job, _ *jeantrail.Event) { nan := math.NaN(); j.Request.Text.TopP = &nan },
	} {
		job := newJob(epoch)
		queued := event(job.ID, 1, jeantrail.EventQueued)
		change(job, &queued)
		if err := tryAdmit(ctx, s, job, queued); err == nil {
			t.Errorf("%s: admitted", name)
		}
	}
	id := admit(t, s, newJob(epoch)).ID
	wantCode(t, s.Start(ctx, id, epoch, event(id, 2, jeantrail.EventToken)), jeantrail.CodeInternal)
	wantCode(t, s.Start(ctx, id, epoch, event(id, 3, jeantrail.EventStarted)), jeantrail.CodeConflict)
	totals, err := s.Totals(ctx)
	must(t, err)
	if totals.Jobs[jeantrail.StateQueued] != 1 || totals.OpenReservations != 1 || totals.Events != 1 {
		t.Errorf("refusals left %+v", totals)
	}
}

func TestLogHasNoHoles(t *testing.T) {
	ctx, s := context.Background(), open(t)
	a, b := running(t, s).ID, running(t, s).ID
	done, _ := in(t, s, jeantrail.StateSucceeded)
	partial := token(a, 3, "x", 1)
	partial.Partial = true
	for name, c := range map[string]struct {
		events []jeantrail.Event
		code   jeantrail.Code
	}{
		"gap":               {[]jeantrail.Event{token(a, 4, "x", 1)}, jeantrail.CodeConflict},
		"repetition":        {[]jeantrail.Event{token(a, 2, "x", 1)}, jeantrail.CodeConflict},
		"twice in one call": {[]jeantrail.Event{token(a, 3, "x", 1), token(a, 3, "x", 1)}, jeantrail.CodeConflict},
		"second of two":     {[]jeantrail.Event{token(a, 3, "x", 1), token(b, 3, "y", 1), token(b, 5, "z", 1)}, jeantrail.CodeConflict},
		"finished job":      {[]jeantrail.Event{token(a, 3, "x", 1), token(done, 4, "x", 1)}, jeantrail.CodeConflict},
		"partial":           {[]jeantrail.Event{partial}, jeantrail.CodeInternal},
		"terminal":          {[]jeantrail.Event{event(a, 3, jeantrail.EventDone)}, jeantrail.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			wantCode(t, s.Append(ctx, c.events), c.code)
			for _, id := range []string{a, b} {
				if job, err := s.Job(ctx, id); err != nil || job.LastSeq != 2 {
					t.Errorf("after a refused append: job %+v, error %v", job, err)
				}
			}
		})
	}
	must(t, s.Append(ctx, []jeantrail.Event{token(a, 3, "x", 1), token(b, 3, "y", 1), token(a, 4, "z", 1)}))
	got, err := s.Events(ctx, a, 2, 1)
	must(t, err)
	if len(got) != 1 || got[0] != token(a, 3, "x", 1) {
		t.Errorf("events after 2, at most 1: %+v", got)
	}
	_, err = s.Events(ctx, a, 0, 0)
	wantCode(t, err, jeantrail.CodeInvalid)
}

func TestSettleRefusesWhatDoesNotFit(t *testing.T) {
	ctx, s := context.Background(), open(t)
	id := running(t, s).ID
	for name, change := range map[string]func(*jeantrail.Settlement){
		"no events":            func(st *jeantrail.Settlement) { st.Events = nil },
		"another end":          func(st *jeantrail.Settlement) { st.Events[0].Type = jeantrail.EventCancelled },
		"two ends":             func(st *jeantrail.Settlement) { st.Events = append(st.Events, event(id, 4, jeantrail.EventDone)) },
		"another job's event":  func(st *jeantrail.Settlement) { st.Events[0].JobID = "x" },
		"no result":            func(st *jeantrail.Settlement) { st.Result = nil },
		"negative cost":        func(st *jeantrail.Settlement) { st.Result.Cost.Amount = -1 },
		"negative tokens":      func(st *jeantrail.Settlement) { st.Result.Usage.CompletionTokens = -1 },
		"more cached than all": func(st *jeantrail.Settlement) { st.Result.Usage.CachedTokens = 99 },
		"gap":                  func(st *jeantrail.Settlement) { st.Events[0].Seq++ },
	} {
		st := settlement(id, jeantrail.StateRunning, jeantrail.StateSucceeded, 2, 0)
		change(&st)
		if err := settle(ctx, s, st); err == nil {
			t.Errorf("%s: settled", name)
		}
	}
	totals, err := s.Totals(ctx)
	must(t, err)
	if totals.Jobs[jeantrail.StateRunning] != 1 || totals.OpenReservations != 1 || totals.Events != 2 {
		t.Errorf("refused settlements left %+v", totals)
	}
}

func TestOneOfManySettlementsWins(t *testing.T) {
	ctx, s := context.Background(), open(t)
	id := running(t, s).ID
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			to := []jeantrail.State{jeantrail.StateSucceeded, jeantrail.StateCancelled, jeantrail.StateFailed}[i%3]
			err := settle(ctx, s, settlement(id, jeantrail.StateRunning, to, 2, 0))
			if err == nil {
				won.Add(1)
			} else if jeantrail.CodeOf(err) != jeantrail.CodeConflict {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	totals, err := s.Totals(ctx)
	must(t, err)
	if won.Load() != 1 || totals.Cost != 3000 || totals.OpenReservations != 0 || totals.Reserved != 0 {
		t.Errorf("%d settlements won, totals %+v", won.Load(), totals)
	}
}

func TestSettleWithoutResultCostsNothing(t *testing.T) {
	ctx, s := context.Background(), open(t)
	id := admit(t, s, newJob(epoch)).ID
	st := settlement(id, jeantrail.StateQueued, jeantrail.StateCancelled, 1, 0)
	st.Result = nil
	must(t, settle(ctx, s, st))
	job, err := s.Job(ctx, id)
	must(t, err)
	totals, err := s.Totals(ctx)
	must(t, err)
	if job.Result != nil || !job.StartedAt.IsZero() || totals.Cost != 0 || totals.OpenReservations != 0 {
		t.Errorf("job %+v, totals %+v", job, totals)
	}
}

func TestUsageStatistics(t *testing.T) {
	ctx, s := context.Background(), open(t)
	for i, to := range []jeantrail.State{jeantrail.StateSucceeded, jeantrail.StateFailed, jeantrail.StateCancelled, jeantrail.StateInterrupted} {
		id := running(t, s).ID
		must(t, s.Append(ctx, []jeantrail.Event{token(id, 3, "x", i)}))
		st := settlement(id, jeantrail.StateRunning, to, 3, i)
		st.QueueFor = time.Duration(i) * time.Second
		must(t, settle(ctx, s, st))
	}
	late := running(t, s).ID // in the next hour
	st := settlement(late, jeantrail.StateRunning, jeantrail.StateSucceeded, 2, 0)
	st.At = epoch.Truncate(time.Hour).Add(time.Hour)
	must(t, settle(ctx, s, st))

	var got [14]int64
	hour := epoch.Truncate(time.Hour).UnixMilli()
	err := s.Readers().QueryRow(`SELECT (SELECT count(*) FROM ai_usage_stats), requests, failures, cancellations, interruptions,
		prompt_tokens, cached_tokens, completion_tokens, cost_micros, latency_sum_us, latency_max_us, queue_sum_us, queue_max_us, hour
		FROM ai_usage_stats WHERE hour = ? AND user_id = 'ann' AND model = 'builtin' AND kind = 'text'`, hour).
		Scan(&got[0], &got[1], &got[2], &got[3], &got[4], &got[5], &got[6], &got[7], &got[8], &got[9], &got[10], &got[11], &got[12], &got[13])
	must(t, err)
	want := [14]int64{2, 4, 1, 1, 1, 20, 8, 6, 18_000, 12e6, 3e6, 6e6, 3e6, hour}
	if got != want {
		t.Errorf("statistics %v, want %v", got, want)
	}
}

func TestTotalsOfAbsurdMoney(t *testing.T) {
	ctx, s := context.Background(), open(t)
	for range 2 {
		job := newJob(epoch)
		job.Reserved = jeantrail.MaxMoney
		admit(t, s, job)
	}
	for range 2 {
		job := newJob(epoch)
		job.Reserved = jeantrail.MaxMoney / 2
		admit(t, s, job)
		must(t, s.Start(ctx, job.ID, epoch, event(job.ID, 2, jeantrail.EventStarted)))
		st := settlement(job.ID, jeantrail.StateRunning, jeantrail.StateSucceeded, 2, 0)
		st.Result.Cost.Amount = jeantrail.MaxMoney/2 - 1
		must(t, settle(ctx, s, st))
	}
	totals, err := s.Totals(ctx)
	must(t, err)
	if totals.Reserved != jeantrail.MaxMoney || totals.OpenReservations != 2 || totals.Cost != (jeantrail.MaxMoney/2-1)*2 {
		t.Errorf("totals %+v", totals)
	}
}

func TestUnfinished(t *testing.T) {
	ctx, s := context.Background(), open(t)
	queued, _ := in(t, s, jeantrail.StateQueued)
	run, _ := in(t, s, jeantrail.StateRunning)
	for _, state := range jeantrail.States()[2:] {
		in(t, s, state)
	}
	jobs, err := s.Unfinished(ctx)
	must(t, err)
	if len(jobs) != 2 || jobs[0].ID != queued || jobs[1].ID != run || jobs[1].Request.Text.Prompt != "Hello" || jobs[1].LastSeq != 2 {
		t.Errorf("unfinished: %+v", jobs)
	}
}

func TestPagesNeitherRepeatNorSkip(t *testing.T) {
	ctx, s := context.Background(), open(t)
	var want []string
	for i := range 23 { // several share an instant
		want = append(want, admit(t, s, newJob(epoch.Add(time.Duration(i/4)*time.Millisecond))).ID)
	}
	slices.Reverse(want)
	var got []string
	f := jeantrail.JobFilter{Limit: 5}
	for {
		page, err := s.Jobs(ctx, f)
		must(t, err)
		for _, job := range page.Jobs {
			got = append(got, job.ID)
		}
		if page.Next == "" {
			break
		}
		f.Cursor = page.Next
		admit(t, s, newJob(epoch.Add(time.Hour))) // newer than the listing
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages gave %v, want %v", got, want)
	}
}

func TestFilters(t *testing.T) {
	ctx, s := context.Background(), open(t)
	base := admit(t, s, newJob(epoch))
	other := newJob(epoch.Add(time.Second))
	other.UserID, other.Kind, other.Model = "bob", jeantrail.KindImage, "sdxl"
	admit(t, s, other)
	must(t, s.Start(ctx, other.ID, epoch, event(other.ID, 2, jeantrail.EventStarted)))
	for name, c := range map[string]struct {
		f    jeantrail.JobFilter
		want []string
	}{
		"none":        {jeantrail.JobFilter{}, []string{other.ID, base.ID}},
		"user":        {jeantrail.JobFilter{UserID: "bob"}, []string{other.ID}},
		"state":       {jeantrail.JobFilter{State: jeantrail.StateQueued}, []string{base.ID}},
		"kind":        {jeantrail.JobFilter{Kind: jeantrail.KindImage}, []string{other.ID}},
		"model":       {jeantrail.JobFilter{Model: "builtin"}, []string{base.ID}},
		"from":        {jeantrail.JobFilter{From: other.CreatedAt}, []string{other.ID}},
		"to":          {jeantrail.JobFilter{To: other.CreatedAt}, []string{base.ID}},
		"all at once": {jeantrail.JobFilter{UserID: "bob", State: jeantrail.StateRunning, Kind: jeantrail.KindImage, Model: "sdxl", From: epoch, To: epoch.Add(time.Hour)}, []string{other.ID}},
		"nothing":     {jeantrail.JobFilter{UserID: "ann", Model: "sdxl"}, nil},
	} {
		page, err := s.Jobs(ctx, c.f)
		must(t, err)
		var got []string
		for _, job := range page.Jobs {
			got = append(got, job.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	for _, f := range []jeantrail.JobFilter{{Limit: -1}, {Limit: store.MaxPage + 1}, {State: "asleep"}, {Kind: "tea"}, {Cursor: "!"}, {Cursor: "eA"}} {
		_, err := s.Jobs(ctx, f)
		wantCode(t, err, jeantrail.CodeInvalid)
	}
}

func TestConcurrentWritersAndReaders(t *testing.T) {
	ctx, s := context.Background(), open(t)
	const writers, appends = 6, 25
	var wg sync.WaitGroup
	for range writers {
		job := running(t, s)
		wg.Go(func() { // the writer
			for seq := int64(3); seq < 3+appends; seq++ {
				if err := s.Append(ctx, []jeantrail.Event{token(job.ID, seq, fmt.Sprint(seq), 1)}); err != nil {
					t.Error(err)
					return
				}
			}
			if err := settle(ctx, s, settlement(job.ID, jeantrail.StateRunning, jeantrail.StateSucceeded, 2+appends, appends)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { // its follower
			for seen := int64(0); ; {
				events, err := s.Events(ctx, job.ID, seen, 7)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range events {
					if e.Seq != seen+1 {
						t.Errorf("event %d came after %d", e.Seq, seen)
						return
					}
					seen = e.Seq
					if e.Type.Terminal() {
						return
					}
				}
			}
		})
	}
	wg.Wait()
	totals, err := s.Totals(ctx)
	must(t, err)
	if totals.Jobs[jeantrail.StateSucceeded] != writers || totals.Events != writers*(appends+3) || totals.CompletionTokens != writers*appends {
		t.Errorf("totals %+v", totals)
	}
}

func BenchmarkAppend16(b *testing.B) {
	ctx, s := context.Background(), open(b)
	ids := make([]string, 16)
	for i := range ids {
		ids[i] = running(b, s).ID
	}
	batch := make([]jeantrail.Event, len(ids))
	seq := int64(2)
	for b.Loop() {
		seq++
		for i, id := range ids {
			batch[i] = token(id, seq, "a piece of text ", 4)
		}
		must(b, s.Append(ctx, batch))
	}
	for _, id := range ids {
		must(b, settle(ctx, s, settlement(id, jeantrail.StateRunning, jeantrail.StateSucceeded, seq, int(seq-2)*4)))
	}
}
