package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

func TestJobGoesTheRoad(t *testing.T) {
	r := serve(t, func(_ context.Context, job *jeantrail.Job, sink gateway.Sink) error {
		begin(sink)
		sink.Token("let me see", true, 3)
		sink.Token("The answer", false, 2)
		sink.Token(" is 4.", false, 3)
		sink.Token("", false, 1)
		return nil
	})
	req := text("2+2?")
	req.Model, req.UserID = "alias", "ann"
	job := r.submit(req)
	if job.State != jeantrail.StateQueued || job.Model != "m" || job.RequestedModel != "alias" || job.UserID != "ann" {
		t.Errorf("admitted %+v", job)
	}
	seen := readAll(t, r.follow(job.ID, 0))
	var types []jeantrail.EventType
	for _, ev := range seen.events {
		types = append(types, ev.Type)
	}
	want := []jeantrail.EventType{jeantrail.EventQueued, jeantrail.EventStarted, jeantrail.EventToken, jeantrail.EventToken, jeantrail.EventDone}
	if !slices.Equal(types, want) {
		t.Errorf("events %v, want %v", types, want)
	}
	if got := seen.text(false); got != "The answer is 4." {
		t.Errorf("text of the events: %q", got)
	}
	if got := seen.text(true); got != "let me see" {
		t.Errorf("reasoning of the events: %q", got)
	}

	got := r.wait(job.ID)
	if got.State != jeantrail.StateSucceeded || got.Result.Text != "The answer is 4." || got.Err != nil {
		t.Errorf("finished %+v %+v", got, got.Result)
	}
	wantUsage := jeantrail.Usage{PromptTokens: scriptPrompt, CachedTokens: scriptCached, CompletionTokens: 9, ReasoningTokens: 3}
	if got.Result.Usage != wantUsage {
		t.Errorf("usage %+v, want %+v", got.Result.Usage, wantUsage)
	}
	// 1000 micro-dollars a token, cached prompt tokens free.
	wantCost := jeantrail.Cost{Amount: (scriptPrompt - scriptCached + 9) * 1000, Reserved: (boundPrompt + boundCompletion) * 1000}
	if got.Result.Cost != wantCost {
		t.Errorf("cost %+v, want %+v", got.Result.Cost, wantCost)
	}
	stored, err := r.Job(context.Background(), local, job.ID)
	if err != nil {
		t.Fatal(err)
	}
	if stored.State != got.State || stored.Result.Text != got.Result.Text || stored.Result.Cost != got.Result.Cost ||
		stored.LastSeq != got.LastSeq || !stored.StartedAt.Equal(got.StartedAt) || !stored.FinishedAt.Equal(got.FinishedAt) {
		t.Errorf("stored %+v, returned %+v", stored, got)
	}
}

func TestSubmitRefuses(t *testing.T) {
	r := serve(t, say("hi"), func(o *gateway.Options) {
		o.Models = models{&backend{run: say("hi"), measure: func(req *jeantrail.Request) error {
			if strings.HasPrefix(req.Text.Prompt, "long") {
				return jeantrail.Errorf(jeantrail.CodeContextLength, "too long").WithNumber("n_ctx", 8)
			}
			return nil
		}}}
	})
	user := jeantrail.Principal{UserID: "ann", Role: jeantrail.RoleUser}
	forBob, unknown := text("hi"), text("hi")
	forBob.UserID, unknown.Model = "bob", "gpt"
	tests := []struct {
		name string
		who  jeantrail.Principal
		req  jeantrail.Request
		want jeantrail.Code
	}{
		{"no prompt", local, jeantrail.Request{Kind: jeantrail.KindText, Text: &jeantrail.TextRequest{}}, jeantrail.CodeInvalid},
		{"nobody", jeantrail.Principal{Role: jeantrail.RoleUser}, text("hi"), jeantrail.CodeUnauthorized},
		{"viewer", jeantrail.Principal{UserID: "eve", Role: jeantrail.RoleViewer}, text("hi"), jeantrail.CodeForbidden},
		{"for another user", user, forBob, jeantrail.CodeForbidden},
		{"unknown model", user, unknown, jeantrail.CodeNotFound},
		{"too long", user, text("long prompt"), jeantrail.CodeContextLength},
	}
	for _, tt := range tests {
		job, err := r.Submit(context.Background(), tt.who, tt.req)
		if jeantrail.CodeOf(err) != tt.want || job != nil {
			t.Errorf("%s: %v %v, want %s", tt.name, job, err, tt.want)
		}
	}
	if page, err := r.Jobs(context.Background(), local, jeantrail.JobFilter{}); err != nil || len(page.Jobs) != 0 {
		t.Errorf("refused requests left %d jobs, %v", len(page.Jobs), err)
	}
	if _, err := r.Submit(ended(), local, text("hi")); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has gone: %v", err)
	}
}

