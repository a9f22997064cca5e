package prompt

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	// maxNumberBytes is how long a number may be written. Numbers reach the
	// prompt with the caller's own digits.
	maxNumberBytes = 40
	// maxListed is how many names that a caller made up a message repeats.
	maxListed = 32
)

// yesNo is a boolean that a template writes as a word.
type yesNo bool

// String implements fmt.Stringer.
func (b yesNo) String() string {
	if b {
		return "yes"
	}
	return "no"
}

// values makes what the template's text sees of the variables. Everything wrong
// with them is told in one error.
func (c *compiled) values(variables map[string]any) (map[string]any, error) {
	var problems, missing []string
	if unknown := c.unknown(variables); len(unknown) > 0 {
		problems = append(problems, "unknown: "+strings.Join(unknown, ", "))
	}
	data := make(map[string]any, len(c.Variables))
	var wrong []string
	for i := range c.Variables {
		v := &c.Variables[i]
		value, given := variables[v.Name]
		switch {
		case !given && v.Required:
			missing = append(missing, v.Name)
			continue
		case !given && v.Default == nil:
			data[v.Name] = "" // not given: false in a condition, no text
			continue
		case !given:
			value = v.Default
		}
		written, problem := check(v, value)
		if problem != "" {
			wrong = append(wrong, v.Name+" "+problem)
		}
		data[v.Name] = written
	}
	if len(missing) > 0 {
		problems = append(problems, "missing: "+strings.Join(missing, ", "))
	}
	if problems = append(problems, wrong...); len(problems) > 0 {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "variables of the template %s: %s", c.Name, strings.Join(problems, "; ")).
			WithHint("%s", c.signature()).WithName("template", c.Name)
	}
	return data, nil
}

// unknown lists the names that the template does not have, sorted and quoted.
func (c *compiled) unknown(variables map[string]any) []string {
	var names []string
	for name := range variables {
		if !slices.ContainsFunc(c.Variables, func(v jeantrail.TemplateVariable) bool { return v.Name == name }) {
			names = append(names, shown(name))
		}
	}
	slices.Sort(names)
	if more := len(names) - maxListed; more > 0 {
		names = append(names[:maxListed], fmt.Sprintf("and %d more", more))
	}
	return names
}

// signature says which variables the template has.
func (c *compiled) signature() string {
	if len(c.Variables) == 0 {
		return "The template has no variables."
	}
	var parts []string
	for _, v := range c.Variables {
		part := v.Name + " (" + string(v.Type)
		if !v.Required {
			part += ", optional"
		}
		parts = append(parts, part+")")
	}
	return "Its variables are " + strings.Join(parts, ", ") + "."
}

// shown quotes what a caller made up, cut to a length that fits into a message.
func shown(text string) string { return fmt.Sprintf("%.64q", text) }

// check holds a value, as it comes from JSON, against its variable. It returns
// what the template's text sees, or what is wrong, as the rest of a sentence
// that begins with the variable's name.
func check(v *jeantrail.TemplateVariable, value any) (written any, problem string) {
	switch value := value.(type) {
	case string:
		if v.Type == jeantrail.VariableString {
			return value, checkString(v, value)
		}
	case json.Number:
		switch v.Type {
		case jeantrail.VariableNumber:
			return string(value), checkNumber(v, value)
		case jeantrail.VariableInteger:
			return string(value), checkInteger(v, value)
		}
	case bool:
		if v.Type == jeantrail.VariableBoolean {
			return yesNo(value), ""
		}
	}
	wanted := map[jeantrail.VariableType]string{
		jeantrail.VariableString: "a string", jeantrail.VariableNumber: "a number",
		jeantrail.VariableInteger: "an integer", jeantrail.VariableBoolean: "true or false",
	}
	return nil, "must be " + wanted[v.Type] + ", not " + kindOf(value)
}

// kindOf names what JSON calls the value.
func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "a boolean"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("a value of the type %T", value)
}

func checkString(v *jeantrail.TemplateVariable, value string) string {
	switch {
	case !utf8.ValidString(value):
		return "is not valid UTF-8"
	case v.Enum != nil && !slices.Contains(v.Enum, value):
		return "must be one of " + strings.Join(v.Enum, ", ")
	case v.MaxLength > 0 && utf8.RuneCountInString(value) > v.MaxLength:
		return fmt.Sprintf("has %d characters, the most is %d", utf8.RuneCountInString(value), v.MaxLength)
	case v.Required && strings.TrimSpace(value) == "":
		return "is empty"
	}
	return ""
}

func checkNumber(v *jeantrail.TemplateVariable, value json.Number) string {
	number, problem := parseNumber(value)
	if problem == "" && v.Minimum != nil && number < *v.Minimum {
		problem = belowMinimum(v, value)
	}
	return problem
}

func checkInteger(v *jeantrail.TemplateVariable, value json.Number) string {
	if _, problem := parseNumber(value); problem != "" {
		return problem
	}
	integer, err := strconv.ParseInt(string(value), 10, 64)
	switch {
	case strings.ContainsAny(string(value), ".eE"):
		return "must be an integer, without a fraction or an exponent"
	case err != nil:
		return fmt.Sprintf("must be an integer from %d to %d", math.MinInt64, math.MaxInt64)
	case v.Minimum != nil && integer < int64(*v.Minimum):
		return belowMinimum(v, value)
	}
	return ""
}

func belowMinimum(v *jeantrail.TemplateVariable, value json.Number) string {
	return fmt.Sprintf("must be at least %s, not %s", strconv.FormatFloat(*v.Minimum, 'f', -1, 64), value)
}

// parseNumber reads a number of JSON that a float64 can stand for in
// comparisons. The text itself is what a prompt shows.
func parseNumber(value json.Number) (number float64, problem string) {
	text := string(value)
	if len(text) > maxNumberBytes {
		return 0, fmt.Sprintf("is written with %d characters, the most is %d", len(text), maxNumberBytes)
	}
	// A number of JSON ends with a digit, so that white space is not one.
	if !json.Valid([]byte(text)) || !isDigit(text[len(text)-1]) || text[0] != '-' && !isDigit(text[0]) {
		return 0, "is not a number as JSON writes it"
	}
	number, err := strconv.ParseFloat(text, 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	if err != nil || number == 0 && strings.ContainsAny(mantissa, "123456789") {
		return 0, "is out of range: its exponent is too large or too small"
	}
	return number, ""
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }
