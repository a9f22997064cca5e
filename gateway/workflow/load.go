package workflow

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/expr-lang/expr/types"
	"go.yaml.in/yaml/v3"

	"github.com/jeantrail/jeantrail-ai"
)

// The limits of a workflow. What people write is far below them.
const (
	MaxFileBytes = 256 << 10
	MaxStages    = 32
	MaxRetries   = 5
	maxInputs    = 64
	maxOutputs   = 64
	leastTimeout = time.Second
	mostTimeout  = 24 * time.Hour
)

var (
	workflowName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	partName     = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// What a stage does about an error.
const (
	onErrorFail     = "fail"
	onErrorSkip     = "skip"
	onErrorFallback = "fallback"
)

// compiled is a workflow that has passed every check.
type compiled struct {
	jeantrail.Workflow
	file       string // that it was read from; "" for a built-in one
	atLeastOne []string
	stages     []*stage
	groups     [][]int // numbers of stages, in the order in which they run
	output     map[string]*value
}

// stage is one stage of a workflow.
type stage struct {
	name         string
	kind         jeantrail.Kind
	plan         *plan
	condition    *expression // nil: it always runs
	onError      string
	fallback     *plan  // what is tried instead; nil for none
	fallbackText *value // what stands for its text instead; nil for none
	retries      int
	timeout      time.Duration // of one attempt; 0: none of its own
}

// Templates tells which prompt templates there are.
type Templates interface {
	// Template returns a template, or not_found with the names there are.
	Template(name string) (*jeantrail.Template, error)
}

// loader collects a workflow from its file.
type loader struct {
	document
	templates Templates // nil: names of templates are not checked
	w         *compiled
	sight     sight
}

// load reads a workflow and checks everything about it. Everything that is wrong
// is told in one error, by line.
func load(path string, data []byte, templates Templates) (*compiled, error) {
	l := &loader{
		document: document{path: path}, templates: templates,
		w:     &compiled{output: make(map[string]*value)},
		sight: sight{inputs: types.Map{}, stages: types.Map{}},
	}
	if len(data) > MaxFileBytes {
		l.wrong(1, "workflow", "", "the file has %d bytes, the most is %d", len(data), MaxFileBytes)
		return nil, l.err()
	}
	if root := l.parse(data); root != nil {
		l.workflow(root)
	}
	l.w.Source = string(data)
	return l.w, l.err()
}

func (l *loader) workflow(root *yaml.Node) {
	keys := l.keys(root, "", []string{"name", "description", "inputs", "at_least_one_of", "stages", "output"},
		"name", "stages", "output")
	l.w.Name = l.name(keys["name"], "name", workflowName)
	l.w.Description = l.text(keys["description"], "description")
	if n := keys["inputs"]; n != nil {
		l.inputs(n)
	}
	if n := keys["at_least_one_of"]; n != nil {
		l.atLeastOne(n)
	}
	if n := keys["stages"]; n != nil {
		l.stages(n)
	}
	if n := keys["output"]; n != nil {
		l.outputs(n)
	}
}

func (l *loader) inputs(n *yaml.Node) {
	given := l.keys(n, "inputs", nil)
	if len(given) > maxInputs {
		l.wrong(n.Line, "inputs", "", "there are %d inputs, the most is %d", len(given), maxInputs)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 { // in the order of the file
		name := n.Content[i].Value
		if given[name] != n.Content[i+1] {
			continue
		}
		field := join("inputs", name)
		if !l.partName(n.Content[i], field) {
			continue
		}
		in := l.input(n.Content[i+1], field)
		in.Name = name
		l.w.Inputs = append(l.w.Inputs, in)
		l.sight.inputs[name] = inputType(in.Type)
	}
}

// words of the expression language cannot be names.
var words = []string{"not", "and", "or", "in", "let", "if", "else", "true", "false", "nil", "matches", "contains"}

func (l *loader) partName(n *yaml.Node, field string) bool {
	if l.name(n, field, partName) == "" {
		return false
	}
	if slices.Contains(words, n.Value) {
		l.wrong(n.Line, field, "Choose another name.", "%s is a word of the expression language", n.Value)
		return false
	}
	return true
}

func (l *loader) input(n *yaml.Node, field string) jeantrail.WorkflowInput {
	keys := l.keys(n, field, []string{"type", "required", "default", "description"}, "type")
	in := jeantrail.WorkflowInput{
		Required:    l.flag(keys["required"], field+".required"),
		Description: l.text(keys["description"], field+".description"),
	}
	if keys["type"] != nil {
		in.Type = l.choice(keys["type"], field+".type", inputTypes...)
	}
	n = keys["default"]
	field += ".default"
	switch {
	case n == nil:
	case in.Required:
		l.wrong(n.Line, field, "Leave out required or default.", "a required input has no default")
	case in.Type == typeAudio || in.Type == typeImage:
		l.wrong(n.Line, field, "", "a file has no default")
	case in.Type == typeInteger:
		in.Default = json.Number(strconv.FormatInt(l.integer(n, field, -maxExactInteger, maxExactInteger), 10))
	case in.Type == typeNumber:
		in.Default = json.Number(strconv.FormatFloat(l.number(n, field), 'g', -1, 64))
	case in.Type == typeBoolean:
		in.Default = l.flag(n, field)
	case in.Type == typeString:
		in.Default = l.text(n, field)
	}
	return in
}

func (l *loader) atLeastOne(n *yaml.Node) {
	for i, element := range l.sequence(n, "at_least_one_of", maxInputs) {
		field := indexed("at_least_one_of", i)
		name := l.text(element, field)
		at := slices.IndexFunc(l.w.Inputs, func(in jeantrail.WorkflowInput) bool { return in.Name == name })
		switch {
		case name == "":
		case at < 0:
			l.wrong(element.Line, field, nearest(name, sortedKeys(l.sight.inputs)), "there is no input %s", shown(name))
		case l.w.Inputs[at].Required || l.w.Inputs[at].Default != nil:
			l.wrong(element.Line, field, "", "the input %s is required or has a default, so that it always has a value", name)
		default:
			l.w.atLeastOne = append(l.w.atLeastOne, name)
		}
	}
}

// block is a stage in the file.
type block struct {
	node  *yaml.Node
	field string
	group int // number of its group from 1; 0 if it runs alone
}

func (l *loader) stages(n *yaml.Node) {
	var items [][]block
	count, groups := 0, 0
	for i, element := range l.sequence(n, "stages", MaxStages) {
		field := indexed("stages", i)
		item := []block{{node: element, field: field}}
		if isGroup(element) {
			groups++
			item = l.group(element, field, groups)
		}
		items = append(items, item)
		count += len(item)
	}
	if count > MaxStages {
		l.wrong(n.Line, "stages", "", "there are %d stages, the most is %d", count, MaxStages)
		return
	}
	for _, item := range items {
		for _, b := range item {
			if name := keyOf(b.node, "name"); name != nil {
				l.sight.later = append(l.sight.later, name.Value)
			}
		}
	}
	for _, item := range items {
		l.item(item)
	}
}

func isGroup(n *yaml.Node) bool { return keyOf(n, "parallel") != nil }

// keyOf returns the value of a key without checking anything.
func keyOf(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func (l *loader) group(n *yaml.Node, field string, number int) []block {
	var item []block
	keys := l.keys(n, field, []string{"parallel"})
	field = join(field, "parallel")
	for i, element := range l.sequence(keys["parallel"], field, MaxStages) {
		if isGroup(element) {
			l.wrong(element.Line, indexed(field, i), "", "a group cannot be within another")
			continue
		}
		item = append(item, block{node: element, field: indexed(field, i), group: number})
	}
	return item
}

// item reads stages that run at once. They see the stages before them, and not
// each other.
func (l *loader) item(blocks []block) {
	var numbers []int
	var ran []*stage
	for _, b := range blocks {
		s := l.stage(b)
		if s == nil {
			continue
		}
		numbers = append(numbers, len(l.w.stages))
		l.w.stages = append(l.w.stages, s)
		ran = append(ran, s)
		shown := jeantrail.WorkflowStage{Name: s.name, Kind: s.kind, Parallel: b.group, OnError: s.onError}
		if s.plan.model != nil {
			shown.Model, _ = s.plan.model.constant.(string)
		}
		l.w.Stages = append(l.w.Stages, shown)
	}
	if numbers != nil {
		l.w.groups = append(l.w.groups, numbers)
	}
	for _, s := range ran {
		if s.name != "" {
			l.sight.stages[s.name] = stageType(s.kind)
		}
	}
}

// outputs reads what the workflow gives. Its expressions see every stage.
func (l *loader) outputs(n *yaml.Node) {
	l.sight.later = nil
	given := l.keys(n, "output", nil)
	if len(given) == 0 && n.Kind == yaml.MappingNode || len(given) > maxOutputs {
		l.wrong(n.Line, "output", "", "it must have between 1 and %d names", maxOutputs)
		return
	}
	for _, name := range sortedKeys(given) {
		field, node := join("output", name), given[name]
		if !hasExpression(node) {
			l.wrong(node.Line, field, `Write an expression such as "{{ stages.NAME.text }}".`, "it has no expression")
			continue
		}
		if v := l.templated(node, field, shapeAny); v != nil {
			l.w.output[name] = v
		}
	}
}
