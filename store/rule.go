package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const selectRules = `SELECT id, user_id, rule_name, rule_type, conditions, actions, enabled, position, created_at
FROM ai_cost_optimization_rules `

const (
	rulesOfSQL = selectRules + ofUserOrAll + `ORDER BY position, created_at, id`
	rulesSQL   = selectRules + `ORDER BY position, created_at, id`
	ruleSQL    = selectRules + `WHERE id = ?`
)

const insertRuleSQL = `INSERT INTO ai_cost_optimization_rules
	(id, user_id, rule_name, rule_type, conditions, actions, enabled, position, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

const updateRuleSQL = `UPDATE ai_cost_optimization_rules SET user_id = ?, rule_name = ?, rule_type = ?, conditions = ?, actions = ?,
	enabled = ?, position = ? WHERE id = ?`

// Rules returns rules in the order in which they are tried, disabled ones too:
// those of a user and of everybody, or all if user is nil. The table is read
// each time, so that a row written by hand counts from the next request on.
func (s *Store) Rules(ctx context.Context, user *string) ([]jeantrail.Rule, error) {
	const op = "read rules"
	var rows *sql.Rows
	var err error
	if user != nil {
		rows, err = s.stmt.money.rules.QueryContext(ctx, *user)
	} else {
		rows, err = s.readers.QueryContext(ctx, rulesSQL)
	}
	if err != nil {
		return nil, failedIn(ctx, op, err)
	}
	defer rows.Close()
	var found []jeantrail.Rule
	for rows.Next() {
		r, err := scanRule(rows)
		if err != nil {
			return nil, failedIn(ctx, op, err)
		}
		found = append(found, *r)
	}
	return found, failedIn(ctx, op, rows.Err())
}

// Rule returns a rule, or not_found.
func (s *Store) Rule(ctx context.Context, id string) (*jeantrail.Rule, error) {
	r, err := scanRule(s.readers.QueryRowContext(ctx, ruleSQL, id))
	if err == sql.ErrNoRows {
		return nil, unknownRule(id)
	}
	if err != nil {
		return nil, failedIn(ctx, "read rule", err)
	}
	return r, nil
}

func unknownRule(id string) error {
	return jeantrail.Errorf(jeantrail.CodeNotFound, "rule %q is not known", id).
		WithHint("List the rules: jeantrail-ai rule list, or GET /rules.")
}

// AddRule inserts a rule. One that has no name or type, or whose conditions or
// actions are not a JSON object, is invalid; an id that is in use is a conflict.
// What the objects mean is not checked here.
func (s *Store) AddRule(ctx context.Context, r jeantrail.Rule) error {
	if r.ID == "" {
		return misuse("add rule: it has no id")
	}
	if err := checkRule(&r); err != nil {
		return err
	}
	return s.write(ctx, "add rule", func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, insertRuleSQL, r.ID, orNull(r.UserID), r.Name, r.Type, r.Conditions, r.Actions,
			r.Enabled, r.Position, millis(r.CreatedAt))
		return one(res, err, jeantrail.Errorf(jeantrail.CodeConflict, "add rule: the id %s is in use", r.ID))
	})
}

// ChangeRule reads a rule, lets change alter it, and writes it, in one
// transaction. What change returns is returned, and nothing is written then; it
// may be called again, with the rule read anew. An unknown id is not_found, and
// what AddRule would refuse is invalid.
func (s *Store) ChangeRule(ctx context.Context, id string, change func(*jeantrail.Rule) error) error {
	return s.write(ctx, "change rule", func(ctx context.Context, tx *sql.Tx) error {
		was, err := scanRule(tx.QueryRowContext(ctx, ruleSQL, id))
		if err == sql.ErrNoRows {
			return unknownRule(id)
		}
		if err != nil {
			return err
		}
		r := *was
		if err := change(&r); err != nil {
			return err
		}
		if r.ID != was.ID || !r.CreatedAt.Equal(was.CreatedAt) {
			return misuse("change rule %s: its id and its age are for good", id)
		}
		if err := checkRule(&r); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, updateRuleSQL, orNull(r.UserID), r.Name, r.Type, r.Conditions, r.Actions,
			r.Enabled, r.Position, id)
		return err
	})
}

// DeleteRule deletes a rule. An unknown id is not_found.
func (s *Store) DeleteRule(ctx context.Context, id string) error {
	return s.write(ctx, "delete rule", func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM ai_cost_optimization_rules WHERE id = ?", id)
		return one(res, err, unknownRule(id))
	})
}

// checkRule refuses with a reason what the table would refuse without one.
func checkRule(r *jeantrail.Rule) error {
	if r.Name == "" || r.Type == "" {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "a rule needs a rule_name and a rule_type")
	}
	if len(r.UserID) > jeantrail.MaxUserIDBytes {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "user_id must be at most %d bytes long", jeantrail.MaxUserIDBytes)
	}
	for _, object := range []struct{ name, text string }{{"conditions", r.Conditions}, {"actions", r.Actions}} {
		var fields map[string]json.RawMessage
		// null would pass, and leaves the map nil.
		if err := json.Unmarshal([]byte(object.text), &fields); err != nil || fields == nil {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "the %s of a rule must be a JSON object", object.name).
				WithHint(`For example {"input_length": "<100"} -> {"temperature": 0.5}.`)
		}
	}
	return nil
}

func scanRule(from row) (*jeantrail.Rule, error) {
	var r jeantrail.Rule
	var user sql.Null[string]
	var created int64
	err := from.Scan(&r.ID, &user, &r.Name, &r.Type, &r.Conditions, &r.Actions, &r.Enabled, &r.Position, &created)
	if err != nil {
		return nil, err
	}
	r.UserID, r.CreatedAt = user.V, time.UnixMilli(created).UTC()
	return &r, nil
}
