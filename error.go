package jeantrail

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code says what kind of thing went wrong. server maps it to an HTTP status in
// one table, cmd to an exit code in another.
type Code string

const (
	CodeInvalid           Code = "invalid"                 // the request is malformed; the caller must change it
	CodeContextLength     Code = "context_length_exceeded" // prompt and max_tokens do not fit the context
	CodeUnauthorized      Code = "unauthorized"            // no key, or a wrong one
	CodeBudgetExceeded    Code = "budget_exceeded"         // a budget has no room for the reservation
	CodeForbidden         Code = "forbidden"               // the key may not do this
	CodeOriginDenied      Code = "origin_denied"           // Host or Origin is not one we answer
	CodeNotFound          Code = "not_found"               // no such job, model or path
	CodeConflict          Code = "conflict"                // the thing is in a state that does not allow it
	CodeTooLarge          Code = "too_large"               // a body or file over its limit
	CodeUnsupportedMedia  Code = "unsupported_media"       // a content type we do not read
	CodeUnsupported       Code = "unsupported"             // understood, but not possible with this model or build
	CodeRateLimited       Code = "rate_limited"            // too many requests; RetryAfter says when
	CodeCancelled         Code = "cancelled"               // the caller stopped it or went away
	CodeQueueFull         Code = "queue_full"              // the bounded queue has no place
	CodeModelLoading      Code = "model_loading"           // the model is not ready yet
	CodeWorkerUnavailable Code = "worker_unavailable"      // a local container does not answer
	CodeSlowReader        Code = "slow_reader"             // the consumer of a stream did not keep up
	CodeShuttingDown      Code = "shutting_down"           // the process is stopping
	CodeAlreadyRunning    Code = "already_running"         // another instance holds this home
	CodeDeadline          Code = "deadline"                // a time limit passed
	CodeStorageFull       Code = "storage_full"            // no room left on the disk
	CodeInternal          Code = "internal"                // a defect; the message stays in the log
)

// Codes lists every code; tests hold the mapping tables against it.
func Codes() []Code {
	return []Code{
		CodeInvalid, CodeContextLength, CodeUnauthorized, CodeBudgetExceeded, CodeForbidden, CodeOriginDenied,
		CodeNotFound, CodeConflict, CodeTooLarge, CodeUnsupportedMedia, CodeUnsupported, CodeRateLimited,
		CodeCancelled, CodeQueueFull, CodeModelLoading, CodeWorkerUnavailable, CodeSlowReader, CodeShuttingDown,
		CodeAlreadyRunning, CodeDeadline, CodeStorageFull, CodeInternal,
	}
}

// Error is an error that may be shown to the caller.
type Error struct {
	Code    Code
	Message string // what happened, for a person
	Hint    string // what to do about it; may be empty
	// Numbers are the figures behind the message (for example prompt_tokens and
	// n_ctx), for programs.
	Numbers map[string]int64
	// Names are what the message is about (for example budget_id), for programs.
	Names map[string]string
	// RetryAfter is how long to wait before trying again; zero if that would not help.
	RetryAfter time.Duration
	Err        error // the cause, for the log; never shown
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err == nil || strings.HasSuffix(e.Message, e.Err.Error()) {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error; a %w verb becomes its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint sets what to do about the error and returns it.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithNumber adds one figure and returns the error.
func (e *Error) WithNumber(name string, value int64) *Error {
	if e.Numbers == nil {
		e.Numbers = make(map[string]int64)
	}
	e.Numbers[name] = value
	return e
}

// WithName adds one name and returns the error.
func (e *Error) WithName(name, value string) *Error {
	if e.Names == nil {
		e.Names = make(map[string]string)
	}
	e.Names[name] = value
	return e
}

// AsError finds the Error in a chain; any other error becomes an internal one
// that says nothing of its cause.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Message: "internal error", Hint: "The log has the details.", Err: err}
}

// CodeOf returns the code of an error, "" for nil and CodeInternal for an error
// that has none.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return AsError(err).Code
}
