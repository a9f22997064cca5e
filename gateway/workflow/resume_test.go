package workflow_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

// long has a stage of every fate.
const long = `name: flow
description: d
stages:
  - {name: a, kind: text, prompt: a}
  - parallel:
      - {name: b, kind: text, prompt: "{{ stages.a.text }}", retries: 2}
      - {name: c, kind: text, prompt: "{{ stages.a.text }}", on_error: fallback, fallback: {model: other}}
      - {name: d, kind: text, prompt: d, on_error: fallback, fallback: {output: "instead of {{ stages.a.text }}"}}
      - {name: e, kind: text, prompt: e, on_error: skip}
  - {name: f, kind: text, prompt: f, condition: stages.e.status == "succeeded"}
  - {name: g, kind: image, prompt: "{{ stages.b.text }} {{ stages.c.text }} {{ stages.d.text }} {{ stages.f.status }}"}
  - {name: h, kind: text, prompt: "{{ stages.g.artifacts[0].width }}"}
output:
  texts: "{{ stages.a.text }}|{{ stages.b.text }}|{{ stages.c.text }}|{{ stages.d.text }}|{{ stages.g.artifacts[0].height }}|{{ stages.h.text }}"
`

func playLong(stage string, n int) played {
	switch {
	case stage == "b" && n == 0:
		return played{fail: jeantrail.Errorf(jeantrail.CodeModelLoading, "loading")}
	case stage == "c" && n == 0, stage == "d", stage == "e":
		return played{fail: jeantrail.Errorf(jeantrail.CodeUnsupported, "no")}
	}
	return played{}
}

// moment is what is in the store when the process dies.
type moment struct {
	events   int
	jobs     []jeantrail.Job
	attempts map[string]int
}

// crash puts the jobs of a moment into a new road, after recovery: what had not
// ended is interrupted.
func crash(t *testing.T, m moment, play func(string, int) played) *fakeRoad {
	road := newRoad(t, play)
	road.attempts = maps.Clone(m.attempts)
	for _, job := range m.jobs {
		if !job.State.Terminal() {
			job.State = jeantrail.StateInterrupted
			job.Err = jeantrail.Errorf(jeantrail.CodeShuttingDown, "the program ended before the job was done")
			job.Result = &jeantrail.Result{Usage: jeantrail.Usage{PromptTokens: 2}, Cost: jeantrail.Cost{Amount: 5, Reserved: 9}}
		}
		j := &fakeJob{Job: job, done: make(chan struct{}), cancel: make(chan struct{})}
		close(j.done)
		road.jobs = append(road.jobs, j)
	}
	return road
}

// lived runs a workflow and returns its result, its log, and what was in the
// store at each event.
func lived(t *testing.T, files map[string]string, play func(string, int) played) (*jeantrail.Result, []jeantrail.Event, []moment) {
	road, events := newRoad(t, play), new(log)
	job := parent("flow", nil)
	work, err := prepare(t, library(t, files), road, job)
	if err != nil {
		t.Fatal(err)
	}
	var moments []moment
	events.told = func(jeantrail.Event) {
		road.mu.Lock()
		defer road.mu.Unlock()
		m := moment{events: len(events.events), attempts: maps.Clone(road.attempts)}
		for _, j := range road.jobs {
			m.jobs = append(m.jobs, j.Job)
		}
		moments = append(moments, m)
	}
	result, err := work.Run(t.Context(), job, events)
	if err != nil {
		t.Fatal(err)
	}
	return result, events.events, moments
}

// A pipeline goes on from wherever the process died, also if the newest events
// were lost: it ends as if nothing had happened, nothing that had succeeded is
// run again, and everything is in the sums.
func TestResumeAfterEveryEvent(t *testing.T) {
	files := map[string]string{"flow.yaml": long}
	synctest.Test(t, func(t *testing.T) {
		whole, events, moments := lived(t, files, playLong)
		if got := statuses(whole); got != "a:succeeded b:succeeded c:succeeded d:succeeded e:skipped f:skipped g:succeeded h:succeeded" {
			t.Fatalf("without a crash: %s", got)
		}
		if len(moments) < 20 {
			t.Fatalf("there are only %d events", len(moments))
		}
		for at, m := range moments {
			for lost := range min(4, m.events) {
				name := fmt.Sprintf("event %d, %d lost", at, lost)
				resumeAt(t, name, files, m, events[:m.events-lost], whole)
			}
		}
	})
}

