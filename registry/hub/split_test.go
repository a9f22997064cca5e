package hub

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/ggufsplit"
	"github.com/jeantrail/jeantrail-ai/build/benchmodel/qwen3"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

// splitModel makes a sound model of so many layers in parts.
func splitModel(t *testing.T, layers int64, parts int) [][]byte {
	t.Helper()
	shape, err := qwen3.ShapeByName("tiny")
	if err != nil {
		t.Fatal(err)
	}
	shape.Layers = layers
	var model bytes.Buffer
	if _, err := qwen3.Write(t.Context(), &model, qwen3.Options{Shape: shape, Vocabulary: qwen3.TinyVocabulary(), Seed: 1}); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(t.TempDir(), "whole.gguf")
	if err := os.WriteFile(whole, model.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	paths, err := ggufsplit.Split(whole, filepath.Join(t.TempDir(), "m"), parts)
	if err != nil {
		t.Fatal(err)
	}
	contents := make([][]byte, parts)
	for i, p := range paths {
		if contents[i], err = os.ReadFile(p); err != nil {
			t.Fatal(err)
		}
	}
	return contents
}

// checking makes a client do what the program does with what it pulled.
func checking(o *Options) {
	o.Validate = func(path string) error { _, err := registry.Check(path); return err }
	o.ValidateSplit = func(parts []string) error { _, err := registry.CheckParts(parts); return err }
}

// TestARealSplitModel pulls one by every kind of source; it is one model then.
func TestARealSplitModel(t *testing.T) {
	parts := splitModel(t, 2, 3)
	h := hubtest.New(t)
	sums := h.PutSplit(repo, "Q4_K_M/tiny-Q4_K_M", parts)
	h.Put(repo, "tiny-Q8_0.gguf", hubtest.Content(100, 1))
	capitals := strings.Replace(hubtest.PartName("x/big", 1, 3), ".gguf", ".GGUF", 1)
	for i, content := range parts {
		h.Put("a/b", strings.Replace(hubtest.PartName("x/big", i+1, 3), ".gguf", ".GGUF", 1), content)
	}
	for name, test := range map[string]struct{ source, model string }{
		"by the repository":    {"hf:" + repo, "tiny-Q4_K_M"},
		"by its page":          {h.URL + "/" + repo + "/blob/main/Q4_K_M/tiny-Q4_K_M-00001-of-00003.gguf", "tiny-Q4_K_M"},
		"by a URL":             {h.FileURL(repo, "Q4_K_M/tiny-Q4_K_M-00001-of-00003.gguf"), "tiny-Q4_K_M"},
		"by a URL in capitals": {h.FileURL("a/b", capitals), "big"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, h, checking)
			r, _ := pullOne(t, c, Request{Source: test.source})
			if r.Name != test.model || r.SHA256 != registry.SumOf(sums) {
				t.Errorf("result: %+v", r)
			}
			reg, err := registry.New(c.opts.Folder, test.model, nil)
			if err != nil {
				t.Fatal(err)
			}
			models := reg.List(t.Context())
			if len(models) != 1 || models[0].Status != jeantrail.ModelAvailable || models[0].Path != r.Files[0].Path {
				t.Errorf("models: %+v", models)
			}
			if sum, err := reg.Checksum(t.Context(), models[0].Path); err != nil || sum != r.SHA256 {
				t.Errorf("checksum %s, %v", sum, err)
			}
			r, l := pullOne(t, c, Request{Source: test.source})
			if r.Fetched != 0 || r.SHA256 != registry.SumOf(sums) || !strings.Contains(l.notes(), "there already") {
				t.Errorf("the second pull: %+v, %s", r, l.notes())
			}
		})
	}
}

// TestTheSplitModelOfTheCatalogue pulls it by its name, with bytes in the place of
// the real files.
func TestTheSplitModelOfTheCatalogue(t *testing.T) {
	m, err := catalogue.Find("qwen3-235b-a22b")
	if err != nil {
		t.Fatal(err)
	}
	h := hubtest.New(t)
	var want []string
	for i, f := range m.Files {
		want = append(want, h.Put(m.Repository, f.Path, hubtest.Content(1000+i, uint64(i))))
	}
	h.PutSplit(m.Repository, "Q8_0/Qwen3-235B-A22B-Q8_0", [][]byte{hubtest.Content(10, 1), hubtest.Content(10, 2)})
	c := newClient(t, h)
	r, _ := pullOne(t, c, Request{Source: m.Source()})
	var got []string
	for _, f := range r.Files {
		got = append(got, f.SHA256)
	}
	if r.Name != "Qwen3-235B-A22B-Q4_K_M" || !slices.Equal(got, want) {
		t.Errorf("result: %+v", r)
	}
}

