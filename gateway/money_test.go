package gateway_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

// bounded bounds a scripted job by its max_tokens; without one the answer is
// open.
func bounded(req *jeantrail.Request) jeantrail.Bounds {
	b := jeantrail.Bounds{PromptTokens: scriptPrompt, CompletionTokens: boundCompletion, Exact: true, Open: req.Text.MaxTokens == nil}
	if !b.Open {
		b.CompletionTokens = *req.Text.MaxTokens
	}
	return b
}

// talk is a job that says "x " until its most tokens, or its allowance, are
// used up.
func talk(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
	begin(sink)
	most := boundCompletion
	if m := job.Request.Text.MaxTokens; m != nil {
		most = *m
	}
	allowed := sink.Allowance(scriptPrompt, scriptCached)
	for n := range most {
		if n == allowed {
			return errHoldUsedUp
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		sink.Token("x ", false, 1)
	}
	return nil
}

// serveTalk starts a gateway whose jobs talk.
func serveTalk(t *testing.T, change ...func(*gateway.Options)) *rig {
	return serve(t, nil, append([]func(*gateway.Options){func(o *gateway.Options) {
		o.Models = models{&backend{run: talk, bounds: bounded}}
	}}, change...)...)
}

func tokens(prompt string, n int) jeantrail.Request {
	req := text(prompt)
	req.Text.MaxTokens = &n
	return req
}

func (r *rig) budget(b jeantrail.Budget) *jeantrail.BudgetStanding {
	r.t.Helper()
	s, err := r.AddBudget(context.Background(), local, b)
	if err != nil {
		r.t.Fatalf("add budget: %v", err)
	}
	return s
}

func (r *rig) standing(id string) *jeantrail.BudgetStanding {
	r.t.Helper()
	s, err := r.Budget(context.Background(), local, id)
	if err != nil {
		r.t.Fatalf("read budget: %v", err)
	}
	return s
}

func as(user string) jeantrail.Principal {
	return jeantrail.Principal{UserID: user, Role: jeantrail.RoleUser}
}

// A budget with room for exactly 100 requests lets exactly 100 of many
// concurrent ones run, and tells the others its numbers.
func TestBudgetAdmitsExactlyWhatFits(t *testing.T) {
	r := serveTalk(t)
	const clients, each, fit = 64, 4, 100
	// 12 tokens of prompt and 88 of answer at $0.001, so 10 cents each; 7 of
	// the prompt's tokens are not cached.
	b := r.budget(jeantrail.Budget{UserID: "ann", Type: jeantrail.BudgetTotal, AmountCents: fit * 10})
	var ran, refused atomic.Int64
	release := make(chan struct{})
	held := models{&backend{bounds: bounded, run: func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
		<-release // so that nothing is given back before all have asked
		return talk(ctx, job, sink)
	}}}
	r2 := start(t, r.store, nil, func(o *gateway.Options) { o.Models = held })
	var group sync.WaitGroup
	ids := make(chan string, clients*each)
	for range clients {
		group.Go(func() {
			for range each {
				job, err := r2.Submit(context.Background(), as("ann"), tokens("hello", 88))
				if err == nil {
					ran.Add(1)
					ids <- job.ID
					continue
				}
				refused.Add(1)
				e := jeantrail.AsError(err)
				if e.Code != jeantrail.CodeBudgetExceeded || e.Names["budget_id"] != b.ID || e.Numbers["limit_micros"] != fit*100_000 ||
					e.Numbers["needed_micros"] != 100_000 || e.Numbers["spent_micros"]+e.Numbers["reserved_micros"] != fit*100_000 || e.Hint == "" {
					t.Errorf("refused with %+v", e)
				}
			}
		})
	}
	group.Wait()
	close(ids)
	if ran.Load() != fit || refused.Load() != clients*each-fit {
		t.Errorf("%d ran, %d were refused", ran.Load(), refused.Load())
	}
	if s := r.standing(b.ID); s.Reserved != s.Limit() || s.Spent != 0 || s.Remaining() != 0 {
		t.Errorf("while they run the budget stands at %+v", s)
	}
	close(release)
	for id := range ids {
		job, err := r2.Wait(context.Background(), id)
		if err != nil || job.State != jeantrail.StateSucceeded || job.Result.Cost.Amount != 95_000 {
			t.Fatalf("job %+v, %v", job, err)
		}
	}
	if s := r.standing(b.ID); s.Reserved != 0 || s.Spent != fit*95_000 {
		t.Errorf("at the end the budget stands at %+v", s)
	}
	if err := r2.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestFreeModelIsNeverBlocked(t *testing.T) {
	r := serveTalk(t)
	r.budget(jeantrail.Budget{Type: jeantrail.BudgetDaily, AmountCents: 0})
	_, err := r.Submit(context.Background(), local, tokens("hello", 5))
	if jeantrail.CodeOf(err) != jeantrail.CodeBudgetExceeded {
		t.Fatalf("a budget of nothing lets a paid model run: %v", err)
	}
	if _, err := r.SetPrice(context.Background(), local, jeantrail.PriceEntry{Kind: jeantrail.KindText, Price: jeantrail.Price{Model: "m"}}); err != nil {
		t.Fatal(err)
	}
	if job := r.wait(r.submit(tokens("hello", 5)).ID); job.State != jeantrail.StateSucceeded || job.Result.Cost.Amount != 0 {
		t.Errorf("free job: %+v", job)
	}
}

// An answer whose length was left open is held to what the budget has, keeps
// its text and costs what was produced.
func TestOpenAnswerStopsAtItsHold(t *testing.T) {
	r := serveTalk(t)
	b := r.budget(jeantrail.Budget{UserID: "local", Type: jeantrail.BudgetMonthly, AmountCents: 5})
	job := r.wait(r.submit(text("hello")).ID)
	// 50,000 micro-dollars less 7 uncached tokens of prompt.
	if res := job.Result; job.State != jeantrail.StateSucceeded || res.FinishReason != jeantrail.FinishBudget || !res.Truncated ||
		res.Usage.CompletionTokens != 43 || res.Cost.Amount != 50_000 || res.Cost.Reserved != 50_000 || res.Text != strings.Repeat("x ", 43) {
		t.Errorf("got %+v", res)
	}
	if s := r.standing(b.ID); s.Spent != s.Limit() || s.Reserved != 0 {
		t.Errorf("the budget stands at %+v", s)
	}
	if _, err := r.Submit(context.Background(), local, text("hello")); jeantrail.CodeOf(err) != jeantrail.CodeBudgetExceeded {
		t.Errorf("after that: %v", err)
	}
}

// A stream that its client leaves after some tokens costs these and the prompt.
func TestAbortedStreamCostsWhatItProduced(t *testing.T) {
	const said = 37
	r := serve(t, func(ctx context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
		begin(sink)
		for range said {
			sink.Token("x", false, 1)
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	job := r.submit(text("hello"))
	lease := r.lease(job.ID)
	reader := r.follow(job.ID, 0)
	for got := 0; got < said; {
		ev, err := reader.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		got += ev.Tokens
	}
	lease.Release(0)
	r.wait(job.ID)
	rows, err := r.Costs(context.Background(), local, jeantrail.GroupModel, jeantrail.StatisticsFilter{})
	want := jeantrail.Money(said+scriptPrompt-scriptCached) * 1000
	if err != nil || len(rows) != 1 || rows[0].Cost != want || rows[0].Cancellations != 1 || rows[0].CompletionTokens != said {
		t.Errorf("costs %+v, %v; want %d", rows, err, want)
	}
}

func TestJobKeepsThePriceItWasAdmittedUnder(t *testing.T) {
	release := make(chan struct{})
	r := serve(t, nil, func(o *gateway.Options) {
		o.Models = models{&backend{bounds: bounded, run: func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
			<-release
			return talk(ctx, job, sink)
		}}}
	})
	before := r.submit(tokens("hello", 10))
	dear := jeantrail.Price{Model: jeantrail.AnyModel, PromptToken: 5000, CachedToken: 5000, CompletionToken: 9000}
	if _, err := r.SetPrice(context.Background(), local, jeantrail.PriceEntry{Kind: jeantrail.KindText, Price: dear}); err != nil {
		t.Fatal(err)
	}
	after := r.submit(tokens("hello", 10))
	close(release)
	if got := r.wait(before.ID).Result.Cost.Amount; got != 17_000 {
		t.Errorf("the earlier job costs %d", got)
	}
	if got := r.wait(after.ID).Result.Cost.Amount; got != 12*5000+10*9000 {
		t.Errorf("the later job costs %d", got)
	}
}

// Alerts come once for each threshold and window: into the job's own log, into
// those of the user's other jobs, to watchers and to who is notified.
func TestAlerts(t *testing.T) {
	var mu sync.Mutex
	var notified []jeantrail.Alert
	r := serve(t, nil, func(o *gateway.Options) {
		o.Models = models{&backend{bounds: bounded, run: func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
			if job.Request.Text.Prompt == "hang" {
				return sayThenHang("x")(ctx, job, sink)
			}
			return talk(ctx, job, sink)
		}}}
		o.Notify = func(a jeantrail.Alert) { mu.Lock(); defer mu.Unlock(); notified = append(notified, a) }
	})
	ctx := context.Background()
	b := r.budget(jeantrail.Budget{UserID: "ann", Type: jeantrail.BudgetDaily, AmountCents: 20})
	other, err := r.Submit(ctx, as("ann"), tokens("hang", 1))
	if err != nil {
		t.Fatal(err)
	}
	strangers, err := r.Submit(ctx, as("bob"), tokens("hang", 1))
	if err != nil {
		t.Fatal(err)
	}
	watched, stop := r.WatchAlerts(as("ann"))
	defer stop()
	foreign, stopForeign := r.WatchAlerts(as("bob"))
	defer stopForeign()

	ask := func(n int) *jeantrail.Job {
		t.Helper()
		job, err := r.Submit(ctx, as("ann"), tokens("hello", n))
		if err != nil {
			t.Fatal(err)
		}
		return r.wait(job.ID)
	}
	ask(93)        // 50 %
	own := ask(57) // 82 %
	ask(1)
	view := readAll(t, r.follow(own.ID, 0))
	var types []jeantrail.EventType
	for _, ev := range view.events[2:] {
		if ev.Type != jeantrail.EventToken {
			types = append(types, ev.Type)
		}
	}
	if !slices.Equal(types, []jeantrail.EventType{jeantrail.EventAlert, jeantrail.EventDone}) || own.LastSeq != view.seq() {
		t.Errorf("the log of the job that reached the threshold ends with %v, last %d of %d", types, view.seq(), own.LastSeq)
	}
	if ev := until(t, r.follow(other.ID, 0), jeantrail.EventAlert); ev.Alert.BudgetID != b.ID || ev.Alert.Percent != 80 || ev.Alert.Spent != 164_000 {
		t.Errorf("another job of the user heard %+v", ev.Alert)
	}
	if a := <-watched; a.Percent != 80 {
		t.Errorf("a watcher heard %+v", a)
	}
	// What does not fit is refused, and the budget is used up: that is told once.
	for range 2 {
		if _, err := r.Submit(ctx, as("ann"), tokens("hello", 100)); jeantrail.CodeOf(err) != jeantrail.CodeBudgetExceeded {
			t.Fatalf("not refused: %v", err)
		}
	}
	if a := <-watched; a.Percent != 100 {
		t.Errorf("a watcher heard %+v", a)
	}
	stored, err := r.Alerts(ctx, as("ann"), "", 10)
	if err != nil || len(stored) != 2 {
		t.Errorf("stored alerts %+v, %v", stored, err)
	}
	mu.Lock()
	if len(notified) != 2 || notified[0].Percent != 80 || notified[1].Percent != 100 {
		t.Errorf("notified of %+v", notified)
	}
	mu.Unlock()
	select {
	case a := <-foreign:
		t.Errorf("another user heard %+v", a)
	case a := <-watched:
		t.Errorf("an alert came twice: %+v", a)
	default:
	}
	for id, want := range map[string]int{other.ID: 2, strangers.ID: 0} {
		if err := r.Cancel(ctx, local, id); err != nil {
			t.Fatal(err)
		}
		r.wait(id)
		n := 0
		for _, ev := range readAll(t, r.follow(id, 0)).events {
			if ev.Type == jeantrail.EventAlert {
				n++
			}
		}
		if n != want {
			t.Errorf("%d alerts in the log, want %d", n, want)
		}
	}
}

func TestWhoMayDecideAboutMoney(t *testing.T) {
	r := serveTalk(t)
	ctx, ann, bob := context.Background(), as("ann"), as("bob")
	b := r.budget(jeantrail.Budget{UserID: "ann", Type: jeantrail.BudgetDaily, AmountCents: 100})
	everybody := r.budget(jeantrail.Budget{Type: jeantrail.BudgetDaily, AmountCents: 100})
	noChange := func(*jeantrail.Budget) error { return nil }
	_, addErr := r.AddBudget(ctx, ann, b.Budget)
	_, changeErr := r.ChangeBudget(ctx, ann, b.ID, noChange)
	_, ruleErr := r.AddRule(ctx, ann, jeantrail.Rule{})
	_, priceErr := r.SetPrice(ctx, ann, jeantrail.PriceEntry{})
	_, listErr := r.Budgets(ctx, bob, "ann")
	_, costErr := r.Costs(ctx, bob, jeantrail.GroupDay, jeantrail.StatisticsFilter{UserID: "ann"})
	for op, err := range map[string]error{
		"add": addErr, "change": changeErr, "delete": r.DeleteBudget(ctx, ann, b.ID), "rule": ruleErr, "price": priceErr,
		"list": listErr, "costs": costErr,
	} {
		if jeantrail.CodeOf(err) != jeantrail.CodeForbidden {
			t.Errorf("%s: %v", op, err)
		}
	}
	if _, err := r.Budget(ctx, bob, b.ID); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("another user's budget: %v", err)
	}
	for who, want := range map[jeantrail.Principal]int{ann: 2, bob: 1, local: 2} {
		if list, err := r.Budgets(ctx, who, ""); err != nil || len(list) != want {
			t.Errorf("%s sees %d budgets, %v", who.UserID, len(list), err)
		}
	}
	if _, err := r.Budget(ctx, bob, everybody.ID); err != nil {
		t.Errorf("everybody's budget: %v", err)
	}
	if err := r.DeleteBudget(ctx, local, b.ID); err != nil {
		t.Error(err)
	}
	if _, err := r.Budget(ctx, local, b.ID); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("a removed budget: %v", err)
	}
}

