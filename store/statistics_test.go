package store_test

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

// ended is a finished job as the statistics see it.
type ended struct {
	user, model, workflow string
	kind                  jeantrail.Kind
	state                 jeantrail.State
	usage                 jeantrail.Usage
	hit                   bool
	cost                  jeantrail.Money
	latency, queue        time.Duration
	at                    time.Time
}

// durations lie on and beside the bounds of the histograms, in whole
// milliseconds; some are negative, as a clock that was set back makes them.
func durations() *rapid.Generator[time.Duration] {
	return rapid.Custom(func(t *rapid.T) time.Duration {
		bound := rapid.SampledFrom(append(jeantrail.HistogramBounds(), 0, 24*time.Hour)).Draw(t, "bound")
		return bound + rapid.SampledFrom([]time.Duration{-time.Millisecond, 0, time.Millisecond}).Draw(t, "beside it")
	})
}

func endeds() *rapid.Generator[ended] {
	return rapid.Custom(func(t *rapid.T) ended {
		prompt := rapid.IntRange(0, 100).Draw(t, "prompt tokens")
		return ended{
			user: rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "user"), model: rapid.SampledFrom([]string{"m", "n"}).Draw(t, "model"),
			workflow: rapid.SampledFrom([]string{"", "audit"}).Draw(t, "workflow"),
			kind:     rapid.SampledFrom(jeantrail.Kinds()).Draw(t, "kind"),
			state:    rapid.SampledFrom(jeantrail.States()[2:]).Draw(t, "state"),
			usage: jeantrail.Usage{
				PromptTokens: prompt, CachedTokens: rapid.IntRange(0, prompt).Draw(t, "cached tokens"),
				CompletionTokens: rapid.IntRange(0, 9).Draw(t, "tokens"), Images: rapid.IntRange(0, 2).Draw(t, "images"),
				AudioIn:  time.Duration(rapid.IntRange(0, 2000).Draw(t, "heard")) * time.Millisecond,
				AudioOut: time.Duration(rapid.IntRange(0, 2000).Draw(t, "spoken")) * time.Millisecond,
			},
			hit:     rapid.Bool().Draw(t, "hit"),
			cost:    amounts().Draw(t, "cost"),
			latency: durations().Draw(t, "latency"), queue: durations().Draw(t, "queue") + time.Duration(rapid.IntRange(-1, 1).Draw(t, "µs"))*time.Microsecond,
			at: instants().Draw(t, "at"),
		}
	})
}

// through takes the job through the store.
func (e *ended) through(t rapid.TB, s *store.Store) {
	t.Helper()
	ctx := context.Background()
	job := newJob(e.at.Add(-e.latency))
	job.UserID, job.Model, job.Kind, job.Request.Workflow, job.Reserved = e.user, e.model, e.kind, e.workflow, e.cost
	okay(t, tryAdmit(ctx, s, job, event(job.ID, 1, jeantrail.EventQueued)))
	okay(t, s.Start(ctx, job.ID, epoch, event(job.ID, 2, jeantrail.EventStarted)))
	st := settlement(job.ID, jeantrail.StateRunning, e.state, 3, 0)
	events := []jeantrail.Event{token(job.ID, 3, "x", e.usage.CompletionTokens)}
	for i := range e.usage.Images {
		events = append(events, made(job.ID, int64(4+i), i, jeantrail.ArtifactImage, 0))
	}
	if e.usage.AudioOut > 0 {
		n := e.usage.Images
		events = append(events, made(job.ID, int64(4+n), n, jeantrail.ArtifactAudio, e.usage.AudioOut))
	}
	last := st.Events[0]
	last.Seq = events[len(events)-1].Seq + 1
	st.Events = append(events, last)
	st.At, st.QueueFor = e.at, e.queue
	st.Result.Model, st.Result.Usage, st.Result.Cost.Amount = e.model, e.usage, e.cost
	if e.hit {
		st.Result.Cache = jeantrail.CacheHit
	}
	okay(t, settle(ctx, s, st))
}

// count adds the job to a naive tally.
func (e *ended) count(t *jeantrail.Tally) {
	t.Requests++
	switch e.state {
	case jeantrail.StateFailed:
		t.Failures++
	case jeantrail.StateCancelled:
		t.Cancellations++
	case jeantrail.StateInterrupted:
		t.Interruptions++
	}
	if e.hit {
		t.CacheHits++
	}
	t.PromptTokens += int64(e.usage.PromptTokens)
	t.CachedTokens += int64(e.usage.CachedTokens)
	t.CompletionTokens += int64(e.usage.CompletionTokens)
	t.Images += int64(e.usage.Images)
	t.AudioIn += e.usage.AudioIn
	t.AudioOut += e.usage.AudioOut
	t.Cost = t.Cost.Add(e.cost)
}

func observe(h *jeantrail.Histogram, d time.Duration) {
	d = max(0, d)
	h.Buckets[jeantrail.HistogramBucket(d)]++
	h.Sum += d
	h.Max = max(h.Max, d)
}

