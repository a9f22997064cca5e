package policy

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// Facts are what conditions look at: a request as it came, and the time and
// the budgets it came at.
type Facts struct {
	InputLength int64  // characters of the caller's text
	InputTokens int64  // of the prompt
	TaskType    string // given, or classified
	Model       string // the model that would answer
	// RequestedModel is the name that was asked for, "" for the default.
	RequestedModel string
	User           string // who the request is for
	Kind           jeantrail.Kind
	Hour           int  // 0 to 23, UTC
	Weekday        int  // 0 is Sunday, as in time.Weekday, UTC
	HasBudget      bool // a budget is about the user
	// BudgetUsedPercent is the share of the most used budget that was spent or
	// reserved before the request, rounded down; it means nothing without one.
	BudgetUsedPercent int64
	BudgetShort       bool // a budget has no room for the request as it was asked for
	Metadata          map[string]string
	// TokensPerSecond is how fast the model that would answer writes one answer, as
	// it was measured on this machine, rounded down; it means nothing unless
	// Measured is set.
	TokensPerSecond int64
	Measured        bool
}

// condition is one thing that must hold.
type condition struct {
	name string
	want string // as the rule says it
	// check returns what the request has, and whether the condition holds of it.
	check func(f *Facts) (got string, held bool)
}

// conditionNames are the conditions in order.
var conditionNames = []string{"budget_short", "budget_used_percent", "hour", "input_length", "input_tokens", "kind", "metadata",
	"model", "task_type", "tokens_per_second", "user", "weekday"}

func parseConditions(text string) ([]condition, error) {
	list, err := members("conditions", text)
	if err != nil {
		return nil, err
	}
	var conditions []condition
	for _, m := range list {
		if m.name == "metadata" {
			entries, err := m.metadata()
			if err != nil {
				return nil, err
			}
			conditions = append(conditions, entries...)
			continue
		}
		c := condition{name: m.name, want: m.want()}
		if c.check, err = m.condition(); err != nil {
			return nil, err
		}
		conditions = append(conditions, c)
	}
	slices.SortFunc(conditions, func(a, b condition) int { return strings.Compare(a.name, b.name) })
	return conditions, nil
}

// condition reads one condition other than metadata.
func (m member) condition() (func(*Facts) (string, bool), error) {
	switch m.name {
	case "input_length":
		return m.amount(func(f *Facts) int64 { return f.InputLength })
	case "input_tokens":
		return m.amount(func(f *Facts) int64 { return f.InputTokens })
	case "budget_used_percent":
		return m.known("no budget", func(f *Facts) (int64, bool) { return f.BudgetUsedPercent, f.HasBudget })
	case "budget_short":
		return m.budgetShort()
	case "tokens_per_second":
		return m.known("not measured", func(f *Facts) (int64, bool) { return f.TokensPerSecond, f.Measured })
	case "task_type":
		return m.word(func(f *Facts) string { return f.TaskType })
	case "user":
		return m.word(func(f *Facts) string { return f.User })
	case "kind":
		return m.kind()
	case "model":
		return m.models()
	case "hour":
		return m.hourOfDay()
	case "weekday":
		return m.dayOfWeek()
	}
	if slices.Contains(actionNames, m.name) {
		return nil, refuse(m.path, "is not a condition").WithHint("It is an action.")
	}
	return nil, m.unknown("a condition", conditionNames)
}

func (m member) amount(of func(*Facts) int64) (func(*Facts) (string, bool), error) {
	c, err := m.comparison(math.MaxInt64, comparisonHint)
	if err != nil {
		return nil, err
	}
	return func(f *Facts) (string, bool) { return strconv.FormatInt(of(f), 10), c.holds(of(f)) }, nil
}

// known reads a comparison with an amount that there may be none of. It never
// holds then.
func (m member) known(absent string, of func(*Facts) (int64, bool)) (func(*Facts) (string, bool), error) {
	compare, err := m.amount(func(f *Facts) int64 { n, _ := of(f); return n })
	if err != nil {
		return nil, err
	}
	return func(f *Facts) (string, bool) {
		if _, there := of(f); !there {
			return absent, false
		}
		return compare(f)
	}, nil
}

