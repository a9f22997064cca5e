package bench

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// site answers GET requests from a map of path to body; one that begins with a
// number has that status.
func site(header http.Header, pages map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range header {
			w.Header().Set(name, header.Get(name))
		}
		page, found := pages[r.URL.Path]
		if !found {
			http.Error(w, `{"error":{"message":"File Not Found"}}`, http.StatusNotFound)
			return
		}
		status := http.StatusOK
		if n, err := fmt.Sscanf(page, "%3d ", &status); n == 1 && err == nil {
			page = page[4:]
		}
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(status)
		fmt.Fprint(w, page)
	})
}

func TestDetect(t *testing.T) {
	for _, tt := range []struct {
		name    string
		header  http.Header
		pages   map[string]string
		api     API
		model   string
		version string
	}{
		{
			name: "ours", api: APIJeantrail, model: "qwen", version: "1.2.0",
			pages: map[string]string{
				"/health": `{"status":"ok","version":"1.2.0","models":{"other":{"default":false},"qwen":{"default":true}}}`,
				"/ready":  `{"status":"ok"}`,
			},
		},
		{
			name: "ours, without a token", api: APIJeantrail,
			pages: map[string]string{"/health": `{"status":"ok"}`, "/ready": `{"status":"ok"}`},
		},
		{
			name: "ours, while it loads", api: APIJeantrail,
			pages: map[string]string{"/health": `{"status":"loading"}`, "/ready": `503 {"status":"loading"}`},
		},
		{
			name: "llama-server", api: APILlamaServer, model: "qwen3", version: "b7000-abc", header: http.Header{"Server": {"llama.cpp"}},
			pages: map[string]string{
				"/health": `{"status":"ok"}`, "/props": `{"build_info":"b7000-abc","model_alias":"qwen3"}`,
				"/v1/models": `{"data":[{"id":"x"}]}`,
			},
		},
		{
			name: "Ollama with one model", api: APIOllama, model: "qwen3:8b", version: "0.12.3",
			pages: map[string]string{"/api/version": `{"version":"0.12.3"}`, "/api/tags": `{"models":[{"name":"qwen3:8b"}]}`},
		},
		{
			name: "OpenAI-compatible", api: APIOpenAI, model: "only",
			pages: map[string]string{"/health": "", "/v1/models": `{"object":"list","data":[{"id":"only"}],"models":[{"name":"only"}]}`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := HTTPOptions{URL: "model.test", API: APIAuto, Client: serving(t, site(tt.header, tt.pages)), Timeout: time.Minute}
				s, err := o.open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if s.api != tt.api || s.model != tt.model || s.version != tt.version {
					t.Errorf("it is taken for %s %q with model %q", s.api, s.version, s.model)
				}
			})
		})
	}
}

func TestDetectFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pages map[string]string
		code  jeantrail.Code
		has   string // message and hint
	}{
		{"a web site", map[string]string{"/health": "<html>", "/v1/models": "<html>"}, jeantrail.CodeUnsupported, "jeantrail, openai"},
		{"a locked one", map[string]string{"/health": `401 {"detail":"no key"}`}, jeantrail.CodeUnauthorized, "no key"},
		{"many models", map[string]string{"/v1/models": `{"data":[{"id":"a"},{"id":"b"}]}`}, jeantrail.CodeInvalid, "a, b"},
		{"no models", map[string]string{"/v1/models": `{"data":[]}`}, jeantrail.CodeInvalid, "It names none."},
	} {
		synctest.Test(t, func(t *testing.T) {
			report, err := HTTP(t.Context(), HTTPOptions{URL: "http://model.test", Client: serving(t, site(nil, tt.pages))})
			e := jeantrail.AsError(err)
			if report != nil || e.Code != tt.code || !strings.Contains(e.Message+e.Hint, tt.has) {
				t.Errorf("%s: %v, %+v", tt.name, report, e)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{done: make(chan struct{})}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		client := newClient()
		client.Transport.(*http.Transport).DialContext = n.dial
		_, err := HTTP(t.Context(), HTTPOptions{URL: "http://model.test:1", Client: client})
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeWorkerUnavailable || e.Message != "http://model.test:1 does not answer: connection refused" || e.Hint == "" {
			t.Errorf("%+v", e)
		}
	})
}

// TestTokenStaysAtHome has the server send the client elsewhere.
func TestTokenStaysAtHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[string]string)
		client := serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen[r.Host] += r.Header.Get("Authorization")
			http.Redirect(w, r, "http://elsewhere.test"+r.URL.Path, http.StatusTemporaryRedirect)
		}))
		_, err := HTTP(t.Context(), HTTPOptions{URL: "http://u:p@model.test", API: APILlamaServer, Token: "secret", Client: client})
		if jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("error %v", err)
		}
		if !strings.HasPrefix(seen["model.test"], "Bearer secret") || len(seen) != 1 {
			t.Errorf("authorization was seen at %v", seen)
		}
	})
}

func TestAddress(t *testing.T) {
	for raw, want := range map[string]struct {
		base string
		api  API
	}{
		"127.0.0.1:8080":                             {"http://127.0.0.1:8080", APIAuto},
		"http://h/":                                  {"http://h", APIAuto},
		"https://h/v1":                               {"https://h", APIOpenAI},
		"https://h/proxy/v1/chat/completions":        {"https://h/proxy", APIOpenAI},
		"http://h/v1/completions/":                   {"http://h", APICompletions},
		"http://h/completion":                        {"http://h", APILlamaServer},
		"http://h/api/generate":                      {"http://h", APIOllama},
		"http://h/generate":                          {"http://h", APIJeantrail},
		"http://user:password@h:1/generate?key=1#to": {"http://h:1", APIJeantrail},
	} {
		base, api, err := address(raw)
		if err != nil || base.String() != want.base || api != want.api {
			t.Errorf("%s: %v, %s, %v", raw, base, api, err)
		}
	}
}
