package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// want fails unless the answer has the status, and returns it.
func (h *house) want(t *testing.T, status int, method, path, body string) map[string]any {
	t.Helper()
	got, m, text := h.call(t, method, path, body)
	if got != status {
		t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, got, text, status)
	}
	return m
}

// A budget holds from the next request on, says how it stands, and refuses with
// the numbers; the refusal, the alert and the standing agree.
func TestBudgets(t *testing.T) {
	h := open(t)
	h.want(t, 200, "PUT", "/prices/builtin", `{"prompt_token_micros":100,"cached_token_micros":50,"completion_token_micros":1000}`)
	added := h.want(t, 201, "POST", "/budgets", `{"user_id":"ann","budget_type":"daily","amount_cents":1,"alert_threshold_percentage":30}`)
	self := "/budgets/" + added["id"].(string)

	// 12 prompt tokens, 4 of them cached, and 3 of the answer: 4000 of 10000.
	h.want(t, 200, "POST", "/generate", `{"prompt":"x","user_id":"ann","max_tokens":5}`)
	b := h.want(t, 200, "GET", self, "")
	if b["spent_micros"] != 4000.0 || b["reserved_micros"] != 0.0 || b["remaining_micros"] != 6000.0 || b["used_percent"] != 40.0 || b["in_force"] != true {
		t.Errorf("after a job the budget is %v", b)
	}
	refused := h.want(t, 402, "POST", "/generate", `{"prompt":"x","user_id":"ann","max_tokens":6}`)
	if refused["code"] != "budget_exceeded" || refused["budget_id"] != added["id"] || refused["limit_micros"] != 10000.0 ||
		refused["spent_micros"] != 4000.0 || refused["reserved_micros"] != 0.0 || refused["needed_micros"] != 7200.0 {
		t.Errorf("refused with %v", refused)
	}
	h.want(t, 200, "POST", "/generate", `{"prompt":"x","user_id":"bob","max_tokens":6}`)

	alerts := h.want(t, 200, "GET", "/alerts?user_id=ann", "")["alerts"].([]any)
	if first := alerts[len(alerts)-1].(map[string]any); first["budget_id"] != added["id"] || first["percent"] != 30.0 || first["spent_micros"] != 4000.0 {
		t.Errorf("alerts %v", alerts)
	}
	_, _, metrics := h.call(t, "GET", "/metrics", "")
	for _, line := range []string{
		`jeantrail_budget_alerts_total{level="threshold"} 1`, `jeantrail_budget_used_ratio{budget_type="daily",scope="user"} 0.4`,
		`jeantrail_cost_microdollars_total{kind="text",model="builtin"} 8000`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics have no line %s", line)
		}
	}

	changed := h.want(t, 200, "PATCH", self, `{"amount_cents":2,"period_end":"2099-01-01"}`)
	if changed["amount_cents"] != 2.0 || changed["period_end"] != "2099-01-01" || changed["user_id"] != "ann" || changed["spent_micros"] != 4000.0 {
		t.Errorf("changed to %v", changed)
	}
	h.want(t, 200, "POST", "/generate", `{"prompt":"x","user_id":"ann","max_tokens":6}`)
	if changed = h.want(t, 200, "PATCH", self, `{"period_end":null,"user_id":null}`); changed["period_end"] != nil || changed["user_id"] != nil || changed["spent_micros"] != 12000.0 {
		t.Errorf("everybody's is %v", changed)
	}
	if all := h.want(t, 200, "GET", "/budgets", "")["budgets"].([]any); len(all) != 1 {
		t.Errorf("budgets %v", all)
	}
	h.want(t, 400, "PATCH", self, `{}`)
	h.want(t, 400, "POST", "/budgets", `{"user_id":null,"budget_type":"yearly","amount_cents":1}`)
	h.want(t, 204, "DELETE", self, "")
	h.want(t, 404, "GET", self, "")
	h.want(t, 404, "DELETE", self, "")
	h.want(t, 404, "PATCH", self, `{"amount_cents":2}`)
}

