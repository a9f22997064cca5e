package testkit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// write sends a whole answer.
func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// writeJSON sends a value without escaping what only HTML needs escaped.
func writeJSON(w http.ResponseWriter, status int, v any) {
	write(w, status, "application/json", []byte(jsonText(v)))
}

// jsonText returns a value that can be encoded as JSON, without a newline.
func jsonText(v any) string {
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("a double's answer is no JSON: %v", err))
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// object is a JSON object.
type object = map[string]any

// flaskError sends the page that Flask makes of an error.
func flaskError(w http.ResponseWriter, status int) {
	write(w, status, "text/html; charset=utf-8", fmt.Appendf(nil,
		"<!doctype html>\n<html lang=en>\n<title>%d %s</title>\n<h1>%[2]s</h1>\n<p>The server was unable to complete your request.</p>\n",
		status, http.StatusText(status)))
}

// detail sends FastAPI's error with a text.
func detail(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, object{"detail": text})
}

// invalid sends FastAPI's 422 about one field.
func invalid(w http.ResponseWriter, kind, message string, loc ...any) {
	writeJSON(w, http.StatusUnprocessableEntity, object{"detail": []object{{"loc": loc, "msg": message, "type": kind}}})
}

// fastAPI answers unknown paths and methods as FastAPI does.
func fastAPI(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		probe := r.Clone(r.Context())
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			probe.Method = method
			if _, pattern := mux.Handler(probe); pattern != "" {
				detail(w, http.StatusMethodNotAllowed, "Method Not Allowed")
				return
			}
		}
		detail(w, http.StatusNotFound, "Not Found")
	})
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

func isText(contentType string) bool {
	return strings.HasPrefix(contentType, "text/") || strings.HasPrefix(contentType, "application/json")
}

// or returns the value, or the default for a zero one.
func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
