package hub

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

// TestEveryFaultIsExplained holds every way in which a pull can end badly to the
// right error, with what to do about it, and no file under the final name.
func TestEveryFaultIsExplained(t *testing.T) {
	good := hubtest.Content(300_000, 1)
	const file = "m-Q4_K_M.gguf"
	behave := func(change func(*hubtest.Behaviour)) func(*hubtest.Hub, *Options, *Request) {
		return func(h *hubtest.Hub, _ *Options, _ *Request) { h.Behave(change) }
	}
	plainURL := func(h *hubtest.Hub, _ *Options, r *Request) { r.Source = h.FileURL(repo, file) }
	for name, test := range map[string]struct {
		set  func(*hubtest.Hub, *Options, *Request)
		code jeantrail.Code
		says string // in the message or in the hint
	}{
		"a web page":   {behave(func(b *hubtest.Behaviour) { b.HTML = true }), jeantrail.CodeInvalid, "is a web page, not a model"},
		"a wrong byte": {behave(func(b *hubtest.Behaviour) { b.Flip = true }), jeantrail.CodeInvalid, "its SHA-256 is wrong"},
		"a hash that was given": {func(h *hubtest.Hub, _ *Options, r *Request) {
			plainURL(h, nil, r)
			r.SHA256 = strings.Repeat("0", 64)
		}, jeantrail.CodeInvalid, "its SHA-256 is wrong"},
		"a hash that the hub has another of": {func(_ *hubtest.Hub, _ *Options, r *Request) {
			r.SHA256 = strings.Repeat("0", 64)
		}, jeantrail.CodeInvalid, "changed since its checksum was noted"},
		"no hash":                {func(_ *hubtest.Hub, _ *Options, r *Request) { r.SHA256 = "abc" }, jeantrail.CodeInvalid, "64 hexadecimal digits"},
		"a file that is no GGUF": {func(h *hubtest.Hub, _ *Options, _ *Request) { h.Put(repo, file, []byte(strings.Repeat("x", 5000))) }, jeantrail.CodeInvalid, "does not begin with GGUF"},
		"an LFS pointer": {func(h *hubtest.Hub, _ *Options, _ *Request) {
			h.PutSmall(repo, file, []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0000000000\nsize 12\n"))
		}, jeantrail.CodeInvalid, "/resolve/ in place of /raw/"},
		"a file of unknown length": {func(h *hubtest.Hub, _ *Options, r *Request) {
			plainURL(h, nil, r)
			h.Behave(func(b *hubtest.Behaviour) { b.NoLength = true })
		}, jeantrail.CodeUnsupported, "does not say how large"},
		"an empty file": {func(h *hubtest.Hub, _ *Options, _ *Request) { h.Put(repo, file, nil) }, jeantrail.CodeInvalid, "empty"},
		"a packed file": {behave(func(b *hubtest.Behaviour) { b.Coding = "gzip" }), jeantrail.CodeUnsupported, "only as gzip"},
		"what the check refuses": {func(_ *hubtest.Hub, o *Options, _ *Request) {
			o.Validate = func(string) error {
				return jeantrail.Errorf(jeantrail.CodeInvalid, "a tensor has no end").WithHint("Take another.")
			}
		}, jeantrail.CodeInvalid, "a tensor has no end"},
		"a gated repository": {behave(func(b *hubtest.Behaviour) { b.Gated = true; b.Token = "hf_x" }), jeantrail.CodeForbidden, "set HF_TOKEN"},
		"a licence not accepted": {func(h *hubtest.Hub, o *Options, _ *Request) {
			h.Behave(func(b *hubtest.Behaviour) { b.Gated = true; b.Token = "hf_x" })
			o.Token = "hf_x"
		}, jeantrail.CodeForbidden, "Accept its licence at http://127.0.0.1:"},
		"a repository that is not there": {func(_ *hubtest.Hub, _ *Options, r *Request) { r.Source = "hf:no/body" }, jeantrail.CodeForbidden, "no/body does not exist, or it is private or gated"},
		"not there, with a token":        {func(_ *hubtest.Hub, o *Options, r *Request) { r.Source = "hf:no/body"; o.Token = "hf_x" }, jeantrail.CodeNotFound, "Check the spelling of no/body"},
		"no such revision":               {func(_ *hubtest.Hub, _ *Options, r *Request) { r.Source += "@v9" }, jeantrail.CodeNotFound, `no revision "v9"`},
		"no such file":                   {func(_ *hubtest.Hub, _ *Options, r *Request) { r.Source += ":x.gguf" }, jeantrail.CodeNotFound, "There are: m-Q4_K_M.gguf, m-Q8_0.gguf"},
		"no such quantisation":           {func(_ *hubtest.Hub, _ *Options, r *Request) { r.Source += ":Q2_K" }, jeantrail.CodeNotFound, "There are: m-Q4_K_M.gguf, m-Q8_0.gguf"},
		"no GGUF at all": {func(h *hubtest.Hub, _ *Options, r *Request) {
			h.Put("a/b", "model.safetensors", good)
			r.Source = "hf:a/b"
		}, jeantrail.CodeNotFound, "This one has: model.safetensors"},
		"a URL of nothing": {func(h *hubtest.Hub, _ *Options, r *Request) { r.Source = h.CDN + "/x/y/z.gguf" }, jeantrail.CodeNotFound, "there is no file z.gguf"},
		"a URL with a password": {func(h *hubtest.Hub, _ *Options, r *Request) {
			r.Source = strings.Replace(h.CDN, "//", "//me:secret@", 1) + "/x/y/z.gguf"
		}, jeantrail.CodeUnsupported, "400"},
		"another scheme":        {func(_ *hubtest.Hub, _ *Options, r *Request) { r.Source = "file:///etc/passwd" }, jeantrail.CodeInvalid, "neither http nor https"},
		"redirects without end": {behave(func(b *hubtest.Behaviour) { b.Wander = true }), jeantrail.CodeUnsupported, "redirects more than 10 times"},
		"busy for an hour": {behave(func(b *hubtest.Behaviour) {
			b.BusyTimes, b.BusyStatus, b.RetryAfter = 1, 429, "3600"
		}), jeantrail.CodeRateLimited, "too many requests"},
		"down":                  {behave(func(b *hubtest.Behaviour) { b.BusyTimes, b.BusyStatus = 1000, 502 }), jeantrail.CodeWorkerUnavailable, "given up after 4 tries"},
		"nobody there":          {func(_ *hubtest.Hub, o *Options, r *Request) { r.Source = "http://127.0.0.1:1/m.gguf" }, jeantrail.CodeWorkerUnavailable, "goes on where it stopped"},
		"no such host":          {func(_ *hubtest.Hub, o *Options, r *Request) { r.Source = "http://nobody.invalid/m.gguf" }, jeantrail.CodeWorkerUnavailable, "nobody.invalid"},
		"drops at once":         {behave(func(b *hubtest.Behaviour) { b.NoRanges = true; b.Cut = func() int64 { return 1000 } }), jeantrail.CodeWorkerUnavailable, "given up after"},
		"no name for the model": {func(h *hubtest.Hub, _ *Options, r *Request) { r.Source = h.CDN + "/" }, jeantrail.CodeInvalid, "--name"},
		"a name that is a path": {func(_ *hubtest.Hub, _ *Options, r *Request) { r.Name = "../up" }, jeantrail.CodeInvalid, "not usable"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			h := hubtest.New(t)
			h.Put(repo, file, good)
			h.Put(repo, "m-Q8_0.gguf", hubtest.Content(1000, 2))
			req := Request{Source: "hf:" + repo}
			c := newClient(t, h, func(o *Options) { o.Retries = 3; test.set(h, o, &req) })
			var l log
			_, err := c.Pull(t.Context(), req, l.add)
			e := jeantrail.AsError(err)
			if err == nil || e.Code != test.code || !strings.Contains(e.Message+"\n"+e.Hint, test.says) {
				t.Errorf("code %q, message %q, hint %q; want %q with %q", e.Code, e.Message, e.Hint, test.code, test.says)
			}
			if e.Hint == "" {
				t.Errorf("%q does not say what to do", e.Message)
			}
			if text := e.Message + e.Hint + l.notes(); strings.Contains(text, "hf_x") || strings.Contains(text, "secret") || strings.Contains(text, "Signature") {
				t.Errorf("a secret is shown: %s", text)
			}
			if installed, _ := names(t, c.opts.Folder); len(installed) > 0 {
				t.Errorf("the folder has %v", installed)
			}
		})
	}
}

