package hub

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

// number reads how large a test is to be from the environment.
func number(t *testing.T, name string, usually int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usually
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, it must be a number from 1", name, text)
	}
	return n
}

// TestEveryPullEndsRight is the promise of the package: pulls of which the
// connections are cut, the callers leave and the processes are killed, all at
// random, end with the right file, and nothing is fetched twice beyond one part
// for each interruption. JEANTRAIL_TEST_PULLS and JEANTRAIL_TEST_PULL_BYTES make
// it as large as one likes.
func TestEveryPullEndsRight(t *testing.T) {
	pulls, length := number(t, "JEANTRAIL_TEST_PULLS", 20), number(t, "JEANTRAIL_TEST_PULL_BYTES", 8<<20)
	everyPullEndsRight(t, pulls, [][]byte{hubtest.Content(length, 1)})
}

// TestEverySplitPullEndsRight is the same for a model in parts, of which the first
// is never there without the others.
func TestEverySplitPullEndsRight(t *testing.T) {
	pulls, length := number(t, "JEANTRAIL_TEST_PULLS", 10), number(t, "JEANTRAIL_TEST_PULL_BYTES", 8<<20)
	everyPullEndsRight(t, pulls, [][]byte{
		hubtest.Content(length/5, 1), hubtest.Content(length/2, 2), hubtest.Content(length/5, 3), hubtest.Content(length/10, 4),
	})
}

func everyPullEndsRight(t *testing.T, pulls int, parts [][]byte) {
	t.Helper()
	var length int
	for _, content := range parts {
		length += len(content)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var cuts, stops, kills int
	var again int64
	for i := range pulls {
		s := &stormyPull{t: t, random: random, parts: parts, length: int64(length), partBytes: max(1<<20, int64(length)/64)}
		s.run()
		if t.Failed() {
			t.Fatalf("pull %d of %d", i+1, pulls)
		}
		cuts, stops, kills, again = cuts+s.cuts, stops+s.stops, kills+s.kills, again+s.again
	}
	t.Logf("%d pulls of %d bytes in %d files: %d cut connections, %d callers who left, %d killed processes; %d bytes came twice",
		pulls, length, len(parts), cuts, stops, kills, again)
	if pulls >= 20 && (cuts == 0 || stops == 0 || kills == 0) {
		t.Error("some kind of interruption never happened")
	}
}

// stormyPull is one pull with its interruptions.
type stormyPull struct {
	t         *testing.T
	random    *rand.Rand
	parts     [][]byte // the content of the model's files
	length    int64    // of all
	partBytes int64

	cuts, stops, kills int
	again              int64
}

const stormyModel = "m-Q4_K_M"

// file is the name of a file of the model.
func (s *stormyPull) file(i int) string {
	if len(s.parts) == 1 {
		return stormyModel + ".gguf"
	}
	return hubtest.PartName(stormyModel, i+1, len(s.parts))
}

func (s *stormyPull) run() {
	h := hubtest.New(s.t)
	for i, content := range s.parts {
		h.Put(repo, s.file(i), content)
	}
	folder := s.t.TempDir()
	s.cut(h)
	for range s.random.IntN(3) {
		s.interrupt(h, folder)
	}
	h.Behave(func(b *hubtest.Behaviour) { b.BytesPerSecond, b.OnSent = 0, nil })
	c := s.client(h, folder)
	r, err := c.Pull(s.t.Context(), Request{Source: "hf:" + repo}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, content := range s.parts {
		got, err := os.ReadFile(filepath.Join(folder, s.file(i)))
		if err != nil || !bytes.Equal(got, content) || r.Files[i].SHA256 != hubtest.SHA256(got) {
			s.t.Errorf("%s has %d bytes that are not the right ones: %v", s.file(i), len(got), err)
		}
	}
	if installed, unfinished := names(s.t, folder); len(installed) != len(s.parts) || len(unfinished) > 0 {
		s.t.Errorf("the folder has %v and %v", installed, unfinished)
	}
	_, s.again = s.sent(h)
	s.cuts = h.Cuts()
	if most := int64(s.cuts+s.stops+s.kills) * s.partBytes; s.again > most {
		s.t.Errorf("%d bytes came twice; for %d cuts, %d stops and %d kills it may be %d", s.again, s.cuts, s.stops, s.kills, most)
	}
}

// sent is how many bytes of all files were sent, and how many of them twice.
func (s *stormyPull) sent(h *hubtest.Hub) (total, again int64) {
	for i := range s.parts {
		n, twice := h.Sent(repo, s.file(i))
		total, again = total+n, again+twice
	}
	return total, again
}

// cut makes connections break at random, not so often that no part gets through.
func (s *stormyPull) cut(h *hubtest.Hub) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(s.random.Uint64(), 0))
	h.Behave(func(b *hubtest.Behaviour) {
		b.Cut = func() int64 {
			mu.Lock()
			defer mu.Unlock()
			if random.IntN(4) > 0 {
				return 0
			}
			return 1 + random.Int64N(s.partBytes)
		}
	})
}

func (s *stormyPull) client(h *hubtest.Hub, folder string) *Client {
	return newClient(s.t, h, func(o *Options) { o.Folder, o.PartBytes, o.Retries = folder, s.partBytes, 100 })
}

// interrupt pulls until a random number of bytes was sent, then leaves or is
// killed. A pull that is done before is as well.
func (s *stormyPull) interrupt(h *hubtest.Hub, folder string) {
	defer s.notHalf(folder)
	at := 1 + s.random.Int64N(s.length)
	var enough bool
	reached := make(chan struct{})
	have, _ := s.sent(h)
	h.Behave(func(b *hubtest.Behaviour) {
		b.BytesPerSecond = max(16<<20, s.length)
		b.OnSent = func(total int64) {
			if total-have >= at && !enough {
				enough = true
				close(reached)
			}
		}
	})
	if s.random.IntN(2) == 0 {
		s.kills += s.killed(h, folder, reached)
		return
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan struct{})
	go func() {
		select {
		case <-reached:
		case <-ended:
		}
		cancel()
	}()
	_, err := s.client(h, folder).Pull(ctx, Request{Source: "hf:" + repo}, nil)
	close(ended)
	<-ctx.Done()
	switch jeantrail.CodeOf(err) {
	case "":
	case jeantrail.CodeCancelled:
		s.stops++
	default:
		s.t.Error(err)
	}
}

// notHalf wants the first file only where all others are.
func (s *stormyPull) notHalf(folder string) {
	if _, err := os.Stat(filepath.Join(folder, s.file(0))); err != nil {
		return
	}
	for i, content := range s.parts {
		if got, err := os.ReadFile(filepath.Join(folder, s.file(i))); err != nil || !bytes.Equal(got, content) {
			s.t.Errorf("the model is seen while %s has %d of %d bytes: %v", s.file(i), len(got), len(content), err)
		}
	}
}

// killed runs a child and kills it.
func (s *stormyPull) killed(h *hubtest.Hub, folder string, reached <-chan struct{}) int {
	cmd, output := child(s.t, errand{Folder: folder, Endpoint: h.URL, Source: "hf:" + repo, PartBytes: s.partBytes})
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-reached:
		if err := cmd.Process.Kill(); err != nil {
			s.t.Log(err) // it ended at this moment
		}
		if err := <-ended; err == nil {
			return 0
		}
		return 1
	case err := <-ended:
		if err != nil {
			s.t.Error(fmt.Errorf("the child: %w: %s", err, output))
		}
		return 0
	}
}
