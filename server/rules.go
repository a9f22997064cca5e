package server

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/jeantrail/jeantrail-ai"
)

// ruleRequest is the body of POST /rules.
type ruleRequest struct {
	UserID     *string         `json:"user_id" nullable:"true" maxLength:"128" doc:"Whose requests it is about; null is everybody's. It must be there."`
	RuleName   *string         `json:"rule_name" nullable:"false" minLength:"1"`
	RuleType   *string         `json:"rule_type" nullable:"false" minLength:"1" doc:"Your own word for what kind of rule it is."`
	Conditions json.RawMessage `json:"conditions" doc:"An object: what must hold of a request, for example {\"input_length\": \"<100\"}."`
	Actions    json.RawMessage `json:"actions" doc:"An object: what is changed in it then, for example {\"model\": \"qwen-3-32b\"}."`
	Enabled    *bool           `json:"enabled,omitempty" doc:"true if left out."`
	Position   *int            `json:"position,omitempty" doc:"Rules are tried in ascending order; 0 if left out."`
}

// ruleChange is the body of PATCH /rules/{id}, where what is left out stays, and
// the rule of POST /rules/test.
type ruleChange struct {
	UserID     *string         `json:"user_id,omitempty" nullable:"true" maxLength:"128"`
	RuleName   *string         `json:"rule_name,omitempty" minLength:"1"`
	RuleType   *string         `json:"rule_type,omitempty" minLength:"1"`
	Conditions json.RawMessage `json:"conditions,omitempty"`
	Actions    json.RawMessage `json:"actions,omitempty"`
	Enabled    *bool           `json:"enabled,omitempty"`
	Position   *int            `json:"position,omitempty"`
}

// apply makes the change to a rule. What conditions and actions mean is checked
// behind Money, as soon as the rule is written or tested.
func (c *ruleChange) apply(rule *jeantrail.Rule, nulls map[string]bool) error {
	if err := setUser(&rule.UserID, c.UserID, nulls["user_id"]); err != nil {
		return err
	}
	if c.RuleName != nil {
		rule.Name = *c.RuleName
	}
	if c.RuleType != nil {
		rule.Type = *c.RuleType
	}
	if c.Enabled != nil {
		rule.Enabled = *c.Enabled
	}
	if c.Position != nil {
		rule.Position = *c.Position
	}
	if err := setObject(&rule.Conditions, "conditions", c.Conditions); err != nil {
		return err
	}
	return setObject(&rule.Actions, "actions", c.Actions)
}

func (c *ruleChange) empty() bool {
	return c.UserID == nil && c.RuleName == nil && c.RuleType == nil && c.Enabled == nil && c.Position == nil &&
		c.Conditions == nil && c.Actions == nil
}

// setObject keeps a JSON object as text without insignificant space.
func setObject(text *string, name string, raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	if raw[0] != '{' {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "%s must be an object", name)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "%s is not valid JSON: %w", name, err)
	}
	*text = compact.String()
	return nil
}

// wireRule is a rule as it is kept.
type wireRule struct {
	ID         string          `json:"id"`
	UserID     *string         `json:"user_id" doc:"null is everybody's."`
	RuleName   string          `json:"rule_name"`
	RuleType   string          `json:"rule_type"`
	Conditions json.RawMessage `json:"conditions" doc:"An object; its text if a row that was written by hand has none."`
	Actions    json.RawMessage `json:"actions" doc:"As conditions."`
	Enabled    bool            `json:"enabled"`
	Position   int             `json:"position"`
	CreatedAt  string          `json:"created_at,omitempty" format:"date-time"`
	Problem    string          `json:"problem,omitempty" doc:"Why the rule cannot be applied."`
}

type wireRules struct {
	Rules []*wireRule `json:"rules" nullable:"false"`
}

func ruleOf(r *jeantrail.Rule) *wireRule {
	return &wireRule{
		ID: r.ID, UserID: orNull(r.UserID), RuleName: r.Name, RuleType: r.Type, Conditions: objectOf(r.Conditions),
		Actions: objectOf(r.Actions), Enabled: r.Enabled, Position: r.Position, CreatedAt: wireTime(r.CreatedAt), Problem: r.Problem,
	}
}

// objectOf returns JSON text as what it says, any other text as a string.
func objectOf(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, _ := json.Marshal(text) // a string can always be encoded
	return quoted
}

// listRules serves GET /rules, in the order in which they are tried.
func (s *Server) listRules(w http.ResponseWriter, r *http.Request) error {
	query, err := readQuery(r, "user_id")
	if err != nil {
		return err
	}
	list, err := s.opt.Money.Rules(r.Context(), caller(r), query.Get("user_id"))
	if err != nil {
		return err
	}
	out := wireRules{Rules: make([]*wireRule, 0, len(list))}
	for i := range list {
		out.Rules = append(out.Rules, ruleOf(&list[i]))
	}
	return writeJSON(w, http.StatusOK, &out)
}

// getRule serves GET /rules/{id}.
func (s *Server) getRule(w http.ResponseWriter, r *http.Request) error {
	rule, err := s.opt.Money.Rule(r.Context(), caller(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, ruleOf(rule))
}

// addRule serves POST /rules.
func (s *Server) addRule(w http.ResponseWriter, r *http.Request) error {
	var body ruleRequest
	nulls, err := s.readFields(w, r, &body, "user_id")
	if err != nil {
		return err
	}
	switch {
	case body.UserID == nil && !nulls["user_id"]:
		return needUser("rule")
	case body.RuleName == nil || body.RuleType == nil || body.Conditions == nil || body.Actions == nil:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "a rule needs rule_name, rule_type, conditions and actions").
			WithHint(`For example {"user_id": null, "rule_name": "short", "rule_type": "model_selection", "conditions": {"input_length": "<100"}, "actions": {"model": "qwen-3-32b"}}.`)
	}
	rule := jeantrail.Rule{Enabled: true}
	change := ruleChange(body)
	if err := change.apply(&rule, nulls); err != nil {
		return err
	}
	added, err := s.opt.Money.AddRule(r.Context(), caller(r), rule)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/rules/"+added.ID)
	return writeJSON(w, http.StatusCreated, ruleOf(added))
}

