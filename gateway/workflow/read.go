package workflow

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/jeantrail/jeantrail-ai"
)

// templated reads a string with expressions; nil if something is wrong with it.
func (l *loader) templated(n *yaml.Node, field string, want shape) *value {
	parts, bad := split(n.Value)
	if bad != nil {
		l.wrong(textLine(n, bad.at), field, bad.hint, "%s", bad.text)
		return nil
	}
	v := &value{want: want}
	ok := true
	for _, p := range parts {
		if !p.expr {
			v.parts = append(v.parts, part{text: p.text})
			continue
		}
		e, bad := l.sight.compile(p.text)
		if bad != nil {
			l.wrong(textLine(n, p.at+bad.at), field, bad.hint, "{{ %s }}: %s", strings.TrimSpace(p.text), bad.text)
			ok = false
			continue
		}
		e.source = strings.TrimSpace(p.text)
		v.parts = append(v.parts, part{expr: e})
		for _, name := range e.uses {
			if !slices.Contains(v.uses, name) {
				v.uses = append(v.uses, name)
			}
		}
	}
	if !ok || !l.fitting(n, field, v) {
		return nil
	}
	return v
}

// fitting holds the types of the expressions against what is wanted.
func (l *loader) fitting(n *yaml.Node, field string, v *value) bool {
	if e := v.alone(); e != nil {
		if fits(e.shape, v.want) {
			return true
		}
		hint := ""
		if v.want == shapeInteger && e.shape == shapeNumber {
			hint = "Use int(…)."
		}
		l.wrong(n.Line, field, hint, "{{ %s }} is %s, it must be %s", e.source, e.shape, v.want)
		return false
	}
	if v.want != shapeText && v.want != shapeAny {
		l.wrong(n.Line, field, "Write one expression alone.", "a text with expressions is %s, it must be %s", shapeText, v.want)
		return false
	}
	for _, p := range v.parts {
		if p.expr != nil && !fits(p.expr.shape, shapeText) {
			l.wrong(n.Line, field, "", "{{ %s }} is %s, it cannot stand within a text", p.expr.source, p.expr.shape)
			return false
		}
	}
	return true
}

// textLine returns the line of the file for a byte of a scalar. Only in a literal
// block are the lines of both the same.
func textLine(n *yaml.Node, at int) int {
	if n.Style&yaml.LiteralStyle != 0 {
		return n.Line + 1 + strings.Count(n.Value[:min(at, len(n.Value))], "\n")
	}
	return n.Line
}

// piece is a part of a string before it is compiled.
type piece struct {
	text string
	expr bool
	at   int // byte of the string where the text begins
}

// split finds the expressions of a string. Braces within quotes of an expression
// do not end it.
func split(s string) ([]piece, *fault) {
	var pieces []piece
	for at := 0; at < len(s); {
		open := strings.Index(s[at:], "{{")
		if open < 0 {
			return append(pieces, piece{text: s[at:], at: at}), nil
		}
		if open > 0 {
			pieces = append(pieces, piece{text: s[at : at+open], at: at})
		}
		begin := at + open + len("{{")
		end := closing(s[begin:])
		if end < 0 {
			return nil, &fault{at: at + open, text: "{{ has no }} after it", hint: `A text with {{ in it is written as {{ "{{" }}.`}
		}
		inside := s[begin : begin+end]
		if strings.TrimSpace(inside) == "" {
			return nil, &fault{at: at + open, text: "{{ }} has no expression in it"}
		}
		pieces = append(pieces, piece{text: inside, expr: true, at: begin})
		at = begin + end + len("}}")
	}
	return pieces, nil
}

// closing returns the place of the }} that ends an expression, -1 if there is
// none.
func closing(s string) int {
	var quote byte
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\' && quote != '`':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}' && strings.HasPrefix(s[i:], "}}"):
			return i
		}
	}
	return -1
}

func hasExpression(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && strings.Contains(n.Value, "{{")
}

// scalar reads the value of a parameter; nil if something is wrong with it.
func (l *loader) scalar(n *yaml.Node, field string, want shape) *value {
	if hasExpression(n) {
		return l.templated(n, field, want)
	}
	before := len(l.problems)
	v := &value{want: want}
	switch want {
	case shapeText:
		v.constant = l.text(n, field)
	case shapeInteger:
		v.constant = l.integer(n, field, -maxExactInteger, maxExactInteger)
	case shapeNumber:
		v.constant = l.number(n, field)
	case shapeBoolean:
		v.constant = l.flag(n, field)
	case shapeAny:
		v.constant = l.anyScalar(n, field)
	default:
		l.wrong(n.Line, field, `Write an expression such as "{{ inputs.NAME }}".`, "it must be %s", want)
	}
	if len(l.problems) > before {
		return nil
	}
	return v
}

func (l *loader) anyScalar(n *yaml.Node, field string) any {
	if n.Kind == yaml.ScalarNode {
		switch n.ShortTag() {
		case "!!str":
			return n.Value
		case "!!bool":
			return l.flag(n, field)
		case "!!int":
			return l.integer(n, field, -maxExactInteger, maxExactInteger)
		case "!!float":
			return l.number(n, field)
		}
	}
	l.wrong(n.Line, field, textHintOf(n), "it must be text, a number, true or false")
	return nil
}

// files reads a list of files, each an expression, or one expression.
func (l *loader) files(n *yaml.Node, field string) *value {
	if n.Kind != yaml.SequenceNode {
		return l.scalar(n, field, shapeFiles)
	}
	v := &value{want: shapeFiles}
	for i, element := range l.sequence(n, field, jeantrail.MaxFilesPerText) {
		one := l.scalar(element, indexed(field, i), shapeFiles)
		if one == nil {
			continue
		}
		v.list = append(v.list, one)
		v.uses = append(v.uses, one.uses...)
	}
	if len(v.list) == 0 {
		return nil
	}
	return v
}

// texts reads a list of constants.
func (l *loader) texts(n *yaml.Node, field string) *value {
	var texts []string
	for i, element := range l.sequence(n, field, jeantrail.MaxStops) {
		if element.Kind != yaml.ScalarNode || element.ShortTag() != "!!str" || element.Value == "" {
			l.wrong(element.Line, indexed(field, i), textHint(element), "it must be text")
			continue
		}
		texts = append(texts, element.Value)
	}
	return &value{constant: texts}
}

// fixed reads a constant.
func (l *loader) fixed(n *yaml.Node, field string, want shape) *value {
	if hasExpression(n) {
		l.wrong(n.Line, field, "Put what changes into prompt.", "it must be a constant, without {{ }}")
		return nil
	}
	return l.scalar(n, field, want)
}
