package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/registry"
	"github.com/jeantrail/jeantrail-ai/registry/memory"
)

// fakeOpener opens nothing, in the steps that a test gives.
type fakeOpener struct {
	place place
	steps chan float64 // progress; closed when the model is open. nil: at once

	mu     sync.Mutex
	refuse error // of check and need
	fault  error // of open
	words  []string
	closed int
}

func (f *fakeOpener) check(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refuse
}

func (f *fakeOpener) need(ctx context.Context) (place, error) { return f.place, f.check(ctx) }

func (f *fakeOpener) open(ctx context.Context, progress func(float64)) (*opened, error) {
	for f.steps != nil {
		select {
		case p, more := <-f.steps:
			if !more {
				f.steps = nil
				continue
			}
			progress(p)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault != nil {
		return nil, f.fault
	}
	return &opened{engine: new(engine.Engine), place: f.place, close: func(context.Context) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.closed++
		return nil
	}}, nil
}

func (f *fakeOpener) say(s registry.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.words = append(f.words, strings.TrimSpace(fmt.Sprintf("%s %.1f %s", s.Status, s.Progress, s.Problem)))
}

func (f *fakeOpener) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.words, ", ")
}

func (f *fakeOpener) unloaded() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

func (f *fakeOpener) set(refuse, fault error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse, f.fault = refuse, fault
}

// roomOf makes budgets of so many bytes; 0 of the GPUs is none.
func roomOf(ram, vram int64) *room {
	r := &room{Budget: memory.New(ram), workers: make(map[string]*workerRoom)}
	if vram > 0 {
		r.vram = memory.New(vram)
	}
	return r
}

// residentOf makes a model that a test closes.
func residentOf(t *testing.T, name string, room *room, o opener, pinned bool) *resident {
	t.Helper()
	r := newResident(registry.Entry{Name: name, BuiltIn: name == builtInName}, o, room, pinned)
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Errorf("close %s: %v", name, err)
		}
	})
	return r
}

// used runs a job on a model.
func used(t *testing.T, r *resident) error {
	t.Helper()
	e, done, err := r.use(t.Context(), nil)
	if err == nil && e == nil {
		t.Errorf("%s gives no engine", r.entry.Name)
	}
	if err == nil {
		done()
	}
	return err
}

// Who waits for a load is told how far it is, in tens and only upwards; so is
// everybody else.
func TestResidentTellsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &fakeOpener{place: place{ram: 60}, steps: make(chan float64)}
		r := residentOf(t, "a", roomOf(100, 0), o, false)
		var waiters sync.WaitGroup
		told := make([][]int, 2)
		for i := range told {
			waiters.Go(func() {
				_, done, err := r.use(t.Context(), func(percent int) { told[i] = append(told[i], percent) })
				if err != nil {
					t.Error(err)
					return
				}
				done()
			})
		}
		synctest.Wait()
		for _, p := range []float64{0, 0.04, 0.31, 0.34, 0.2, 1, 1} {
			o.steps <- p
			synctest.Wait()
		}
		close(o.steps)
		waiters.Wait()
		for i, got := range told {
			if fmt.Sprint(got) != "[0 30 100]" {
				t.Errorf("waiter %d was told %v", i, got)
			}
		}
		if want := "loading 0.0, loading 0.3, loading 1.0, ready 1.0"; o.said() != want {
			t.Errorf("said: %s", o.said())
		}
		if r.bytes() != 60 || r.holder.Bytes() != 60 {
			t.Errorf("it holds %d, counted are %d", r.bytes(), r.holder.Bytes())
		}
	})
}

// That there is no room is asked anew each time; what is wrong with a file sticks
// until somebody asks for another load.
func TestResidentFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noRoom := jeantrail.Errorf(jeantrail.CodeUnsupported, "too large")
		o := &fakeOpener{place: place{ram: 60}, refuse: noRoom}
		r := residentOf(t, "a", roomOf(100, 0), o, false)
		if err := used(t, r); jeantrail.CodeOf(err) != jeantrail.CodeUnsupported || o.said() != "" {
			t.Errorf("no room: %v, said %q", err, o.said())
		}
		<-r.Load()
		synctest.Wait()
		if want := "loading 0.0, failed 0.0 too large"; o.said() != want {
			t.Errorf("said %q", o.said())
		}
		broken := jeantrail.Errorf(jeantrail.CodeInvalid, "no model")
		o.set(nil, broken)
		if err := used(t, r); jeantrail.CodeOf(err) != jeantrail.CodeInvalid || r.holder.Bytes() != 0 {
			t.Errorf("broken: %v, and it holds %d", err, r.holder.Bytes())
		}
		o.set(nil, nil)
		if _, _, err := r.ready(t.Context()); jeantrail.CodeOf(err) != jeantrail.CodeInvalid {
			t.Errorf("the failure is forgotten: %v", err)
		}
		<-r.Load()
		synctest.Wait()
		e, done, err := r.ready(t.Context())
		if err != nil || e == nil {
			t.Fatalf("after another load: %v", err)
		}
		done()
		before := o.said()
		<-r.Load() // of one that is loaded says nothing
		synctest.Wait()
		if o.said() != before || !strings.HasSuffix(before, "ready 1.0") {
			t.Errorf("said %q, before %q", o.said(), before)
		}
	})
}

