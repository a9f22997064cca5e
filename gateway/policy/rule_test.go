package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/policy"
)

const anyAction = `{"thinking": false}`

func newRule(conditions, actions string) *jeantrail.Rule {
	return &jeantrail.Rule{Name: "cheaper", Type: "model_selection", Conditions: conditions, Actions: actions, Enabled: true}
}

func TestParseRuleRefuses(t *testing.T) {
	const comparison = "Write a whole number after"
	tests := []struct {
		conditions, actions string
		message, hint       string // the whole message, a part of the hint
	}{
		{`{"input_lenght": "<100"}`, anyAction, `conditions.input_lenght is not a condition`, `Did you mean "input_length"?`},
		{`{"Input-Length": "<100"}`, anyAction, `conditions.Input-Length is not a condition`, `Did you mean "input_length"?`},
		{`{"colour": "red"}`, anyAction, `conditions.colour is not a condition`, `Known are budget_short, budget_used_percent, hour,`},
		{`{"temperature": 1}`, anyAction, `conditions.temperature is not a condition`, `It is an action.`},
		{`{"a b%d": 1}`, anyAction, `conditions["a b%d"] is not a condition`, `Known are`},
		{`{"user": "a", "user": "b"}`, anyAction, `conditions.user is given twice`, `Give it once.`},
		{`{"\u0075ser": "a", "user": "b"}`, anyAction, `conditions.user is given twice`, ``},
		{`{"metadata": {"a": "1", "a": "1"}}`, anyAction, `conditions.metadata.a is given twice`, ``},
		{``, anyAction, `conditions is not valid JSON`, `Write an object`},
		{`{"user": "a"} x`, anyAction, `conditions is not valid JSON`, ``},
		{`{"user": NaN}`, anyAction, `conditions is not valid JSON`, ``},
		{`["user"]`, anyAction, `conditions must be an object`, `for example {"input_length": "<100"}`},
		{` null`, anyAction, `conditions must be an object`, ``},
		{"{\"user\": \"\xff\"}", anyAction, `conditions is not valid UTF-8`, ``},
		{strings.Repeat("[", 12000) + strings.Repeat("]", 12000), anyAction, `conditions has 24000 bytes, the most is 16384`, ``},
		{`{"user": ` + strings.Repeat("[", 8000) + strings.Repeat("]", 8000) + `}`, anyAction, `conditions.user[0] must be a string, not a list`, ``},

		{`{"input_length": true}`, anyAction, `conditions.input_length must be a number or a string that compares with one, not a boolean`, comparison},
		{`{"input_length": null}`, anyAction, `conditions.input_length must be a number or a string that compares with one, not null`, comparison},
		{`{"input_length": "short"}`, anyAction, `conditions.input_length is "short", which compares with no whole number`, comparison},
		{`{"input_length": "=<100"}`, anyAction, `conditions.input_length is "=<100", which compares with no whole number`, comparison},
		{`{"input_length": "==100"}`, anyAction, `conditions.input_length is "==100", which compares with no whole number`, comparison},
		{`{"input_length": "<"}`, anyAction, `conditions.input_length is "<", which compares with no whole number`, comparison},
		{`{"input_length": "<+5"}`, anyAction, `conditions.input_length is "<+5", which compares with no whole number`, comparison},
		{`{"input_length": "<1_000"}`, anyAction, `conditions.input_length is "<1_000", which compares with no whole number`, comparison},
		{`{"input_length": 1.5}`, anyAction, `conditions.input_length is "1.5", which compares with no whole number`, comparison},
		{`{"input_length": 1e3}`, anyAction, `conditions.input_length is "1e3", which compares with no whole number`, comparison},
		{`{"input_length": -1}`, anyAction, `conditions.input_length is "-1", which compares with no whole number`, comparison},
		{`{"input_length": "<9999999999999999999"}`, anyAction, `conditions.input_length is "<9999999999999999999", which compares with no whole number`, ``},
		{`{"input_length": "1..2..3"}`, anyAction, `conditions.input_length is "1..2..3", which compares with no whole number`, ``},
		{`{"input_length": ""}`, anyAction, `conditions.input_length must not be empty`, ``},
		{`{"input_tokens": "<0"}`, anyAction, `conditions.input_tokens is "<0", which holds of nothing`, ``},
		{`{"input_tokens": "200..100"}`, anyAction, `conditions.input_tokens is "200..100", which holds of nothing`, ``},
		{`{"budget_used_percent": "80%"}`, anyAction, `conditions.budget_used_percent is "80%", which compares with no whole number`, comparison},
		{`{"budget_short": "yes"}`, anyAction, `conditions.budget_short must be true or false, not a string`, ``},

		{`{"task_type": 3}`, anyAction, `conditions.task_type must be a string or a list of strings, not a number`, ``},
		{`{"task_type": []}`, anyAction, `conditions.task_type is an empty list, which nothing is in`, `Name at least one`},
		{`{"task_type": ["a", 3]}`, anyAction, `conditions.task_type[1] must be a string, not a number`, ``},
		{`{"user": ["a", ""]}`, anyAction, `conditions.user[1] must not be empty`, ``},
		{`{"kind": "video"}`, anyAction, `conditions.kind is "video", which is not known`, `Use text, image`},
		{`{"model": "a*b"}`, anyAction, `conditions.model is "a*b", which has a * before its end`, `as in "qwen-*"`},
		{`{"hour": 24}`, anyAction, `conditions.hour is "24", which holds of nothing`, `Write an hour from 0 to 23`},
		{`{"hour": ">23"}`, anyAction, `conditions.hour is ">23", which holds of nothing`, ``},
		{`{"hour": "9-25"}`, anyAction, `conditions.hour is "9-25", which compares with no whole number`, `Write an hour`},
		{`{"hour": [9, "noon"]}`, anyAction, `conditions.hour[1] is "noon", which compares with no whole number`, ``},
		{`{"hour": [[9]]}`, anyAction, `conditions.hour[0] must be a number or a string that compares with one, not a list`, ``},
		{`{"weekday": "mon-fry"}`, anyAction, `conditions.weekday is "mon-fry", which is no day of the week`, `Write "mon"`},
		{`{"weekday": "mo"}`, anyAction, `conditions.weekday is "mo", which is no day of the week`, ``},
		{`{"weekday": 1}`, anyAction, `conditions.weekday must be a string or a list of strings, not a number`, ``},
		{`{"metadata": "x"}`, anyAction, `conditions.metadata must be an object, not a string`, `"*" is any value`},
		{`{"metadata": {}}`, anyAction, `conditions.metadata must name a key`, ``},
		{`{"metadata": {"a": {}}}`, anyAction, `conditions.metadata.a must be a string or a list of strings, not an object`, ``},

		{`{}`, `{}`, `actions must change something`, `Give at least one of cache, max_tokens`},
		{`{}`, `{"chain": true}`, `actions must change something`, ``},
		{`{}`, `{"max_token": 5}`, `actions.max_token is not an action`, `Did you mean "max_tokens"?`},
		{`{}`, `{"user": "a"}`, `actions.user is not an action`, `It is a condition.`},
		{`{}`, `{"model": ["a"]}`, `actions.model must be a string, not a list`, ``},
		{`{}`, `{"model": ""}`, `actions.model must not be empty`, ``},
		{`{}`, `{"model": "qwen-*"}`, `actions.model is "qwen-*", which is not one model`, `Name the model`},
		{`{}`, `{"model": "a\nb"}`, `actions.model must be a name of 1 to 256 bytes`, ``},
		{`{}`, `{"temperature": "0.5"}`, `actions.temperature must be a number, not a string`, ``},
		{`{}`, `{"temperature": 10.1}`, `actions.temperature is 10.1, it must be between 0 and 10`, ``},
		{`{}`, `{"temperature": -0.1}`, `actions.temperature is -0.1, it must be between 0 and 10`, ``},
		{`{}`, `{"temperature": 1e999}`, `actions.temperature is 1e999, it must be between 0 and 10`, ``},
		{`{}`, `{"max_tokens": 0}`, `actions.max_tokens is 0, it must be a whole number of at least 1`, ``},
		{`{}`, `{"max_tokens": 2.5}`, `actions.max_tokens is 2.5, it must be a whole number of at least 1`, ``},
		{`{}`, `{"max_tokens": 99999999999999999999}`, `actions.max_tokens is 99999999999999999999, it must be a whole number of at least 1`, ``},
		{`{}`, `{"thinking": 1}`, `actions.thinking must be true or false, not a number`, ``},
		{`{}`, `{"priority": "high"}`, `actions.priority is "high", which is not known`, `Use interactive, batch or background.`},
		{`{}`, `{"cache": null}`, `actions.cache must be true or false, not null`, ``},
		{`{}`, `{"thinking": true, "chain": "yes"}`, `actions.chain must be true or false, not a string`, ``},
		{`{}`, `{"thinking": true, "thinking": true}`, `actions.thinking is given twice`, ``},
	}
	for _, tt := range tests {
		_, err := policy.ParseRule(newRule(tt.conditions, tt.actions))
		if err == nil {
			t.Errorf("%.200s %s was taken", tt.conditions, tt.actions)
			continue
		}
		e := jeantrail.AsError(err)
		if e.Message != tt.message || !strings.Contains(e.Hint, tt.hint) {
			t.Errorf("%.200s %s:\ngot  %s (%s)\nwant %s (%s)", tt.conditions, tt.actions, e.Message, e.Hint, tt.message, tt.hint)
		}
		if e.Code != jeantrail.CodeInvalid && e.Code != jeantrail.CodeTooLarge {
			t.Errorf("%.200s %s: code %s", tt.conditions, tt.actions, e.Code)
		}
	}
}

