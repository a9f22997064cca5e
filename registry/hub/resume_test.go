package hub

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

// interrupted starts a pull and stops it when about half of the file was sent.
func interrupted(t *testing.T, h *hubtest.Hub, c *Client, req Request, half int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h.Behave(func(b *hubtest.Behaviour) {
		b.BytesPerSecond = 4 << 20
		b.OnSent = func(total int64) {
			if total >= half {
				cancel()
			}
		}
	})
	_, err := c.Pull(ctx, req, nil)
	e := jeantrail.AsError(err)
	if e.Code != jeantrail.CodeCancelled || !strings.Contains(e.Hint, "goes on where this one stopped") {
		t.Fatalf("a pull that is stopped: %v", err)
	}
	h.Behave(func(b *hubtest.Behaviour) { b.BytesPerSecond, b.OnSent = 0, nil })
	if installed, unfinished := names(t, c.opts.Folder); len(installed) > 0 || len(unfinished) != 3 {
		t.Fatalf("a pull that is stopped leaves %v and %v", installed, unfinished)
	}
}

// TestWhatAPullGoesOnWith interrupts a pull and changes something before the next.
func TestWhatAPullGoesOnWith(t *testing.T) {
	const file, length = "m-Q4_K_M.gguf", 2 << 20
	content := hubtest.Content(length, 1)
	other := hubtest.Content(length, 2)
	left := func(c *Client, ending string) string {
		return filepath.Join(c.opts.Folder, incomingFolder, file+ending)
	}
	edit := func(t *testing.T, path, old, new string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(data, []byte(old)) {
			t.Fatalf("%s holds no %q: %v", path, old, err)
		}
		if err := os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(new), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	byURL := func(h *hubtest.Hub) string { return h.FileURL(repo, file) }
	byRepo := func(*hubtest.Hub) string { return "hf:" + repo }
	for name, test := range map[string]struct {
		source  func(*hubtest.Hub) string
		meddle  func(*testing.T, *hubtest.Hub, *Client)
		want    []byte
		anew    string // the note that says why it begins anew; "" if it goes on
		refetch int64  // bytes that may come twice
	}{
		"nothing": {source: byURL, want: content, refetch: 4 * minPartBytes / 2},
		"another machine start": {source: byRepo, want: content, refetch: 4 * minPartBytes, meddle: func(t *testing.T, _ *hubtest.Hub, c *Client) {
			edit(t, left(c, mapEnding), bootID(), "another")
		}},
		"no progress file": {source: byRepo, want: content, refetch: 4 * minPartBytes, meddle: func(t *testing.T, _ *hubtest.Hub, c *Client) {
			if err := os.Remove(left(c, progressEnding)); err != nil {
				t.Fatal(err)
			}
		}},
		"progress of another map": {source: byRepo, want: content, refetch: 4 * minPartBytes, meddle: func(t *testing.T, _ *hubtest.Hub, c *Client) {
			if err := os.WriteFile(left(c, progressEnding), bytes.Repeat([]byte{0, 0, 1, 0, 0, 0, 0, 0}, 2+length/minPartBytes), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		"the ETag changed": {source: byURL, want: other, anew: "its ETag is another now", meddle: func(_ *testing.T, h *hubtest.Hub, _ *Client) {
			h.Put(repo, file, other)
		}},
		"the repository changed": {source: byRepo, want: other, anew: "its SHA-256 is another now", meddle: func(_ *testing.T, h *hubtest.Hub, _ *Client) {
			h.Put(repo, file, other)
		}},
		"the size changed": {source: byURL, want: other[:length-1], anew: "it has 1 MiB now", meddle: func(_ *testing.T, h *hubtest.Hub, _ *Client) {
			h.Put(repo, file, other[:length-1])
		}},
		"another source, the same hash": {source: byRepo, want: content, refetch: 4 * minPartBytes, meddle: func(_ *testing.T, h *hubtest.Hub, c *Client) {
			h.Rename("gone/away", repo)
		}},
		"tags are gone": {source: byURL, want: content, anew: "its ETag is another now", meddle: func(_ *testing.T, h *hubtest.Hub, _ *Client) {
			h.Behave(func(b *hubtest.Behaviour) { b.NoTags = true })
		}},
		"ranges are gone": {source: byRepo, want: content, anew: "only from its beginning", meddle: func(_ *testing.T, h *hubtest.Hub, _ *Client) {
			h.Behave(func(b *hubtest.Behaviour) { b.NoRanges = true })
		}},
		"the map is damaged": {source: byRepo, want: content, anew: "its map cannot be read", meddle: func(t *testing.T, _ *hubtest.Hub, c *Client) {
			edit(t, left(c, mapEnding), `"safe":[`, `"safe":[-1,`)
		}},
		"the file is cut": {source: byRepo, want: content, anew: "do not fit together", meddle: func(t *testing.T, _ *hubtest.Hub, c *Client) {
			if err := os.Truncate(left(c, partialEnding), 1000); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			h := hubtest.New(t)
			h.Put(repo, file, content)
			c := newClient(t, h)
			req := Request{Source: test.source(h)}
			interrupted(t, h, c, req, length/2)
			if test.meddle != nil {
				test.meddle(t, h, c)
			}
			_, l := pullOne(t, c, req)
			holds(t, filepath.Join(c.opts.Folder, file), test.want)
			_, again := h.Sent(repo, file)
			switch {
			case test.anew != "" && !strings.Contains(l.notes(), test.anew):
				t.Errorf("notes: %s", l.notes())
			case test.anew == "" && (again > test.refetch || !strings.Contains(l.notes(), "going on where the last pull stopped")):
				t.Errorf("%d bytes came twice; notes: %s", again, l.notes())
			}
			if _, unfinished := names(t, c.opts.Folder); len(unfinished) > 0 {
				t.Errorf("%v are left", unfinished)
			}
		})
	}
}

// TestAFileThatChangesMeanwhile is replaced while parts of it are on their way.
func TestAFileThatChangesMeanwhile(t *testing.T) {
	const file = "m-Q4_K_M.gguf"
	for _, byRepo := range []bool{false, true} {
		h := hubtest.New(t)
		h.Put(repo, file, hubtest.Content(1<<20, 1))
		other := hubtest.Content(1<<20, 2)
		changed := make(chan struct{})
		var done bool // OnSent is called under the hub's lock
		h.Behave(func(b *hubtest.Behaviour) {
			b.BytesPerSecond = 8 << 20
			b.OnSent = func(total int64) {
				if total >= 400_000 && !done {
					done = true
					close(changed)
				}
			}
		})
		swapped := make(chan struct{})
		go func() {
			defer close(swapped)
			<-changed
			h.Put(repo, file, other)
		}()
		c := newClient(t, h)
		req := Request{Source: h.FileURL(repo, file)}
		if byRepo {
			req.Source = "hf:" + repo
		}
		_, l := pullOne(t, c, req)
		<-swapped
		holds(t, filepath.Join(c.opts.Folder, file), other)
		if !strings.Contains(l.notes(), errChanged.Error()) || !strings.Contains(l.notes(), "is fetched from the beginning") {
			t.Errorf("notes: %s", l.notes())
		}
	}
}

func TestLeftovers(t *testing.T) {
	h := hubtest.New(t)
	h.Put(repo, "m-Q4_K_M.gguf", hubtest.Content(2<<20, 1))
	c := newClient(t, h)
	if left, err := Leftovers(c.opts.Folder); err != nil || len(left) != 0 {
		t.Errorf("a new folder: %v, %v", left, err)
	}
	interrupted(t, h, c, Request{Source: "hf:" + repo}, 1<<20)
	left, err := Leftovers(c.opts.Folder)
	if err != nil || len(left) != 1 || left[0].Name != "m-Q4_K_M.gguf" || left[0].Bytes != 2<<20 || left[0].Fetched == 0 || left[0].Touched.IsZero() {
		t.Fatalf("leftovers: %+v, %v", left, err)
	}
	for _, name := range []string{"../m-Q4_K_M.gguf", "m-Q4_K_M", ".gguf", "a/b.gguf"} {
		if err := Discard(c.opts.Folder, name); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("Discard(%q): %v", name, err)
		}
	}
	if err := Discard(c.opts.Folder, left[0].Name); err != nil {
		t.Fatal(err)
	}
	if installed, unfinished := names(t, c.opts.Folder); len(installed)+len(unfinished) > 0 {
		t.Errorf("%v and %v are left", installed, unfinished)
	}
}
