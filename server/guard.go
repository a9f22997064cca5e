package server

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// guard decides by Host and Origin whether a request may come in at all.
// Localhost is not a trust boundary: any page in the user's browser can send
// requests to it, and a page whose name was rebound to 127.0.0.1 can also read
// the answers. The Host check stops the second, the Origin check the first.
type guard struct {
	hosts   map[string]bool // lower-case names and name:port pairs
	origins map[string]bool // lower-case scheme://host[:port]
}

// shellOrigins are what the desktop shell's web view sends: the custom scheme
// on macOS and Linux, the http forms on Windows and Android.
func shellOrigins() []string {
	return []string{"tauri://localhost", "http://tauri.localhost", "https://tauri.localhost"}
}

func newGuard(hosts, origins []string) (*guard, error) {
	g := &guard{hosts: map[string]bool{}, origins: map[string]bool{}}
	for _, h := range hosts {
		if h == "" || strings.ContainsAny(h, "*/ @") {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "allowed host %q is not a host name", h).
				WithHint("Use name or name:port; wildcards are not supported.")
		}
		g.hosts[strings.ToLower(h)] = true
	}
	for _, o := range append(shellOrigins(), origins...) {
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || strings.Contains(o, "*") || u.Path != "" || u.RawQuery != "" || u.User != nil {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "allowed origin %q is not an origin", o).
				WithHint("Use scheme://host or scheme://host:port, without a path; wildcards are not supported.")
		}
		g.origins[strings.ToLower(o)] = true
	}
	return g, nil
}

// check refuses a request whose Host or Origin is not one that we answer.
func (g *guard) check(r *http.Request) error {
	if !g.hostAllowed(r.Host) {
		return jeantrail.Errorf(jeantrail.CodeOriginDenied, "the Host header names a host that this server does not answer for").
			WithHint("Call it as 127.0.0.1 or localhost, or add the name to the allowed hosts.")
	}
	origin := r.Header.Get("Origin")
	if origin != "" {
		if len(r.Header.Values("Origin")) > 1 || !g.originAllowed(origin, r.Host) {
			return jeantrail.Errorf(jeantrail.CodeOriginDenied, "pages of this origin may not call this server").
				WithHint("Add the origin to the allowed origins if you trust its pages.")
		}
		return nil
	}
	// Browsers name the origin of everything that can change something; one that
	// hides it and says that the request comes from another site is refused.
	site := r.Header.Get("Sec-Fetch-Site")
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !safe && site != "" && site != "same-origin" && site != "none" {
		return jeantrail.Errorf(jeantrail.CodeOriginDenied, "pages of another site may not call this server")
	}
	return nil
}

func (g *guard) hostAllowed(hostport string) bool {
	host, _ := splitHost(hostport)
	if host == "" {
		return false
	}
	return isLoopback(host) || g.hosts[strings.ToLower(host)] || g.hosts[strings.ToLower(hostport)]
}

// originAllowed reports whether pages of origin may call. The server's own
// console is any loopback name, or the very host that was called, at our port.
func (g *guard) originAllowed(origin, hostport string) bool {
	if g.origins[strings.ToLower(origin)] {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" || u.Path != "" || u.User != nil || u.RawQuery != "" {
		return false
	}
	if equalFold(u.Host, hostport) {
		return true
	}
	originHost, originPort := splitHost(u.Host)
	_, port := splitHost(hostport)
	return isLoopback(originHost) && originPort == port
}

// splitHost parts a Host header into name and port; the port may be missing.
func splitHost(hostport string) (host, port string) {
	if host, port, err := net.SplitHostPort(hostport); err == nil {
		return host, port
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]"), ""
}

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// fromBrowser reports whether a page in a browser sent the request.
func fromBrowser(r *http.Request) bool {
	return r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
}

// handle checks the request and answers CORS for the origins that it let in:
// preflights itself, others by naming the one origin in the answer.
func (g *guard) handle(next http.Handler, deny func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Add("Vary", "Origin")
		if err := g.check(r); err != nil {
			deny(w, r, err)
			return
		}
		origin := r.Header.Get("Origin")
		if origin == "" {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Location, Retry-After, Preference-Applied, X-Job-Id, Link, ETag, Accept-Ranges, Content-Range, Content-Disposition")
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, Last-Event-ID, Prefer, Range, If-Range, If-None-Match")
		h.Set("Access-Control-Max-Age", "600")
		if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
			h.Set("Access-Control-Allow-Private-Network", "true")
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
