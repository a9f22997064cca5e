package policy

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jeantrail/jeantrail-ai"
)

// MaxRuleBytes is the most that the conditions of a rule may be long, and its
// actions.
const MaxRuleBytes = 16 << 10

// maxTemperature is the highest temperature that a request may have.
const maxTemperature = 10

// Rule is an optimisation rule that was read and found sound.
type Rule struct {
	conditions []condition // in the order of their names
	actions    actions
}

// actions are what a rule changes. A nil pointer or empty text leaves a term as
// it is.
type actions struct {
	model       string
	temperature *float64
	maxTokens   *int
	thinking    *bool
	priority    jeantrail.Priority
	cache       *bool
	chain       bool // go on to the next rules
}

// ParseRule reads the conditions and actions of a rule. It refuses, as invalid
// (or too_large) and with the place in the message, everything that it does not
// understand and everything that can have no effect.
func ParseRule(r *jeantrail.Rule) (*Rule, error) {
	for _, name := range []struct{ field, value string }{{"rule_name", r.Name}, {"rule_type", r.Type}} {
		if err := checkName(name.field, name.value); err != nil {
			return nil, err
		}
	}
	if len(r.UserID) > jeantrail.MaxUserIDBytes || !utf8.ValidString(r.UserID) {
		return nil, refuse("user_id", "must be UTF-8 of at most %d bytes", jeantrail.MaxUserIDBytes)
	}
	for _, object := range []struct{ field, value string }{{"conditions", r.Conditions}, {"actions", r.Actions}} {
		if len(object.value) > MaxRuleBytes {
			return nil, jeantrail.Errorf(jeantrail.CodeTooLarge, "%s has %d bytes, the most is %d", object.field, len(object.value), MaxRuleBytes)
		}
	}
	conditions, err := parseConditions(r.Conditions)
	if err != nil {
		return nil, err
	}
	actions, err := parseActions(r.Actions)
	if err != nil {
		return nil, err
	}
	return &Rule{conditions: conditions, actions: actions}, nil
}

// checkName looks at what a person is shown in lists and answers.
func checkName(field, value string) error {
	switch {
	case strings.TrimSpace(value) == "":
		return refuse(field, "must not be empty")
	case len(value) > jeantrail.MaxNameBytes || !utf8.ValidString(value):
		return refuse(field, "must be UTF-8 of at most %d bytes", jeantrail.MaxNameBytes)
	case strings.ContainsFunc(value, unicode.IsControl):
		return refuse(field, "must be one line, without control characters")
	}
	return nil
}

// actionNames are the actions in order.
var actionNames = []string{"cache", "chain", "max_tokens", "model", "priority", "temperature", "thinking"}

func parseActions(text string) (actions, error) {
	const path = "actions"
	var a actions
	list, err := members(path, text)
	if err != nil {
		return a, err
	}
	for _, m := range list {
		if err := a.set(m); err != nil {
			return actions{}, err
		}
	}
	if len(list) == 0 || len(list) == 1 && list[0].name == "chain" {
		return a, refuse(path, "must change something").
			WithHint("Give at least one of cache, max_tokens, model, priority, temperature and thinking.")
	}
	return a, nil
}

// set reads one action.
func (a *actions) set(m member) (err error) {
	switch m.name {
	case "model":
		a.model, err = m.model()
	case "temperature":
		a.temperature, err = m.temperature()
	case "max_tokens":
		a.maxTokens, err = m.maxTokens()
	case "thinking":
		a.thinking, err = m.flag()
	case "priority":
		a.priority, err = m.priority()
	case "cache":
		a.cache, err = m.flag()
	case "chain":
		a.chain, err = m.truth()
	default:
		if slices.Contains(conditionNames, m.name) {
			return refuse(m.path, "is not an action").WithHint("It is a condition.")
		}
		return m.unknown("an action", actionNames)
	}
	return err
}

// model reads the name of a model. Whether there is one is seen when the rule
// is applied, since models come and go.
func (m member) model() (string, error) {
	name, err := m.text()
	switch {
	case err != nil:
		return "", err
	case len(name) > jeantrail.MaxModelBytes || strings.TrimSpace(name) == "" || strings.ContainsFunc(name, unicode.IsControl):
		return "", refuse(m.path, "must be a name of 1 to %d bytes", jeantrail.MaxModelBytes)
	case strings.Contains(name, "*"):
		return "", refuse(m.path, "is %s, which is not one model", quote(name)).WithHint("Name the model that answers.")
	}
	return name, nil
}

func (m member) temperature() (*float64, error) {
	number, err := m.number()
	if err != nil {
		return nil, err
	}
	t, err := number.Float64()
	if err != nil || t < 0 || t > maxTemperature {
		return nil, refuse(m.path, "is %s, it must be between 0 and %d", shorten(string(number), 64), maxTemperature)
	}
	return &t, nil
}

func (m member) maxTokens() (*int, error) {
	number, err := m.number()
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(string(number))
	if err != nil || n < 1 {
		return nil, refuse(m.path, "is %s, it must be a whole number of at least 1", shorten(string(number), 64))
	}
	return &n, nil
}

func (m member) priority() (jeantrail.Priority, error) {
	text, err := m.text()
	if err != nil {
		return "", err
	}
	if p := jeantrail.Priority(text); slices.Contains(jeantrail.Priorities(), p) {
		return p, nil
	}
	return "", refuse(m.path, "is %s, which is not known", quote(text)).WithHint("Use interactive, batch or background.")
}

func (m member) flag() (*bool, error) {
	b, err := m.truth()
	if err != nil {
		return nil, err
	}
	return &b, nil
}
