package bench

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// model is an engine whose every step is timed: 1 ms for each word of a prompt
// that it has not seen the beginning of, 10 ms for each token.
type model struct {
	free    time.Duration // from the end of ctx to the slot being free
	instant bool          // no time passes
	fails   func(prompt string) error

	mu   sync.Mutex
	seen []string
}

func (m *model) cached(prompt string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	most, words := 0, strings.Fields(prompt)
	for _, old := range m.seen {
		same := 0
		for i, w := range strings.Fields(old) {
			if i == len(words) || w != words[i] {
				break
			}
			same++
		}
		most = max(most, same)
	}
	m.seen = append(m.seen, prompt)
	return most
}

func (m *model) Run(ctx context.Context, r Request, token func(time.Time, int)) (Answer, error) {
	if m.fails != nil {
		if err := m.fails(r.Prompt); err != nil {
			return Answer{}, err
		}
	}
	cached := m.cached(r.Prompt)
	n := len(strings.Fields(r.Prompt))
	step := func(d time.Duration) error {
		if m.instant {
			return context.Cause(ctx)
		}
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			time.Sleep(m.free)
			return context.Cause(ctx)
		}
	}
	wait := time.Duration(n-cached)*time.Millisecond + 10*time.Millisecond
	for range r.MaxTokens {
		if err := step(wait); err != nil {
			return Answer{}, err
		}
		token(time.Now(), 1)
		wait = 10 * time.Millisecond
	}
	return Answer{Tokens: r.MaxTokens, PromptTokens: n, CachedTokens: &cached}, nil
}

func TestEngineMeasuresExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{free: 3 * time.Millisecond}
		tests := make(map[string]int)
		report, err := Engine(t.Context(), m, EngineOptions{
			Streams: []int{4, 1}, Repeat: 5, PromptTokens: 40, MaxTokens: 6, Seed: 1,
			Progress: func(p Progress) {
				if p.Done == p.Total {
					tests[p.Test]++
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		names := make([]string, len(report.Rows))
		rows := make(map[string]*Row)
		for i := range report.Rows {
			names[i] = report.Rows[i].name()
			rows[names[i]] = &report.Rows[i]
		}
		want := "cold|warm in KV|shared beginning, shared beginning|load|load, 4 streams|cancel while decoding|cancel in prefill"
		if strings.Join(names, "|") != want {
			t.Fatalf("rows %q", names)
		}
		// By chance two prompts may begin with the same word: within 2 ms.
		around := func(name string, f *Figure, n int, mean float64) {
			t.Helper()
			if f == nil || f.N != n || f.Mean > mean+1e-6 || f.Mean < mean-2 {
				t.Errorf("%s: %+v, want %d measurements of %v", name, f, n, mean)
			}
		}
		around("cold", rows["cold"].First, 5, 50)
		around("warm", rows["warm in KV"].First, 5, 10)
		around("shared", rows["shared beginning, shared beginning"].First, 5, 20)
		around("4 streams", rows["load, 4 streams"].First, 20, 50)
		figure(t, "gap", rows["load, 4 streams"].Gap, 100, 10)
		figure(t, "stream speed", rows["load, 4 streams"].StreamSpeed, 20, 100)
		figure(t, "cancel while decoding", rows["cancel while decoding"].Cancel, 5, 3)
		figure(t, "cancel in prefill", rows["cancel in prefill"].Cancel, 5, 3)
		if c := rows["warm in KV"].Cached; c == nil || *c != 40 {
			t.Errorf("%v tokens were cached", c)
		}
		if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "from RAM, from disk: not measured") || report.Kind != KindEngine || report.Settings.Seed != 1 {
			t.Errorf("%+v", report)
		}
		if tests["cold"] != 1 || tests[testLoad] != 2 || tests["cancel in prefill"] != 1 {
			t.Errorf("tests that were seen to end: %v", tests)
		}
	})
}

// TestTooFastToCancel has an engine that answers before anybody can cancel.
func TestTooFastToCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		report, err := Engine(t.Context(), &model{instant: true}, EngineOptions{Streams: []int{1}, PromptTokens: 40, MaxTokens: 2, Repeat: 4})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range report.Rows[len(report.Rows)-2:] {
			if row.Cancel != nil || row.failed() != 4 || row.Failures[0].Kind != "too late" {
				t.Errorf("%+v", row)
			}
		}
		if report.Settings.Seed == 0 {
			t.Error("the seed is not in the report")
		}
		if row := report.Rows[0]; row.Speed != nil || row.StreamSpeed != nil {
			t.Errorf("no time passed, and yet there is a speed: %+v", row)
		}
	})
}

