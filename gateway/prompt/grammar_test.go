package prompt_test

import (
	"strings"
	"testing"
)

// withTexts is a template with all kinds of variables and the texts, whose first
// lines are 15 and 17.
func withTexts(system, prompt string) string {
	indent := func(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }
	return `name: t
version: 1
kind: text
description: d
variables:
  - {name: s, type: string, description: d}
  - {name: e, type: string, enum: [a, b], description: d}
  - {name: n, type: number, description: d}
  - {name: i, type: integer, description: d}
  - {name: b, type: boolean, description: d}

system: |-
  ` + indent(system) + `
prompt: |-
  {{if .s}}{{end}}{{if .e}}{{end}}{{if .n}}{{end}}{{if .i}}{{end}}{{if .b}}{{end}}
  ` + indent(prompt) + "\n"
}

func TestTextsAreRefused(t *testing.T) {
	for _, c := range []struct{ text, message string }{
		{"{{range .s}}x{{end}}", "range is not allowed"},
		{"{{range 1000000000}}x{{end}}", "range is not allowed"},
		{"{{if .b}}{{range .s}}x{{end}}{{end}}", "range is not allowed"},
		{"{{if .b}}{{else}}{{range .s}}x{{end}}{{end}}", "range is not allowed"},
		{"{{with .s}}x{{end}}", "with is not allowed"},
		{"{{if .s}}{{else with .s}}x{{end}}", "unexpected <with> in input"},
		{`{{template "prompt"}}`, "template and block are not allowed"},
		{"{{break}}", "{{break}} outside {{range}}"},
		{"{{.}}", `"." is not allowed`},
		{"{{$}}", `"$" is not allowed`},
		{"{{$.s}}", `"$.s" is not allowed`},
		{"{{$x := .s}}", `"$x := .s": variables of the text's own are not allowed`},
		{"{{if $x := .s}}{{end}}", `"$x := .s": variables of the text's own are not allowed`},
		{"{{nil}}", `"nil" is not allowed`},
		{"{{1}}", `"1" is not allowed`},
		{"{{true}}", `"true" is not allowed`},
		{"{{.s | trim}}", `".s | trim": | is not allowed`},
		{`{{.s.x}}`, `the variable "s.x" is not declared`},
		{`{{.b.String}}`, `the variable "b.String" is not declared`},
		{`{{(.s).x}}`, `"(.s).x" is not allowed`},
		{"{{.other}}", `the variable "other" is not declared`},
		{"{{.S}}", `the variable "S" is not declared`},
		{"{{if .other}}{{end}}", `the variable "other" is not declared`},
		{`{{if eq .other "x"}}{{end}}`, `the variable "other" is not declared`},
		{"{{trim .other}}", `the variable "other" is not declared`},
		{`{{printf "%1000000000d" 1}}`, `function "printf" not defined`},
		{"{{print .s}}", `function "print" not defined`},
		{"{{html .s}}", `function "html" not defined`},
		{"{{len .s}}", `function "len" not defined`},
		{"{{index . .s}}", `function "index" not defined`},
		{"{{call .s}}", `function "call" not defined`},
		{"{{if gt .n 3}}{{end}}", `function "gt" not defined`},
		{"{{upper .s}}", `function "upper" not defined`},
		{"{{eq .s .s}}", "eq is for conditions"},
		{"{{and .s .e}}", "and is for conditions"},
		{"{{not .s}}", "not is for conditions"},
		{`{{"a" "b"}}`, `"\"a\" \"b\"" is not allowed`},
		{"{{.s .e}}", `".s .e" is not allowed`},
		{"{{(.s) .e}}", `"(.s) .e" is not allowed`},
		{"{{trim}}", "wrong number of arguments for trim"},
		{"{{trim .s .s}}", "wrong number of arguments for trim"},
		{`{{trim "x"}}`, `trim takes a variable, not "\"x\""`},
		{"{{trim .n}}", "trim takes a string, n is of the type number"},
		{"{{trim (trim .s)}}", "trim takes a variable"},
		{"{{if trim}}{{end}}", `"trim" is not a condition`},
		{"{{if trim .b}}{{end}}", "trim takes a string, b is of the type boolean"},
		{"{{if trim .s .s}}{{end}}", "wrong number of arguments for trim"},
		{`{{if "x"}}{{end}}`, `"\"x\"" is not a condition`},
		{"{{if true}}{{end}}", `"true" is not a condition`},
		{"{{if .}}{{end}}", `"." is not a condition`},
		{"{{if .s .s}}{{end}}", `".s .s" is not a condition`},
		{"{{if .s | not}}{{end}}", `".s | not": | is not allowed`},
		{"{{if not}}{{end}}", `"not" is not a condition`},
		{"{{if not .s .s}}{{end}}", "wrong number of conditions for not"},
		{"{{if and .s}}{{end}}", "wrong number of conditions for and"},
		{"{{if or .s}}{{end}}", "wrong number of conditions for or"},
		{"{{if and .s 1}}{{end}}", `"1" is not a condition`},
		{"{{if and .s trim .s}}{{end}}", `"trim" is not a condition`},
		{"{{if and .s (eq .n 1)}}{{end}}", "eq takes a string, n is of the type number"},
		{"{{if eq .s}}{{end}}", "wrong number of arguments for eq"},
		{`{{if ne .s "a" "b"}}{{end}}`, "wrong number of arguments for ne"},
		{`{{if eq "a" .s}}{{end}}`, `eq takes a variable, not "\"a\""`},
		{"{{if eq .s .e}}{{end}}", `eq compares a variable with texts, not with ".e"`},
		{"{{if eq .s 1}}{{end}}", `eq compares a variable with texts, not with "1"`},
		{`{{if eq .b "yes"}}{{end}}`, "eq takes a string, b is of the type boolean"},
		{`{{if eq .e "a" "c"}}{{end}}`, `the variable e is never "c"`},
		{`{{if ne .e "A"}}{{end}}`, `the variable e is never "A"`},
		{"{{if .s}}", "unexpected EOF"},
		{"{{end}}", "unexpected {{end}}"},
		{"{{.s", "unclosed action"},
		{"{{}}", "missing value for command"},
		{"{{if {{if .s", `unexpected "{" in if`},
		{"{{if " + strings.Repeat("(", 20000) + ".s", "max expression depth exceeded"},
	} {
		refused(t, c.text, withTexts("x", c.text), "f.yaml:16: prompt: "+c.message)
		refused(t, c.text, withTexts(c.text, "x"), "f.yaml:13: system: "+c.message)
	}
	for _, text := range []string{
		`{{define "x"}}x{{end}}`, `{{block "x" .}}x{{end}}`, `{{define "x"}}{{end}}`,
	} {
		refused(t, text, withTexts("x", text), "f.yaml:14: prompt: define and block are not allowed")
	}
	// The text is nothing but a definition of itself.
	for _, field := range []string{"prompt", "system"} {
		text := "name: t\nversion: 1\nkind: text\ndescription: d\nsystem: x\nprompt: x\n"
		text = strings.Replace(text, field+": x", field+`: '{{define "`+field+`"}}x{{end}}'`, 1)
		refused(t, "define "+field, text, map[string]string{"prompt": "f.yaml:6: prompt: ", "system": "f.yaml:5: system: "}[field]+"define and block are not allowed")
	}
}

