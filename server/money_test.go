package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/internal/golden"
)

// goldenJSON holds an answer's body against a file, laid out to be read.
func goldenJSON(t *testing.T, name string, body []byte) {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, body, "", "  "); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	out.WriteByte('\n')
	golden.Check(t, name, out.Bytes())
}

func day(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }

// standings are one budget of each shape: a user's daily one that is in use,
// and everybody's for a period that is over.
func standings() []jeantrail.BudgetStanding {
	daily := jeantrail.Budget{ID: "b1", UserID: "user123", Type: jeantrail.BudgetDaily, AmountCents: 1000, AlertThreshold: 80, CreatedAt: epoch()}
	window, _ := daily.Window(epoch())
	return []jeantrail.BudgetStanding{
		{Budget: daily, Window: window, Spent: 4_500_001, Reserved: 250_000},
		{Budget: jeantrail.Budget{ID: "b2", Type: jeantrail.BudgetPeriod, AmountCents: 1, PeriodStart: day(1), PeriodEnd: day(2), AlertThreshold: 50, CreatedAt: epoch()}},
		{Budget: jeantrail.Budget{ID: "b3", Type: jeantrail.BudgetTotal, AmountCents: 0, AlertThreshold: 80, CreatedAt: epoch()}},
	}
}

func TestBudgets(t *testing.T) {
	money := newFakeMoney()
	money.budgets = standings()
	s := newTestServer(t, Options{Money: money, Clock: epoch})
	goldenJSON(t, "budgets.golden", call(s, "GET", "/budgets?user_id=user123", "").Body.Bytes())
	if money.user != "user123" || money.who.Role != jeantrail.RoleAdmin {
		t.Errorf("asked for %q by %+v", money.user, money.who)
	}
	if m := decoded(t, call(s, "GET", "/budgets/b1", "")); m["id"] != "b1" || m["remaining_micros"] != 5_249_999.0 {
		t.Errorf("budget %v", m)
	}
	wantProblem(t, call(s, "GET", "/budgets/b9", ""), 404, jeantrail.CodeNotFound)
	wantProblem(t, call(s, "GET", "/budgets?user=x", ""), 400, jeantrail.CodeInvalid)

	if w := call(s, "DELETE", "/budgets/b1", ""); w.Code != 204 || w.Body.Len() != 0 {
		t.Errorf("delete: %d %s", w.Code, w.Body)
	}
	wantProblem(t, call(s, "DELETE", "/budgets/b1", ""), 404, jeantrail.CodeNotFound)
}