// The socket of a user hears of an alert as it is raised, and so does the stream
// of the job that raised it.
func TestAlertIsHeard(t *testing.T) {
	h := open(t)
	h.want(t, 200, "PUT", "/prices/builtin", `{"completion_token_micros":1000}`)
	b := h.want(t, 201, "POST", "/budgets", `{"user_id":"local","budget_type":"total","amount_cents":1,"alert_threshold_percentage":30}`)
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The answer to a ping shows that the socket is served.
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	if _, data, err := conn.ReadMessage(); err != nil || !bytes.Contains(data, []byte("pong")) {
		t.Fatalf("ping: %s, %v", data, err)
	}
	_, _, stream := h.call(t, "POST", "/generate", `{"prompt":"x","max_tokens":5}`, "Accept", "text/event-stream")
	if !strings.Contains(stream, "event: alert\n") || !strings.Contains(stream, fmt.Sprintf(`"budget_id":"%s"`, b["id"])) {
		t.Errorf("the stream is\n%s", stream)
	}
	_, data, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	if m["type"] != "alert" || m["budget_id"] != b["id"] || m["percent"] != 30.0 || m["spent_micros"] != 3000.0 || m["job_id"] != nil || m["seq"] != nil {
		t.Errorf("the socket heard %s", data)
	}
}

func TestRules(t *testing.T) {
	h := open(t)
	added := h.want(t, 201, "POST", "/rules", `{"user_id":null,"rule_name":"short","rule_type":"limit","conditions":{"input_length":"<100"},"actions":{"max_tokens":7}}`)
	self := "/rules/" + added["id"].(string)
	if list := h.want(t, 200, "GET", "/rules?user_id=ann", "")["rules"].([]any); len(list) != 1 {
		t.Errorf("rules %v", list)
	}
	report := h.want(t, 200, "POST", "/rules/test", `{"request":{"prompt":"x"},"rule":{"conditions":{"input_length":">100"},"actions":{"temperature":0}}}`)
	trials := report["trials"].([]any)
	first, second := trials[0].(map[string]any), trials[1].(map[string]any)
	if first["held"] != false || second["applied"] != true || report["after"].(map[string]any)["max_tokens"] != 7.0 || report["before"].(map[string]any)["max_tokens"] != nil {
		t.Errorf("report %v", report)
	}
	if m := h.want(t, 200, "POST", "/generate", `{"prompt":"x"}`); fmt.Sprint(m["rules_applied"]) != "[short]" {
		t.Errorf("applied %v", m["rules_applied"])
	}
	if m := h.want(t, 200, "PATCH", self, `{"enabled":false}`); m["enabled"] != false || m["rule_name"] != "short" {
		t.Errorf("switched off %v", m)
	}
	if m := h.want(t, 200, "POST", "/generate", `{"prompt":"x"}`); fmt.Sprint(m["rules_applied"]) != "[]" {
		t.Errorf("applied %v", m["rules_applied"])
	}
	h.want(t, 200, "GET", self, "")
	h.want(t, 400, "POST", "/rules", `{"user_id":null,"rule_name":"x","rule_type":"x","conditions":{"colour":"red"},"actions":{"max_tokens":7}}`)
	h.want(t, 400, "PATCH", self, `{"actions":{"colour":"red"}}`)
	h.want(t, 400, "POST", "/rules/test", `{"request":{}}`)
	h.want(t, 404, "POST", "/rules/test", `{"request":{"prompt":"x","model":"none"}}`)
	h.want(t, 204, "DELETE", self, "")
	h.want(t, 404, "GET", self, "")
	h.want(t, 404, "DELETE", self, "")
}

func TestPricesCostsAndUsage(t *testing.T) {
	h := open(t)
	if list := h.want(t, 200, "GET", "/prices", "")["prices"].([]any); len(list) == 0 {
		t.Error("there is no price")
	}
	h.want(t, 200, "PUT", "/prices/*", `{"kind":"image","image_micros":5}`)
	h.want(t, 400, "PUT", "/prices/builtin", `{}`)
	h.want(t, 200, "PUT", "/prices/builtin", `{"completion_token_micros":7}`)
	h.want(t, 200, "POST", "/generate", `{"prompt":"x","user_id":"ann"}`)
	h.want(t, 200, "POST", "/generate", `{"prompt":"x","user_id":"bob"}`)
	for _, by := range []string{"day", "model", "user", "kind", "workflow"} {
		m := h.want(t, 200, "GET", "/costs?group_by="+by, "")
		total := m["total"].(map[string]any)
		if total["requests"] != 2.0 || total["amount_micros"] != 42.0 || total["usd"] != "0.000042" {
			t.Errorf("by %s: %v", by, m)
		}
		if rows := m["rows"].([]any); len(rows) != map[string]int{"user": 2}[by] && len(rows) != 1 {
			t.Errorf("by %s: %v", by, rows)
		}
	}
	h.want(t, 400, "GET", "/costs?group_by=hour", "")
	usage := h.want(t, 200, "GET", "/usage?user_id=ann", "")
	if total := usage["total"].(map[string]any); total["requests"] != 1.0 || total["completion_tokens"] != 3.0 || len(usage["rows"].([]any)) != 1 {
		t.Errorf("usage %v", usage)
	}
	h.want(t, 400, "GET", "/usage?from=x", "")
	for _, body := range []string{`{}`, `{"rebuild":true}`} {
		if m := h.want(t, 200, "POST", "/costs/verify", body); m["sound"] != true || len(m["differences"].([]any)) != 0 {
			t.Errorf("verify %s: %v", body, m)
		}
	}
	if total := h.want(t, 200, "GET", "/usage", "")["total"].(map[string]any); total["requests"] != 2.0 {
		t.Errorf("after a rebuild: %v", total)
	}
}

