package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
)

// The guide's statements, in SQLite's spelling of its dates.
const guideSQL = `
INSERT INTO ai_budgets (
    user_id, budget_type, amount_cents,
    period_start, period_end, alert_threshold_percentage
) VALUES (
    'user123', 'daily', 1000,  -- $10 per day
    CURRENT_DATE, date('now', '+1 day'), 80
);
INSERT INTO ai_cost_optimization_rules (
    user_id, rule_name, rule_type, conditions, actions
) VALUES (
    'user123', 'model_selection', 'model_selection',
    '{"input_length": "<100", "task_type": "simple"}',
    '{"model": "qwen-3-32b", "temperature": 0.5}'
);`

// runSQL runs statements on a database that a program has open, with the
// sqlite3 shell where there is one.
func runSQL(t *testing.T, path, statements string) {
	t.Helper()
	if shell, err := exec.LookPath("sqlite3"); err == nil {
		if out, err := exec.Command(shell, path, statements).CombinedOutput(); err != nil {
			t.Fatalf("sqlite3: %v\n%s", err, out)
		}
		return
	}
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

func TestGuidesSQLCountsFromTheNextRequestOn(t *testing.T) {
	home := t.TempDir()
	in := startSidecar(t, home)
	in.modelReady()
	path := filepath.Join(home, "jeantrail.db")
	body := map[string]any{"prompt": "Hello Jean!", "user_id": "user123", "max_tokens": 20}
	_, before := in.call(http.MethodPost, "/generate", body)
	if rules, _ := before["rules_applied"].([]any); len(rules) != 0 {
		t.Fatalf("before: %v", before)
	}
	runSQL(t, path, guideSQL)
	status, after := in.call(http.MethodPost, "/generate", body)
	if rules, _ := after["rules_applied"].([]any); status != http.StatusOK || len(rules) != 1 || rules[0] != "model_selection" {
		t.Errorf("the rule does not count: %d %v", status, after)
	}
	runSQL(t, path, "UPDATE ai_budgets SET amount_cents = 3")
	body["max_tokens"], body["prompt"] = 50, "Hello again"
	status, refused := in.call(http.MethodPost, "/generate", body)
	if status != http.StatusPaymentRequired || refused["code"] != "budget_exceeded" || refused["limit_micros"] != 30_000.0 || refused["budget_id"] == "" {
		t.Errorf("the budget does not count: %d %v", status, refused)
	}
	runSQL(t, path, `UPDATE ai_cost_optimization_rules SET actions = '{"modle": "x"}'`)
	runSQL(t, path, "DELETE FROM ai_budgets")
	_, broken := in.call(http.MethodPost, "/generate", body)
	if skipped, _ := broken["rules_skipped"].([]any); len(skipped) != 1 || !strings.Contains(fmt.Sprint(skipped[0]), "modle") {
		t.Errorf("a rule that cannot be read is passed over in silence: %v", broken)
	}
	if code := in.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// exactJob costs exactly what is held for it: 10 tokens of prompt at most and a
// fixed answer, every token at the same price.
const exactAnswer = 20

func exactPrices(in *instance) {
	in.t.Helper()
	prices := map[string]any{"prompt_token_micros": 1000, "cached_token_micros": 1000, "completion_token_micros": 1000}
	if status, answer := in.call(http.MethodPut, "/prices/*", prices); status != http.StatusOK {
		in.t.Fatalf("set price: %d %v", status, answer)
	}
}

func exactBody(n int) map[string]any {
	return map[string]any{"prompt": fmt.Sprintf("job %04d", n), "raw": true, "ignore_eos": true, "max_tokens": exactAnswer,
		"user_id": "ann", "cache": false}
}

// exactCost measures what one such job costs.
func exactCost(in *instance) int64 {
	in.t.Helper()
	body := exactBody(9999)
	body["user_id"] = "somebody"
	status, answer := in.call(http.MethodPost, "/generate", body)
	cost, _ := answer["cost"].(map[string]any)
	if status != http.StatusOK || cost["amount_micros"] != cost["reserved_micros"] {
		in.t.Fatalf("a job that should cost its hold: %d %v", status, answer)
	}
	return int64(cost["amount_micros"].(float64))
}

func addBudget(in *instance, micros int64) string {
	in.t.Helper()
	body := map[string]any{"user_id": "ann", "budget_type": "total", "amount_cents": micros / 10_000}
	status, answer := in.call(http.MethodPost, "/budgets", body)
	if status != http.StatusCreated {
		in.t.Fatalf("add budget: %d %v", status, answer)
	}
	return answer["id"].(string)
}

// door is a way to ask. It reports whether the job was admitted.
type door func(ctx context.Context, in *instance, n int) (admitted bool, err error)

// doors are all ways to ask for text.
func doors() map[string]door {
	outcome := func(status int, answer map[string]any, want int) (bool, error) {
		switch {
		case status == want:
			return true, nil
		case status == http.StatusPaymentRequired && answer["needed_micros"] != nil && answer["budget_id"] != nil:
			return false, nil
		}
		return false, fmt.Errorf("status %d: %v", status, answer)
	}
	return map[string]door{
		"http": func(ctx context.Context, in *instance, n int) (bool, error) {
			status, answer, err := in.tryCall(ctx, http.MethodPost, "/generate", exactBody(n))
			if err != nil {
				return false, err
			}
			return outcome(status, answer, http.StatusOK)
		},
		"async": func(ctx context.Context, in *instance, n int) (bool, error) {
			body := exactBody(n)
			body["async"] = true
			status, answer, err := in.tryCall(ctx, http.MethodPost, "/generate", body)
			if err != nil {
				return false, err
			}
			return outcome(status, answer, http.StatusAccepted)
		},
		"sse": func(ctx context.Context, in *instance, n int) (bool, error) {
			err := in.client().Generate(ctx, exactBody(n), func(wireEvent) error { return nil })
			if err != nil && strings.Contains(err.Error(), "budget") {
				return false, nil
			}
			return err == nil, err
		},
		"websocket": askOnSocket,
		"workflow": func(ctx context.Context, in *instance, n int) (bool, error) {
			body := map[string]any{"workflow": "one", "user_id": "ann", "input_data": map[string]any{"prompt": exactBody(n)["prompt"]}}
			status, answer, err := in.tryCall(ctx, http.MethodPost, "/pipeline/process", body)
			if err != nil {
				return false, err
			}
			return outcome(status, answer, http.StatusOK)
		},
	}
}

// oneStage is a workflow whose only stage is such a job.
const oneStage = `name: one
inputs:
  prompt: {type: string, required: true}
stages:
  - {name: say, kind: text, prompt: "{{ inputs.prompt }}", raw: true, ignore_eos: true, max_tokens: 20, cache: false}
output: {text: "{{ stages.say.text }}"}
`

func addWorkflow(in *instance, name, source string) {
	in.t.Helper()
	status, answer := in.call(http.MethodPut, "/workflows/"+name, map[string]any{"source": source})
	if status != http.StatusOK && status != http.StatusCreated {
		in.t.Fatalf("add workflow: %d %v", status, answer)
	}
}

func askOnSocket(ctx context.Context, in *instance, n int) (bool, error) {
	header := http.Header{"Authorization": {"Bearer " + in.token()}}
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, in.ready["ws_url"].(string), header)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if err := conn.WriteJSON(map[string]any{"type": "generate", "id": "1", "request": exactBody(n)}); err != nil {
		return false, err
	}
	for {
		var message struct {
			Type  string          `json:"type"`
			Error json.RawMessage `json:"error"`
		}
		if err := conn.ReadJSON(&message); err != nil {
			return false, err
		}
		switch message.Type {
		case "rejected":
			if !strings.Contains(string(message.Error), "budget_exceeded") {
				return false, fmt.Errorf("rejected: %s", message.Error)
			}
			return false, nil
		case "done":
			return true, nil
		case "failed", "cancelled", "interrupted":
			return false, fmt.Errorf("the job ended as %s", message.Type)
		}
	}
}

// 64 clients come through every door at once to a budget with room for exactly
// 100 jobs: 100 run, the others get the numbers.
func TestBudgetHoldsThroughEveryDoor(t *testing.T) {
	const clients, each, fit = 64, 4, 100
	in := startSidecar(t, t.TempDir())
	in.modelReady()
	exactPrices(in)
	cost := exactCost(in)
	id := addBudget(in, fit*cost)
	addWorkflow(in, "one", oneStage)
	var names []string
	for name := range doors() {
		names = append(names, name)
	}
	var ran, refused, number atomic.Int64
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			name := names[c%len(names)]
			for range each {
				admitted, err := doors()[name](t.Context(), in, int(number.Add(1)))
				switch {
				case err != nil:
					t.Errorf("%s: %v", name, err)
				case admitted:
					ran.Add(1)
				default:
					refused.Add(1)
				}
			}
		})
	}
	group.Wait()
	if ran.Load() != fit || refused.Load() != clients*each-fit {
		t.Errorf("%d ran, %d were refused", ran.Load(), refused.Load())
	}
	measure(t, in) // waits for the async ones
	_, budget := in.call(http.MethodGet, "/budgets/"+id, nil)
	if budget["spent_micros"] != float64(fit*cost) || budget["remaining_micros"] != 0.0 {
		t.Errorf("the budget stands at %v, a job costs %d", budget, cost)
	}
	if code := in.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// The same with the program killed in the middle, again and again: the limit is