func TestWhatIsWrongIsNotKept(t *testing.T) {
	for name, set := range map[string]func(*hubtest.Hub, *Options){
		"hash":  func(h *hubtest.Hub, _ *Options) { h.Behave(func(b *hubtest.Behaviour) { b.Flip = true }) },
		"check": func(_ *hubtest.Hub, o *Options) { o.Validate = func(string) error { return errors.New("no") } },
	} {
		h := hubtest.New(t)
		h.Put(repo, "m-Q4_K_M.gguf", hubtest.Content(300_000, 1))
		c := newClient(t, h, func(o *Options) { set(h, o) })
		if _, err := c.Pull(t.Context(), Request{Source: "hf:" + repo}, nil); err == nil {
			t.Errorf("%s: the pull succeeds", name)
		}
		if installed, unfinished := names(t, c.opts.Folder); len(installed)+len(unfinished) > 0 {
			t.Errorf("%s: %v and %v are left", name, installed, unfinished)
		}
	}
}

func TestAFullDisk(t *testing.T) {
	h := hubtest.New(t)
	h.Put(repo, "m-Q4_K_M.gguf", hubtest.Content(300_000, 1))
	c := newClient(t, h)
	pull := func() *jeantrail.Error {
		_, err := c.Pull(t.Context(), Request{Source: "hf:" + repo}, nil)
		if installed, _ := names(t, c.opts.Folder); len(installed) > 0 {
			t.Errorf("the folder has %v", installed)
		}
		return jeantrail.AsError(err)
	}
	c.free = func(string) (int64, error) { return 299_999, nil }
	if e := pull(); e.Code != jeantrail.CodeStorageFull || e.Numbers["needed_bytes"] != 300_000 || e.Numbers["free_bytes"] != 299_999 || e.Hint == "" {
		t.Errorf("too little room: %+v", e)
	}
	c.free = func(string) (int64, error) { return 1 << 40, nil }
	c.reserve = func(*os.File, int64) error { return &os.PathError{Op: "fallocate", Err: syscall.ENOSPC} }
	if e := pull(); e.Code != jeantrail.CodeStorageFull || e.Numbers["needed_bytes"] != 300_000 {
		t.Errorf("the reservation fails: %+v", e)
	}
	if sent, _ := h.Sent(repo, "m-Q4_K_M.gguf"); sent > 0 {
		t.Errorf("%d bytes were fetched for a disk that cannot hold them", sent)
	}
	c.reserve = func(*os.File, int64) error { return errors.ErrUnsupported }
	if _, l := pullOne(t, c, Request{Source: "hf:" + repo}); !strings.Contains(l.notes(), "cannot be reserved") {
		t.Errorf("notes: %s", l.notes())
	}
}