// changeRule serves PATCH /rules/{id}.
func (s *Server) changeRule(w http.ResponseWriter, r *http.Request) error {
	var body ruleChange
	nulls, err := s.readFields(w, r, &body, "user_id")
	if err != nil {
		return err
	}
	if body.empty() && len(nulls) == 0 {
		return changesNothing()
	}
	rule, err := s.opt.Money.ChangeRule(r.Context(), caller(r), r.PathValue("id"), func(rule *jeantrail.Rule) error {
		return body.apply(rule, nulls)
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, ruleOf(rule))
}

// deleteRule serves DELETE /rules/{id}.
func (s *Server) deleteRule(w http.ResponseWriter, r *http.Request) error {
	if err := s.opt.Money.DeleteRule(r.Context(), caller(r), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// rulesTest is the body of POST /rules/test.
type rulesTest struct {
	Request *generateRequest `json:"request" doc:"The request that is not run."`
	Rule    *ruleChange      `json:"rule,omitempty" doc:"A rule that is not kept, tried before all others. It needs conditions and actions only."`
}

func (t *rulesTest) carried() int64 {
	if t.Request == nil {
		return 0
	}
	return t.Request.carried()
}

// candidate is the rule of a test with names in the place of those that only a
// rule that is kept must have; nil if there is none.
func (t *rulesTest) candidate() (*jeantrail.Rule, error) {
	if t.Rule == nil {
		return nil, nil
	}
	if t.Rule.Conditions == nil || t.Rule.Actions == nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the rule to test needs conditions and actions")
	}
	rule := &jeantrail.Rule{Name: "candidate", Type: "candidate", Enabled: true}
	return rule, t.Rule.apply(rule, nil)
}

type wireCheck struct {
	Condition string `json:"condition"`
	Want      string `json:"want" doc:"As the rule says it."`
	Got       string `json:"got" doc:"What the request has."`
	Held      bool   `json:"held"`
}

type wireTrial struct {
	Rule    *wireRule   `json:"rule"`
	Tried   bool        `json:"tried" doc:"false: an earlier rule had ended the search."`
	Held    bool        `json:"held" doc:"Every condition held."`
	Applied bool        `json:"applied" doc:"Its actions are in the outcome."`
	Skipped string      `json:"skipped,omitempty" doc:"Why it was not applied though it held, or could not be read."`
	Checks  []wireCheck `json:"checks" nullable:"false"`
}

type wireTerms struct {
	Model          string   `json:"model"`
	Temperature    *float64 `json:"temperature,omitempty"`
	MaxTokens      *int     `json:"max_tokens,omitempty"`
	Thinking       bool     `json:"thinking"`
	Priority       string   `json:"priority"`
	Cache          *bool    `json:"cache,omitempty"`
	EstimateMicros int64    `json:"estimate_micros" doc:"The most that it can cost."`
	EstimateUSD    string   `json:"estimate_usd"`
}

// wireReport explains what the rules make of a request.
type wireReport struct {
	TaskType    string      `json:"task_type"`
	Classified  bool        `json:"classified" doc:"true: the request did not say its task_type."`
	InputLength int         `json:"input_length" doc:"Characters."`
	InputTokens int         `json:"input_tokens"`
	Trials      []wireTrial `json:"trials" nullable:"false" doc:"Every enabled rule that is about the user, in order."`
	Before      wireTerms   `json:"before" doc:"Without the rules."`
	After       wireTerms   `json:"after" doc:"With them."`
}

func termsOf(t jeantrail.RuleTerms) wireTerms {
	return wireTerms{
		Model: t.Model, Temperature: t.Temperature, MaxTokens: t.MaxTokens, Thinking: t.Thinking,
		Priority: string(t.Priority), Cache: t.Cache, EstimateMicros: int64(t.Estimate), EstimateUSD: t.Estimate.USD(),
	}
}

func reportOf(r *jeantrail.RuleReport) *wireReport {
	out := &wireReport{
		TaskType: r.TaskType, Classified: r.Classified, InputLength: r.InputLength, InputTokens: r.InputTokens,
		Trials: make([]wireTrial, 0, len(r.Trials)), Before: termsOf(r.Before), After: termsOf(r.After),
	}
	for i := range r.Trials {
		t := &r.Trials[i]
		trial := wireTrial{Rule: ruleOf(&t.Rule), Tried: t.Tried, Held: t.Held, Applied: t.Applied, Skipped: t.Skipped, Checks: []wireCheck{}}
		for _, c := range t.Checks {
			trial.Checks = append(trial.Checks, wireCheck(c))
		}
		out.Trials = append(out.Trials, trial)
	}
	return out
}

// testRules serves POST /rules/test.
func (s *Server) testRules(w http.ResponseWriter, r *http.Request) error {
	var body rulesTest
	if err := s.readJSONWithFiles(w, r, &body); err != nil {
		return err
	}
	if body.Request == nil {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "there is no request to test").
			WithHint(`For example {"request": {"prompt": "Hello"}}.`)
	}
	req, err := body.Request.request(s.uploadFor(r.Context(), caller(r)))
	if err != nil {
		return err
	}
	candidate, err := body.candidate()
	if err != nil {
		return err
	}
	report, err := s.opt.Money.TestRules(r.Context(), caller(r), req, candidate)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, reportOf(report))
}
