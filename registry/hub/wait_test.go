package hub

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

// Two processes pull one model: the second waits, and fetches nothing that the
// first brought, whether that one ends well or is killed.
func TestPullWaitsForAnotherProcess(t *testing.T) {
	for name, kill := range map[string]bool{"ends": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			h := hubtest.New(t)
			content := hubtest.Content(3<<20, 5)
			h.Put(repo, "m-Q4_K_M.gguf", content)
			begun := make(chan struct{})
			h.Behave(func(b *hubtest.Behaviour) {
				once := false
				b.BytesPerSecond = 64 << 10 // a part a second
				b.OnSent = func(total int64) {
					if total > 256<<10 && !once {
						once = true
						close(begun)
					}
				}
			})
			c := newClient(t, h, func(o *Options) { o.Wait = true })
			cmd, output := child(t, errand{Folder: c.opts.Folder, Endpoint: h.URL, Source: "hf:" + repo, PartBytes: minPartBytes})
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			<-begun
			waiting := make(chan struct{})
			var l log
			var r Result
			pulled := make(chan error, 1)
			go func() {
				var err error
				r, err = c.Pull(t.Context(), Request{Source: "hf:" + repo}, func(e Event) {
					if l.add(e); strings.Contains(e.Note, "waiting") {
						close(waiting)
					}
				})
				pulled <- err
			}()
			<-waiting
			h.Behave(func(b *hubtest.Behaviour) { b.BytesPerSecond = 0 })
			if kill {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-ended; (err == nil) == kill {
				t.Fatalf("the first process: %v\n%s", err, output)
			}
			if err := <-pulled; err != nil {
				t.Fatalf("%v\n%s", err, l.notes())
			}
			holds(t, filepath.Join(c.opts.Folder, "m-Q4_K_M.gguf"), content)
			if (r.Fetched > 0) != kill || r.Fetched >= int64(len(content)) {
				t.Errorf("the second fetched %d bytes", r.Fetched)
			}
			if _, again := h.Sent(repo, "m-Q4_K_M.gguf"); again > 4*minPartBytes { // a part of each connection
				t.Errorf("%d bytes came twice", again)
			}
		})
	}
}

// Who waits can leave.
func TestWaitingPullIsStopped(t *testing.T) {
	h := hubtest.New(t)
	h.Put(repo, "m-Q4_K_M.gguf", hubtest.Content(1000, 1))
	c := newClient(t, h, func(o *Options) { o.Wait = true })
	begun, stop := make(chan struct{}), make(chan struct{})
	h.Put("Other/Repo-GGUF", "m-Q4_K_M.gguf", hubtest.Content(1<<20, 2))
	h.Behave(func(b *hubtest.Behaviour) { b.Stall = once(1, 1000) })
	first, second := make(chan error, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		var once sync.Once
		_, err := c.Pull(ctx, Request{Source: "hf:Other/Repo-GGUF"}, func(e Event) {
			if e.Phase == PhaseDownloading && e.File != "" {
				once.Do(func() { close(begun) })
			}
		})
		first <- err
	}()
	<-begun
	own, leave := context.WithCancel(t.Context())
	go func() {
		_, err := c.Pull(own, Request{Source: "hf:" + repo}, func(e Event) {
			if strings.Contains(e.Note, "waiting") {
				close(stop)
			}
		})
		second <- err
	}()
	<-stop
	leave()
	if err := <-second; jeantrail.CodeOf(err) != jeantrail.CodeCancelled {
		t.Errorf("who left: %v", err)
	}
	cancel()
	if err := <-first; jeantrail.CodeOf(err) != jeantrail.CodeCancelled {
		t.Errorf("the first: %v", err)
	}
}