func TestAddBudget(t *testing.T) {
	money := newFakeMoney()
	s := newTestServer(t, Options{Money: money, Clock: epoch})
	w := call(s, "POST", "/budgets", `{"user_id":"user123","budget_type":"period","amount_cents":1000,"period_start":"2026-01-01","period_end":"2026-02-01"}`)
	m := decoded(t, w)
	if w.Code != 201 || w.Header().Get("Location") != "/budgets/budget-1" || m["id"] != "budget-1" || m["in_force"] != true {
		t.Errorf("added: %d %v %s", w.Code, w.Header(), w.Body)
	}
	want := jeantrail.Budget{
		ID: "budget-1", UserID: "user123", Type: jeantrail.BudgetPeriod, AmountCents: 1000, PeriodStart: day(1),
		PeriodEnd: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), AlertThreshold: jeantrail.DefaultAlertThreshold, CreatedAt: epoch(),
	}
	if money.budgets[0].Budget != want {
		t.Errorf("kept %+v, want %+v", money.budgets[0].Budget, want)
	}
	everybody := decoded(t, call(s, "POST", "/budgets", `{"user_id":null,"budget_type":"daily","amount_cents":0,"period_start":null,"alert_threshold_percentage":1}`))
	if id, there := everybody["user_id"]; !there || id != nil || money.budgets[1].UserID != "" || money.budgets[1].AlertThreshold != 1 {
		t.Errorf("everybody's is %v", everybody)
	}
	refusals := map[string]string{
		`{"budget_type":"daily","amount_cents":1}`:                                                                     "does not say whose",
		`{"user_id":"","budget_type":"daily","amount_cents":1}`:                                                        "user_id is empty",
		`{"user_id":"u","amount_cents":1}`:                                                                             "needs budget_type and amount_cents",
		`{"user_id":"u","budget_type":"daily"}`:                                                                        "needs budget_type and amount_cents",
		`{"user_id":"u","budget_type":"hourly","amount_cents":1}`:                                                      `is not known`,
		`{"user_id":"u","budget_type":"daily","amount_cents":-1}`:                                                      "amount_cents is -1",
		`{"user_id":"u","budget_type":"daily","amount_cents":10.5}`:                                                    "amount_cents must be a whole number, not number 10.5",
		`{"user_id":"u","budget_type":"daily","amount_cents":null}`:                                                    "amount_cents must not be null",
		`{"user_id":"u","budget_type":"daily","amount_cents":1,"amount_cent":2}`:                                       `Did you mean \"amount_cents\"?`,
		`{"user_id":"u","budget_type":"daily","amount_cents":1,"period_start":"1 May"}`:                                "period_start is",
		`{"user_id":"u","budget_type":"daily","amount_cents":1,"period_start":"2026-01-01T00:00:00Z"}`:                 "which is not a day",
		`{"user_id":"u","budget_type":"period","amount_cents":1}`:                                                      "needs period_start and period_end",
		`{"user_id":"u","budget_type":"daily","amount_cents":1,"alert_threshold_percentage":101}`:                      "alert_threshold_percentage is 101",
		`{"user_id":"u","budget_type":"total","amount_cents":1,"period_start":"2026-01-02","period_end":"2026-01-01"}`: "after period_start",
	}
	for body, say := range refusals {
		w := call(s, "POST", "/budgets", body)
		if wantProblem(t, w, 400, jeantrail.CodeInvalid); !strings.Contains(w.Body.String(), say) {
			t.Errorf("%s\nanswered %s\nwant %s", body, w.Body, say)
		}
	}
	if len(money.budgets) != 2 {
		t.Errorf("%d budgets after refusals", len(money.budgets))
	}
}

// A change leaves alone what it does not name, and null is a value.
func TestChangeBudget(t *testing.T) {
	before := jeantrail.Budget{
		ID: "b1", UserID: "ann", Type: jeantrail.BudgetDaily, AmountCents: 1000, PeriodStart: day(1), PeriodEnd: day(9), AlertThreshold: 80, CreatedAt: epoch(),
	}
	with := func(change func(*jeantrail.Budget)) jeantrail.Budget {
		b := before
		change(&b)
		return b
	}
	tests := []struct {
		body string
		want jeantrail.Budget
	}{
		{`{"amount_cents":5}`, with(func(b *jeantrail.Budget) { b.AmountCents = 5 })},
		{`{"amount_cents":0}`, with(func(b *jeantrail.Budget) { b.AmountCents = 0 })},
		{`{"user_id":null}`, with(func(b *jeantrail.Budget) { b.UserID = "" })},
		{`{"user_id":"bob"}`, with(func(b *jeantrail.Budget) { b.UserID = "bob" })},
		{`{"period_end":null}`, with(func(b *jeantrail.Budget) { b.PeriodEnd = time.Time{} })},
		{`{"period_start":null,"period_end":"2026-01-05"}`, with(func(b *jeantrail.Budget) { b.PeriodStart, b.PeriodEnd = time.Time{}, day(5) })},
		{`{"budget_type":"weekly","alert_threshold_percentage":90}`, with(func(b *jeantrail.Budget) { b.Type, b.AlertThreshold = jeantrail.BudgetWeekly, 90 })},
	}
	for _, tt := range tests {
		money := newFakeMoney()
		money.budgets = []jeantrail.BudgetStanding{{Budget: before}}
		s := newTestServer(t, Options{Money: money, Clock: epoch})
		if w := call(s, "PATCH", "/budgets/b1", tt.body); w.Code != 200 || money.budgets[0].Budget != tt.want {
			t.Errorf("%s: %d, made %+v", tt.body, w.Code, money.budgets[0].Budget)
		}
	}
	money := newFakeMoney()
	money.budgets = []jeantrail.BudgetStanding{{Budget: before}}
	s := newTestServer(t, Options{Money: money})
	for _, body := range []string{`{}`, `{"amount_cents":null}`, `{"budget_type":null}`, `{"period_end":"2025-01-01"}`, `{"id":"b2"}`, `{"user_id":""}`} {
		wantProblem(t, call(s, "PATCH", "/budgets/b1", body), 400, jeantrail.CodeInvalid)
	}
	if money.budgets[0].Budget != before {
		t.Errorf("refused changes made %+v", money.budgets[0].Budget)
	}
	wantProblem(t, call(s, "PATCH", "/budgets/b9", `{"amount_cents":5}`), 404, jeantrail.CodeNotFound)
}