func (m member) budgetShort() (func(*Facts) (string, bool), error) {
	want, err := m.truth()
	if err != nil {
		return nil, err
	}
	return func(f *Facts) (string, bool) {
		return strconv.FormatBool(f.BudgetShort), f.BudgetShort == want
	}, nil
}

func (m member) word(of func(*Facts) string) (func(*Facts) (string, bool), error) {
	words, err := m.texts()
	if err != nil {
		return nil, err
	}
	return func(f *Facts) (string, bool) { return of(f), slices.Contains(words, of(f)) }, nil
}

func (m member) kind() (func(*Facts) (string, bool), error) {
	words, err := m.texts()
	if err != nil {
		return nil, err
	}
	for _, word := range words {
		if !jeantrail.Kind(word).Known() {
			return nil, refuse(m.path, "is %s, which is not known", quote(word)).
				WithHint("Use text, image, transcribe, speak or pipeline.")
		}
	}
	return func(f *Facts) (string, bool) { return string(f.Kind), slices.Contains(words, string(f.Kind)) }, nil
}

func (m member) models() (func(*Facts) (string, bool), error) {
	names, err := m.texts()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.Contains(strings.TrimSuffix(name, "*"), "*") {
			return nil, refuse(m.path, "is %s, which has a * before its end", quote(name)).
				WithHint(`A * at the end stands for any ending, as in "qwen-*".`)
		}
	}
	return func(f *Facts) (string, bool) {
		held := slices.ContainsFunc(names, func(name string) bool {
			return matches(name, f.Model) || f.RequestedModel != "" && matches(name, f.RequestedModel)
		})
		if f.RequestedModel != "" && f.RequestedModel != f.Model {
			return f.Model + ", asked for as " + f.RequestedModel, held
		}
		return f.Model, held
	}, nil
}

// matches reports whether a name is the pattern, or begins as one with a * at
// its end does.
func matches(pattern, name string) bool {
	if beginning, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, beginning)
	}
	return name == pattern
}

func (m member) hourOfDay() (func(*Facts) (string, bool), error) {
	hours, err := m.hours()
	if err != nil {
		return nil, err
	}
	return func(f *Facts) (string, bool) { return strconv.Itoa(f.Hour), hours.has(f.Hour) }, nil
}

func (m member) dayOfWeek() (func(*Facts) (string, bool), error) {
	days, err := m.weekdays()
	if err != nil {
		return nil, err
	}
	return func(f *Facts) (string, bool) { return weekdayName(f.Weekday), days.has(f.Weekday) }, nil
}

// metadata reads a condition for each key.
func (m member) metadata() ([]condition, error) {
	if kindOf(m.value) != "an object" {
		return nil, m.wrongType("an object").WithHint(`Write the wanted value of each key, for example {"project": "shop"}; "*" is any value.`)
	}
	list, err := members(m.path, string(m.value))
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, refuse(m.path, "must name a key").WithHint(`For example {"project": "shop"}; "*" is any value.`)
	}
	conditions := make([]condition, len(list))
	for i, entry := range list {
		words, err := entry.texts()
		if err != nil {
			return nil, err
		}
		conditions[i] = condition{
			name: strings.TrimPrefix(entry.path, "conditions."), want: entry.want(),
			check: func(f *Facts) (string, bool) {
				value, present := f.Metadata[entry.name]
				if !present {
					return "absent", false
				}
				return value, slices.Contains(words, "*") || slices.Contains(words, value)
			},
		}
	}
	return conditions, nil
}

// Check holds the conditions against the facts, and reports whether all hold.
func (r *Rule) Check(f *Facts) ([]jeantrail.RuleCheck, bool) {
	checks, all := make([]jeantrail.RuleCheck, len(r.conditions)), true
	for i, c := range r.conditions {
		got, held := c.check(f)
		checks[i] = jeantrail.RuleCheck{Condition: c.name, Want: c.want, Got: got, Held: held}
		all = all && held
	}
	return checks, all
}
