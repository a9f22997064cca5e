package prompt

import (
	"math"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/jeantrail/jeantrail-ai"
)

// The limits of a template file. What people write is far below them.
const (
	maxFileBytes = 256 << 10
	maxVariables = 64
	maxEnum      = 256
)

var (
	templateName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	variableName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// load reads a template file and checks everything about it.
func load(file File) (*compiled, error) {
	if len(file.Data) > maxFileBytes {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "%s: the file has %d bytes, the most is %d", file.Path, len(file.Data), maxFileBytes)
	}
	l := &loader{document: document{path: file.Path}, nodes: make(map[string]*yaml.Node)}
	root, err := l.parse(file.Data)
	if err != nil {
		return nil, err
	}
	if err := l.template(root); err != nil {
		return nil, err
	}
	l.t.Source = file.Path
	return l.compile()
}

// loader collects a template from its file.
type loader struct {
	document
	t     jeantrail.Template
	nodes map[string]*yaml.Node // by field, for the lines of later checks
}

// reader is how the value of a key is read.
type reader = func(n *yaml.Node, field string) error

// into reads a value to its place and remembers the field's node.
func into[T any](l *loader, to *T, read func(n *yaml.Node, field string) (T, error)) reader {
	return func(n *yaml.Node, field string) (err error) {
		l.nodes[field] = n
		*to, err = read(n, field)
		return err
	}
}

func (l *loader) template(root *yaml.Node) error {
	err := l.mapping(root, "", map[string]reader{
		"name":        into(l, &l.t.Name, l.name(templateName)),
		"version":     into(l, &l.t.Version, l.count),
		"kind":        into(l, &l.t.Kind, l.kind),
		"description": into(l, &l.t.Description, l.text),
		"input":       into(l, &l.t.Input, l.text),
		"variables":   into(l, &l.t.Variables, l.variables),
		"system":      into(l, &l.t.System, l.text),
		"prompt":      into(l, &l.t.Prompt, l.text),
	}, "name", "version", "kind", "description", "prompt")
	if err != nil {
		return err
	}
	if l.t.Kind != jeantrail.KindText && l.t.System != "" {
		return l.wrong(l.nodes["system"], "system", "a template of the kind %s has no system text", l.t.Kind).
			WithHint("Say everything in prompt.")
	}
	if l.t.Input == "" {
		return nil
	}
	i := slices.IndexFunc(l.t.Variables, func(v jeantrail.TemplateVariable) bool { return v.Name == l.t.Input })
	if i < 0 || l.t.Variables[i].Type != jeantrail.VariableString {
		return l.wrong(l.nodes["input"], "input", "%s is not a variable of the type string", shown(l.t.Input)).
			WithHint("A request's prompt fills this variable.")
	}
	return nil
}

func (l *loader) name(pattern *regexp.Regexp) func(n *yaml.Node, field string) (string, error) {
	return func(n *yaml.Node, field string) (string, error) {
		name, err := l.text(n, field)
		if err == nil && (!pattern.MatchString(name) || len(name) > jeantrail.MaxNameBytes) {
			return "", l.wrong(n, field, "%s is not a name", shown(name)).
				WithHint("A name matches %s and is at most %d bytes long.", pattern, jeantrail.MaxNameBytes)
		}
		return name, err
	}
}

func (l *loader) kind(n *yaml.Node, field string) (jeantrail.Kind, error) {
	text, err := l.text(n, field)
	kind := jeantrail.Kind(text)
	if err == nil && kind != jeantrail.KindText && kind != jeantrail.KindImage {
		return "", l.wrong(n, field, "%s is not a kind that has templates", shown(text)).WithHint("Use text or image.")
	}
	return kind, err
}

func (l *loader) variables(n *yaml.Node, field string) ([]jeantrail.TemplateVariable, error) {
	elements, err := l.sequence(n, field, maxVariables)
	if err != nil {
		return nil, err
	}
	var variables []jeantrail.TemplateVariable
	for i, element := range elements {
		v, err := l.variable(element, indexed(field, i))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(variables, func(w jeantrail.TemplateVariable) bool { return w.Name == v.Name }) {
			return nil, l.wrong(element, indexed(field, i)+".name", "the variable %s is declared twice", v.Name)
		}
		variables = append(variables, v)
	}
	return variables, nil
}