func (e *ended) key(by jeantrail.CostGroup) string {
	switch by {
	case jeantrail.GroupDay:
		return e.at.Format(time.DateOnly)
	case jeantrail.GroupModel:
		return e.model
	case jeantrail.GroupUser:
		return e.user
	case jeantrail.GroupKind:
		return string(e.kind)
	default:
		return e.workflow
	}
}

func costsOf(jobs []ended, by jeantrail.CostGroup) []jeantrail.CostRow {
	sums := make(map[string]*jeantrail.CostRow)
	for _, e := range jobs {
		key := e.key(by)
		if sums[key] == nil {
			sums[key] = &jeantrail.CostRow{Key: key}
		}
		e.count(&sums[key].Tally)
	}
	var rows []jeantrail.CostRow
	for _, row := range sums {
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b jeantrail.CostRow) int { return cmp.Compare(a.Key, b.Key) })
	return rows
}

func usageOf(jobs []ended) []jeantrail.UsageRow {
	type key struct {
		hour        time.Time
		user, model string
		kind        jeantrail.Kind
	}
	sums := make(map[key]*jeantrail.UsageRow)
	for _, e := range jobs {
		k := key{e.at.Truncate(time.Hour), e.user, e.model, e.kind}
		if sums[k] == nil {
			sums[k] = &jeantrail.UsageRow{Hour: k.hour, UserID: k.user, Model: k.model, Kind: k.kind}
		}
		e.count(&sums[k].Tally)
		observe(&sums[k].Latency, e.latency)
		observe(&sums[k].Queue, e.queue)
	}
	var rows []jeantrail.UsageRow
	for _, row := range sums {
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b jeantrail.UsageRow) int {
		return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.UserID, b.UserID), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Kind, b.Kind))
	})
	return rows
}

func filters() *rapid.Generator[jeantrail.StatisticsFilter] {
	return rapid.Custom(func(t *rapid.T) jeantrail.StatisticsFilter {
		f := jeantrail.StatisticsFilter{
			UserID: rapid.SampledFrom([]string{"", "", "ann", "cat"}).Draw(t, "user"),
			Model:  rapid.SampledFrom([]string{"", "", "m"}).Draw(t, "model"),
			Kind:   rapid.SampledFrom([]jeantrail.Kind{"", "", jeantrail.KindText}).Draw(t, "kind"),
		}
		if rapid.Bool().Draw(t, "from") {
			f.From = instants().Draw(t, "at or after")
		}
		if rapid.Bool().Draw(t, "to") {
			f.To = instants().Draw(t, "before")
		}
		return f
	})
}

// selects says which jobs a filter is about.
func selects(f jeantrail.StatisticsFilter, jobs []ended) []ended {
	return slices.DeleteFunc(slices.Clone(jobs), func(e ended) bool {
		return f.UserID != "" && e.user != f.UserID || f.Model != "" && e.model != f.Model || f.Kind != "" && e.kind != f.Kind ||
			!f.From.IsZero() && e.at.Before(f.From) || !f.To.IsZero() && !e.at.Before(f.To)
	})
}

// What the settlements added up, one by one, is what the naive sums say, and
// what is made anew from the costs.
func TestStatisticsAreTheSums(t *testing.T) {
	ctx, s := context.Background(), unsynced(t)
	rapid.Check(t, func(t *rapid.T) {
		wipe(t, s)
		jobs := rapid.SliceOfN(endeds(), 0, 12).Draw(t, "jobs")
		for i := range jobs {
			jobs[i].through(t, s)
		}
		usage, err := s.Usage(ctx, jeantrail.StatisticsFilter{})
		okay(t, err)
		if want := usageOf(jobs); !slices.Equal(usage, want) {
			t.Fatalf("usage\n%+v\nwant\n%+v", usage, want)
		}
		for _, by := range jeantrail.CostGroups() {
			f := filters().Draw(t, "filter")
			costs, err := s.Costs(ctx, by, f)
			okay(t, err)
			if want := costsOf(selects(f, jobs), by); !slices.Equal(costs, want) {
				t.Fatalf("costs by %s of %+v\n%+v\nwant\n%+v", by, f, costs, want)
			}
			// An hour counts whole.
			f.From = f.From.Truncate(time.Hour)
			if cut := f.To.Truncate(time.Hour); !cut.Equal(f.To) {
				f.To = cut.Add(time.Hour)
			}
			usage, err := s.Usage(ctx, f)
			okay(t, err)
			if want := usageOf(selects(f, jobs)); !slices.Equal(usage, want) {
				t.Fatalf("usage of %+v\n%+v\nwant\n%+v", f, usage, want)
			}
		}
		rebuilt(t, s)
	})
}

