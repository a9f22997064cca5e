package workflow_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flow makes a workflow of a few stages; indent is what each line begins with.
func flow(stages string) map[string]string {
	return map[string]string{"flow.yaml": "name: flow\ndescription: d\ninputs:\n  go: {type: boolean, default: true, description: d}\n" +
		"stages:\n" + stages + "output: {go: \"{{ inputs.go }}\"}\n"}
}

const (
	group = `  - parallel:
      - {name: a, kind: text, prompt: a}
      - {name: b, kind: speak, text: b}
      - {name: c, kind: image, prompt: c}
  - {name: d, kind: text, prompt: "{{ stages.a.text }} {{ stages.b.artifacts[0].duration }} {{ stages.c.artifacts[0].width }}"}
`
	chain = `  - {name: a, kind: text, prompt: a}
  - {name: b, kind: text, prompt: "{{ stages.a.text }}", RULE}
  - {name: c, kind: text, prompt: "{{ stages.b.status }}: {{ stages.b.text }}"}
`
)

func rule(text string) map[string]string { return flow(strings.Replace(chain, "RULE", text, 1)) }

func TestParallelStagesRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		road := newRoad(t, func(string, int) played { return played{after: time.Second} })
		began := time.Now()
		result, events, err := process(t, t.Context(), library(t, flow(group)), road, "flow", nil)
		if err != nil || statuses(result) != "a:succeeded b:succeeded c:succeeded d:succeeded" {
			t.Fatalf("%v, %s", err, statuses(result))
		}
		if took := time.Since(began); took != 2*time.Second || road.most != 3 {
			t.Errorf("it took %s with %d jobs at once", took, road.most)
		}
		if got := road.jobs[3].Request.Text.Prompt; got != " text of a  2 64" {
			t.Errorf("d was asked %q", got)
		}
		var done []int64
		for _, ev := range events.events {
			if ev.Type == jeantrail.EventProgress {
				done = append(done, ev.Progress.Done)
				if ev.Progress.Total != 4 || ev.Progress.Unit != "stages" {
					t.Errorf("progress %+v", ev.Progress)
				}
			}
		}
		if len(done) != 4 || done[0] != 1 || done[3] != 4 {
			t.Errorf("progress %v", done)
		}
	})
}