func TestEngineThatFails(t *testing.T) {
	full := jeantrail.Errorf(jeantrail.CodeQueueFull, "the queue is full")
	for _, tt := range []struct {
		name string
		on   int // the first request that fails
		rows int
		code jeantrail.Code
	}{
		{"at once", 1, 0, jeantrail.CodeQueueFull},
		{"when all streams are refused", 2, 1, jeantrail.CodeWorkerUnavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			m := &model{fails: func(string) error {
				if n++; n >= tt.on {
					return full
				}
				return nil
			}}
			report, err := Engine(t.Context(), m, EngineOptions{Streams: []int{1}, PromptTokens: 40})
			if jeantrail.CodeOf(err) != tt.code || len(report.Rows) != tt.rows {
				t.Errorf("%s: %d rows, error %v", tt.name, len(report.Rows), err)
			}
			if tt.rows > 0 && report.Rows[0].Failures[0].Kind != "queue full" {
				t.Errorf("failures %+v", report.Rows[0].Failures)
			}
		})
	}
}

func TestEngineInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		report, err := Engine(ctx, &model{}, EngineOptions{
			Streams: []int{2}, PromptTokens: 40,
			Progress: func(p Progress) {
				if p.Test == testCancelPrefill {
					cancel(enough)
				}
			},
		})
		if !errors.Is(err, enough) || len(report.Rows) != 5 {
			t.Errorf("%d rows, error %v", len(report.Rows), err)
		}
	})
}

// decoder takes exact times: 1 ms for a token of a prompt, 20 ms for a step.
type decoder struct {
	calls []int
	fails error
}

func (d *decoder) BenchPrompt(n int) (time.Duration, error) {
	d.calls = append(d.calls, n)
	return time.Duration(n) * time.Millisecond, d.fails
}

func (d *decoder) BenchGenerate(n int) (time.Duration, error) {
	d.calls = append(d.calls, -n)
	return time.Duration(n) * 20 * time.Millisecond, d.fails
}

func (d *decoder) BenchBatched(nPrompt, nGen, nSeq int, shared bool) (prompt, gen time.Duration, err error) {
	d.calls = append(d.calls, nSeq)
	if shared {
		return time.Duration(nPrompt) * time.Millisecond, time.Duration(nGen) * 40 * time.Millisecond, d.fails
	}
	return time.Duration(nPrompt*nSeq) * time.Millisecond, time.Duration(nGen) * 40 * time.Millisecond, d.fails
}

func TestRaw(t *testing.T) {
	d := &decoder{}
	report, err := Raw(t.Context(), d, RawOptions{Prompt: []int{512, 0}, Gen: []int{128}, Repeat: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 2 || report.Rows[0].Test != "pp512" || report.Rows[1].Test != "tg128" {
		t.Fatalf("%+v", report.Rows)
	}
	figure(t, "pp512", report.Rows[0].Speed, 2, 1000)
	figure(t, "tg128", report.Rows[1].Speed, 2, 50)
	want := []int{512, 512, 512, -1, -128, -128} // the first of each warms up
	if len(d.calls) != len(want) {
		t.Fatalf("calls %v", d.calls)
	}
	for i := range want {
		if d.calls[i] != want[i] {
			t.Fatalf("calls %v, want %v", d.calls, want)
		}
	}
	broken := errors.New("broken")
	if report, err := Raw(t.Context(), &decoder{fails: broken}, RawOptions{Prompt: []int{8}}); !errors.Is(err, broken) || len(report.Rows) != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	for _, o := range []RawOptions{{}, {Prompt: []int{0}}, {Gen: []int{-1}}, {Gen: []int{1}, Repeat: -1}} {
		if _, err := Raw(t.Context(), d, o); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestBatched(t *testing.T) {
	for _, shared := range []bool{false, true} {
		report, err := Batched(t.Context(), &decoder{}, BatchedOptions{Sequences: []int{1, 8}, Prompt: 100, Gen: 10, Shared: shared, Repeat: 3})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Rows) != 4 || report.Rows[2].Streams != 8 || report.Rows[2].Test != "pp100" || report.Rows[3].Test != "tg10" {
			t.Fatalf("%+v", report.Rows)
		}
		figure(t, "prefill of 8", report.Rows[2].Speed, 3, 1000)
		figure(t, "decode of 1", report.Rows[1].Speed, 3, 25)
		figure(t, "decode of 8", report.Rows[3].Speed, 3, 200)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if report, err := Batched(ctx, &decoder{}, BatchedOptions{}); !errors.Is(err, context.Canceled) || len(report.Rows) != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}