// TestNoSplitModelIsSeenHalf goes through what can be wrong with one part. Nothing
// gets its name then.
func TestNoSplitModelIsSeenHalf(t *testing.T) {
	good, other := splitModel(t, 2, 3), splitModel(t, 3, 3)
	put := func(h *hubtest.Hub, parts ...[]byte) { h.PutSplit(repo, "m-Q4_K_M", parts) }
	byURL := func(h *hubtest.Hub, r *Request) { r.Source = h.FileURL(repo, "m-Q4_K_M-00001-of-00003.gguf") }
	for name, test := range map[string]struct {
		set  func(*hubtest.Hub, *Request)
		code jeantrail.Code
		says string
		left int // files of unfinished pulls
	}{
		"a part of another model": {func(h *hubtest.Hub, _ *Request) { put(h, good[0], good[1], other[2]) }, jeantrail.CodeInvalid, "part 3 of 3 is of another model", 0},
		"the same by URL": {func(h *hubtest.Hub, r *Request) { put(h, good[0], other[1], good[2]); byURL(h, r) },
			jeantrail.CodeInvalid, "part 2 of 3 is of another model", 0},
		"a part twice": {func(h *hubtest.Hub, _ *Request) { put(h, good[0], good[1], good[1]) }, jeantrail.CodeInvalid, "part 3 of 3 is part 2", 0},
		"a web page among them": {func(h *hubtest.Hub, r *Request) {
			put(h, good[0], []byte("<html>please wait</html>"), good[2])
			byURL(h, r)
		}, jeantrail.CodeInvalid, "a web page", 0},
		"a part that is missing by URL": {func(h *hubtest.Hub, r *Request) {
			h.Put(repo, "m-Q4_K_M-00001-of-00003.gguf", good[0])
			h.Put(repo, "m-Q4_K_M-00003-of-00003.gguf", good[2])
			byURL(h, r)
		}, jeantrail.CodeNotFound, "no file m-Q4_K_M-00002-of-00003.gguf", 0},
		"a part that is missing in the list": {func(h *hubtest.Hub, _ *Request) {
			h.Put(repo, "m-Q4_K_M-00001-of-00003.gguf", good[0])
		}, jeantrail.CodeNotFound, "lacks parts of its split models", 0},
		"wrong bytes": {func(h *hubtest.Hub, _ *Request) {
			put(h, good...)
			h.Behave(func(b *hubtest.Behaviour) { b.Flip = true })
		}, jeantrail.CodeInvalid, "m-Q4_K_M-00001-of-00003.gguf arrived whole, but is not the file", 6},
		"one hash for all": {func(h *hubtest.Hub, r *Request) {
			put(h, good...)
			r.SHA256 = strings.Repeat("a", 64)
		}, jeantrail.CodeInvalid, "SHA-256", 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := hubtest.New(t)
			req := Request{Source: "hf:" + repo}
			test.set(h, &req)
			c := newClient(t, h, checking)
			_, err := c.Pull(t.Context(), req, nil)
			if e := jeantrail.AsError(err); e.Code != test.code || !strings.Contains(e.Message, test.says) || e.Hint == "" {
				t.Errorf("%s %v, hint %q", e.Code, err, e.Hint)
			}
			if installed, unfinished := names(t, c.opts.Folder); len(installed) > 0 || len(unfinished) != test.left {
				t.Errorf("it leaves %v and %v", installed, unfinished)
			}
		})
	}
}

// TestRoomForAllParts is looked for before the first byte.
func TestRoomForAllParts(t *testing.T) {
	h := hubtest.New(t)
	h.PutSplit(repo, "m-Q4_K_M", [][]byte{hubtest.Content(100_000, 1), hubtest.Content(100_000, 2), hubtest.Content(100_000, 3)})
	c := newClient(t, h)
	c.free = func(string) (int64, error) { return 299_999, nil }
	_, err := c.Pull(t.Context(), Request{Source: "hf:" + repo}, nil)
	e := jeantrail.AsError(err)
	if e.Code != jeantrail.CodeStorageFull || !strings.Contains(fmt.Sprint(e.Numbers), "300000") {
		t.Errorf("%v, %v", err, e.Numbers)
	}
	if installed, unfinished := names(t, c.opts.Folder); len(installed)+len(unfinished) > 0 {
		t.Errorf("it leaves %v and %v", installed, unfinished)
	}
}

