package jeantrail

import "time"

// Rule is an optimisation rule as it is kept: what must hold of a request, and
// what is changed in it then. Package policy gives the two JSON objects their
// meaning.
type Rule struct {
	ID         string // UUIDv7
	UserID     string // whose requests; "" is everybody's
	Name       string
	Type       string // the owner's own word for what kind of rule it is
	Conditions string // a JSON object
	Actions    string // a JSON object
	Enabled    bool
	Position   int // rules are tried in ascending order
	CreatedAt  time.Time
	// Problem says why the rule cannot be applied, which a row that somebody
	// wrote into the database by hand may have; "" if it can.
	Problem string
}

// RuleCheck is one condition of a rule, held against a request.
type RuleCheck struct {
	Condition string // for example "input_length"
	Want      string // as the rule says it, for example "<100"
	Got       string // what the request has
	Held      bool
}

// RuleTrial is a rule held against a request.
type RuleTrial struct {
	Rule    Rule
	Checks  []RuleCheck // in the order of their names; a rule holds if all do
	Held    bool
	Tried   bool   // false: an earlier rule had ended the search
	Applied bool   // its actions are in the outcome
	Skipped string // why it was not applied though it held, or could not be read
}

// RuleReport explains what the rules make of a request, without running it.
type RuleReport struct {
	TaskType    string // given, or classified
	Classified  bool
	InputLength int // characters
	InputTokens int
	Trials      []RuleTrial // every enabled rule that is about the user, in order
	// Before and After are the request's terms without and with the rules.
	Before, After RuleTerms
}

// RuleTerms are what rules can change in a request, and what it can cost then.
type RuleTerms struct {
	Model       string
	Temperature *float64
	MaxTokens   *int
	Thinking    bool
	Priority    Priority
	Cache       *bool
	Estimate    Money
}
