package store_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

// TestMain turns the test binary into the process that the crash test kills.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		os.Exit(crashChild(path))
	}
	os.Exit(m.Run())
}

var epoch = time.Date(2026, 3, 4, 10, 20, 30, 0, time.UTC)

// open gives a store in a new file, which must be sound at the end of the test.
func open(t testing.TB) *store.Store {
	t.Helper()
	s := reopen(t, filepath.Join(t.TempDir(), "jeantrail.db"), store.Options{})
	t.Cleanup(func() { mustBeSound(t, s) })
	return s
}

func reopen(t testing.TB, path string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), path, o)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func mustBeSound(t testing.TB, s *store.Store) {
	t.Helper()
	found, err := s.Verify(context.Background())
	must(t, err)
	for _, v := range found {
		t.Errorf("%d rows break the rule that %s", v.Rows, v.Rule)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code jeantrail.Code) {
	t.Helper()
	if got := jeantrail.CodeOf(err); got != code {
		t.Fatalf("error %v has code %q, want %q", err, got, code)
	}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func newJob(at time.Time) *jeantrail.Job {
	return &jeantrail.Job{
		ID: newID(), Kind: jeantrail.KindText, UserID: "ann", State: jeantrail.StateQueued, Model: "builtin",
		Priority: jeantrail.PriorityInteractive, Price: jeantrail.Price{Model: "builtin", PromptToken: 1000, CompletionToken: 1000},
		Reserved: 50_000, CreatedAt: at,
		Request: jeantrail.Request{Kind: jeantrail.KindText, Text: &jeantrail.TextRequest{Prompt: "Hello"}},
	}
}

func event(id string, seq int64, typ jeantrail.EventType) jeantrail.Event {
	return jeantrail.Event{JobID: id, Seq: seq, Type: typ, At: epoch}
}

func token(id string, seq int64, text string, tokens int) jeantrail.Event {
	e := event(id, seq, jeantrail.EventToken)
	e.Text, e.Tokens = text, tokens
	return e
}

// tryAdmit holds what the job says, whatever the budgets say.
func tryAdmit(ctx context.Context, s *store.Store, job *jeantrail.Job, queued jeantrail.Event) error {
	hold := job.Reserved
	return s.Admit(ctx, job, queued, func([]jeantrail.BudgetStanding) (jeantrail.Money, error) { return hold, nil })
}

// settle raises no alerts.
func settle(ctx context.Context, s *store.Store, st jeantrail.Settlement) error {
	_, err := s.Settle(ctx, st, func([]jeantrail.BudgetStanding) []jeantrail.Alert { return nil })
	return err
}

func admit(t testing.TB, s *store.Store, job *jeantrail.Job) *jeantrail.Job {
	t.Helper()
	must(t, tryAdmit(context.Background(), s, job, event(job.ID, 1, jeantrail.EventQueued)))
	return job
}

// running is a new job that is running, with two events.
func running(t testing.TB, s *store.Store) *jeantrail.Job {
	t.Helper()
	job := admit(t, s, newJob(epoch))
	must(t, s.Start(context.Background(), job.ID, epoch, event(job.ID, 2, jeantrail.EventStarted)))
	return job
}

// settlement ends a job whose log has reached seq.
func settlement(id string, from, to jeantrail.State, seq int64, tokens int) jeantrail.Settlement {
	st := jeantrail.Settlement{
		JobID: id, From: from, To: to, At: epoch.Add(3 * time.Second), QueueFor: time.Second,
		Events: []jeantrail.Event{event(id, seq+1, jeantrail.EventOf(to))},
		Result: &jeantrail.Result{
			Model: "builtin", Text: "text", FinishReason: jeantrail.FinishStop, Cache: jeantrail.CacheOff,
			Usage: jeantrail.Usage{PromptTokens: 5, CachedTokens: 2, CompletionTokens: tokens},
			Cost:  jeantrail.Cost{Amount: jeantrail.Money(1000 * (3 + tokens))},
		},
	}
	if to == jeantrail.StateFailed {
		st.Err = jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "the worker does not answer")
	}
	return st
}

func TestJobComesBackWhole(t *testing.T) {
	ctx, s := context.Background(), open(t)
	job := newJob(epoch)
	fill(reflect.ValueOf(&job.Request).Elem())
	fill(reflect.ValueOf(&job.Price).Elem())
	job.KeyID, job.RequestedModel, job.Async = "key", "qwen-3-72b", true
	job.Reserved = jeantrail.MaxMoney // enough for the cost, whatever fill makes it
	admit(t, s, job)

	started := event(job.ID, 2, jeantrail.EventStarted)
	started.Model, started.Prompt, started.Cached = "builtin", 7, 3
	fill(reflect.ValueOf(&started.Engine).Elem())
	must(t, s.Start(ctx, job.ID, epoch.Add(time.Second), started))

	progress := event(job.ID, 3, jeantrail.EventProgress)
	fill(reflect.ValueOf(&progress.Progress).Elem())
	thought := token(job.ID, 4, "hm", 2)
	thought.Reasoning = true
	must(t, s.Append(ctx, []jeantrail.Event{progress, thought}))

	st := settlement(job.ID, jeantrail.StateRunning, jeantrail.StateInterrupted, 4, 0)
	fill(reflect.ValueOf(st.Result).Elem())
	st.Result.Usage = jeantrail.Usage{
		PromptTokens: 7, CachedTokens: 3, CompletionTokens: 5, ReasoningTokens: 2,
		Images: 1, AudioIn: 1500 * time.Millisecond, AudioOut: time.Millisecond,
	}
	st.Result.Energy.Reason = "" // there is none if it was measured
	st.Result.Cost.Reserved = job.Reserved
	st.Err = &jeantrail.Error{}
	fill(reflect.ValueOf(st.Err).Elem())
	last := event(job.ID, 6, jeantrail.EventInterrupted)
	last.Result, last.Err = st.Result, st.Err
	st.Events = []jeantrail.Event{token(job.ID, 5, "é 语", 3), last}
	must(t, settle(ctx, s, st))

	want := *job
	want.State, want.StartedAt, want.FinishedAt = st.To, epoch.Add(time.Second), st.At
	want.LastSeq, want.Result, want.Err = 6, st.Result, st.Err
	got, err := s.Job(ctx, job.ID)
	must(t, err)
	if !reflect.DeepEqual(got, &want) {
		t.Errorf("job\n%+v\nwant\n%+v", got, &want)
	}
	events, err := s.Events(ctx, job.ID, 0, 100)
	must(t, err)
	wantEvents := append([]jeantrail.Event{event(job.ID, 1, jeantrail.EventQueued), started, progress, thought}, st.Events...)
	if !reflect.DeepEqual(events, wantEvents) {
		t.Errorf("events\n%+v\nwant\n%+v", events, wantEvents)
	}
}

// fill sets every field to something, so that one that a row type forgets is
// missed. Durations become whole milliseconds.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(v.Type().Name() + " \u2028<&>\"語")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(0.1)
	case reflect.Uint32:
		v.SetUint(1<<32 - 1)
	case reflect.Int32:
		v.SetInt(151_643)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(7 * time.Millisecond))
	case reflect.Interface: // the cause of an error, which is not stored
	default:
		panic("fill: " + v.Type().String())
	}
}

