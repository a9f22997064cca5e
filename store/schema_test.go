package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/store"
)

// The list is extended with each new migration, and never changed.
func TestMigrationsAreNotEdited(t *testing.T) {
	names, err := fs.Glob(store.Migrations(), "migrations/*.sql")
	must(t, err)
	var got strings.Builder
	for i, name := range names {
		b, err := fs.ReadFile(store.Migrations(), name)
		must(t, err)
		fmt.Fprintf(&got, "%x  %s\n", sha256.Sum256(b), name)
		if !strings.HasPrefix(name, fmt.Sprintf("migrations/%04d_", i+1)) {
			t.Errorf("%s is not number %d", name, i+1)
		}
		if strings.Contains(string(b), "+goose Down") {
			t.Errorf("%s goes backward", name)
		}
	}
	want, err := os.ReadFile("testdata/migrations.sha256")
	must(t, err)
	if got.String() != string(want) {
		t.Errorf("a released migration is never edited; add a new one, and its line here.\ngot\n%swant\n%s", got.String(), want)
	}
}

// list finds what the CHECK constraint of a column allows.
func list(t *testing.T, s *store.Store, table, column string) []string {
	t.Helper()
	var ddl string
	must(t, s.Readers().QueryRow("SELECT sql FROM sqlite_schema WHERE name = ?", table).Scan(&ddl))
	m := regexp.MustCompile(`CHECK \(` + column + ` IN \(([^)]*)\)\)`).FindStringSubmatch(ddl)
	if m == nil {
		t.Fatalf("%s has no list for %s", table, column)
	}
	var values []string
	for v := range strings.SplitSeq(m[1], ",") {
		values = append(values, strings.Trim(strings.TrimSpace(v), "'"))
	}
	return values
}

func names[T ~string](values ...T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}

func TestSchemaHasTheListsOfTheWords(t *testing.T) {
	s := open(t)
	for _, c := range []struct {
		table, column string
		want          []string
	}{
		{"ai_jobs", "state", names(jeantrail.States()...)},
		{"ai_jobs", "kind", names(jeantrail.Kinds()...)},
		{"ai_prices", "kind", names(jeantrail.Kinds()...)},
		{"ai_jobs", "priority", names(jeantrail.Priorities()...)},
		{"ai_api_keys", "role", names(jeantrail.RoleAdmin, jeantrail.RoleUser, jeantrail.RoleViewer)},
		{"ai_job_events", "type", names(jeantrail.EventQueued, jeantrail.EventStarted, jeantrail.EventProgress, jeantrail.EventToken,
			jeantrail.EventStage, jeantrail.EventArtifact, jeantrail.EventAlert,
			jeantrail.EventDone, jeantrail.EventFailed, jeantrail.EventCancelled, jeantrail.EventInterrupted)},
	} {
		if got := list(t, s, c.table, c.column); !slices.Equal(got, c.want) {
			t.Errorf("%s.%s is one of %v, the words are %v", c.table, c.column, got, c.want)
		}
	}
}

func TestFinishedAtIsSetExactlyWhenTerminal(t *testing.T) {
	s := open(t)
	for _, state := range jeantrail.States() {
		for _, finished := range []bool{false, true} {
			_, err := s.Writer().Exec(`INSERT INTO ai_jobs (id, kind, user_id, state, model, priority, async, price_model,
				price_prompt_token_micros, price_cached_token_micros, price_completion_token_micros, price_image_micros,
				created_at, started_at, finished_at, request)
				VALUES ('x', 'text', 'ann', ?, 'm', 'batch', 0, 'm', 0, 0, 0, 0, 1, iif(?, NULL, 2), iif(?, 3, NULL), '{}')`,
				string(state), state == jeantrail.StateQueued, finished)
			if (err == nil) != (finished == state.Terminal()) {
				t.Errorf("%s, finished %v: %v", state, finished, err)
			}
			_, err = s.Writer().Exec("DELETE FROM ai_jobs")
			must(t, err)
		}
	}
}

