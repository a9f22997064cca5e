package hub

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// remoteFile is a file of a repository as the hub's list says it.
type remoteFile struct {
	Path   string
	Bytes  int64
	SHA256 string // "" for a file that is not kept in LFS
}

// Limits of a repository's list.
const (
	maxListBytes = 16 << 20 // of one page
	maxListPages = 100
)

var nextLink = regexp.MustCompile(`<([^>]*)>\s*;[^,]*\brel="?next"?`)

// list returns the files of a repository.
func (c *Client) list(ctx context.Context, p *pacer, s Source) ([]remoteFile, error) {
	u := c.endpoint.JoinPath("api", "models", s.Repo, "tree", url.PathEscape(s.Revision))
	u.RawQuery = "recursive=true"
	var files []remoteFile
	for range maxListPages {
		var next *url.URL
		err := p.retry(ctx, func() error {
			page, link, err := c.listPage(ctx, u, s)
			if err == nil {
				files, next = append(files, page...), link
			}
			return err
		})
		if err != nil || next == nil {
			return files, err
		}
		if !sameOrigin(next, c.endpoint) {
			return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "the list of %s goes on at another host, %s", s.Repo, next.Host).
				WithHint("Check HF_ENDPOINT: the mirror must answer for itself.")
		}
		u = next
	}
	return nil, jeantrail.Errorf(jeantrail.CodeTooLarge, "the list of %s has more than %d pages", s.Repo, maxListPages)
}

func (c *Client) listPage(ctx context.Context, u *url.URL, s Source) (files []remoteFile, next *url.URL, err error) {
	ctx, _, stop := c.watch(ctx)
	defer stop()
	a, err := c.get(ctx, u, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return nil, nil, err
	}
	defer a.close()
	if a.StatusCode != http.StatusOK {
		return nil, nil, c.refused(a, "repository "+s.Repo, s)
	}
	var entries []struct {
		Type string `json:"type"`
		Path string `json:"path"`
		Size int64  `json:"size"`
		LFS  *struct {
			OID  string `json:"oid"`
			Size int64  `json:"size"`
		} `json:"lfs"`
	}
	data, err := io.ReadAll(io.LimitReader(a.Body, maxListBytes+1))
	if err != nil {
		return nil, nil, connectionError(ctx, a.url, err)
	}
	if len(data) > maxListBytes {
		return nil, nil, jeantrail.Errorf(jeantrail.CodeTooLarge, "the list of %s is larger than %s", s.Repo, jeantrail.Size(maxListBytes))
	}
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s does not answer as a hub does: its list of %s cannot be read", a.url.Host, s.Repo).
			WithHint("Check HF_ENDPOINT if it is set. A login page or a captive portal on the network looks the same.")
	}
	for _, e := range entries {
		if e.Type != "file" || !plainPath(e.Path) {
			continue
		}
		f := remoteFile{Path: e.Path, Bytes: e.Size}
		if e.LFS != nil {
			f.Bytes, f.SHA256 = e.LFS.Size, shaOf(e.LFS.OID)
		}
		files = append(files, f)
	}
	if link := nextLink.FindStringSubmatch(strings.Join(a.Header.Values("Link"), ", ")); link != nil {
		if next, err = a.url.Parse(link[1]); err != nil {
			return nil, nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "the list of %s goes on at an address that cannot be read", s.Repo)
		}
	}
	return files, next, nil
}

// shaOf reads a SHA-256 out of what hubs write: with quotes or sha256: around it.
// Anything else, such as the hash of a small file in git, is "".
func shaOf(text string) string {
	text = strings.TrimPrefix(strings.Trim(text, `"`), "sha256:")
	if text = strings.ToLower(text); hexSHA256.MatchString(text) {
		return text
	}
	return ""
}

// resolveURL is where the hub gives a file.
func (c *Client) resolveURL(s Source, file string) *url.URL {
	steps := []string{s.Repo, "resolve", url.PathEscape(s.Revision)}
	for step := range strings.SplitSeq(file, "/") {
		steps = append(steps, url.PathEscape(step))
	}
	return c.endpoint.JoinPath(steps...)
}

// remote is what the source says about a file before it is fetched.
type remote struct {
	bytes    int64
	sha256   string // that the hub says in its headers, or ""
	etag     string // strong, with its quotes, or ""
	modified string // Last-Modified, or ""
	ranges   bool
	commit   string
	direct   *url.URL // that gave the bytes, after redirects
}

// validator is what If-Range is asked with, or "".
func (r remote) validator() string {
	if r.etag != "" {
		return r.etag
	}
	return r.modified
}

// probeBytes is how much of a file is looked at before the rest is fetched.
const probeBytes = 64

// probe asks for the first bytes of a file, and refuses what is not a model.
func (c *Client) probe(ctx context.Context, u *url.URL, s Source) (remote, error) {
	ctx, _, stop := c.watch(ctx)
	defer stop()
	a, err := c.get(ctx, u, http.Header{"Range": {"bytes=0-63"}})
	if err != nil {
		return remote{}, err
	}
	defer func() { _ = a.Body.Close() }() // without range support the whole file would follow
	r := remote{direct: a.url, modified: a.Header.Get("Last-Modified"), commit: a.hub.Get("X-Repo-Commit"), sha256: shaOf(a.hub.Get("X-Linked-Etag"))}
	if tag := a.Header.Get("ETag"); !strings.HasPrefix(tag, "W/") {
		r.etag = tag
	}
	switch a.StatusCode {
	case http.StatusPartialContent:
		first, _, total, ok := contentRange(a.Header.Get("Content-Range"))
		r.ranges, r.bytes = ok && first == 0, total
	case http.StatusOK:
		r.bytes = a.ContentLength
	case http.StatusRequestedRangeNotSatisfiable:
		return remote{}, emptyFile(u)
	default:
		return remote{}, c.refused(a, "file "+path.Base(u.Path), s)
	}
	if coding := a.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return remote{}, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s sends the file only as %s", a.url.Host, coding).
			WithHint("Fetch and unpack it by other means, then use: jeantrail-ai model import FILE.gguf")
	}
	if linked, err := strconv.ParseInt(a.hub.Get("X-Linked-Size"), 10, 64); err == nil && r.bytes < 0 {
		r.bytes = linked
	}
	if r.bytes == 0 {
		return remote{}, emptyFile(u)
	}
	head := make([]byte, probeBytes)
	n, err := io.ReadFull(a.Body, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return remote{}, connectionError(ctx, a.url, err)
	}
	if string(head[:min(n, 4)]) != "GGUF" {
		if n < 4 && int64(n) < r.bytes { // it broke off: this says nothing of the file
			return remote{}, connectionError(ctx, a.url, io.ErrUnexpectedEOF)
		}
		return remote{}, notAModel(a, head[:n], s)
	}
	if r.bytes < 0 {
		return remote{}, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s does not say how large the file is", a.url.Host).
			WithHint("Fetch it by other means, then use: jeantrail-ai model import FILE.gguf")
	}
	return r, nil
}

func emptyFile(u *url.URL) error {
	return jeantrail.Errorf(jeantrail.CodeInvalid, "the file %s is empty", path.Base(u.Path)).
		WithHint("Use another source.")
}