func someAlert() jeantrail.Alert {
	return jeantrail.Alert{
		BudgetID: "b1", UserID: "user123", Percent: 80, Window: jeantrail.Window{Start: day(2), End: day(3)},
		Limit: 10_000_000, Spent: 8_000_001, At: epoch(),
	}
}

func TestAlerts(t *testing.T) {
	money := newFakeMoney()
	money.alerts = []jeantrail.Alert{someAlert(), {BudgetID: "b2", Percent: 100, Limit: 5, Spent: 5, At: epoch()}}
	s := newTestServer(t, Options{Money: money})
	goldenJSON(t, "alerts.golden", call(s, "GET", "/alerts?user_id=user123&limit=2", "").Body.Bytes())
	if money.user != "user123" || money.limit != 2 {
		t.Errorf("asked for %d of %q", money.limit, money.user)
	}
	if call(s, "GET", "/alerts", ""); money.limit != defaultPage || money.user != "" {
		t.Errorf("asked for %d of %q", money.limit, money.user)
	}
	for _, query := range []string{"limit=0", "limit=501", "limit=x", "from=2026-01-01"} {
		wantProblem(t, call(s, "GET", "/alerts?"+query, ""), 400, jeantrail.CodeInvalid)
	}
}

// What may not be seen or set is refused by the road, and the server says so.
func TestMoneyErrors(t *testing.T) {
	money := newFakeMoney()
	money.err = jeantrail.Errorf(jeantrail.CodeForbidden, "the key may not do this")
	s := newTestServer(t, Options{Money: money})
	rule := `{"user_id":null,"rule_name":"n","rule_type":"t","conditions":{},"actions":{}}`
	for _, rq := range [][3]string{
		{"GET", "/budgets", ""}, {"POST", "/budgets", `{"user_id":null,"budget_type":"daily","amount_cents":1}`}, {"GET", "/budgets/b1", ""},
		{"PATCH", "/budgets/b1", `{"amount_cents":1}`}, {"DELETE", "/budgets/b1", ""}, {"GET", "/alerts", ""}, {"GET", "/rules", ""},
		{"POST", "/rules", rule}, {"GET", "/rules/r", ""}, {"PATCH", "/rules/r", `{"enabled":false}`}, {"DELETE", "/rules/r", ""},
		{"POST", "/rules/test", `{"request":{"prompt":"x"}}`}, {"GET", "/prices", ""}, {"PUT", "/prices/m", `{"image_micros":1}`},
		{"GET", "/costs", ""}, {"POST", "/costs/verify", `{}`}, {"GET", "/usage", ""},
	} {
		wantProblem(t, call(s, rq[0], rq[1], rq[2]), 403, jeantrail.CodeForbidden)
	}
	money.err = errors.New("secret")
	if w := call(s, "GET", "/budgets", ""); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("a defect: %d %s", w.Code, w.Body)
	}
}

// A refusal for want of money says which budget, and how far it is used.
func TestBudgetExceeded(t *testing.T) {
	road := newFakeRoad(nil)
	road.submitErr = jeantrail.Errorf(jeantrail.CodeBudgetExceeded, "the daily budget of user123 has no room").
		WithName("budget_id", "b1").WithName("title", "not this one").
		WithNumber("limit_micros", 10).WithNumber("spent_micros", 8).WithNumber("reserved_micros", 1).WithNumber("needed_micros", 2)
	s := newTestServer(t, Options{Road: road})
	m := wantProblem(t, call(s, "POST", "/generate", `{"prompt":"x"}`), 402, jeantrail.CodeBudgetExceeded)
	if m["budget_id"] != "b1" || m["limit_micros"] != 10.0 || m["spent_micros"] != 8.0 || m["reserved_micros"] != 1.0 || m["needed_micros"] != 2.0 ||
		m["title"] != codeTable()[jeantrail.CodeBudgetExceeded].title {
		t.Errorf("problem %v", m)
	}
}