// A message shows only a piece of what a hostile rule has in it.
func TestParseRuleMessagesAreShort(t *testing.T) {
	long := strings.Repeat("x\\u0000", 2000)
	for _, r := range []*jeantrail.Rule{
		newRule(`{"`+long+`": 1}`, anyAction), newRule(`{"weekday": "`+long+`"}`, anyAction), newRule(`{"hour": "`+long+`"}`, anyAction),
		newRule(`{"metadata": {"`+long+`": 1}}`, anyAction), newRule(`{}`, `{"priority": "`+long+`"}`),
		newRule(`{}`, `{"max_tokens": `+strings.Repeat("9", 10000)+`}`),
	} {
		_, err := policy.ParseRule(r)
		if err == nil || len(err.Error()) > 600 {
			t.Errorf("%.40s %.40s: %d bytes: %.100v", r.Conditions, r.Actions, len(fmt.Sprint(err)), err)
		}
	}
}

func TestParseRuleNames(t *testing.T) {
	tests := []struct {
		change  func(*jeantrail.Rule)
		message string
	}{
		{func(r *jeantrail.Rule) { r.Name = "" }, "rule_name must not be empty"},
		{func(r *jeantrail.Rule) { r.Name = " \t" }, "rule_name must not be empty"},
		{func(r *jeantrail.Rule) { r.Name = strings.Repeat("x", 129) }, "rule_name must be UTF-8 of at most 128 bytes"},
		{func(r *jeantrail.Rule) { r.Name = "\xff" }, "rule_name must be UTF-8 of at most 128 bytes"},
		{func(r *jeantrail.Rule) { r.Name = "a\x1b[31m" }, "rule_name must be one line, without control characters"},
		{func(r *jeantrail.Rule) { r.Type = "" }, "rule_type must not be empty"},
		{func(r *jeantrail.Rule) { r.Type = strings.Repeat("x", 129) }, "rule_type must be UTF-8 of at most 128 bytes"},
		{func(r *jeantrail.Rule) { r.UserID = strings.Repeat("x", 129) }, "user_id must be UTF-8 of at most 128 bytes"},
		{func(r *jeantrail.Rule) { r.Actions = `{"model": "` + strings.Repeat("x", 16<<10) + `"}` }, "actions has 16397 bytes, the most is 16384"},
		{func(r *jeantrail.Rule) { r.Name, r.Type = strings.Repeat("x", 128), "Prüfung 1" }, ""},
	}
	for _, tt := range tests {
		r := newRule(`{}`, anyAction)
		tt.change(r)
		message := ""
		if _, err := policy.ParseRule(r); err != nil {
			message = err.Error()
		}
		if message != tt.message {
			t.Errorf("name %.20q, type %.20q: %q, want %q", r.Name, r.Type, message, tt.message)
		}
	}
}