func TestStagesAreReported(t *testing.T) {
	road := newRoad(t, func(stage string, _ int) played {
		if stage == "b" {
			return played{fail: jeantrail.Errorf(jeantrail.CodeUnsupported, "no")}
		}
		return played{}
	})
	result, events, err := process(t, t.Context(), library(t, rule("on_error: skip")), road, "flow", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := events.stages(), "a:running a:succeeded b:running b:skipped c:running c:succeeded"; got != want {
		t.Errorf("reported %s, want %s", got, want)
	}
	a := *events.events[2].Stage
	want := jeantrail.Stage{
		Name: "a", Kind: jeantrail.KindText, Model: "default-text", JobID: "job-0", Status: jeantrail.StageSucceeded, Attempts: 1,
		Output: " text of a ", Usage: jeantrail.Usage{PromptTokens: 7, CompletionTokens: 3}, Cost: jeantrail.Cost{Amount: 1000, Reserved: 2000},
	}
	if a != want {
		t.Errorf("reported %+v, want %+v", a, want)
	}
	if b := stageOf(t, result, "b"); b.Reason != "no" || b.JobID != "job-1" || b.Cost.Amount != costOfFailed {
		t.Errorf("b: %+v", b)
	}
	if got := road.jobs[2].Request.Text.Prompt; got != "skipped: " {
		t.Errorf("c was asked %q", got)
	}
}

func TestConditions(t *testing.T) {
	for _, c := range []struct{ condition, statuses string }{
		{"inputs.go", "a:succeeded b:succeeded c:succeeded"},
		{"not inputs.go", "a:succeeded b:skipped c:succeeded"},
		{`"{{ stages.a.text contains 'text' }}"`, "a:succeeded b:succeeded c:succeeded"},
		{`len(stages.a.text) > 100`, "a:succeeded b:skipped c:succeeded"},
	} {
		result, _, err := process(t, t.Context(), library(t, rule("condition: "+c.condition)), newRoad(t, nil), "flow", nil)
		if err != nil || statuses(result) != c.statuses {
			t.Errorf("%s: %v, %s", c.condition, err, statuses(result))
		}
	}
}

// The error of a stage keeps its code and numbers, and names the stage.
func TestFailureOfAStage(t *testing.T) {
	refused := jeantrail.Errorf(jeantrail.CodeBudgetExceeded, "the budget is short").WithHint("Raise it.").
		WithNumber("limit_micros", 7).WithName("budget_id", "x")
	for name, do := range map[string]played{"refused": {refuse: refused}, "failed": {fail: refused}} {
		road := newRoad(t, func(stage string, _ int) played {
			if stage == "b" {
				return do
			}
			return played{}
		})
		result, events, err := process(t, t.Context(), library(t, rule("retries: 3")), road, "flow", nil)
		e := jeantrail.AsError(err)
		if e.Code != jeantrail.CodeBudgetExceeded || e.Numbers["limit_micros"] != 7 || e.Names["budget_id"] != "x" || e.Names["stage"] != "b" ||
			e.Message != "stage b: the budget is short" || e.Hint != "Raise it." {
			t.Errorf("%s: %+v", name, e)
		}
		if refused.Names["stage"] != "" {
			t.Errorf("%s: the job's own error was changed", name)
		}
		if got := statuses(result); got != "a:succeeded b:failed" || result.FinishReason != jeantrail.FinishError || stageOf(t, result, "b").Attempts != 1 {
			t.Errorf("%s: %s, %s", name, got, result.FinishReason)
		}
		if got := events.stages(); !strings.HasSuffix(got, "b:failed") {
			t.Errorf("%s: reported %s", name, got)
		}
	}
}

func TestFailureStopsTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		road := newRoad(t, func(stage string, _ int) played {
			if stage == "b" {
				return played{fail: jeantrail.Errorf(jeantrail.CodeUnsupported, "no voice"), after: time.Second}
			}
			return played{hang: true}
		})
		result, _, err := process(t, t.Context(), library(t, flow(group)), road, "flow", nil)
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeUnsupported || e.Message != "stage b: no voice" {
			t.Errorf("it failed with %v", err)
		}
		if got := statuses(result); got != "a:cancelled b:failed c:cancelled" || result.FinishReason != jeantrail.FinishError {
			t.Errorf("%s, %s", got, result.FinishReason)
		}
		if a := stageOf(t, result, "a"); a.Reason != "another stage of its group failed" || a.Cost.Amount != costOfFailed {
			t.Errorf("a: %+v", a)
		}
	})
}

func TestFallback(t *testing.T) {
	broken := func(model string) func(string, int) played {
		return func(stage string, n int) played {
			if stage == "b" && (n == 0 || model == "") {
				return played{fail: jeantrail.Errorf(jeantrail.CodeUnsupported, "attempt %d", n)}
			}
			return played{}
		}
	}
	road := newRoad(t, broken("other"))
	result, _, err := process(t, t.Context(), library(t, rule("on_error: fallback, max_tokens: 9, fallback: {model: other}")), road, "flow", nil)
	b := stageOf(t, result, "b")
	if err != nil || b.Status != jeantrail.StageSucceeded || !b.Fallback || b.Reason != "attempt 0" || b.Model != "other" || b.Attempts != 2 || b.JobID != "job-2" {
		t.Errorf("b: %+v, %v", b, err)
	}
	if r := road.jobs[2].Request; r.Model != "other" || *r.Text.MaxTokens != 9 || r.Text.Prompt != " text of a " {
		t.Errorf("the fallback was asked %+v of %s", r.Text, r.Model)
	}

	road = newRoad(t, broken(""))
	result, _, err = process(t, t.Context(), library(t, rule("on_error: fallback, fallback: {model: other}")), road, "flow", nil)
	if jeantrail.AsError(err).Message != "stage b: attempt 1" || statuses(result) != "a:succeeded b:failed" {
		t.Errorf("the fallback failed as well: %v, %s", err, statuses(result))
	}

	road = newRoad(t, broken(""))
	result, _, err = process(t, t.Context(), library(t, rule(`on_error: fallback, fallback: {output: "no {{ stages.a.text }}"}`)), road, "flow", nil)
	b = stageOf(t, result, "b")
	if err != nil || !b.Fallback || b.Output != "no  text of a " || road.jobs[2].Request.Text.Prompt != "succeeded: no  text of a " {
		t.Errorf("b: %+v, %v", b, err)
	}
}

