package prompt

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"go.yaml.in/yaml/v3"

	"github.com/jeantrail/jeantrail-ai"
)

const grammarHint = "A template has {{.name}}, {{trim .name}}, {{if}} and {{else}}, and the functions eq, ne, not, and, or, trim."

// functions are what a template's text may call beside the conditions of
// text/template itself. None makes its argument longer.
func functions() template.FuncMap { return template.FuncMap{"trim": strings.TrimSpace} }

// parsable are the names of all functions that the parser lets pass. Any other
// of text/template's own, like printf, is not defined for it.
func parsable() map[string]any {
	names := map[string]any{"eq": true, "ne": true, "not": true, "and": true, "or": true}
	for name, f := range functions() {
		names[name] = f
	}
	return names
}

// compile parses the texts of the template and holds them against its
// variables, both ways.
func (l *loader) compile() (*compiled, error) {
	c := &compiled{Template: l.t}
	used := make(map[string]bool)
	var err error
	if l.t.System != "" {
		if c.system, err = l.parseText("system", l.t.System, used); err != nil {
			return nil, err
		}
	}
	if c.prompt, err = l.parseText("prompt", l.t.Prompt, used); err != nil {
		return nil, err
	}
	for i, v := range l.t.Variables {
		if !used[v.Name] {
			return nil, l.wrong(l.nodes[indexed("variables", i)], indexed("variables", i), "the variable %s is not used in system or prompt", v.Name).
				WithHint("Use it or remove it.")
		}
	}
	return c, nil
}

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func (l *loader) parseText(field, text string, used map[string]bool) (*template.Template, error) {
	defined := make(map[string]*parse.Tree)
	tree, err := parse.New(field).Parse(text, "", "", defined, parsable())
	if err != nil {
		message := strings.TrimPrefix(err.Error(), "template: "+field+":")
		number, rest, _ := strings.Cut(message, ":")
		line, _ := strconv.Atoi(number)
		return nil, l.wrongAt(textLine(l.nodes[field], line), field, "%s", strings.TrimSpace(rest)).WithHint(grammarHint)
	}
	// A {{define}} with the name of the field itself would take its place.
	if len(defined) != 1 || defined[field] != tree {
		return nil, l.wrong(l.nodes[field], field, "define and block are not allowed").WithHint(grammarHint)
	}
	g := &grammar{variables: l.t.Variables, used: used, system: field == "system"}
	if problem := g.list(tree.Root); problem != nil {
		line := 1 + strings.Count(text[:problem.pos], "\n")
		return nil, l.wrongAt(textLine(l.nodes[field], line), field, "%s", problem.text).WithHint("%s", problem.hint)
	}
	t, err := template.New(field).Funcs(functions()).Option("missingkey=error").AddParseTree(field, tree)
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInternal, "add the text %s: %w", field, err)
	}
	return t, nil
}

// textLine returns the line of the file for a line of a text, from 1. Only in a
// literal block are the lines of both the same.
func textLine(n *yaml.Node, line int) int {
	if n.Style&yaml.LiteralStyle != 0 {
		return n.Line + line
	}
	return n.Line
}

// problem is something in a text that is not allowed, at a byte of the text.
type problem struct {
	pos        parse.Pos
	text, hint string
}

func disallowed(n parse.Node, format string, args ...any) *problem {
	return &problem{pos: n.Position(), text: fmt.Sprintf(format, args...), hint: grammarHint}
}

// grammar walks a parse tree. It knows what is allowed, not what is forbidden, so
// that a node that a later Go adds is refused.
type grammar struct {
	variables []jeantrail.TemplateVariable
	used      map[string]bool
	system    bool // the text is the system text
}

func (g *grammar) list(list *parse.ListNode) *problem {
	if list == nil {
		return nil
	}
	for _, n := range list.Nodes {
		if p := g.node(n); p != nil {
			return p
		}
	}
	return nil
}

func (g *grammar) node(n parse.Node) *problem {
	switch n := n.(type) {
	case *parse.TextNode:
		return nil
	case *parse.ActionNode:
		return g.value(n.Pipe)
	case *parse.IfNode:
		if p := g.condition(n.Pipe); p != nil {
			return p
		}
		if p := g.list(n.List); p != nil {
			return p
		}
		return g.list(n.ElseList)
	case *parse.RangeNode:
		return disallowed(n, "range is not allowed")
	case *parse.WithNode:
		return disallowed(n, "with is not allowed")
	case *parse.TemplateNode:
		return disallowed(n, "template and block are not allowed")
	}
	return disallowed(n, "%s is not allowed", shown(n.String()))
}

// single returns the arguments of the pipe's only command.
func (g *grammar) single(pipe *parse.PipeNode) ([]parse.Node, *problem) {
	if len(pipe.Decl) > 0 {
		return nil, disallowed(pipe, "%s: variables of the text's own are not allowed", shown(pipe.String()))
	}
	if len(pipe.Cmds) != 1 {
		return nil, disallowed(pipe, "%s: | is not allowed", shown(pipe.String()))
	}
	return pipe.Cmds[0].Args, nil
}