func TestQueueHasAnEnd(t *testing.T) {
	r := serve(t, waitInQueue, func(o *gateway.Options) { o.MaxQueued = 2 })
	first := r.submit(text("a"))
	second := r.submit(text("b"))
	if ev := until(t, r.follow(second.ID, 0), jeantrail.EventQueued); ev.Position != 1 {
		t.Errorf("position %d, want 1", ev.Position)
	}
	_, err := r.Submit(context.Background(), local, text("c"))
	if e := jeantrail.AsError(err); e.Code != jeantrail.CodeQueueFull || e.RetryAfter <= 0 {
		t.Errorf("third job: %+v", e)
	}
	if err := r.Cancel(context.Background(), local, first.ID); err != nil {
		t.Fatal(err)
	}
	r.wait(first.ID)
	r.submit(text("c"))
}

func TestCancel(t *testing.T) {
	for name, run := range map[string]func(context.Context, *jeantrail.Job, gateway.Sink) error{
		"queued": waitInQueue, "running": sayThenHang("so far"),
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, run)
			job := r.submit(async())
			if name == "running" {
				until(t, r.follow(job.ID, 0), jeantrail.EventToken)
			}
			for range 3 {
				if err := r.Cancel(context.Background(), local, job.ID); err != nil {
					t.Fatal(err)
				}
			}
			got := r.wait(job.ID)
			if got.State != jeantrail.StateCancelled || got.Err != nil || got.Result.FinishReason != jeantrail.FinishCancelled {
				t.Errorf("got %s %v %+v", got.State, got.Err, got.Result)
			}
			wantText, wantCost := "", jeantrail.Money(0)
			if name == "running" {
				wantText, wantCost = "so far", (scriptPrompt-scriptCached+1)*1000
			}
			if got.Result.Text != wantText || got.Result.Cost.Amount != wantCost {
				t.Errorf("text %q cost %s, want %q %s", got.Result.Text, got.Result.Cost.Amount, wantText, wantCost)
			}
			if err := r.Cancel(context.Background(), local, job.ID); err != nil {
				t.Errorf("cancel of a finished job: %v", err)
			}
			if again := r.wait(job.ID); again.State != jeantrail.StateCancelled {
				t.Errorf("then %s", again.State)
			}
		})
	}
}

func TestFailedJobKeepsWhatItProduced(t *testing.T) {
	r := serve(t, func(_ context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
		begin(sink)
		sink.Token("half", false, 2)
		return jeantrail.Errorf(jeantrail.CodeSlowReader, "the reader did not keep up")
	})
	job := r.submit(text("x"))
	seen := readAll(t, r.follow(job.ID, 0))
	last := seen.events[len(seen.events)-1]
	if last.Type != jeantrail.EventFailed || last.Err == nil || last.Err.Code != jeantrail.CodeSlowReader {
		t.Errorf("last event %+v", last)
	}
	got := r.wait(job.ID)
	if got.State != jeantrail.StateFailed || got.Result.Text != "half" || got.Result.Cost.Amount != (scriptPrompt-scriptCached+2)*1000 {
		t.Errorf("got %s %+v", got.State, got.Result)
	}
}

func TestBackendThatLies(t *testing.T) {
	tests := map[string]struct {
		backend gateway.Backend
		state   jeantrail.State
		cost    jeantrail.Money
	}{
		"counts more than it reports": {liar(func(s gateway.Sink) *jeantrail.Result {
			begin(s)
			s.Token("x", false, 1)
			return &jeantrail.Result{Usage: jeantrail.Usage{PromptTokens: 1, CachedTokens: 9, CompletionTokens: 7, ReasoningTokens: 7}}
		}), jeantrail.StateSucceeded, 1000},
		"uses more than its bounds": {liar(func(s gateway.Sink) *jeantrail.Result {
			begin(s)
			s.Token("x", false, 1_000_000)
			return &jeantrail.Result{Usage: jeantrail.Usage{CompletionTokens: 1_000_000}}
		}), jeantrail.StateSucceeded, (boundPrompt + boundCompletion) * 1000},
		"never starts": {liar(func(gateway.Sink) *jeantrail.Result { return &jeantrail.Result{} }), jeantrail.StateFailed, 0},
		"starts twice": {liar(func(s gateway.Sink) *jeantrail.Result { begin(s); begin(s); return nil }), jeantrail.StateSucceeded, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := serve(t, nil, func(o *gateway.Options) { o.Models = models{tt.backend} })
			got := r.wait(r.submit(text("x")).ID)
			if got.State != tt.state || got.Result.Cost.Amount != tt.cost {
				t.Errorf("got %s, cost %s, want %s, cost %s", got.State, got.Result.Cost.Amount, tt.state, tt.cost)
			}
		})
	}
}

