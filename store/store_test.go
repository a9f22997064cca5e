package store_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
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

// made is the event of a file that a job made.
func made(id string, seq int64, index int, kind jeantrail.ArtifactKind, audio time.Duration) jeantrail.Event {
	ev := event(id, seq, jeantrail.EventArtifact)
	ev.Artifact = &jeantrail.Artifact{
		Index: index, Kind: kind, File: jeantrail.File{SHA256: strings.Repeat("ab", 32), Bytes: 5, MediaType: "image/png"}, Duration: audio,
	}
	return ev
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
	stage := event(job.ID, 5, jeantrail.EventStage)
	fill(reflect.ValueOf(&stage.Stage).Elem())
	image, audio := made(job.ID, 6, 0, jeantrail.ArtifactImage, 0), made(job.ID, 7, 1, jeantrail.ArtifactAudio, time.Millisecond)
	seed := int64(-3)
	image.Artifact.Width, image.Artifact.Height, image.Artifact.Seed = 64, 128, &seed
	must(t, s.Append(ctx, []jeantrail.Event{progress, thought, stage, image, audio}))

	st := settlement(job.ID, jeantrail.StateRunning, jeantrail.StateInterrupted, 7, 0)
	fill(reflect.ValueOf(st.Result).Elem())
	st.Result.Usage = jeantrail.Usage{
		PromptTokens: 7, CachedTokens: 3, CompletionTokens: 5, ReasoningTokens: 2,
		Images: 1, AudioIn: 1500 * time.Millisecond, AudioOut: time.Millisecond,
	}
	st.Result.Artifacts = []jeantrail.Artifact{*image.Artifact, *audio.Artifact}
	st.Result.Timings.CachedFrom = "ram"
	st.Result.Energy.Reason = "" // there is none if it was measured
	st.Result.Cost.Reserved = job.Reserved
	st.Err = &jeantrail.Error{}
	fill(reflect.ValueOf(st.Err).Elem())
	last := event(job.ID, 9, jeantrail.EventInterrupted)
	last.Result, last.Err = st.Result, st.Err
	st.Events = []jeantrail.Event{token(job.ID, 8, "é 语", 3), last}
	must(t, settle(ctx, s, st))

	want := *job
	want.State, want.StartedAt, want.FinishedAt = st.To, epoch.Add(time.Second), st.At
	want.LastSeq, want.Result, want.Err = 9, st.Result, st.Err
	got, err := s.Job(ctx, job.ID)
	must(t, err)
	if !reflect.DeepEqual(got, &want) {
		t.Errorf("job\n%+v\nwant\n%+v", got, &want)
	}
	events, err := s.Events(ctx, job.ID, 0, 100)
	must(t, err)
	wantEvents := append([]jeantrail.Event{event(job.ID, 1, jeantrail.EventQueued), started, progress, thought, stage, image, audio}, st.Events...)
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
		if f, ok := v.Addr().Interface().(*jeantrail.File); ok {
			f.SHA256 = strings.Repeat("0f", 32)
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

func TestFilesInUse(t *testing.T) {
	ctx, s := context.Background(), open(t)
	given := strings.Repeat("cd", 32)
	job := newJob(epoch)
	job.Request = jeantrail.Request{Kind: jeantrail.KindTranscribe, Transcribe: &jeantrail.TranscribeRequest{Audio: jeantrail.File{SHA256: given, Bytes: 9}}}
	admit(t, s, job)
	must(t, s.Start(ctx, job.ID, epoch, event(job.ID, 2, jeantrail.EventStarted)))
	must(t, s.Append(ctx, []jeantrail.Event{made(job.ID, 3, 0, jeantrail.ArtifactSubtitles, 0)}))
	used, err := s.FilesInUse(ctx)
	must(t, err)
	subtitles := strings.Repeat("ab", 32)
	if len(used) != 2 || !used[given] || !used[subtitles] {
		t.Errorf("while the job is open %v", used)
	}
	must(t, settle(ctx, s, settlement(job.ID, jeantrail.StateRunning, jeantrail.StateSucceeded, 3, 0)))
	used, err = s.FilesInUse(ctx)
	must(t, err)
	if len(used) != 1 || !used[subtitles] {
		t.Errorf("when it is over %v, want what it made only", used)
	}
}

func TestStagesAreListedByTheirPipeline(t *testing.T) {
	ctx, s := context.Background(), open(t)
	parent := admit(t, s, newJob(epoch))
	child := newJob(epoch.Add(time.Second))
	child.Request.Parent, child.Request.Stage, child.Request.Workflow = parent.ID, "draw", "text_to_image"
	admit(t, s, child)
	for _, f := range []jeantrail.JobFilter{{Parent: parent.ID}, {Workflow: "text_to_image"}} {
		page, err := s.Jobs(ctx, f)
		must(t, err)
		if len(page.Jobs) != 1 || page.Jobs[0].ID != child.ID || page.Jobs[0].Request.Stage != "draw" || page.Jobs[0].Request.Parent != parent.ID {
			t.Errorf("%+v lists %+v", f, page.Jobs)
		}
	}
}

func TestHistoryOfWorkers(t *testing.T) {
	ctx, s := context.Background(), open(t)
	probe := func(at time.Time, status jeantrail.WorkerStatus) jeantrail.Probe {
		return jeantrail.Probe{At: at, Worker: "sdxl", Status: status, Latency: 1500 * time.Microsecond, Problem: "p", Model: "m", Version: "v"}
	}
	must(t, s.RecordProbe(ctx, probe(epoch, jeantrail.WorkerStarting)))
	must(t, s.RecordProbe(ctx, probe(epoch.Add(time.Minute), jeantrail.WorkerReady)))
	got, err := s.Probes(ctx, "sdxl", 5)
	must(t, err)
	want := []jeantrail.Probe{probe(epoch.Add(time.Minute), jeantrail.WorkerReady), probe(epoch, jeantrail.WorkerStarting)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("history %+v, want %+v", got, want)
	}
	late := probe(epoch.Add(store.HistoryAge+time.Hour), jeantrail.WorkerDown)
	must(t, s.RecordProbe(ctx, late))
	got, err = s.Probes(ctx, "sdxl", 5)
	must(t, err)
	if !reflect.DeepEqual(got, []jeantrail.Probe{late}) {
		t.Errorf("a month later %+v, want the newest only", got)
	}
	if _, err := s.Probes(ctx, "sdxl", 0); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("a limit of 0: %v", err)
	}
}
