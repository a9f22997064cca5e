package workflow

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"github.com/jeantrail/jeantrail-ai"
)

// The limits of an expression. Its memory is counted in elements of lists.
const (
	maxExpressionBytes  = 2048
	maxExpressionNodes  = 256
	maxExpressionMemory = 100_000
)

// shape is the type of a value, as far as parameters care.
type shape string

const (
	shapeAny     shape = "a value of any type"
	shapeText    shape = "a text"
	shapeInteger shape = "a whole number"
	shapeNumber  shape = "a number"
	shapeBoolean shape = "true or false"
	shapeFile    shape = "a file"
	shapeFiles   shape = "a list of files"
	shapeOther   shape = "a list or an object"
)

// expression is one that passed every check.
type expression struct {
	source  string
	program *vm.Program
	shape   shape
	uses    []string // the stages that it reads
}

// builtins are the functions of the language that may be called. Together with
// what visit refuses they keep the size of a value within the size of the
// expression times that of the largest value it reads.
var builtins = []string{
	"all", "any", "none", "count", "filter", "find", "first", "last", "len",
	"trim", "trimPrefix", "trimSuffix", "upper", "lower", "indexOf", "lastIndexOf", "hasPrefix", "hasSuffix",
	"min", "max", "abs", "ceil", "floor", "round", "int", "float", "toJSON",
}

// sight is what an expression can see: the types of inputs, and of the stages
// that have run before.
type sight struct {
	inputs types.Map
	stages types.Map
	later  []string // stages that have not run before
}

func (s *sight) env() types.Map { return types.Map{"inputs": s.inputs, "stages": s.stages} }

// options are those of the compiler.
func options(env types.Map) []expr.Option {
	opts := []expr.Option{
		expr.Env(env), expr.MaxNodes(maxExpressionNodes), expr.DisableAllBuiltins(),
		expr.Function("shorten", func(args ...any) (any, error) {
			return shorten(args[0].(string), args[1].(int)), nil
		}, new(func(string, int) string)),
	}
	for _, name := range builtins {
		opts = append(opts, expr.EnableBuiltin(name))
	}
	return opts
}

// shorten returns the first n characters of a text.
func shorten(text string, n int) string {
	for i := range text {
		if n <= 0 {
			return text[:i]
		}
		n--
	}
	return text
}

// compile checks an expression. What is wrong comes with the byte of the source
// that it is about.
func (s *sight) compile(source string, extra ...expr.Option) (*expression, *fault) {
	if len(source) > maxExpressionBytes {
		return nil, &fault{text: fmt.Sprintf("the expression has %d bytes, the most is %d", len(source), maxExpressionBytes)}
	}
	tree, err := parser.Parse(source)
	if err != nil {
		return nil, faultOf(source, err)
	}
	v := &inspector{sight: s, named: make(map[*ast.IdentifierNode]bool)}
	ast.Walk(&tree.Node, v)
	if v.fault == nil {
		v.bare(tree.Node)
	}
	if v.fault != nil {
		v.fault.at = offset(source, v.fault.at)
		return nil, v.fault
	}
	program, err := expr.Compile(source, append(options(s.env()), extra...)...)
	if err != nil {
		return nil, faultOf(source, err)
	}
	cuts := cutFinder{}
	node := program.Node()
	ast.Walk(&node, &cuts)
	if cuts.found {
		return nil, &fault{text: "[a:b] cuts a text between bytes", hint: "Use shorten(text, n)."}
	}
	return &expression{source: source, program: program, shape: shapeOf(program.Node().Type()), uses: v.uses}, nil
}

// fault is what is wrong with an expression.
type fault struct {
	at         int // byte of the source
	text, hint string
}

func faultOf(source string, err error) *fault {
	var e *file.Error
	if errors.As(err, &e) {
		return &fault{at: offset(source, e.From), text: e.Message}
	}
	return &fault{text: err.Error()}
}

// offset turns a count of characters into one of bytes.
func offset(source string, runes int) int {
	for i := range source {
		if runes <= 0 {
			return i
		}
		runes--
	}
	return len(source)
}

func shapeOf(t reflect.Type) shape {
	switch {
	case t == nil || t.Kind() == reflect.Interface:
		return shapeAny
	case t == reflect.TypeFor[*attachment]():
		return shapeFile
	case t == reflect.TypeFor[[]*attachment]():
		return shapeFiles
	}
	switch t.Kind() {
	case reflect.String:
		return shapeText
	case reflect.Int, reflect.Int64:
		return shapeInteger
	case reflect.Float64:
		return shapeNumber
	case reflect.Bool:
		return shapeBoolean
	}
	return shapeOther
}

