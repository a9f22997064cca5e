package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jeantrail/jeantrail-ai"
)

// readJSON reads a request's body into v, a pointer to a wire struct.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	data, err := s.readBytes(w, r, s.opt.MaxBody)
	if err != nil {
		return err
	}
	return decodeStrict(data, v)
}

// carrier is a body that may have files in base64 in it.
type carrier interface {
	// carried returns how many bytes of the body are files.
	carried() int64
}

// readJSONWithFiles is readJSON for a body that is longer by the files in it.
func (s *Server) readJSONWithFiles(w http.ResponseWriter, r *http.Request, v carrier) error {
	data, err := s.readBytes(w, r, s.opt.MaxBody+inBase64(s.maxInline()))
	if err != nil {
		return err
	}
	if err := decodeStrict(data, v); err != nil {
		return err
	}
	if int64(len(data))-v.carried() > s.opt.MaxBody {
		return bodyTooLarge(s.opt.MaxBody)
	}
	return nil
}

// readBytes reads a body that says it is JSON.
func (s *Server) readBytes(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if err := checkContentType(r); err != nil {
		return nil, err
	}
	return readBody(w, r, limit)
}

// readFields is readJSON for a body in which a field that is left out is not the
// same as one that is null. It returns the names of the body's own fields that
// are null, and refuses those that are not among nullable.
func (s *Server) readFields(w http.ResponseWriter, r *http.Request, v any, nullable ...string) (nulls map[string]bool, err error) {
	data, err := s.readBytes(w, r, s.opt.MaxBody)
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

// jsonFields returns the wire names of a struct, those of embedded ones
// included, with their types.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := make(map[string]reflect.Type, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		switch {
		case name != "" && name != "-":
			fields[name] = t.Field(i).Type
		case t.Field(i).Anonymous && name == "":
			maps.Copy(fields, jsonFields(t.Field(i).Type))
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