func resumeAt(t *testing.T, name string, files map[string]string, m moment, events []jeantrail.Event, whole *jeantrail.Result) {
	t.Helper()
	road := crash(t, m, playLong)
	job := parent("flow", nil)
	work, err := prepare(t, library(t, files), road, job)
	if err != nil {
		t.Fatal(err)
	}
	after := new(log)
	result, err := work.(gateway.Resumer).Resume(t.Context(), job, events, after)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	check(t, road, result)
	if after.starts != 0 {
		t.Errorf("%s: its start was reported again", name)
	}
	if got, want := statuses(result), statuses(whole); got != want {
		t.Errorf("%s: stages %s, want %s", name, got, want)
	}
	if got, want := result.Pipeline.Output["texts"], whole.Pipeline.Output["texts"]; got != want {
		t.Errorf("%s: output %v, want %v", name, got, want)
	}
	jobs := make(map[string]int)
	for _, j := range road.jobs {
		jobs[j.Request.Stage]++
	}
	for _, j := range m.jobs {
		if j.State == jeantrail.StateSucceeded && road.attempts[j.Request.Stage] != m.attempts[j.Request.Stage] {
			t.Errorf("%s: %s had succeeded and was run again", name, j.Request.Stage)
		}
	}
	for _, s := range result.Pipeline.Stages {
		if s.Attempts != jobs[s.Name] {
			t.Errorf("%s: %s says %d attempts, there are %d jobs", name, s.Name, s.Attempts, jobs[s.Name])
		}
	}
}

// Attempts that failed before the crash count against the retries, and a stage
// that had failed for good fails again without running.
func TestResumeDoesNotTryMoreOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := func(stage string, _ int) played {
			if stage == "b" {
				return played{fail: jeantrail.Errorf(jeantrail.CodeQueueFull, "full")}
			}
			return played{}
		}
		files := map[string]string{"flow.yaml": strings.Replace(long, "retries: 2", "retries: 1", 1)}
		road, events := newRoad(t, failing), new(log)
		job := parent("flow", nil)
		work, err := prepare(t, library(t, files), road, job)
		if err != nil {
			t.Fatal(err)
		}
		_, first := work.Run(t.Context(), job, events)
		m := moment{attempts: road.attempts}
		for _, j := range road.jobs {
			m.jobs = append(m.jobs, j.Job)
		}
		road = crash(t, m, failing)
		work, err = prepare(t, library(t, files), road, job)
		if err != nil {
			t.Fatal(err)
		}
		result, err := work.(gateway.Resumer).Resume(t.Context(), job, events.events, new(log))
		if first == nil || err == nil || err.Error() != first.Error() || road.attempts["b"] != 2 {
			t.Errorf("it failed with %v, then %v, after %d attempts", first, err, road.attempts["b"])
		}
		check(t, road, result)
	})
}

func TestResumeOfAChangedWorkflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, events, moments := lived(t, map[string]string{"flow.yaml": long}, playLong)
		last := moments[len(moments)-1]
		road := crash(t, last, playLong)
		job := parent("flow", nil)
		work, err := prepare(t, library(t, rule("on_error: skip")), road, job)
		if err != nil {
			t.Fatal(err)
		}
		result, err := work.(gateway.Resumer).Resume(t.Context(), job, events, new(log))
		if jeantrail.CodeOf(err) != jeantrail.CodeConflict || len(road.jobs) != len(last.jobs) {
			t.Errorf("it went on: %v", err)
		}
		check(t, road, result)
	})
}