func TestTemplates(t *testing.T) {
	h := open(t)
	list := h.want(t, 200, "GET", "/templates", "")["templates"].([]any)
	names := ""
	for _, v := range list {
		names += " " + v.(map[string]any)["name"].(string)
	}
	if names != " jean_core mobile_emulator price_intelligence sdxl_image" {
		t.Errorf("templates%s", names)
	}
	if m := h.want(t, 200, "GET", "/templates/jean_core", ""); m["system"] == nil || m["prompt"] == nil {
		t.Errorf("template %v", m)
	}
	m := h.want(t, 200, "POST", "/templates/price_intelligence/render",
		`{"variables":{"alibaba_price":12.50,"amazon_price":30,"weight":0.4,"has_free_shipping":true}}`)
	if !strings.Contains(m["prompt"].(string), "12.50") {
		t.Errorf("rendered %v", m)
	}
	h.want(t, 400, "POST", "/templates/price_intelligence/render", `{"variables":{"colour":"red"}}`)
	h.want(t, 404, "GET", "/templates/none", "")
	h.want(t, 404, "POST", "/templates/none/render", `{}`)
	job := h.want(t, 200, "POST", "/generate", `{"template":"jean_core","prompt":"Hello","variables":{"context":"a note"}}`)
	if request := h.want(t, 200, "GET", "/job/"+job["job_id"].(string), "")["request"].(map[string]any); request["template"] != "jean_core" {
		t.Errorf("the job's request is %v", request)
	}
}

// A stored answer costs nothing, in every form of the request.
func TestCache(t *testing.T) {
	h := open(t)
	body := `{"prompt":"again","temperature":0}`
	if m := h.want(t, 200, "POST", "/generate", body); m["cache"] != "miss" || m["cost"].(map[string]any)["amount_micros"] == 0.0 {
		t.Errorf("first %v", m)
	}
	m := h.want(t, 200, "POST", "/generate", body)
	if m["cache"] != "hit" || m["cost"].(map[string]any)["amount_micros"] != 0.0 || m["text"] != "one two three" {
		t.Errorf("again %v", m)
	}
	_, _, stream := h.call(t, "POST", "/generate", `{"prompt":"again","temperature":0,"stream":true}`)
	if !strings.Contains(stream, `"cache":"hit"`) || !strings.Contains(stream, "event: token\n") {
		t.Errorf("as a stream\n%s", stream)
	}
	if m := h.want(t, 200, "POST", "/generate", `{"prompt":"again","temperature":0,"cache":false}`); m["cache"] != "off" {
		t.Errorf("without %v", m)
	}
}

// Every operation of the document answers, also to nonsense, and with something
// that it documents.
func TestEveryRouteAnswers(t *testing.T) {
	h := open(t)
	var doc struct {
		Paths map[string]map[string]any
	}
	_, _, body := h.call(t, http.MethodGet, "/openapi.json", "")
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	for path, operations := range doc.Paths {
		if path == "/models/events" { // its answer has no end
			continue
		}
		for method := range operations {
			concrete := strings.NewReplacer("{id}", "none", "{name}", "none", "{model}", "none").Replace(path)
			status, _, text := h.call(t, strings.ToUpper(method), concrete, `{"nonsense":true}`)
			if status == http.StatusMethodNotAllowed || status >= 500 {
				t.Errorf("%s %s answers %d %s", method, path, status, text)
			}
		}
	}
}
