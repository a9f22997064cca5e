package media

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// Worker is the client of one server. Its methods may be called from any
// goroutine.
type Worker struct {
	opts   Options
	craft  *craft
	client *client
	lane   *lane
	pace   time.Duration // between two looks at the progress of a job

	mu    sync.Mutex
	found knowledge
}

// knowledge is what probes found out about a server.
type knowledge struct {
	dialect string
	flavour string // the product, where a dialect has to know: see probe.go
	model   string // that the server says it runs, or lists first
	version string
	all     []string // models that the server lists
}

// New makes the client of a worker. It does not connect.
func New(o Options) (*Worker, error) {
	base, err := o.complete()
	if err != nil {
		return nil, err
	}
	w := &Worker{opts: o, craft: craftOf(o.Kind), client: newClient(&o, base), lane: &lane{limit: o.Concurrency}, pace: progressPace}
	if w.craft == nil {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the worker %s is of the kind %q, which no worker does", o.Name, o.Kind).
			WithHint("Use image, transcribe, speak or text.")
	}
	if _, ok := w.craft.dialects[o.Dialect]; o.Dialect != "" && !ok {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the worker %s is to speak %q, which is no dialect of the kind %s", o.Name, o.Dialect, o.Kind).
			WithHint("Use auto or %s.", strings.Join(Dialects(o.Kind), ", "))
	}
	w.found.dialect = o.Dialect
	return w, nil
}

// Dialects lists the dialects of a kind, in the order in which a probe tries
// them; nil if no worker does work of that kind.
func Dialects(k jeantrail.Kind) []string {
	var names []string
	for _, look := range looksOf(k) {
		if !slices.Contains(names, look.dialect) {
			names = append(names, look.dialect)
		}
	}
	return names
}

// Name is the worker's own.
func (w *Worker) Name() string { return w.opts.Name }

// Dialect returns the configured dialect, or the one that a probe found; "" as
// long as none did.
func (w *Worker) Dialect() string { return w.knows().dialect }

// Speaks is Dialect, for the health monitor.
func (w *Worker) Speaks() string { return w.Dialect() }

// Occupancy returns how many jobs are at the worker and how many wait for it.
func (w *Worker) Occupancy() (running, queued int) { return w.lane.occupancy() }

// Close ends idle connections. Jobs that are prepared or run go on to their end,
// so that a worker can be replaced by another of the same name.
func (w *Worker) Close() { w.client.transport.CloseIdleConnections() }

func (w *Worker) knows() knowledge {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.found
}

// CanUnload reports whether the server is known to give its memory back when it
// is asked to.
func (w *Worker) CanUnload() bool {
	k := w.knows()
	return k.dialect == dialectSDAPI && k.flavour == flavourWebUI
}

// Unload asks the server to drop its model, which it loads again for the next
// job. While jobs run or wait it is a conflict.
func (w *Worker) Unload(ctx context.Context) error {
	if !w.CanUnload() {
		return jeantrail.Errorf(jeantrail.CodeUnsupported, "the worker %s cannot be asked to unload its model", w.opts.Name)
	}
	if !w.lane.close() {
		return jeantrail.Errorf(jeantrail.CodeConflict, "the worker %s is at work", w.opts.Name).WithHint("Try again when its jobs have ended.")
	}
	defer w.lane.reopen()
	a, err := w.client.do(ctx, query{method: http.MethodPost, path: "/sdapi/v1/unload-checkpoint"})
	if err != nil {
		return err
	}
	return a.Close()
}

// MemoryBytes returns how much memory of the card the server says it holds, 0 if
// it does not say.
func (w *Worker) MemoryBytes(ctx context.Context) (int64, error) {
	if !w.CanUnload() {
		return 0, nil
	}
	var m struct {
		CUDA struct {
			Reserved struct {
				Current int64 `json:"current"`
			} `json:"reserved"`
		} `json:"cuda"`
	}
	if err := w.client.decode(ctx, query{path: "/sdapi/v1/memory"}, &m); err != nil {
		return 0, err
	}
	return max(m.CUDA.Reserved.Current, 0), nil
}
