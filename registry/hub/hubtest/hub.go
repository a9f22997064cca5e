package hubtest

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Commit is the revision that main stands for in every repository.
const Commit = "0123456789abcdef0123456789abcdef01234567"

// sendBuffer keeps the system from taking much more than the client has read,
// so that what is counted as sent is nearly what arrived.
const sendBuffer = 64 << 10

// Behaviour is how the hub misbehaves. The zero value is a good hub.
type Behaviour struct {
	Token string // without which nothing of a gated repository is given
	Gated bool   // files need the token and an account that accepted the licence
	Known bool   // whether the account of Token did so

	BusyTimes  int    // so many requests of the file server are refused
	BusyStatus int    // with this status, such as 429
	RetryAfter string // and this header, "" for none

	HTML     bool   // a web page comes in the place of the file
	Coding   string // the Content-Encoding that the file claims to have
	NoRanges bool   // the whole file comes whatever range is asked for
	NoLength bool   // the file comes without its length, and so without ranges
	NoTags   bool   // neither ETag nor Last-Modified
	Flip     bool   // a byte near the end of the file is wrong
	Wander   bool   // redirects go round in a circle
	Uses     int    // a signed address works so often; 0 is always

	// OnSent is told, before they are sent, how many bytes of bodies there were
	// since Forget. It must not call the hub.
	OnSent func(total int64)

	BytesPerSecond int64 // of each connection; 0 is unlimited
	// Hold makes bodies that begin from now on wait, from the moment that HoldAfter
	// bytes of bodies were sent since Forget, until it is closed; nil is never.
	Hold      <-chan struct{}
	HoldAfter int64
	// Cut says after how many bytes a body breaks off; 0 is never. It is asked for
	// each body that is longer than a probe.
	Cut func() int64
	// Stall says after how many bytes a body stops without breaking off; 0 is
	// never.
	Stall func() int64
}

// Request is a request that came in.
type Request struct {
	CDN           bool // at the file server, not at the hub
	Path          string
	Range         string
	IfRange       string
	Authorization string
}

// file is a file of a repository.
type file struct {
	content  []byte
	sha256   string
	etag     string
	modified time.Time
	lfs      bool
}

// Hub is the double. All methods may be called by any goroutine.
type Hub struct {
	URL string // of the hub
	CDN string // of the file server

	stop chan struct{}

	mu        sync.Mutex
	behaviour Behaviour
	repos     map[string]map[string]*file // by OWNER/REPO, then by path
	renamed   map[string]string
	pageSize  int
	requests  []Request
	uses      map[string]int // of signed addresses
	signed    int
	spans     map[string][]*span // bytes sent, by path of the file server
	sent      int64
	cuts      int
}

// New starts a hub and its file server; they stop when the test ends.
func New(t testing.TB) *Hub {
	t.Helper()
	h := &Hub{
		stop: make(chan struct{}), pageSize: 1000, repos: make(map[string]map[string]*file),
		renamed: make(map[string]string), uses: make(map[string]int), spans: make(map[string][]*span),
	}
	h.URL = h.serve(t, http.HandlerFunc(h.hub))
	h.CDN = h.serve(t, http.HandlerFunc(h.cdn))
	t.Cleanup(func() { close(h.stop) }) // before the servers wait for their handlers
	return h
}

func (h *Hub) serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var handlers sync.WaitGroup
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		handler.ServeHTTP(w, r)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(narrow{l}) // it ends by Close
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
		handlers.Wait()
	})
	return "http://" + l.Addr().String()
}

// narrow gives every connection a small buffer.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // a larger one only makes the counts less exact
	}
	return conn, err
}

// Content makes bytes that begin as a GGUF file does, the same for the same seed.
func Content(size int, seed uint64) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	content := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(content) // never fails
	copy(content, "GGUF")
	return content
}

