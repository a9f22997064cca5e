package memory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai"
)

// A world is a budget whose holders know for themselves who uses them.
type world struct {
	budget  *Budget
	holders []*Holder
	limited bool

	mu       sync.Mutex
	users    []int
	shrunk   []bool // somebody's loading failed, which others in it notice
	unloaded int
	failed   int
	wrong    []string
}

func (w *world) complain(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// unload is what holder i does when it is to let go.
func (w *world) unload(i int, takes time.Duration, fails bool) func(context.Context) error {
	return func(ctx context.Context) error {
		w.unused(i, "when it began to unload")
		time.Sleep(takes)
		w.unused(i, "when it had unloaded")
		w.mu.Lock()
		defer w.mu.Unlock()
		if fails {
			w.failed++
			return errors.New("it does not want to")
		}
		w.unloaded++
		return nil
	}
}

func (w *world) unused(i int, when string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.users[i] > 0 {
		w.complain("holder %d was in use %s", i, when)
	}
}

// task is one use of a holder, or a reservation.
type task struct {
	holder  int // -1: a reservation
	after   time.Duration
	bytes   int64
	works   time.Duration
	patient time.Duration // 0: without limit
	fails   bool          // loading fails, so that nothing is held after it
}

func (w *world) run(ctx context.Context, k task) {
	time.Sleep(k.after)
	if k.patient > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, k.patient)
		defer cancel()
	}
	if k.holder < 0 {
		release, err := w.budget.Reserve(ctx, "job", k.bytes)
		w.granted(k, err)
		if err == nil {
			time.Sleep(k.works)
			release()
		}
		return
	}
	h := w.holders[k.holder]
	release, err := h.Need(ctx, k.bytes)
	w.granted(k, err)
	if err != nil {
		return
	}
	w.mu.Lock()
	w.users[k.holder]++
	w.mu.Unlock()
	time.Sleep(k.works)
	w.mu.Lock()
	if held := h.Bytes(); held < k.bytes && !w.shrunk[k.holder] {
		w.complain("holder %d has %d bytes while %d are in use", k.holder, held, k.bytes)
	}
	w.users[k.holder]--
	if k.fails {
		w.shrunk[k.holder] = true
		h.Resize(0)
	}
	w.mu.Unlock()
	release()
}

// granted checks what holds whenever a call ends.
func (w *world) granted(k task, err error) {
	use := w.budget.Use()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limited && use.Used > use.Limit {
		w.complain("%d bytes are used of %d: %+v", use.Used, use.Limit, use.Holders)
	}
	switch jeantrail.CodeOf(err) {
	case "":
	case jeantrail.CodeUnsupported:
		if k.bytes <= use.Limit {
			w.complain("%d bytes of %d are called impossible", k.bytes, use.Limit)
		}
	case jeantrail.CodeWorkerUnavailable:
	case jeantrail.CodeDeadline:
		if k.patient == 0 {
			w.complain("a patient one gave up: %v", err)
		}
	default:
		w.complain("an error that nobody expects: %v", err)
	}
}

// TestBudgetHolds has tasks come, work, give up and fail in any order.
func TestBudgetHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Time in here is not real, so rapid must not ask for the test's deadline.
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			ms := func(most int, label string) time.Duration {
				return time.Duration(rapid.IntRange(0, most).Draw(rt, label)) * time.Millisecond
			}
			limit := rapid.SampledFrom([]int64{0, 20, 50, 100}).Draw(rt, "limit")
			w := &world{budget: New(limit), limited: limit > 0}
			room := limit
			for i := range rapid.IntRange(1, 5).Draw(rt, "holders") {
				held := min(rapid.Int64Range(0, 40).Draw(rt, "held"), room)
				room -= held
				holding := Holding{Name: fmt.Sprint(i), Source: "model", Bytes: held, Pinned: rapid.IntRange(0, 5).Draw(rt, "pinned") == 0}
				if rapid.IntRange(0, 4).Draw(rt, "unloads") > 0 {
					holding.Unload = w.unload(i, ms(30, "takes"), rapid.IntRange(0, 4).Draw(rt, "refuses") == 0)
				}
				w.users, w.shrunk = append(w.users, 0), append(w.shrunk, false)
				w.holders = append(w.holders, w.budget.Register(holding))
			}
			var tasks sync.WaitGroup
			for range rapid.IntRange(1, 25).Draw(rt, "tasks") {
				k := task{
					holder: rapid.IntRange(-1, len(w.holders)-1).Draw(rt, "holder"),
					after:  ms(200, "after"), works: ms(50, "works"),
					bytes: rapid.Int64Range(0, 60).Draw(rt, "bytes"),
					fails: rapid.IntRange(0, 4).Draw(rt, "fails") == 0,
				}
				if rapid.Bool().Draw(rt, "impatient") {
					k.patient = ms(100, "patience") + time.Millisecond
				}
				tasks.Go(func() { w.run(t.Context(), k) })
			}
			tasks.Wait() // the bubble finds it if anybody waits for ever
			w.check(rt)
		})
	})
}

// check looks at what is left when everybody is done.
func (w *world) check(rt *rapid.T) {
	use := w.budget.Use()
	var sum int64
	for _, h := range use.Holders {
		sum += h.Bytes
		if h.Busy {
			rt.Errorf("%s is busy, and nobody uses it", h.Name)
		}
	}
	if sum != use.Used || len(use.Holders) != len(w.holders) || len(w.budget.queue) != 0 {
		rt.Errorf("%d bytes are used, of which holders have %d; %d holders, %d wait", use.Used, sum, len(use.Holders), len(w.budget.queue))
	}
	unloaded, failed := 0, 0
	for _, d := range use.Recent {
		if strings.HasPrefix(d.Did, "unloaded ") {
			unloaded++
		}
		if strings.HasPrefix(d.Did, "could not unload ") {
			failed++
		}
	}
	if len(use.Recent) < maxDecisions && (unloaded != w.unloaded || failed != w.failed) {
		rt.Errorf("%d were unloaded and %d would not, the decisions say %d and %d", w.unloaded, w.failed, unloaded, failed)
	}
	for _, wrong := range w.wrong {
		rt.Error(wrong)
	}
	if len(w.wrong) > 0 || rt.Failed() {
		rt.FailNow()
	}
}
