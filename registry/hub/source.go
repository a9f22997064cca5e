package hub

import (
	"net/url"
	"path"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// DefaultQuant is the quantisation that a source without one means.
const DefaultQuant = "Q4_K_M"

const defaultRevision = "main"

// Source says where a model comes from: a repository of the hub, or a URL.
type Source struct {
	Repo     string // OWNER/REPO; "" for a URL
	Revision string // branch, tag or commit of the repository
	Quant    string // the quantisation that was asked for; "" for the default one
	File     string // the .gguf file that was asked for, a path in the repository; "" for a quantisation
	URL      string // http or https; "" for a repository
}

// ParseSource reads hf:OWNER/REPO[:QUANT or FILE][@REVISION], or an http or
// https URL. The error is invalid and says what is wrong with it.
func ParseSource(text string) (Source, error) {
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, "hf:"); ok {
		return parseRepo(rest)
	}
	u, err := parseURL(text)
	if err != nil {
		return Source{}, err
	}
	return Source{URL: u.String()}, nil
}

// String writes the source so that ParseSource reads the same one.
func (s Source) String() string {
	if s.Repo == "" {
		return s.URL
	}
	text := "hf:" + s.Repo
	if s.File != "" {
		text += ":" + s.File
	} else if s.Quant != "" {
		text += ":" + s.Quant
	}
	if s.Revision != defaultRevision {
		text += "@" + s.Revision
	}
	return text
}

// shown is the source for messages: without the password and the signature that
// a URL may carry.
func (s Source) shown() string {
	if s.Repo != "" {
		return s.String()
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return "the URL"
	}
	return shown(u)
}

func shown(u *url.URL) string {
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return plain.String()
}

func parseRepo(rest string) (Source, error) {
	s := Source{Revision: defaultRevision}
	rest, revision, given := strings.Cut(rest, "@")
	if given {
		if !plainPath(revision) {
			return Source{}, badSource("the revision %q is not usable", revision)
		}
		s.Revision = revision
	}
	repo, selector, given := strings.Cut(rest, ":")
	owner, name, whole := strings.Cut(repo, "/")
	if !whole || !plainPath(owner) || !plainPath(name) || strings.Contains(name, "/") {
		return Source{}, badSource("%q is not the name of a repository", repo)
	}
	s.Repo = repo
	switch {
	case !given:
	case !plainPath(selector):
		return Source{}, badSource("%q is neither a quantisation nor a file", selector)
	case strings.HasSuffix(strings.ToLower(selector), ".gguf"):
		s.File = selector
	case strings.Contains(selector, "/"):
		return Source{}, badSource("%q is not a .gguf file", selector)
	default:
		s.Quant = strings.ToUpper(selector)
	}
	return s, nil
}

// plainPath reports whether text is made of steps of ordinary letters, none of
// which leads up or is hidden.
func plainPath(text string) bool {
	if text == "" || len(text) > 512 {
		return false
	}
	for step := range strings.SplitSeq(text, "/") {
		if step == "" || step[0] == '.' || step[0] == '-' {
			return false
		}
		for _, c := range step {
			if c < ' ' || c == 0x7f || strings.ContainsRune(`\?#%"<>|*`, c) {
				return false
			}
		}
	}
	return true
}

func badSource(format string, args ...any) error {
	return jeantrail.Errorf(jeantrail.CodeInvalid, "model source: "+format, args...).
		WithHint("Write hf:OWNER/REPO, hf:OWNER/REPO:%s, hf:OWNER/REPO:FILE.gguf, any of them with @REVISION, or an https URL of a .gguf file.", DefaultQuant)
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" && u.Scheme == "" {
		return nil, badSource("%q is neither a repository of the hub nor a URL", text)
	}
	if err := checkURL(u); err != nil {
		return nil, err
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// checkURL refuses what is not fetched: file:, ftp: and the like.
func checkURL(u *url.URL) error {
	if u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return badSource("the address %s is neither http nor https", shown(u))
	}
	return nil
}

// ofHub reads the address of a repository's page or file as the repository it
// is of, so that its list of files and checksums is used. Any other URL stays.
func (s Source) ofHub(endpoint *url.URL) Source {
	u, err := url.Parse(s.URL)
	if s.URL == "" || err != nil || !sameOrigin(u, endpoint) {
		return s
	}
	rest, ok := strings.CutPrefix(u.Path, strings.TrimSuffix(endpoint.Path, "/")+"/")
	if !ok {
		return s
	}
	steps := strings.Split(strings.Trim(rest, "/"), "/")
	if len(steps) < 2 {
		return s
	}
	text := path.Join(steps[0], steps[1])
	switch {
	case len(steps) == 2:
	case len(steps) >= 5 && (steps[2] == "resolve" || steps[2] == "blob"):
		text += ":" + path.Join(steps[4:]...) + "@" + steps[3]
	default:
		return s
	}
	if of, err := parseRepo(text); err == nil {
		return of
	}
	return s
}