type liar func(gateway.Sink) *jeantrail.Result

func (l liar) Prepare(context.Context, *jeantrail.Request) (gateway.Work, error) { return l, nil }

func (liar) Bounds() jeantrail.Bounds {
	return jeantrail.Bounds{PromptTokens: boundPrompt, CompletionTokens: boundCompletion}
}

func (liar) Fingerprint() ([]byte, bool) { return nil, false }

func (l liar) Run(_ context.Context, _ *jeantrail.Job, s gateway.Sink) (*jeantrail.Result, error) {
	return l(s), nil
}

func TestWhoMaySee(t *testing.T) {
	r := serve(t, sayThenHang("x"))
	ann := jeantrail.Principal{UserID: "ann", Role: jeantrail.RoleUser}
	bob := jeantrail.Principal{UserID: "bob", Role: jeantrail.RoleUser}
	viewer := jeantrail.Principal{UserID: "ann", Role: jeantrail.RoleViewer}
	ctx := context.Background()
	job, err := r.Submit(ctx, ann, text("mine"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		_, jobErr := r.Job(ctx, bob, job.ID)
		_, followErr := r.Follow(ctx, bob, job.ID, 0)
		_, leaseErr := r.Lease(ctx, bob, job.ID)
		for op, err := range map[string]error{
			"job": jobErr, "follow": followErr, "lease": leaseErr, "cancel": r.Cancel(ctx, bob, job.ID),
		} {
			if jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
				t.Errorf("%s: %s by another user: %v", when, op, err)
			}
		}
		if err := r.Cancel(ctx, viewer, job.ID); jeantrail.CodeOf(err) != jeantrail.CodeForbidden {
			t.Errorf("%s: cancel by a viewer: %v", when, err)
		}
		for who, want := range map[jeantrail.Principal]int{ann: 1, viewer: 1, bob: 0, local: 1} {
			if page, err := r.Jobs(ctx, who, jeantrail.JobFilter{}); err != nil || len(page.Jobs) != want {
				t.Errorf("%s: %s lists %d jobs, %v", when, who.UserID, len(page.Jobs), err)
			}
		}
		if _, err := r.Jobs(ctx, bob, jeantrail.JobFilter{UserID: "ann"}); jeantrail.CodeOf(err) != jeantrail.CodeForbidden {
			t.Errorf("%s: list of another user: %v", when, err)
		}
		if _, err := r.Job(ctx, ann, job.ID); err != nil {
			t.Errorf("%s: own job: %v", when, err)
		}
	}
	check("live")
	if err := r.Cancel(ctx, ann, job.ID); err != nil {
		t.Fatal(err)
	}
	r.wait(job.ID)
	check("finished")
	for op, err := range map[string]error{
		"cancel": r.Cancel(ctx, local, "nope"),
		"wait":   second(r.Wait(ctx, "nope")),
		"job":    second(r.Job(ctx, local, "nope")),
		"follow": second(r.Follow(ctx, local, "nope", 0)),
		"lease":  second(r.Lease(ctx, local, "nope")),
	} {
		if jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
			t.Errorf("%s of an unknown job: %v", op, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestLeases(t *testing.T) {
	const window = 30 * time.Second
	type scene struct {
		*rig
		id string
	}
	tests := map[string]struct {
		async bool
		play  func(s scene)
		after time.Duration // when the job has ended
		state jeantrail.State
	}{
		"last one goes at once": {play: func(s scene) {
			a, b := s.lease(s.id), s.lease(s.id)
			a.Release(0)
			a.Release(0) // once is once
			<-time.After(time.Second)
			b.Release(0)
		}, after: time.Second, state: jeantrail.StateCancelled},
		"nobody comes back": {play: func(s scene) {
			s.lease(s.id).Release(window)
		}, after: window, state: jeantrail.StateCancelled},
		"somebody comes back in time": {play: func(s scene) {
			s.lease(s.id).Release(window)
			<-time.After(window - time.Millisecond)
			again := s.lease(s.id)
			<-time.After(time.Minute)
			again.Release(window)
		}, after: 2*window - time.Millisecond + time.Minute, state: jeantrail.StateCancelled},
		"async needs nobody": {async: true, play: func(s scene) {
			s.lease(s.id).Release(0)
		}, after: time.Hour, state: jeantrail.StateSucceeded},
		"never leased": {play: func(scene) {}, after: time.Hour, state: jeantrail.StateSucceeded},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, func(ctx context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
					begin(sink)
					select {
					case <-time.After(time.Hour):
						return nil
					case <-ctx.Done():
						return context.Cause(ctx)
					}
				})
				req := text("x")
				req.Async = tt.async
				job := r.submit(req)
				tt.play(scene{r, job.ID})
				got := r.wait(job.ID)
				if took := got.FinishedAt.Sub(got.CreatedAt); got.State != tt.state || took != tt.after {
					t.Errorf("%s after %v, want %s after %v", got.State, took, tt.state, tt.after)
				}
				r.lease(job.ID).Release(0) // of a finished job: nothing
			})
		})
	}
}