// rebuilt makes the statistics anew, which must not change them.
func rebuilt(t rapid.TB, s *store.Store) {
	t.Helper()
	tables := []string{"ai_usage_stats", "ai_spending"}
	var before [2][]string
	for i, table := range tables {
		before[i] = dump(t, s, table)
	}
	n, err := s.RebuildStatistics(context.Background())
	okay(t, err)
	if n != int64(len(before[0])) {
		t.Fatalf("%d rows were made, there were %d", n, len(before[0]))
	}
	for i, table := range tables {
		if after := dump(t, s, table); !slices.Equal(after, before[i]) {
			t.Fatalf("%s made anew\n%s\nwas\n%s", table, strings.Join(after, "\n"), strings.Join(before[i], "\n"))
		}
	}
	found, err := s.Verify(context.Background())
	okay(t, err)
	if len(found) > 0 {
		t.Fatalf("the database breaks %+v", found)
	}
}

// One micro-dollar on each side of the largest sum.
func TestStatisticsStopAtTheLargestAmount(t *testing.T) {
	for _, costs := range [][2]jeantrail.Money{{jeantrail.MaxMoney - 1, 0}, {jeantrail.MaxMoney - 1, 1}, {jeantrail.MaxMoney - 1, 2}, {jeantrail.MaxMoney, 1}} {
		s := open(t)
		for _, cost := range costs {
			e := ended{user: "ann", model: "m", kind: jeantrail.KindText, state: jeantrail.StateSucceeded, cost: cost, at: epoch}
			e.through(t, s)
		}
		usage, err := s.Usage(context.Background(), jeantrail.StatisticsFilter{})
		must(t, err)
		if want := costs[0].Add(costs[1]); len(usage) != 1 || usage[0].Cost != want {
			t.Errorf("%v together: %+v, want %v", costs, usage, want)
		}
		rebuilt(t, s)
	}
}

func TestRebuildMendsStatistics(t *testing.T) {
	ctx, s := context.Background(), open(t)
	for range 3 {
		in(t, s, jeantrail.StateSucceeded)
	}
	wantUsage, wantSpending := dump(t, s, "ai_usage_stats"), dump(t, s, "ai_spending")
	for _, damage := range []string{
		"DELETE FROM ai_usage_stats; DELETE FROM ai_spending",
		"UPDATE ai_usage_stats SET latency_9 = latency_9 + 1, queue_0 = 0, requests = 0; UPDATE ai_spending SET cost_micros = 1",
		"UPDATE ai_usage_stats SET user_id = 'bob'; UPDATE ai_spending SET day = 0",
	} {
		_, err := s.Writer().Exec(damage)
		must(t, err)
		found, err := s.Verify(ctx)
		must(t, err)
		if len(found) != 2 {
			t.Errorf("%s: found %+v", damage, found)
		}
		if n, err := s.RebuildStatistics(ctx); err != nil || n != 1 {
			t.Errorf("%s: %d rows, error %v", damage, n, err)
		}
		if usage, spending := dump(t, s, "ai_usage_stats"), dump(t, s, "ai_spending"); !slices.Equal(usage, wantUsage) || !slices.Equal(spending, wantSpending) {
			t.Errorf("%s: made anew\n%v\n%v", damage, usage, spending)
		}
	}
}

// Each counted column that is off by one is found.
func TestVerifyLooksAtEveryCountedColumn(t *testing.T) {
	ctx, s := context.Background(), reopen(t, t.TempDir()+"/x.db", store.Options{})
	in(t, s, jeantrail.StateSucceeded)
	rows, err := s.Readers().Query("SELECT name FROM pragma_table_info('ai_usage_stats') WHERE pk = 0")
	must(t, err)
	var columns []string
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		columns = append(columns, name)
	}
	must(t, rows.Close())
	if len(columns) != reflect.TypeFor[jeantrail.Tally]().NumField()+2*(2+jeantrail.HistogramBuckets) {
		t.Errorf("the table counts %d columns: %v", len(columns), columns)
	}
	for _, column := range columns {
		for _, by := range []int{1, -1} {
			_, err := s.Writer().Exec(fmt.Sprintf("UPDATE ai_usage_stats SET %[1]s = %[1]s + %[2]d", column, by))
			must(t, err)
			found, err := s.Verify(ctx)
			must(t, err)
			if (len(found) == 1 && found[0].Rows == 1) != (by == 1) {
				t.Errorf("%s is off by one at first, then right again: found %+v", column, found)
			}
		}
	}
}

func TestStatisticsAreRefusedWithAReason(t *testing.T) {
	ctx, s := context.Background(), open(t)
	_, err := s.Costs(ctx, "colour", jeantrail.StatisticsFilter{})
	wantCode(t, err, jeantrail.CodeInvalid)
	_, err = s.Costs(ctx, jeantrail.GroupDay, jeantrail.StatisticsFilter{Kind: "tea"})
	wantCode(t, err, jeantrail.CodeInvalid)
	_, err = s.Usage(ctx, jeantrail.StatisticsFilter{Kind: "tea"})
	wantCode(t, err, jeantrail.CodeInvalid)
}
