package server

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func TestHostAndOrigin(t *testing.T) {
	tests := []struct {
		name, method, host, origin, site string
		allowed                          bool
	}{
		{"loopback address", "GET", "127.0.0.1:3001", "", "", true},
		{"another loopback address", "GET", "127.8.9.1:3001", "", "", true},
		{"localhost", "GET", "LocalHost:3001", "", "", true},
		{"without a port", "GET", "localhost", "", "", true},
		{"IPv6", "GET", "[::1]:3001", "", "", true},
		{"IPv6 without a port", "GET", "[::1]", "", "", true},
		{"mapped", "GET", "[::ffff:127.0.0.1]:3001", "", "", true},
		{"configured name", "GET", "Studio.lan:9999", "", "", true},
		{"configured name and port", "GET", "box.lan:3001", "", "", true},
		{"configured name, other port", "GET", "box.lan:3002", "", "", false},

		{"no host", "GET", "", "", "", false},
		{"rebound name", "GET", "evil.example:3001", "", "", false},
		{"rebound name with its origin", "POST", "evil.example:3001", "http://evil.example:3001", "same-origin", false},
		{"subdomain of localhost", "GET", "evil.localhost:3001", "", "", false},
		{"looks like localhost", "GET", "localhost.evil.example:3001", "", "", false},
		{"any address", "GET", "0.0.0.0:3001", "", "", false},
		{"address on the network", "GET", "192.168.1.4:3001", "", "", false},
		{"zone", "GET", "[::1%25lo]:3001", "", "", false},

		{"own console", "POST", "127.0.0.1:3001", "http://127.0.0.1:3001", "same-origin", true},
		{"own console by another name", "POST", "127.0.0.1:3001", "http://localhost:3001", "cross-site", true},
		{"console of a configured host", "POST", "studio.lan:3001", "http://studio.lan:3001", "", true},
		{"shell", "POST", "127.0.0.1:3001", "tauri://localhost", "cross-site", true},
		{"shell on Windows", "POST", "127.0.0.1:3001", "http://tauri.localhost", "cross-site", true},
		{"shell on Windows, https", "POST", "127.0.0.1:3001", "https://tauri.localhost", "cross-site", true},
		{"configured", "POST", "127.0.0.1:3001", "http://localhost:5173", "same-site", true},

		{"a page", "POST", "127.0.0.1:3001", "https://evil.example", "cross-site", false},
		{"a page that reads", "GET", "127.0.0.1:3001", "https://evil.example", "cross-site", false},
		{"hidden origin", "POST", "127.0.0.1:3001", "null", "cross-site", false},
		{"no origin, another site", "POST", "127.0.0.1:3001", "", "cross-site", false},
		{"no origin, same site", "DELETE", "127.0.0.1:3001", "", "same-site", false},
		{"another local program", "POST", "127.0.0.1:3001", "http://localhost:8080", "same-site", false},
		{"https at our port", "POST", "127.0.0.1:3001", "https://localhost:3001", "", false},
		{"looks like the shell", "POST", "127.0.0.1:3001", "http://tauri.localhost.evil.example", "", false},
		{"shell with a port", "POST", "127.0.0.1:3001", "http://tauri.localhost:81", "", false},
		{"origin with a user", "POST", "127.0.0.1:3001", "http://x@127.0.0.1:3001", "", false},
		{"link from a page", "GET", "127.0.0.1:3001", "", "cross-site", true},
		{"typed", "GET", "127.0.0.1:3001", "", "none", true},
	}
	s := newTestServer(t, Options{
		AllowedHosts: []string{"studio.lan", "box.lan:3001"}, AllowedOrigins: []string{"http://localhost:5173"},
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := []string{"Host", tt.host, "Content-Type", "application/json"}
			if tt.origin != "" {
				header = append(header, "Origin", tt.origin)
			}
			if tt.site != "" {
				header = append(header, "Sec-Fetch-Site", tt.site)
			}
			path := map[string]string{"GET": "/jobs", "POST": "/generate", "DELETE": "/job/none"}[tt.method]
			w := call(s, tt.method, path, `{"prompt":"x"}`, header...)
			cors := w.Header().Get("Access-Control-Allow-Origin")
			if !tt.allowed {
				wantProblem(t, w, 403, jeantrail.CodeOriginDenied)
				if cors != "" {
					t.Errorf("a denied origin is told %q", cors)
				}
				return
			}
			if w.Code == http.StatusForbidden || cors != tt.origin {
				t.Errorf("status %d, Access-Control-Allow-Origin %q", w.Code, cors)
			}
		})
	}
}

func TestTwoOriginsAreDenied(t *testing.T) {
	s := newTestServer(t, Options{})
	wantProblem(t, call(s, "GET", "/jobs", "", "Origin", "tauri://localhost", "Origin", "https://evil.example"), 403, jeantrail.CodeOriginDenied)
}