func TestStop(t *testing.T) {
	release := make(chan struct{})
	r := serve(t, func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
		switch job.Request.Text.Prompt {
		case "finishes":
			begin(sink)
			<-release
			sink.Token("done", false, 1)
			return nil
		case "endless":
			return sayThenHang("some")(ctx, job, sink)
		default:
			return waitInQueue(ctx, job, sink)
		}
	})
	finishes, endless, queued := r.submit(text("finishes")), r.submit(text("endless")), r.submit(text("waits"))
	until(t, r.follow(finishes.ID, 0), jeantrail.EventStarted)
	until(t, r.follow(endless.ID, 0), jeantrail.EventToken)

	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 2)
	for range 2 {
		go func() { stopped <- r.Stop(ctx) }()
	}
	// The queued job ends at once, the running ones go on.
	if got := r.wait(queued.ID); got.State != jeantrail.StateInterrupted || got.Result.Cost.Amount != 0 {
		t.Errorf("queued job: %s %+v", got.State, got.Result.Cost)
	}
	if _, err := r.Submit(context.Background(), local, text("late")); jeantrail.CodeOf(err) != jeantrail.CodeShuttingDown {
		t.Errorf("submit while stopping: %v", err)
	}
	close(release)
	if got := r.wait(finishes.ID); got.State != jeantrail.StateSucceeded || got.Result.Text != "done" {
		t.Errorf("job that finishes: %s %q", got.State, got.Result.Text)
	}
	cancel()
	got := r.wait(endless.ID)
	if got.State != jeantrail.StateInterrupted || got.Err.Code != jeantrail.CodeShuttingDown || got.Result.Text != "some" ||
		got.Result.Cost.Amount != (scriptPrompt-scriptCached+1)*1000 {
		t.Errorf("endless job: %s %v %+v", got.State, got.Err, got.Result)
	}
	for range 2 {
		if err := <-stopped; err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}

// A backend that ignores its context must not keep the program from ending.
func TestStopHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		r := serve(t, func(_ context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
			begin(sink)
			<-let
			return nil
		})
		job := r.submit(text("x"))
		until(t, r.follow(job.ID, 0), jeantrail.EventStarted)
		if err := r.Stop(ended()); err == nil {
			t.Error("stop says that all jobs have ended")
		}
		close(let)
		r.wait(job.ID)
		r.Gateway = start(t, r.store, say()) // for the checks at the end
	})
}

func TestManyJobsAThirdCancelled(t *testing.T) {
	const jobs, clients = 1000, 16
	r := serve(t, func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
		if strings.HasPrefix(job.Request.Text.Prompt, "cancel") {
			return sayThenHang("a", "b")(ctx, job, sink)
		}
		return say("a", "b", "c")(ctx, job, sink)
	})
	failures := make(chan error, clients)
	for c := range clients {
		go func() {
			for i := c; i < jobs; i += clients {
				if err := oneOfMany(r, i); err != nil {
					failures <- fmt.Errorf("job %d: %w", i, err)
					return
				}
			}
			failures <- nil
		}()
	}
	for range clients {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if s := r.Stats(); s != (gateway.Stats{}) {
		t.Errorf("left over: %+v", s)
	}
	totals, err := r.store.Totals(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	cancelled := totals.Jobs[jeantrail.StateCancelled]
	if cancelled != (jobs+2)/3 || totals.Jobs[jeantrail.StateSucceeded] != jobs-cancelled || totals.OpenReservations != 0 {
		t.Errorf("totals %+v", totals)
	}
}

func oneOfMany(r *rig, i int) error {
	ctx, prompt := context.Background(), "run"
	if i%3 == 0 {
		prompt = "cancel"
	}
	job, err := r.Submit(ctx, local, text(prompt))
	if err != nil {
		return err
	}
	lease, err := r.Lease(ctx, local, job.ID)
	if err != nil {
		return err
	}
	switch i % 6 {
	case 0:
		lease.Release(0)
	case 3:
		if err := r.Cancel(ctx, local, job.ID); err != nil {
			return err
		}
	}
	defer lease.Release(0)
	_, err = r.Wait(ctx, job.ID)
	return err
}
