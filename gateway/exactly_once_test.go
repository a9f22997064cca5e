package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/store"
)

// report is one step of a random job.
type report struct {
	pause     time.Duration
	text      string
	reasoning bool
	tokens    int
}

func reports() *rapid.Generator[[]report] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) report {
		return report{
			pause:     time.Duration(rapid.SampledFrom([]int{0, 0, 1, 30, 99, 100, 101, 250}).Draw(t, "pause")) * time.Millisecond,
			text:      rapid.SampledFrom([]string{"", "a", "bc", "déjà", "漢字", strings.Repeat("long ", 20)}).Draw(t, "text"),
			reasoning: rapid.Bool().Draw(t, "reasoning"),
			tokens:    rapid.IntRange(0, 3).Draw(t, "tokens"),
		}
	}), 0, 25)
}

// perform plays reports as a job.
func perform(scripts map[string][]report) func(context.Context, *jeantrail.Job, gateway.Sink) error {
	return func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
		begin(sink)
		for _, rep := range scripts[job.Request.Text.Prompt] {
			select {
			case <-time.After(rep.pause):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			sink.Token(rep.text, rep.reasoning, rep.tokens)
		}
		return nil
	}
}

// client follows a job through hang-ups and a restart.
type client struct {
	id   string
	view *view

	hangUps []int // after how many events it goes away and comes back
	pause   time.Duration
	ended   bool
}

// follow reads until the end, or until the gateway knows no more.
func (c *client) follow(g *gateway.Gateway) error {
	after := c.view.cut()
	for !c.ended {
		r, err := g.Follow(context.Background(), local, c.id, after)
		if err != nil {
			return nil // the process died before; the next one has the job
		}
		left := -1
		if len(c.hangUps) > 0 {
			left, c.hangUps = c.hangUps[0], c.hangUps[1:]
		}
		if err := c.read(r, left); err != nil {
			return err
		}
		if after = c.view.cut(); left < 0 {
			return nil
		}
	}
	return nil
}

func (c *client) read(r *gateway.Reader, left int) error {
	for ; left != 0; left-- {
		ev, err := r.Next(context.Background())
		if err == io.EOF {
			c.ended = true
			return nil
		}
		if err != nil {
			return nil // of a process that died
		}
		if err := c.view.add(ev); err != nil {
			return fmt.Errorf("event %d %s: %w", ev.Seq, ev.Type, err)
		}
		<-time.After(c.pause)
	}
	return nil
}

