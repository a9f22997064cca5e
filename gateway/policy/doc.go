// Package policy decides what a principal may do (submit work, spend for
// another user, see or stop a job, see or set what is about money) and what the
// optimisation rules make of a request.
//
// A rule is two JSON objects. Its conditions must all hold of the facts of a
// request; its actions then change the request's terms. ParseRule is strict,
// because it stands between the owner of a rule and a surprise: it is asked when
// a rule is written over the API, and again for every row that is applied, since
// anybody may write one into the database. A row that it refuses is named in the
// outcome with the reason; it is never passed over without a word.
//
//	conditions            holds if
//	input_length          the characters of the caller's text compare so: "<100", "<=100", ">100",
//	                      ">=100", "=100", "!=100", "100..200" (both included), or 100
//	input_tokens          the same of the prompt's tokens
//	budget_used_percent   the same of the most used budget's share that is spent or reserved, in whole
//	                      percent, rounded down; never without a budget
//	budget_short          true or false: a budget has no room for the request as it was asked for
//	task_type             it is the word, or one of a list
//	user                  it is the user, or one of a list
//	kind                  it is text, image, transcribe, speak or pipeline, or one of a list
//	model                 the model that would answer, or the name that was asked for, is the word, or one
//	                      of a list; a * at the end of a word stands for any ending
//	tokens_per_second     the speed at which that model writes one answer, as a benchmark last measured it
//	                      on this machine, in whole tokens per second, rounded down, compares so; never if
//	                      it was not measured
//	hour                  the hour (UTC, 0 to 23) is the number, compares so, or is in a range such as "9-17"
//	                      (09:00 to 17:59) or "22-6", over midnight; or one of a list of these
//	weekday               the day (UTC) is "mon" or "monday", or in a range such as "mon-fri"; or one of a list
//	metadata              for each key of the object, the request's value is the word, or one of a list; "*"
//	                      is any value
//
//	actions               change
//	model                 the model that answers
//	temperature           the temperature, 0 to 10
//	max_tokens            the most tokens of the answer; what was asked for is never raised
//	thinking              whether the model may think first
//	priority              interactive, batch or background
//	cache                 whether a stored result may answer, and the result be stored
//	chain                 nothing by itself: true goes on to the next rules; else the first rule that is
//	                      applied ends the search
//
// A rule without conditions is about every request. Words are compared letter
// for letter. In a chain, later rules see the model that an earlier one chose;
// every other fact stays as the request came.
//
// Every decision is a pure function of its arguments. The gateway asks before
// it acts, so that no front end has to remember to.
//
// It imports the words of the root package only. What must never happen here:
// I/O, a clock, or a decision that depends on anything but the arguments.
package policy