func TestListingLeavesOutWhatIsLong(t *testing.T) {
	ctx, s := context.Background(), open(t)
	job := running(t, s)
	must(t, settle(ctx, s, settlement(job.ID, jeantrail.StateRunning, jeantrail.StateSucceeded, 2, 0)))
	page, err := s.Jobs(ctx, jeantrail.JobFilter{})
	must(t, err)
	whole, err := s.Job(ctx, job.ID)
	must(t, err)
	whole.Request.Text, whole.Result.Text = nil, ""
	whole.Request.UserID, whole.Request.Priority = job.UserID, job.Priority
	if len(page.Jobs) != 1 || !reflect.DeepEqual(&page.Jobs[0], whole) {
		t.Errorf("listed\n%+v\nwant\n%+v", page.Jobs, whole)
	}
}

func TestPrice(t *testing.T) {
	ctx, s := context.Background(), open(t)
	for kind, want := range map[jeantrail.Kind]jeantrail.Price{
		jeantrail.KindText:       {Model: "m", PromptToken: 1000, CompletionToken: 1000},
		jeantrail.KindImage:      {Model: "m", Image: 50_000},
		jeantrail.KindTranscribe: {Model: "m", AudioInSecond: 10_000},
		jeantrail.KindSpeak:      {Model: "m", AudioOutSecond: 5_000},
		jeantrail.KindPipeline:   {Model: "m"},
	} {
		got, err := s.Price(ctx, "m", kind, epoch)
		must(t, err)
		if got != want {
			t.Errorf("price of %s: %+v, want %+v", kind, got, want)
		}
	}
	_, err := s.Writer().Exec(`INSERT INTO ai_prices (kind, model, valid_from, prompt_token_micros, cached_token_micros) VALUES
		('text', 'm', ?, 1, 2), ('text', 'm', ?, 3, 4), ('text', '*', ?, 5, 6)`,
		epoch.UnixMilli(), epoch.Add(time.Hour).UnixMilli(), epoch.Add(2*time.Hour).UnixMilli())
	must(t, err)
	for _, c := range []struct {
		model string
		at    time.Duration
		want  jeantrail.Money
	}{
		{"m", -time.Millisecond, 1000}, {"m", 0, 1}, {"m", time.Hour - time.Millisecond, 1}, {"m", time.Hour, 3},
		{"m", 3 * time.Hour, 3}, {"other", time.Hour, 1000}, {"other", 2 * time.Hour, 5},
	} {
		p, err := s.Price(ctx, c.model, jeantrail.KindText, epoch.Add(c.at))
		must(t, err)
		if p.PromptToken != c.want || p.Model != c.model {
			t.Errorf("price of %s after %v: %+v, want %d a prompt token", c.model, c.at, p, c.want)
		}
	}
	_, err = s.Writer().Exec("DELETE FROM ai_prices WHERE kind = 'speak'")
	must(t, err)
	_, err = s.Price(ctx, "m", jeantrail.KindSpeak, epoch)
	wantCode(t, err, jeantrail.CodeNotFound)
}