func TestPrices(t *testing.T) {
	money := newFakeMoney()
	money.prices = []jeantrail.PriceEntry{
		{Kind: jeantrail.KindText, Price: jeantrail.Price{Model: "*", PromptToken: 1000, CompletionToken: 1000}},
		{Kind: jeantrail.KindText, ValidFrom: epoch(), Price: jeantrail.Price{Model: "builtin"}},
	}
	s := newTestServer(t, Options{Money: money})
	goldenJSON(t, "prices.golden", call(s, "GET", "/prices", "").Body.Bytes())

	m := decoded(t, call(s, "PUT", "/prices/qwen%2F3", `{"prompt_token_micros":3,"cached_token_micros":1,"completion_token_micros":0,"valid_from":"2026-05-01T00:00:00+02:00"}`))
	want := jeantrail.PriceEntry{
		Kind: jeantrail.KindText, ValidFrom: time.Date(2026, 4, 30, 22, 0, 0, 0, time.UTC),
		Price: jeantrail.Price{Model: "qwen/3", PromptToken: 3, CachedToken: 1},
	}
	if got := money.prices[2]; got != want || m["model"] != "qwen/3" || m["valid_from"] != "2026-04-30T22:00:00.000Z" {
		t.Errorf("set %+v, answered %v", got, m)
	}
	call(s, "PUT", "/prices/*", `{"kind":"speak","audio_out_second_micros":5000}`)
	if got := money.prices[3]; got.Model != jeantrail.AnyModel || got.Kind != jeantrail.KindSpeak || got.AudioOutSecond != 5000 {
		t.Errorf("set %+v", got)
	}
	for _, body := range []string{
		`{}`, `{"kind":"text"}`, `{"kind":"film","image_micros":1}`, `{"image_micros":-1}`, `{"image_micros":1.5}`, `{"image_micros":null}`,
		`{"image_micros":1,"valid_from":"tomorrow"}`, `{"image_cents":1}`,
	} {
		wantProblem(t, call(s, "PUT", "/prices/m", body), 400, jeantrail.CodeInvalid)
	}
	if len(money.prices) != 4 {
		t.Errorf("%d prices after refusals", len(money.prices))
	}
}

func TestPathsBesideEachOther(t *testing.T) {
	s := newTestServer(t, Options{})
	for path, allow := range map[string]string{"/rules/test": "DELETE, GET, PATCH, POST", "/rules/x": "DELETE, GET, PATCH", "/costs/verify": "POST", "/prices/x": "PUT",
		"/models/pulls/x": "DELETE, GET", "/models/pulls/load": "DELETE, GET, POST", "/models/x/load": "POST"} {
		w := call(s, "OPTIONS", path, "")
		if wantProblem(t, w, 405, jeantrail.CodeUnsupported); w.Header().Get("Allow") != allow {
			t.Errorf("%s: Allow is %q", path, w.Header().Get("Allow"))
		}
	}
	if w := call(s, "HEAD", "/budgets", ""); w.Code != 200 {
		t.Errorf("HEAD /budgets: %d", w.Code)
	}
}

// The document needs no server.
func TestDescribe(t *testing.T) {
	doc, err := Describe("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, Options{Version: "1.2.3"})
	if !bytes.Equal(doc, s.OpenAPI()) {
		t.Error("Describe says another thing than the server")
	}
	var parsed struct {
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]any
			}
		}
	}
	if err := json.Unmarshal(doc, &parsed); err != nil {
		t.Fatal(err)
	}
	for schema, properties := range map[string][]string{
		"Budget": {"used_percent"}, "Alert": {"budget_id"}, "CostRow": {"key", "requests", "amount_micros"}, "UsageRow": {"hour", "usd", "latency"},
		"Rule": {"conditions", "problem"}, "Report": {"trials"}, "Price": {"audio_in_second_micros"}, "Template": {"variables"}, "Rendered": {"prompt"},
	} {
		for _, property := range properties {
			if parsed.Components.Schemas[schema].Properties[property] == nil {
				t.Errorf("%s has no %s", schema, property)
			}
		}
	}
	want := []string{"actions", "amount_cents", "budget_type", "conditions", "rule_name", "rule_type", "user_id", "user_id"}
	got := append(parsed.Components.Schemas["BudgetRequest"].Required, parsed.Components.Schemas["RuleRequest"].Required...)
	slices.Sort(got)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("required are %v, want %v", got, want)
	}
}
