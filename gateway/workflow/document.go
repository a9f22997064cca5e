package workflow

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/jeantrail/jeantrail-ai"
)

// maxProblems is how many problems of a file are told at once.
const maxProblems = 32

// document is the file that problems are about. Its methods read one value of
// the YAML tree each and refuse what is not exactly of the kind asked for. They
// note what is wrong and go on, so that all of it is told at once.
type document struct {
	path     string
	problems []problem
}

type problem struct {
	line int
	text string
	hint string
}

// wrong notes what is wrong with a field; hint may be empty.
func (d *document) wrong(line int, field, hint, format string, args ...any) {
	d.problems = append(d.problems, problem{line: line, text: field + ": " + fmt.Sprintf(format, args...), hint: hint})
}

// err returns everything that was noted as one error, by line; nil if there is
// nothing.
func (d *document) err() error {
	slices.SortStableFunc(d.problems, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	switch len(d.problems) {
	case 0:
		return nil
	case 1:
		p := d.problems[0]
		return jeantrail.Errorf(jeantrail.CodeInvalid, "%s:%d: %s", d.path, p.line, p.text).WithHint("%s", p.hint)
	}
	var lines []string
	for i, p := range d.problems {
		if i == maxProblems {
			lines = append(lines, fmt.Sprintf("%s: and %d more", d.path, len(d.problems)-i))
			break
		}
		line := fmt.Sprintf("%s:%d: %s", d.path, p.line, p.text)
		if p.hint != "" {
			line += ". " + p.hint
		}
		lines = append(lines, line)
	}
	return jeantrail.Errorf(jeantrail.CodeInvalid, "%s", strings.Join(lines, "\n"))
}

// parse returns the root of the only document in data, nil if there is none.
func (d *document) parse(data []byte) *yaml.Node {
	nothingLeft := yaml.NewDecoder(bytes.NewReader(nil)).Decode(new(yaml.Node))
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, nothingLeft):
		d.wrong(1, "workflow", "Write a workflow into the file or remove it.", "the file is empty")
		return nil
	case err != nil:
		d.syntax(err)
		return nil
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		d.wrong(second.Line, "workflow", "Put one workflow into each file.", "the file has a second document")
	case !errors.Is(err, nothingLeft):
		d.syntax(err)
	}
	return first.Content[0]
}

var syntaxLine = regexp.MustCompile(`^line ([0-9]+): `)

func (d *document) syntax(err error) {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 1
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = strings.TrimPrefix(text, m[0])
	}
	d.wrong(line, "workflow", "An expression stands in quotes: \"{{ … }}\".", "the file is not valid YAML: %s", text)
}

// keys returns the values of a mapping by key. Keys that are not known, are
// given twice, or are required and missing are noted.
func (d *document) keys(n *yaml.Node, within string, known []string, required ...string) map[string]*yaml.Node {
	values := make(map[string]*yaml.Node)
	if n.Kind != yaml.MappingNode {
		d.wrong(n.Line, cmp.Or(within, "workflow"), "", "it must be a mapping of keys to values")
		return values
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		plain := key.Kind == yaml.ScalarNode && key.ShortTag() == "!!str"
		switch {
		case !plain || known != nil && !slices.Contains(known, key.Value):
			d.wrong(key.Line, join(within, shown(key.Value)), nearest(key.Value, known), "the key is not known")
		case values[key.Value] != nil:
			d.wrong(key.Line, join(within, key.Value), "Remove one of them.", "the key is given twice")
		default:
			values[key.Value] = value
		}
	}
	for _, key := range required {
		if values[key] == nil {
			d.wrong(n.Line, join(within, key), "", "it is missing")
		}
	}
	return values
}

// nearest says which name was probably meant, or which there are.
func nearest(name string, known []string) string {
	known = slices.Sorted(slices.Values(known))
	if near, ok := jeantrail.Nearest(name, known); ok {
		return "Did you mean " + near + "?"
	}
	if len(known) == 0 {
		return ""
	}
	return "There are: " + strings.Join(known, ", ") + "."
}

func join(within, key string) string {
	if within == "" {
		return key
	}
	return within + "." + key
}

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// shown quotes what somebody made up, cut to a length that fits into a message.
func shown(text string) string { return fmt.Sprintf("%.64q", text) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// sequence returns the elements of a list that is not empty.
func (d *document) sequence(n *yaml.Node, field string, most int) []*yaml.Node {
	switch {
	case n.Kind != yaml.SequenceNode:
		d.wrong(n.Line, field, "", "it must be a list")
	case len(n.Content) == 0:
		d.wrong(n.Line, field, "", "the list is empty")
	case len(n.Content) > most:
		d.wrong(n.Line, field, "", "the list has %d elements, the most is %d", len(n.Content), most)
	default:
		return n.Content
	}
	return nil
}

// text reads a string that is not empty; it returns "" if there is none.
func (d *document) text(n *yaml.Node, field string) string {
	switch {
	case n == nil:
		return ""
	case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str":
		d.wrong(n.Line, field, textHint(n), "it must be text")
		return ""
	case strings.TrimSpace(n.Value) == "":
		d.wrong(n.Line, field, "", "the text is empty")
		return ""
	}
	return n.Value
}

func textHint(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0 {
		return "An expression stands in quotes: \"{{ … }}\"."
	}
	return "A text that looks like something else stands in quotes."
}

// name reads a name that matches the pattern.
func (d *document) name(n *yaml.Node, field string, pattern *regexp.Regexp) string {
	name := d.text(n, field)
	if name != "" && (!pattern.MatchString(name) || len(name) > jeantrail.MaxNameBytes) {
		d.wrong(n.Line, field, fmt.Sprintf("A name matches %s and is at most %d bytes long.", pattern, jeantrail.MaxNameBytes),
			"%s is not a name", shown(name))
		return ""
	}
	return name
}

// choice reads one of a few words.
func (d *document) choice(n *yaml.Node, field string, words ...string) string {
	word := d.text(n, field)
	if word != "" && !slices.Contains(words, word) {
		d.wrong(n.Line, field, "Use "+strings.Join(words, ", ")+".", "%s is not known", shown(word))
		return ""
	}
	return word
}

func (d *document) flag(n *yaml.Node, field string) bool {
	if n == nil {
		return false
	}
	var value bool
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(&value) != nil {
		d.wrong(n.Line, field, "", "it must be true or false")
	}
	return value
}

// integer reads a whole number within the limits.
func (d *document) integer(n *yaml.Node, field string, least, most int64) int64 {
	value, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || value < least || value > most {
		d.wrong(n.Line, field, textHintOf(n), "it must be a whole number from %d to %d", least, most)
		return 0
	}
	return value
}

func (d *document) number(n *yaml.Node, field string) float64 {
	value, err := strconv.ParseFloat(n.Value, 64)
	numeric := n.ShortTag() == "!!int" || n.ShortTag() == "!!float"
	if n.Kind != yaml.ScalarNode || !numeric || err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		d.wrong(n.Line, field, textHintOf(n), "it must be a number")
		return 0
	}
	return value
}

// textHintOf helps with an expression that lost its quotes.
func textHintOf(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		return textHint(n)
	}
	return ""
}

// duration reads a length of time.
func (d *document) duration(n *yaml.Node, field string, least, most time.Duration) time.Duration {
	text := d.text(n, field)
	if text == "" {
		return 0
	}
	value, err := time.ParseDuration(text)
	if err != nil || value < least || value > most {
		d.wrong(n.Line, field, "Write it as 90s or 5m.", "it must be a time from %s to %s", least, most)
		return 0
	}
	return value
}
