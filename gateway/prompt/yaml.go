package prompt

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/jeantrail/jeantrail-ai"
)

// document is the file that errors are about. Its methods read one value of the
// YAML tree each and refuse what is not exactly of the kind asked for: decoding
// into Go types would convert silently and name no field.
type document struct{ path string }

// wrong says what is wrong with the field at the node.
func (d document) wrong(n *yaml.Node, field, format string, args ...any) *jeantrail.Error {
	return d.wrongAt(n.Line, field, format, args...)
}

func (d document) wrongAt(line int, field, format string, args ...any) *jeantrail.Error {
	args = append([]any{d.path, line, field}, args...)
	return jeantrail.Errorf(jeantrail.CodeInvalid, "%s:%d: %s: "+format, args...)
}

// parse returns the root of the only document in data.
func (d document) parse(data []byte) (*yaml.Node, error) {
	nothingLeft := yaml.NewDecoder(bytes.NewReader(nil)).Decode(new(yaml.Node))
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, nothingLeft):
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "%s: the file is empty", d.path).
			WithHint("Write a template into the file or remove it.")
	case err != nil:
		return nil, d.syntax(err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, d.wrong(&second, "document", "the file has a second document").
			WithHint("Put one template into each file.")
	case !errors.Is(err, nothingLeft):
		return nil, d.syntax(err)
	}
	return first.Content[0], nil
}

func (d document) syntax(err error) error {
	return jeantrail.Errorf(jeantrail.CodeInvalid, "%s: %s", d.path, strings.TrimPrefix(err.Error(), "yaml: ")).
		WithHint("The file is not valid YAML.")
}

// mapping hands the value of every key to its reader. within is the path of the
// mapping, "" for the root. Keys that are not known, are given twice, or are
// required and missing are refused.
func (d document) mapping(n *yaml.Node, within string, readers map[string]func(n *yaml.Node, field string) error, required ...string) error {
	if n.Kind != yaml.MappingNode {
		return d.wrong(n, cmp.Or(within, "template"), "it must be a mapping of keys to values")
	}
	known := slices.Sorted(maps.Keys(readers))
	given := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field := join(within, key.Value)
		read, ok := readers[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" || !ok:
			return d.wrong(key, join(within, shown(key.Value)), "the key is not known").WithHint("Keys are %s.", strings.Join(known, ", "))
		case given[key.Value]:
			return d.wrong(key, field, "the key is given twice").WithHint("Remove one of them.")
		}
		given[key.Value] = true
		if err := read(value, field); err != nil {
			return err
		}
	}
	for _, key := range required {
		if !given[key] {
			return d.wrong(n, join(within, key), "it is missing").WithHint("Required keys are %s.", strings.Join(required, ", "))
		}
	}
	return nil
}

func join(within, key string) string {
	if within == "" {
		return key
	}
	return within + "." + key
}

// sequence returns the elements of a list.
func (d document) sequence(n *yaml.Node, field string, most int) ([]*yaml.Node, error) {
	switch {
	case n.Kind != yaml.SequenceNode:
		return nil, d.wrong(n, field, "it must be a list")
	case len(n.Content) == 0:
		return nil, d.wrong(n, field, "the list is empty").WithHint("Leave the key out.")
	case len(n.Content) > most:
		return nil, d.wrong(n, field, "the list has %d elements, the most is %d", len(n.Content), most)
	}
	return n.Content, nil
}

// text reads a string that is not empty.
func (d document) text(n *yaml.Node, field string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		return "", d.wrong(n, field, "it must be text").WithHint("A text that looks like something else stands in quotes.")
	}
	if strings.TrimSpace(n.Value) == "" {
		return "", d.wrong(n, field, "the text is empty")
	}
	return n.Value, nil
}

func (d document) flag(n *yaml.Node, field string) (bool, error) {
	var value bool
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(&value) != nil {
		return false, d.wrong(n, field, "it must be true or false")
	}
	return value, nil
}

// count reads a whole number from 1.
func (d document) count(n *yaml.Node, field string) (int, error) {
	value, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || value < 1 || value > math.MaxInt32 {
		return 0, d.wrong(n, field, "it must be a whole number from 1 to %d", math.MaxInt32)
	}
	return value, nil
}

func (d document) number(n *yaml.Node, field string) (*float64, error) {
	value, problem := parseNumber(json.Number(n.Value))
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" && n.ShortTag() != "!!float" || problem != "" {
		return nil, d.wrong(n, field, "it must be a number").WithHint("Write it as in JSON, for example 0 or 2.5.")
	}
	return &value, nil
}

// scalar reads a value as JSON would give it: string, json.Number or bool.
func (d document) scalar(n *yaml.Node, field string) (any, error) {
	if n.Kind == yaml.ScalarNode {
		switch n.ShortTag() {
		case "!!str":
			return n.Value, nil
		case "!!bool":
			return d.flag(n, field)
		case "!!int", "!!float":
			return json.Number(n.Value), nil
		}
	}
	return nil, d.wrong(n, field, "it must be text, a number, true or false")
}
