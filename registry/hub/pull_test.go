package hub

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

func TestAPullByTheNameOfTheRepository(t *testing.T) {
	h := hubtest.New(t)
	h.Pages(2)
	content := hubtest.Content(1<<20+17, 1)
	sum := h.Put(repo, "Qwen3-Test-Q4_K_M.gguf", content)
	h.Put(repo, "Qwen3-Test-Q8_0.gguf", hubtest.Content(100, 2))
	h.Put(repo, "Qwen3-Test-IQ4_XS.gguf", hubtest.Content(100, 3))
	h.PutSmall(repo, "README.md", []byte("# Qwen3"))
	c := newClient(t, h)
	r, l := pullOne(t, c, Request{Source: "hf:" + repo})
	path := filepath.Join(c.opts.Folder, "Qwen3-Test-Q4_K_M.gguf")
	holds(t, path, content)
	want := File{Path: path, Bytes: int64(len(content)), SHA256: sum}
	if r.Name != "Qwen3-Test-Q4_K_M" || r.SHA256 != sum || !slices.Equal(r.Files, []File{want}) || r.Projector != nil || r.Commit != hubtest.Commit || r.Fetched != want.Bytes {
		t.Errorf("result: %+v", r)
	}
	if installed, unfinished := names(t, c.opts.Folder); len(installed) != 1 || len(unfinished) != 0 {
		t.Errorf("the folder has %v and %v", installed, unfinished)
	}
	var phases []Phase
	for _, e := range l.events {
		phases = append(phases, e.Phase)
	}
	if got := slices.Compact(phases); !slices.Equal(got, []Phase{PhaseResolving, PhaseDownloading, PhaseVerifying, PhaseValidating, PhaseDone}) {
		t.Errorf("phases: %v", got)
	}
	if last := l.events[len(l.events)-1]; last.Done != want.Bytes || last.Total != want.Bytes {
		t.Errorf("the last event: %+v", last)
	}
	total, again := h.Sent(repo, "Qwen3-Test-Q4_K_M.gguf")
	if total != want.Bytes || again != 0 {
		t.Errorf("%d bytes were sent, %d of them twice", total, again)
	}
	var ranged int
	for _, r := range h.Requests() {
		if r.CDN && r.IfRange != "" {
			ranged++
		}
	}
	if ranged != 17 { // 1 MiB and 17 bytes in parts of 64 KiB
		t.Errorf("%d ranged requests", ranged)
	}

	h.Forget()
	r, l = pullOne(t, c, Request{Source: "hf:" + repo + ":q4_k_m@main"})
	if !slices.Equal(r.Files, []File{want}) || r.Fetched != 0 || !strings.Contains(l.notes(), "there already") {
		t.Errorf("the second pull: %+v, %s", r, l.notes())
	}
}

func TestWhatASourceMeans(t *testing.T) {
	h := hubtest.New(t)
	file := hubtest.Content(1000, 1)
	h.Put(repo, "deep/er/m-Q5_K_M.gguf", file)
	h.Put(repo, "m-Q4_K_M.gguf", hubtest.Content(1000, 2))
	h.Rename("Qwen/Old-GGUF", repo)
	h.Put("a/only", "model.gguf", file)
	for source, want := range map[string]string{
		"hf:" + repo + ":Q5_K_M":                                    "m-Q5_K_M",
		"hf:" + repo + ":q5_k_m":                                    "m-Q5_K_M",
		"hf:" + repo + ":deep/er/m-Q5_K_M.gguf":                     "m-Q5_K_M",
		"hf:" + repo + ":m-Q5_K_M.gguf@" + hubtest.Commit:           "m-Q5_K_M",
		"hf:Qwen/Old-GGUF:Q5_K_M":                                   "m-Q5_K_M",
		"hf:a/only":                                                 "model",
		h.URL + "/a/only":                                           "model",
		h.URL + "/" + repo + "/blob/main/deep/er/m-Q5_K_M.gguf":     "m-Q5_K_M",
		h.URL + "/" + repo + "/resolve/main/deep/er/m-Q5_K_M.gguf":  "m-Q5_K_M",
		h.FileURL(repo, "deep/er/m-Q5_K_M.gguf") + "?download=true": "m-Q5_K_M",
	} {
		c := newClient(t, h)
		r, _ := pullOne(t, c, Request{Source: source})
		if r.Name != want {
			t.Errorf("%s is called %s", source, r.Name)
		}
		holds(t, filepath.Join(c.opts.Folder, want+".gguf"), file)
	}
}