// never passed, and what the killed jobs had produced counts.
func TestBudgetHoldsThroughKills(t *testing.T) {
	const rounds, fit = 8, 60
	home := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var id string
	var cost int64
	for round := range rounds {
		in := startSidecar(t, home)
		in.modelReady()
		if round == 0 {
			exactPrices(in)
			cost = exactCost(in)
			id = addBudget(in, fit*cost)
		}
		spent := standsWithin(t, in, id, fit*cost)
		if round == rounds-1 {
			finishBudget(t, in, id, fit*cost, cost)
			if code := in.stop(); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			break
		}
		t.Logf("round %d: %d of %d spent", round, spent, fit*cost)
		var answered atomic.Int64
		kill := make(chan struct{})
		var once sync.Once
		after := int64(random.IntN(8))
		var group sync.WaitGroup
		for c := range 16 {
			group.Go(func() {
				for n := range 4 {
					_, _, err := in.tryCall(t.Context(), http.MethodPost, "/generate", exactBody(round*1000+c*10+n))
					if answered.Add(1) > after {
						once.Do(func() { close(kill) })
					}
					if err != nil {
						return // killed
					}
				}
			})
		}
		<-kill
		in.kill()
		group.Wait()
	}
}

func standsWithin(t *testing.T, in *instance, id string, limit int64) int64 {
	t.Helper()
	_, budget := in.call(http.MethodGet, "/budgets/"+id, nil)
	spent, reserved := int64(budget["spent_micros"].(float64)), int64(budget["reserved_micros"].(float64))
	if spent+reserved > limit || reserved != 0 {
		t.Fatalf("%d spent and %d reserved of %d after a restart", spent, reserved, limit)
	}
	return spent
}

// finishBudget spends what is left and checks that no room for a job was lost.
func finishBudget(t *testing.T, in *instance, id string, limit, cost int64) {
	t.Helper()
	for n := 0; ; n++ {
		status, _ := in.call(http.MethodPost, "/generate", exactBody(90_000+n))
		if status == http.StatusPaymentRequired {
			break
		}
		if status != http.StatusOK || n > 100 {
			t.Fatalf("request %d: status %d", n, status)
		}
	}
	if left := limit - standsWithin(t, in, id, limit); left >= cost {
		t.Errorf("%d are left, which is room for another job of %d", left, cost)
	}
	status, answer := in.call(http.MethodPost, "/costs/verify", map[string]any{})
	if found, _ := answer["differences"].([]any); status != http.StatusOK || len(found) > 0 {
		t.Errorf("the books: %d %v", status, answer)
	}
}
