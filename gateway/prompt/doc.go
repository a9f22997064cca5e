// Package prompt is the place of prompt templates: it turns a template's name
// and variables into the messages of a text request, as a pure function.
//
// This release has no templates. A request that names one is refused as
// unsupported by the front end, with a hint, instead of being answered without
// it.
//
// It may import the words of the root package only. What must never happen
// here: I/O, a clock, or a chat template of a model; turning messages into
// tokens is the engine's business.
package prompt
