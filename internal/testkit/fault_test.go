package testkit

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	wav := Tone{Length: SpeechLength("Hello there."), Rate: 22050}.Bytes()
	broken := func(t *testing.T, r reply) {
		if r.err == nil {
			t.Errorf("the answer %d with %d bytes is whole", r.status, len(r.body))
		}
	}
	for _, test := range []struct {
		name  string
		fault Fault
		see   func(*testing.T, reply)
	}{
		{"answer", Answer(418, "text/plain", "teapot"), func(t *testing.T, r reply) {
			check(t, "status", r.status, 418)
			contains(t, r, "teapot")
		}},
		{"html", HTML500(), func(t *testing.T, r reply) {
			check(t, "status", r.status, 500)
			check(t, "type", r.contentType(), "text/html; charset=utf-8")
			contains(t, r, "<h1>Internal Server Error</h1>")
		}},
		{"content type", WrongContentType("text/plain"), func(t *testing.T, r reply) {
			check(t, "type", r.contentType(), "text/plain")
			check(t, "body", bytes.Equal(r.body, wav), true)
		}},
		{"slow", SlowDrip(time.Nanosecond), func(t *testing.T, r reply) { check(t, "body", bytes.Equal(r.body, wav), true) }},
		{"truncated", Truncated(100), func(t *testing.T, r reply) {
			broken(t, r)
			check(t, "bytes", len(r.body), 100)
		}},
		{"cut", Cut(100), func(t *testing.T, r reply) {
			check(t, "error", r.err, nil)
			check(t, "body", bytes.Equal(r.body, wav[:100]), true)
		}},
		{"empty", EmptyOK(), func(t *testing.T, r reply) {
			check(t, "status", r.status, 200)
			check(t, "type", r.contentType(), "audio/wav")
			check(t, "bytes", len(r.body), 0)
		}},
		{"error after headers", ErrorAfterHeaders(), func(t *testing.T, r reply) {
			broken(t, r)
			check(t, "status", r.status, 200)
			check(t, "bytes", len(r.body), len(wav)/2)
		}},
		{"huge", Huge(3 << 20), func(t *testing.T, r reply) {
			check(t, "bytes", len(r.body), 3<<20)
			check(t, "begin", bytes.HasPrefix(r.body, wav[:44]), true)
		}},
		{"gzip", GzipBomb(8 << 20), func(t *testing.T, r reply) {
			check(t, "encoding", r.header.Get("Content-Encoding"), "gzip")
			unpacked, err := gzip.NewReader(bytes.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, unpacked)
			if n != 8<<20 || err != nil || len(r.body) > 1<<20 {
				t.Errorf("%d bytes unpack to %d, %v", len(r.body), n, err)
			}
		}},
		{"redirect", RedirectTo("http://198.51.100.1/x"), func(t *testing.T, r reply) {
			check(t, "status", r.status, http.StatusTemporaryRedirect)
			check(t, "location", r.header.Get("Location"), "http://198.51.100.1/x")
		}},
		{"reset", Reset(), func(t *testing.T, r reply) {
			broken(t, r)
			check(t, "status", r.status, 0)
		}},
		{"reset after headers", ResetAfterHeaders(), broken},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := Serve(t, Coqui{})
			srv.Fault("/api/tts", test.fault)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/api/tts", strings.NewReader("text=Hello+there."))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Accept-Encoding", "identity")
			resp, err := client.Do(r)
			if err != nil {
				test.see(t, reply{err: err})
			} else {
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				test.see(t, reply{resp.StatusCode, resp.Header, body, err})
			}
			check(t, "another path", get(t, srv.URL+"/voices").status, http.StatusOK)
			srv.Heal("/api/tts")
			check(t, "healed", bytes.Equal(form(t, srv.URL+"/api/tts", "text=Hello+there.").body, wav), true)
		})
	}
}

func TestHangReportsWhoLeft(t *testing.T) {
	srv := Serve(t, SDServer{})
	srv.Fault("", Hang())
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan reply, 1)
	go func() {
		done <- send(t, ctx, http.MethodPost, srv.URL+"/sdapi/v1/txt2img", "application/json", `{"prompt":"a"}`)
	}()
	srv.AwaitWorking(1)
	check(t, "cancelled before", srv.Cancelled(), 0)
	leave()
	if r := <-done; r.err == nil {
		t.Errorf("a hanging server answered %d", r.status)
	}
	srv.AwaitCancelled(1)
	check(t, "recorded", srv.Requests()[0].Cancelled, true)
}

func TestStartingEnds(t *testing.T) {
	srv := Serve(t, Coqui{})
	srv.Fault("", Starting(2))
	for i, want := range []int{503, 503, 200} {
		if got := get(t, srv.URL+"/voices").status; got != want {
			t.Errorf("request %d: got %d, want %d", i+1, got, want)
		}
	}
}

func TestHugeTextFitsBase64(t *testing.T) {
	srv := Serve(t, SDServer{})
	srv.Fault("/sdapi/v1/txt2img", Huge(1000))
	r := post(t, srv.URL+"/sdapi/v1/txt2img", `{"prompt":"a","width":64,"height":64}`)
	check(t, "bytes", len(r.body), 1000)
	check(t, "begin", strings.HasPrefix(string(r.body), `{"images":["iVBORw0KGgo`), true)
	check(t, "end", strings.HasSuffix(string(r.body), strings.Repeat("A", 900)), true)
}
