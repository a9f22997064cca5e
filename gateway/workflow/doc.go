// Package workflow runs pipelines: a workflow is a list of stages, and each
// stage is an ordinary job on the road of package gateway, admitted, priced,
// reserved and settled like any other.
//
// # The file
//
// A workflow is a YAML file with the keys name, description, inputs,
// at_least_one_of, stages and output; any other key is refused.
//
//	name: caption
//	description: A caption for a picture.
//	inputs:
//	  image: {type: image, required: true, description: The picture.}
//	  tone: {type: string, default: dry, description: How it sounds.}
//	stages:
//	  - name: look
//	    kind: text
//	    prompt: Describe the picture.
//	    images: ["{{ inputs.image }}"]
//	    max_tokens: 200
//	    retries: 2
//	  - name: caption
//	    kind: text
//	    condition: stages.look.text != ""
//	    prompt: "Write a {{ inputs.tone }} caption for this: {{ stages.look.text }}"
//	    on_error: fallback
//	    fallback: {output: "{{ stages.look.text }}"}
//	output:
//	  caption: "{{ stages.caption.text }}"
//
// An input has type (string, integer, number, boolean, audio or image),
// required, default and description. at_least_one_of lists inputs of which one
// must be given.
//
// A stage has name, kind (text, image, transcribe or speak), the parameters of a
// request of that kind, model, template and variables (text and image), and:
//
//	condition   an expression; the stage is skipped if it is false
//	on_error    fail (default): the pipeline fails with the stage's error
//	            skip: the pipeline goes on without the stage
//	            fallback: what the key fallback says is used instead
//	fallback    keys that replace those of the stage, which is then tried once
//	            more; or output, a text that stands for what it would have given
//	retries     0 to 5: how often it is tried again after an error that may pass
//	            (worker_unavailable, queue_full, model_loading, deadline,
//	            rate_limited), with growing pauses, or as long as the error says
//	timeout     such as 90s: how long one attempt may take, its queue included
//
// An element {parallel: [stage, …]} of stages is a group that runs at once.
//
// # Expressions
//
// A string may hold {{ expression }}. A string that is one expression alone keeps
// its type, so that a file stays a file, and a parameter whose expression has no
// value is left out. What an expression can see:
//
//	inputs.NAME                an input; without a value and a default, a string
//	                           is empty and anything else nil
//	stages.NAME.status         succeeded or skipped, of a stage that ran before
//	stages.NAME.reason         why it was skipped, or why its fallback was used
//	stages.NAME.text           of text and transcribe; empty if it was skipped
//	stages.NAME.truncated      of text: a limit ended it
//	stages.NAME.artifacts      files, of image, transcribe and speak
//	stages.NAME.segments, .language, .duration (seconds)   of transcribe
//
// A file has media_type, bytes, width, height and duration. The language is
// that of github.com/expr-lang/expr without what could make values grow (map,
// reduce, ranges, let), with its functions all, any, none, count, filter, find,
// first, last, len, trim, trimPrefix, trimSuffix, upper, lower, indexOf,
// lastIndexOf, hasPrefix, hasSuffix, min, max, abs, ceil, floor, round, int,
// float, toJSON, and shorten(text, n), the first n characters of a text.
//
// Everything is checked when a file is read: names, types, the order of stages,
// and the limits of each parameter. All that is wrong is told at once, with the
// file and the line.
//
// # Trust
//
// The system text and the template of a stage are constants: what a caller or a
// model wrote can be part of a prompt only.
//
// The package may import gateway and the words of the root package. What must
// never happen here: a stage that reaches a backend without the road, or a file
// that is read or written other than through fs.FS and Storage.
package workflow