// play runs the clients side by side until each can go no further.
func play(g *gateway.Gateway, clients []*client) error {
	var wg sync.WaitGroup
	errs := make([]error, len(clients))
	for i, c := range clients {
		wg.Go(func() { errs[i] = c.follow(g) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// plan is one random history.
type plan struct {
	scripts    map[string][]report
	readers    map[string][]client // by script
	flushBytes int
	crashAt    int // the write at which the process dies, 0 for none
}

func drawPlan(t *rapid.T) plan {
	p := plan{
		scripts:    make(map[string][]report),
		readers:    make(map[string][]client),
		flushBytes: rapid.IntRange(1, 200).Draw(t, "flush bytes"),
		crashAt:    rapid.IntRange(0, 12).Draw(t, "crash at write"),
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "jobs") {
		prompt := fmt.Sprint("job ", i)
		p.scripts[prompt] = reports().Draw(t, "reports")
		for range rapid.IntRange(1, 3).Draw(t, "readers") {
			p.readers[prompt] = append(p.readers[prompt], client{
				hangUps: rapid.SliceOfN(rapid.IntRange(0, 6), 0, 3).Draw(t, "hang-ups"),
				pause:   time.Duration(rapid.SampledFrom([]int{0, 0, 7, 400}).Draw(t, "reader's pause")) * time.Millisecond,
			})
		}
	}
	return p
}

// Whatever the jobs report, however the flushes fall, whenever readers come and
// go, and at whichever write the process dies: every event reaches every reader
// once, the texts are what was reported (all of it without a crash, a prefix
// with one), and each job is charged once, for the tokens in its log.
func TestExactlyOnce(t *testing.T) {
	dir, runs := t.TempDir(), 0
	empty := emptyDatabase(t, dir)
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		runs++
		path := filepath.Join(dir, fmt.Sprint(runs, ".db"))
		if err := os.WriteFile(path, empty, 0o600); err != nil {
			rt.Fatal(err)
		}
		var problems []error
		synctest.Test(t, func(*testing.T) { problems = exactlyOnce(path, p) })
		for _, suffix := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(path + suffix) // the folder is removed in any case
		}
		if len(problems) > 0 {
			rt.Fatal(errors.Join(problems...))
		}
	})
}

// emptyDatabase is a file with the schema, which takes longer to make than a
// history does.
func emptyDatabase(t *testing.T, dir string) []byte {
	path := filepath.Join(dir, "empty.db")
	if err := openStore(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func exactlyOnce(path string, p plan) (problems []error) {
	fail := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	s, err := store.Open(context.Background(), path, store.Options{})
	if err != nil {
		return []error{err}
	}
	defer func() { fail(s.Close()) }()
	g, err := startPlan(dying(s, p.crashAt), p)
	if err != nil {
		return []error{err}
	}
	ids := make(map[string]string)
	var clients []*client
	for prompt := range p.scripts {
		job, err := g.Submit(context.Background(), local, text(prompt))
		if err != nil {
			return []error{err, g.Stop(ended())}
		}
		ids[prompt] = job.ID
		for _, c := range p.readers[prompt] {
			c.id, c.view = job.ID, newView()
			clients = append(clients, &c)
		}
	}
	fail(play(g, clients))
	fail(g.Stop(context.Background()))

	// The next process, on the same database.
	if g, err = startPlan(s, p); err != nil {
		return []error{err}
	}
	_, err = g.Recover(context.Background())
	fail(err)
	fail(play(g, clients))
	for prompt, id := range ids {
		fail(checkJob(g, id, p.scripts[prompt], p.crashAt > 0))
	}
	for _, c := range clients {
		fail(checkView(g, c))
	}
	fail(g.Stop(context.Background()))
	fail(sound(s))
	return problems
}

// dying is a store that takes so many writes after the admissions, and then
// never another one.
func dying(s gateway.Store, crashAt int) gateway.Store {
	if crashAt == 0 {
		return s
	}
	writes := 0
	var mu sync.Mutex
	return &faulty{Store: s, fail: func(op string, _ []string) error {
		if op == "admit" {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if writes++; writes > crashAt {
			return errDead
		}
		return nil
	}}
}

func startPlan(s gateway.Store, p plan) (*gateway.Gateway, error) {
	g, err := gateway.New(gateway.Options{
		Store: s, Models: models{&backend{run: perform(p.scripts)}}, FlushBytes: p.flushBytes,
	})
	if err != nil {
		return nil, err
	}
	return g, g.Start(context.Background())
}

func checkJob(g *gateway.Gateway, id string, script []report, mayBeCut bool) error {
	job, err := g.Wait(context.Background(), id)
	if err != nil {
		return err
	}
	var answer, reasoning strings.Builder
	tokens := 0
	for _, rep := range script {
		tokens += rep.tokens
		if rep.reasoning {
			reasoning.WriteString(rep.text)
		} else {
			answer.WriteString(rep.text)
		}
	}
	r := job.Result
	whole := r.Text == answer.String() && r.Reasoning == reasoning.String() && r.Usage.CompletionTokens == tokens
	prefix := strings.HasPrefix(answer.String(), r.Text) && strings.HasPrefix(reasoning.String(), r.Reasoning) &&
		r.Usage.CompletionTokens <= tokens
	cost := jeantrail.Money(r.Usage.PromptTokens-r.Usage.CachedTokens+r.Usage.CompletionTokens) * 1000
	switch {
	case job.State == jeantrail.StateSucceeded && !whole:
		return fmt.Errorf("a job that succeeded has %q %q, %d tokens", r.Text, r.Reasoning, r.Usage.CompletionTokens)
	case job.State != jeantrail.StateSucceeded && !mayBeCut:
		return fmt.Errorf("a job ended %s: %w", job.State, job.Err)
	case !prefix:
		return fmt.Errorf("a job that was cut off has %q %q, %d tokens", r.Text, r.Reasoning, r.Usage.CompletionTokens)
	case r.Cost.Amount != cost || cost > job.Reserved:
		return fmt.Errorf("a job cost %s, want %s", r.Cost.Amount, cost)
	}
	return nil
}

func checkView(g *gateway.Gateway, c *client) error {
	job, err := g.Wait(context.Background(), c.id)
	if err != nil {
		return err
	}
	v := c.view
	switch {
	case !c.ended || v.seq() != job.LastSeq:
		return fmt.Errorf("a reader saw %d of %d events, to the end: %v", v.seq(), job.LastSeq, c.ended)
	case v.text(false) != job.Result.Text:
		return fmt.Errorf("a reader saw %q, the job has %q", v.text(false), job.Result.Text)
	case v.text(true) != job.Result.Reasoning:
		return fmt.Errorf("a reader saw the reasoning %q, the job has %q", v.text(true), job.Result.Reasoning)
	case v.sum != job.Result.Usage.CompletionTokens:
		return fmt.Errorf("a reader was given %d tokens, the job has %d", v.sum, job.Result.Usage.CompletionTokens)
	}
	return nil
}
