package server

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jeantrail/jeantrail-ai"
)

// The limits of a form beside those of its files.
const (
	maxParts    = 64
	maxEpilogue = 64 << 10
)

// isForm reports whether a request says that it brings a form.
func isForm(r *http.Request) bool {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && mediaType == "multipart/form-data"
}

// formReader goes through the parts of a form as they arrive, so that a file is
// never held in memory. The names that a client gave its files are not looked at.
type formReader struct {
	body   io.Reader
	parts  *multipart.Reader
	upload *upload
	count  int
	fields int64 // bytes that further fields may have
}

// openForm begins to read a form. One that says it is too long is refused before
// any of it is read.
func (s *Server) openForm(w http.ResponseWriter, r *http.Request) (*formReader, error) {
	if s.stopping.Load() {
		return nil, jeantrail.Errorf(jeantrail.CodeShuttingDown, "the server is shutting down")
	}
	// Any page can make a browser send a form without asking first. Browsers name
	// the page then, and the guard has let this one in; without a name nobody has.
	if fromBrowser(r) && r.Header.Get("Origin") == "" {
		return nil, jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "a browser that does not name its page may send JSON only").
			WithHint("Send Content-Type: application/json.")
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "compressed bodies are not read").
			WithHint("Send the body without Content-Encoding.")
	}
	limit := s.opt.MaxUpload + s.opt.MaxBody
	if r.ContentLength > limit {
		return nil, s.uploadTooLarge()
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the form cannot be read: %w", err)
	}
	return &formReader{body: r.Body, parts: parts, upload: s.uploadFor(r.Context(), caller(r)), fields: s.opt.MaxBody}, nil
}

// next returns the next part and its name, io.EOF after the last one.
func (f *formReader) next() (*multipart.Part, string, error) {
	part, err := f.parts.NextRawPart()
	if errors.Is(err, io.EOF) {
		return nil, "", f.finish()
	}
	if err != nil {
		return nil, "", f.explain(err)
	}
	if f.count++; f.count > maxParts {
		return nil, "", jeantrail.Errorf(jeantrail.CodeTooLarge, "the form has more than %d parts", maxParts).WithNumber("limit", maxParts)
	}
	name := part.FormName()
	if name == "" || len(name) > jeantrail.MaxNameBytes || !utf8.ValidString(name) {
		return nil, "", jeantrail.Errorf(jeantrail.CodeInvalid, "part %d of the form has no name, or one that is too long", f.count)
	}
	if enc := part.Header.Get("Content-Transfer-Encoding"); enc != "" && !slices.Contains([]string{"7bit", "8bit", "binary"}, strings.ToLower(enc)) {
		return nil, "", jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "the part %s is encoded as %s", name, enc).WithHint("Send it as it is.")
	}
	return part, name, nil
}

// finish reads what may come after the form, so that net/http notices when the
// client goes.
func (f *formReader) finish() error {
	switch n, err := io.Copy(io.Discard, io.LimitReader(f.body, maxEpilogue)); {
	case err != nil:
		return f.explain(err)
	case n == maxEpilogue:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "something comes after the form's end")
	}
	return io.EOF
}

// explain says why the form cannot be read any further.
func (f *formReader) explain(err error) error {
	err = bodyError(err)
	if jeantrail.CodeOf(err) == jeantrail.CodeTooLarge {
		return f.upload.server.uploadTooLarge()
	}
	return err
}

// file keeps a part as a file.
func (f *formReader) file(part *multipart.Part, name, want string) (jeantrail.File, error) {
	return f.upload.put(part, name, want, f.explain)
}

// text reads a part as a field.
func (f *formReader) text(part *multipart.Part, name string) (string, error) {
	data, err := io.ReadAll(io.LimitReader(part, f.fields+1))
	if err != nil {
		return "", f.explain(err)
	}
	if f.fields -= int64(len(data)); f.fields < 0 {
		limit := f.upload.server.opt.MaxBody
		return "", jeantrail.Errorf(jeantrail.CodeTooLarge, "the fields of the form are longer than %d bytes", limit).WithNumber("limit", limit)
	}
	if !utf8.Valid(data) {
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "the field %s is not valid UTF-8", name)
	}
	return string(data), nil
}

// readTranscribeForm reads a form whose part file is the sound, in any order.
func (s *Server) readTranscribeForm(w http.ResponseWriter, r *http.Request, body *transcribeRequest) error {
	form, err := s.openForm(w, r)
	if err != nil {
		return err
	}
	fields := map[string]string{}
	for {
		part, name, err := form.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if _, twice := fields[name]; twice || name == "file" && body.sound != nil {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "the part %s is given twice", name).WithHint("Send it once.")
		}
		if name == "file" {
			sound, err := form.file(part, name, "audio/")
			if err != nil {
				return err
			}
			body.sound = &sound
			continue
		}
		if fields[name], err = form.text(part, name); err != nil {
			return err
		}
	}
	if body.sound == nil {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the form has no part file").WithHint("With curl: -F file=@speech.wav")
	}
	return fillFields(fields, body)
}

// fillFields puts the fields of a form into a wire struct, as JSON would be.
func fillFields(fields map[string]string, into any) error {
	known := jsonFields(reflect.TypeOf(into).Elem())
	delete(known, "file")
	delete(known, "audio_base64")
	object := make(map[string]json.RawMessage, len(fields))
	for name, text := range fields {
		t, ok := known[name]
		if !ok {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "%q is not a field of the form", name).WithHint("%s", nameHint(name, known))
		}
		value, err := fieldValue(name, text, t)
		if err != nil {
			return err
		}
		object[name] = value
	}
	data, err := json.Marshal(object)
	if err != nil {
		return err
	}
	return explain(data, json.Unmarshal(data, into))
}

// fieldValue writes a field as the JSON of its type.
func fieldValue(name, text string, t reflect.Type) (json.RawMessage, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.String {
		return json.Marshal(text)
	}
	var probe any = reflect.New(t).Interface()
	if text = strings.TrimSpace(text); text == "null" || json.Unmarshal([]byte(text), probe) != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "%s must be %s, not %.40q", name, jsonName(t), text)
	}
	return json.RawMessage(text), nil
}
