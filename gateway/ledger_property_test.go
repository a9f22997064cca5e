package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/store"
)

// ledgerCases is how many random histories TestLedgerHoldsInAnyOrder plays;
// JEANTRAIL_TEST_LEDGER_CASES overrides it.
const ledgerCases = 10_000

// history is a random life of one user's jobs on a database that all histories
// share: they are told apart by the user.
type history struct {
	*rapid.T
	store *store.Store
	user  string
	now   *atomic.Int64 // Unix milliseconds

	dead    *faulty
	gateway *gateway.Gateway
	open    []*playedJob
	ended   []string
}

// playedJob is a job that does what it is told, step by step.
type playedJob struct {
	id    string
	steps chan func(context.Context, gateway.Sink) (done bool, err error)
	acked chan struct{}
	began bool
	again bool // it was taken up after a crash, which is done once
	over  bool // it was told to end
	left  int  // tokens that it may still sample
}

// playedBackend hands each job to the history.
type playedBackend struct{ next chan *playedJob }

func (b *playedBackend) Prepare(_ context.Context, req *jeantrail.Request) (gateway.Work, error) {
	return &playedWork{request: *req, backend: b}, nil
}

type playedWork struct {
	request jeantrail.Request
	backend *playedBackend
}

func (w *playedWork) Bounds() jeantrail.Bounds { return bounded(&w.request) }

func (w *playedWork) Fingerprint() ([]byte, bool) { return nil, false }

func (w *playedWork) Run(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	tally := &tally{Sink: sink}
	result := func(reason jeantrail.FinishReason) *jeantrail.Result {
		return &jeantrail.Result{Text: tally.text.String(), Usage: tally.usage, FinishReason: reason}
	}
	var p *playedJob
	select {
	case p = <-w.backend.next:
	case <-ctx.Done():
		return result(jeantrail.FinishCancelled), context.Cause(ctx)
	}
	p.id = job.ID
	p.acked <- struct{}{}
	for {
		select {
		case step := <-p.steps:
			done, err := step(ctx, tally)
			p.acked <- struct{}{}
			if err != nil {
				return result(jeantrail.FinishError), err
			}
			if done {
				return result(jeantrail.FinishStop), nil
			}
		case <-ctx.Done():
			return result(jeantrail.FinishCancelled), context.Cause(ctx)
		}
	}
}

func (h *history) start(b *playedBackend) {
	h.dead = &faulty{Store: h.store}
	g, err := gateway.New(gateway.Options{
		Store: h.dead, Models: models{b}, FlushEvery: time.Hour, // what is not settled is lost in a crash
		Clock: func() time.Time { return time.UnixMilli(h.now.Load()) },
	})
	if err != nil {
		h.Fatal(err)
	}
	if _, err := g.Recover(context.Background()); err != nil {
		h.Fatalf("recover: %v", err)
	}
	if err := g.Start(context.Background()); err != nil {
		h.Fatal(err)
	}
	h.gateway = g
}

// crash ends the process that the gateway is, with whatever it had in memory.
func (h *history) crash(b *playedBackend) {
	h.dead.set(func(string, []string) error { return errDead })
	if err := h.gateway.Stop(ended()); err != nil {
		h.Fatalf("stop: %v", err)
	}
	var taken int
	for _, p := range h.open {
		if p.began || p.again {
			h.ended = append(h.ended, p.id)
		} else {
			taken++
		}
	}
	h.open = nil
	h.start(b)
	for range taken {
		p := newPlayedJob()
		p.again = true
		b.next <- p
		<-p.acked
		h.open = append(h.open, p)
	}
}

func newPlayedJob() *playedJob {
	return &playedJob{steps: make(chan func(context.Context, gateway.Sink) (bool, error)), acked: make(chan struct{})}
}

