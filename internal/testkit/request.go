package testkit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"
)

// Request is one request that a double received.
type Request struct {
	Method    string
	Path      string
	Query     url.Values
	Header    http.Header
	Body      []byte
	Cancelled bool // the client left before the answer was complete

	work   bool
	began  time.Time
	worked time.Time // zero while it is worked for, or when that was not seen
	ended  time.Time // zero while it is being answered
}

// done returns when the work for the request was over, zero if it is not.
func (r *Request) done() time.Time {
	if r.worked.IsZero() {
		return r.ended
	}
	return r.worked
}

// end sets the time of the end once.
func (r *Request) end(at time.Time) {
	if r.ended.IsZero() {
		r.ended = at
	}
}

// Upload is a file of a multipart request.
type Upload struct {
	Field string
	Name  string // the file name that the client told
	Type  string
	Data  []byte
}

// Decode reads the body as JSON.
func (r Request) Decode(into any) error { return json.Unmarshal(r.Body, into) }

// Form returns the fields of a form body, urlencoded or multipart, without
// files and without the query.
func (r Request) Form() (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, fmt.Errorf("content type of the request: %w", err)
	}
	if kind == "application/x-www-form-urlencoded" {
		return url.ParseQuery(string(r.Body))
	}
	fields := make(url.Values)
	err = r.parts(func(p *multipart.Part, data []byte) {
		if p.FileName() == "" {
			fields.Add(p.FormName(), string(data))
		}
	})
	return fields, err
}

// Uploads returns the files of a multipart body.
func (r Request) Uploads() ([]Upload, error) {
	var all []Upload
	err := r.parts(func(p *multipart.Part, data []byte) {
		if p.FileName() != "" {
			all = append(all, Upload{Field: p.FormName(), Name: p.FileName(), Type: p.Header.Get("Content-Type"), Data: data})
		}
	})
	return all, err
}

func (r Request) parts(each func(*multipart.Part, []byte)) error {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("content type of the request: %w", err)
	}
	for reader := multipart.NewReader(bytes.NewReader(r.Body), params["boundary"]); ; {
		part, err := reader.NextPart()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read multipart body: %w", err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return fmt.Errorf("read multipart body: %w", err)
		}
		each(part, data)
	}
}
