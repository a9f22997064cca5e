//go:build cgo

package native

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jeantrail/jeantrail-ai/engine"
)

func TestStepsOfSeveralShareOneThread(t *testing.T) {
	defer goleak.VerifyNone(t)
	var c cores
	var a, b share
	roused := 0
	a.wake = func() { roused++ }
	c.join(&a)
	if c.sharing(&a) != nil {
		t.Error("a decoder that is alone does not compute by itself")
	}
	c.join(&b)
	if roused != 1 {
		t.Errorf("the first decoder was asked %d times to let go", roused)
	}

	var order []string // not guarded: the race detector would see two at once
	var group sync.WaitGroup
	for name, s := range map[string]*share{"a": &a, "b": &b} {
		group.Go(func() {
			for range 50 {
				if err := c.run(s, func() error { order = append(order, name); return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := len(slices.DeleteFunc(slices.Clone(order), func(s string) bool { return s != "a" })); len(order) != 100 || n != 50 {
		t.Errorf("%d steps, %d of the first decoder", len(order), n)
	}

	broken := errors.New("broken")
	if err := c.run(&a, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a failed step gave %v", err)
	}
	func() {
		defer func() {
			if p := recover(); p != "lost" {
				t.Errorf("the caller saw the panic %v", p)
			}
		}()
		_ = c.run(&a, func() error { panic("lost") })
	}()

	w := c.sharing(&a)
	c.leave(&b)
	c.leave(&b)
	if c.sharing(&a) != nil {
		t.Error("a decoder that is left alone does not compute by itself")
	}
	if ok, _ := w.do(&a, func() error { return nil }); ok {
		t.Error("a thread that is to end took a step")
	}
	if err := c.run(&a, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a failed step gave %v", err)
	}
	a.release()
	c.leave(&a)
}

// TestTimeIsSharedOut plays two decoders of which one has long steps, and a third
// that comes late.
func TestTimeIsSharedOut(t *testing.T) {
	now := time.Unix(0, 0)
	w := &compute{wake: make(chan struct{}, 1), used: make(map[*share]time.Duration)}
	long, short, late := new(share), new(share), new(share)
	took := map[*share]time.Duration{long: 40 * time.Millisecond, short: 2 * time.Millisecond, late: 2 * time.Millisecond}
	submit := func(s *share) { w.add(s, func() error { return nil }) }
	run := func() *share {
		t.Helper()
		j, wait, _ := w.next(now)
		if j.step == nil {
			t.Fatalf("no step of %d, to wait %v", len(w.jobs), wait)
		}
		begin := now
		now = now.Add(took[j.share])
		w.charge(j.share, begin, now)
		return j.share
	}

	submit(long)
	submit(short)
	if run() != long {
		t.Error("of two that have used nothing the first does not go first")
	}
	submit(long)
	steps := 0
	for ; run() == short; steps++ {
		if _, wait, _ := w.next(now); wait == 0 {
			break // it has caught up
		} else if wait > patience {
			t.Fatalf("waits %v", wait)
		}
		now = now.Add(patience / 2)
		submit(short)
	}
	if used := time.Duration(steps+1) * took[short]; used < took[long]-2*behind || used > took[long] {
		t.Errorf("the short steps had %v for a long one of %v", used, took[long])
	}

	// One that is behind and does not come back is not waited for any longer.
	w.jobs, w.last = nil, nil
	w.used[short] = w.used[long] - 20*time.Millisecond
	submit(short)
	if run() != short {
		t.Error("another step than the only one")
	}
	submit(long)
	now = now.Add(patience)
	if run() != long {
		t.Error("a decoder that has nothing to do is waited for")
	}

	// Who was idle for long has no more to come than one long step.
	submit(late)
	if w.used[late] < w.most-arrears {
		t.Errorf("%v behind", w.most-w.used[late])
	}
}

// threads counts the process's OS threads.
func threads(t *testing.T) int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Skip("this system does not list threads:", err)
	}
	return len(tasks)
}

// TestIdleDecodersHoldNoThreads counts threads that would slow another decoder
// down. Go makes some of its own at any time, so the pools are larger than that.
func TestIdleDecodersHoldNoThreads(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("without OpenMP the compute threads belong to the context")
	}
	const pool, slack = 16, 8
	open := func() *Decoder {
		d, err := Open(context.Background(), Options{
			Path: filepath.Join("..", "..", "build", "builtin-model", "builtin.gguf"), NCtx: 64, NThreads: pool,
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	step := func(d *Decoder, pos int) {
		if _, info, err := d.Step(nil, []engine.Span{{Pos: pos, Tokens: []engine.Token{1}}}, nil); err != nil || info.Outcome != engine.OutcomeOK {
			t.Fatalf("%+v, %v", info, err)
		}
	}
	before := threads(t)
	a := open()
	defer a.Close()
	if n := threads(t); n > before+slack {
		t.Errorf("%d threads after a model was opened, %d before", n, before)
	}
	step(a, 0)
	a.Rest(false)
	if n := threads(t); n < before+pool-1 {
		t.Errorf("%d threads, %d before: a decoder that is alone does not keep its own", n, before)
	}
	crowded := false
	a.OnCrowded(func() { crowded = true })
	b := open()
	if !crowded {
		t.Error("the first decoder was not asked to let go of its threads")
	}
	a.Rest(false)
	if n := threads(t); n > before+slack {
		t.Errorf("%d threads while both rest, %d before", n, before)
	}
	step(b, 0)
	step(a, 1)
	if n := threads(t); n > before+pool+slack {
		t.Errorf("%d threads while both step, %d before", n, before)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	step(a, 2)
	a.Rest(true)
	if n := threads(t); n > before+slack {
		t.Errorf("%d threads after the last step, %d before", n, before)
	}
}