func (h *history) submit(b *playedBackend) {
	req := jeantrail.Request{Kind: jeantrail.KindText, Async: true, Text: &jeantrail.TextRequest{Prompt: "p"}}
	if h.draw("limited", 0, 1) == 1 {
		most := h.draw("max_tokens", 1, 40)
		req.Text.MaxTokens = &most
	}
	p := newPlayedJob()
	job, err := h.gateway.Submit(context.Background(), as(h.user), req)
	if jeantrail.CodeOf(err) == jeantrail.CodeBudgetExceeded {
		return
	}
	if err != nil {
		h.Fatalf("submit: %v", err)
	}
	b.next <- p
	<-p.acked
	if p.id != job.ID {
		h.Fatalf("job %s ran as %s", job.ID, p.id)
	}
	h.open = append(h.open, p)
}

// step lets an open job do something: begin, sample, end or fail.
func (h *history) step(i int) {
	p := h.open[i]
	what := h.draw("step", 0, 9)
	p.steps <- func(_ context.Context, sink gateway.Sink) (bool, error) {
		if !p.began {
			p.began = true
			cached := h.draw("cached", 0, scriptPrompt)
			sink.Started("m", jeantrail.EngineInfo{}, scriptPrompt, cached)
			p.left = min(sink.Allowance(scriptPrompt, cached), 40)
			return false, nil
		}
		switch {
		case what < 7 && p.left > 0:
			n := h.draw("tokens", 1, min(p.left, 10))
			p.left -= n
			sink.Token("t", false, n)
			return false, nil
		case what == 8:
			p.over = true
			return false, errors.New("the backend broke")
		default:
			p.over = true
			return true, nil
		}
	}
	<-p.acked
	if p.over {
		h.end(i)
	}
}

func (h *history) cancel(i int) {
	if err := h.gateway.Cancel(context.Background(), local, h.open[i].id); err != nil {
		h.Fatalf("cancel: %v", err)
	}
	h.end(i)
}

// end waits for a job that was told to end.
func (h *history) end(i int) {
	p := h.open[i]
	if _, err := h.gateway.Wait(context.Background(), p.id); err != nil {
		h.Fatalf("wait: %v", err)
	}
	h.open = append(h.open[:i], h.open[i+1:]...)
	h.ended = append(h.ended, p.id)
}

func (h *history) draw(name string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(h.T, name) }

func (h *history) price() {
	price := func(name string) jeantrail.Money { return jeantrail.Money(h.draw(name, 0, 3000)) }
	e := jeantrail.PriceEntry{Kind: jeantrail.KindText, Price: jeantrail.Price{
		Model: "m", PromptToken: price("prompt price"), CachedToken: price("cached price"), CompletionToken: price("price"),
	}}
	if _, err := h.gateway.SetPrice(context.Background(), local, e); err != nil {
		h.Fatalf("set price: %v", err)
	}
}

// holds checks what must be true at every moment: no budget is over its limit,
// and what is reserved is just what the open jobs hold.
func (h *history) holds() {
	standings, err := h.store.Standings(context.Background(), &h.user, time.UnixMilli(h.now.Load()), false)
	if err != nil {
		h.Fatal(err)
	}
	var held jeantrail.Money
	for _, p := range h.open {
		job, err := h.store.Job(context.Background(), p.id)
		if err != nil {
			h.Fatal(err)
		}
		held = held.Add(job.Reserved)
	}
	for i := range standings {
		s := &standings[i]
		if s.UserID != h.user {
			continue
		}
		if s.Spent.Add(s.Reserved) > s.Limit() {
			h.Fatalf("the %s budget of %d is over: %d spent, %d reserved", s.Type, s.Limit(), s.Spent, s.Reserved)
		}
		if s.Reserved != held {
			h.Fatalf("%d are reserved, the open jobs hold %d", s.Reserved, held)
		}
	}
}

