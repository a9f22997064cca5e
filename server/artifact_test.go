package server

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// madeOne is a server with a job that made one file of a media type.
func madeOne(t *testing.T, mediaType string, kind jeantrail.ArtifactKind) (s *Server, url, sum string) {
	t.Helper()
	files := newFakeFiles()
	road := newFakeRoad(makes(files, jeantrail.Result{}, kind, mediaType, "0123456789"))
	s = newTestServer(t, Options{Road: road, Files: files})
	call(s, "POST", "/generate-image", `{"prompt":"x"}`)
	job := (<-road.submitted).snapshot()
	return s, "/job/" + job.ID + "/artifact/0", job.Result.Artifacts[0].SHA256
}

func TestArtifact(t *testing.T) {
	s, url, sum := madeOne(t, "image/png", jeantrail.ArtifactImage)
	w := call(s, "GET", url, "")
	h := w.Header()
	for name, want := range map[string]string{
		"Content-Type": "image/png", "ETag": `"` + sum + `"`, "Content-Length": "10", "Accept-Ranges": "bytes",
		"X-Content-Type-Options": "nosniff", "Content-Disposition": `inline; filename="image-00000001-0.png"`,
		"Cache-Control": "private, no-cache", "Last-Modified": "",
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	}
	if w.Code != 200 || w.Body.String() != "0123456789" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := call(s, "HEAD", url, ""); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "10" {
		t.Errorf("HEAD: %d %v %q", w.Code, w.Header(), w.Body)
	}
	tests := []struct {
		name   string
		header []string
		status int
		body   string
		rng    string
	}{
		{"a part", []string{"Range", "bytes=2-4"}, 206, "234", "bytes 2-4/10"},
		{"the end", []string{"Range", "bytes=-3"}, 206, "789", "bytes 7-9/10"},
		{"from a point", []string{"Range", "bytes=8-"}, 206, "89", "bytes 8-9/10"},
		{"known", []string{"If-None-Match", `"` + sum + `"`}, 304, "", ""},
		{"known among others", []string{"If-None-Match", `"x", W/"` + sum + `"`}, 304, "", ""},
		{"another", []string{"If-None-Match", `"x"`}, 200, "0123456789", ""},
		{"a part of this one", []string{"Range", "bytes=0-0", "If-Range", `"` + sum + `"`}, 206, "0", "bytes 0-0/10"},
		{"a part of another", []string{"Range", "bytes=0-0", "If-Range", `"x"`}, 200, "0123456789", ""},
	}
	for _, tt := range tests {
		w := call(s, "GET", url, "", tt.header...)
		if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Content-Range") != tt.rng {
			t.Errorf("%s: %d %q %q", tt.name, w.Code, w.Body, w.Header().Get("Content-Range"))
		}
	}
	w = call(s, "GET", url, "", "Range", "bytes=10-20")
	if wantProblem(t, w, 416, jeantrail.CodeInvalid); w.Header().Get("Content-Range") != "bytes */10" || w.Header().Get("ETag") != "" {
		t.Errorf("a range that is not there: %v %s", w.Header(), w.Body)
	}
}

// No file of a job is shown as a page of ours.
func TestArtifactMediaTypes(t *testing.T) {
	for mediaType, want := range map[string]struct{ mediaType, disposition string }{
		"audio/wav": {"audio/wav", `inline; filename="audio-00000001-0.wav"`}, "application/x-subrip": {"application/x-subrip", `attachment; filename="audio-00000001-0.srt"`},
		"text/vtt": {"text/vtt; charset=utf-8", `inline; filename="audio-00000001-0.vtt"`}, "text/html": {"application/octet-stream", `attachment; filename="audio-00000001-0.bin"`},
		"image/svg+xml": {"application/octet-stream", `attachment; filename="audio-00000001-0.bin"`}, "": {"application/octet-stream", `attachment; filename="audio-00000001-0.bin"`},
	} {
		s, url, _ := madeOne(t, mediaType, jeantrail.ArtifactAudio)
		h := call(s, "GET", url, "").Header()
		if h.Get("Content-Type") != want.mediaType || h.Get("Content-Disposition") != want.disposition || h.Get("Content-Security-Policy") == "" {
			t.Errorf("%q is served as %q, %q", mediaType, h.Get("Content-Type"), h.Get("Content-Disposition"))
		}
	}
}

func TestArtifactThatIsNotThere(t *testing.T) {
	s, url, _ := madeOne(t, "image/png", jeantrail.ArtifactImage)
	self := strings.TrimSuffix(url, "/artifact/0")
	for path, code := range map[string]jeantrail.Code{
		self + "/artifact/1": "not_found", "/job/none/artifact/0": "not_found", self + "/artifact/-1": "invalid", self + "/artifact/00": "invalid",
		self + "/artifact/x": "invalid", self + "/artifact/..%2f..%2fsecret": "invalid", self + "/artifact/99999999999": "invalid",
		self + "/artifact/": "not_found", "/job/..%2f..%2fetc/artifact/0": "not_found",
	} {
		wantProblem(t, call(s, "GET", path, ""), codeTable()[code].status, code)
	}
	s.opt.Files.(*fakeFiles).content = map[string][]byte{}
	wantProblem(t, call(s, "GET", url, ""), 404, jeantrail.CodeNotFound)
}