// TestTheServerIsLeftInPeace waits as long as it is asked to.
func TestTheServerIsLeftInPeace(t *testing.T) {
	h := hubtest.New(t)
	h.Put(repo, "m-Q4_K_M.gguf", hubtest.Content(1<<20, 1))
	c := newClient(t, h)
	h.Behave(func(b *hubtest.Behaviour) { b.BusyTimes, b.BusyStatus, b.RetryAfter = 1, 429, "1" })
	before := time.Now()
	_, l := pullOne(t, c, Request{Source: "hf:" + repo})
	if !strings.Contains(l.notes(), "too many requests (429); next try in 1s") && !strings.Contains(l.notes(), "next try in 1.0") {
		t.Errorf("notes: %s", l.notes())
	}
	if took := time.Since(before); took < time.Second {
		t.Errorf("it was asked again after %s", took)
	}
}

func TestAStalledConnectionIsGivenUp(t *testing.T) {
	h := hubtest.New(t)
	content := hubtest.Content(1<<20, 1)
	h.Put(repo, "m-Q4_K_M.gguf", content)
	h.Behave(func(b *hubtest.Behaviour) { b.Stall = once(3, 20_000) })
	c := newClient(t, h, func(o *Options) { o.Stall = 300 * time.Millisecond })
	_, l := pullOne(t, c, Request{Source: "hf:" + repo})
	if !strings.Contains(l.notes(), errStalled.Error()) {
		t.Errorf("notes: %s", l.notes())
	}
	holds(t, filepath.Join(c.opts.Folder, "m-Q4_K_M.gguf"), content)
	if _, again := h.Sent(repo, "m-Q4_K_M.gguf"); again > 3*minPartBytes {
		t.Errorf("%d bytes were fetched twice for three stalls", again)
	}
}

// TestASignedAddressRunsOut asks the hub for a new one.
func TestASignedAddressRunsOut(t *testing.T) {
	h := hubtest.New(t)
	content := hubtest.Content(1<<20, 1)
	h.Put(repo, "m-Q4_K_M.gguf", content)
	h.Behave(func(b *hubtest.Behaviour) { b.Uses = 3 })
	c := newClient(t, h)
	pullOne(t, c, Request{Source: "hf:" + repo})
	holds(t, filepath.Join(c.opts.Folder, "m-Q4_K_M.gguf"), content)
	if _, again := h.Sent(repo, "m-Q4_K_M.gguf"); again > 0 {
		t.Errorf("%d bytes were fetched twice", again)
	}
}

func TestAServerWithoutRanges(t *testing.T) {
	h := hubtest.New(t)
	content := hubtest.Content(1<<20, 1)
	h.Put(repo, "m-Q4_K_M.gguf", content)
	h.Behave(func(b *hubtest.Behaviour) { b.NoRanges = true; b.Cut = once(2, 500_000) })
	for _, source := range []string{"hf:" + repo, h.FileURL(repo, "m-Q4_K_M.gguf")} {
		c := newClient(t, h)
		_, l := pullOne(t, c, Request{Source: source})
		if !strings.Contains(l.notes(), "comes in one stream, and from the beginning after an interruption") {
			t.Errorf("notes: %s", l.notes())
		}
		holds(t, filepath.Join(c.opts.Folder, "m-Q4_K_M.gguf"), content)
	}
}

// TestAHubThatSaysTheLengthElsewhere sends the file itself without one.
func TestAHubThatSaysTheLengthElsewhere(t *testing.T) {
	h := hubtest.New(t)
	content := hubtest.Content(300_000, 1)
	h.Put(repo, "m-Q4_K_M.gguf", content)
	h.Behave(func(b *hubtest.Behaviour) { b.NoLength = true })
	c := newClient(t, h)
	pullOne(t, c, Request{Source: "hf:" + repo})
	holds(t, filepath.Join(c.opts.Folder, "m-Q4_K_M.gguf"), content)
}