func (l *loader) variable(n *yaml.Node, field string) (v jeantrail.TemplateVariable, err error) {
	l.nodes[field] = n
	err = l.mapping(n, field, map[string]reader{
		"name":        into(l, &v.Name, l.name(variableName)),
		"type":        into(l, &v.Type, l.variableType),
		"description": into(l, &v.Description, l.text),
		"required":    into(l, &v.Required, l.flag),
		"default":     into(l, &v.Default, l.scalar),
		"enum":        into(l, &v.Enum, l.enum),
		"minimum":     into(l, &v.Minimum, l.number),
		"max_length":  into(l, &v.MaxLength, l.count),
	}, "name", "type", "description")
	if err == nil {
		err = l.limits(&v, field)
	}
	return v, err
}

func (l *loader) variableType(n *yaml.Node, field string) (jeantrail.VariableType, error) {
	text, err := l.text(n, field)
	if err == nil && !slices.Contains(variableTypes(), jeantrail.VariableType(text)) {
		return "", l.wrong(n, field, "%s is not a type", shown(text)).WithHint("Use string, number, integer or boolean.")
	}
	return jeantrail.VariableType(text), err
}

func variableTypes() []jeantrail.VariableType {
	return []jeantrail.VariableType{jeantrail.VariableString, jeantrail.VariableNumber, jeantrail.VariableInteger, jeantrail.VariableBoolean}
}

func (l *loader) enum(n *yaml.Node, field string) ([]string, error) {
	elements, err := l.sequence(n, field, maxEnum)
	if err != nil {
		return nil, err
	}
	var values []string
	for i, element := range elements {
		value, err := l.text(element, indexed(field, i))
		if err != nil {
			return nil, err
		}
		if slices.Contains(values, value) {
			return nil, l.wrong(element, indexed(field, i), "%s is listed twice", shown(value))
		}
		values = append(values, value)
	}
	return values, nil
}

// limits holds what a variable says about its values against its type and
// against each other.
func (l *loader) limits(v *jeantrail.TemplateVariable, field string) error {
	isNumber := v.Type == jeantrail.VariableNumber || v.Type == jeantrail.VariableInteger
	at := func(key, format string, args ...any) *jeantrail.Error {
		return l.wrong(l.nodes[field+"."+key], field+"."+key, format, args...)
	}
	switch {
	case v.Enum != nil && v.Type != jeantrail.VariableString:
		return at("enum", "only a string has it, not the type %s", v.Type)
	case v.MaxLength > 0 && v.Type != jeantrail.VariableString:
		return at("max_length", "only a string has it, not the type %s", v.Type)
	case v.Minimum != nil && !isNumber:
		return at("minimum", "only a number or integer has it, not the type %s", v.Type)
	case v.Type == jeantrail.VariableInteger && v.Minimum != nil && !exactInteger(*v.Minimum):
		return at("minimum", "the minimum of an integer must be an integer of at most %d", maxExactInteger)
	case v.Enum != nil && v.MaxLength > 0:
		return at("max_length", "the values of enum are the only ones; max_length says nothing more").WithHint("Leave max_length out.")
	case v.Default != nil && v.Required:
		return at("default", "a required variable has no default").WithHint("Leave out required or default.")
	case v.Default != nil:
		if _, problem := check(v, v.Default); problem != "" {
			return at("default", "it %s", problem)
		}
		// The default of a string may be left to the template's text.
		if text, ok := v.Default.(string); ok && strings.TrimSpace(text) == "" {
			return at("default", "the text is empty").WithHint("Leave the default out.")
		}
	}
	return nil
}

// maxExactInteger is the largest integer up to which a float64 holds every one.
const maxExactInteger = 1 << 53

func exactInteger(f float64) bool {
	return f == math.Trunc(f) && math.Abs(f) <= maxExactInteger
}