// inspector walks the tree as it was written. It knows what is allowed, not what
// is forbidden, so that what a later release adds is refused.
type inspector struct {
	sight *sight
	named map[*ast.IdentifierNode]bool // inputs and stages that a name follows
	uses  []string
	fault *fault // the first; at counts characters
}

func (v *inspector) refuse(n ast.Node, hint, format string, args ...any) {
	if v.fault == nil {
		v.fault = &fault{at: n.Location().From, text: fmt.Sprintf(format, args...), hint: hint}
	}
}

// Visit implements the visitor of the tree, whose leaves come first.
func (v *inspector) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.NilNode, *ast.IdentifierNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode,
		*ast.UnaryNode, *ast.ChainNode, *ast.SliceNode, *ast.PredicateNode, *ast.PointerNode, *ast.ConditionalNode,
		*ast.ArrayNode, *ast.MapNode, *ast.PairNode:
	case *ast.BinaryNode:
		if n.Operator == ".." {
			v.refuse(n, "", "ranges are not allowed")
		}
	case *ast.MemberNode:
		v.member(n)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value == "shorten" {
			v.named[callee] = true
			return
		}
		v.refuse(n, functionsHint(), "the function %s is not known", shown(n.Callee.String()))
	case *ast.BuiltinNode:
		if !slices.Contains(builtins, n.Name) {
			v.refuse(n, functionsHint(), "the function %s is not allowed", n.Name)
		}
	default:
		v.refuse(n, "", "%s is not allowed", shown(n.String()))
	}
}

func functionsHint() string {
	return "There are: " + strings.Join(slices.Sorted(slices.Values(append([]string{"shorten"}, builtins...))), ", ") + "."
}

// member checks inputs.NAME and stages.NAME.
func (v *inspector) member(n *ast.MemberNode) {
	base, ok := n.Node.(*ast.IdentifierNode)
	if !ok || base.Value != "inputs" && base.Value != "stages" {
		return
	}
	name, ok := n.Property.(*ast.StringNode)
	if !ok {
		v.refuse(n, "", "the name after %s must be written out", base.Value)
		return
	}
	v.named[base] = true
	known := v.sight.inputs
	if base.Value == "stages" {
		known = v.sight.stages
	}
	switch {
	case known[name.Value] == nil && base.Value == "inputs":
		v.refuse(n, nearest(name.Value, sortedKeys(known)), "there is no input %s", shown(name.Value))
	case known[name.Value] == nil && slices.Contains(v.sight.later, name.Value):
		v.refuse(n, "A stage sees those that stand above it, outside its own group.", "the stage %s has not run before", name.Value)
	case known[name.Value] == nil:
		v.refuse(n, nearest(name.Value, sortedKeys(known)), "there is no stage %s", shown(name.Value))
	case base.Value == "stages" && !slices.Contains(v.uses, name.Value):
		v.uses = append(v.uses, name.Value)
	}
}

// bare refuses names that are none of inputs.NAME, stages.NAME.
func (v *inspector) bare(root ast.Node) {
	ast.Walk(&root, visitor(func(n ast.Node) {
		id, ok := n.(*ast.IdentifierNode)
		switch {
		case !ok || v.named[id]:
		case id.Value == "inputs" || id.Value == "stages":
			v.refuse(n, "", "%s stands alone, without a name after it", id.Value)
		default:
			v.refuse(n, "Write inputs.NAME or stages.NAME.text.", "the name %s is not known", shown(id.Value))
		}
	}))
}

type visitor func(ast.Node)

// Visit implements the visitor of a tree.
func (f visitor) Visit(node *ast.Node) { f(*node) }

// cutFinder looks for texts that are cut by bytes.
type cutFinder struct{ found bool }

// Visit implements the visitor of a tree.
func (c *cutFinder) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.SliceNode); ok && n.Node.Type().Kind() == reflect.String {
		c.found = true
	}
}

// run evaluates the expression. Errors are invalid.
func (e *expression) run(scope map[string]any) (any, error) {
	machine := vm.VM{MemoryBudget: maxExpressionMemory}
	value, err := machine.Run(e.program, scope)
	if err == nil {
		return value, nil
	}
	text := err.Error()
	var located *file.Error
	if errors.As(err, &located) {
		text = located.Message
	}
	if strings.HasPrefix(text, "reflect:") || strings.Contains(text, "<nil>") {
		text = "it reads a value that is not there"
	}
	return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "{{ %s }}: %s", e.source, text)
}
