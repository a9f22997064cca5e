package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
	"github.com/jeantrail/jeantrail-ai/gateway/workflow"
)

// drawn is a stage of a random workflow.
type drawn struct {
	name    string
	reads   []string // stages whose text it reads
	onError string
	retries int
	group   int
}

// drawFlow makes a random workflow of text stages that read earlier ones.
func drawFlow(t *rapid.T) (string, []drawn) {
	var text strings.Builder
	text.WriteString("name: flow\ndescription: d\nstages:\n")
	var all []drawn
	var before []string
	for g := range rapid.IntRange(1, 4).Draw(t, "groups") {
		var names []string
		size := rapid.IntRange(1, 3).Draw(t, "size")
		indent := "  - "
		if size > 1 {
			text.WriteString("  - parallel:\n")
			indent = "      - "
		}
		for range size {
			s := drawn{
				name: fmt.Sprintf("s%d", len(all)), group: g, retries: rapid.IntRange(0, 2).Draw(t, "retries"),
				onError: rapid.SampledFrom([]string{"fail", "fail", "skip", "fallback"}).Draw(t, "on_error"),
			}
			if len(before) > 0 {
				s.reads = rapid.SliceOfNDistinct(rapid.SampledFrom(before), 0, min(2, len(before)), rapid.ID[string]).Draw(t, "reads")
			}
			prompt := "x"
			for _, name := range s.reads {
				prompt += " {{ stages." + name + ".text }}"
			}
			fmt.Fprintf(&text, "%s{name: %s, kind: text, prompt: \"%s\", retries: %d, timeout: 20s, on_error: %s", indent, s.name, prompt, s.retries, s.onError)
			if s.onError == "fallback" {
				text.WriteString(", fallback: {model: other}")
			}
			if len(before) > 0 && rapid.IntRange(0, 3).Draw(t, "conditional") == 0 {
				fmt.Fprintf(&text, ", condition: stages.%s.status == 'succeeded'", rapid.SampledFrom(before).Draw(t, "condition"))
			}
			text.WriteString("}\n")
			all, names = append(all, s), append(names, s.name)
		}
		before = append(before, names...)
	}
	text.WriteString("output: {last: \"{{ stages." + all[len(all)-1].name + ".text }}\"}\n")
	return text.String(), all
}

func drawPlayed(t *rapid.T) played {
	fate := played{after: time.Duration(rapid.IntRange(0, 30).Draw(t, "seconds")) * time.Second}
	switch rapid.IntRange(0, 7).Draw(t, "fate") {
	case 0:
		fate.fail = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "down")
	case 1:
		fate.fail = jeantrail.Errorf(jeantrail.CodeUnsupported, "no")
	case 2:
		fate.refuse = jeantrail.Errorf(jeantrail.CodeQueueFull, "full")
	case 3:
		fate.hang = true
	}
	return fate
}

// Whatever the workflow, and whatever fails or is cancelled when: no stage is
// tried more often than it may be, none begins before what stands above it has
// ended, nothing runs on, and the sums are those of the jobs.
func TestAnyWorkflowKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text, stages := drawFlow(r)
		l, err := workflow.New(workflow.Options{Files: mapFS(map[string]string{"flow.yaml": text})})
		if err != nil {
			r.Fatalf("%v\n%s", err, text)
		}
		fates := make(map[string][]played)
		for _, s := range stages {
			fates[s.name] = rapid.SliceOfN(rapid.Custom(drawPlayed), 4, 4).Draw(r, "fates of "+s.name)
		}
		at := rapid.IntRange(0, 200).Draw(r, "cancelled after")
		synctest.Test(t, func(*testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			if at < 100 {
				// Never at the instant at which a stage ends: either may come first then.
				timer := time.AfterFunc(time.Duration(at)*time.Second+time.Second/3, func() { cancel(gateway.ErrCancelled) })
				defer timer.Stop()
			}
			play(r, ctx, l, newRoad(r, func(stage string, n int) played { return fates[stage][min(n, 3)] }), stages)
		})
	})
}

func play(t *rapid.T, ctx context.Context, l *workflow.Library, road *fakeRoad, stages []drawn) {
	l.Attach(road)
	_, backend, err := l.Resolve("flow")
	if err != nil {
		t.Errorf("resolve: %v", err)
		return
	}
	job := parent("flow", nil)
	work, err := backend.Prepare(ctx, &job.Request)
	if err != nil {
		t.Errorf("prepare: %v", err)
		return
	}
	events := new(log)
	result, err := work.Run(ctx, job, events)
	check(t, road, result)
	for _, s := range stages {
		allowed := s.retries + 1
		if s.onError == "fallback" {
			allowed++
		}
		if n := road.attempts[s.name]; n > allowed {
			t.Errorf("%s was tried %d times, %d are allowed", s.name, n, allowed)
		}
	}
	ordered(t, events, stages)
	concluded(t, ctx, result, err, stages)
}

// ordered checks that no stage begins before every stage above it has ended.
func ordered(t *rapid.T, events *log, stages []drawn) {
	ended := make(map[string]bool)
	for _, ev := range events.events {
		if ev.Stage == nil {
			continue
		}
		if ended[ev.Stage.Name] {
			t.Errorf("%s was reported after its end", ev.Stage.Name)
		}
		i := slices.IndexFunc(stages, func(s drawn) bool { return s.name == ev.Stage.Name })
		for _, above := range stages {
			if above.group < stages[i].group && !ended[above.name] {
				t.Errorf("%s is %s before %s has ended", ev.Stage.Name, ev.Stage.Status, above.name)
			}
		}
		ended[ev.Stage.Name] = ev.Stage.Status != jeantrail.StageRunning
	}
	for name, over := range ended {
		if !over {
			t.Errorf("the end of %s was not reported", name)
		}
	}
}

// concluded checks that the end follows from the stages.
func concluded(t *rapid.T, ctx context.Context, result *jeantrail.Result, err error, stages []drawn) {
	failed := slices.ContainsFunc(result.Pipeline.Stages, func(s jeantrail.Stage) bool { return s.Status == jeantrail.StageFailed })
	switch {
	case err == nil:
		if failed || len(result.Pipeline.Stages) != len(stages) || result.FinishReason != jeantrail.FinishStop || result.Pipeline.Output == nil {
			t.Errorf("it succeeded with %s", statuses(result))
		}
	case ctx.Err() != nil:
		if !errors.Is(err, gateway.ErrCancelled) || result.FinishReason != jeantrail.FinishCancelled {
			t.Errorf("it was cancelled and ended with %v, %s", err, result.FinishReason)
		}
	default:
		if e := jeantrail.AsError(err); !failed || e.Names["stage"] == "" || result.FinishReason != jeantrail.FinishError {
			t.Errorf("it failed with %v, %s", err, statuses(result))
		}
	}
}