// noon is a request on a Wednesday.
func noon() policy.Facts {
	return policy.Facts{
		InputLength: 100, InputTokens: 25, TaskType: "simple", Model: "qwen-3-32b", RequestedModel: "big", User: "ann", Kind: jeantrail.KindText,
		Hour: 12, Weekday: 3, HasBudget: true, BudgetUsedPercent: 80, TokensPerSecond: 9, Measured: true, Metadata: map[string]string{"project": "shop", "empty": ""},
	}
}

func TestConditions(t *testing.T) {
	const yes, no = true, false
	tests := []struct {
		conditions string
		held       bool
		got        string // of the one check
	}{
		{`{"input_length": "<100"}`, no, "100"}, {`{"input_length": "<101"}`, yes, "100"}, {`{"input_length": "<=100"}`, yes, "100"},
		{`{"input_length": "<=99"}`, no, "100"}, {`{"input_length": ">100"}`, no, "100"}, {`{"input_length": ">99"}`, yes, "100"},
		{`{"input_length": ">=100"}`, yes, "100"}, {`{"input_length": ">=101"}`, no, "100"}, {`{"input_length": "=100"}`, yes, "100"},
		{`{"input_length": "=99"}`, no, "100"}, {`{"input_length": "!=100"}`, no, "100"}, {`{"input_length": "!=99"}`, yes, "100"},
		{`{"input_length": "100..200"}`, yes, "100"}, {`{"input_length": "50..100"}`, yes, "100"}, {`{"input_length": "50 .. 99"}`, no, "100"},
		{`{"input_length": "101..200"}`, no, "100"}, {`{"input_length": 100}`, yes, "100"}, {`{"input_length": 99}`, no, "100"},
		{`{"input_length": "100"}`, yes, "100"}, {`{"input_length": " < 101 "}`, yes, "100"},
		{`{"input_length": "<=999999999999999999"}`, yes, "100"}, {`{"input_length": ">999999999999999999"}`, no, "100"},
		{`{"input_tokens": "<26"}`, yes, "25"}, {`{"input_tokens": "<25"}`, no, "25"},
		{`{"budget_used_percent": ">=80"}`, yes, "80"}, {`{"budget_used_percent": ">80"}`, no, "80"},
		{`{"budget_short": false}`, yes, "false"}, {`{"budget_short": true}`, no, "false"},
		{`{"tokens_per_second": "<10"}`, yes, "9"}, {`{"tokens_per_second": ">=10"}`, no, "9"}, {`{"tokens_per_second": "9..20"}`, yes, "9"},
		{`{"task_type": "simple"}`, yes, "simple"}, {`{"task_type": ["code", "simple"]}`, yes, "simple"}, {`{"task_type": "Simple"}`, no, "simple"},
		{`{"user": "ann"}`, yes, "ann"}, {`{"user": ["bob", "cid"]}`, no, "ann"},
		{`{"kind": "text"}`, yes, "text"}, {`{"kind": ["image", "speak"]}`, no, "text"},
		{`{"model": "qwen-3-32b"}`, yes, "qwen-3-32b, asked for as big"}, {`{"model": "big"}`, yes, "qwen-3-32b, asked for as big"},
		{`{"model": "qwen-*"}`, yes, "qwen-3-32b, asked for as big"}, {`{"model": ["x", "bi*"]}`, yes, "qwen-3-32b, asked for as big"},
		{`{"model": "*"}`, yes, "qwen-3-32b, asked for as big"}, {`{"model": "qwen-3"}`, no, "qwen-3-32b, asked for as big"},
		{`{"model": "3*"}`, no, "qwen-3-32b, asked for as big"},
		{`{"hour": 12}`, yes, "12"}, {`{"hour": "12"}`, yes, "12"}, {`{"hour": 11}`, no, "12"}, {`{"hour": "9-17"}`, yes, "12"},
		{`{"hour": "9-12"}`, yes, "12"}, {`{"hour": "9-11"}`, no, "12"}, {`{"hour": "22-6"}`, no, "12"}, {`{"hour": "18-12"}`, yes, "12"},
		{`{"hour": "12-12"}`, yes, "12"}, {`{"hour": ">=18"}`, no, "12"}, {`{"hour": "!=12"}`, no, "12"}, {`{"hour": "6..12"}`, yes, "12"},
		{`{"hour": [1, "11-13"]}`, yes, "12"}, {`{"hour": [1, "<12", "20-22"]}`, no, "12"},
		{`{"weekday": "wed"}`, yes, "wednesday"}, {`{"weekday": "Wednesday"}`, yes, "wednesday"}, {`{"weekday": "mon-fri"}`, yes, "wednesday"},
		{`{"weekday": "sat-sun"}`, no, "wednesday"}, {`{"weekday": "sat-wed"}`, yes, "wednesday"}, {`{"weekday": "thu - tue"}`, no, "wednesday"},
		{`{"weekday": ["sun", "tue-thursday"]}`, yes, "wednesday"}, {`{"weekday": ["sun", "mon"]}`, no, "wednesday"},
		{`{"metadata": {"project": "shop"}}`, yes, "shop"}, {`{"metadata": {"project": ["a", "shop"]}}`, yes, "shop"},
		{`{"metadata": {"project": "a"}}`, no, "shop"}, {`{"metadata": {"project": "*"}}`, yes, "shop"}, {`{"metadata": {"empty": "*"}}`, yes, ""},
		{`{"metadata": {"other": "*"}}`, no, "absent"},
	}
	for _, tt := range tests {
		rule, err := policy.ParseRule(newRule(tt.conditions, anyAction))
		if err != nil {
			t.Errorf("%s: %v", tt.conditions, err)
			continue
		}
		facts := noon()
		checks, held := rule.Check(&facts)
		if held != tt.held || len(checks) != 1 || checks[0].Held != tt.held || checks[0].Got != tt.got {
			t.Errorf("%s: held %v, %+v, want %v with %q", tt.conditions, held, checks, tt.held, tt.got)
		}
	}
}