// A file can be had as soon as its event was seen, and a job that failed keeps
// what it had made.
func TestArtifactOfAJobWithoutAResult(t *testing.T) {
	files := newFakeFiles()
	road := newFakeRoad(func(j *fakeJob) {
		j.start()
		a := jeantrail.Artifact{Kind: jeantrail.ArtifactImage, File: files.keep([]byte("early"))}
		a.MediaType = "image/png"
		j.emit(jeantrail.Event{Type: jeantrail.EventArtifact, Artifact: &a})
	})
	s := newTestServer(t, Options{Road: road, Files: files})
	call(s, "POST", "/generate-image", `{"prompt":"x","n":2,"async":true}`)
	j := <-road.submitted
	self := "/job/" + j.snapshot().ID
	look := func(when string) {
		if w := call(s, "GET", self+"/artifact/0", ""); w.Code != 200 || w.Body.String() != "early" {
			t.Errorf("%s: %d %s", when, w.Code, w.Body)
		}
		wantProblem(t, call(s, "GET", self+"/artifact/1", ""), 404, jeantrail.CodeNotFound)
	}
	look("while it runs")
	j.end(jeantrail.StateFailed, nil, jeantrail.Errorf(jeantrail.CodeWorkerUnavailable, "gone"))
	look("after it failed")
}

// endless is a file that is as long as one likes and lies nowhere.
type endless struct{ size, at int64 }

func (e *endless) Read(p []byte) (int, error) {
	n := min(int64(len(p)), e.size-e.at)
	if n == 0 {
		return 0, io.EOF
	}
	e.at += n
	return int(n), nil
}

func (e *endless) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		e.at = offset
	case io.SeekCurrent:
		e.at += offset
	default:
		e.at = e.size + offset
	}
	return e.at, nil
}

func (e *endless) Close() error { return nil }

type endlessFiles struct{ *fakeFiles }

func (endlessFiles) Open(jeantrail.File) (io.ReadSeekCloser, error) {
	return &endless{size: 1 << 40}, nil
}

// A client that does not read is not waited for, however long the file is.
func TestArtifactToASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newFakeFiles()
		road := newFakeRoad(makes(files, jeantrail.Result{}, jeantrail.ArtifactAudio, "audio/wav", "x"))
		s := newTestServer(t, Options{Road: road, Files: endlessFiles{files}})
		_, client, stop := serve(t, s)
		defer stop()
		call(s, "POST", "/speak", `{"text":"x"}`)
		resp, err := client.Get("http://127.0.0.1:3001/job/" + (<-road.submitted).snapshot().ID + "/artifact/0")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		// In the bubble nothing is in transit: what was written was read.
		if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * writeTimeout)
		_, err = io.Copy(io.Discard, resp.Body)
		if !errors.Is(err, io.ErrUnexpectedEOF) || resp.StatusCode != http.StatusOK {
			t.Errorf("the transfer ended with %v", err)
		}
	})
}

// A long body may take as long as it makes progress, and no longer.
func TestUploadMakesProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		road := newFakeRoad(func(j *fakeJob) { makes(newFakeFiles(), spoken(), "", "")(j) })
		_, client, stop := serve(t, newTestServer(t, Options{Road: road}))
		defer stop()
		send := func(step, pieces int) (*http.Response, time.Duration) {
			t.Helper()
			body, w := io.Pipe()
			written := make(chan struct{})
			go func() {
				defer close(written)
				_, err := io.WriteString(w, "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"+string(aWAV()))
				for range pieces {
					if err == nil {
						time.Sleep(bodyTimeout * 9 / 10)
						_, err = w.Write(make([]byte, step))
					}
				}
				if err == nil {
					_, err = io.WriteString(w, "\r\n--b--\r\n")
				}
				w.CloseWithError(err)
			}()
			began := time.Now()
			resp, err := client.Post("http://127.0.0.1:3001/transcribe", "multipart/form-data; boundary=b", body)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			took := time.Since(began)
			body.Close()
			<-written
			return resp, took
		}
		if resp, took := send(bodyStep, 20); resp.StatusCode != 200 || took < 10*bodyTimeout {
			t.Errorf("a body that makes progress: %d after %v", resp.StatusCode, took)
		}
		if resp, took := send(1, 20); resp.StatusCode != http.StatusRequestTimeout || took > 2*bodyTimeout {
			t.Errorf("a body that drips: %d after %v", resp.StatusCode, took)
		}
	})
}
