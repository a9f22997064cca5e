package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// form is a multipart body that is made while it is sent: files of any size go
// through without being held in memory.
type form struct {
	fields [][2]string // name and value, in order
	files  []formFile
	sent   func(bytes int64) // told of file bytes as they go out; may be nil
}

// formFile is a file of a form. Its own name stays here: the instance does not
// need it.
type formFile struct {
	field   string
	content io.Reader
}

// write writes the form, and returns the error of whichever side failed.
func (f *form) write(w *multipart.Writer) error {
	for _, field := range f.fields {
		if err := w.WriteField(field[0], field[1]); err != nil {
			return err
		}
	}
	for _, file := range f.files {
		part, err := w.CreateFormFile(file.field, file.field)
		if err != nil {
			return err
		}
		if f.sent != nil {
			part = &countingWriter{Writer: part, sent: f.sent}
		}
		if _, err := io.Copy(part, file.content); err != nil {
			return err
		}
	}
	return w.Close()
}

type countingWriter struct {
	io.Writer
	total int64
	sent  func(int64)
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.total += int64(n)
	c.sent(c.total)
	return n, err
}

// upload sends a form. The caller closes the answer, which also ends the sending
// if the instance answered before it had read everything.
func (c *Client) upload(ctx context.Context, path string, f form, accept string) (*http.Response, error) {
	read, write := io.Pipe()
	w := multipart.NewWriter(write)
	done := make(chan error, 1)
	go func() {
		err := f.write(w)
		write.CloseWithError(err)
		done <- err
	}()
	resp, err := c.exchange(ctx, http.MethodPost, path, w.FormDataContentType(), read, accept)
	if err != nil {
		read.Close()
		if failed := <-done; failed != nil && !errors.Is(failed, io.ErrClosedPipe) && ctx.Err() == nil {
			return nil, fmt.Errorf("send the file: %w", failed) // reading it failed, which is why the request did
		}
		return nil, err
	}
	resp.Body = &uploaded{ReadCloser: resp.Body, sending: read, done: done}
	return resp, nil
}

// uploaded is an answer whose request may still be on its way.
type uploaded struct {
	io.ReadCloser
	sending *io.PipeReader
	done    chan error
}

func (u *uploaded) Close() error {
	err := u.ReadCloser.Close()
	u.sending.Close()
	if u.done != nil {
		<-u.done
		u.done = nil
	}
	return err
}

// openInput opens a file that a command line names, "-" for standard input. size
// is 0 if it is not known.
func openInput(stdin io.Reader, path string) (content io.ReadCloser, size int64, err error) {
	if path == "-" {
		return io.NopCloser(stdin), 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, inputError(path, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("it is a folder")
	}
	if err != nil {
		f.Close()
		return nil, 0, inputError(path, err)
	}
	if info.Mode().IsRegular() {
		size = info.Size()
		if size == 0 {
			f.Close()
			return nil, 0, inputError(path, errors.New("it is empty"))
		}
	}
	return f, size, nil
}

func inputError(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return jeantrail.Errorf(jeantrail.CodeNotFound, "there is no file %s", path)
	}
	return jeantrail.Errorf(jeantrail.CodeInvalid, "%s cannot be read: %w", path, err)
}

// readBase64 reads a file whole, as JSON can carry it.
func readBase64(stdin io.Reader, path string) (string, error) {
	content, size, err := openInput(stdin, path)
	if err != nil {
		return "", err
	}
	defer content.Close()
	if size > maxInlineBytes {
		return "", errInline(path)
	}
	data, err := io.ReadAll(io.LimitReader(content, maxInlineBytes+1))
	if err != nil {
		return "", inputError(path, err)
	}
	switch {
	case len(data) > maxInlineBytes:
		return "", errInline(path)
	case len(data) == 0:
		return "", inputError(path, errors.New("it is empty"))
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

// maxInlineBytes is the largest file that is sent within JSON.
const maxInlineBytes = 64 << 20

func errInline(path string) error {
	return jeantrail.Errorf(jeantrail.CodeTooLarge, "%s has more than %d MiB", path, maxInlineBytes>>20)
}

// extensionOf returns what a file of a media type is called by.
func extensionOf(mediaType string) string {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	switch strings.TrimSpace(mediaType) {
	case "image/png":
		return ".png"
	case "image/jpeg":
		return ".jpg"
	case "image/webp":
		return ".webp"
	case "audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave":
		return ".wav"
	case "application/x-subrip":
		return ".srt"
	case "text/vtt":
		return ".vtt"
	default:
		return ".bin"
	}
}

// output is where a command puts the files that it gets.
type output struct {
	path  string // "" is the current folder
	force bool   // write over what is there
	stem  string // what files are called that were given no name: image, speech
}

// folder reports whether the files go into a folder, under names of our own.
func (o output) folder() bool {
	if o.path == "" || strings.HasSuffix(o.path, "/") || strings.HasSuffix(o.path, string(filepath.Separator)) {
		return true
	}
	info, err := os.Stat(o.path)
	return err == nil && info.IsDir()
}

// check refuses, before anything is paid for, what cannot be written later.
func (o output) check(count int) error {
	if o.folder() {
		if o.path == "" {
			return nil
		}
		if err := os.MkdirAll(o.path, 0o755); err != nil {
			return jeantrail.Errorf(jeantrail.CodeInvalid, "the folder %s cannot be made: %w", o.path, err)
		}
		return nil
	}
	if info, err := os.Stat(filepath.Dir(o.path)); err != nil || !info.IsDir() {
		return jeantrail.Errorf(jeantrail.CodeNotFound, "there is no folder %s", filepath.Dir(o.path)).
			WithHint("Make it, or end -o with / to have it made.")
	}
	for i := range count {
		name := o.name("", i, count, "")
		if _, err := os.Lstat(name); err == nil && !o.force {
			return errThere(name)
		}
	}
	return nil
}

func errThere(name string) error {
	return jeantrail.Errorf(jeantrail.CodeConflict, "%s is already there", name).WithHint("Name another file with -o, or use --force.")
}

// name returns where file index of count goes, made by a job.
func (o output) name(job string, index, count int, mediaType string) string {
	if o.folder() {
		return filepath.Join(o.path, fmt.Sprintf("%s-%s-%d%s", o.stem, shortID(job), index, extensionOf(mediaType)))
	}
	if count < 2 {
		return o.path
	}
	ext := filepath.Ext(o.path)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(o.path, ext), index, ext)
}

// shortID is the end of a job's id, which is the random part of it.
func shortID(id string) string {
	if len(id) < 8 {
		return id
	}
	return id[len(id)-8:]
}

// keep writes content to a file that must not be there yet, unless force is set.
// A file that could not be written to its end is removed again.
func keep(path string, force bool, content io.Reader) (bytes int64, err error) {
	// The new file takes the name only when it is whole.
	part, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return 0, jeantrail.Errorf(jeantrail.CodeInvalid, "%s cannot be written: %w", path, err)
	}
	defer os.Remove(part.Name()) // fails after the rename
	bytes, err = io.Copy(part, content)
	if err = errors.Join(err, part.Chmod(0o644), part.Close()); err != nil {
		return bytes, fmt.Errorf("write %s: %w", path, err)
	}
	if force {
		err = os.Rename(part.Name(), path)
	} else if err = os.Link(part.Name(), path); errors.Is(err, os.ErrExist) {
		return bytes, errThere(path)
	} else if err != nil { // no hard links there: look, then rename
		if _, there := os.Lstat(path); there == nil {
			return bytes, errThere(path)
		}
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		return bytes, fmt.Errorf("write %s: %w", path, err)
	}
	return bytes, nil
}