func TestRetries(t *testing.T) {
	passing := jeantrail.Errorf(jeantrail.CodeQueueFull, "full")
	slow := jeantrail.Errorf(jeantrail.CodeRateLimited, "slow down")
	slow.RetryAfter = 10 * time.Second
	never := jeantrail.Errorf(jeantrail.CodeRateLimited, "tomorrow")
	never.RetryAfter = time.Hour
	for _, c := range []struct {
		name     string
		do       []played
		took     time.Duration
		attempts int
		fails    string
	}{
		{"none needed", nil, 0, 1, ""},
		{"refused twice", []played{{refuse: passing}, {refuse: passing}}, 1500 * time.Millisecond, 3, ""},
		{"failed once", []played{{fail: jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "down")}}, 500 * time.Millisecond, 2, ""},
		{"told when", []played{{fail: slow}}, 10 * time.Second, 2, ""},
		{"told too late", []played{{fail: never}}, 0, 1, "tomorrow"},
		{"too often", []played{{fail: passing}, {fail: passing}, {fail: passing}}, 1500 * time.Millisecond, 3, "full"},
		{"will not pass", []played{{fail: passing}, {fail: jeantrail.Errorf(jeantrail.CodeInvalid, "bad")}}, 500 * time.Millisecond, 2, "bad"},
		{"too slow", []played{{hang: true}, {after: 3 * time.Second}}, 5*time.Second + 500*time.Millisecond + 3*time.Second, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				road := newRoad(t, func(stage string, n int) played {
					if stage == "b" && n < len(c.do) {
						return c.do[n]
					}
					return played{}
				})
				began := time.Now()
				result, _, err := process(t, t.Context(), library(t, rule("retries: 2, timeout: 5s")), road, "flow", nil)
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if c.fails == "" && err != nil || c.fails != "" && jeantrail.AsError(err).Message != "stage b: "+c.fails {
					t.Errorf("it ended with %v, want %q", err, c.fails)
				}
				if got := stageOf(t, result, "b").Attempts; got != c.attempts || road.attempts["b"] != got {
					t.Errorf("%d attempts, want %d", got, c.attempts)
				}
			})
		})
	}
}

func TestTimeoutWithoutRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		road := newRoad(t, func(stage string, _ int) played { return played{hang: stage == "b"} })
		result, _, err := process(t, t.Context(), library(t, rule("timeout: 5s")), road, "flow", nil)
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeDeadline || e.Message != "stage b: it took longer than its timeout of 5s" {
			t.Errorf("it ended with %v", err)
		}
		if b := stageOf(t, result, "b"); b.Status != jeantrail.StageFailed || b.Cost.Amount != costOfFailed {
			t.Errorf("b: %+v", b)
		}
	})
}

