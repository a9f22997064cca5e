package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jeantrail/jeantrail-ai"
)

// member is a name with its value in a JSON object, and the way to it.
type member struct {
	name  string
	path  string // for messages, for example "conditions.metadata.project"
	value json.RawMessage
}

// members reads a JSON object in the order of its text. Other than
// encoding/json it refuses a name that comes twice and text that is not UTF-8.
// What the values hold is for their readers, which go no deeper than they must.
func members(path, text string) ([]member, error) {
	switch {
	case !utf8.ValidString(text):
		return nil, refuse(path, "is not valid UTF-8")
	case !json.Valid([]byte(text)):
		return nil, refuse(path, "is not valid JSON").WithHint(`Write an object, for example {"input_length": "<100"}.`)
	case kindOf(json.RawMessage(strings.TrimLeft(text, " \t\r\n"))) != "an object":
		return nil, refuse(path, "must be an object").WithHint(`Write one, for example {"input_length": "<100"}.`)
	}
	dec := json.NewDecoder(strings.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return nil, refuse(path, "cannot be read: %w", err)
	}
	var list []member
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, refuse(path, "cannot be read: %w", err)
		}
		name, _ := token.(string)
		m := member{name: name, path: join(path, name)}
		if seen[name] {
			return nil, refuse(m.path, "is given twice").WithHint("Give it once.")
		}
		seen[name] = true
		if err := dec.Decode(&m.value); err != nil {
			return nil, refuse(m.path, "cannot be read: %w", err)
		}
		list = append(list, m)
	}
	return list, nil
}

// refuse makes the error for what stands at a path.
func refuse(path, format string, args ...any) *jeantrail.Error {
	return jeantrail.Errorf(jeantrail.CodeInvalid, "%s "+format, append([]any{path}, args...)...)
}

// join appends a name to a path; one that is not a plain word is quoted.
func join(path, name string) string {
	plain := name != "" && len(name) <= 64
	for _, r := range name {
		plain = plain && (r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}
	if plain {
		return path + "." + name
	}
	return path + "[" + quote(name) + "]"
}

// quote quotes at most the first 64 characters of a text, for messages.
func quote(text string) string { return strconv.Quote(shorten(text, 64)) }

// shorten cuts a text that has more than n characters.
func shorten(text string, n int) string {
	count := 0
	for i := range text {
		if count == n {
			return text[:i] + "…"
		}
		count++
	}
	return text
}

// kindOf names what a JSON value is. The value has no space before it.
func kindOf(value json.RawMessage) string {
	if len(value) == 0 {
		return "nothing"
	}
	switch value[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// wrongType refuses a value that is not what was wanted.
func (m member) wrongType(want string) *jeantrail.Error {
	return refuse(m.path, "must be %s, not %s", want, kindOf(m.value))
}

// text returns the value if it is a string that is not empty.
func (m member) text() (string, error) {
	var s string
	if kindOf(m.value) != "a string" || json.Unmarshal(m.value, &s) != nil {
		return "", m.wrongType("a string")
	}
	if s == "" {
		return "", refuse(m.path, "must not be empty")
	}
	return s, nil
}

// truth returns the value if it is true or false.
func (m member) truth() (bool, error) {
	var b bool
	if kindOf(m.value) != "a boolean" || json.Unmarshal(m.value, &b) != nil {
		return false, m.wrongType("true or false")
	}
	return b, nil
}

// number returns the value, as it is written, if it is a number.
func (m member) number() (json.Number, error) {
	if kindOf(m.value) != "a number" {
		return "", m.wrongType("a number")
	}
	return json.Number(m.value), nil
}

// items returns the values of a list, or the value itself if it is none.
func (m member) items() ([]member, error) {
	if kindOf(m.value) != "a list" {
		return []member{m}, nil
	}
	var values []json.RawMessage
	if err := json.Unmarshal(m.value, &values); err != nil {
		return nil, refuse(m.path, "cannot be read: %w", err)
	}
	if len(values) == 0 {
		return nil, refuse(m.path, "is an empty list, which nothing is in").WithHint("Name at least one value, or leave it out.")
	}
	list := make([]member, len(values))
	for i, value := range values {
		list[i] = member{name: m.name, path: fmt.Sprintf("%s[%d]", m.path, i), value: value}
	}
	return list, nil
}

// texts returns the value if it is a string or a list of strings.
func (m member) texts() ([]string, error) {
	items, err := m.items()
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(items))
	for i, item := range items {
		if kindOf(item.value) != "a string" {
			if kindOf(m.value) == "a list" {
				return nil, item.wrongType("a string")
			}
			return nil, item.wrongType("a string or a list of strings")
		}
		if texts[i], err = item.text(); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// want returns the value as a person reads it: a string without its quotes,
// anything else as compact JSON.
func (m member) want() string {
	if s, err := m.text(); err == nil {
		return s
	}
	var out bytes.Buffer
	if json.Compact(&out, m.value) != nil {
		return string(m.value)
	}
	return out.String()
}

// unknown refuses a name that is none of the known ones, and proposes the one
// that was probably meant.
func (m member) unknown(what string, known []string) *jeantrail.Error {
	err := refuse(m.path, "is not %s", what)
	if nearest, ok := jeantrail.Nearest(m.name, known); ok {
		return err.WithHint("Did you mean %q?", nearest)
	}
	return err.WithHint("Known are %s.", strings.Join(known, ", "))
}
