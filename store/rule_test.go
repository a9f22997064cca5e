package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

func newRule(user, name string, position int, at time.Time) jeantrail.Rule {
	return jeantrail.Rule{
		ID: newID(), UserID: user, Name: name, Type: "model_selection", Enabled: true, Position: position, CreatedAt: at,
		Conditions: `{"input_length": "<100"}`, Actions: `{"temperature": 0.5}`,
	}
}

func TestRulesComeInOrder(t *testing.T) {
	ctx, s := context.Background(), open(t)
	second, first := newRule("ann", "second", 0, epoch.Add(time.Second)), newRule("", "first", -1, epoch.Add(time.Hour))
	third, bobs := newRule("ann", "third", 0, epoch.Add(2*time.Second)), newRule("bob", "fourth", 1, epoch)
	third.Enabled = false
	for _, r := range []jeantrail.Rule{bobs, third, second, first} {
		must(t, s.AddRule(ctx, r))
	}
	all, err := s.Rules(ctx, nil)
	must(t, err)
	if want := []jeantrail.Rule{first, second, third, bobs}; !slices.Equal(all, want) {
		t.Errorf("rules\n%+v\nwant\n%+v", all, want)
	}
	for user, want := range map[string][]jeantrail.Rule{"ann": {first, second, third}, "bob": {first, bobs}, "": {first}} {
		got, err := s.Rules(ctx, &user)
		must(t, err)
		if !slices.Equal(got, want) {
			t.Errorf("rules of %q\n%+v\nwant\n%+v", user, got, want)
		}
	}

	changed := second
	changed.UserID, changed.Name, changed.Type, changed.Position, changed.Enabled = "", "fifth", "other", 7, false
	changed.Conditions, changed.Actions = `{}`, `{"cache": true}`
	must(t, s.ChangeRule(ctx, second.ID, func(r *jeantrail.Rule) error {
		if *r != second {
			t.Errorf("ChangeRule read %+v", *r)
		}
		*r = changed
		return nil
	}))
	if got, err := s.Rule(ctx, second.ID); err != nil || *got != changed {
		t.Errorf("rule %+v, error %v", got, err)
	}
	must(t, s.DeleteRule(ctx, second.ID))
	_, err = s.Rule(ctx, second.ID)
	wantCode(t, err, jeantrail.CodeNotFound)
}

func TestRulesAreRefusedWithAReason(t *testing.T) {
	ctx, s := context.Background(), open(t)
	kept := newRule("ann", "kept", 0, epoch)
	must(t, s.AddRule(ctx, kept))
	wantCode(t, s.AddRule(ctx, kept), jeantrail.CodeConflict)
	for name, change := range map[string]func(*jeantrail.Rule){
		"no name":    func(r *jeantrail.Rule) { r.Name = "" },
		"no type":    func(r *jeantrail.Rule) { r.Type = "" },
		"text":       func(r *jeantrail.Rule) { r.Conditions = "input_length < 100" },
		"null":       func(r *jeantrail.Rule) { r.Conditions = "null" },
		"array":      func(r *jeantrail.Rule) { r.Actions = "[]" },
		"two values": func(r *jeantrail.Rule) { r.Actions = "{} {}" },
		"nothing":    func(r *jeantrail.Rule) { r.Actions = "" },
		"long user":  func(r *jeantrail.Rule) { r.UserID = string(make([]byte, jeantrail.MaxUserIDBytes+1)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRule("ann", "new", 0, epoch)
			change(&r)
			wantCode(t, s.AddRule(ctx, r), jeantrail.CodeInvalid)
			wantCode(t, s.ChangeRule(ctx, kept.ID, func(r *jeantrail.Rule) error { change(r); return nil }), jeantrail.CodeInvalid)
		})
	}
	wantCode(t, s.ChangeRule(ctx, kept.ID, func(r *jeantrail.Rule) error { r.ID = "x"; return nil }), jeantrail.CodeInternal)
	no := jeantrail.Errorf(jeantrail.CodeForbidden, "no")
	if err := s.ChangeRule(ctx, kept.ID, func(r *jeantrail.Rule) error { r.Name = "x"; return no }); err != no {
		t.Errorf("the reason of change became %v", err)
	}
	if all, err := s.Rules(ctx, nil); err != nil || !slices.Equal(all, []jeantrail.Rule{kept}) {
		t.Errorf("refusals left %+v, error %v", all, err)
	}
	unknown := func(err error) {
		t.Helper()
		wantCode(t, err, jeantrail.CodeNotFound)
		if jeantrail.AsError(err).Hint == "" {
			t.Errorf("%v: no hint", err)
		}
	}
	_, err := s.Rule(ctx, "none")
	unknown(err)
	unknown(s.ChangeRule(ctx, "none", func(*jeantrail.Rule) error { return nil }))
	unknown(s.DeleteRule(ctx, "none"))
}

// The integration guide's statement, run by another process while the store is
// open.
func TestRuleWrittenByHandCountsFromTheNextRequest(t *testing.T) {
	ctx, s := context.Background(), open(t)
	user := "user123"
	if got, err := s.Rules(ctx, &user); err != nil || len(got) != 0 {
		t.Fatalf("rules %+v, error %v", got, err)
	}
	_, err := raw(t, s.Path()).Exec(`INSERT INTO ai_cost_optimization_rules (user_id, rule_name, rule_type, conditions, actions)
		VALUES ('user123', 'model_selection', 'model_selection', '{"input_length": "<100", "task_type": "simple"}', '{"model": "qwen-3-32b", "temperature": 0.5}')`)
	must(t, err)
	got, err := s.Rules(ctx, &user)
	must(t, err)
	if len(got) != 1 || !got[0].Enabled || got[0].Name != "model_selection" || got[0].Actions != `{"model": "qwen-3-32b", "temperature": 0.5}` {
		t.Errorf("rules %+v", got)
	}
}
