package workflow_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/gateway/workflow"
)

// log takes what a pipeline reports.
type log struct {
	mu     sync.Mutex
	busy   bool
	events []jeantrail.Event
	starts int
	told   func(jeantrail.Event) // called for each, if not nil
}

func (l *log) add(ev jeantrail.Event) {
	l.mu.Lock()
	if l.busy {
		panic("two reports at once")
	}
	l.busy = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.busy = false
		l.mu.Unlock()
	}()
	l.events = append(l.events, ev)
	if l.told != nil {
		l.told(ev)
	}
}

func (l *log) Started(model string, _ jeantrail.EngineInfo, _, _ int) {
	l.starts++
	l.add(jeantrail.Event{Type: jeantrail.EventStarted, Model: model})
}
func (l *log) Allowance(int, int) int  { return 0 }
func (l *log) Token(string, bool, int) {}
func (l *log) Stage(s jeantrail.Stage) { l.add(jeantrail.Event{Type: jeantrail.EventStage, Stage: &s}) }
func (l *log) Progress(p jeantrail.Progress) {
	l.add(jeantrail.Event{Type: jeantrail.EventProgress, Progress: p})
}

func (l *log) Artifact(a jeantrail.Artifact, _ io.Reader) (jeantrail.Artifact, error) {
	return a, errors.New("a pipeline makes no artifacts itself")
}

// stages writes down what was reported of stages: name:status.
func (l *log) stages() string {
	var parts []string
	for _, ev := range l.events {
		if ev.Stage != nil {
			parts = append(parts, ev.Stage.Name+":"+string(ev.Stage.Status))
		}
	}
	return strings.Join(parts, " ")
}

func library(t testing.TB, files map[string]string) *workflow.Library {
	t.Helper()
	l, err := workflow.New(workflow.Options{Files: mapFS(files)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mapFS(files map[string]string) fstest.MapFS {
	fsys := make(fstest.MapFS)
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// parent is the job of the pipeline.
func parent(name string, input map[string]any) *jeantrail.Job {
	return &jeantrail.Job{
		ID: "parent", Kind: jeantrail.KindPipeline, UserID: "ann", KeyID: "key", Model: name, Priority: jeantrail.PriorityBatch, Async: true,
		Request: jeantrail.Request{
			Kind: jeantrail.KindPipeline, UserID: "ann", Metadata: map[string]string{"project": "x"}, Priority: jeantrail.PriorityBatch,
			Pipeline: &jeantrail.PipelineRequest{Workflow: name, Input: input},
		},
	}
}

func prepare(t testing.TB, l *workflow.Library, road workflow.Road, job *jeantrail.Job) (gateway.Work, error) {
	t.Helper()
	l.Attach(road)
	name, backend, err := l.Resolve(job.Request.Pipeline.Workflow)
	if err != nil {
		t.Fatal(err)
	}
	if name != job.Request.Pipeline.Workflow {
		t.Errorf("the workflow is resolved to %q", name)
	}
	return backend.Prepare(context.Background(), &job.Request)
}

// process runs a workflow.
func process(t testing.TB, ctx context.Context, l *workflow.Library, road *fakeRoad, name string, input map[string]any) (*jeantrail.Result, *log, error) {
	t.Helper()
	job := parent(name, input)
	work, err := prepare(t, l, road, job)
	if err != nil {
		t.Fatal(err)
	}
	if b := work.Bounds(); b != (jeantrail.Bounds{Exact: true}) {
		t.Errorf("a pipeline uses %+v itself", b)
	}
	events := new(log)
	result, err := work.Run(ctx, job, events)
	check(t, road, result)
	if events.starts != 1 || events.events[0].Type != jeantrail.EventStarted {
		t.Errorf("it began %d times", events.starts)
	}
	return result, events, err
}

// check holds the totals of a result against the jobs.
func check(t interface{ Errorf(string, ...any) }, road *fakeRoad, result *jeantrail.Result) {
	if result == nil || result.Pipeline == nil {
		t.Errorf("there is no result: %+v", result)
		return
	}
	var usage, ofStages jeantrail.Usage
	var cost, costOfStages jeantrail.Cost
	for _, j := range road.jobs {
		if !j.State.Terminal() {
			t.Errorf("the job of %s is %s after the end", j.Request.Stage, j.State)
			continue
		}
		usage = usage.Add(j.Result.Usage)
		cost.Amount += j.Result.Cost.Amount
		cost.Reserved += j.Result.Cost.Reserved
	}
	for _, s := range result.Pipeline.Stages {
		ofStages = ofStages.Add(s.Usage)
		costOfStages.Amount += s.Cost.Amount
		costOfStages.Reserved += s.Cost.Reserved
	}
	if p := result.Pipeline; p.Usage != usage || p.Cost != cost || ofStages != usage || costOfStages != cost {
		t.Errorf("the jobs used %+v and cost %+v; the pipeline says %+v, %+v; its stages %+v, %+v", usage, cost, p.Usage, p.Cost, ofStages, costOfStages)
	}
	if result.Usage != (jeantrail.Usage{}) || result.Cost != (jeantrail.Cost{}) {
		t.Errorf("the pipeline itself used %+v and cost %+v", result.Usage, result.Cost)
	}
}

// statuses writes down the stages of a result: name:status.
func statuses(r *jeantrail.Result) string {
	var parts []string
	for _, s := range r.Pipeline.Stages {
		parts = append(parts, s.Name+":"+string(s.Status))
	}
	return strings.Join(parts, " ")
}

func stageOf(t testing.TB, r *jeantrail.Result, name string) jeantrail.Stage {
	t.Helper()
	for _, s := range r.Pipeline.Stages {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no stage %s in %s", name, statuses(r))
	return jeantrail.Stage{}
}

func equal(a, b any) bool { return reflect.DeepEqual(a, b) }