// Who does not wait is refused with how far the load is, and begins it, once.
func TestResidentRefusesWhoDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &fakeOpener{place: place{ram: 60}, steps: make(chan float64)}
		r := residentOf(t, "a", roomOf(100, 0), o, false)
		wantPercent := func(want int64) {
			t.Helper()
			err := r.loading()
			e := jeantrail.AsError(err)
			if e.Code != jeantrail.CodeModelLoading || e.Numbers["progress_percent"] != want || e.RetryAfter == 0 {
				t.Errorf("%v %v", err, e.Numbers)
			}
			synctest.Wait()
		}
		wantPercent(0)
		wantPercent(0)
		o.steps <- 0.5
		synctest.Wait()
		wantPercent(50)
		close(o.steps)
		synctest.Wait()
		if err := r.loading(); err != nil {
			t.Errorf("it is loaded: %v", err)
		}
		if want := "loading 0.0, loading 0.0, loading 0.5, ready 1.0"; o.said() != want {
			t.Errorf("said %q", o.said())
		}
	})
}

// A pinned model stays although it is idle, until it is not pinned any more; what
// is not pinned makes room. Somebody who says so unloads it all the same.
func TestPinnedModelsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := roomOf(100, 0)
		first, second := &fakeOpener{place: place{ram: 60}}, &fakeOpener{place: place{ram: 60}}
		a, b := residentOf(t, "a", room, first, true), residentOf(t, "b", room, second, false)
		<-a.Load()
		synctest.Wait()
		err := used(t, b)
		if e := jeantrail.AsError(err); e.Code != jeantrail.CodeWorkerUnavailable || !strings.Contains(e.Names["held_by"], "a 60 bytes (pinned)") {
			t.Errorf("beside a pinned one: %v %v", err, e.Names)
		}
		if !a.pin(false) || a.pin(false) {
			t.Error("pin does not tell changes")
		}
		if err := used(t, b); err != nil || first.unloaded() != 1 {
			t.Errorf("after it was not pinned any more: %v, unloaded %d times", err, first.unloaded())
		}
		b.pin(true)
		if err := used(t, a); jeantrail.CodeOf(err) != jeantrail.CodeWorkerUnavailable {
			t.Errorf("beside the other one: %v", err)
		}
		if err := b.Unload(t.Context()); err != nil || second.unloaded() != 1 {
			t.Errorf("unload a pinned one: %v", err)
		}
		if err := used(t, a); err != nil {
			t.Error(err)
		}
	})
}

// The built-in model is loaded even where it does not fit, and counted.
func TestBuiltInModelAlwaysLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := roomOf(100, 0)
		r := residentOf(t, builtInName, room, &fakeOpener{place: place{ram: 150}}, false)
		if err := used(t, r); err != nil || room.Use().Used != 150 {
			t.Errorf("%v, %d are used", err, room.Use().Used)
		}
		if !r.pinned || r.pin(false) {
			t.Error("it can be unpinned")
		}
	})
}

// Models that fit the machine's memory together take turns on a GPU that is too
// small for both.
func TestModelsShareTheGPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := roomOf(100, 50)
		var residents []*resident
		var openers []*fakeOpener
		for _, name := range []string{"a", "b"} {
			o := &fakeOpener{place: place{ram: 20, vram: 30}}
			openers, residents = append(openers, o), append(residents, residentOf(t, name, room, o, false))
		}
		var group sync.WaitGroup
		for n := range 20 {
			group.Go(func() {
				if err := used(t, residents[n%2]); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if openers[0].unloaded()+openers[1].unloaded() == 0 {
			t.Error("both are on the GPU")
		}
		use, vram := room.Use(), room.vram.Use()
		if use.Used > 40 || vram.Used > 50 || residents[0].bytes()+residents[1].bytes() != 50 {
			t.Errorf("used: %d and %d, loaded %d and %d", use.Used, vram.Used, residents[0].bytes(), residents[1].bytes())
		}
	})
}

// An unload that somebody asks for while a job waits for a load is refused, and a
// load that is asked for during an unload comes after it.
func TestUnloadAndLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &fakeOpener{place: place{ram: 60}, steps: make(chan float64)}
		r := residentOf(t, "a", roomOf(100, 0), o, false)
		<-r.Load()
		synctest.Wait()
		if err := r.Unload(t.Context()); jeantrail.CodeOf(err) != jeantrail.CodeConflict {
			t.Errorf("unload what is being loaded: %v", err)
		}
		close(o.steps)
		synctest.Wait()
		_, done, err := r.ready(t.Context()) // a reader holds the unload up
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- r.Unload(t.Context()) }()
		synctest.Wait()
		r.Load()
		synctest.Wait()
		done()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if r.Engine() == nil || o.unloaded() != 1 {
			t.Errorf("it is not loaded again; said %s", o.said())
		}
	})
}