// SHA256 returns the hash of some bytes in hexadecimal.
func SHA256(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Put adds a file to a repository, or replaces it, and returns its SHA-256.
func (h *Hub) Put(repo, path string, content []byte) string { return h.put(repo, path, content, true) }

// PutSplit adds the parts of a split model as PREFIX-00001-of-00003.gguf and so
// on, and returns their SHA-256.
func (h *Hub) PutSplit(repo, prefix string, parts [][]byte) []string {
	sums := make([]string, len(parts))
	for i, content := range parts {
		sums[i] = h.Put(repo, PartName(prefix, i+1, len(parts)), content)
	}
	return sums
}

// PartName is the name of a part of a split model, counted from 1.
func PartName(prefix string, part, parts int) string {
	return fmt.Sprintf("%s-%05d-of-%05d.gguf", prefix, part, parts)
}

// PutSmall adds a file that is kept in git itself, without a SHA-256.
func (h *Hub) PutSmall(repo, path string, content []byte) { h.put(repo, path, content, false) }

func (h *Hub) put(repo, path string, content []byte, lfs bool) string {
	sum := SHA256(content)
	tag := md5.Sum(content)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.repos[repo] == nil {
		h.repos[repo] = make(map[string]*file)
	}
	h.repos[repo][path] = &file{
		content: content, sha256: sum, lfs: lfs, etag: `"` + hex.EncodeToString(tag[:]) + `"`,
		modified: time.Date(2026, 1, 2, 3, 4, 5+len(h.repos[repo]), 0, time.UTC),
	}
	return sum
}

// Rename makes the old name of a repository redirect to another.
func (h *Hub) Rename(old, repo string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.renamed[old] = repo
}

// Pages sets how many files a page of the list has.
func (h *Hub) Pages(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pageSize = n
}

// Behave changes how the hub behaves from now on.
func (h *Hub) Behave(change func(*Behaviour)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.behaviour)
}

// Requests returns what came in so far.
func (h *Hub) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.requests)
}

func (h *Hub) keep(r *http.Request, cdn bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, Request{
		CDN: cdn, Path: r.URL.Path, Range: r.Header.Get("Range"), IfRange: r.Header.Get("If-Range"),
		Authorization: r.Header.Get("Authorization"),
	})
}

// refuse answers as the hub does.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Error-Code", code)
	w.Header().Set("X-Error-Message", message)
	http.Error(w, message, status)
}

func (h *Hub) hub(w http.ResponseWriter, r *http.Request) {
	h.keep(r, false)
	h.mu.Lock()
	defer h.mu.Unlock()
	steps := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	list := len(steps) >= 5 && steps[0] == "api" && steps[1] == "models" && steps[4] == "tree"
	if list {
		steps = steps[2:]
	} else if len(steps) < 5 || steps[2] != "resolve" {
		http.NotFound(w, r)
		return
	}
	repo := path.Join(steps[0], steps[1])
	if now, ok := h.renamed[repo]; ok {
		w.Header().Set("Location", strings.Replace(r.URL.Path, repo, now, 1)+"?"+r.URL.RawQuery)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	files, known := h.repos[repo]
	if !known {
		// The real hub does not tell strangers what does not exist from what is private.
		status := http.StatusUnauthorized
		if r.Header.Get("Authorization") != "" {
			status = http.StatusNotFound
		}
		refuse(w, status, "RepoNotFound", "Repository not found")
		return
	}
	if steps[3] != "main" && steps[3] != Commit {
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+steps[3])
		return
	}
	w.Header().Set("X-Repo-Commit", Commit)
	if list {
		h.list(w, r, files)
		return
	}
	h.resolve(w, r, repo, strings.Join(steps[4:], "/"))
}

// list answers with a page of a repository's files. The caller holds mu.
func (h *Hub) list(w http.ResponseWriter, r *http.Request, files map[string]*file) {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	var at int
	_, _ = fmt.Sscan(r.URL.Query().Get("cursor"), &at) // none is 0
	end := min(at+h.pageSize, len(names))
	if end < len(names) {
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?recursive=true&cursor=%d>; rel="next"`, h.URL, r.URL.Path, end))
	}
	entries := []map[string]any{{"type": "directory", "oid": "d", "size": 0, "path": "folder"}}
	for _, name := range names[at:end] {
		f := files[name]
		e := map[string]any{"type": "file", "oid": "0a", "size": len(f.content), "path": name}
		if f.lfs {
			e["lfs"] = map[string]any{"oid": f.sha256, "size": len(f.content), "pointerSize": 134}
		}
		entries = append(entries, e)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(entries) // the client went away
}

// resolve redirects to a signed address of the file server. The caller holds mu.
func (h *Hub) resolve(w http.ResponseWriter, r *http.Request, repo, name string) {
	b := h.behaviour
	if b.Gated {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+b.Token:
			refuse(w, http.StatusUnauthorized, "GatedRepo", "Access to model "+repo+" is restricted.")
			return
		case !b.Known:
			refuse(w, http.StatusForbidden, "GatedRepo", "Access to model "+repo+" is restricted and you are not in the authorized list.")
			return
		}
	}
	f := h.repos[repo][name]
	if f == nil {
		refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
		return
	}
	if b.Wander {
		w.Header().Set("Location", r.URL.Path)
		w.WriteHeader(http.StatusFound)
		return
	}
	if f.lfs {
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(f.content)))
		w.Header().Set("X-Linked-ETag", `"`+f.sha256+`"`)
	}
	h.signed++
	w.Header().Set("Location", fmt.Sprintf("%s/%s/%s?Signature=%d", h.CDN, repo, name, h.signed))
	w.WriteHeader(http.StatusFound)
}
