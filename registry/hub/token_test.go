package hub

import (
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

func TestTheTokenStaysAtTheHub(t *testing.T) {
	h := hubtest.New(t)
	content := hubtest.Content(300_000, 1)
	h.Put(repo, "m-Q4_K_M.gguf", content)
	h.Behave(func(b *hubtest.Behaviour) { b.Gated, b.Known, b.Token = true, true, "hf_secret" })
	c := newClient(t, h, func(o *Options) { o.Token = "hf_secret" })
	pullOne(t, c, Request{Source: "hf:" + repo})
	holds(t, filepath.Join(c.opts.Folder, "m-Q4_K_M.gguf"), content)
	pullOne(t, c, Request{Source: h.FileURL(repo, "m-Q4_K_M.gguf"), Name: "other"})
	var hub, elsewhere int
	for _, r := range h.Requests() {
		switch {
		case !r.CDN && r.Authorization == "Bearer hf_secret":
			hub++
		case r.CDN && r.Authorization != "":
			t.Errorf("the file server was sent %q", r.Authorization)
		case r.CDN:
			elsewhere++
		}
	}
	if hub == 0 || elsewhere == 0 {
		t.Errorf("%d requests with the token to the hub, %d without to the file server", hub, elsewhere)
	}
}

// TestTheTokenIsNotSentUnprotected has a hub without https that is not this
// machine.
func TestTheTokenIsNotSentUnprotected(t *testing.T) {
	c, err := New(Options{Folder: t.TempDir(), Endpoint: "http://mirror.example", Token: "hf_secret", Validate: accept})
	if err != nil {
		t.Fatal(err)
	}
	if token := c.tokenFor(c.endpoint); token != "" {
		t.Errorf("it is sent: %q", token)
	}
	for address, want := range map[string]string{
		"https://hub.example/x": "hf_secret", "https://hub.example:443/x": "hf_secret", "http://hub.example/x": "",
		"https://cdn.hub.example/x": "", "https://hub.example:8443/x": "", "https://hub.example.org/": "",
	} {
		c, err := New(Options{Folder: t.TempDir(), Endpoint: "https://hub.example", Token: "hf_secret", Validate: accept})
		if err != nil {
			t.Fatal(err)
		}
		u, err := parseURL(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.tokenFor(u); got != want {
			t.Errorf("%s gets %q", address, got)
		}
	}
}

// TestRedirects follows none to another scheme, nor from https to http.
func TestRedirects(t *testing.T) {
	for to, says := range map[string]string{
		"file:///etc/passwd": "neither http nor https", "http://127.0.0.1:1/x.gguf": "from https to unprotected http", "": "cannot be read",
	} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}))
		s.Config.ErrorLog = stdlog.New(io.Discard, "", 0) // strangers hang up on it
		s.StartTLS()
		trusting, ok := s.Client().Transport.(*http.Transport)
		if !ok {
			t.Fatal("no transport")
		}
		c, err := New(Options{Folder: t.TempDir(), Validate: accept, Transport: trusting})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Pull(t.Context(), Request{Source: s.URL + "/m.gguf"}, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("a redirect to %q: %v", to, err)
		}
		c.Close()
		stranger, err := New(Options{Folder: t.TempDir(), Validate: accept})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stranger.Pull(t.Context(), Request{Source: s.URL + "/m.gguf"}, nil); err == nil || !strings.Contains(err.Error(), "is not trusted") {
			t.Errorf("a certificate of nobody: %v", err)
		}
		stranger.Close()
		s.Close()
	}
}

// TestAProxyIsUsed pulls from a host that only the proxy knows.
func TestAProxyIsUsed(t *testing.T) {
	h := hubtest.New(t)
	content := hubtest.Content(300_000, 1)
	h.Put(repo, "m-Q4_K_M.gguf", content)
	folder := t.TempDir()
	cmd, output := child(t, errand{Folder: folder, Endpoint: "http://hub.invalid", Source: "hf:" + repo, PartBytes: minPartBytes},
		"HTTP_PROXY="+h.URL, "http_proxy="+h.URL, "NO_PROXY=", "no_proxy=")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	holds(t, filepath.Join(folder, "m-Q4_K_M.gguf"), content)
}

func TestOptionsThatCannotWork(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no folder":           func(o *Options) { o.Folder = "" },
		"no check":            func(o *Options) { o.Validate = nil },
		"a hub of files":      func(o *Options) { o.Endpoint = "file:///models" },
		"a hub with a secret": func(o *Options) { o.Endpoint = "https://me:secret@hub.example" },
		"a token in quotes":   func(o *Options) { o.Token = "hf_x \n" },
		"small parts":         func(o *Options) { o.PartBytes = 1 },
		"many streams":        func(o *Options) { o.Streams = 1000 },
		"a negative time":     func(o *Options) { o.Stall = -1 },
	} {
		o := Options{Folder: t.TempDir(), Validate: accept}
		change(&o)
		if _, err := New(o); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("HF_ENDPOINT", " https://mirror.example ")
	t.Setenv("HF_TOKEN", "hf_x\n")
	if endpoint, token := Environment(); endpoint != "https://mirror.example" || token != "hf_x" {
		t.Errorf("the environment says %q and %q", endpoint, token)
	}
}
