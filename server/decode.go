package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jeantrail/jeantrail-ai"
)

// readJSON reads a request's body into v, a pointer to a wire struct.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	data, err := s.readBytes(w, r)
	if err != nil {
		return err
	}
	return decodeStrict(data, v)
}

// readBytes reads a body that says it is JSON.
func (s *Server) readBytes(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := checkContentType(r); err != nil {
		return nil, err
	}
	return s.readBody(w, r)
}

// readFields is readJSON for a body in which a field that is left out is not the
// same as one that is null. It returns the names of the body's own fields that
// are null, and refuses those that are not among nullable.
func (s *Server) readFields(w http.ResponseWriter, r *http.Request, v any, nullable ...string) (nulls map[string]bool, err error) {
	data, err := s.readBytes(w, r)
	if err != nil {
		return nil, err
	}
	if err := decodeStrict(data, v); err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := explain(data, json.Unmarshal(data, &fields)); err != nil {
		return nil, err
	}
	nulls = map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if string(fields[name]) != "null" {
			continue
		}
		if !slices.Contains(nullable, name) {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "%s must not be null", name).WithHint("Leave it out, or give it a value.")
		}
		nulls[name] = true
	}
	return nulls, nil
}

// checkContentType lets scripts send JSON as carelessly as curl -d does, but
// holds browsers to application/json: the other types are those that a page of
// any origin may send without a preflight.
func checkContentType(r *http.Request) error {
	values := r.Header.Values("Content-Type")
	if len(values) > 1 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the request has more than one Content-Type")
	}
	allowed := []string{"application/json", "application/x-www-form-urlencoded"}
	if fromBrowser(r) {
		allowed = allowed[:1]
	} else if len(values) == 0 || values[0] == "" {
		return nil
	}
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || !slices.Contains(allowed, mediaType) || (charset != "" && !strings.EqualFold(charset, "utf-8")) {
		return jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "the content type is not JSON in UTF-8").
			WithHint("Send Content-Type: application/json.")
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "compressed bodies are not read").
			WithHint("Send the body without Content-Encoding.")
	}
	return nil
}

// errBodyTimeout is a body that was too slow; HTTP has a status of its own for it.
var errBodyTimeout = errors.New("the body did not arrive in time")

// readBody reads the whole body within the limits of size and time.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := s.opt.MaxBody
	tooLarge := jeantrail.Errorf(jeantrail.CodeTooLarge, "the body is longer than %d bytes", limit).WithNumber("limit", limit)
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errBodyTimeout
	}
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the body did not arrive whole: %w", err)
	}
	// The deadline was for the body: left in place it would end the request itself
	// later on, since net/http keeps reading to notice that a client goes.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return data, nil
}

// limitBodyTime gives the body of a request its time. A body that is refused
// unread keeps the deadline, because net/http drains it before the next request.
func limitBodyTime(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	}
}

// decodeStrict reads one JSON object into v. Other than encoding/json it
// refuses a name that v does not have, in exactly its letters, a name that comes
// twice, and text that is not UTF-8; and it says where.
func decodeStrict(data []byte, v any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the body is empty").WithHint("Send a JSON object.")
	}
	if !utf8.Valid(data) {
		return at(data, invalidUTF8(data), "the body is not valid UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return at(data, syntax.Offset-1, "the body is not valid JSON: %s", syntax.Error()).
				WithHint("Send a JSON object.")
		}
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the body is not valid JSON")
	}
	if err := checkNames(data, data, 0, reflect.TypeOf(v).Elem(), ""); err != nil {
		return err
	}
	return explain(data, json.Unmarshal(data, v))
}

// explain says a type mismatch in the words of JSON.
func explain(data []byte, err error) error {
	var mismatch *json.UnmarshalTypeError
	var own *jeantrail.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own // a wire type that reads itself has said it better
	case errors.As(err, &mismatch):
		name := mismatch.Field
		if name == "" {
			name = "the body"
		}
		return at(data, mismatch.Offset-1, "%s must be %s, not %s", name, jsonName(mismatch.Type), mismatch.Value)
	default:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the body cannot be read: %w", err)
	}
}

// at makes an error about the byte at offset, with its line and column.
func at(data []byte, offset int64, format string, args ...any) *jeantrail.Error {
	offset = max(0, min(offset, int64(len(data))))
	before := data[:offset]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return jeantrail.Errorf(jeantrail.CodeInvalid, "%s (line %d, column %d)", fmt.Sprintf(format, args...), line, column).
		WithNumber("line", int64(line)).WithNumber("column", int64(column)).WithNumber("offset", offset)
}

func invalidUTF8(data []byte) int64 {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return int64(i)
		}
		i += size
	}
	return int64(len(data))
}

func jsonName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint32:
		return "a whole number from 0 to 4294967295"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	default:
		return "an object"
	}
}

// checkNames walks raw, a part of body that begins at base, beside the Go type
// that it will be read into, and refuses names that the type does not have. raw
// is known to be valid JSON.
func checkNames(body, raw []byte, base int64, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	opening, err := dec.Token()
	if err != nil {
		return fmt.Errorf("walk json: %w", err)
	}
	switch {
	case t.Kind() == reflect.Struct && opening == json.Delim('{'):
		return checkObject(body, dec, base, t, path)
	case t.Kind() == reflect.Slice && opening == json.Delim('['):
		return checkList(body, dec, base, t.Elem(), path)
	default:
		return nil // nothing to name in it, or a mismatch that Unmarshal reports
	}
}

func checkObject(body []byte, dec *json.Decoder, base int64, t reflect.Type, path string) error {
	fields, seen := jsonFields(t), map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return fmt.Errorf("walk json: %w", err)
		}
		name, _ := token.(string)
		where := base + dec.InputOffset() - 1
		field, known := fields[name]
		if !known {
			return at(body, where, "%q is not a field of the request", path+name).WithHint("%s", nameHint(name, fields))
		}
		if seen[name] {
			return at(body, where, "%q is given twice", path+name).WithHint("Send it once.")
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return fmt.Errorf("walk json: %w", err)
		}
		if err := checkNames(body, value, base+dec.InputOffset()-int64(len(value)), field, path+name+"."); err != nil {
			return err
		}
	}
	return nil
}

func checkList(body []byte, dec *json.Decoder, base int64, elem reflect.Type, path string) error {
	for dec.More() {
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return fmt.Errorf("walk json: %w", err)
		}
		if err := checkNames(body, value, base+dec.InputOffset()-int64(len(value)), elem, path); err != nil {
			return err
		}
	}
	return nil
}

// jsonFields returns the wire names of a struct with their types.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := make(map[string]reflect.Type, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			fields[name] = t.Field(i).Type
		}
	}
	return fields
}

// nameHint proposes the name that was probably meant, else lists all.
func nameHint(name string, fields map[string]reflect.Type) string {
	names := make([]string, 0, len(fields))
	for known := range fields {
		names = append(names, known)
	}
	slices.Sort(names)
	if meant, ok := jeantrail.Nearest(name, names); ok {
		return fmt.Sprintf("Did you mean %q?", meant)
	}
	return "The fields are " + strings.Join(names, ", ") + "."
}

// readQuery returns the query's parameters and refuses unknown and repeated ones.
func readQuery(r *http.Request, allowed ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the query cannot be read: %w", err)
	}
	for name, list := range values {
		if !slices.Contains(allowed, name) {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "%q is not a parameter of this path", name).
				WithHint("The parameters are %s.", strings.Join(allowed, ", "))
		}
		if len(list) > 1 {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the parameter %q is given twice", name).WithHint("Send it once.")
		}
	}
	return values, nil
}
