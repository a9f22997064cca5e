package workflow

import (
	"slices"

	"github.com/expr-lang/expr"
	"go.yaml.in/yaml/v3"

	"github.com/jeantrail/jeantrail-ai"
)

// stage reads one stage; nil if nothing can be said about it.
func (l *loader) stage(b block) *stage {
	common := []string{"name", "kind", "condition", "on_error", "fallback", "retries", "timeout"}
	kind := jeantrail.Kind("")
	if n := keyOf(b.node, "kind"); n != nil {
		kind = jeantrail.Kind(l.choice(n, b.field+".kind", "text", "image", "transcribe", "speak"))
	}
	known := common
	for _, k := range stageKinds() {
		if kind == "" || k == kind { // without a kind any key may be meant
			known = append(known, planKeys(k)...)
		}
	}
	keys := l.keys(b.node, b.field, slices.Compact(slices.Sorted(slices.Values(known))), "name", "kind")
	s := &stage{kind: kind, onError: onErrorFail}
	if n := keys["name"]; n != nil {
		l.stageName(n, b.field+".name", s)
	}
	if kind == "" {
		return nil
	}
	s.plan = l.plan(keys, b.field, plan{kind: kind})
	if main := mainParameter(kind); s.plan.parameters[main] == nil && keys[main] == nil && s.plan.template == "" {
		l.wrong(b.node.Line, join(b.field, main), "", "it is missing")
	}
	l.conduct(keys, b.field, s)
	return s
}

func (l *loader) stageName(n *yaml.Node, field string, s *stage) {
	if !l.partName(n, field) {
		return
	}
	if slices.ContainsFunc(l.w.stages, func(other *stage) bool { return other.name == n.Value }) {
		l.wrong(n.Line, field, "", "there are two stages %s", n.Value)
		return
	}
	s.name = n.Value
}

// conduct reads when a stage runs and what happens if it fails.
func (l *loader) conduct(keys map[string]*yaml.Node, field string, s *stage) {
	if n := keys["condition"]; n != nil {
		s.condition = l.condition(n, field+".condition")
	}
	if n := keys["on_error"]; n != nil {
		if word := l.choice(n, field+".on_error", onErrorFail, onErrorSkip, onErrorFallback); word != "" {
			s.onError = word
		}
	}
	if n := keys["retries"]; n != nil {
		s.retries = int(l.integer(n, field+".retries", 0, MaxRetries))
	}
	if n := keys["timeout"]; n != nil {
		s.timeout = l.duration(n, field+".timeout", leastTimeout, mostTimeout)
	}
	switch n := keys["fallback"]; {
	case n != nil:
		l.fallback(n, field+".fallback", s)
		if s.onError != onErrorFallback {
			l.wrong(n.Line, field+".fallback", "Write on_error: fallback.", "on_error says that it is never used")
		}
	case s.onError == onErrorFallback:
		l.wrong(keys["on_error"].Line, field+".fallback", "", "it is missing")
	}
}

func (l *loader) fallback(n *yaml.Node, field string, s *stage) {
	known := planKeys(s.kind)
	written := s.kind == jeantrail.KindText || s.kind == jeantrail.KindTranscribe
	if written {
		known = append(known, "output")
	}
	keys := l.keys(n, field, known)
	if out := keys["output"]; out != nil {
		if len(keys) > 1 {
			l.wrong(out.Line, field+".output", "Leave the other keys out.", "it stands for the stage, nothing else is tried")
		}
		s.fallbackText = l.scalar(out, field+".output", shapeText)
		return
	}
	if len(keys) == 0 && n.Kind == yaml.MappingNode {
		l.wrong(n.Line, field, "Say what is different, such as model.", "it is empty")
		return
	}
	s.fallback = l.plan(keys, field, *s.plan)
}

// condition reads a boolean expression, with or without braces.
func (l *loader) condition(n *yaml.Node, field string) *expression {
	source := l.text(n, field)
	if source == "" {
		return nil
	}
	at := 0
	if pieces, bad := split(source); bad == nil && len(pieces) == 1 && pieces[0].expr {
		source, at = pieces[0].text, pieces[0].at
	}
	e, bad := l.sight.compile(source, expr.AsBool())
	if bad != nil {
		l.wrong(textLine(n, at+bad.at), field, bad.hint, "%s", bad.text)
		return nil
	}
	return e
}