func TestConditionsOnBareFacts(t *testing.T) {
	tests := []struct {
		conditions string
		facts      policy.Facts
		held       bool
		got        string
	}{
		{`{"budget_used_percent": ">=0"}`, policy.Facts{BudgetUsedPercent: 90}, false, "no budget"},
		{`{"budget_used_percent": "!=50"}`, policy.Facts{}, false, "no budget"},
		{`{"tokens_per_second": "<10"}`, policy.Facts{}, false, "not measured"},
		{`{"tokens_per_second": "<10"}`, policy.Facts{TokensPerSecond: 5}, false, "not measured"},
		{`{"budget_short": false}`, policy.Facts{}, true, "false"},
		{`{"budget_short": true}`, policy.Facts{HasBudget: true, BudgetShort: true}, true, "true"},
		{`{"metadata": {"a": "*"}}`, policy.Facts{}, false, "absent"},
		{`{"model": "a"}`, policy.Facts{Model: "a"}, true, "a"},
		{`{"model": "a"}`, policy.Facts{Model: "a", RequestedModel: "a"}, true, "a"},
		{`{"hour": ">=0"}`, policy.Facts{Hour: -1}, false, "-1"},
		{`{"hour": "22-6"}`, policy.Facts{Hour: 0}, true, "0"},
		{`{"hour": "22-6"}`, policy.Facts{Hour: 6}, true, "6"},
		{`{"hour": "22-6"}`, policy.Facts{Hour: 7}, false, "7"},
		{`{"hour": "22-6"}`, policy.Facts{Hour: 22}, true, "22"},
		{`{"weekday": "sat-sun"}`, policy.Facts{Weekday: 0}, true, "sunday"},
		{`{"weekday": "mon-sun"}`, policy.Facts{Weekday: 7}, false, "7"},
	}
	for _, tt := range tests {
		rule, err := policy.ParseRule(newRule(tt.conditions, anyAction))
		if err != nil {
			t.Fatalf("%s: %v", tt.conditions, err)
		}
		if checks, held := rule.Check(&tt.facts); held != tt.held || checks[0].Got != tt.got {
			t.Errorf("%s: held %v, %+v, want %v with %q", tt.conditions, held, checks, tt.held, tt.got)
		}
	}
}