// TestASplitPullGoesOn stops a pull in its second part. The next one fetches the
// rest, and its progress is over all parts from its first event on.
func TestASplitPullGoesOn(t *testing.T) {
	const length = 1 << 20
	h := hubtest.New(t)
	parts := [][]byte{hubtest.Content(length, 1), hubtest.Content(length, 2), hubtest.Content(length, 3)}
	h.PutSplit(repo, "m-Q4_K_M", parts)
	c := newClient(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h.Behave(func(b *hubtest.Behaviour) {
		b.BytesPerSecond = 8 << 20
		b.OnSent = func(total int64) {
			if total >= length+length/2 {
				cancel()
			}
		}
	})
	if _, err := c.Pull(ctx, Request{Source: "hf:" + repo}, nil); jeantrail.CodeOf(err) != jeantrail.CodeCancelled {
		t.Fatalf("a pull that is stopped: %v", err)
	}
	h.Behave(func(b *hubtest.Behaviour) { b.BytesPerSecond, b.OnSent = 0, nil })
	if installed, _ := names(t, c.opts.Folder); len(installed) > 0 {
		t.Errorf("it leaves %v", installed)
	}
	r, l := pullOne(t, c, Request{Source: "hf:" + repo})
	if r.Fetched >= 2*length || r.Fetched < length {
		t.Errorf("%d bytes were fetched", r.Fetched)
	}
	first := slices.IndexFunc(l.events, func(e Event) bool { return e.Phase == PhaseDownloading })
	if e := l.events[first]; e.Total != 3*length || e.Done < length {
		t.Errorf("it begins with %+v", e)
	}
	for i, content := range parts {
		holds(t, filepath.Join(c.opts.Folder, hubtest.PartName("m-Q4_K_M", i+1, 3)), content)
		if _, again := h.Sent(repo, hubtest.PartName("m-Q4_K_M", i+1, 3)); again > 4*minPartBytes {
			t.Errorf("%d bytes of part %d were sent twice", again, i+1)
		}
	}
}

// TestOneNameOneModel: a whole model and a split one cannot share a name.
func TestOneNameOneModel(t *testing.T) {
	h := hubtest.New(t)
	h.Put("a/whole", "m.gguf", hubtest.Content(1000, 1))
	h.PutSplit("a/two", "m", [][]byte{hubtest.Content(1000, 1), hubtest.Content(1000, 2)})
	h.PutSplit("a/three", "m", [][]byte{hubtest.Content(1000, 1), hubtest.Content(1000, 2), hubtest.Content(1000, 3)})
	for _, pair := range [][2]string{{"hf:a/whole", "hf:a/two"}, {"hf:a/two", "hf:a/whole"}, {"hf:a/two", "hf:a/three"}} {
		c := newClient(t, h)
		pullOne(t, c, Request{Source: pair[0]})
		before, _ := names(t, c.opts.Folder)
		_, err := c.Pull(t.Context(), Request{Source: pair[1]}, nil)
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeConflict || !strings.Contains(e.Hint, "--name") {
			t.Errorf("%s beside %s: %v, hint %q", pair[1], pair[0], err, e.Hint)
		}
		if after, unfinished := names(t, c.opts.Folder); !slices.Equal(before, after) || len(unfinished) > 0 {
			t.Errorf("%s beside %s: %v and %v", pair[1], pair[0], after, unfinished)
		}
		pullOne(t, c, Request{Source: pair[1], Name: "other"})
	}
}

// TestPartsWithoutTheirFirst are what a crash between two names leaves.
func TestPartsWithoutTheirFirst(t *testing.T) {
	h := hubtest.New(t)
	h.PutSplit(repo, "m-Q4_K_M", [][]byte{hubtest.Content(1000, 1), hubtest.Content(1000, 2)})
	c := newClient(t, h)
	pullOne(t, c, Request{Source: "hf:" + repo})
	if left, err := Leftovers(c.opts.Folder); err != nil || len(left) > 0 {
		t.Errorf("of a whole model: %+v, %v", left, err)
	}
	if err := Discard(c.opts.Folder, hubtest.PartName("m-Q4_K_M", 2, 2)); err != nil {
		t.Error(err)
	}
	if installed, _ := names(t, c.opts.Folder); len(installed) != 2 {
		t.Errorf("a part of a whole model was removed: %v", installed)
	}
	if err := os.Remove(filepath.Join(c.opts.Folder, hubtest.PartName("m-Q4_K_M", 1, 2))); err != nil {
		t.Fatal(err)
	}
	left, err := Leftovers(c.opts.Folder)
	if err != nil || len(left) != 1 || left[0].Name != hubtest.PartName("m-Q4_K_M", 2, 2) || left[0].Bytes != 1000 || left[0].Fetched != 1000 {
		t.Fatalf("leftovers: %+v, %v", left, err)
	}
	if err := Discard(c.opts.Folder, left[0].Name); err != nil {
		t.Fatal(err)
	}
	if installed, unfinished := names(t, c.opts.Folder); len(installed)+len(unfinished) > 0 {
		t.Errorf("%v and %v are left", installed, unfinished)
	}
}
