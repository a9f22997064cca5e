package native

import (
	"runtime"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai/llama"
)

const (
	// arrears is how far a decoder may fall behind and still be made up for: about
	// one long step of another.
	arrears = 100 * time.Millisecond
	// patience is how long a decoder that is behind is waited for while others wait:
	// to hand out its tokens takes it less.
	patience = 500 * time.Microsecond
	// behind is from when on a decoder counts as behind.
	behind = 5 * time.Millisecond
)

// compute is the thread that computes for several decoders.
type compute struct {
	mu   sync.Mutex
	jobs []job // in the order in which they came, at most one of each decoder
	over bool
	wake chan struct{} // capacity 1: jobs or over changed

	used  map[*share]time.Duration // what each decoder's steps took, but for what it is behind by more than arrears
	most  time.Duration            // the most of them
	last  *share                   // whose step was the last, nil if it is not waited for
	until time.Time                // when waiting for last ends
}

type job struct {
	share *share
	step  func() error
}

func newCompute() *compute {
	w := &compute{wake: make(chan struct{}, 1), used: make(map[*share]time.Duration)}
	go w.loop()
	return w
}

// do runs a decoder's step on the thread. It reports false, and did nothing, if
// the thread is to end.
func (w *compute) do(s *share, step func() error) (bool, error) {
	if !w.add(s, step) {
		return false, nil
	}
	w.poke()
	err := <-s.done
	if p, ok := err.(panicked); ok {
		panic(p.value) // there, where somebody is ready for it
	}
	return true, err
}

func (w *compute) add(s *share, step func() error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	w.used[s] = max(w.used[s], w.most-arrears) // nobody saves up for later
	w.jobs = append(w.jobs, job{s, step})
	return true
}

// forget drops what is known of a decoder that is closed.
func (w *compute) forget(s *share) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.used, s)
	if w.last == s {
		w.last = nil
	}
}

// end makes the thread end after the jobs that it has.
func (w *compute) end() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	w.poke()
}

func (w *compute) poke() {
	select {
	case w.wake <- struct{}{}:
	default: // it is awake, or will be
	}
}

func (w *compute) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer llama.ReleaseThreads()
	for {
		j, wait, over := w.next(time.Now())
		switch {
		case j.step != nil:
			begin := time.Now()
			err := caught(j.step)
			w.charge(j.share, begin, time.Now())
			j.share.done <- err
		case over:
			return
		case wait > 0:
			w.sleep(wait)
		default:
			<-w.wake
		}
	}
}

func (w *compute) sleep(most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-w.wake:
	case <-timer.C:
	}
}

// next takes the job of the decoder that has used the least time, the oldest of
// such. Steps of a small model are shorter than those of a large one: if they only
// took turns, the small one would become as slow as the large one. So it may run
// several in a row, for which it is waited a moment between one and the next: then
// there is no job, and a time to wait.
func (w *compute) next(now time.Time) (j job, wait time.Duration, over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.jobs) == 0 {
		return job{}, 0, w.over
	}
	first := 0
	for i := range w.jobs {
		if w.used[w.jobs[i].share] < w.used[w.jobs[first].share] {
			first = i
		}
	}
	j = w.jobs[first]
	if w.last != nil && j.share != w.last && w.used[j.share]-w.used[w.last] > behind {
		if wait := w.until.Sub(now); wait > 0 {
			return job{}, wait, false
		}
	}
	w.jobs = append(w.jobs[:first], w.jobs[first+1:]...)
	w.last = nil
	return j, 0, false
}

// charge counts the time that a step took.
func (w *compute) charge(s *share, begin, end time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used[s] += end.Sub(begin)
	w.most = max(w.most, w.used[s])
	w.last, w.until = s, end.Add(patience)
}

// panicked carries a panic to the goroutine that asked for the step.
type panicked struct{ value any }

func (p panicked) Error() string { return "panic" }

func caught(step func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p}
		}
	}()
	return step()
}
