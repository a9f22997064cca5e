package gateway_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/store/artifact"
)

// withFiles gives the gateway a place for files.
func withFiles(t *testing.T) func(*gateway.Options) {
	t.Helper()
	folder, err := artifact.Open(filepath.Join(t.TempDir(), "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	return func(o *gateway.Options) { o.Files = folder }
}

func image(n int) jeantrail.Request {
	return jeantrail.Request{Kind: jeantrail.KindImage, Image: &jeantrail.ImageRequest{Prompt: "a lighthouse", N: n}}
}

// draw is a worker that was asked for two pictures and made so many.
func draw(made int, end error) (b *backend) {
	return &backend{
		bounds: func(*jeantrail.Request) jeantrail.Bounds { return jeantrail.Bounds{Images: 2, Exact: true} },
		run: func(ctx context.Context, _ *jeantrail.Job, sink gateway.Sink) error {
			sink.Started("m", jeantrail.EngineInfo{Device: "worker"}, 0, 0)
			for i := range made {
				a := jeantrail.Artifact{Kind: jeantrail.ArtifactImage, File: jeantrail.File{MediaType: "image/png"}, Width: 64, Height: 64}
				got, err := sink.Artifact(a, strings.NewReader(strings.Repeat("x", i+1)))
				if err != nil {
					return err
				}
				if got.Index != i || got.Bytes != int64(i+1) {
					return errors.New("the artifact came back otherwise")
				}
			}
			return end
		},
	}
}

func withBackend(b gateway.Backend) func(*gateway.Options) {
	return func(o *gateway.Options) { o.Models = models{b} }
}

func TestImagesAreChargedByWhatWasMade(t *testing.T) {
	const each = 50_000
	broke := jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker died")
	for name, c := range map[string]struct {
		made  int
		end   error
		state jeantrail.State
	}{
		"both":          {2, nil, jeantrail.StateSucceeded},
		"one of two":    {1, nil, jeantrail.StateSucceeded},
		"one, and died": {1, broke, jeantrail.StateFailed},
		"none":          {0, broke, jeantrail.StateFailed},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, nil, withFiles(t), withBackend(draw(c.made, c.end)))
			job := r.submit(image(2))
			if job.Reserved != 2*each {
				t.Errorf("held %s", job.Reserved)
			}
			got := r.wait(job.ID)
			if got.State != c.state || got.Result.Cost.Amount != jeantrail.Money(c.made*each) || got.Result.Usage.Images != c.made || len(got.Result.Artifacts) != c.made {
				t.Errorf("%s, cost %s, usage %+v, artifacts %+v", got.State, got.Result.Cost.Amount, got.Result.Usage, got.Result.Artifacts)
			}
			stored, err := r.Job(context.Background(), local, job.ID)
			if err != nil || len(stored.Result.Artifacts) != c.made {
				t.Errorf("stored %+v, %v", stored, err)
			}
			kinds := map[jeantrail.EventType]int{}
			for _, ev := range readAll(t, r.follow(job.ID, 0)).events {
				kinds[ev.Type]++
			}
			if kinds[jeantrail.EventArtifact] != c.made {
				t.Errorf("events %v", kinds)
			}
		})
	}
}

func TestAJobThatMakesFilesNeedsAPlaceForThem(t *testing.T) {
	r := serve(t, nil, withBackend(draw(1, nil)))
	if got := r.wait(r.submit(image(1)).ID); got.State != jeantrail.StateFailed || got.Result.Cost.Amount != 0 {
		t.Errorf("%s, cost %s", got.State, got.Result.Cost.Amount)
	}
}

