package workflow

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/jeantrail/jeantrail-ai"
)

// plan is what a stage asks for.
type plan struct {
	kind       jeantrail.Kind
	model      *value // nil for the default of the kind
	template   string
	variables  map[string]*value
	parameters map[string]*value
}

// plan reads what a stage, or its fallback, asks for. What a fallback does not
// say is that of the stage.
func (l *loader) plan(keys map[string]*yaml.Node, within string, base plan) *plan {
	p := &plan{
		kind: base.kind, model: base.model, template: base.template,
		variables: base.variables, parameters: make(map[string]*value),
	}
	for name, v := range base.parameters {
		p.parameters[name] = v
	}
	if n := keys["model"]; n != nil {
		p.model = l.scalar(n, join(within, "model"), shapeText)
		if p.model != nil && len(p.model.uses) > 0 {
			l.wrong(n.Line, join(within, "model"), "Use inputs only.", "what a stage gave cannot choose a model")
		}
	}
	known := parameters(p.kind)
	for _, name := range sortedKeys(known) {
		if n := keys[name]; n != nil {
			if v := l.parameter(n, join(within, name), p.kind, known[name]); v != nil {
				p.parameters[name] = v
			}
		}
	}
	l.template(keys, within, p)
	return p
}

// parameter reads a parameter, and holds a constant against the limits that the
// request has for it.
func (l *loader) parameter(n *yaml.Node, field string, kind jeantrail.Kind, param parameter) *value {
	var v *value
	switch {
	case param.read != nil:
		v = param.read(l, n, field)
	case param.fixed:
		v = l.fixed(n, field, param.want)
	default:
		v = l.scalar(n, field, param.want)
	}
	if v == nil || v.constant == nil {
		return v
	}
	r := sample(kind)
	err := param.put(&r, v.constant)
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		e := jeantrail.AsError(err)
		l.wrong(n.Line, field, e.Hint, "%s", e.Message)
		return nil
	}
	return v
}

// template reads the template of a plan and its variables.
func (l *loader) template(keys map[string]*yaml.Node, within string, p *plan) {
	if !hasTemplates(p.kind) {
		return
	}
	if n := keys["template"]; n != nil {
		if v := l.fixed(n, join(within, "template"), shapeText); v != nil {
			p.template = v.constant.(string)
		}
		p.variables = nil
	}
	field := join(within, "variables")
	if n := keys["variables"]; n != nil {
		p.variables = make(map[string]*value)
		given := l.keys(n, field, nil)
		for _, name := range sortedKeys(given) {
			if v := l.scalar(given[name], join(field, name), shapeAny); v != nil {
				p.variables[name] = v
			}
		}
		if p.template == "" {
			l.wrong(n.Line, field, "Name one in template.", "variables need a template")
		}
	}
	if n := keys["template"]; n != nil && p.template != "" && l.templates != nil {
		l.knownTemplate(n, keys["variables"], within, p)
	}
}

// knownTemplate holds a template's name and variables against what there is.
func (l *loader) knownTemplate(n, variables *yaml.Node, within string, p *plan) {
	field := join(within, "template")
	t, err := l.templates.Template(p.template)
	if err != nil {
		e := jeantrail.AsError(err)
		l.wrong(n.Line, field, e.Hint, "%s", e.Message)
		return
	}
	if t.Kind != p.kind {
		l.wrong(n.Line, field, "", "the template %s is for the kind %s, not for %s", t.Name, t.Kind, p.kind)
		return
	}
	var names []string
	for _, v := range t.Variables {
		names = append(names, v.Name)
		filled := v.Name == t.Input && p.parameters["prompt"] != nil
		if v.Required && p.variables[v.Name] == nil && !filled {
			l.wrong(n.Line, field, "", "the template %s needs the variable %s", t.Name, v.Name)
		}
	}
	for _, name := range sortedKeys(p.variables) {
		if !slices.Contains(names, name) {
			l.wrong(variables.Line, join(join(within, "variables"), name), nearest(name, names), "the template %s has no such variable", t.Name)
		}
	}
}

// request makes the request that the plan asks for. Errors are invalid and name
// the key.
func (p *plan) request(scope map[string]any) (jeantrail.Request, error) {
	r := empty(p.kind)
	if p.model != nil {
		model, err := p.model.eval(scope)
		if err != nil {
			return r, atKey("model", err)
		}
		if model != nil {
			r.Model = model.(string)
		}
	}
	known := parameters(p.kind)
	for _, name := range sortedKeys(p.parameters) {
		v, err := p.parameters[name].eval(scope)
		if err == nil && v != nil {
			err = known[name].put(&r, v)
		}
		if err != nil {
			return r, atKey(name, err)
		}
	}
	if p.template == "" {
		return r, nil
	}
	r.Template, r.Variables = p.template, make(map[string]any, len(p.variables))
	for _, name := range sortedKeys(p.variables) {
		v, err := p.variables[name].eval(scope)
		if err != nil {
			return r, atKey("variables."+name, err)
		}
		if v == nil {
			continue
		}
		scalar, ok := jsonScalar(v)
		if !ok {
			return r, jeantrail.Errorf(jeantrail.CodeInvalid, "variables.%s: it is %s, it must be text, a number, true or false", name, describe(v))
		}
		r.Variables[name] = scalar
	}
	return r, nil
}

// uses are the stages whose results the plan reads.
func (p *plan) uses() []string {
	var names []string
	for _, set := range []map[string]*value{p.parameters, p.variables} {
		for _, v := range set {
			names = append(names, v.uses...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
