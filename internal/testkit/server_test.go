package testkit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client keeps no connection, so that none outlives its test.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error // of sending, or of reading the body
}

func (r reply) contentType() string { return r.header.Get("Content-Type") }

// told returns status and body in one line.
func told(r reply) string { return fmt.Sprintf("%d %s", r.status, r.body) }

// object reads the body as a JSON object.
func (r reply) object(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("answer %d is no JSON object: %v\n%.200s", r.status, err, r.body)
	}
	return v
}

func send(t *testing.T, ctx context.Context, method, url, contentType, body string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	resp, err := client.Do(r)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, data, err}
}

func get(t *testing.T, url string) reply {
	t.Helper()
	return send(t, t.Context(), http.MethodGet, url, "", "")
}

func post(t *testing.T, url, body string) reply {
	t.Helper()
	return send(t, t.Context(), http.MethodPost, url, "application/json", body)
}

func form(t *testing.T, url, body string) reply {
	t.Helper()
	return send(t, t.Context(), http.MethodPost, url, "application/x-www-form-urlencoded", body)
}

// sendFile uploads a file under that field name, with further fields.
func sendFile(t *testing.T, url, field string, file []byte, fields ...string) reply {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="` + field + `"; filename="upload.wav"`}, "Content-Type": {"audio/wav"}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(file)
	for i := 0; i < len(fields); i += 2 {
		_ = w.WriteField(fields[i], fields[i+1])
	}
	_ = w.Close()
	return send(t, t.Context(), http.MethodPost, url, w.FormDataContentType(), body.String())
}

// check compares one value of a test with what it should be.
func check[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// contains checks a body for a text.
func contains(t *testing.T, r reply, want string) {
	t.Helper()
	if !strings.Contains(string(r.body), want) {
		t.Errorf("answer %d is %.300s, want %q in it", r.status, r.body, want)
	}
}

func TestDownRefusesAndUpForgets(t *testing.T) {
	srv := Serve(t, LocalAI{Starting: 1}, Stopped())
	if r := get(t, srv.URL+"/readyz"); !errors.Is(r.err, syscall.ECONNREFUSED) {
		t.Fatalf("a stopped server answers %d, %v", r.status, r.err)
	}
	srv.Up()
	check(t, "first probe", get(t, srv.URL+"/readyz").status, http.StatusServiceUnavailable)
	check(t, "second probe", get(t, srv.URL+"/readyz").status, http.StatusOK)
	srv.Down()
	if r := get(t, srv.URL+"/readyz"); !errors.Is(r.err, syscall.ECONNREFUSED) {
		t.Fatalf("a server that is down answers %d, %v", r.status, r.err)
	}
	srv.Up()
	check(t, "probe after a restart", get(t, srv.URL+"/readyz").status, http.StatusServiceUnavailable)
	check(t, "requests recorded", len(srv.RequestsTo("/readyz")), 3)
}

func TestDownBreaksWhatIsUnderWay(t *testing.T) {
	srv := Serve(t, SDServer{}, Gate(make(chan struct{})))
	done := make(chan reply, 1)
	go func() { done <- post(t, srv.URL+"/sdapi/v1/txt2img", `{"prompt":"a"}`) }()
	srv.AwaitWorking(1)
	srv.Down()
	if r := <-done; r.err == nil {
		t.Errorf("the request was answered %d", r.status)
	}
	check(t, "cancelled by the client", srv.Cancelled(), 0)
}

func TestRequestsAreRecorded(t *testing.T) {
	srv := Serve(t, Whisper{})
	sendFile(t, srv.URL+"/inference?x=1", "file", Tone{Length: time.Second}.Bytes(), "language", "de")
	all := srv.RequestsTo("/inference")
	if len(all) != 1 {
		t.Fatalf("%d requests were recorded", len(all))
	}
	fields, err := all[0].Form()
	if err != nil {
		t.Fatal(err)
	}
	files, err := all[0].Uploads()
	if err != nil || len(files) != 1 {
		t.Fatalf("%d uploads, %v", len(files), err)
	}
	check(t, "query", all[0].Query.Get("x"), "1")
	check(t, "field", fields.Get("language"), "de")
	check(t, "file name", files[0].Name, "upload.wav")
	check(t, "file size", len(files[0].Data), 44+32000)
}

func TestConcurrencyIsOfWorkOnly(t *testing.T) {
	gate := make(chan struct{})
	srv := Serve(t, Speaches{}, Gate(gate))
	done := make(chan reply)
	for range 3 {
		go func() {
			done <- sendFile(t, srv.URL+"/v1/audio/transcriptions", "file", Tone{Length: time.Second}.Bytes(), "model", "whisper-1")
		}()
	}
	srv.AwaitWorking(3)
	check(t, "probe meanwhile", get(t, srv.URL+"/health").status, http.StatusOK)
	close(gate)
	for range 3 {
		check(t, "status", (<-done).status, http.StatusOK)
	}
	sendFile(t, srv.URL+"/v1/audio/transcriptions", "file", Tone{Length: time.Second}.Bytes(), "model", "whisper-1")
	check(t, "most at once", srv.MaxConcurrent(), 3)
}

func TestOneAfterTheOtherIsNotConcurrent(t *testing.T) {
	for _, d := range []Double{SDServer{Width: 64, Height: 64}, Coqui{}, Llama{}} {
		srv := Serve(t, d)
		path := d.Work()[len(d.Work())-1]
		for range 100 {
			r := post(t, srv.URL+path, `{"prompt":"a","input":"a","response_format":"wav","messages":[{"role":"user","content":"a"}]}`)
			check(t, path, r.status, http.StatusOK)
		}
		check(t, path, srv.MaxConcurrent(), 1)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	srv := Serve(t, Whisper{}, Idle(time.Millisecond))
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: double\r\n\r\n")
	all, err := io.ReadAll(conn) // ends only because the server closes
	if err != nil || !strings.HasSuffix(string(all), `{"status":"ok"}`) {
		t.Errorf("read %q, %v", all, err)
	}
}

func TestHundredRequestsWearAConnectionOut(t *testing.T) {
	srv := Serve(t, SDServer{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() {
		_, _ = io.WriteString(conn, strings.Repeat("GET /v1/models HTTP/1.1\r\nHost: double\r\n\r\n", 120))
	}()
	all, _ := io.ReadAll(conn)
	check(t, "answers", strings.Count(string(all), "HTTP/1.1 200 OK"), 100)
}

func TestServersThatNoticeADepartingClient(t *testing.T) {
	wav := Tone{Length: time.Second}.Bytes()
	for _, test := range []struct {
		name    string
		double  Double
		path    string
		file    string // the upload's field, "" for JSON
		body    string
		notices bool
	}{
		{"sd-server", SDServer{}, "/sdapi/v1/txt2img", "", `{"prompt":"a","width":64,"height":64}`, false},
		{"whisper.cpp", Whisper{}, "/inference", "file", "", true},
		{"coqui", Coqui{}, "/v1/audio/speech", "", `{"input":"a","response_format":"wav"}`, false},
		{"llama-server", Llama{}, chatPath, "", `{"messages":[{"role":"user","content":"a"}]}`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			gate := make(chan struct{})
			srv := Serve(t, test.double, Gate(gate))
			ctx, leave := context.WithCancel(t.Context())
			body, contentType := test.body, "application/json"
			if test.file != "" {
				var b bytes.Buffer
				w := multipart.NewWriter(&b)
				part, _ := w.CreateFormFile(test.file, "a.wav")
				_, _ = part.Write(wav)
				_ = w.Close()
				body, contentType = b.String(), w.FormDataContentType()
			}
			first := make(chan reply, 1)
			go func() { first <- send(t, ctx, http.MethodPost, srv.URL+test.path, contentType, body) }()
			srv.AwaitWorking(1)
			leave()
			<-first
			srv.AwaitCancelled(1)
			second := make(chan reply, 1)
			go func() { second <- send(t, t.Context(), http.MethodPost, srv.URL+test.path, contentType, body) }()
			srv.AwaitRequests(test.path, 2)
			if !test.notices {
				gate <- struct{}{} // for nobody
			}
			for done := false; !done; {
				select {
				case gate <- struct{}{}:
				case r := <-second:
					check(t, "second request", r.status, http.StatusOK)
					done = true
				}
			}
			check(t, "most at once", srv.MaxConcurrent(), 1)
		})
	}
}
