package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/jeantrail/jeantrail-ai"
)

// inlineLimit is the most bytes of files that JSON carries: it is held in memory
// while it is read. What is larger comes as a form, which is not.
const inlineLimit = 64 << 20

func (s *Server) maxInline() int64 { return min(inlineLimit, s.opt.MaxUpload) }

// inBase64 is how long n bytes are in base64, with room for line breaks.
func inBase64(n int64) int64 { return n/3*4 + n/16 + 1<<10 }

// fileInput is a file within JSON: base64, a data: URL, or a file that a job made.
type fileInput struct {
	JobID string `json:"job_id"`
	Index *int   `json:"index"`
	data  string
}

// UnmarshalJSON reads a string, or an object that names a job's file.
func (f *fileInput) UnmarshalJSON(data []byte) error {
	*f = fileInput{}
	if bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, &f.data)
	}
	type plain fileInput
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if !bytes.HasPrefix(data, []byte("{")) || dec.Decode((*plain)(f)) != nil || f.JobID == "" || f.Index == nil || *f.Index < 0 {
		return notAFile()
	}
	return nil
}

func notAFile() error {
	return jeantrail.Errorf(jeantrail.CodeInvalid, "a file must be a string or an object with job_id and index").
		WithHint(`Send it in base64, as a data: URL, or as {"job_id": "…", "index": 0} if a job made it.`)
}

// Schema implements huma.SchemaProvider.
func (fileInput) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "Base64, a data: URL, or a file that a job made. A URL is not fetched.",
		OneOf:       []*huma.Schema{{Type: huma.TypeString, MinLength: new(1)}, artifactSchema()},
	}
}

// artifactSchema is that of a file that a job made.
func artifactSchema() *huma.Schema {
	least := 0.0
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"job_id", "index"}, AdditionalProperties: false,
		Properties: map[string]*huma.Schema{"job_id": {Type: huma.TypeString}, "index": {Type: huma.TypeInteger, Minimum: &least}},
	}
}

// upload keeps the files that one request brings along, within its limit.
type upload struct {
	server *Server
	ctx    context.Context
	who    jeantrail.Principal
	left   int64 // bytes that the request may still bring
}

func (s *Server) uploadFor(ctx context.Context, p jeantrail.Principal) *upload {
	return &upload{server: s, ctx: ctx, who: p, left: s.opt.MaxUpload}
}

// put keeps one file. name is what the request calls it, want the kind of media
// that it must be ("image/", "audio/" or "" for any). explain turns an error of r
// into one that can be shown.
func (u *upload) put(r io.Reader, name, want string, explain func(error) error) (jeantrail.File, error) {
	if u.who.Role == jeantrail.RoleViewer {
		return jeantrail.File{}, jeantrail.Errorf(jeantrail.CodeForbidden, "the role %q may not send files", u.who.Role).
			WithHint("Use a key with the role user or admin.")
	}
	source := &remembering{r: r}
	head := bufio.NewReaderSize(source, sniffBytes)
	start, _ := head.Peek(sniffBytes)
	if source.err != nil {
		return jeantrail.File{}, explain(source.err)
	}
	if len(start) == 0 {
		return jeantrail.File{}, jeantrail.Errorf(jeantrail.CodeInvalid, "the file %s is empty", name)
	}
	mediaType := mediaTypeOf(start)
	if err := checkMedia(name, mediaType, want); err != nil {
		return jeantrail.File{}, err
	}
	file, err := u.server.opt.Files.Put(u.ctx, head, u.left)
	switch {
	case source.err != nil:
		return jeantrail.File{}, explain(source.err)
	case jeantrail.CodeOf(err) == jeantrail.CodeTooLarge:
		return jeantrail.File{}, u.server.uploadTooLarge()
	case err != nil:
		return jeantrail.File{}, err
	}
	u.left -= file.Bytes
	file.MediaType = mediaType
	return file, nil
}

// checkMedia refuses a file that is plainly not what is wanted. One of which it
// is not known what it is may be audio: whoever measures it will say.
func checkMedia(name, mediaType, want string) error {
	switch {
	case want == "image/" && !strings.HasPrefix(mediaType, want):
		return jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "the file %s is not an image that is known here", name).
			WithHint("Send PNG, JPEG, WebP, GIF or BMP.")
	case want == "audio/" && strings.HasPrefix(mediaType, "image/"):
		return jeantrail.Errorf(jeantrail.CodeUnsupportedMedia, "the file %s is %s, not sound", name, mediaType).
			WithHint("Send WAV, FLAC, MP3, OGG or M4A.")
	}
	return nil
}

func (s *Server) uploadTooLarge() error {
	return jeantrail.Errorf(jeantrail.CodeTooLarge, "the request brings more than %d bytes of files", s.opt.MaxUpload).
		WithHint("The limit is max_upload in config.yaml.").WithNumber("limit", s.opt.MaxUpload)
}

// input keeps a file that stands in JSON.
func (u *upload) input(f *fileInput, name, want string) (jeantrail.File, error) {
	if f.Index != nil {
		return u.made(f.JobID, *f.Index, name, want)
	}
	return u.text(f.data, name, want)
}

// made finds a file that a job made, which the caller must be allowed to see.
func (u *upload) made(jobID string, index int, name, want string) (jeantrail.File, error) {
	a, err := u.server.artifact(u.ctx, u.who, jobID, index)
	if err != nil {
		return jeantrail.File{}, err
	}
	return a.File, checkMedia(name, a.MediaType, want)
}

// text keeps a file that is written as base64 or as a data: URL.
func (u *upload) text(text, name, want string) (jeantrail.File, error) {
	data, err := inlineData(text, name)
	if err != nil {
		return jeantrail.File{}, err
	}
	if limit := u.server.maxInline(); int64(len(data)) > inBase64(limit) {
		return jeantrail.File{}, jeantrail.Errorf(jeantrail.CodeTooLarge, "the file %s has more than %d bytes", name, limit).
			WithHint("Send it as a form (multipart/form-data).").WithNumber("limit", limit)
	}
	return u.put(base64.NewDecoder(encodingOf(data), strings.NewReader(data)), name, want, func(error) error {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "the file %s is not valid base64", name)
	})
}

// maxDataHead is where the scheme of a URL would have ended.
const maxDataHead = 64

// inlineData returns the base64 of a file. The server fetches nothing by itself:
// whoever may call it could otherwise make it reach what only it can.
func inlineData(text, name string) (string, error) {
	text = strings.TrimSpace(text)
	scheme, rest, _ := strings.Cut(text[:min(len(text), maxDataHead)], ":")
	switch {
	case strings.EqualFold(scheme, "data"):
		rest = text[len(scheme)+1:]
	case !strings.HasPrefix(rest, "//"):
		return text, nil
	default:
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "the file %s is a URL; files are not fetched", name).
			WithHint("Send the file itself: in base64, or as a data: URL.")
	}
	about, data, found := strings.Cut(rest, ",")
	if !found || !strings.HasSuffix(strings.ToLower(about), ";base64") {
		return "", jeantrail.Errorf(jeantrail.CodeInvalid, "the file %s is a data: URL without base64", name).
			WithHint("Send data:<type>;base64,<data>.")
	}
	return data, nil
}

// encodingOf returns the alphabet and the padding that a text has.
func encodingOf(text string) *base64.Encoding {
	encoding := base64.StdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	if !strings.HasSuffix(text, "=") {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	return encoding
}

// remembering keeps the error of a reader, which whoever reads on its behalf may
// put into words of its own.
type remembering struct {
	r   io.Reader
	err error
}

func (m *remembering) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}