// A process that dies after a picture was logged owes it; the next one charges
// for exactly that.
func TestRecoveryChargesWhatTheLogShows(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, filepath.Join(t.TempDir(), "test.db"))
	defer s.Close()
	f := &faulty{Store: s}
	logged := make(chan struct{})
	b := draw(1, nil)
	inner := b.run
	b.run = func(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) error {
		if err := inner(ctx, job, sink); err != nil {
			return err
		}
		close(logged)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	files := withFiles(t)
	g := start(t, f, nil, files, withBackend(b))
	job, err := g.Submit(ctx, local, image(2))
	if err != nil {
		t.Fatal(err)
	}
	<-logged
	reader, err := g.Follow(ctx, local, job.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	until(t, reader, jeantrail.EventArtifact)
	f.set(func(string, []string) error { return errDead })
	_ = g.Stop(ended())

	next, err := gateway.New(gateway.Options{Store: s, Models: models{b}})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := next.Recover(ctx); err != nil || n != 1 {
		t.Fatalf("recovered %d, %v", n, err)
	}
	got, err := s.Job(ctx, job.ID)
	if err != nil || got.State != jeantrail.StateInterrupted || got.Result.Cost.Amount != 50_000 || len(got.Result.Artifacts) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := sound(s); err != nil {
		t.Error(err)
	}
}

func TestEstimateIsWhatIsHeld(t *testing.T) {
	r := serve(t, say("x"))
	req := text("hello")
	e, err := r.Estimate(context.Background(), local, req)
	if err != nil {
		t.Fatal(err)
	}
	job := r.submit(req)
	if e.Amount != job.Reserved || e.Least != e.Amount || !e.Exact || e.Model != "m" || e.Kind != jeantrail.KindText {
		t.Errorf("estimate %+v, held %s", e, job.Reserved)
	}
	r.wait(job.ID)
	page, err := r.Jobs(context.Background(), local, jeantrail.JobFilter{})
	if err != nil || len(page.Jobs) != 1 {
		t.Errorf("an estimate left something behind: %+v, %v", page.Jobs, err)
	}
	req.Model = "unknown"
	if _, err := r.Estimate(context.Background(), local, req); jeantrail.CodeOf(err) != jeantrail.CodeNotFound {
		t.Errorf("estimate for an unknown model: %v", err)
	}
}

// chain is a pipeline of stages that only count.
type chain struct {
	estimate jeantrail.Money
	stages   []string
	ran      func(name string, sink gateway.Sink) error
}

func (c *chain) Prepare(context.Context, *jeantrail.Request) (gateway.Work, error) { return c, nil }
func (c *chain) Bounds() jeantrail.Bounds                                          { return jeantrail.Bounds{Exact: true} }
func (c *chain) Fingerprint() ([]byte, bool)                                       { return nil, false }

func (c *chain) Estimate(context.Context, jeantrail.Principal) (*jeantrail.Estimate, error) {
	return &jeantrail.Estimate{Kind: jeantrail.KindPipeline, Amount: c.estimate, Least: c.estimate}, nil
}

func (c *chain) Run(ctx context.Context, job *jeantrail.Job, sink gateway.Sink) (*jeantrail.Result, error) {
	sink.Started("chain", jeantrail.EngineInfo{}, 0, 0)
	return c.Resume(ctx, job, nil, sink)
}

// Resume implements gateway.Resumer.
func (c *chain) Resume(ctx context.Context, _ *jeantrail.Job, log []jeantrail.Event, sink gateway.Sink) (*jeantrail.Result, error) {
	over := map[string]bool{}
	for _, ev := range log {
		if ev.Type == jeantrail.EventStage && ev.Stage.Status == jeantrail.StageSucceeded {
			over[ev.Stage.Name] = true
		}
	}
	r := &jeantrail.Result{Pipeline: &jeantrail.Pipeline{Workflow: "chain"}}
	for _, name := range c.stages {
		if over[name] {
			continue
		}
		if err := c.ran(name, sink); err != nil {
			return r, err
		}
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		sink.Stage(jeantrail.Stage{Name: name, Status: jeantrail.StageSucceeded})
		r.Pipeline.Stages = append(r.Pipeline.Stages, jeantrail.Stage{Name: name, Status: jeantrail.StageSucceeded})
	}
	return r, nil
}

func pipeline() jeantrail.Request {
	return jeantrail.Request{Kind: jeantrail.KindPipeline, Async: true, Pipeline: &jeantrail.PipelineRequest{Workflow: "m"}}
}

func TestPipelineThatCannotEndIsNotBegun(t *testing.T) {
	ran := 0
	c := &chain{estimate: 20_001, stages: []string{"a"}, ran: func(string, gateway.Sink) error { ran++; return nil }}
	r := serve(t, nil, withBackend(c))
	if _, err := r.AddBudget(context.Background(), local, jeantrail.Budget{Type: jeantrail.BudgetTotal, AmountCents: 2, AlertThreshold: 80}); err != nil {
		t.Fatal(err)
	}
	_, err := r.Submit(context.Background(), local, pipeline())
	if e := jeantrail.AsError(err); e == nil || e.Code != jeantrail.CodeBudgetExceeded || e.Numbers["needed_micros"] != 20_001 || ran != 0 {
		t.Errorf("%v, %d stages ran", err, ran)
	}
	c.estimate = 20_000
	if got := r.wait(r.submit(pipeline()).ID); got.State != jeantrail.StateSucceeded || got.Reserved != 0 || ran != 1 {
		t.Errorf("%s, held %s, %d stages ran", got.State, got.Reserved, ran)
	}
}

// A stop leaves an async pipeline open, and each start goes on after the last
// finished stage, three times at most.
func TestPipelineGoesOnAfterAStop(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, filepath.Join(t.TempDir(), "test.db"))
	defer s.Close()
	var ran []string
	at := make(chan struct{}, 1)
	stopAt := "b"
	c := &chain{stages: []string{"a", "b", "c"}}
	open := func() *gateway.Gateway {
		g, err := gateway.New(gateway.Options{Store: s, Models: models{c}})
		if err != nil {
			t.Fatal(err)
		}
		var life context.Context
		var die context.CancelFunc
		life, die = context.WithCancel(ctx)
		c.ran = func(name string, _ gateway.Sink) error {
			ran = append(ran, name)
			if name == stopAt {
				at <- struct{}{}
				<-life.Done()
				return gateway.ErrShutdown
			}
			return nil
		}
		t.Cleanup(die)
		if _, err := g.Recover(ctx); err != nil {
			t.Fatal(err)
		}
		if err := g.Start(ctx); err != nil {
			t.Fatal(err)
		}
		stop := g
		go func() {
			select {
			case <-at:
				die()
			case <-life.Done():
			}
		}()
		return stop
	}
	g := open()
	job, err := g.Submit(ctx, local, pipeline())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Wait(ctx, job.ID); jeantrail.CodeOf(err) != jeantrail.CodeShuttingDown {
		t.Fatalf("wait for a pipeline that the stop left open: %v", err)
	}
	if err := g.Stop(ended()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Job(ctx, job.ID); err != nil || got.State != jeantrail.StateRunning {
		t.Fatalf("after the stop %+v, %v", got, err)
	}
	stopAt = ""
	g = open()
	got, err := g.Wait(ctx, job.ID)
	if err != nil || got.State != jeantrail.StateSucceeded {
		t.Fatalf("%+v, %v", got, err)
	}
	if strings.Join(ran, "") != "abbc" {
		t.Errorf("stages ran %v", ran)
	}
	if err := g.Stop(ended()); err != nil {
		t.Error(err)
	}
	if err := sound(s); err != nil {
		t.Error(err)
	}
}

func TestPipelineIsNotTakenUpForEver(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, filepath.Join(t.TempDir(), "test.db"))
	defer s.Close()
	c := &chain{stages: []string{"a"}, ran: func(string, gateway.Sink) error { return gateway.ErrShutdown }}
	g := start(t, s, nil, withBackend(c))
	job, err := g.Submit(ctx, local, pipeline())
	if err != nil {
		t.Fatal(err)
	}
	for starts := 1; ; starts++ {
		if _, err := g.Wait(ctx, job.ID); err == nil {
			t.Fatal("it ended")
		}
		if err := g.Stop(ended()); err != nil {
			t.Fatal(err)
		}
		if g, err = gateway.New(gateway.Options{Store: s, Models: models{c}, Clock: func() time.Time { return time.Now() }}); err != nil {
			t.Fatal(err)
		}
		closed, err := g.Recover(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if closed == 1 {
			if starts != 4 {
				t.Errorf("given up at start %d", starts)
			}
			break
		}
		if err := g.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Job(ctx, job.ID); err != nil || got.State != jeantrail.StateInterrupted {
		t.Errorf("%+v, %v", got, err)
	}
	if err := sound(s); err != nil {
		t.Error(err)
	}
}