// adds checks the end: every job is closed once, costs what its events say at
// its own price, and all the sums agree.
func (h *history) adds() {
	ctx := context.Background()
	var total jeantrail.Money
	for _, id := range h.ended {
		job, err := h.store.Job(ctx, id)
		if err != nil {
			h.Fatal(err)
		}
		if !job.State.Terminal() || job.Result == nil {
			h.Fatalf("job %s is %s", id, job.State)
		}
		events, err := h.store.Events(ctx, id, 0, 1000)
		if err != nil {
			h.Fatal(err)
		}
		var want jeantrail.Money
		for _, ev := range events {
			switch ev.Type {
			case jeantrail.EventStarted:
				want = job.Price.PromptToken.Times(int64(ev.Prompt - ev.Cached)).Add(job.Price.CachedToken.Times(int64(ev.Cached)))
			case jeantrail.EventToken:
				want = want.Add(job.Price.CompletionToken.Times(int64(ev.Tokens)))
			}
		}
		if job.Result.Cost.Amount != want || want > job.Reserved {
			h.Fatalf("job %s costs %d, its events say %d, its hold was %d", id, job.Result.Cost.Amount, want, job.Reserved)
		}
		total = total.Add(want)
	}
	costs, err := h.store.Costs(ctx, jeantrail.GroupUser, jeantrail.StatisticsFilter{UserID: h.user})
	if err != nil {
		h.Fatal(err)
	}
	usage, err := h.store.Usage(ctx, jeantrail.StatisticsFilter{UserID: h.user})
	if err != nil {
		h.Fatal(err)
	}
	var sum jeantrail.Tally
	for _, row := range usage {
		sum.Requests += row.Requests
		sum.Cost = sum.Cost.Add(row.Cost)
	}
	if len(h.ended) == 0 {
		return
	}
	if len(costs) != 1 || costs[0].Cost != total || costs[0].Requests != int64(len(h.ended)) || sum.Cost != total || sum.Requests != costs[0].Requests {
		h.Fatalf("%d jobs cost %d; ai_costs has %+v, the statistics %+v", len(h.ended), total, costs, sum)
	}
}

// In any order of submitting, running, cancelling, crashing, settling, price
// changes and new days: no limit is ever passed, every reservation is released
// once, costs are the sums of the events, and the statistics those of the costs.
func TestLedgerHoldsInAnyOrder(t *testing.T) {
	cases := ledgerCases
	if testing.Short() {
		cases = 300
	}
	if text := os.Getenv("JEANTRAIL_TEST_LEDGER_CASES"); text != "" {
		var err error
		if cases, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	// A file for each round, so that no query has to pass over all the others.
	const round = 500
	for first := 0; first < cases; first += round {
		s := openStore(t, filepath.Join(t.TempDir(), "test.db"))
		played := 0
		for played < min(round, cases-first) {
			rapid.Check(t, func(rt *rapid.T) {
				played++
				playHistory(rt, s, fmt.Sprintf("user%d", first+played))
			})
			if t.Failed() {
				return
			}
		}
		if err := sound(s); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func playHistory(t *rapid.T, s *store.Store, user string) {
	b := &playedBackend{next: make(chan *playedJob)}
	h := &history{T: t, store: s, user: user, now: new(atomic.Int64)}
	h.now.Store(time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC).UnixMilli())
	h.start(b)
	defer func() {
		if err := h.gateway.Stop(ended()); err != nil {
			t.Errorf("stop: %v", err)
		}
	}()
	for range h.draw("budgets", 1, 2) {
		typ := rapid.SampledFrom([]jeantrail.BudgetType{jeantrail.BudgetDaily, jeantrail.BudgetWeekly, jeantrail.BudgetTotal}).Draw(t, "type")
		if _, err := h.gateway.AddBudget(context.Background(), local, jeantrail.Budget{UserID: user, Type: typ, AmountCents: int64(h.draw("cents", 0, 30))}); err != nil {
			t.Fatal(err)
		}
	}
	for range h.draw("steps", 1, 15) {
		h.now.Add(int64(h.draw("minutes", 0, 90)) * time.Minute.Milliseconds())
		switch what := h.draw("what", 0, 19); {
		case what < 6 && len(h.open) < 4:
			h.submit(b)
		case what < 15 && len(h.open) > 0:
			h.step(h.draw("job", 0, len(h.open)-1))
		case what < 17 && len(h.open) > 0:
			h.cancel(h.draw("job", 0, len(h.open)-1))
		case what == 17:
			h.price()
		case what == 18:
			h.crash(b)
		default:
			h.now.Add(24 * time.Hour.Milliseconds())
		}
		h.holds()
	}
	for len(h.open) > 0 {
		h.cancel(0)
	}
	h.holds()
	h.adds()
}