// Text that anybody can choose stays out of the system text, also when it hides
// in a condition's branch.
func TestSystemTextIsTheTemplates(t *testing.T) {
	for _, text := range []string{"{{.s}}", "{{trim .s}}", "{{(.s)}}", "{{if .b}}x{{else}}{{.s}}{{end}}"} {
		refused(t, text, withTexts(text, "x"), "f.yaml:13: system: the variable s can be any text")
	}
	l := library(t, file("f.yaml", withTexts(`{{if trim .s}}{{.e}} {{.n}} {{.i}} {{.b}} {{"{{"}}{{end}}`, "{{.s}}")))
	r, err := l.Render("t", decode(t, `{"s": "text", "e": "b", "n": 1.0, "i": 7, "b": false}`))
	if err != nil || r.System != "b 1.0 7 no {{" || r.Prompt != "\ntext" {
		t.Errorf("rendered %+v, %v", r, err)
	}
}

func TestLinesInTexts(t *testing.T) {
	refused(t, "third line", withTexts("x", "one\ntwo {{.s}}\nthree {{.other}}"), "f.yaml:18: prompt: ")
	refused(t, "third line", withTexts("x", "one\ntwo {{.s}}\nthree {{printf}}"), "f.yaml:18: prompt: ")
	// Other styles of YAML fold lines; the text's first one is named.
	refused(t, "folded", "name: t\nversion: 1\nkind: text\ndescription: d\nprompt: >-\n  a\n  b\n  {{.x}}\n", "f.yaml:5: prompt: ")
	refused(t, "quoted", "name: t\nversion: 1\nkind: text\ndescription: d\nprompt: \"a\\n\\n{{.x}}\"\n", "f.yaml:5: prompt: ")
}

func TestConditions(t *testing.T) {
	for _, c := range []struct{ condition, holds, fails string }{
		{".s", `{"s": " "}`, `{"s": ""}`},
		{".s", `{"s": "x"}`, `{}`},
		{"trim .s", `{"s": "x"}`, `{"s": " \n"}`},
		{".n", `{"n": 0}`, `{}`},
		{".i", `{"i": 0}`, `{}`},
		{".b", `{"b": true}`, `{"b": false}`},
		{"not .b", `{}`, `{"b": true}`},
		{`eq .e "a"`, `{"e": "a"}`, `{"e": "b"}`},
		{`eq .s "x" "y"`, `{"s": "y"}`, `{"s": "z"}`},
		{`ne .e "a"`, `{"e": "b"}`, `{"e": "a"}`},
		{`ne .e "a"`, `{}`, `{"e": "a"}`},
		{"and .s .b", `{"s": "x", "b": true}`, `{"s": "x", "b": false}`},
		{`or .s (and .b (eq .e "a"))`, `{"b": true, "e": "a"}`, `{"b": true, "e": "b"}`},
		{"((.b))", `{"b": true}`, `{}`},
	} {
		l := library(t, file("f.yaml", withTexts("x", "{{if "+c.condition+"}}holds{{else}}fails{{end}}")))
		for want, variables := range map[string]string{"\nholds": c.holds, "\nfails": c.fails} {
			if r, err := l.Render("t", decode(t, variables)); err != nil || r.Prompt != want {
				t.Errorf("%s with %s: got %+v, %v; want %q", c.condition, variables, r, err, want)
			}
		}
	}
}
