package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai"
)

// instanceDouble is a server that answers one request as a handler says.
func instanceDouble(t *testing.T, serve http.HandlerFunc) *Client {
	t.Helper()
	before := goleak.IgnoreCurrent()
	s := httptest.NewServer(serve)
	c := newClient(s.URL, "secret")
	t.Cleanup(func() {
		c.http.CloseIdleConnections()
		s.Close()
		goleak.VerifyNone(t, before)
	})
	return c
}

func TestUploadSendsTheFormAndNoName(t *testing.T) {
	sound := bytes.Repeat([]byte("sound"), 100_000)
	path := filepath.Join(t.TempDir(), "private name.wav")
	if err := os.WriteFile(path, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	c := instanceDouble(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.ContentLength != -1 {
			t.Errorf("header %v, length %d: it should be streamed", r.Header, r.ContentLength)
		}
		file, header, err := r.FormFile("file")
		if err != nil {
			t.Error(err)
			return
		}
		got, err := io.ReadAll(file)
		if err != nil || !bytes.Equal(got, sound) || r.FormValue("language") != "en" {
			t.Errorf("%d bytes, language %q, %v", len(got), r.FormValue("language"), err)
		}
		if strings.Contains(header.Filename, "private") {
			t.Errorf("the file's name went along: %q", header.Filename)
		}
		_, _ = io.WriteString(w, "done")
	})
	content, size, err := openInput(nil, path)
	if err != nil || size != int64(len(sound)) {
		t.Fatalf("size %d, %v", size, err)
	}
	defer content.Close()
	var sent int64
	resp, err := c.upload(t.Context(), "/transcribe", form{
		fields: [][2]string{{"language", "en"}}, files: []formFile{{"file", content}}, sent: func(n int64) { sent = n },
	}, "*/*")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "done" {
		t.Errorf("answered %q, %v", got, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if sent != int64(len(sound)) {
		t.Errorf("%d bytes were told of as sent, want %d", sent, len(sound))
	}
}

// endless is a file without an end: whoever wanted to hold it could not.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestUploadEndsWhenItIsRefused(t *testing.T) {
	c := instanceDouble(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.CopyN(io.Discard, r.Body, 1<<20); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, `{"code":"too_large","detail":"the file is too large","hint":"send less"}`)
	})
	_, err := c.upload(t.Context(), "/transcribe", form{files: []formFile{{"file", endless{}}}}, "*/*")
	if jeantrail.CodeOf(err) != jeantrail.CodeTooLarge || jeantrail.AsError(err).Hint != "send less" {
		t.Errorf("refused with %v", err)
	}
}

func TestUploadSaysThatTheFileFailed(t *testing.T) {
	broken := errors.New("the disk is broken")
	c := instanceDouble(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	_, err := c.upload(t.Context(), "/transcribe", form{files: []formFile{{"file", io.MultiReader(strings.NewReader("some"), brokenReader{broken})}}}, "*/*")
	if !errors.Is(err, broken) {
		t.Errorf("failed with %v", err)
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func TestInputs(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]jeantrail.Code{
		filepath.Join(dir, "none"): jeantrail.CodeNotFound, dir: jeantrail.CodeInvalid, empty: jeantrail.CodeInvalid,
	} {
		if _, _, err := openInput(nil, path); jeantrail.CodeOf(err) != want || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	in, _, err := openInput(strings.NewReader("piped"), "-")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(in); err != nil || string(got) != "piped" {
		t.Errorf("from standard input came %q, %v", got, err)
	}
}

func TestKeepWritesOverNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "image.png")
	write := func(content string, force bool) error {
		_, err := keep(path, force, strings.NewReader(content))
		return err
	}
	read := func() string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if err := write("first", false); err != nil || read() != "first" {
		t.Fatalf("%q, %v", read(), err)
	}
	if err := write("second", false); jeantrail.CodeOf(err) != jeantrail.CodeConflict || read() != "first" {
		t.Errorf("%q after %v", read(), err)
	}
	if err := write("third", true); err != nil || read() != "third" {
		t.Errorf("with force: %q, %v", read(), err)
	}
	broken := errors.New("broken off")
	if _, err := keep(path, true, io.MultiReader(strings.NewReader("half"), brokenReader{broken})); !errors.Is(err, broken) || read() != "third" {
		t.Errorf("%q after %v", read(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("there lie %v, %v", entries, err)
	}
}

func TestOutputNames(t *testing.T) {
	dir := t.TempDir()
	const job = "019ac000-0000-7000-8000-0000deadbeef"
	for _, c := range []struct {
		path         string
		index, count int
		want         string
	}{
		{"", 0, 1, "image-deadbeef-0.png"},
		{"", 2, 4, "image-deadbeef-2.png"},
		{dir, 1, 2, filepath.Join(dir, "image-deadbeef-1.png")},
		{dir + "/new/", 0, 1, filepath.Join(dir, "new", "image-deadbeef-0.png")},
		{dir + "/cat.png", 0, 1, dir + "/cat.png"},
		{dir + "/cat.png", 1, 2, dir + "/cat-1.png"},
		{dir + "/cat", 1, 2, dir + "/cat-1"},
	} {
		o := output{path: c.path, stem: "image"}
		if got := o.name(job, c.index, c.count, "image/png"); got != c.want {
			t.Errorf("-o %q, file %d of %d: %s, want %s", c.path, c.index, c.count, got, c.want)
		}
	}
	for mediaType, want := range map[string]string{"image/jpeg": ".jpg", "audio/wav": ".wav", "text/vtt; charset=utf-8": ".vtt", "what/ever": ".bin"} {
		if got := extensionOf(mediaType); got != want {
			t.Errorf("%s is written to %s, want %s", mediaType, got, want)
		}
	}
}

// What cannot be written is refused before anything is paid for.
func TestOutputIsCheckedFirst(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cat-1.png"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		output output
		count  int
		want   jeantrail.Code
	}{
		{output{path: filepath.Join(dir, "cat.png")}, 1, ""},
		{output{path: filepath.Join(dir, "cat.png")}, 2, jeantrail.CodeConflict},
		{output{path: filepath.Join(dir, "cat.png"), force: true}, 2, ""},
		{output{path: filepath.Join(dir, "none", "cat.png")}, 1, jeantrail.CodeNotFound},
		{output{path: filepath.Join(dir, "cat-1.png") + "/"}, 1, jeantrail.CodeInvalid},
		{output{path: filepath.Join(dir, "new") + "/"}, 1, ""},
		{output{}, 8, ""},
	} {
		if err := c.output.check(c.count); jeantrail.CodeOf(err) != c.want {
			t.Errorf("%+v for %d files: %v, want %q", c.output, c.count, err, c.want)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "new")); err != nil || !info.IsDir() {
		t.Errorf("the folder was not made: %v", err)
	}
}