func TestEnergyIsToldBesideTheCost(t *testing.T) {
	var begun, ended atomic.Int64
	r := serveTalk(t, func(o *gateway.Options) {
		o.Meter = func() func() jeantrail.Energy {
			begun.Add(1)
			return func() jeantrail.Energy {
				ended.Add(1)
				return jeantrail.Energy{Measured: true, Source: "test", Millijoule: 1500, Price: 7}
			}
		}
	})
	job := r.wait(r.submit(tokens("hello", 3)).ID)
	stored, err := r.Job(context.Background(), local, job.ID)
	want := jeantrail.Energy{Measured: true, Source: "test", Millijoule: 1500, Price: 7}
	if err != nil || stored.Result.Energy != want || stored.Result.Cost.Amount != 10_000 {
		t.Errorf("stored %+v, cost %d, %v", stored.Result.Energy, stored.Result.Cost.Amount, err)
	}
	if begun.Load() != 1 || ended.Load() != 1 {
		t.Errorf("measured %d times, ended %d times", begun.Load(), ended.Load())
	}
}

func TestAllowanceOfAFreeModelHasNoEnd(t *testing.T) {
	allowed := make(chan int, 1)
	r := serve(t, func(_ context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
		begin(sink)
		allowed <- sink.Allowance(scriptPrompt, 0)
		return nil
	})
	if _, err := r.SetPrice(context.Background(), local, jeantrail.PriceEntry{Kind: jeantrail.KindText, Price: jeantrail.Price{Model: "m"}}); err != nil {
		t.Fatal(err)
	}
	r.wait(r.submit(text("x")).ID)
	if got := <-allowed; got != math.MaxInt {
		t.Errorf("allowed %d tokens", got)
	}
}