func TestASplitModelWithAProjector(t *testing.T) {
	h := hubtest.New(t)
	var parts [][]byte
	for i := range 3 {
		parts = append(parts, hubtest.Content(100_000+i, uint64(i)))
	}
	sums := h.PutSplit(repo, "Q4_K_M/v-Q4_K_M", parts)
	eyes := hubtest.Content(70_000, 9)
	h.Put(repo, "mmproj-F32.gguf", hubtest.Content(70_000, 8))
	h.Put(repo, "mmproj-F16.gguf", eyes)
	h.Put(repo, "v-Q8_0-00001-of-00002.gguf", parts[0]) // its other part is missing
	for name, req := range map[string]Request{
		"by quantisation": {Source: "hf:" + repo},
		"by one part":     {Source: "hf:" + repo + ":v-Q4_K_M-00002-of-00003.gguf"},
		"by URL":          {Source: h.FileURL(repo, "Q4_K_M/v-Q4_K_M-00001-of-00003.gguf"), Projector: h.FileURL(repo, "mmproj-F16.gguf")},
		"with a name":     {Source: "hf:" + repo, Name: "seer"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, h)
			r, l := pullOne(t, c, req)
			stem := "v-Q4_K_M"
			if req.Name != "" {
				stem = req.Name
			}
			for i, n := range []string{"-00001-of-00003.gguf", "-00002-of-00003.gguf", "-00003-of-00003.gguf"} {
				holds(t, filepath.Join(c.opts.Folder, stem+n), parts[i])
			}
			holds(t, filepath.Join(c.opts.Folder, stem+".mmproj"), eyes)
			if r.Name != stem || r.SHA256 != registry.SumOf(sums) || len(r.Files) != 3 || !strings.HasSuffix(r.Files[2].Path, "-00003-of-00003.gguf") || r.Projector == nil {
				t.Errorf("result: %+v", r)
			}
			if last := l.events[len(l.events)-1]; last.Total != 300_003+70_000 {
				t.Errorf("the last event: %+v", last)
			}
		})
	}
	c := newClient(t, h)
	if r, _ := pullOne(t, c, Request{Source: "hf:" + repo, Projector: "none"}); r.Projector != nil {
		t.Errorf("a projector that nobody wanted: %+v", r)
	}
	c = newClient(t, h, func(o *Options) { o.ValidateSplit = nil })
	if _, err := c.Pull(t.Context(), Request{Source: "hf:" + repo}, nil); jeantrail.CodeOf(err) != jeantrail.CodeUnsupported {
		t.Errorf("a split model where none can be run: %v", err)
	}
}

// TestACrashBetweenTwoNames goes on with a split model of which some parts have
// their names already.
func TestACrashBetweenTwoNames(t *testing.T) {
	h := hubtest.New(t)
	one, two := hubtest.Content(100_000, 1), hubtest.Content(100_000, 2)
	h.Put(repo, "v-Q4_K_M-00001-of-00002.gguf", one)
	h.Put(repo, "v-Q4_K_M-00002-of-00002.gguf", two)
	c := newClient(t, h)
	path := filepath.Join(c.opts.Folder, "v-Q4_K_M-00002-of-00002.gguf")
	if err := os.WriteFile(path, two, 0o600); err != nil {
		t.Fatal(err)
	}
	pullOne(t, c, Request{Source: "hf:" + repo})
	holds(t, path, two)
	if sent, _ := h.Sent(repo, "v-Q4_K_M-00002-of-00002.gguf"); sent > 0 {
		t.Errorf("%d bytes of a part that was there were fetched", sent)
	}
}

