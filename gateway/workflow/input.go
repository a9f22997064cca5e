package workflow

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/types"

	"github.com/jeantrail/jeantrail-ai"
)

// The types of inputs.
const (
	typeString  = "string"
	typeInteger = "integer"
	typeNumber  = "number"
	typeBoolean = "boolean"
	typeAudio   = "audio"
	typeImage   = "image"
)

var inputTypes = []string{typeString, typeInteger, typeNumber, typeBoolean, typeAudio, typeImage}

// inputType is what expressions see of an input.
func inputType(t string) types.Type {
	switch t {
	case typeString:
		return types.String
	case typeInteger:
		return types.Int
	case typeNumber:
		return types.Float64
	case typeBoolean:
		return types.Bool
	case typeAudio, typeImage:
		return types.TypeOf(new(attachment))
	}
	return types.Any // its type is wrong, which is told elsewhere
}

// values makes what expressions see of the inputs. Everything wrong with them is
// told in one error.
func (w *compiled) values(given map[string]any) (map[string]any, error) {
	problems := w.unknown(given)
	seen := make(map[string]any, len(w.Inputs))
	for i := range w.Inputs {
		in := &w.Inputs[i]
		v, ok := given[in.Name]
		if !ok || v == nil {
			v = in.Default
		}
		if v == nil && in.Required {
			problems = append(problems, fmt.Sprintf("%s is missing", in.Name))
			continue
		}
		value, problem := valueOf(in, v)
		seen[in.Name] = value
		if problem == "" && in.Required && blank(value) {
			problem = "is empty"
		}
		if problem != "" {
			problems = append(problems, in.Name+" "+problem)
		}
	}
	if len(problems) == 0 && len(w.atLeastOne) > 0 && !slices.ContainsFunc(w.atLeastOne, func(name string) bool { return !blank(seen[name]) }) {
		problems = append(problems, "at least one is needed of "+strings.Join(w.atLeastOne, ", "))
	}
	if len(problems) > 0 {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "inputs of the workflow %s: %s", w.Name, strings.Join(problems, "; ")).
			WithHint("%s", w.signature()).WithName("workflow", w.Name)
	}
	return seen, nil
}

// maxListed is how many names that a caller made up a message repeats.
const maxListed = 32

// unknown lists the inputs that the workflow does not have.
func (w *compiled) unknown(given map[string]any) []string {
	var names, problems []string
	for i := range w.Inputs {
		names = append(names, w.Inputs[i].Name)
	}
	for _, name := range sortedKeys(given) {
		if slices.Contains(names, name) {
			continue
		}
		if len(problems) == maxListed {
			return append(problems, "and more")
		}
		problem := shown(name) + " is not an input"
		if near, ok := jeantrail.Nearest(name, names); ok {
			problem += " (did you mean " + near + "?)"
		}
		problems = append(problems, problem)
	}
	return problems
}

// signature says which inputs the workflow has.
func (w *compiled) signature() string {
	if len(w.Inputs) == 0 {
		return "The workflow has no inputs."
	}
	var parts []string
	for _, in := range w.Inputs {
		part := in.Name + " (" + in.Type
		if !in.Required {
			part += ", optional"
		}
		parts = append(parts, part+")")
	}
	return "Its inputs are " + strings.Join(parts, ", ") + "."
}

// blank reports whether an input has no value.
func blank(v any) bool {
	text, ok := v.(string)
	return v == nil || ok && strings.TrimSpace(text) == ""
}

// valueOf holds a value, as it comes from JSON or as a file, against the type of
// its input. It returns what expressions see, or what is wrong, as the rest of a
// sentence that begins with the input's name.
func valueOf(in *jeantrail.WorkflowInput, v any) (seen any, problem string) {
	t := in.Type
	wanted := map[string]string{
		typeString: "a string", typeInteger: "an integer", typeNumber: "a number", typeBoolean: "true or false",
		typeAudio: "a file of audio", typeImage: "a file of an image",
	}[t]
	switch v := v.(type) {
	case nil:
		if t == typeString {
			return "", ""
		}
		return nil, ""
	case string:
		if t == typeString {
			return textValue(v)
		}
	case bool:
		if t == typeBoolean {
			return v, ""
		}
	case json.Number:
		switch t {
		case typeInteger:
			i, err := strconv.ParseInt(string(v), 10, 64)
			if err != nil || i > maxExactInteger || i < -maxExactInteger {
				return nil, fmt.Sprintf("must be an integer of at most %d, without a fraction or an exponent", maxExactInteger)
			}
			return int(i), ""
		case typeNumber:
			f, err := strconv.ParseFloat(string(v), 64)
			if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
				return nil, "must be a number that is not too large"
			}
			return f, ""
		}
	case jeantrail.File:
		return fileValue(in, v, wanted)
	}
	return nil, "must be " + wanted + ", not " + jsonKind(v)
}

func textValue(v string) (any, string) {
	switch {
	case !utf8.ValidString(v):
		return nil, "is not valid UTF-8"
	case len(v) > jeantrail.MaxPromptBytes:
		return nil, fmt.Sprintf("has %d bytes, the most is %d", len(v), jeantrail.MaxPromptBytes)
	}
	return v, ""
}

// fileValue trusts what the file was found to be, if that is known.
func fileValue(in *jeantrail.WorkflowInput, f jeantrail.File, wanted string) (any, string) {
	other := map[string]string{typeAudio: "image/", typeImage: "audio/"}[in.Type]
	if other == "" || strings.HasPrefix(f.MediaType, other) {
		found := f.MediaType
		if found == "" {
			found = "an unknown type"
		}
		return nil, "must be " + wanted + ", not a file of " + found
	}
	return attach(f, in.Name), ""
}

// jsonKind names what JSON calls the value.
func jsonKind(v any) string {
	switch v.(type) {
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
	return fmt.Sprintf("a value of the type %T", v)
}