// Somebody with the file open in another program cannot undo history either.
func TestSchemaRefusesToRewriteHistory(t *testing.T) {
	s := open(t)
	id, _ := in(t, s, jeantrail.StateSucceeded)
	_, err := s.Writer().Exec("INSERT INTO ai_audit_log (at, actor, action) VALUES (1, 'ann', 'look')")
	must(t, err)
	for _, query := range []string{
		"UPDATE ai_jobs SET state = 'running', finished_at = NULL",
		"UPDATE ai_reservations SET released_at = NULL",
		"UPDATE ai_reservations SET released_at = released_at + 1",
		"UPDATE ai_audit_log SET actor = 'bob'",
		"DELETE FROM ai_jobs",
		"INSERT INTO ai_job_events (job_id, seq, type, at) VALUES ('" + id + "', 4, 'failed', 1)",
		"UPDATE ai_costs SET amount_micros = 0.5",
	} {
		if _, err := s.Writer().Exec(query); err == nil {
			t.Errorf("%s was done", query)
		}
	}
}

func TestEveryTableIsStrict(t *testing.T) {
	s := open(t)
	rows, err := s.Readers().Query("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name LIKE 'ai\\_%' ESCAPE '\\'")
	must(t, err)
	defer rows.Close()
	var got []string
	for rows.Next() {
		var name string
		var strict bool
		must(t, rows.Scan(&name, &strict))
		if !strict {
			t.Errorf("%s is not strict", name)
		}
		got = append(got, name)
	}
	must(t, rows.Err())
	slices.Sort(got)
	want := []string{"ai_alerts", "ai_api_keys", "ai_artifacts", "ai_audit_log", "ai_budgets", "ai_cost_optimization_rules", "ai_costs",
		"ai_inputs", "ai_job_events", "ai_jobs", "ai_prices", "ai_reservations", "ai_result_cache", "ai_results", "ai_spending", "ai_usage_stats", "ai_worker_history"}
	if !slices.Equal(got, want) {
		t.Errorf("tables %v, want %v", got, want)
	}
}

// The integration guide's statements, in SQLite's spelling of dates.
func TestBudgetsAndRulesAsInTheGuide(t *testing.T) {
	s := open(t)
	const budget = `INSERT INTO ai_budgets (user_id, budget_type, amount_cents, period_start, period_end, alert_threshold_percentage)
		VALUES ('user123', ?, ?, CURRENT_DATE, date('now', ?), 80)`
	const rule = `INSERT INTO ai_cost_optimization_rules (user_id, rule_name, rule_type, conditions, actions)
		VALUES ('user123', 'model_selection', 'model_selection', ?, '{"model": "qwen-3-32b", "temperature": 0.5}')`
	for _, c := range []struct {
		ok    bool
		query string
		args  []any
	}{
		{true, budget, []any{"daily", 1000, "+1 day"}},
		{false, budget, []any{"hourly", 1000, "+1 day"}},
		{false, budget, []any{"daily", 10.5, "+1 day"}},
		{false, budget, []any{"daily", 1000, "-1 day"}},
		{true, rule, []any{`{"input_length": "<100", "task_type": "simple"}`}},
		{false, rule, []any{`input_length < 100`}},
		{false, rule, []any{`[]`}},
	} {
		if _, err := s.Writer().Exec(c.query, c.args...); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.args, err)
		}
	}
	for _, table := range []string{"ai_budgets", "ai_cost_optimization_rules"} {
		var id string
		var created int64
		must(t, s.Readers().QueryRow("SELECT id, created_at FROM "+table).Scan(&id, &created))
		u, err := uuid.Parse(id)
		must(t, err)
		sec, nsec := u.Time().UnixTime()
		if ms := sec*1000 + nsec/1e6; u.Version() != 7 || u.Variant() != uuid.RFC4122 || u.String() != id || ms-created > 1000 || created-ms > 1000 {
			t.Errorf("%s: id %s (version %v) was made at %d, the row at %d", table, id, u.Version(), ms, created)
		}
	}
}

