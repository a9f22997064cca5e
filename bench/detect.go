package bench

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// probeLimit is the time that a server has to answer a question about itself.
const probeLimit = 10 * time.Second

// address takes an URL apart: where the server is, and the API if the path names
// one. A path before that stays, for a server behind a proxy.
func address(raw string) (*url.URL, API, error) {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, "", jeantrail.Errorf(jeantrail.CodeInvalid, "bench http: %q is not the address of a server", raw).
			WithHint("Give one such as http://127.0.0.1:8080.")
	}
	u.RawQuery, u.Fragment, u.User = "", "", nil
	path, api := strings.TrimRight(u.Path, "/"), APIAuto
	for _, known := range []struct {
		end string
		api API
	}{
		{"/v1/chat/completions", APIOpenAI}, {"/v1/completions", APICompletions}, {"/v1", APIOpenAI},
		{"/api/generate", APIOllama}, {"/completion", APILlamaServer}, {"/generate", APIJeantrail},
	} {
		if rest, found := strings.CutSuffix(path, known.end); found {
			path, api = rest, known.api
			break
		}
	}
	u.Path, u.RawPath = path, ""
	return u, api, nil
}

// get asks a question about the server. ok says that it answered 200 with JSON
// that fits into.
func (s *server) get(ctx context.Context, path string, into any) (header http.Header, ok bool, err error) {
	limited, stop := context.WithTimeout(ctx, probeLimit)
	defer stop()
	req, err := http.NewRequestWithContext(limited, http.MethodGet, s.base.String()+path, nil)
	if err != nil {
		return nil, false, err
	}
	resp, err := s.do(req)
	if err != nil {
		return nil, false, s.broken(ctx, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if err != nil {
		return nil, false, s.broken(ctx, err)
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return resp.Header, false, s.refused(resp.StatusCode, text)
	}
	return resp.Header, resp.StatusCode == http.StatusOK && json.Unmarshal(text, into) == nil, nil
}

// detect finds out which API the server speaks. llama-server names itself in a
// header; our /ready is nobody else's; Ollama has /api/version; whatever else has
// /v1/models is taken to be OpenAI-compatible.
func (s *server) detect(ctx context.Context) error {
	var health struct {
		Status string `json:"status"`
	}
	header, _, err := s.get(ctx, "/health", &health)
	if err != nil {
		return err
	}
	if strings.EqualFold(header.Get("Server"), "llama.cpp") {
		s.api = APILlamaServer
		return nil
	}
	if slices.Contains([]string{"ok", "degraded", "loading"}, health.Status) {
		health.Status = ""
		// It answers 503 while a model loads; then the body is not looked at.
		header, ready, err := s.get(ctx, "/ready", &health)
		if err != nil {
			return err
		}
		if ready && health.Status == "ok" || !ready && header.Get("Retry-After") != "" {
			s.api = APIJeantrail
			return nil
		}
	}
	var version struct {
		Version string `json:"version"`
	}
	if _, ok, err := s.get(ctx, "/api/version", &version); err != nil {
		return err
	} else if ok && version.Version != "" {
		s.api = APIOllama
		return nil
	}
	var models modelList
	if _, ok, err := s.get(ctx, "/v1/models", &models); err != nil {
		return err
	} else if ok && models.Data != nil {
		s.api = APIOpenAI
		return nil
	}
	return jeantrail.Errorf(jeantrail.CodeUnsupported, "bench http: %s is none of the servers that are known", s.base).
		WithHint("Name the API that it speaks: one of %s.", apiNames())
}

func apiNames() string {
	var names []string
	for _, api := range APIs() {
		if api != APIAuto {
			names = append(names, string(api))
		}
	}
	return strings.Join(names, ", ")
}

// modelList is the answer of /v1/models, and of Ollama's /api/tags.
type modelList struct {
	Data []struct {
		ID string `json:"id"`
	} `json:"data"`
	Models []struct {
		Name string `json:"name"`
	} `json:"models"`
}

// about fills in the server's version, and the model where it has to be named: a
// server that has only one can be measured without naming it.
func (s *server) about(ctx context.Context) error {
	path := "/v1/models"
	switch s.api {
	case APIJeantrail:
		return s.aboutVersion(ctx, "/health")
	case APILlamaServer:
		return s.aboutVersion(ctx, "/props")
	case APIOllama:
		if err := s.aboutVersion(ctx, "/api/version"); err != nil {
			return err
		}
		path = "/api/tags"
	}
	if s.model != "" {
		return nil
	}
	var list modelList
	if _, _, err := s.get(ctx, path, &list); err != nil {
		return err
	}
	var names []string
	for _, m := range list.Data {
		names = append(names, m.ID)
	}
	for _, m := range list.Models {
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	if len(names) != 1 {
		hint := "It names none."
		if len(names) > 0 {
			hint = "It has " + shorten(strings.Join(names, ", ")) + "."
		}
		return jeantrail.Errorf(jeantrail.CodeInvalid, "bench http: the server has to be told which model to run").WithHint("%s", hint)
	}
	s.model = names[0]
	return nil
}

// aboutVersion asks for the version, and llama-server also for its model. One
// that does not tell is measured all the same.
func (s *server) aboutVersion(ctx context.Context, path string) error {
	var said struct {
		Version string `json:"version"`
		Build   string `json:"build_info"`
		Alias   string `json:"model_alias"`
		Models  map[string]struct {
			Default bool `json:"default"`
		} `json:"models"`
	}
	if _, ok, err := s.get(ctx, path, &said); err != nil || !ok {
		return err
	}
	s.version = said.Version + said.Build
	for name, m := range said.Models {
		if m.Default && s.model == "" {
			s.model = name
		}
	}
	if s.model == "" {
		s.model = said.Alias
	}
	return nil
}