func TestAnotherFileOfThatNameStays(t *testing.T) {
	h := hubtest.New(t)
	h.Put(repo, "m-Q4_K_M.gguf", hubtest.Content(1000, 1))
	c := newClient(t, h)
	path := filepath.Join(c.opts.Folder, "m-Q4_K_M.gguf")
	for _, mine := range [][]byte{hubtest.Content(1000, 2), hubtest.Content(99, 1)} {
		if err := os.WriteFile(path, mine, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, source := range []string{"hf:" + repo, h.FileURL(repo, "m-Q4_K_M.gguf")} {
			_, err := c.Pull(t.Context(), Request{Source: source, SHA256: hubtest.SHA256(hubtest.Content(1000, 1))}, nil)
			if jeantrail.CodeOf(err) != jeantrail.CodeConflict || !strings.Contains(jeantrail.AsError(err).Hint, "--name") {
				t.Errorf("%s: %v", source, err)
			}
			holds(t, path, mine)
		}
	}
}

func TestTwoPullsShareTheWork(t *testing.T) {
	h := hubtest.New(t)
	content := hubtest.Content(1<<20, 1)
	h.Put(repo, "m-Q4_K_M.gguf", content)
	gate := make(chan struct{})
	h.Behave(func(b *hubtest.Behaviour) { b.OnSent = func(int64) { <-gate } })
	c := newClient(t, h)
	joined, open := make(chan struct{}), sync.OnceFunc(func() { close(gate) })
	defer open()
	results := make(chan Result, 3)
	var all sync.WaitGroup
	logs := make([]log, 3)
	for i := range 3 {
		if i > 0 {
			<-joined // the others come when the first is under way
		}
		all.Go(func() {
			first := sync.OnceFunc(func() { joined <- struct{}{} })
			r, err := c.Pull(t.Context(), Request{Source: "hf:" + repo}, func(e Event) { logs[i].add(e); first() })
			if err != nil {
				t.Error(err)
			}
			results <- r
		})
	}
	<-joined
	open()
	all.Wait()
	for range 3 {
		if r := <-results; r.Fetched != int64(len(content)) {
			t.Errorf("result: %+v", r)
		}
	}
	for i := range logs {
		if last := logs[i].events[len(logs[i].events)-1]; last.Phase != PhaseDone {
			t.Errorf("caller %d last saw %+v", i, last)
		}
	}
	if total, again := h.Sent(repo, "m-Q4_K_M.gguf"); total != int64(len(content)) || again != 0 {
		t.Errorf("%d bytes were sent, %d of them twice", total, again)
	}
}

// TestOneOfTwoLeaves stops one caller; the pull goes on for the other.
func TestOneOfTwoLeaves(t *testing.T) {
	h := hubtest.New(t)
	content := hubtest.Content(1<<20, 1)
	h.Put(repo, "m-Q4_K_M.gguf", content)
	gate := make(chan struct{})
	h.Behave(func(b *hubtest.Behaviour) { b.OnSent = func(int64) { <-gate } })
	c := newClient(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	leaver, stayer := make(chan error, 1), make(chan error, 1)
	started := make(chan struct{}, 1000)
	go func() {
		_, err := c.Pull(ctx, Request{Source: "hf:" + repo}, func(Event) { started <- struct{}{} })
		leaver <- err
	}()
	<-started
	other := make(chan struct{}, 1000)
	go func() {
		_, err := c.Pull(t.Context(), Request{Source: "hf:" + repo}, func(Event) { other <- struct{}{} })
		stayer <- err
	}()
	<-other
	cancel()
	if err := <-leaver; jeantrail.CodeOf(err) != jeantrail.CodeCancelled {
		t.Errorf("who left: %v", err)
	}
	close(gate)
	if err := <-stayer; err != nil {
		t.Errorf("who stayed: %v", err)
	}
	holds(t, filepath.Join(c.opts.Folder, "m-Q4_K_M.gguf"), content)
}

func TestAnotherProcessPullsIt(t *testing.T) {
	h := hubtest.New(t)
	h.Put(repo, "m-Q4_K_M.gguf", hubtest.Content(1000, 1))
	c := newClient(t, h)
	incoming := filepath.Join(c.opts.Folder, incomingFolder)
	if err := os.Mkdir(incoming, 0o700); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(incoming, "m-Q4_K_M") // of another open file, as another process has it
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Pull(t.Context(), Request{Source: "hf:" + repo}, nil)
	if jeantrail.CodeOf(err) != jeantrail.CodeConflict || !strings.Contains(err.Error(), "pulled already") {
		t.Errorf("while it is locked: %v", err)
	}
	if err := Discard(c.opts.Folder, "m-Q4_K_M.gguf"); jeantrail.CodeOf(err) != jeantrail.CodeConflict {
		t.Errorf("discarded while it is locked: %v", err)
	}
	unlock()
	pullOne(t, c, Request{Source: "hf:" + repo})
}
