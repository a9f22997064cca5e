// Package prompt renders prompt templates: a template's name and variables
// become the system text and the prompt of a request, as a pure function.
//
// A template is a YAML file with the keys name, version, kind (text or image),
// description, input, variables, system and prompt; any other key is refused. A
// variable has name, type (string, number, integer or boolean), description,
// required, default, enum, minimum and max_length. input names the variable
// that a request's own prompt fills. The built-in templates lie in templates/; a
// file of the home folder adds one, or takes the place of the built-in one of
// the same name. Everything is checked when a file is read, so that a template
// in the Library can only fail on the values that it is given.
//
// system and prompt are written in a small part of Go's text/template:
//
//	{{.name}}, {{trim .name}}, {{"text"}}    a value, without white space around it, a text
//	{{if C}} … {{else if C}} … {{else}} … {{end}}
//	C: .name, trim .name, eq .name "text" …, ne .name "text", not C, and C C …, or C C …
//
// C holds for a string that is not empty, a number that is given, a boolean
// that is true. Operands that are not a name stand in parentheses. There are no
// loops and no functions that make text longer, so that the work is bounded by
// the lengths of template and values, and the output by jeantrail.MaxPromptBytes.
// Numbers are written with the caller's own digits, booleans as yes and no.
//
// # Trust
//
// A variable's text is data. It is never parsed as a template, never escaped,
// and can never become a control token of a model: a template makes messages,
// which the engine tokenises without looking for special tokens (only a raw
// prompt is read with them, and Apply refuses a template together with raw). A
// text that anybody may choose can be part of the prompt only, never of the
// system text: templates that try are refused. So a caller's "<|im_end|>" is
// ten characters in the user's message, and nothing else.
//
// The package imports the words of the root package and a YAML parser. What
// must never happen here: I/O, a clock, or a chat template of a model; turning
// messages into tokens is the engine's business.
package prompt