// Checks come in the order of their names and show the rule in its own words.
func TestChecksExplain(t *testing.T) {
	rule, err := policy.ParseRule(newRule(`{
		"weekday": ["sat", "sun"], "task_type": "simple", "input_length": "<100", "hour": 12,
		"metadata": {"team a": "*", "project": ["shop" , "lab"]}, "budget_short": true}`, anyAction))
	if err != nil {
		t.Fatal(err)
	}
	facts := noon()
	checks, held := rule.Check(&facts)
	want := []jeantrail.RuleCheck{
		{Condition: "budget_short", Want: "true", Got: "false"},
		{Condition: "hour", Want: "12", Got: "12", Held: true},
		{Condition: "input_length", Want: "<100", Got: "100"},
		{Condition: "metadata.project", Want: `["shop","lab"]`, Got: "shop", Held: true},
		{Condition: `metadata["team a"]`, Want: "*", Got: "absent"},
		{Condition: "task_type", Want: "simple", Got: "simple", Held: true},
		{Condition: "weekday", Want: `["sat","sun"]`, Got: "wednesday"},
	}
	if held || len(checks) != len(want) {
		t.Fatalf("held %v: %+v", held, checks)
	}
	for i := range want {
		if checks[i] != want[i] {
			t.Errorf("check %d is %+v, want %+v", i, checks[i], want[i])
		}
	}
}

