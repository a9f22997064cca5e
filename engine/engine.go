package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// maxPictures is how many images may be decoded to pixels at once.
const maxPictures = 2

// Engine runs text jobs on one Decoder. Its methods may be called by any
// goroutine.
type Engine struct {
	dec    Decoder
	vision VisionDecoder // nil if the model does not read images
	opts   Options
	info   Info
	vocab  *vocabulary
	shelf  Shelf // nil: what leaves the KV cache is gone

	wakeup chan struct{} // capacity 1: the loop has something to look at
	done   chan struct{} // closed when the loop has ended
	raised atomic.Bool   // the decoder's abort flag was set

	pictures chan struct{}  // holds a token for each image that is in memory
	encoders sync.WaitGroup // the goroutine that encodes an image

	reading chan struct{}  // holds a token while a state is read from the disk
	readers sync.WaitGroup // the goroutines that read, or wait to

	mu        sync.Mutex
	inbox     []*sequence     // submitted, not seen by the loop
	cancels   []*sequence     // cancelled, not seen by the loop
	seen      *encoding       // an image that was encoded, not seen by the loop
	fetched   []fetched       // states that were read, not seen by the loop
	demotions []*demotion     // not seen by the loop
	stopCtx   context.Context // of the first Stop
	jobs      int             // in the engine: inbox, queue and slots
	nextID    uint64
	step      uint64 // number of the running step
	abortable bool   // a step runs in which nobody decodes
	started   bool
	stopping  bool // no new jobs; end when the last one ends
	killed    bool // end every job now
	failed    error
	service   time.Duration // moving average of how long a job holds a slot
	stats     Stats

	// Of the loop.
	sched    *scheduler
	results  []Result
	encoding *encoding // the image that is being encoded
}

// New makes an engine over a loaded decoder, which stays the caller's: close
// it after Stop has returned. Nothing runs until Start.
func New(dec Decoder, opts Options) (*Engine, error) {
	info := dec.Info()
	if info.NSeqMax < 1 || info.NBatch < 1 || info.NCtx < 1 || info.NCtxSeq < 1 {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid,
			"make engine: the decoder has %d sequences, a batch of %d and a context of %d", info.NSeqMax, info.NBatch, info.NCtx)
	}
	opts = opts.withDefaults()
	e := &Engine{
		dec: dec, opts: opts, info: info, vocab: newVocabulary(dec.Vocab()),
		wakeup: make(chan struct{}, 1), done: make(chan struct{}),
		sched: newScheduler(info, opts), pictures: make(chan struct{}, maxPictures),
		reading: make(chan struct{}, 1),
	}
	if opts.Prefixes != nil {
		e.shelf = opts.Prefixes.Shelf(e.identityOfState)
		e.sched.shelf = e.shelf
	}
	if info.Vision {
		var ok bool
		if e.vision, ok = dec.(VisionDecoder); !ok {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "make engine: the decoder says that it reads images, and has no way to")
		}
	}
	e.stats = e.snapshot()
	return e, nil
}

// Start begins to run jobs. It may be called once.
func (e *Engine) Start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.started || e.stopping {
		return errors.New("start engine: it was started or stopped before")
	}
	e.started = true
	if r, ok := e.dec.(Rester); ok {
		r.OnCrowded(e.wake)
	}
	go e.loop()
	return nil
}

// Stop takes no more jobs, lets those that are there finish until ctx ends, and
// then cancels them with code shutting_down. What is left of ctx is used to save
// cached prefixes. When it returns, the loop has ended and the decoder is not in
// use. It may be called again.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	if !e.started && !e.stopping {
		close(e.done)
		e.closeShelf()
	}
	if !e.stopping {
		e.stopCtx = ctx
	}
	e.stopping = true
	e.mu.Unlock()
	e.wake()

	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
	}
	e.mu.Lock()
	e.killed = true
	e.mu.Unlock()
	e.wake()
	e.abort() // whoever is in the step is cancelled anyway
	<-e.done
	return nil
}

// Info describes where the model runs.
func (e *Engine) Info() jeantrail.EngineInfo {
	return jeantrail.EngineInfo{
		Device: e.info.Device, LayersOffloaded: e.info.LayersOffloaded,
		NCtx: e.maxContext(), FallbackReason: e.info.FallbackReason,
	}
}

// maxContext is the longest sequence, in tokens.
func (e *Engine) maxContext() int {
	n := min(e.info.NCtxSeq, e.info.NCtx)
	if e.opts.MaxContext > 0 {
		n = min(n, e.opts.MaxContext)
	}
	return n
}

// Err returns why the engine has failed, nil as long as it works.
func (e *Engine) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

// submit hands a sequence to the loop.
func (e *Engine) submit(q *sequence) error {
	e.mu.Lock()
	if err := e.refusal(); err != nil {
		e.mu.Unlock()
		return err
	}
	e.nextID++
	q.id = e.nextID
	q.key = q.arrivedAt.UnixNano() + int64(q.class)*int64(e.opts.AgeStep)
	e.jobs++
	e.inbox = append(e.inbox, q)
	e.mu.Unlock()
	e.wake()
	return nil
}

// refusal says why no job can be taken. The caller holds mu.
func (e *Engine) refusal() error {
	switch {
	case e.failed != nil:
		return jeantrail.Errorf(jeantrail.CodeInternal, "the engine has failed: %w", e.failed).
			WithHint("Load the model again or restart the program.")
	case e.stopping:
		return jeantrail.Errorf(jeantrail.CodeShuttingDown, "the engine is stopping")
	case !e.started:
		return jeantrail.Errorf(jeantrail.CodeModelLoading, "the engine was not started")
	case e.jobs >= e.opts.MaxQueue+e.info.NSeqMax:
		err := jeantrail.Errorf(jeantrail.CodeQueueFull, "the queue is full: %d jobs wait", e.jobs-e.info.NSeqMax).
			WithHint("Try again later, or send fewer requests at once.").
			WithNumber("waiting", int64(e.jobs-e.info.NSeqMax)).WithNumber("max_queue", int64(e.opts.MaxQueue))
		// One slot comes free after about service/slots.
		err.RetryAfter = max(time.Second, (e.service / time.Duration(e.info.NSeqMax)).Round(time.Second))
		return err
	}
	return nil
}

// cancel ends a sequence at the latest after the running step; a step in which
// nobody decodes is ended early for it.
func (e *Engine) cancel(q *sequence, cause error) {
	if !q.cause.CompareAndSwap(nil, &cause) {
		return
	}
	e.mu.Lock()
	e.cancels = append(e.cancels, q)
	abort := e.abortable && q.inStep == e.step
	e.mu.Unlock()
	e.wake()
	if abort {
		e.abort()
	}
}

// abort makes the running step end early. If it comes too late and hits the
// next step, that one is only repeated.
func (e *Engine) abort() {
	e.raised.Store(true)
	e.dec.Abort(true)
}

func (e *Engine) wake() {
	select {
	case e.wakeup <- struct{}{}:
	default: // it is awake, or will be
	}
}
