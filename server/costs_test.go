package server

import (
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func TestCosts(t *testing.T) {
	money := newFakeMoney()
	money.costs = []jeantrail.CostRow{
		{Key: "2026-01-01", Tally: jeantrail.Tally{Requests: 3, Failures: 1, PromptTokens: 30, CompletionTokens: 12, Cost: 42_000}},
		{Key: "2026-01-02", Tally: jeantrail.Tally{Requests: 2, Cancellations: 1, Interruptions: 1, CacheHits: 1, CachedTokens: 4, Images: 2,
			AudioIn: 1500 * time.Millisecond, AudioOut: time.Second, Cost: 100_001}},
	}
	s := newTestServer(t, Options{Money: money})
	goldenJSON(t, "costs.golden", call(s, "GET", "/costs?group_by=day&from=2026-01-01&to=2026-02-01&user_id=u&model=m&kind=text", "").Body.Bytes())
	want := jeantrail.StatisticsFilter{UserID: "u", Model: "m", Kind: jeantrail.KindText, From: day(1), To: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}
	if money.by != jeantrail.GroupDay || money.filter != want {
		t.Errorf("asked by %s for %+v", money.by, money.filter)
	}
	if call(s, "GET", "/costs", ""); money.by != jeantrail.GroupDay || money.filter != (jeantrail.StatisticsFilter{}) {
		t.Errorf("asked by %s for %+v", money.by, money.filter)
	}
	for _, by := range jeantrail.CostGroups() {
		if m := decoded(t, call(s, "GET", "/costs?group_by="+string(by), "")); money.by != by || m["group_by"] != string(by) {
			t.Errorf("by %s became %s, answered %v", by, money.by, m["group_by"])
		}
	}
	for _, query := range []string{"group_by=hour", "kind=film", "from=x", "to=x", "from=2026-01-02&to=2026-01-02", "by=day"} {
		wantProblem(t, call(s, "GET", "/costs?"+query, ""), 400, jeantrail.CodeInvalid)
	}
	// A sum that cannot be counted stops at the most, it does not wrap round.
	money.costs = []jeantrail.CostRow{{Tally: jeantrail.Tally{Cost: jeantrail.MaxMoney}}, {Tally: jeantrail.Tally{Cost: 5}}}
	if m := decoded(t, call(s, "GET", "/costs?group_by=workflow", "")); m["total"].(map[string]any)["usd"] != jeantrail.MaxMoney.USD() {
		t.Errorf("total %v", m["total"])
	}
	money.costs = nil
	if m := decoded(t, call(s, "GET", "/costs", "")); len(m["rows"].([]any)) != 0 || m["total"].(map[string]any)["amount_micros"] != 0.0 {
		t.Errorf("nothing is %v", m)
	}
}

func TestUsage(t *testing.T) {
	histogram := func(max time.Duration, buckets ...int64) (h jeantrail.Histogram) {
		copy(h.Buckets[:], buckets)
		h.Sum, h.Max = max+time.Millisecond, max
		return h
	}
	row := func(hour int, user string, latency, queue jeantrail.Histogram) jeantrail.UsageRow {
		return jeantrail.UsageRow{
			Hour: day(1).Add(time.Duration(hour) * time.Hour), UserID: user, Model: "builtin", Kind: jeantrail.KindText,
			Tally: jeantrail.Tally{Requests: 20, Cost: 1000}, Latency: latency, Queue: queue,
		}
	}
	money := newFakeMoney()
	money.usage = []jeantrail.UsageRow{
		row(3, "ann", histogram(90*time.Millisecond, 18, 0, 2), histogram(0, 20)),
		row(4, "bob", histogram(700*time.Second, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20), histogram(5*time.Millisecond, 20)),
	}
	s := newTestServer(t, Options{Money: money})
	goldenJSON(t, "usage.golden", call(s, "GET", "/usage?from=2026-01-01T03:00:00Z&user_id=ann", "").Body.Bytes())
	if want := (jeantrail.StatisticsFilter{UserID: "ann", From: day(1).Add(3 * time.Hour)}); money.filter != want {
		t.Errorf("asked for %+v", money.filter)
	}
	wantProblem(t, call(s, "GET", "/usage?group_by=day", ""), 400, jeantrail.CodeInvalid)
}

func TestVerifyCosts(t *testing.T) {
	money := newFakeMoney()
	s := newTestServer(t, Options{Money: money})
	if got := call(s, "POST", "/costs/verify", `{}`).Body.String(); got != `{"sound":true,"differences":[],"rebuilt":false}` || money.rebuild {
		t.Errorf("sound books: %s", got)
	}
	money.differences = []string{"2026-01-01: 3 requests, 2 in the statistics"}
	got := call(s, "POST", "/costs/verify", `{"rebuild":true}`).Body.String()
	if got != `{"sound":false,"differences":["2026-01-01: 3 requests, 2 in the statistics"],"rebuilt":true}` || !money.rebuild {
		t.Errorf("other books: %s", got)
	}
	for _, body := range []string{``, `{"rebuild":"yes"}`, `{"rebuild":null}`, `{"repair":true}`} {
		wantProblem(t, call(s, "POST", "/costs/verify", body), 400, jeantrail.CodeInvalid)
	}
}