func TestRuleWithoutConditionsAlwaysHolds(t *testing.T) {
	rule, err := policy.ParseRule(newRule(`{}`, anyAction))
	if err != nil {
		t.Fatal(err)
	}
	if checks, held := rule.Check(&policy.Facts{}); !held || len(checks) != 0 {
		t.Errorf("held %v, %+v", held, checks)
	}
}

// Every comparison agrees with the arithmetic that it is written in.
func TestComparisonsCompare(t *testing.T) {
	operators := map[string]func(a, b int64) bool{
		"<": func(a, b int64) bool { return a < b }, "<=": func(a, b int64) bool { return a <= b },
		">": func(a, b int64) bool { return a > b }, ">=": func(a, b int64) bool { return a >= b },
		"=": func(a, b int64) bool { return a == b }, "!=": func(a, b int64) bool { return a != b },
		"": func(a, b int64) bool { return a == b },
	}
	number := rapid.OneOf(rapid.Int64Range(0, 30), rapid.Int64Range(0, 999_999_999_999_999_999))
	rapid.Check(t, func(t *rapid.T) {
		operator := rapid.SampledFrom([]string{"<", "<=", ">", ">=", "=", "!=", ""}).Draw(t, "operator")
		limit, n := number.Draw(t, "limit"), number.Draw(t, "number")
		rule, err := policy.ParseRule(newRule(fmt.Sprintf(`{"input_tokens": "%s%d"}`, operator, limit), anyAction))
		if operator == "<" && limit == 0 {
			if err == nil {
				t.Fatal("<0 was taken")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, held := rule.Check(&policy.Facts{InputTokens: n}); held != operators[operator](n, limit) {
			t.Fatalf("%d %s%d: %v", n, operator, limit, held)
		}
	})
}

// An hour is in a range if a clock that starts at its beginning comes by before
// the end of its last hour.
func TestHourRangesWrap(t *testing.T) {
	for from := range 24 {
		for to := range 24 {
			rule, err := policy.ParseRule(newRule(fmt.Sprintf(`{"hour": "%d-%d"}`, from, to), anyAction))
			if err != nil {
				t.Fatal(err)
			}
			for hour := range 24 {
				want := (hour-from+24)%24 <= (to-from+24)%24
				if _, held := rule.Check(&policy.Facts{Hour: hour}); held != want {
					t.Fatalf("hour %d in %d-%d: %v", hour, from, to, held)
				}
			}
		}
	}
}