func TestVerifyFindsEachKindOfDamage(t *testing.T) {
	damage := map[string]string{
		"a reference points at a row":                    "PRAGMA foreign_keys = off; DELETE FROM ai_jobs WHERE state = 'succeeded'; DELETE FROM ai_costs; DELETE FROM ai_usage_stats",
		"money is held exactly while a job is open":      "UPDATE ai_reservations SET released_at = 1 WHERE released_at IS NULL",
		"a job has a cost exactly when it is finished":   "DELETE FROM ai_costs; DELETE FROM ai_usage_stats",
		"a job that succeeded has a result":              "DELETE FROM ai_results",
		"an event log counts from 1 without gaps":        "DELETE FROM ai_job_events WHERE seq = 2",
		"an event log ends as its job did":               "DELETE FROM ai_job_events WHERE type = 'done'",
		"a cost has the tokens of its event log":         "UPDATE ai_job_events SET tokens = tokens + 1 WHERE type = 'token'",
		"a cost has the tokens of its result":            "UPDATE ai_results SET prompt_tokens = prompt_tokens + 1",
		"the usage statistics are the sums of the costs": "UPDATE ai_usage_stats SET cost_micros = cost_micros + 1",
		"a cost is at most what was held for it":         "UPDATE ai_costs SET amount_micros = reserved_micros + 1",
		"the spending is the sums of the costs":          "DELETE FROM ai_spending WHERE user_id = ''",
		"a cost has the images of its event log":         "UPDATE ai_costs SET images = images + 1",
		"a cost has the audio of its event log":          "UPDATE ai_costs SET audio_out_ms = audio_out_ms + 1",
		"an artifact stands in its job's event log":      "DELETE FROM ai_job_events WHERE type = 'artifact'",
		"a cached result is its user's own":              "UPDATE ai_result_cache SET user_id = 'bob'",
	}
	for _, rule := range store.Rules() {
		t.Run(rule, func(t *testing.T) {
			s := reopen(t, t.TempDir()+"/x.db", store.Options{})
			running(t, s)
			id := running(t, s).ID
			must(t, s.Append(t.Context(), []jeantrail.Event{token(id, 3, "x", 2), made(id, 4, 0, jeantrail.ArtifactImage, 0)}))
			st := settlement(id, jeantrail.StateRunning, jeantrail.StateSucceeded, 4, 2)
			st.Result.Usage.Images = 1
			st.CacheKey = bytes.Repeat([]byte{1}, sha256.Size)
			must(t, settle(t.Context(), s, st))
			mustBeSound(t, s)
			switch {
			case rule == "the file is sound":
				s = overwritePage(t, s, "ai_artifacts")
			case damage[rule] != "":
				_, err := s.Writer().Exec(damage[rule])
				must(t, err)
			default:
				t.Fatal("no damage for this rule")
			}
			found, err := s.Verify(t.Context())
			must(t, err)
			if !slices.ContainsFunc(found, func(v store.Violation) bool { return v.Rule == rule && v.Rows > 0 }) {
				t.Errorf("found %v", found)
			}
		})
	}
}

// overwritePage puts rubbish where a table begins, and opens the file again.
func overwritePage(t *testing.T, s *store.Store, table string) *store.Store {
	t.Helper()
	var page, size int64
	must(t, s.Readers().QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = ?", table).Scan(&page))
	must(t, s.Readers().QueryRow("PRAGMA page_size").Scan(&size))
	must(t, s.Close())
	f, err := os.OpenFile(s.Path(), os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte{0xA5}, int(size)), (page-1)*size)
	must(t, errors.Join(err, f.Close()))
	return reopen(t, s.Path(), store.Options{})
}
