package main

import (
	"encoding/json"
	"maps"
	"testing"
)

func TestVariables(t *testing.T) {
	f := filling{vars: []string{
		"price=12.50", "count=-3", "big=12345678901234567890", "power=1e3", "free=true", "sold=false", `code="42"`, `quote="a \"b\""`,
		"name=New York", "empty=", "plus=+5", "zero=007", "space= 5", "word=null", "equation=a=b", "truth=True",
	}}
	want := map[string]any{
		"price": json.Number("12.50"), "count": json.Number("-3"), "big": json.Number("12345678901234567890"), "power": json.Number("1e3"),
		"free": true, "sold": false, "code": "42", "quote": `a "b"`,
		"name": "New York", "empty": "", "plus": "+5", "zero": "007", "space": " 5", "word": "null", "equation": "a=b", "truth": "True",
	}
	got, err := f.variables()
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got  %v, %v\nwant %v", got, err, want)
	}
	for _, vars := range [][]string{{"price"}, {"=5"}, {"a=1", "a=2"}, {`a="5`}} {
		f := filling{vars: vars}
		if got, err := f.variables(); exitCode(err) != exitUsage {
			t.Errorf("%q became %v, %v", vars, got, err)
		}
	}
}

func TestRuleObjects(t *testing.T) {
	tests := []struct {
		rule ruleText
		want string // "" is refused
	}{
		{ruleText{conditions: `{"hour":"9-17"}`, actions: `{"model":"m"}`}, `{"hour":"9-17"} {"model":"m"}`},
		{ruleText{conditions: `{}`, actions: ` { "model": "m" }`, chain: true}, `{} {"chain":true, "model": "m" }`},
		{ruleText{conditions: `{}`, actions: `{}`, chain: true}, `{} {"chain":true}`},
		{ruleText{conditions: `{}`, actions: `{"a":1,"a":2}`}, `{} {"a":1,"a":2}`},
		{ruleText{conditions: `{}`, actions: `{"chain":false}`, chain: true}, ""},
		{ruleText{conditions: `[]`, actions: `{}`}, ""},
		{ruleText{conditions: `{}`, actions: `null`}, ""},
		{ruleText{conditions: `{`, actions: `{}`}, ""},
	}
	for _, tt := range tests {
		conditions, actions, err := tt.rule.objects()
		if got := string(conditions) + " " + string(actions); err == nil && got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%+v became %s, %v; want %s", tt.rule, got, err, tt.want)
		}
		if err == nil && (!json.Valid(conditions) || !json.Valid(actions)) {
			t.Errorf("%+v became no JSON: %s %s", tt.rule, conditions, actions)
		}
		if err != nil && exitCode(err) != exitUsage {
			t.Errorf("%+v: %v", tt.rule, err)
		}
	}
}
