package health

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

const (
	maxPending = 1024             // probes that wait to be written
	gatherFor  = time.Second      // what comes within it is written together
	writeLimit = 10 * time.Second // for one batch
)

// history writes probes with a goroutine of its own, so that no worker's loop
// waits for the disk. What cannot be written is logged and let go: it is a
// record for people, and nothing is decided by it.
type history struct {
	to   Recorder
	log  *slog.Logger
	wake chan struct{} // has room for one
	quit chan struct{} // closed by stop
	done chan struct{} // closed when the goroutine has ended
	once sync.Once

	mu      sync.Mutex
	pending []jeantrail.Probe
	dropped int // because too many were pending
}

func newHistory(to Recorder, log *slog.Logger) *history {
	return &history{
		to: to, log: log,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// add has a probe written soon.
func (h *history) add(p jeantrail.Probe) {
	h.mu.Lock()
	if len(h.pending) == maxPending {
		h.pending = h.pending[1:]
		h.dropped++
	}
	h.pending = append(h.pending, p)
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *history) start() { go h.run() }

// stop writes what is left and returns when the goroutine has ended.
func (h *history) stop() {
	h.once.Do(func() { close(h.quit) })
	<-h.done
}

func (h *history) run() {
	defer close(h.done)
	for {
		select {
		case <-h.quit:
			h.write()
			return
		case <-h.wake:
		}
		gather := time.NewTimer(gatherFor)
		select {
		case <-h.quit:
		case <-gather.C:
		}
		gather.Stop()
		h.write()
	}
}

// write hands over all that is pending.
func (h *history) write() {
	h.mu.Lock()
	batch, dropped := h.pending, h.dropped
	h.pending, h.dropped = nil, 0
	h.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), writeLimit)
	defer cancel()
	failed := 0
	var last error
	for _, p := range batch {
		if err := h.to.RecordProbe(ctx, p); err != nil {
			failed, last = failed+1, err
		}
	}
	if failed > 0 || dropped > 0 {
		h.log.Warn("part of the workers' history is lost", "not written", failed, "too many at once", dropped, "error", last)
	}
}