func TestPreflight(t *testing.T) {
	s := newTestServer(t, Options{Token: "secret"})
	ask := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization", "Access-Control-Request-Private-Network", "true"}
	w := call(s, "OPTIONS", "/generate", "", append(ask, "Origin", "tauri://localhost")...)
	h := w.Header()
	if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != "tauri://localhost" || h.Get("Access-Control-Allow-Private-Network") != "true" ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") || h.Get("Access-Control-Allow-Methods") != "GET, POST, PUT, PATCH, DELETE" {
		t.Errorf("preflight: %d %v", w.Code, h)
	}
	for name, values := range h {
		if strings.HasPrefix(name, "Access-Control") && strings.Contains(strings.Join(values, ""), "*") {
			t.Errorf("%s has a wildcard", name)
		}
	}
	if vary := strings.Join(h.Values("Vary"), ","); !strings.Contains(vary, "Origin") {
		t.Errorf("Vary is %q", vary)
	}
	w = call(s, "OPTIONS", "/generate", "", append(ask, "Origin", "https://evil.example")...)
	wantProblem(t, w, 403, jeantrail.CodeOriginDenied)
	if w.Header().Get("Access-Control-Allow-Methods") != "" {
		t.Error("a denied origin gets CORS headers")
	}
	wantProblem(t, call(s, "OPTIONS", "/generate", ""), 401, jeantrail.CodeUnauthorized)
}

func TestToken(t *testing.T) {
	s := newTestServer(t, Options{Token: "secret", Version: "1.2.3"})
	tests := []struct {
		name   string
		header []string
		status int
	}{
		{"none", nil, 401},
		{"wrong", []string{"Authorization", "Bearer secres"}, 401},
		{"prefix", []string{"Authorization", "Bearer secre"}, 401},
		{"empty", []string{"Authorization", "Bearer "}, 401},
		{"basic", []string{"Authorization", "Basic secret"}, 401},
		{"bare", []string{"Authorization", "secret"}, 401},
		{"subprotocol outside a WebSocket", []string{"Sec-WebSocket-Protocol", "jeantrail.v1, bearer.secret"}, 401},
		{"right", []string{"Authorization", "Bearer secret"}, 200},
		{"right in other letters", []string{"Authorization", "bearer secret"}, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"/jobs", "/models", "/metrics", "/openapi.json"} {
				w := call(s, "GET", path, "", tt.header...)
				if w.Code != tt.status {
					t.Errorf("%s: status %d", path, w.Code)
				}
				if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" {
					t.Error("401 without WWW-Authenticate")
				}
			}
			for _, path := range []string{"/health", "/ready"} {
				w := call(s, "GET", path, "", tt.header...)
				if full := strings.Contains(w.Body.String(), "1.2.3"); w.Code != 200 || full != (tt.status == 200) {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
			}
		})
	}
	if body := call(s, "GET", "/health", "").Body.String(); body != `{"status":"ok"}` {
		t.Errorf("without a token /health tells %s", body)
	}
	wantProblem(t, call(s, "GET", "/nothing", ""), 401, jeantrail.CodeUnauthorized)
}

func TestPrincipal(t *testing.T) {
	for _, token := range []string{"", "secret"} {
		road := newFakeRoad(answerScript)
		s := newTestServer(t, Options{Road: road, Token: token})
		call(s, "POST", "/generate", `{"prompt":"x","user_id":"somebody"}`, "Authorization", "Bearer secret")
		want := jeantrail.Principal{UserID: "local", Role: jeantrail.RoleAdmin, ActForOthers: true}
		if token != "" {
			want.KeyID = "token"
		}
		if road.who != want {
			t.Errorf("token %q: the principal is %+v", token, road.who)
		}
	}
}

// The secret is kept and compared as a hash of fixed length.
func TestTokenIsHashed(t *testing.T) {
	a := newAuth("secret")
	if a.hash != sha256.Sum256([]byte("secret")) || a.keyless || !a.matches("secret") || a.matches("Secret") || a.matches("") {
		t.Error("the token's hash does not decide")
	}
	if !newAuth("").keyless {
		t.Error("no token must be keyless")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	bad := []Options{
		{},
		{Road: newFakeRoad(nil), Money: newFakeMoney()},
		{Money: newFakeMoney(), Models: readyModels()},
		{Road: newFakeRoad(nil), Models: readyModels()},
		{Road: newFakeRoad(nil), Money: newFakeMoney(), Models: readyModels(), AllowedOrigins: []string{"*"}},
		{Road: newFakeRoad(nil), Money: newFakeMoney(), Models: readyModels(), AllowedOrigins: []string{"https://*.example"}},
		{Road: newFakeRoad(nil), Money: newFakeMoney(), Models: readyModels(), AllowedOrigins: []string{"example.com"}},
		{Road: newFakeRoad(nil), Money: newFakeMoney(), Models: readyModels(), AllowedOrigins: []string{"https://example.com/path"}},
		{Road: newFakeRoad(nil), Money: newFakeMoney(), Models: readyModels(), AllowedHosts: []string{"*"}},
		{Road: newFakeRoad(nil), Money: newFakeMoney(), Models: readyModels(), AllowedHosts: []string{"http://example.com"}},
	}
	for i, opt := range bad {
		if s, err := New(opt); err == nil {
			t.Errorf("options %d make a server %p", i, s)
		}
	}
}

func TestListen(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.168.1.4:0", "example.com:0"} {
		if ln, err := Listen(addr, ""); jeantrail.CodeOf(err) != jeantrail.CodeForbidden {
			t.Errorf("%s without a token: %v, %v", addr, ln, err)
		}
	}
	if _, err := Listen("3001", ""); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
		t.Errorf("a bare port: %v", err)
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0"} {
		ln, err := Listen(addr, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = Listen(ln.Addr().String(), "")
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeConflict || !strings.Contains(e.Hint, "port 0") {
			t.Errorf("a taken port: %v", err)
		}
		ln.Close()
	}
	ln, err := Listen("0.0.0.0:0", "secret")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}