// value checks an action that writes something.
func (g *grammar) value(pipe *parse.PipeNode) *problem {
	args, p := g.single(pipe)
	if p != nil {
		return p
	}
	var v *jeantrail.TemplateVariable
	switch first := args[0].(type) {
	case *parse.StringNode:
		if len(args) == 1 {
			return nil
		}
	case *parse.PipeNode:
		if len(args) == 1 {
			return g.value(first)
		}
	case *parse.FieldNode:
		if len(args) > 1 {
			break
		}
		if v, p = g.field(first); p != nil {
			return p
		}
	case *parse.IdentifierNode:
		if first.Ident != "trim" {
			return disallowed(first, "%s is for conditions, it has no text", first.Ident)
		}
		if v, p = g.trimmed(first, args[1:]); p != nil {
			return p
		}
	}
	if v == nil {
		return disallowed(pipe, "%s is not allowed", shown(pipe.String()))
	}
	if g.system && v.Type == jeantrail.VariableString && v.Enum == nil {
		return &problem{pos: pipe.Position(), text: "the variable " + v.Name + " can be any text, which must not become part of the system text",
			hint: "Write it in prompt, or give the variable an enum."}
	}
	return nil
}

// condition checks what an if asks.
func (g *grammar) condition(pipe *parse.PipeNode) *problem {
	args, p := g.single(pipe)
	if p != nil {
		return p
	}
	if len(args) == 1 {
		return g.operand(args[0])
	}
	function, ok := args[0].(*parse.IdentifierNode)
	if !ok {
		return disallowed(args[0], "%s is not a condition", shown(pipe.String()))
	}
	switch name := function.Ident; name {
	case "trim":
		_, p := g.trimmed(function, args[1:])
		return p
	case "eq", "ne":
		return g.comparison(function, args[1:])
	default: // not, and, or: the parser knows no others
		if name == "not" && len(args) != 2 || name != "not" && len(args) < 3 {
			return disallowed(function, "wrong number of conditions for %s", name)
		}
		for _, arg := range args[1:] {
			if p := g.operand(arg); p != nil {
				return p
			}
		}
		return nil
	}
}

func (g *grammar) operand(n parse.Node) *problem {
	switch n := n.(type) {
	case *parse.FieldNode:
		_, p := g.field(n)
		return p
	case *parse.PipeNode:
		return g.condition(n)
	}
	return disallowed(n, "%s is not a condition", shown(n.String()))
}

// comparison checks eq and ne, which compare a string with texts. A text that
// the variable can never be is a mistake.
func (g *grammar) comparison(function *parse.IdentifierNode, args []parse.Node) *problem {
	if len(args) < 2 || function.Ident == "ne" && len(args) != 2 {
		return disallowed(function, "wrong number of arguments for %s", function.Ident)
	}
	v, p := g.stringField(function, args[0])
	if p != nil {
		return p
	}
	for _, arg := range args[1:] {
		text, ok := arg.(*parse.StringNode)
		if !ok {
			return disallowed(arg, "%s compares a variable with texts, not with %s", function.Ident, shown(arg.String()))
		}
		if v.Enum != nil && !slices.Contains(v.Enum, text.Text) {
			return &problem{pos: text.Position(), text: fmt.Sprintf("the variable %s is never %s", v.Name, shown(text.Text)),
				hint: "It is one of " + strings.Join(v.Enum, ", ") + "."}
		}
	}
	return nil
}

func (g *grammar) trimmed(function *parse.IdentifierNode, args []parse.Node) (*jeantrail.TemplateVariable, *problem) {
	if len(args) != 1 {
		return nil, disallowed(function, "wrong number of arguments for trim")
	}
	return g.stringField(function, args[0])
}

func (g *grammar) stringField(function *parse.IdentifierNode, arg parse.Node) (*jeantrail.TemplateVariable, *problem) {
	n, ok := arg.(*parse.FieldNode)
	if !ok {
		return nil, disallowed(arg, "%s takes a variable, not %s", function.Ident, shown(arg.String()))
	}
	v, p := g.field(n)
	if p == nil && v.Type != jeantrail.VariableString {
		p = disallowed(n, "%s takes a string, %s is of the type %s", function.Ident, v.Name, v.Type)
	}
	return v, p
}

// field finds the variable that a field names, and notes that it is used.
func (g *grammar) field(n *parse.FieldNode) (*jeantrail.TemplateVariable, *problem) {
	if len(n.Ident) == 1 {
		for i := range g.variables {
			if v := &g.variables[i]; v.Name == n.Ident[0] {
				g.used[v.Name] = true
				return v, nil
			}
		}
	}
	return nil, &problem{pos: n.Position(), text: "the variable " + shown(n.String()[1:]) + " is not declared", hint: "Declare it under variables."}
}