// Cancelling a pipeline cancels what runs, waits for it and tells what it cost.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gateway.ErrCancelled) })
		road := newRoad(t, func(stage string, _ int) played { return played{hang: stage != "b"} })
		result, events, err := process(t, ctx, library(t, flow(group)), road, "flow", nil)
		if !errors.Is(err, gateway.ErrCancelled) || result.FinishReason != jeantrail.FinishCancelled {
			t.Errorf("it ended with %v, %s", err, result.FinishReason)
		}
		if got := statuses(result); got != "a:cancelled b:succeeded c:cancelled" {
			t.Errorf("stages %s", got)
		}
		if a := stageOf(t, result, "a"); a.Cost.Amount != costOfFailed || a.Reason != "the pipeline was cancelled" {
			t.Errorf("a: %+v", a)
		}
		if got := events.stages(); strings.Count(got, ":cancelled") != 2 {
			t.Errorf("reported %s", got)
		}
	})
}

func TestCancelWhileWaitingToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { cancel(gateway.ErrClientGone) })
		road := newRoad(t, func(stage string, _ int) played {
			if stage == "b" {
				return played{refuse: jeantrail.Errorf(jeantrail.CodeQueueFull, "full")}
			}
			return played{}
		})
		began := time.Now()
		result, _, err := process(t, ctx, library(t, rule("retries: 5, on_error: skip")), road, "flow", nil)
		if took := time.Since(began); !errors.Is(err, gateway.ErrClientGone) || took != 100*time.Millisecond {
			t.Errorf("it ended with %v after %s", err, took)
		}
		if got := statuses(result); got != "a:succeeded b:cancelled" {
			t.Errorf("stages %s", got)
		}
	})
}

// Somebody may cancel the job of a stage by itself.
func TestCancelledJobOfAStage(t *testing.T) {
	cancelled := func(stage string, _ int) played {
		if stage == "b" {
			return played{state: jeantrail.StateCancelled}
		}
		return played{}
	}
	result, _, err := process(t, t.Context(), library(t, rule("retries: 2")), newRoad(t, cancelled), "flow", nil)
	if jeantrail.CodeOf(err) != jeantrail.CodeCancelled || statuses(result) != "a:succeeded b:cancelled" || result.FinishReason != jeantrail.FinishCancelled {
		t.Errorf("%v, %s, %s", err, statuses(result), result.FinishReason)
	}
	result, _, err = process(t, t.Context(), library(t, rule("on_error: skip")), newRoad(t, cancelled), "flow", nil)
	if err != nil || statuses(result) != "a:succeeded b:skipped c:succeeded" {
		t.Errorf("%v, %s", err, statuses(result))
	}
}

// When the program stops, what it stopped is not reported as ended: the next
// process runs it again. What still runs may come to its end.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gateway.ErrShutdown) })
		road := newRoad(t, func(stage string, _ int) played { return played{hang: stage == "b"} })
		result, events, err := process(t, ctx, library(t, rule("on_error: skip")), road, "flow", nil)
		if !errors.Is(err, gateway.ErrShutdown) || result.FinishReason != jeantrail.FinishCancelled {
			t.Errorf("it ended with %v, %s", err, result.FinishReason)
		}
		if got := events.stages(); got != "a:running a:succeeded b:running" {
			t.Errorf("reported %s", got)
		}
	})
	for name, do := range map[string]played{
		"refused":     {refuse: jeantrail.Errorf(jeantrail.CodeShuttingDown, "the gateway is stopping")},
		"interrupted": {state: jeantrail.StateInterrupted, fail: jeantrail.Errorf(jeantrail.CodeShuttingDown, "stopped")},
	} {
		synctest.Test(t, func(t *testing.T) {
			road := newRoad(t, func(stage string, _ int) played {
				if stage == "b" {
					return do
				}
				return played{after: time.Second}
			})
			result, events, err := process(t, t.Context(), library(t, flow(group)), road, "flow", nil)
			if jeantrail.CodeOf(err) != jeantrail.CodeShuttingDown || result.FinishReason != jeantrail.FinishCancelled {
				t.Errorf("%s: it ended with %v, %s", name, err, result.FinishReason)
			}
			if got := events.stages(); strings.Count(got, "a:succeeded") != 1 || strings.Count(got, "c:succeeded") != 1 || strings.Contains(got, "cancelled") {
				t.Errorf("%s: reported %s", name, got)
			}
		})
	}
}
